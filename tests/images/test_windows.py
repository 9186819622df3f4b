"""Windows of images, against the whole image by ``read_image`` and against what was drawn."""

import json
import os
import sys
import tracemalloc

import numpy as np
import pytest
import tifffile
from PIL import Image

from dml_instance.errors import FileError
from dml_instance.images import (
    PLAIN,
    ImageWindows,
    ReadingRules,
    image_size,
    read_image,
    read_labels,
    tiff,
    windows,
)
from toy_images import DEEP, GREY, KINDS, RGB, SIDES, in_three, stored, stretched

zarr = pytest.importorskip("zarr", minversion="3", reason="zarr 3 wants Python 3.11")

RNG = np.random.default_rng(3)
# Rows and columns that no tile divides.
LARGE = RNG.integers(0, 256, (75, 110, 3), dtype=np.uint8)
DEEP_LARGE = RNG.integers(0, 5000, (75, 110)).astype(np.uint16)
# Of 2 times, 3 slices and 5 channels.
STACK = RNG.integers(0, 256, (2, 3, 5, 75, 110), dtype=np.uint8)


def put_together(path, rules=PLAIN, side=32):
    """The image out of its windows."""
    with ImageWindows(str(path), rules) as image:
        image.find_stretch()
        whole = np.zeros((*image.size, 3), np.uint8)
        for tile in image.tiles(side, overlap=5):
            whole[tile.pixels] = image.read(*tile.pixels)
    return whole


@pytest.mark.parametrize("name", [name for name in KINDS if ".tif" in name or ".png" in name])
def test_windows_make_up_what_is_read_at_once(tmp_path, name):
    write, _ = KINDS[name]
    path = tmp_path / name
    write(path)
    assert (put_together(path, side=13) == read_image(str(path))).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile": (16, 32)},
        {"rowsperstrip": 7},
        {"tile": (32, 32), "compression": "deflate", "predictor": True},
        {"tile": (32, 32), "compression": "lzw"},
        {"rowsperstrip": 8, "compression": "lzw", "byteorder": ">"},
        {"tile": (32, 32), "compression": "lzw", "planarconfig": "separate"},
        {"rowsperstrip": 7, "compression": "lzw", "planarconfig": "separate"},
        {"tile": (32, 32), "planarconfig": "separate"},
        {"planarconfig": "separate", "rowsperstrip": 7, "compression": "zlib"},
        {"tile": (16, 16), "compression": "jpeg"},
        {"bigtiff": True, "tile": (16, 16)},
    ],
)
def test_every_layout_of_a_tiff(tmp_path, options):
    path = tmp_path / "a.tif"
    planes = LARGE.transpose(2, 0, 1) if "planarconfig" in options else LARGE
    tifffile.imwrite(path, planes, photometric="rgb", **options)
    if options.get("compression") != "jpeg":
        assert (read_image(str(path)) == LARGE).all()
    assert (put_together(path) == read_image(str(path))).all()


@pytest.mark.parametrize("values_at_once", [2**24, 100])
def test_more_than_8_bits_are_stretched_as_the_whole_image(tmp_path, monkeypatch, values_at_once):
    monkeypatch.setattr("dml_instance.images.intensities._SAMPLE", values_at_once)
    path = tmp_path / "a.tif"
    values = DEEP_LARGE.astype(np.float32)
    values[3, 4], values[5, 6] = np.nan, np.inf
    tifffile.imwrite(path, values, tile=(16, 16))
    found, whole = put_together(path), read_image(str(path))
    assert (whole == in_three(stretched(values))).all()
    # Of 100 values the percentiles are other ones.
    assert (found == whole).all() == (values_at_once > values.size)
    assert np.abs(found.astype(int) - whole).max() < 16


def test_a_sample_covers_an_image_or_is_spread_over_it(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "_SIDE", 10)
    path = str(tmp_path / "a.tif")
    for size in ((75, 33), (300, 95), (9, 700)):
        tifffile.imwrite(path, np.zeros(size, np.uint8))
        with ImageWindows(path) as image:
            seen = np.zeros(size, int)
            for window in image.sample():
                seen[window] += 1
        assert seen.max() == 1 and seen[0, 0] == seen[-1, -1] == 1
        for axis, length in enumerate(size):
            lines = seen.any(axis=1 - axis)
            assert lines.all() if length <= 80 else 70 <= lines.sum() <= 80


def test_a_window_is_stretched_alone_where_nothing_is_known_of_the_rest(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, DEEP)
    with ImageWindows(str(path)) as image:
        window = image.read(slice(2, 9), slice(1, 12))
    assert (window == in_three(stretched(DEEP[2:9, 1:12]))).all()


@pytest.mark.parametrize("orientation", SIDES)
def test_an_orientation_is_obeyed(tmp_path, orientation):
    path = tmp_path / "a.tif"
    tag = (274, "H", 1, orientation, True)
    tifffile.imwrite(path, stored(LARGE, orientation), extratags=[tag], photometric="rgb")
    assert (put_together(path) == LARGE).all()


@pytest.mark.parametrize("kind", ["ome", "imagej", "truncated"])
def test_pages_and_channels_of_stacks(tmp_path, kind):
    path = tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif")
    options = {
        "ome": {"tile": (32, 32), "metadata": {"axes": "TZCYX"}},
        "imagej": {"imagej": True},
        "truncated": {"imagej": True, "truncate": True},
    }[kind]
    tifffile.imwrite(path, STACK, **options)
    rules = ReadingRules(page=4, channels=(3, 0))
    rgb = put_together(path, rules)
    assert (rgb == np.dstack([STACK[1, 1, 3], STACK[1, 1, 0], np.zeros_like(STACK[0, 0, 0])])).all()
    assert (rgb == read_image(str(path), rules)).all()


def test_what_is_too_large_is_read_in_windows_or_refused_with_the_cure(tmp_path):
    small = ReadingRules(max_pixels=100)
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", tile=(16, 16))
    assert (put_together(tmp_path / "a.tif", small, 8) == RGB).all()
    with pytest.raises(FileError, match="more than 100"):
        read_image(str(tmp_path / "a.tif"), small)
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with pytest.raises(FileError, match=r"a\.png is 20 x 30 .* save it as TIFF in tiles"):
        ImageWindows(str(tmp_path / "a.png"), small)


def test_one_strip_that_is_packed_is_no_window(tmp_path, monkeypatch):
    monkeypatch.setattr("dml_instance.images.tiff._LARGE_TILE", 500)
    path = str(tmp_path / "a.tif")
    tifffile.imwrite(path, GREY, compression="zlib", rowsperstrip=20)
    with pytest.raises(FileError, match="no part can be read"):
        ImageWindows(path, ReadingRules(max_pixels=100))
    tifffile.imwrite(path, GREY, compression="zlib", rowsperstrip=5)
    assert (put_together(path, ReadingRules(max_pixels=100), 8) == in_three(GREY)).all()


def test_a_file_that_is_cut_short_is_named(tmp_path):
    path = tmp_path / "a.tif"
    for options in ({}, {"compression": "zlib", "tile": (16, 16)}):
        tifffile.imwrite(path, LARGE, photometric="rgb", **options)
        os.truncate(path, path.stat().st_size - 400)
        with (
            pytest.raises(FileError, match=rf"cannot read {path}"),
            ImageWindows(str(path)) as image,
        ):
            image.read(slice(60, 75), slice(90, 110))


@pytest.mark.parametrize("planar", [{}, {"planarconfig": "separate"}])
def test_lzw_is_checked_where_it_is_decoded(tmp_path, monkeypatch, planar):
    """The last tile alone has codes that the decoder is never to see."""
    path = tmp_path / "a.tif"
    planes = LARGE.transpose(2, 0, 1) if planar else LARGE
    tifffile.imwrite(path, planes, photometric="rgb", compression="lzw", tile=(32, 32), **planar)
    with tifffile.TiffFile(path) as file:
        start, count = file.pages[0].dataoffsets[-1], file.pages[0].databytecounts[-1]
    last, looked = path.read_bytes()[start : start + count], []
    monkeypatch.setattr(tiff, "is_sound", lambda data, _: looked.append(data) or data != last)
    with ImageWindows(str(path)) as image:
        assert (image.read(slice(0, 40), slice(0, 30)) == LARGE[:40, :30]).all()
        assert len(looked) == (6 if planar else 2)
        with pytest.raises(FileError, match="LZW codes are broken"):
            image.read(slice(64, 75), slice(96, 110))


# Zarr


def write_ome(folder, pixels, axes, version, zarr_format):
    """An image of OME-Zarr in two sizes."""
    group = zarr.open_group(str(folder), mode="w", zarr_format=zarr_format)
    for name, level in (("full", pixels), ("half", pixels[..., ::2, ::2])):
        chunks = (*(1,) * (level.ndim - 2), 32, 48)
        group.create_array(name, shape=level.shape, chunks=chunks, dtype=level.dtype)[:] = level
    image = {"version": version, "datasets": [{"path": "full"}, {"path": "half"}]}
    if version == "0.3":
        image["axes"] = list(axes.lower())
    elif version > "0.3":
        image["axes"] = [{"name": axis, "type": "space"} for axis in axes.lower()]
    group.attrs.update(
        {"ome": {"version": version, "multiscales": [image]}}
        if version == "0.5"
        else {"multiscales": [image]}
    )


@pytest.mark.parametrize(
    ("version", "zarr_format"), [("0.1", 2), ("0.3", 2), ("0.4", 2), ("0.5", 3)]
)
def test_ome_zarr_of_all_versions(tmp_path, version, zarr_format):
    """The first one has five axes always: time, channel, slice, row and column."""
    path = tmp_path / "a.ome.zarr"
    if version < "0.3":
        write_ome(path, STACK.swapaxes(1, 2), "TCZYX", version, zarr_format)
    else:
        write_ome(path, STACK, "TZCYX", version, zarr_format)
    rules = ReadingRules(page=4, channels=(3, 0))
    expected = np.dstack([STACK[1, 1, 3], STACK[1, 1, 0], np.zeros_like(STACK[0, 0, 0])])
    assert (read_image(str(path), rules) == expected).all()
    assert (put_together(path, rules) == expected).all()
    assert image_size(str(path), rules) == (75, 110)
    with pytest.raises(FileError, match="6 images .* --page, 0 to 5"):
        read_image(str(path))
    if version < "0.3":
        return
    write_ome(tmp_path / "deep.zarr", DEEP_LARGE, "YX", version, zarr_format)
    expected = in_three(stretched(DEEP_LARGE))
    assert (put_together(tmp_path / "deep.zarr") == expected).all()
    assert (read_labels(str(tmp_path / "deep.zarr")) == DEEP_LARGE).all()


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("pixels", "shown"),
    [
        (GREY, in_three(GREY)),
        (RGB, RGB),
        (RGB.transpose(2, 0, 1), RGB),
        (GREY > 100, in_three(np.where(GREY > 100, 255, 0))),
    ],
)
def test_arrays_without_a_word_on_their_axes(tmp_path, zarr_format, pixels, shown):
    path = str(tmp_path / "a.zarr")
    zarr.save_array(path, pixels, zarr_format=zarr_format)
    assert (read_image(path) == shown).all()
    assert (put_together(path, side=7) == shown).all()


def test_a_huge_image_takes_the_memory_of_a_window(tmp_path):
    """60,000 x 60,000 pixels; parts that nobody wrote are black."""
    path = str(tmp_path / "a.zarr")
    array = zarr.create_array(path, shape=(60000, 60000), chunks=(512, 512), dtype="u1")
    array[50000:50100, 40000:40100] = 7
    with ImageWindows(path) as image:
        tracemalloc.start()
        window = image.read(slice(49990, 50200), slice(39990, 40200))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert window[..., 0].sum() == 7 * 100 * 100 and (window[10:110, 10:110] == 7).all()
    assert peak < 2**24


def refused(path, *parts):
    with pytest.raises(FileError) as caught:
        read_image(str(path))
    message = str(caught.value)
    assert "\n" not in message and all(part in message for part in (str(path), *parts)), message


def test_what_is_no_image_is_said(tmp_path):
    path = tmp_path / "a.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("inner", data=GREY)
    refused(path, "group of inner", "a.zarr/inner")
    group.attrs["plate"] = {"wells": []}
    refused(path, "plate", "one field")
    zarr.save_array(str(tmp_path / "complex.zarr"), GREY.astype(np.complex64))
    refused(tmp_path / "complex.zarr", "complex64")
    zarr.save_array(str(tmp_path / "line.zarr"), GREY[0])
    refused(tmp_path / "line.zarr", "axes")
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / "zarr.json").write_text("{")
    refused(tmp_path / "broken.zarr", "Mend or replace")


def test_no_code_in_a_folder_is_run_and_none_leads_out_of_it(tmp_path):
    path = tmp_path / "a.zarr"
    zarr.save_array(str(path), GREY, zarr_format=2)
    described = json.loads((path / ".zarray").read_text())
    for key in ("filters", "compressor"):
        packed = {**described, key: [{"id": "pickle"}] if key == "filters" else {"id": "pickle"}}
        (path / ".zarray").write_text(json.dumps(packed))
        refused(path, "packed by pickle")
    (path / ".zarray").write_text(json.dumps({**described, "dtype": "|O"}))
    refused(path)
    zarr.save_array(str(tmp_path / "b.zarr"), GREY, zarr_format=3)
    described = json.loads((tmp_path / "b.zarr" / "zarr.json").read_text())
    inner = {"name": "numcodecs.pickle", "configuration": {}}
    described["codecs"] = [{"name": "sharding_indexed", "configuration": {"codecs": [inner]}}]
    (tmp_path / "b.zarr" / "zarr.json").write_text(json.dumps(described))
    refused(tmp_path / "b.zarr", "packed by pickle")
    group = zarr.open_group(str(tmp_path / "c.zarr"), mode="w", zarr_format=2)
    group.attrs["multiscales"] = [{"axes": ["y", "x"], "datasets": [{"path": "../b.zarr"}]}]
    refused(tmp_path / "c.zarr", "outside of it")
    zarr.create_array(str(tmp_path / "d.zarr"), shape=(9, 9), chunks=(2**14, 2**14), dtype="u1")
    refused(tmp_path / "d.zarr", "larger than it")


def test_without_the_library_the_cure_is_said(tmp_path, monkeypatch):
    zarr.save_array(str(tmp_path / "a.zarr"), GREY)
    tifffile.imwrite(tmp_path / "a.tif", LARGE, tile=(16, 16), photometric="rgb")
    monkeypatch.setitem(sys.modules, "zarr", None)
    refused(tmp_path / "a.zarr", "pip install zarr")
    assert (read_image(str(tmp_path / "a.tif")) == LARGE).all()
    with (
        pytest.raises(FileError, match="pip install zarr"),
        ImageWindows(str(tmp_path / "a.tif"), ReadingRules(max_pixels=100)) as image,
    ):
        image.read(slice(0, 9), slice(0, 9))
