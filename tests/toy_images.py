"""Tiny image files of all kinds, and the pixels that they must give, worked out from what was drawn
and not from what a reader says."""

import struct
import sys
import zlib

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import Image

_RNG = np.random.default_rng(0)
GREY = _RNG.integers(0, 256, (20, 30), dtype=np.uint8)
OPACITY = _RNG.integers(0, 256, (20, 30), dtype=np.uint8)
RGB = _RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
PALETTE = _RNG.integers(0, 256, (256, 3), dtype=np.uint8)
# Of a camera of 12 bits.
DEEP = _RNG.integers(25, 4000, (20, 30)).astype(np.uint16)
DEEP_RGB = _RNG.integers(25, 4000, (20, 30, 3)).astype(np.uint16)
INKS = _RNG.integers(0, 256, (20, 30, 4), dtype=np.uint8)
# Grey in fields of 16 pixels, which JPEG keeps.
FIELDS = np.kron(_RNG.integers(0, 256, (2, 3)), np.ones((16, 16))).astype(np.uint8)

# EXIF's orientation to the sides of the picture where the first row and column of a file lie.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def stored(picture, orientation):
    """The pixels of a file with an EXIF orientation that shows a picture."""
    height, width = picture.shape[:2]
    first = {"top": 0, "left": 0, "bottom": height - 1, "right": width - 1}
    sides = SIDES[orientation]
    is_turned = sides[0] in ("left", "right")
    size = (width, height) if is_turned else (height, width)
    pixels = np.zeros((*size, *picture.shape[2:]), picture.dtype)
    for place in np.ndindex(size):
        seen = tuple(
            abs(first[side] - step) for side, step in zip(sides, place, strict=True)
        )  # steps away from a side
        pixels[place] = picture[seen[::-1] if is_turned else seen]
    return pixels


def exif(orientation):
    """EXIF data with an orientation."""
    tags = Image.Exif()
    tags[274] = orientation
    return tags


def stretched(values):
    """uint8: the 0.1st percentile of the finite values becomes 0, the 99.9th 255."""
    known = sorted(float(value) for value in values.flat if np.isfinite(value))
    low, high = (np.interp(q * (len(known) - 1), range(len(known)), known) for q in (0.001, 0.999))
    values = np.where(np.isfinite(values), values, low).astype(float)
    return np.rint((values - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)


def in_three(grey):
    """(H, W, 3) of (H, W)."""
    return np.stack([grey] * 3, axis=-1)


def of_inks(inks):
    """(H, W, 3) uint8 on white paper of cyan, magenta, yellow and black, 255 for full."""
    paper = 255 - inks.astype(float)
    return np.rint(paper[..., :3] * paper[..., 3:] / 255).astype(np.uint8)


def write_png(path, bits, colour_type, pixels, *, width=None, before=(), behind=()):
    """A PNG out of its chunks, which may be of a kind that no library writes.

    Args:
        pixels: (H, W) or (H, W, C), uint16 for 16 bits; ``packed`` below 8.
        width: where the bits do not fill the last byte of a row.
        before, behind: (type, content) of chunks before and behind the pixels.
    """
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    rows = [row.astype(f">u{row.itemsize}").tobytes() for row in pixels]
    size = (width or len(rows[0]) * 8 // bits // channels, len(rows))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", *size, bits, colour_type, 0, 0, 0)),
        *before,
        (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))),
        *behind,
        (b"IEND", b""),
    ]
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in chunks:
            file.write(struct.pack(">I", len(content)) + kind + content)
            file.write(struct.pack(">I", zlib.crc32(kind + content)))


def packed(values, bits):
    """The last bits of (H, W) uint8 as rows of a PNG of 1, 2 or 4 bits a pixel."""
    last = np.unpackbits(values[..., None], axis=2)[..., -bits:]
    return np.packbits(last.reshape(len(values), -1), axis=1)


def by_pillow(array, mode, **options):
    """How to write an array by Pillow, in a mode that it is converted to."""
    return lambda path: Image.fromarray(array).convert(mode).save(path, **options)


def by_opencv(pixels):
    """How to write (H, W, C) of red, green, blue by OpenCV, in as many bits."""
    order = [2, 1, 0, 3][: pixels.shape[2]]
    return lambda path: cv2.imwrite(str(path), pixels[..., order])


def of_chunks(*args, **chunks):
    return lambda path: write_png(path, *args, **chunks)


def by_tifffile(pixels, **options):
    return lambda path: tifffile.imwrite(path, pixels, **options)


def palette_png(path, **options):
    image = Image.fromarray(GREY, "P")
    image.putpalette(PALETTE.tobytes())
    image.save(path, **options)


_HOLES = np.where(GREY < 30, np.nan, np.where(GREY > 240, np.inf, DEEP)).astype(np.float32)
_COLOUR_MAP = {"photometric": "palette", "colormap": PALETTE.T.astype(np.uint16) * 257}
_ALPHA = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
_PLANES = {"photometric": "rgb", "planarconfig": "separate"}


def _untold_opacity(path):
    """Four channels of red, green, blue and one that no tag (338, "extra samples") explains."""
    by_tifffile(np.dstack([RGB, OPACITY]), **_ALPHA)(path)
    tag, other = (struct.pack("<HHI", code, 3, 1) for code in (338, 337))
    content = path.read_bytes()
    assert content.count(tag) == 1
    path.write_bytes(content.replace(tag, other))


# File name to how it is written and the (H, W, 3) uint8 that it shows. What JPEG, or its colour
# space, has seen is of FIELDS, and one step off at most.
KINDS = {
    "grey.png": (by_pillow(GREY, "L"), in_three(GREY)),
    "colour.png": (by_pillow(RGB, "RGB"), RGB),
    "opacity.png": (by_opencv(np.dstack([RGB, OPACITY])), RGB),
    "grey_opacity.png": (of_chunks(8, 4, np.dstack([GREY, OPACITY])), in_three(GREY)),
    "palette.png": (palette_png, PALETTE[GREY]),
    "palette_opacity.png": (
        lambda path: palette_png(path, transparency=OPACITY.tobytes()[:256]),
        PALETTE[GREY],
    ),
    "one_bit.png": (by_pillow(GREY > 99, "1"), in_three(np.where(GREY > 99, np.uint8(255), 0))),
    "two_bits.png": (of_chunks(2, 0, packed(GREY, 2), width=30), in_three(GREY % 4 * 85)),
    "deep.png": (of_chunks(16, 0, DEEP), in_three(stretched(DEEP))),
    "deep_colour.png": (by_opencv(DEEP_RGB), stretched(DEEP_RGB)),
    "deep_opacity.png": (by_opencv(np.dstack([DEEP_RGB, DEEP * 9])), stretched(DEEP_RGB)),
    "deep_grey_opacity.png": (
        of_chunks(16, 4, np.dstack([DEEP, DEEP * 9])),
        in_three(stretched(DEEP)),
    ),
    "deep_transparent.png": (
        of_chunks(16, 2, DEEP_RGB, before=[(b"tRNS", DEEP_RGB[0, 0].astype(">u2").tobytes())]),
        stretched(DEEP_RGB),
    ),
    "turned.png": (by_pillow(stored(RGB, 6), "RGB", exif=exif(6)), RGB),
    "turned_late.png": (
        of_chunks(8, 2, stored(RGB, 8), behind=[(b"eXIf", exif(8).tobytes()[6:])]),
        RGB,
    ),
    "deep_turned_late.png": (
        of_chunks(16, 2, stored(DEEP_RGB, 5), behind=[(b"eXIf", exif(5).tobytes()[6:])]),
        stretched(DEEP_RGB),
    ),
    "grey.jpg": (by_pillow(FIELDS, "L", quality=100), in_three(FIELDS)),
    "turned.jpg": (
        by_pillow(stored(in_three(FIELDS), 7), "RGB", quality=100, exif=exif(7)),
        in_three(FIELDS),
    ),
    "inks.jpg": (by_pillow(in_three(FIELDS), "CMYK", quality=100), in_three(FIELDS)),
    "grey.bmp": (by_pillow(GREY, "L"), in_three(GREY)),
    "colour.bmp": (by_pillow(RGB, "RGB"), RGB),
    "colour.webp": (by_pillow(RGB, "RGB", lossless=True), RGB),
    "palette.gif": (palette_png, PALETTE[GREY]),
    "deep.jp2": (
        lambda path: path.write_bytes(imagecodecs.jpeg2k_encode(DEEP_RGB, reversible=True)),
        stretched(DEEP_RGB),
    ),
    "a_tiff_by_content.png": (by_tifffile(RGB, photometric="rgb"), RGB),
    "grey.tif": (by_tifffile(GREY), in_three(GREY)),
    "colour.tif": (by_tifffile(RGB, photometric="rgb", compression="lzw", predictor=True), RGB),
    "opacity.tif": (by_tifffile(np.dstack([RGB, OPACITY]), **_ALPHA), RGB),
    "grey_opacity.tif": (by_pillow(np.dstack([GREY, OPACITY]), "LA"), in_three(GREY)),
    "opacity_untold.tif": (_untold_opacity, RGB),
    "palette.tif": (by_tifffile(GREY, **_COLOUR_MAP), PALETTE[GREY]),
    "palette_of_bytes.tif": (
        by_tifffile(GREY, photometric="palette", colormap=PALETTE.T.astype(np.uint16)),
        PALETTE[GREY],
    ),
    "inks.tif": (by_tifffile(INKS, photometric="separated"), of_inks(INKS)),
    "deep_inks.tif": (by_tifffile(INKS * np.uint16(256), photometric="separated"), of_inks(INKS)),
    "one_bit.tif": (by_pillow(GREY > 99, "1"), in_three(np.where(GREY > 99, np.uint8(255), 0))),
    "inverted.tif": (by_tifffile(255 - GREY, photometric="miniswhite"), in_three(GREY)),
    "inverted_deep.tif": (
        by_tifffile(9000 - DEEP, photometric="miniswhite"),
        in_three(stretched(DEEP)),
    ),
    "deep_lzw.tif": (
        by_tifffile(DEEP, compression="lzw", rowsperstrip=6),
        in_three(stretched(DEEP)),
    ),
    "lerc.tif": (by_tifffile(DEEP, compression="lerc"), in_three(stretched(DEEP))),
    "deep.tif": (by_tifffile(DEEP, tile=(16, 16), compression="zstd"), in_three(stretched(DEEP))),
    "deep_colour.tif": (by_tifffile(DEEP_RGB, photometric="rgb"), stretched(DEEP_RGB)),
    "planes.tif": (by_tifffile(np.moveaxis(DEEP_RGB, 2, 0), **_PLANES), stretched(DEEP_RGB)),
    "signed.tif": (by_tifffile(DEEP.astype(np.int16) - 3000), in_three(stretched(DEEP))),
    "long.tif": (
        by_tifffile(DEEP.astype(np.uint32) + 10**9, bigtiff=True),
        in_three(stretched(DEEP)),
    ),
    "half.tif": (
        by_tifffile(DEEP.astype(np.float16)),
        in_three(stretched(DEEP.astype(np.float16))),
    ),
    "float.tif": (
        by_tifffile((DEEP / np.float32(4)), compression="zlib", predictor=True, byteorder=">"),
        in_three(stretched(DEEP)),
    ),
    "double.tif": (by_tifffile(DEEP * 1e-12), in_three(stretched(DEEP))),
    "holes.tif": (by_tifffile(_HOLES), in_three(stretched(_HOLES))),
    "jpeg.tif": (by_pillow(in_three(FIELDS), "YCbCr", compression="jpeg"), in_three(FIELDS)),
    "jpeg_colours.tif": (by_pillow(in_three(FIELDS), "YCbCr"), in_three(FIELDS)),
    "turned.tif": (
        by_tifffile(stored(DEEP_RGB, 8), photometric="rgb", extratags=[(274, "H", 1, 8, True)]),
        stretched(DEEP_RGB),
    ),
    "one.ome.tif": (by_tifffile(DEEP, metadata={"axes": "YX"}), in_three(stretched(DEEP))),
    "channels.ome.tif": (
        by_tifffile(
            np.moveaxis(DEEP_RGB, 2, 0), metadata={"axes": "CYX"}, photometric="minisblack"
        ),
        stretched(DEEP_RGB),
    ),
    "imagej.tif": (by_tifffile(DEEP, imagej=True), in_three(stretched(DEEP))),
}
# The last tifffile and imagecodecs for Python 3.10 lack them.
if sys.version_info >= (3, 11):
    KINDS["fax.tif"] = (
        by_pillow(GREY > 99, "1", compression="group4"),
        in_three(np.where(GREY > 99, np.uint8(255), 0)),
    )
    KINDS["four_bits.tif"] = (
        by_tifffile(GREY >> 4, bitspersample=4),
        in_three((GREY >> 4) * 17),
    )
    KINDS["twelve_bits.tif"] = (by_tifffile(DEEP, bitspersample=12), in_three(stretched(DEEP)))
