"""Detectron2's ``DatasetMapper``, with errors that name the file."""

from detectron2.data import DatasetMapper

from .augmentation import build_train_augmentation


class FileNamingMapper:
    """Calls a mapper; whatever goes wrong in it is raised again with the name of the image file.

    A truncated image otherwise ends a training with a message that does not say which of thousands it was.
    """

    def __init__(self, mapper: DatasetMapper):
        self.mapper = mapper

    def __call__(self, record: dict) -> dict:
        """A Detectron2 record to the model's input dict; raises RuntimeError naming the file."""
        try:
            return self.mapper(record)
        except Exception as error:
            raise RuntimeError(
                f"cannot load {record['file_name']}: {type(error).__name__}: {error}. "
                "Mend or replace this file, or remove it from the annotation file"
            ) from error


def build_train_mapper(cfg) -> FileNamingMapper:
    """The stock mapper with the augmentation of ``build_train_augmentation``."""
    return FileNamingMapper(
        DatasetMapper(
            cfg,
            is_train=True,
            augmentations=build_train_augmentation(cfg),
            recompute_boxes=cfg.MODEL.MASK_ON and cfg.INPUT.CROP.ENABLED,
        )
    )


def build_test_mapper(cfg) -> FileNamingMapper:
    """The stock mapper for inference."""
    return FileNamingMapper(DatasetMapper(cfg, is_train=False))
