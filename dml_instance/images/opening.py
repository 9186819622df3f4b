"""An image file, opened: which kind it is, whether it is small enough, what of it is the image, and
what is said of one that is broken."""

import contextlib
import io
import os
import struct
import sys
from collections.abc import Iterator
from typing import BinaryIO

from PIL import UnidentifiedImageError

from ..errors import FileError
from .pillow import PillowSource
from .rules import ReadingRules
from .source import ImageSource
from .tiff import TiffSource
from .zarr_folder import ZarrSource, is_zarr

# TIFF and BigTIFF, of either order of bytes.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


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
def opened(file: str, rules: ReadingRules, *, in_windows: bool = False) -> Iterator[ImageSource]:
    """The header of a file that is small enough, or, where only windows are to be read, of which
    they can be.

    Raises:
        FileError: for any other.
    """
    with contextlib.ExitStack() as stack:
        with reading(file):
            source = _source_of(file, rules, stack)
        height, width = source.size
        if not height * width:
            raise FileError(f"{file} has no pixels; replace this file, or leave it out")
        if in_windows and height * width > rules.max_pixels:
            _check_windows(file, source)
        elif height * width > rules.max_pixels:
            raise FileError(
                f"{file} is {height} x {width} pixels, more than {rules.max_pixels}: cut it into "
                "tiles, or raise --max-pixels of segment, look and prepare where there is "
                "memory for it"
            )
        yield source


def _source_of(file: str, rules: ReadingRules, stack: contextlib.ExitStack) -> ImageSource:
    """A file, open as long as the stack is."""
    if is_zarr(file):
        return ZarrSource(file)
    stream = _Clipped(stack.enter_context(_file(file)))
    is_tiff = stream.read(4) in _TIFF
    stream.seek(0)
    return TiffSource(stream, rules.page or 0) if is_tiff else PillowSource(stream)


def _check_windows(file: str, source: ImageSource) -> None:
    """FileError for an image that is too large to be read at once, and is not read in windows."""
    height, width = source.size
    if not source.reads_windows:
        raise FileError(
            f"{file} is {height} x {width} pixels, and of its format no part can be read without "
            "the rest: save it as TIFF in tiles, or as Zarr, or raise --max-pixels where there is "
            "memory for it"
        )


@contextlib.contextmanager
def reading(file: str) -> Iterator[None]:
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


def chosen_page(file: str, source: ImageSource, rules: ReadingRules, other_cure: str = "") -> int:
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


def chosen_parts(
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
    page = chosen_page(file, source, rules, other_cure)
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
