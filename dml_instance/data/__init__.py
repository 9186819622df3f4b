"""Data sets; importing this registers the built-in ones with Detectron2."""

from .builtin import register_all
from .classes import set_num_classes
from .coco import parse_registration, register_coco
from .mapper import build_test_mapper, build_train_mapper
from .sampling import build_train_sampler

__all__ = [
    "build_test_mapper",
    "build_train_mapper",
    "build_train_sampler",
    "parse_registration",
    "register_coco",
    "set_num_classes",
]

register_all()
