"""Keys of earlier versions, taken in their old spelling with a warning.

Detectron2's own mechanism for renamed keys refuses them; a user's ``config.yaml`` of an earlier
training shall go on working as it is.
"""

import logging
from collections.abc import Callable
from typing import Any

from detectron2.config import CfgNode as CN

_logger = logging.getLogger(__name__)

# Sections first, so that the keys in them are looked up under their new section.
_RENAMED = {
    "MODEL.DML.PAIRS": "MODEL.DML.PAIR_LOSS",
    "MODEL.DML.PAIR_LOSS.LOSS_WEIGHT": "MODEL.DML.PAIR_LOSS.WEIGHT",
    "MODEL.DML.PAIR_LOSS.WEIGHTS": "MODEL.DML.PAIR_LOSS.GROUP_SIZE",
    "MODEL.DML.SEED": "MODEL.DML.SEED_LOSS",
    "MODEL.DML.SEED_LOSS.LAMBDA": "MODEL.DML.SEED_LOSS.WEIGHT",
    "MODEL.DML.EMBEDDING_HEAD.COORDINATES": "MODEL.DML.EMBEDDING_HEAD.INPUT_COORDINATES",
    "MODEL.DML.EMBEDDING_HEAD.PLACE_UNIT": "MODEL.DML.EMBEDDING_HEAD.COORDINATE_UNIT",
    "MODEL.DML.GROUPING.CLASS": "MODEL.DML.GROUPING.CLASS_BY",
    "MODEL.DML.GROUPING.PEAK_SIZE": "MODEL.DML.GROUPING.PEAK_RADIUS",
    "MODEL.DML.TEST_VIEWS": "MODEL.DML.TEST_AUGMENTATIONS",
    "MODEL.DML.SOLVER.OPTIMIZER": "SOLVER.OPTIMIZER",
    "MODEL.DML.SOLVER.BACKBONE_LR_FACTOR": "SOLVER.BACKBONE_MULTIPLIER",
    "MODEL.DML.SOLVER.CPU_BFLOAT16": "SOLVER.AMP.CPU_BFLOAT16",
    "MODEL.DML.AUGMENTATION.REPEAT_BY_AREA": "DATALOADER.REPEAT_BY_AREA",
    "MODEL.DML.AUGMENTATION": "INPUT.AUG",
}


def _peak_radius(peak_size: Any, stride: Any) -> int:
    """Pixels to the side of a square of ``peak_size`` cells, the earlier form of this key."""
    return max(int(peak_size) // 2, 1) * int(stride)


class _CfgNode(CN):
    """Detectron2's config, which also takes keys in their old spelling."""

    @classmethod
    def _decode_cfg_value(cls, value: Any) -> Any:
        # Sections stay of Detectron2's own class: yacs merges those of one type alone.
        return CN._decode_cfg_value(value)

    def merge_from_other_cfg(self, cfg_other: CN) -> None:
        return super().merge_from_other_cfg(_with_new_names(cfg_other, self.MODEL))

    def merge_from_list(self, cfg_list: list) -> None:
        pairs = list(zip(cfg_list[0::2], cfg_list[1::2], strict=False))
        stride = dict(pairs).get("MODEL.DML.DECODER.STRIDE", self.MODEL.DML.DECODER.STRIDE)
        renamed = [part for pair in pairs for part in _renamed_pair(*pair, stride)]
        # An odd last entry is left for Detectron2 to complain of.
        return super().merge_from_list(renamed + list(cfg_list[len(renamed) :]))


def take_old_spellings(cfg: CN) -> None:
    """Make a config take keys in their old spelling from now on, in place."""
    # Merging is a method of the root node, which tools make themselves by Detectron2's get_cfg(). A
    # node's own assignment would take the class for a key.
    object.__setattr__(cfg, "__class__", _CfgNode)


def _renamed_pair(key: str, value: Any, stride: Any) -> tuple[str, Any]:
    """A KEY VALUE override in the new spelling."""
    name = key
    for old, new in _RENAMED.items():
        if name == old or name.startswith(f"{old}."):
            name = new + name[len(old) :]
            if old == "MODEL.DML.GROUPING.PEAK_SIZE":
                value = _peak_radius(value, stride)
    if name != key:
        _warn(key, name)
    return name, value


def _with_new_names(loaded: CN, model: CN) -> CN:
    """A loaded config in the new spelling; ``model`` is the section MODEL of what it joins."""
    loaded = loaded.clone()
    for old, new in _RENAMED.items():
        found = _pop(loaded, old.split("."))
        if found is None:
            continue
        if old == "MODEL.DML.GROUPING.PEAK_SIZE":
            of_loaded = loaded.MODEL.DML.get("DECODER", {}).get("STRIDE")
            found = _peak_radius(found, of_loaded or model.DML.DECODER.STRIDE)
        _put(loaded, new.split("."), found)
        _warn(old, new)
    _drop_empty(loaded, ["MODEL", "DML", "SOLVER"])
    _move_scale_of_others(loaded, model)
    return loaded


def _move_scale_of_others(loaded: CN, model: CN) -> None:
    """TEST_SCALES once held for other meta-architectures as well; now INPUT.SCALE_TEST does."""
    section = loaded.get("MODEL", CN())
    scales = section.get("DML", CN()).get("TEST_SCALES", [])
    architecture = section.get("META_ARCHITECTURE", model.META_ARCHITECTURE)
    is_given = "SCALE_TEST" in loaded.get("INPUT", CN())
    if architecture != "DMLInstance" and len(scales) == 1 and not is_given:
        _put(loaded, ["INPUT", "SCALE_TEST"], float(scales[0]))
        _warn("MODEL.DML.TEST_SCALES", f"INPUT.SCALE_TEST for {architecture}")


def _walk(node: CN, path: list[str], missing: Callable[[], CN] | None = None) -> CN | None:
    """The node at a path; None, or what ``missing`` makes, where there is none."""
    for name in path:
        if name not in node:
            if missing is None:
                return None
            node[name] = missing()
        node = node[name]
        if not isinstance(node, CN):
            return None
    return node


def _pop(node: CN, path: list[str]) -> Any:
    parent = _walk(node, path[:-1])
    return None if parent is None else parent.pop(path[-1], None)


def _put(node: CN, path: list[str], value: Any) -> None:
    """Set a value, or add a section to one that is there; what is there already wins."""
    parent = _walk(node, path[:-1], CN)
    if isinstance(value, CN) and path[-1] in parent:
        for name, item in value.items():
            parent[path[-1]].setdefault(name, item)
    else:
        parent.setdefault(path[-1], value)


def _drop_empty(node: CN, path: list[str]) -> None:
    section = _walk(node, path)
    if section is not None and not section:
        _pop(node, path)


def _warn(old: str, new: str) -> None:
    _logger.warning("%s is now %s; the old name is taken, please change it", old, new)
