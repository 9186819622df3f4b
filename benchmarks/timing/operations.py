"""How many operations the network of a model takes."""

import warnings

import torch
from detectron2.utils.analysis import FlopCountAnalysis as DetectorFlopCountAnalysis
from fvcore.nn import FlopCountAnalysis

from dml_instance.modeling import DMLInstance


def multiply_adds(model: torch.nn.Module, x: dict) -> int:
    """fvcore's count for the inference of one input dict.

    Of this project's model without the grouping, which has none to speak of. What has no rule in
    fvcore (norms, activations) counts nothing.
    """
    with warnings.catch_warnings(), torch.no_grad():
        # Tracing warns of every shape that depends on the data; they do not enter the count.
        warnings.simplefilter("ignore")
        if isinstance(model, DMLInstance):
            scales = model.inference_rules.scales
            images = [model.preprocess_image([x], scale).tensor for scale in scales]
            counts = [FlopCountAnalysis(model.network, of_scale) for of_scale in images]
        else:
            counts = [DetectorFlopCountAnalysis(model, [x])]
        return sum(
            c.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
            for c in counts
        )
