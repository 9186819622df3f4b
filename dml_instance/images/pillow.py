"""PNG, JPEG, BMP, WebP, GIF and what else Pillow opens; pixels of more than 8 bits by imagecodecs.

Pillow decodes 8-bit files as Detectron2 does, tells the header without the pixels, the numbers of a
palette, and EXIF, which OpenCV does not. But it cuts 16-bit colours of PNG and JPEG 2000 down to 8
bits without a word. imagecodecs, which TIFF wants anyway, keeps them.
"""

import contextlib
import logging
import struct
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import ExifTags, Image

from ..errors import FileError
from .source import ImageSource, Window

_PNG = b"\x89PNG\r\n\x1a\n"
# PNG's colour type to channels.
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
# Where PNG may keep an orientation.
_PNG_METADATA = (b"eXIf", b"iTXt", b"zTXt", b"tEXt")

# The pictures of these are one picture in several sizes, or its layers.
_NO_STACKS = ("MPO", "PSD", "ICO", "ICNS")

# Formats whose numbers neither losses, nor who writes them, nor Pillow change.
_KEEP_NUMBERS = ("PNG", "BMP")

# Modes that are more, or less, than "RGB".
_MODES = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}

# What libpng notes of a file that it reads all the same, as tifffile does: see tiff.py.
logging.getLogger("imagecodecs").addHandler(logging.NullHandler())

_SETTINGS_OF_ALL = threading.Lock()


class PillowSource(ImageSource):
    """See ``ImageSource``. Pages are the frames of an animation."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        head = stream.read(26)
        with _neither_limit_nor_warnings():
            self._image = image = Image.open(stream)
        self._bits, colour_type = head[24:] if head.startswith(_PNG) else (8, None)
        self._mode = image.mode if image.mode[0] in "IF" else _MODES.get(image.mode, "RGB")
        is_palette = image.mode in ("P", "PA")
        if is_palette and "transparency" in image.info:
            self._mode = "RGBA"
        self.size = image.height, image.width
        self.layout = f"{image.format} {image.mode}, {image.height} x {image.width}"
        self.channels = Image.getmodebands(self._mode)
        self.pages = 1 if image.format in _NO_STACKS else getattr(image, "n_frames", 1)
        self._decode = None
        if image.format == "JPEG2000":
            self._decode = imagecodecs.jpeg2k_decode
        elif self._bits == 16:
            # Of an animation of 16 bits, the picture that is not animated.
            self._decode, self.pages = imagecodecs.png_decode, 1
            self.channels = _PNG_CHANNELS[colour_type]
        self.has_alpha = self.channels in (2, 4)
        is_common = image.format in ("PNG", "JPEG") and image.mode in ("L", "RGB")
        self.is_plain = is_common and self._bits == 8 and self.pages == 1
        self.number_channels = 1 if is_palette else self.channels - self.has_alpha

    def orientation(self) -> int:
        # Pillow's PNG decodes the pixels first: there may be more behind them.
        if self._image.format == "PNG" and _has_metadata_behind(self._stream):
            self._image.load()
        # Broken EXIF is none, as for Detectron2, whose issue 1885 has examples.
        with contextlib.suppress(Exception), _neither_limit_nor_warnings():
            return Image.Image.getexif(self._image).get(ExifTags.Base.Orientation, 1)
        return 1

    def colours(
        self, page: int, channels: Sequence[int], window: Window | None = None
    ) -> np.ndarray:
        pixels = self._stored(page, self._mode)
        pixels = pixels if window is None else pixels[window]
        if pixels.ndim == 2 or tuple(channels) == tuple(range(pixels.shape[2])):
            return pixels
        return pixels[..., list(channels)]

    def numbers(self, page: int) -> np.ndarray:
        if self._image.format == "GIF":
            return self._numbers_of_gif(page)
        if self._image.format not in _KEEP_NUMBERS:
            raise FileError(
                f"{self._image.format} may change the numbers of labels: save them as PNG or TIFF"
            )
        numbers = np.atleast_3d(self._stored(page, None))[..., 0]
        if self._image.mode == "L" and self._bits < 8:
            # Pillow makes shades from black to white of 2 and 4 bits.
            numbers = numbers // (255 // (2**self._bits - 1))
        return numbers

    def _numbers_of_gif(self, page: int) -> np.ndarray:
        """Its greys, as who writes greys into a GIF numbers the palette anew; where it has colours
        the entries of the palette, which still tell one object from another."""
        colours = self._stored(page, "RGB")
        if (colours == colours[..., :1]).all():
            return colours[..., 0]
        if page:  # laid over those before it, each with a palette of its own
            raise FileError("later frames of a GIF keep no numbers: save them as PNG or TIFF")
        return self._stored(page, None)

    def _stored(self, page: int, mode: str | None) -> np.ndarray:
        """(H, W) or (H, W, C) in a mode of Pillow's; None: in that of the file."""
        if self._decode:
            self._stream.seek(0)
            return self._decode(self._stream.read())
        if page:
            self._image.seek(page)
        is_so = mode in (None, self._image.mode)
        return np.asarray(self._image if is_so else self._image.convert(mode))


@contextlib.contextmanager
def _neither_limit_nor_warnings() -> Iterator[None]:
    """Pillow refuses large images as it opens them; ``ReadingRules`` say what is too large here.
    And it warns of each broken tag of EXIF. For other users of Pillow both stay as they are."""
    with _SETTINGS_OF_ALL, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _has_metadata_behind(stream: BinaryIO) -> bool:
    """Whether a PNG has chunks behind its pixels that may hold an orientation.

    Raises:
        EOFError: where it lacks its end, and they may have been there.
    """
    place, start, is_behind = stream.tell(), len(_PNG), False
    try:
        while True:
            stream.seek(start)
            head = stream.read(8)
            if len(head) < 8:
                raise EOFError("the file is cut short")
            if head.endswith(b"IEND"):
                return False
            length, kind = struct.unpack(">I4s", head)
            if is_behind and kind in _PNG_METADATA:
                return True
            is_behind |= kind == b"IDAT"
            start += 12 + length
    finally:
        stream.seek(place)
