"""Zarr: a folder whose files are the parts of an array; OME-Zarr, which says what its axes are."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import FileError
from .source import ImageSource, Window

# In the folder of an array or a group, of either version of the format.
_ARRAY_FILES = (".zarray", "zarr.json")
_MARKS = (*_ARRAY_FILES, ".zgroup")
# What decodes parts without running anything that they hold; "pickle" among others does.
_SAFE_CODECS = frozenset(
    {
        *("bytes", "transpose", "sharding_indexed", "crc32c", "crc32", "adler32", "fletcher32"),
        *("blosc", "zstd", "gzip", "zlib", "lz4", "bz2", "lzma", "snappy"),
        *("delta", "shuffle", "bitround", "fixedscaleoffset", "quantize", "packbits", "astype"),
    }
)
# Numbers of a part of 4096 x 4096.
_LARGE_PART = 2**24
# Of the axes of images without a word on them, by their number.
_AXES = ("YX", "CYX", "ZCYX", "TCZYX")
_MOST_CHANNELS_LAST = 4


def is_zarr(path: str) -> bool:
    """Whether a folder is an array or a group of Zarr's."""
    return any(os.path.isfile(os.path.join(path, mark)) for mark in _MARKS)


def zarr_library() -> ModuleType:
    """The library, which only images in windows want.

    Raises:
        FileError: where it is not installed.
    """
    try:
        import zarr
    except ModuleNotFoundError:
        raise FileError(
            "this takes zarr: pip install zarr (Python 3.11 or newer), or give the image as a TIFF "
            "of at most --max-pixels"
        ) from None
    return zarr


class ZarrSource(ImageSource):
    """See ``ImageSource``. Of an image in several sizes the largest one; axes that are neither
    rows, columns nor channels make up the pages."""

    reads_windows = True

    def __init__(self, folder: str):
        """
        Args:
            folder: of an array, or of an image of OME-Zarr.

        Raises:
            FileError: for a group that is no image, and for arrays that are not read.
        """
        place, axes = _image_in(folder)
        _check_codecs(_described(place))
        array = zarr_library().open(place, mode="r")
        if array.dtype.kind not in "buif":
            raise FileError(f"it holds {array.dtype} numbers")
        if math.prod(array.chunks) > max(_LARGE_PART, 4 * array.size):
            raise ValueError(f"its parts are larger than it: {array.chunks}")
        self._axes = axes or _guessed_axes(array.shape)
        if len(self._axes) != array.ndim or not {"Y", "X"}.issubset(self._axes):
            raise FileError(f"its axes are {self._axes or 'unknown'}, of lengths {array.shape}")
        lengths = dict(zip(self._axes, array.shape, strict=True))
        self._array = array
        self.size = lengths["Y"], lengths["X"]
        self.channels = self.number_channels = lengths.get("C", 1)
        self.has_alpha = False
        self._page_axes = [axis for axis in self._axes if axis not in "YXC"]
        self._page_shape = tuple(lengths[axis] for axis in self._page_axes)
        self.pages = math.prod(self._page_shape)
        self.layout = f"{array.dtype}, {self._axes} {' x '.join(map(str, array.shape))}"

    def orientation(self) -> int:
        return 1

    def colours(
        self, page: int, channels: Sequence[int], window: Window | None = None
    ) -> np.ndarray:
        planes = [self._plane(page, channel, window) for channel in channels]
        planes = [p.astype(np.uint8) * 255 if p.dtype == bool else p for p in planes]
        return np.dstack(planes)

    def numbers(self, page: int) -> np.ndarray:
        return self._plane(page, 0, None)

    def _plane(self, page: int, channel: int, window: Window | None) -> np.ndarray:
        """(h, w), as they are stored."""
        rows, columns = window or (slice(None), slice(None))
        places = np.unravel_index(page, self._page_shape) if self._page_shape else ()
        index = {"Y": rows, "X": columns, "C": channel}
        index.update((a, int(p)) for a, p in zip(self._page_axes, places, strict=True))
        plane = np.asarray(self._array[tuple(index[axis] for axis in self._axes)])
        is_turned = self._axes.index("X") < self._axes.index("Y")
        return plane.T if is_turned else plane


def _image_in(folder: str) -> tuple[str, str]:
    """The folder of the array that is the image, and its axes where they are said."""
    if any(os.path.isfile(os.path.join(folder, name)) for name in _ARRAY_FILES):
        described = _described(folder)
        if described.get("node_type", "array") == "array":
            return folder, ""
    attributes = _attributes(folder)
    attributes = attributes.get("ome", attributes)
    if "plate" in attributes or "well" in attributes:
        raise FileError("it is a plate, or a well of one: give one field, as PLATE.zarr/A/1/0")
    images = attributes.get("multiscales")
    if not images:
        inner = [n for n in sorted(os.listdir(folder)) if is_zarr(os.path.join(folder, n))]
        raise FileError(
            f"it is no image, but a group of {', '.join(inner[:5]) or 'nothing'}: give one, as "
            f"{os.path.join(folder, inner[0] if inner else '0')}"
        )
    path = str(images[0]["datasets"][0]["path"])
    place = os.path.normpath(os.path.join(folder, path))
    if os.path.commonpath([os.path.abspath(folder), os.path.abspath(place)]) != os.path.abspath(
        folder
    ):
        raise FileError(f"its array lies outside of it: {path}")
    # Up to version 0.2 there were always five.
    axes = images[0].get("axes") or _AXES[-1]
    names = [axis["name"] if isinstance(axis, Mapping) else axis for axis in axes]
    return place, "".join(str(name)[0].upper() for name in names)


def _guessed_axes(shape: Sequence[int]) -> str:
    """Those of an array without a word on them: colours last, where there are four or fewer; else
    pages first."""
    if len(shape) == 3 and shape[2] <= _MOST_CHANNELS_LAST < shape[0]:
        return "YXC"
    return _AXES[len(shape) - 2] if 2 <= len(shape) <= len(_AXES) + 1 else ""


def _described(folder: str) -> dict[str, Any]:
    """What the file of an array, or of a group of version 3, says."""
    for name in _ARRAY_FILES:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return _json(path)
    raise FileError(f"there is no array in {folder}")


def _attributes(folder: str) -> dict[str, Any]:
    path = os.path.join(folder, ".zattrs")
    if os.path.isfile(path):
        return _json(path)
    path = os.path.join(folder, "zarr.json")
    return _json(path).get("attributes", {}) if os.path.isfile(path) else {}


def _json(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    if not isinstance(content, dict):
        raise ValueError(f"{os.path.basename(path)} holds no object")
    return content


def _check_codecs(described: Mapping[str, Any]) -> None:
    """FileError for codecs that may do more than decode."""
    unknown = sorted(set(_codecs(described)) - _SAFE_CODECS)
    if unknown:
        raise FileError(f"it is packed by {', '.join(unknown)}, which is not opened: pack it anew")


def _codecs(described: Mapping[str, Any]) -> Iterator[str]:
    """The names of all codecs of an array, those of parts of parts, too."""
    packed = [described.get("compressor"), *(described.get("filters") or ())]
    for name in ("codecs", "index_codecs"):
        packed += described.get(name) or ()
    for codec in filter(None, packed):
        if isinstance(codec, str):
            yield codec
            continue
        name = str(codec.get("id") or codec.get("name"))
        yield name.removeprefix("numcodecs.")
        yield from _codecs(codec.get("configuration") or {})
