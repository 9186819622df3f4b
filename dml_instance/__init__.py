"""Box-free instance segmentation by deep metric learning, as a Detectron2 plugin.

As soon as this and Detectron2 are imported, in whatever order, these are registered: the
meta-architecture ``DMLInstance``, the backbones ``build_slim_resnet_backbone`` and
``build_efficientnet_lite_backbone``, the built-in data sets, and the trained models that come with
it, as ``dml://NAME``. ``add_dml_config(cfg)`` adds this project's keys to a Detectron2 config.

Where Detectron2 is not imported yet, the first of the names below that is asked for imports it, and
torch with it. ``dml_instance.runtime``, which runs exported models, needs neither.
"""

import importlib
from typing import TYPE_CHECKING

from .registration import register_with_detectron2
from .version import __version__

if TYPE_CHECKING:
    from .plugin import add_dml_config, data, model_zoo, modeling

__all__ = ["__version__", "add_dml_config", "data", "model_zoo", "modeling"]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(".plugin", __name__), name)


register_with_detectron2()
