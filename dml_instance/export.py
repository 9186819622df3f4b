"""A trained model as a folder that ``dml_instance.runtime`` runs without torch.

The graph holds the network, from a normalised image to maps, as ``DMLInstance.traced`` does; what
comes before and after it is written down as rules. ``docs/export.md`` says what lies where.
"""

import os
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from .engine import min_score_of
from .errors import in_one_line
from .files import replacing_folder
from .keys.classes import classes_of
from .modeling import DMLInstance, DMLNetwork, InstanceGrouping
from .modeling.grouping import class_probability
from .runtime.network import Network
from .runtime.rules import (
    CHANNEL_ORDERS,
    IMAGE,
    NETWORK_FILE,
    ORIGIN,
    OUTPUTS,
    ClassRules,
    ImageRules,
    ModelRules,
    NetworkRules,
    sha256_of,
    write_rules,
)
from .version import __version__

# The one that torch's exporter is made for.
OPSET = 18

# Sides in units of the network: of the input that is traced, and of those that are compared.
_TRACED, _COMPARED = (4, 6), ((1, 1), (5, 3))

# Differences to torch up to this, relative and absolute, are rounding.
_TOLERANCE = 1e-3


class Exported(NamedTuple):
    """What was written.

    Attributes:
        bytes: of the network.
        opset: of ONNX.
        largest_difference: of a map, between onnxruntime and torch, on noise.
    """

    bytes: int
    opset: int
    largest_difference: float


def export_model(
    model: nn.Module,
    cfg: CfgNode,
    folder: str,
    *,
    min_score: float | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write ``network.onnx`` and ``rules.json``, after what the graph says was compared with torch.

    Args:
        model: of ``cfg``, trained, in evaluation mode; on any device.
        cfg: of its training: resizing, least score, and what the classes are called.
        folder: to write; folders above it are made.
        min_score: least score of an object; None: that of the training, see ``min_score_of``.
        overwrite: replace what lies there.

    Raises:
        ValueError: for a model whose inference rules.json cannot describe, naming the key and the
            cure; nothing was written.
        FileExistsError: without ``overwrite``, where something lies there.
        ModuleNotFoundError: where the programs for it are not installed.
        RuntimeError: where torch cannot export the network, or the graph says something else.
    """
    check_exportable(model, cfg)
    if os.path.lexists(folder) and not overwrite:
        raise FileExistsError(f"{folder} is there already; give another folder, or --overwrite")
    versions = _versions()
    settings = model.grouping.settings
    least = max(settings.min_score, min_score_of(cfg, min_score))
    with replacing_folder(folder, overwrite=overwrite) as new:
        path = os.path.join(new, NETWORK_FILE)
        graph = _Graph(model.network).eval()
        _write_graph(graph, path, model)
        rules = ModelRules(
            image_rules(model, cfg),
            _network_rules(model, path),
            replace(settings, min_score=least),
            ClassRules(**vars(classes_of(cfg))),
            versions,
        )
        difference = _largest_difference(graph, Network(new, rules.network), model)
        write_rules(new, rules)
        return Exported(os.path.getsize(path), OPSET, difference)


def check_exportable(model: nn.Module, cfg: CfgNode) -> None:
    """Raise ValueError for a model whose inference is more than a graph and rules; see
    ``export_model``."""
    if not isinstance(model, DMLInstance):
        raise ValueError(
            f"MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE}: only DMLInstance is "
            "exported; Detectron2 has exporters for its own"
        )
    if model.training:
        raise ValueError("the model is in training mode; call model.eval() first")
    if type(model.grouping) is not InstanceGrouping:
        raise ValueError(
            f"MODEL.DML.GROUPING.NAME is {cfg.MODEL.DML.GROUPING.NAME}: the runtime has the "
            "grouping InstanceGrouping alone"
        )
    rules = model.inference_rules
    if len(rules.scales) > 1:
        raise ValueError(
            f"MODEL.DML.TEST_SCALES is {list(rules.scales)}: the runtime sees an image at one "
            "scale; give one, such as MODEL.DML.TEST_SCALES [1.0]"
        )
    if rules.augmentations > 1:
        raise ValueError(
            f"MODEL.DML.TEST_AUGMENTATIONS is {rules.augmentations}: the runtime sees an image in "
            "one symmetry; give MODEL.DML.TEST_AUGMENTATIONS 1"
        )
    if cfg.INPUT.FORMAT not in CHANNEL_ORDERS:
        raise ValueError(
            f"INPUT.FORMAT is {cfg.INPUT.FORMAT}: the runtime knows {' and '.join(CHANNEL_ORDERS)}"
        )
    square = model.backbone.padding_constraints.get("square_size", 0)
    if square > 0:
        raise ValueError(
            f"the backbone {cfg.MODEL.BACKBONE.NAME} wants images padded to squares of {square} "
            "pixels, which the runtime does not do; give another MODEL.BACKBONE.NAME"
        )


def image_rules(model: DMLInstance, cfg: CfgNode) -> ImageRules:
    """How an image becomes the input of the network, by the mapper of ``cfg`` and the model."""
    return ImageRules(
        channel_order=cfg.INPUT.FORMAT,
        short_side=cfg.INPUT.MIN_SIZE_TEST,
        long_side=cfg.INPUT.MAX_SIZE_TEST,
        magnification=float(cfg.INPUT.SCALE_TEST),
        scale=float(model.inference_rules.scales[0]),
        normalization="image" if model.pixel_norm.of_each_image else "dataset",
        pixel_mean=tuple(cfg.MODEL.PIXEL_MEAN),
        pixel_std=tuple(cfg.MODEL.PIXEL_STD),
    )


def _network_rules(model: DMLInstance, path: str) -> NetworkRules:
    constraints, rules = model.backbone.padding_constraints, model.inference_rules
    return NetworkRules(
        sha256=sha256_of(path),
        opset=OPSET,
        stride=model.network.stride,
        size_divisibility=constraints.get("size_divisibility", model.network.size_divisibility),
        tile_size=rules.tile_size,
        tile_overlap=rules.tile_overlap,
    )


class _Graph(nn.Module):
    """What is exported: one image, and where it lies in a larger one, to its maps."""

    def __init__(self, network: DMLNetwork):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, origin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(1, C, H, W) and (2,) int64 to (D, h, w), (h, w) and (T, K, h, w)."""
        embedding, distance_scale, class_logits = self.network(image, tuple(origin.unbind()))
        return embedding[0], distance_scale[0], class_probability(class_logits[0])


def _write_graph(graph: _Graph, path: str, model: DMLInstance) -> None:
    unit = model.network.size_divisibility
    rows, columns = (
        unit * torch.export.Dim(name, min=1, max=2**12) for name in ("rows", "columns")
    )
    try:
        with torch.no_grad():
            torch.onnx.export(
                graph,
                _noise(model, _TRACED),
                path,
                input_names=[IMAGE, ORIGIN],
                output_names=list(OUTPUTS),
                dynamic_shapes={"image": {2: rows, 3: columns}, "origin": {}},
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except MemoryError:
        raise
    except Exception as error:
        # Of what it cannot trace or translate torch raises errors of many kinds, over many lines.
        reason = in_one_line(error)
        raise RuntimeError(
            f"torch {torch.__version__} cannot export this network ({type(error).__name__}: "
            f"{reason}); torch 2.9 is needed, and a part of your own may do what no graph holds"
        ) from error


def _largest_difference(graph: _Graph, network: Network, model: DMLInstance) -> float:
    """Between what onnxruntime and torch say of images of other sizes than the one traced."""
    largest = 0.0
    for units in _COMPARED:
        image, origin = _noise(model, units)
        with torch.no_grad():
            expected = [maps.cpu().numpy() for maps in graph(image, origin)]
        try:
            found = network.run(image.cpu().numpy(), tuple(origin.tolist()))
        except Exception as error:
            # onnxruntime's own, which derive from nothing more.
            raise RuntimeError(
                f"onnxruntime cannot run the network that torch {torch.__version__} exported "
                f"({in_one_line(error)}); nothing was written. Export with torch 2.9 or newer"
            ) from error
        for name, one, other in zip(OUTPUTS, expected, found, strict=True):
            difference = np.abs(one - other)
            if not (difference <= _TOLERANCE * (1 + np.abs(one))).all():
                raise RuntimeError(
                    f"the exported network differs from torch by {difference.max():.3g} in {name}, "
                    f"of an image of {tuple(image.shape[2:])} pixels; nothing was written. torch "
                    f"is {torch.__version__}: try another version of it, or of onnxscript"
                )
            largest = max(largest, float(difference.max()))
    return largest


def _noise(model: DMLInstance, units: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """An image of so many units of the network, the same each time, and an origin."""
    unit = model.network.size_divisibility
    generator = torch.Generator().manual_seed(0)
    channels = len(model.pixel_norm.mean)
    image = torch.randn(1, channels, *(unit * count for count in units), generator=generator)
    return image.to(model.device), torch.tensor([unit, 2 * unit], device=model.device)


def _versions() -> dict[str, str]:
    """Of what makes the files."""
    try:
        import onnx
        import onnxscript
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name}, which torch exports with, is not installed: pip install onnx "
            "onnxscript onnxruntime",
            name=error.name,
        ) from error
    versions = {"onnx": onnx.__version__, "onnxscript": onnxscript.__version__}
    return {"dml_instance": __version__, "torch": str(torch.__version__), **versions}
