"""The one way from an image file to pixels, for training, prediction, pictures and conversion."""

import contextlib
import io
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import UnidentifiedImageError

from ..errors import FileError
from .intensities import to_eight_bit
from .pillow import PillowSource
from .rules import PLAIN, ReadingRules
from .source import ImageSource
from .tiff import TiffSource

# TIFF and BigTIFF, of either order of bytes.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# EXIF's orientations that exchange rows and columns.
_TURNED = (5, 6, 7, 8)
# All of them; whatever else a file says is none.
_ORIENTATIONS = range(1, 9)


def read_image(file: str, rules: ReadingRules = PLAIN) -> np.ndarray:
    """An image as all parts of this project see it: upright, in 8-bit red, green and blue.

    The format follows from the content. 8-bit images keep their values, others are stretched (see
    ``to_eight_bit``). Grey is repeated, palettes and inks become colours, opacity is dropped, and
    EXIF's orientation is obeyed. Memory is that of the stored pixels, twice where they are
    stretched, and of the result.

    Args:
        file: path, or, in a process that uses Detectron2, what its ``PathManager`` takes for one.
        rules: the page and the channels of a file that is no plain image, and the largest size.

    Returns:
        (H, W, 3) uint8, maybe read-only.

    Raises:
        FileError: for a file that is no image, is broken or cut short, is larger than the
            rules allow, or has several pages or other channels that they do not choose from; one
            line with its name and the cure.
    """
    with _opened(file, rules) as source:
        chosen = _chosen(file, source, rules)
        with _reading(file):
            parts = [source.colours(page, channels) for page, channels in chosen]
            pixels = parts[0] if len(parts) == 1 else np.dstack(parts)
            orientation = source.orientation()
    return to_eight_bit(_upright(pixels, orientation))


def read_labels(file: str, rules: ReadingRules = PLAIN) -> np.ndarray:
    """A label image: the numbers as they are stored, turned as its image is by ``read_image``.

    Whole numbers of any depth, of a palette those of its entries, and floats that are whole.

    Args:
        file: TIFF, PNG, BMP or GIF; JPEG and others do not keep numbers.
        rules: the page of a file with several; ``channels`` are not asked for.

    Returns:
        (H, W) int32, or int64 where the numbers do not fit. Negative numbers stay.

    Raises:
        FileError: as ``read_image``, and for several channels and other numbers.
    """
    with _opened(file, rules) as source:
        page = _page(file, source, rules)
        if source.number_channels != 1:
            raise FileError(
                f"{file} has {source.number_channels} channels ({source.layout}); a label image "
                "has one, a number for each object: export numbers, not colours"
            )
        with _reading(file):
            numbers = source.numbers(page)
            orientation = source.orientation()
    return _upright(_whole(file, numbers), orientation)


@dataclass(frozen=True)
class ImageHeader:
    """What the header of an image file says.

    Attributes:
        size: (H, W) of what ``read_image`` returns.
        orientation: EXIF's number of how stored pixels are turned and mirrored to get there.
    """

    size: tuple[int, int]
    orientation: int

    @property
    def hides_turn(self) -> bool:
        """Whether the picture is turned or mirrored, and is as high and wide as without it."""
        changes_size = self.orientation in _TURNED and self.size[0] != self.size[1]
        return self.orientation != 1 and not changes_size


def image_header(file: str, rules: ReadingRules = PLAIN) -> ImageHeader:
    """The header of an image file: 0.2 ms.

    Raises:
        FileError: as ``read_image``, as far as the header tells.
    """
    with _opened(file, rules) as source:
        _chosen(file, source, rules)
        with _reading(file):
            orientation = source.orientation()
    size = source.size[::-1] if orientation in _TURNED else source.size
    return ImageHeader(size, orientation if orientation in _ORIENTATIONS else 1)


def image_size(file: str, rules: ReadingRules = PLAIN) -> tuple[int, int]:
    """(H, W) of what ``read_image`` returns, from the header, see ``image_header``."""
    return image_header(file, rules).size


def is_plain(file: str, rules: ReadingRules = PLAIN) -> bool:
    """Whether any program sees a file as ``read_image`` does: grey or RGB of 8 bits in PNG or JPEG,
    upright as it is stored.

    Raises:
        FileError: as ``read_image``, as far as the header tells.
    """
    with _opened(file, rules) as source, _reading(file):
        return source.is_plain and source.orientation() == 1


class _Clipped(io.BufferedReader):
    """A file that is never asked for more than it has: Python takes memory for whatever length is
    asked for, and a broken header may claim any."""

    def __init__(self, file: io.BufferedReader):
        super().__init__(file)
        self._length = os.fstat(file.fileno()).st_size

    def read(self, size: int | None = -1) -> bytes:
        return super().read(-1 if size is None else min(size, self._length))


def _file(name: str) -> BinaryIO:
    """A file, opened."""
    # Not imported for this: it would bring torch. Where nobody has imported it, nobody has taught
    # it what else a name may mean.
    of_detectron2 = sys.modules.get("detectron2.utils.file_io")
    return of_detectron2.PathManager.open(name, "rb") if of_detectron2 else open(name, "rb")


@contextlib.contextmanager
def _opened(file: str, rules: ReadingRules) -> Iterator[ImageSource]:
    """The header of a file that is small enough."""
    with contextlib.ExitStack() as stack:
        with _reading(file):
            stream = _Clipped(stack.enter_context(_file(file)))
            is_tiff = stream.read(4) in _TIFF
            stream.seek(0)
            source = TiffSource(stream, rules.page or 0) if is_tiff else PillowSource(stream)
        height, width = source.size
        if not height * width:
            raise FileError(f"{file} has no pixels; replace this file, or leave it out")
        if height * width > rules.max_pixels:
            raise FileError(
                f"{file} is {height} x {width} pixels, more than {rules.max_pixels}: cut it into "
                "tiles, or raise --max-pixels of segment, look and prepare where there is "
                "memory for it"
            )
        yield source


@contextlib.contextmanager
def _reading(file: str) -> Iterator[None]:
    """Whatever goes wrong in reading a file becomes a FileError that names it."""
    try:
        yield
    except MemoryError:
        raise
    except FileError as error:
        raise FileError(f"cannot read {file}: {error}") from error
    except Exception as error:
        # Of a broken file Pillow raises OSError, SyntaxError, ValueError, struct.error and others.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if isinstance(error, UnidentifiedImageError):
            reason = "it is no image, or of a format that is not known"
        elif isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        elif isinstance(error, struct.error | TypeError | AttributeError | LookupError):
            # What Python says of these is about programs.
            reason = "it is broken, or cut short"
        raise FileError(
            f"cannot read {file}: {reason}. Mend or replace this file, or leave it out"
        ) from error


def _page(file: str, source: ImageSource, rules: ReadingRules, other_cure: str = "") -> int:
    """The page that is the image."""
    if source.pages == 1:
        return 0
    if rules.page is None:
        raise FileError(
            f"{file} holds {source.pages} images ({source.layout}): choose one by --page, 0 to "
            f"{source.pages - 1}, of segment, look and prepare{other_cure}, or save it as a "
            "file of its own"
        )
    if rules.page >= source.pages:
        raise FileError(f"{file} has no page {rules.page}: it holds {source.pages} images, from 0")
    return rules.page


def _chosen(
    file: str, source: ImageSource, rules: ReadingRules
) -> list[tuple[int, tuple[int, ...]]]:
    """Page and channels that are the image; several where pages are its channels."""
    wanted, may_be_channels = rules.channels, source.pages > 1 and source.channels == 1
    if wanted is not None and rules.page is None and may_be_channels:
        if max(wanted) >= source.pages:
            raise FileError(
                f"{file} has no page {max(wanted)} to be a channel: it holds {source.pages} "
                "images, from 0"
            )
        return [(page, (0,)) for page in wanted]
    other_cure = ", or --channels where they are channels" if may_be_channels else ""
    page = _page(file, source, rules, other_cure)
    if wanted is None:
        colours = source.channels - source.has_alpha
        if colours not in (1, 3):
            raise FileError(
                f"{file} has {colours} channels ({source.layout}): choose one to three by "
                f"--channels, 0 to {source.channels - 1}, of segment, look and prepare, or "
                "save it as grey or RGB"
            )
        wanted = tuple(range(colours))
    elif max(wanted) >= source.channels:
        raise FileError(
            f"{file} has no channel {max(wanted)}: it has {source.channels} ({source.layout}), "
            "from 0"
        )
    return [(page, wanted)]


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, ...) pixels turned and mirrored as EXIF's number says; a view."""
    if orientation in _TURNED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _whole(file: str, numbers: np.ndarray) -> np.ndarray:
    """int32, or int64 where that is needed."""
    if numbers.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            is_whole = np.isfinite(numbers) & (numbers == np.rint(numbers))
        if not is_whole.all():
            raise FileError(
                f"{file} holds {numbers[~is_whole][0]:.6g}, but a label image has a whole number "
                "for each object: export it as whole numbers, not divided by 255 or 65535"
            )
    low, high = int(numbers.min()), int(numbers.max())
    for kind in (np.int32, np.int64):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return numbers.astype(kind, copy=False)
    raise FileError(f"{file} holds {high}, more than any count of objects: number them anew")
