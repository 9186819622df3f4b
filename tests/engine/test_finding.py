"""A trained model on image files, whole and in regions."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from dml_instance.engine import Finder, find_model, found_here, load_model
from dml_instance.errors import FileError
from dml_instance.images import ReadingRules
from toy_scenes import crowd_of_cells

zarr = pytest.importorskip("zarr", minversion="3", reason="zarr 3 wants Python 3.11")

# A side of a region is at least four times that.
OPTIONS = ("MODEL.DML.TILES.OVERLAP", "96", "MODEL.DEVICE", "cpu")
SIZE = (608, 704)


@pytest.fixture(scope="module")
def nuclei():
    cfg, weights = find_model("nuclei", OPTIONS)
    return load_model(cfg, weights), cfg


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One image as PNG and as TIFF in tiles; of 12 bits as TIFF and as Zarr."""
    folder = tmp_path_factory.mktemp("images")
    image = crowd_of_cells(*SIZE, 32)
    Image.fromarray(image).save(folder / "a.png")
    tifffile.imwrite(folder / "a.tif", image, photometric="rgb", tile=(64, 64))
    deep = image[..., 0].astype(np.uint16) * 13 + 100
    tifffile.imwrite(folder / "deep.tif", deep, tile=(64, 64))
    zarr.save_array(str(folder / "deep.zarr"), deep)
    return folder


def found(nuclei, file, max_pixels):
    model, cfg = nuclei
    finder = Finder(model, cfg, ReadingRules(max_pixels=max_pixels), 0.5)
    return finder, next(found_here(finder, [str(file)]))


def as_masks(result):
    masks = np.zeros((len(result.objects), *SIZE), bool)
    for mask, one in zip(masks, result.objects, strict=True):
        mask[one.window] = one.mask
    return masks.reshape(len(masks), -1).astype(np.float32)


@pytest.mark.parametrize(("whole", "large"), [("a.png", "a.tif"), ("deep.tif", "deep.zarr")])
def test_an_image_in_regions_has_the_objects_of_the_image_at_once(nuclei, files, whole, large):
    _, expected = found(nuclei, files / whole, 10**6)
    finder, result = found(nuclei, files / large, 384 * 384)
    jobs = finder.jobs(str(files / large))
    assert len(jobs) >= 9
    assert max(side for job in jobs for side in job.region.tile.size) <= 384
    assert result.size == SIZE and result.cut == 0
    assert len(result.objects) == len(expected.objects) == 19 * 22
    one, other = as_masks(expected), as_masks(result)
    shared = one @ other.T
    iou = shared / (one.sum(1)[:, None] + other.sum(1)[None] - shared)
    # Near a seam the network sees less of the surroundings.
    assert np.median(iou.max(axis=0)) > 0.99 and iou.max(axis=0).min() >= 0.9
    assert iou.max(axis=1).min() >= 0.9
    assert [o.label for o in result.objects] == list(range(1, len(result.objects) + 1))


def test_the_whole_image_says_what_is_light_and_dark(nuclei, tmp_path):
    """A region of background alone would otherwise be stretched until its noise is objects."""
    image = np.full(SIZE, 20, np.uint8)
    image += np.random.default_rng(0).integers(0, 9, SIZE, dtype=np.uint8)
    image[:200, :200] = crowd_of_cells(200, 200, 32)[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(64, 64))
    Image.fromarray(image).save(tmp_path / "a.png")
    _, expected = found(nuclei, tmp_path / "a.png", 10**6)
    _, result = found(nuclei, tmp_path / "a.tif", 384 * 384)
    assert len(result.objects) == len(expected.objects) > 30
    assert all(part.start < 210 for o in result.objects for part in o.window)


def test_a_model_that_resizes_every_image_is_refused_for_regions(nuclei, files):
    model, cfg = nuclei
    cfg = cfg.clone()
    cfg.INPUT.MIN_SIZE_TEST = 256
    finder = Finder(model, cfg, ReadingRules(max_pixels=1000), 0.2)
    error = next(found_here(finder, [str(files / "a.tif")]))
    assert isinstance(error, FileError) and "INPUT.MIN_SIZE_TEST" in str(error)


def test_a_file_that_cannot_be_read_is_an_error_among_others(nuclei, files, tmp_path):
    model, cfg = nuclei
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    finder = Finder(model, cfg, ReadingRules(), 0.2)
    error, result = found_here(finder, [str(tmp_path / "broken.tif"), str(files / "a.png")])
    assert "broken.tif" in str(error) and len(result.objects) == 19 * 22


def test_a_limit_that_an_image_reaches_comes_with_what_is_found(nuclei, files):
    model, cfg = nuclei
    model.grouping.max_instances, before = 7, model.grouping.max_instances
    try:
        finder = Finder(model, cfg, ReadingRules(), 0.2, most=7)
        (result,) = found_here(finder, [str(files / "a.png")])
    finally:
        model.grouping.max_instances = before
    assert len(result.objects) == 7 and result.limits == {"TEST.DETECTIONS_PER_IMAGE"}
