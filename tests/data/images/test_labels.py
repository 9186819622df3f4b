"""Label images: their numbers, whatever holds them."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from dml_instance.data.images import ImageFileError, ReadingRules, image_size, read_labels
from toy_images import (
    GREY,
    OPACITY,
    RGB,
    SIDES,
    by_pillow,
    by_tifffile,
    exif,
    of_chunks,
    packed,
    palette_png,
    stored,
)

WIDE = GREY.astype(np.uint16) * 257
_COLOURS = {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}
# File name to how it is written and its numbers.
KINDS = {
    "grey.png": (by_pillow(GREY, "L"), GREY),
    "grey.bmp": (by_pillow(GREY, "L"), GREY),
    "opacity.png": (by_pillow(np.dstack([GREY, OPACITY]), "LA"), GREY),
    "one_bit.png": (of_chunks(1, 0, packed(GREY, 1), width=30), GREY % 2),
    "two_bits.png": (of_chunks(2, 0, packed(GREY, 2), width=30), GREY % 4),
    "four_bits.png": (of_chunks(4, 0, packed(GREY, 4), width=30), GREY % 16),
    "deep.png": (of_chunks(16, 0, WIDE), WIDE),
    "deep_opacity.png": (of_chunks(16, 4, np.dstack([WIDE, WIDE[::-1]])), WIDE),
    "palette.png": (palette_png, GREY),
    "palette_opacity.png": (lambda path: palette_png(path, transparency=bytes(256)), GREY),
    "palette_of_four.png": (
        of_chunks(2, 3, packed(GREY, 2), width=30, before=[(b"PLTE", bytes(range(12)))]),
        GREY % 4,
    ),
    "grey.gif": (by_pillow(GREY, "L"), GREY),
    "few.gif": (by_pillow(GREY // 64 * 64, "L"), GREY // 64 * 64),
    "mask.gif": (by_pillow(GREY > 99, "1"), (GREY > 99) * 255),
    "one_bit.tif": (by_pillow(GREY > 99, "1"), GREY > 99),
    "palette.tif": (by_tifffile(GREY, **_COLOURS), GREY),
    "inverted.tif": (by_tifffile(GREY, photometric="miniswhite"), GREY),
    "opacity.tif": (by_pillow(np.dstack([GREY, OPACITY]), "LA"), GREY),
    "deep.tif": (by_tifffile(WIDE, compression="lzw"), WIDE),
    "signed.tif": (by_tifffile(GREY.astype(np.int16) - 1), GREY.astype(int) - 1),
    "long.tif": (by_tifffile(WIDE * np.uint32(9)), WIDE.astype(int) * 9),
    "longer.tif": (by_tifffile(WIDE * np.uint32(65000)), WIDE.astype(int) * 65000),
    "longest.tif": (by_tifffile(WIDE.astype(np.uint64) << 40), WIDE.astype(int) << 40),
    "half.tif": (by_tifffile(GREY.astype(np.float16)), GREY),
    "float.tif": (by_tifffile(WIDE.astype(np.float32)), WIDE),
    "double.tif": (by_tifffile(WIDE * 1e6), WIDE.astype(int) * 10**6),
}


@pytest.mark.parametrize("name", KINDS)
def test_numbers_are_those_that_were_written(tmp_path, name):
    write, numbers = KINDS[name]
    write(tmp_path / name)
    labels = read_labels(str(tmp_path / name))
    assert labels.dtype == (np.int64 if numbers.max() > 2**31 - 1 else np.int32)
    assert (labels == numbers).all()


@pytest.mark.parametrize("orientation", SIDES)
def test_an_orientation_is_obeyed_as_by_the_image(tmp_path, orientation):
    path = str(tmp_path / "a.png")
    Image.fromarray(stored(GREY[:2, :3], orientation)).save(path, exif=exif(orientation))
    assert (read_labels(path) == GREY[:2, :3]).all()
    assert image_size(path) == (2, 3)


HOLES, ENDLESS = (np.where(GREY > 9, GREY, hole).astype(np.float32) for hole in (np.nan, np.inf))
REFUSED = {
    "divided.tif": (by_tifffile(GREY / np.float32(255)), "whole numbers, not divided by 255"),
    "holes.tif": (by_tifffile(HOLES), "holds nan, but a label image has a whole number"),
    "infinite.tif": (by_tifffile(ENDLESS), "holds inf, but"),
    "complex.tif": (by_tifffile(GREY.astype(np.complex64)), "complex64"),
    "endless.tif": (by_tifffile(GREY.astype(np.uint64) << 56), "number them anew"),
    "colour.png": (by_pillow(RGB, "RGB"), "has 3 channels .*export numbers"),
    "colour.tif": (by_tifffile(RGB, photometric="rgb"), "has 3 channels .*export numbers"),
    "opacity.png": (by_pillow(np.dstack([RGB, OPACITY]), "RGBA"), "has 3 channels"),
    "two.tif": (
        by_tifffile(np.dstack([GREY, GREY]), photometric="minisblack", planarconfig="contig"),
        "has 2 channels",
    ),
    "grey.jpg": (by_pillow(GREY, "L"), "JPEG .*PNG or TIFF"),
    "grey.webp": (by_pillow(GREY, "L", lossless=True), "has 3 channels"),
    "jpeg.tif": (by_pillow(GREY, "L", compression="jpeg"), "JPEG .*uncompressed"),
    "cut.tif": (lambda path: path.write_bytes(b"II*\0\x08"), "Mend or replace this file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_no_numbers_is_refused_with_the_cure(tmp_path, name):
    write, cure = REFUSED[name]
    write(tmp_path / name)
    with pytest.raises(ImageFileError, match=f"{name}.*{cure}"):
        read_labels(str(tmp_path / name))


def test_a_page_of_a_stack_is_chosen(tmp_path):
    path = str(tmp_path / "stack.tif")
    pages = np.stack([GREY * 0, GREY, WIDE // 257 + 1]).astype(np.uint16)
    tifffile.imwrite(path, pages, photometric="minisblack")
    with pytest.raises(ImageFileError, match="holds 3 images .*--page, 0 to 2"):
        read_labels(path)
    for number, page in enumerate(pages):
        assert (read_labels(path, ReadingRules(page=number, channels=(7,))) == page).all()


def palette_gif(path, numbers):
    """Numbers of a palette of colours, none of them grey but black, and maybe later frames."""
    colours = [(0, 0, 0), *((n, 255 - n, 9) for n in range(1, 256))]
    frames = []
    for of_frame in numbers:
        frames.append(Image.fromarray(of_frame).convert("P"))
        frames[-1].putdata(of_frame.ravel().tolist())
        frames[-1].putpalette([value for colour in colours for value in colour])
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return str(path)


def test_a_gif_in_colours_tells_its_objects_apart(tmp_path):
    """It may call them otherwise: each number has another one, and 0 stays."""
    numbers = np.zeros((9, 12), np.uint8)
    numbers[1:3, 1:4], numbers[4:7, 2:9], numbers[8:, :3] = 7, 200, 31
    found = read_labels(palette_gif(tmp_path / "a.gif", [numbers]))
    pairs = set(zip(found.ravel().tolist(), numbers.ravel().tolist(), strict=True))
    assert len(pairs) == 4 and (0, 0) in pairs
    assert len({here for here, _ in pairs}) == len({there for _, there in pairs}) == 4


def test_a_frame_of_a_gif_is_chosen(tmp_path):
    path = str(tmp_path / "a.gif")
    frames = [Image.fromarray(GREY // count) for count in (1, 2)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageFileError, match="holds 2 images .*--page, 0 to 1"):
        read_labels(path)
    for page, count in enumerate((1, 2)):
        assert (read_labels(path, ReadingRules(page=page)) == GREY // count).all()
    path = palette_gif(tmp_path / "b.gif", [GREY, GREY.T.reshape(GREY.shape)])
    assert read_labels(path, ReadingRules(page=0)).shape == GREY.shape
    with pytest.raises(ImageFileError, match="b.gif: later frames of a GIF keep no numbers"):
        read_labels(path, ReadingRules(page=1))
