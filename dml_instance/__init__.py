"""Box-free instance segmentation by deep metric learning, as a Detectron2 plugin.

Importing it registers the meta-architecture ``DMLInstance``, the backbones
``build_slim_resnet_backbone`` and ``build_efficientnet_lite_backbone``, the built-in data sets, and
the trained models that come with it as ``dml://NAME``; ``add_dml_config(cfg)`` adds the keys under
``cfg.MODEL.DML``. It also asks torch for huge pages on the CPU, unless ``THP_MEM_ALLOC_ENABLE`` is
set already.
"""

import os

# The system hands out memory in small pages and clears each when it is first touched: a third of
# the network's time on a large image, whose every layer is new memory. Torch reads this when it
# first allocates.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

try:
    import detectron2  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "dml_instance is a plugin of Detectron2, which is not installed here. From the repository's root, "
        "`pip install ./third_party/d2wheel` installs it from PyPI without a compiler; or build the official one: "
        "https://detectron2.readthedocs.io/en/latest/tutorials/install.html",
        name=error.name,
    ) from error

from . import data, model_zoo, modeling
from .config import add_dml_config
from .version import __version__

__all__ = ["__version__", "add_dml_config", "data", "model_zoo", "modeling"]
