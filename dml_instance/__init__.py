"""Box-free instance segmentation by deep metric learning, as a Detectron2 plugin.

Registered with Detectron2 are the meta-architecture ``DMLInstance``, the backbones
``build_slim_resnet_backbone`` and ``build_efficientnet_lite_backbone``, the built-in data sets, and
the trained models that come with the package, as ``dml://NAME``. ``add_dml_config(cfg)`` adds this
project's keys to a Detectron2 config.

Where Detectron2 is imported already, all this happens at once. Otherwise it happens with the first
use of a name below but ``__version__``, or with the import of a part that needs Detectron2; that
imports Detectron2, and torch with it. ``dml_instance.runtime``, which runs exported models, needs
neither.
"""

import importlib
import sys
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .plugin import Segmentation, Segmenter, add_dml_config, data, load, model_zoo, modeling

__all__ = [
    "Segmentation",
    "Segmenter",
    "__version__",
    "add_dml_config",
    "data",
    "load",
    "model_zoo",
    "modeling",
]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(".plugin", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if sys.modules.get("detectron2") is not None:
    importlib.import_module(".plugin", __name__)
