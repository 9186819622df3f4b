"""Data sets; importing this registers the built-in ones with Detectron2."""

from ..errors import FileError
from ..keys.classes import number_of_classes, set_num_classes
from .augmentation import build_test_augmentation
from .coco import register_coco, register_given
from .datasets.builtin import register_all
from .mapper import PixelMapper, build_test_mapper, build_train_mapper, training_records
from .sampling import build_train_sampler
from .stream import NumberedBatches, training_stream

__all__ = [
    "FileError",
    "NumberedBatches",
    "PixelMapper",
    "build_test_augmentation",
    "build_test_mapper",
    "build_train_mapper",
    "build_train_sampler",
    "number_of_classes",
    "register_coco",
    "register_given",
    "set_num_classes",
    "training_records",
    "training_stream",
]

register_all()
