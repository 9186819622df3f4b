"""TIFF and what is built on it (BigTIFF, OME-TIFF, ImageJ's stacks, LSM, slides), by tifffile.

Pillow reads neither doubles nor half floats nor two channels, and cuts 16-bit colours down to 8
bits. OpenCV takes a stack for its first page, and is wrong on planes, opacity and inverted 16 bits.
tifffile with imagecodecs decodes all of them, and says what the axes are.
"""

import logging
import math
import os
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from imagecodecs import bitorder_decode
from PIL import Image
from tifffile import (
    COMPRESSION,
    FILLORDER,
    PHOTOMETRIC,
    FileHandle,
    TiffFile,
    TiffFrame,
    TiffPage,
    TiffPageSeries,
)

from ..errors import FileError
from .lzw import is_sound
from .source import ImageSource, Window
from .zarr_folder import zarr_library

# What tifffile notes of metadata that it cannot make out is no concern of who wants the pixels. A
# program that wants to see it sets up logging.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

# Scanners of slides add pictures of the label and of the whole slide.
_SLIDES = ("svs", "scn", "qpi", "ndpi", "bif", "philips")
_LOSSY = (COMPRESSION.JPEG, COMPRESSION.OJPEG, COMPRESSION.JPEG_LOSSY)
# On broken data of these imagecodecs 2026.3.6 may end the program.
_UNSAFE = (COMPRESSION.JPEGXR, COMPRESSION.JPEGXR_NDPI)
_PLAIN = (None, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB)
# Numbers of a tile of 4096 x 4096. A larger one than its image is not decoded.
_LARGE_TILE = 2**24
_ORIENTATION = 274
_PHOTOMETRIC = 262


class TiffSource(ImageSource):
    """See ``ImageSource``. The axes that are neither rows, columns nor channels make up the
    pages; all series of a file are counted, but no reduced copies and no masks."""

    def __init__(self, stream: BinaryIO, page: int):
        """
        Args:
            stream: of the file.
            page: of which the facts are wanted; where there is no such page, those of the first.
        """
        # A file of a set that its metadata describes as one image is read as the file it is.
        self._stream = stream
        self._tiff = TiffFile(stream, _multifile=False, is_ndtiff=False)
        _check_chain(self._tiff)
        series = self._tiff.series
        if series and series[0].kind in _SLIDES:
            series = series[:1]
        series = [s for s in series if not (s.keyframe.is_reduced or s.keyframe.is_mask)] or series
        # Page to series and its frames, one for each value of the axis "C".
        self._frames = [(s, frames) for s in series for frames in _frames_of(s)]
        self.pages = len(self._frames)
        of, frames = self._frames[page if page < self.pages else 0]
        lengths = " x ".join(map(str, of.shape))
        self.layout = f"{of.dtype}, {of.axes} {lengths}"
        self._keyframe = of.keyframe
        _check_header(self._tiff, self._keyframe)
        if self._keyframe.compression in _UNSAFE:
            raise FileError(
                "it is compressed by JPEG XR, whose decoder may end the program on a broken file: "
                "save it with another compression"
            )
        self.size = self._keyframe.imagelength, self._keyframe.imagewidth
        samples = self._keyframe.samplesperpixel
        self._photometric = self._keyframe.tags.valueof(_PHOTOMETRIC)
        extra = self._keyframe.extrasamples
        is_rgba = self._photometric == PHOTOMETRIC.RGB and samples == 4
        self.has_alpha = is_rgba or bool(extra and extra[-1])
        if self._photometric == PHOTOMETRIC.PALETTE:
            samples += 2
        elif self._photometric == PHOTOMETRIC.SEPARATED:
            samples -= 1
        self.channels = samples * len(frames)
        self.number_channels = self._keyframe.samplesperpixel * len(frames) - self.has_alpha
        part = math.prod(self._keyframe.chunks)
        self.reads_windows = _lies_plain(of) or part <= _LARGE_TILE
        self._planes: dict[tuple[int, int], Any] = {}

    def orientation(self) -> int:
        return self._keyframe.tags.valueof(_ORIENTATION, default=1)

    def colours(
        self, page: int, channels: Sequence[int], window: Window | None = None
    ) -> np.ndarray:
        series, frames = self._frames[page]
        if self.channels == len(frames):
            return np.dstack([self._shown(series, frames[channel], window) for channel in channels])
        every = np.concatenate([self._shown(series, frame, window) for frame in frames], axis=2)
        return every[..., list(channels)]

    def numbers(self, page: int) -> np.ndarray:
        if self._keyframe.compression in _LOSSY:
            raise FileError("JPEG changes the numbers of labels: save them uncompressed")
        series, (frame,) = self._frames[page]
        return np.atleast_3d(self._stored(series, frame))[..., 0]

    def _stored(
        self, series: TiffPageSeries, frame: int, window: Window | None = None
    ) -> np.ndarray:
        """(H, W) or (H, W, S), the pixels of one TIFF page as they are."""
        keyframe = series.keyframe
        if series.dtype.kind not in "buif":
            raise FileError(f"it holds {series.dtype} numbers: save their size")
        if window is not None:
            every = (slice(None), *window) if keyframe.axes == "SYX" else window
            plane = self._plane(series, frame)
            if keyframe.compression == COMPRESSION.LZW:
                _check_lzw(series[frame], self._tiff.filehandle, _parts_of(keyframe, window))
            pixels = np.asarray(plane[every])
        elif series.is_truncated:
            # ImageJ's stacks beyond 4 GB: one header, and the planes behind one another.
            pixels = self._tiff.filehandle.read_array(
                self._tiff.byteorder + series.dtype.char,
                keyframe.size,
                series.dataoffset + frame * keyframe.nbytes,
            ).reshape(keyframe.shape)
        else:
            _check_whole(series[frame], self._tiff.filehandle.size)
            _check_lzw(series[frame], self._tiff.filehandle)
            try:
                pixels = series.asarray(key=frame)
            except MemoryError:
                _check_memory(keyframe)
                raise ValueError("its data claim to be larger than its image") from None
        return np.moveaxis(pixels, 0, -1) if keyframe.axes == "SYX" else pixels

    def _plane(self, series: TiffPageSeries, frame: int) -> Any:
        """One TIFF page, an array of which that is read which is taken. It is kept, as a slide has
        tens of thousands of tiles to be looked at."""
        key = id(series), frame
        if key not in self._planes:
            keyframe = series.keyframe
            if _lies_plain(series):
                start = (
                    series.dataoffset + frame * keyframe.nbytes
                    if series.is_truncated
                    else series[frame].dataoffsets[0]
                )
                kind = self._tiff.byteorder + series.dtype.char
                plane = np.memmap(self._stream, kind, "r", start, keyframe.shape)
            else:
                page = series[frame]
                _check_whole(page, self._tiff.filehandle.size)
                plane = zarr_library().open(page.aszarr(), mode="r")
            self._planes[key] = plane
        return self._planes[key]

    def _shown(
        self, series: TiffPageSeries, frame: int, window: Window | None = None
    ) -> np.ndarray:
        """(H, W) or (H, W, S), the pixels of one TIFF page as colours or greys."""
        keyframe, pixels = series.keyframe, self._stored(series, frame, window)
        bits = 1 if pixels.dtype == bool else keyframe.bitspersample
        if self._photometric == PHOTOMETRIC.PALETTE:
            return _palette(keyframe)[pixels]
        if bits < 8:
            pixels = (pixels.astype(np.uint16) * 255 // (2**bits - 1)).astype(np.uint8)
        if self._photometric in _PLAIN:
            return pixels
        if self._photometric == PHOTOMETRIC.MINISWHITE:
            return -pixels if pixels.dtype.kind == "f" else ~pixels
        if self._photometric == PHOTOMETRIC.SEPARATED and pixels.shape[2:] >= (4,):
            return _by_pillow(pixels[..., :4], "CMYK")
        if self._photometric == PHOTOMETRIC.YCBCR and pixels.shape[2:] == (3,):
            # tifffile makes red, green and blue of JPEG's pixels, and of no others.
            return pixels if keyframe.compression in _LOSSY else _by_pillow(pixels, "YCbCr")
        raise FileError(f"its colours are {self._photometric!r}: save it as grey or RGB")


def _lies_plain(series: TiffPageSeries) -> bool:
    """Whether the pixels of its pages lie in the file as they are, row by row."""
    return series.is_truncated or series.keyframe.is_contiguous


def _frames_of(series: TiffPageSeries) -> np.ndarray:
    """(pages, channels) numbers of the TIFF pages of a series; channels are the axis "C"."""
    own, every, lengths = len(series.keyframe.shape), series.axes, series.shape
    if series.keyframe.axes == "YX" and every[-1] not in "YX" and lengths[-1] == 1:
        # One value a pixel, as arrays of shape (H, W, 1) are written.
        every, lengths = every[:-1], lengths[:-1]
    axes, shape = every[: len(every) - own], lengths[: len(every) - own]
    if every[len(axes) :] not in ("YX", "YXS", "SYX"):
        raise FileError(f"its axes are {series.axes}; save its planes one by one")
    frames = np.arange(int(np.prod(shape, dtype=int))).reshape(shape)
    if "C" not in axes:
        return frames.reshape(-1, 1)
    return np.moveaxis(frames, axes.index("C"), -1).reshape(-1, shape[axes.index("C")])


def _check_chain(tiff: TiffFile) -> None:
    """Raise EOFError where pages lie behind the end of the file, which tifffile goes on without,
    and ValueError where they come round in a circle, which it would follow for ever."""
    if tiff.tiff.is_ndpi:
        return
    handle, layout = tiff.filehandle, tiff.tiff
    offset, seen = tiff.pages.first.offset, set()
    while offset:
        if offset in seen:
            raise ValueError("its pages follow one another in a circle")
        if offset >= handle.size:
            raise EOFError("the file is cut short")
        seen.add(offset)
        handle.seek(offset)
        (tags,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
        handle.seek(tags * layout.tagsize, os.SEEK_CUR)
        (offset,) = struct.unpack(layout.offsetformat, handle.read(layout.offsetsize))


def _check_header(tiff: TiffFile, page: TiffPage) -> None:
    """Raise EOFError where tags of a page lie behind the end of the file: tifffile goes on without
    them."""
    if tiff.tiff.is_ndpi:
        return
    handle, layout = tiff.filehandle, tiff.tiff
    handle.seek(page.offset)
    (tags,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
    if tags != len(page.tags):
        raise EOFError("the file is cut short")


def _check_whole(page: TiffPage | None, file_size: int) -> None:
    """Raise EOFError where a part is missing, which tifffile fills with zeros, and ValueError where
    a tile would take more memory than its image accounts for."""
    if page is None:
        raise EOFError("this page is described, but not there")
    numbers = math.prod(page.keyframe.chunks)
    if numbers > max(_LARGE_TILE, 4 * page.keyframe.size):
        raise ValueError(f"its tiles are larger than it: {page.keyframe.chunks}")
    if not page.keyframe.is_contiguous:
        ends = [
            offset + count
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
        ]
        # A planar configuration that is none has tifffile count the parts of one plane for three.
        is_short = len(ends) < math.prod(page.keyframe.chunked)
        if is_short or len(ends) * numbers < page.keyframe.size or max(ends) > file_size:
            raise EOFError("the file is cut short")


def _check_memory(keyframe: TiffPage) -> None:
    """Raise MemoryError where there is too little for decoding a page. Some codecs take as much as
    broken data ask for."""
    numbers = max(math.prod(keyframe.chunks), keyframe.size)
    np.empty(4 * numbers, keyframe.dtype)


def _parts_of(keyframe: TiffPage, window: Window) -> list[int]:
    """The strips or tiles of a page that have pixels of a window."""
    numbers = np.arange(math.prod(keyframe.chunked)).reshape(keyframe.chunked)
    for axis, part, size in zip("YX", window, keyframe.chunks, strict=False):
        place = keyframe.axes.index(axis)
        numbers = numbers.take(range(part.start // size, -(-part.stop // size)), axis=place)
    return numbers.ravel().tolist()


def _check_lzw(
    page: TiffPage | TiffFrame, handle: FileHandle, parts: Sequence[int] | None = None
) -> None:
    """Raise ValueError for strips or tiles of LZW on which the decoder may end the program.

    Args:
        page: of any compression.
        handle: of its file.
        parts: those to look at; None: all.
    """
    keyframe = page.keyframe
    if keyframe.compression != COMPRESSION.LZW:
        return
    size = math.prod(keyframe.chunks)
    parts = range(math.prod(keyframe.chunked)) if parts is None else parts
    places = (
        [values[part] for part in parts] for values in (page.dataoffsets, page.databytecounts)
    )
    for data, _ in handle.read_segments(*places):
        if data is not None and keyframe.fillorder == FILLORDER.LSB2MSB:
            data = bitorder_decode(data)
        if data is not None and not is_sound(data, size * keyframe.dtype.itemsize):
            raise ValueError("its LZW codes are broken")


def _palette(keyframe: TiffPage) -> np.ndarray:
    """(2 ** bits, 3) uint8 colours."""
    colours = keyframe.colormap
    if colours is None:
        raise ValueError("it has no palette")
    # Some programs write 8 bits where the standard wants 16.
    return (colours if colours.max() < 256 else colours >> 8).astype(np.uint8).T


def _by_pillow(pixels: np.ndarray, mode: str) -> np.ndarray:
    """(H, W, 3) uint8 colours of 8-bit or 16-bit pixels of a colour space of Pillow's."""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise FileError(f"it holds {mode} as {pixels.dtype}; save it as RGB")
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels), mode).convert("RGB"))
