"""Mask R-CNN's side of a comparison: test-time augmentation by Detectron2's own keys.

This project's model averages mirror images by itself (``MODEL.DML.TEST_AUGMENTATIONS``). Detectron2
has the same for a ``GeneralizedRCNN``, but its trainer does not use it in evaluation. Here
``TEST.AUG.ENABLED`` asks for it, with ``TEST.AUG.FLIP``, ``TEST.AUG.MIN_SIZES`` and
``TEST.AUG.MAX_SIZE`` as Detectron2 has them; ``TEST.AUG.MIN_SIZES "(0,)"`` keeps the size of the
image.
"""

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY, GeneralizedRCNN, GeneralizedRCNNWithTTA
from torch import nn


class _AugmentedModel(nn.Module):
    """``GeneralizedRCNNWithTTA`` behind ``forward``, which it lacks, so that hooks and timers
    work."""

    def __init__(self, cfg: CfgNode, model: nn.Module):
        super().__init__()
        self.averaged = GeneralizedRCNNWithTTA(cfg, model)
        self.train(model.training)  # a module starts in training mode, whatever it holds

    def forward(self, batched_inputs: list[dict]) -> list[dict]:
        return self.averaged(batched_inputs)


def check_test_augmentation(cfg: CfgNode) -> None:
    """Whether the model of a config can be augmented as it asks, before it is trained.

    Raises:
        ValueError: for ``TEST.AUG.ENABLED`` with another model than a ``GeneralizedRCNN``.
    """
    architecture = cfg.MODEL.META_ARCHITECTURE
    if cfg.TEST.AUG.ENABLED and not issubclass(
        META_ARCH_REGISTRY.get(architecture), GeneralizedRCNN
    ):
        raise ValueError(
            f"TEST.AUG.ENABLED is for a GeneralizedRCNN, not for {architecture}; "
            "DMLInstance has MODEL.DML.TEST_AUGMENTATIONS"
        )


def with_test_augmentation(cfg: CfgNode, model: nn.Module) -> nn.Module:
    """The model that is evaluated: with ``TEST.AUG.ENABLED`` the average over augmented images.

    Detectron2 puts the boxes found in all of them together and averages their masks.

    Args:
        cfg: of the run.
        model: built by it.

    Returns:
        The model itself without ``TEST.AUG.ENABLED``; else one of the same inputs and outputs.

    Raises:
        ValueError: see ``check_test_augmentation``.
    """
    check_test_augmentation(cfg)
    return _AugmentedModel(cfg, model) if cfg.TEST.AUG.ENABLED else model
