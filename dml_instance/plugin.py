"""What the package offers beside ``runtime``; importing this registers it with Detectron2."""

try:
    import detectron2
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "dml_instance is a plugin of Detectron2, which is not installed here. From the "
        "repository's root, `pip install ./third_party/d2wheel` installs it from PyPI without a "
        "compiler; or build the official one: "
        "https://detectron2.readthedocs.io/en/latest/tutorials/install.html. Exported models run "
        "without it: dml_instance.runtime",
        name=error.name,
    ) from error
try:
    from detectron2.layers import move_device_like  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"{detectron2.__file__} is older than dml_instance can use: it needs Detectron2's main "
        "branch of June 2022 or newer, not the release 0.6; `pip install ./third_party/d2wheel` "
        "installs one of August 2024"
    ) from error

from . import data, model_zoo, modeling
from .config import add_dml_config
from .segmentation import Segmentation
from .segmenter import Segmenter, load

__all__ = [
    "Segmentation",
    "Segmenter",
    "add_dml_config",
    "data",
    "load",
    "model_zoo",
    "modeling",
]
