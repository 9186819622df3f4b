"""The rules of an exported model: ``rules.json``, which lies beside its ``network.onnx``.

Whatever the graph does not hold stands there: how an image becomes the network's input, how large
images are cut into tiles, and how maps become instances. ``docs/export.md`` explains the file.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np

from ..files import write_json
from ..grouping import GroupingRules, GroupingSettings

RULES_FILE = "rules.json"
NETWORK_FILE = "network.onnx"

# Of the file, and of what the graph takes and gives. Another one is refused.
FORMAT_VERSION = 1

# Names in the graph: of the inputs, and of the outputs.
IMAGE, ORIGIN = "image", "origin"
OUTPUTS = ("embedding", "distance_scale", "class_probability")

CHANNEL_ORDERS = ("RGB", "BGR")
NORMALIZATIONS = ("dataset", "image")

_Rules = TypeVar("_Rules")


@dataclass(frozen=True)
class ImageRules:
    """How an image becomes the input of the network.

    Attributes:
        channel_order: of the network's input: "RGB" or "BGR".
        short_side, long_side: the image is resized, in 8 bits, so that its shorter side has so many
            pixels, or, where the longer one would have more than ``long_side``, that one so many.
            ``short_side`` 0: it stays as it is.
        magnification: and then by this factor, in 8 bits as well, > 0.
        scale: and then by this one, as floats, > 0.
        normalization: "dataset": minus ``pixel_mean``, over ``pixel_std``; "image": minus the
            image's own mean and over its own standard deviation, at least 1, in each channel.
        pixel_mean, pixel_std: one number a channel, in ``channel_order``.

    Raises:
        ValueError: for a value out of its range, by its name.
    """

    channel_order: str
    short_side: int
    long_side: int
    magnification: float
    scale: float
    normalization: str
    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]

    def __post_init__(self):
        _one_of(self, "channel_order", CHANNEL_ORDERS)
        _one_of(self, "normalization", NORMALIZATIONS)
        _check(self, "short_side", "at least 0", self.short_side >= 0)
        _check(self, "long_side", "at least 1", self.long_side >= 1)
        for name in ("magnification", "scale"):
            _check(self, name, "positive", getattr(self, name) > 0)
        for name in ("pixel_mean", "pixel_std"):
            _check(self, name, "three numbers", len(getattr(self, name)) == 3)
        _check(self, "pixel_std", "positive", min(self.pixel_std) > 0)


@dataclass(frozen=True)
class NetworkRules:
    """What the graph takes and gives.

    Attributes:
        sha256: of ``network.onnx``.
        opset: of ONNX.
        stride: pixels of the network's input a cell of its maps.
        size_divisibility: height and width of its input are multiples of it; what the image lacks
            is 0, on the right and below.
        tile_size: in pixels; larger inputs are seen in tiles. 0: all at once.
        tile_overlap: pixels that two neighbouring tiles share at least.

    Raises:
        ValueError: for a value out of its range, by its name.
    """

    sha256: str
    opset: int
    stride: int
    size_divisibility: int
    tile_size: int
    tile_overlap: int

    def __post_init__(self):
        _check(self, "stride", "at least 1", self.stride >= 1)
        units = self.size_divisibility >= 1 and self.size_divisibility % self.stride == 0
        _check(self, "size_divisibility", f"a multiple of stride {self.stride}", units)
        _check(self, "tile_size", "at least 0", self.tile_size >= 0)
        fits = not self.tile_size or 0 <= self.tile_overlap < self.tile_size
        _check(self, "tile_overlap", f"at least 0 and less than {self.tile_size}", fits)


@dataclass(frozen=True)
class ClassRules:
    """The K classes, by index.

    Attributes:
        names: (K,).
        category_ids: (K,), what COCO files call them.

    Raises:
        ValueError: where there are not as many of both.
    """

    names: tuple[str, ...]
    category_ids: tuple[int, ...]

    def __post_init__(self):
        same = len(self.names) == len(self.category_ids)
        _check(self, "category_ids", f"of {len(self.names)} classes", same)


@dataclass(frozen=True)
class ModelRules:
    """All that ``rules.json`` says.

    Attributes:
        image: how an image becomes the network's input.
        network: what the graph takes and gives.
        grouping: how maps become instances; least score and limits among it.
        classes: what they are called.
        made_by: versions of the programs that exported the model, by their names.

    Raises:
        ValueError: where ``grouping.in_pieces`` is of another number of classes.
    """

    image: ImageRules
    network: NetworkRules
    grouping: GroupingSettings
    classes: ClassRules
    made_by: dict[str, str]

    def __post_init__(self):
        in_pieces, count = self.grouping.in_pieces, len(self.classes.names)
        if in_pieces is not None and len(in_pieces) != count:
            raise ValueError(f"grouping.in_pieces is of {count} classes, got {len(in_pieces)}")


def write_rules(folder: str, rules: ModelRules) -> None:
    """Write ``rules.json`` into a folder."""
    grouping = vars(rules.grouping)
    in_pieces = rules.grouping.in_pieces
    content = {
        "format": "dml_instance exported model",
        "format_version": FORMAT_VERSION,
        "made_by": rules.made_by,
        "image": asdict(rules.image),
        "network": asdict(rules.network),
        "grouping": {
            **grouping,
            "rules": asdict(rules.grouping.rules),
            "in_pieces": None if in_pieces is None else in_pieces.tolist(),
        },
        "classes": asdict(rules.classes),
    }
    write_json(os.path.join(folder, RULES_FILE), content)


def read_rules(folder: str) -> ModelRules:
    """The rules of an exported model.

    Raises:
        FileNotFoundError: where one of the two files is missing.
        ValueError: for rules of another version, without a value or with one too many, with a value
            out of its range, or of another network than that beside them; one line with the file
            and the cure.
    """
    path, network = (os.path.join(folder, name) for name in (RULES_FILE, NETWORK_FILE))
    for file in (path, network):
        if not os.path.isfile(file):
            raise FileNotFoundError(
                f"{file} is missing: an exported model is a folder with {NETWORK_FILE} and "
                f"{RULES_FILE}, which dml export writes"
            )
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        rules = _model_rules(content)
    except (ValueError, TypeError, KeyError) as error:
        reason = f"no {error} is in it" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path}: {reason}; export the model again") from error
    if sha256_of(network) != rules.network.sha256:
        raise ValueError(
            f"{network} is not the network that {path} was written for: damaged, or of another "
            "export; take both files of one, or export the model again"
        )
    return rules


def sha256_of(path: str) -> str:
    """Checksum of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _model_rules(content: Any) -> ModelRules:
    version = content["format_version"]
    if version != FORMAT_VERSION:
        raise ValueError(
            f"is of format {version}, and this version of dml_instance reads {FORMAT_VERSION}"
        )
    grouping = dict(content["grouping"])
    grouping["rules"] = _from_json(GroupingRules, "grouping.rules", grouping["rules"])
    settings = _from_json(GroupingSettings, "grouping", grouping)
    if settings.in_pieces is not None:
        settings = replace(settings, in_pieces=np.array(settings.in_pieces, dtype=bool))
    return ModelRules(
        _from_json(ImageRules, "image", content["image"]),
        _from_json(NetworkRules, "network", content["network"]),
        settings,
        _from_json(ClassRules, "classes", content["classes"]),
        content["made_by"],
    )


def _from_json(kind: type[_Rules], section: str, values: dict[str, Any]) -> _Rules:
    """A dataclass with the values of a section; lists become tuples."""
    names = {field.name for field in fields(kind)}
    if set(values) != names:
        odd = ", ".join(sorted(set(values) ^ names))
        raise ValueError(f"{section} has {sorted(values)}, but should have {sorted(names)}: {odd}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def _check(rules: object, name: str, expected: str, is_so: bool) -> None:
    if not is_so:
        raise ValueError(f"{name} is {expected}, got {getattr(rules, name)!r}")


def _one_of(rules: object, name: str, choices: tuple[str, ...]) -> None:
    _check(rules, name, f"one of {choices}", getattr(rules, name) in choices)
