"""How often each image is drawn in training."""

import math

import torch
from detectron2.data.samplers import RepeatFactorTrainingSampler


def build_train_sampler(cfg, dataset: list[dict]) -> RepeatFactorTrainingSampler | None:
    """The sampler that ``DATALOADER.REPEAT_BY_AREA`` asks for.

    Args:
        dataset: Detectron2's records, with height and width.

    Returns:
        None where it is 0: Detectron2 then builds the one of DATALOADER.SAMPLER_TRAIN.

    Raises:
        ValueError: for a negative value, or where images are not cropped to a size.
    """
    power = cfg.DATALOADER.REPEAT_BY_AREA
    if power == 0:
        return None
    if power < 0 or not cfg.INPUT.CROP.ENABLED or cfg.INPUT.CROP.TYPE != "absolute":
        raise ValueError(
            f"DATALOADER.REPEAT_BY_AREA {power} counts crops: it is at least 0, and needs "
            "INPUT.CROP.ENABLED True and INPUT.CROP.TYPE absolute"
        )
    crop = math.prod(cfg.INPUT.CROP.SIZE)
    factors = [max(record["height"] * record["width"] / crop, 1.0) ** power for record in dataset]
    return RepeatFactorTrainingSampler(torch.tensor(factors))
