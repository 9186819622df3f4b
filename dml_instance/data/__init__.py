"""Data sets; importing this registers the built-in ones with Detectron2."""

from .augmentation import build_test_augmentation
from .builtin import register_all
from ..classes import set_num_classes
from .coco import add_registration_option, register_coco, register_given
from .mapper import build_test_mapper, build_train_mapper
from .sampling import build_train_sampler

__all__ = [
    "add_registration_option",
    "build_test_augmentation",
    "build_test_mapper",
    "build_train_mapper",
    "build_train_sampler",
    "register_coco",
    "register_given",
    "set_num_classes",
]

register_all()
