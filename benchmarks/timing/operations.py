"""How many operations the network of a model takes."""

import warnings

import torch
from detectron2.structures import ImageList
from detectron2.utils.analysis import FlopCountAnalysis as DetectorFlopCountAnalysis
from fvcore.nn import FlopCountAnalysis

from dml_instance.modeling import DMLInstance


class _Network(torch.nn.Module):
    """This project's network at one scale: a batch (B, 3, H, W) to the heads' output as tensors."""

    def __init__(self, model: DMLInstance):
        super().__init__()
        self._model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        prediction = self._model.predict_pixels(ImageList(images, []))
        return prediction.embedding, prediction.distance_scale, prediction.class_logits


def multiply_adds(model: torch.nn.Module, x: dict) -> int:
    """fvcore's count for the inference of one input dict.

    Of this project's model without the grouping, which has none to speak of. What has no rule in
    fvcore (norms, activations) counts nothing.
    """
    with warnings.catch_warnings(), torch.no_grad():
        # Tracing warns of every shape that depends on the data; they do not enter the count.
        warnings.simplefilter("ignore")
        if isinstance(model, DMLInstance):
            scales = [model.preprocess_image([x], scale).tensor for scale in model.test_scales]
            counts = [FlopCountAnalysis(_Network(model), images) for images in scales]
        else:
            counts = [DetectorFlopCountAnalysis(model, [x])]
        return sum(
            c.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
            for c in counts
        )
