"""``MODEL.DML.TEST_AUGMENTATIONS`` for models that are not this project's: Detectron2's own test-time mirror image."""

from detectron2.modeling import GeneralizedRCNN, GeneralizedRCNNWithTTA
from torch import nn


class _MirrorAveraged(nn.Module):
    """``GeneralizedRCNNWithTTA`` behind ``forward``, which it goes without, so that hooks and timers work."""

    def __init__(self, cfg, model: nn.Module):
        super().__init__()
        self.averaged = GeneralizedRCNNWithTTA(cfg, model)

    def forward(self, batched_inputs: list[dict]) -> list[dict]:
        return self.averaged(batched_inputs)


def with_test_views(cfg, model: nn.Module) -> nn.Module:
    """The model that is evaluated: one that sees each image and its mirror image if
    ``MODEL.DML.TEST_AUGMENTATIONS`` is 2.

    ``DMLInstance`` does so by itself. Of a ``GeneralizedRCNN`` Detectron2 puts the boxes of both
    together, and averages their masks.

    Raises:
        ValueError: for more views of such a model, or for more than one of any other.
    """
    views, architecture = cfg.MODEL.DML.TEST_AUGMENTATIONS, cfg.MODEL.META_ARCHITECTURE
    if views == 1 or architecture == "DMLInstance":
        return model
    if views != 2 or not isinstance(getattr(model, "module", model), GeneralizedRCNN):
        raise ValueError(
            f"MODEL.DML.TEST_AUGMENTATIONS is {views}, but {architecture} sees an image once, or, if it is GeneralizedRCNN, "
            "twice: 1, or 2"
        )
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TEST.AUG.FLIP = True
    cfg.TEST.AUG.MIN_SIZES = (0,)  # the size of the image that the data loader gives
    return _MirrorAveraged(cfg, model)
