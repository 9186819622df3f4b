"""Every form, read by the libraries of others: the masks are those that were written."""

import csv
import json
from dataclasses import dataclass

import numpy as np
import pytest
import roifile
import shapely
import tifffile
from matplotlib.path import Path as Outline
from PIL import Image
from pycocotools import mask as coco_mask

from dml_instance.data.forms.results import ResultImage, ResultWriter, label_images

from .found_scenes import CLASSES, SIZE, box, many_shapes, write


@dataclass
class Pixel:
    """An object of one pixel, without a mask of the whole image."""

    label: int
    place: tuple[int, int]
    mask = np.ones((1, 1), bool)

    @property
    def window(self):
        return tuple(slice(p, p + 1) for p in self.place)


def filled(rings, size=SIZE):
    """(H, W) bool: pixels whose centres lie in an odd number of rings of (x, y), by matplotlib."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    centres = np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5
    inside = np.zeros(len(centres), bool)
    for ring in rings:
        inside ^= Outline(np.asarray(ring, float)).contains_points(centres)
    return inside.reshape(size)


def read_coco(folder):
    coco = json.loads((folder / "instances.json").read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    return [
        (coco_mask.decode(a["segmentation"]).astype(bool), names[a["category_id"]], a["score"])
        for a in coco["annotations"]
    ]


def read_geojson(folder):
    content = json.loads((folder / "geojson" / "a.geojson").read_text())
    assert content["type"] == "FeatureCollection"
    found = []
    for label, feature in enumerate(content["features"], start=1):
        geometry, properties = feature["geometry"], feature["properties"]
        assert shapely.from_geojson(json.dumps(geometry)).is_valid
        assert (feature["type"], properties["objectType"]) == ("Feature", "detection")
        assert properties["name"] == str(label)
        parts = geometry["coordinates"]
        parts = [parts] if geometry["type"] == "Polygon" else parts
        mask = filled([ring for part in parts for ring in part])
        score = properties["measurements"]["score"]
        found.append((mask, properties["classification"]["name"], score))
    return found


def read_rois(folder):
    pytest.importorskip("roifile", "2026", reason="older ones cut properties that they read")
    found = []
    for label, roi in enumerate(roifile.roiread(folder / "rois" / "a.zip"), start=1):
        name, score = (line.split(": ")[1] for line in roi.props.splitlines())
        assert roi.name == f"{label:05}-{name.replace('/', '_')}"
        assert roi.group == CLASSES.names.index(name) + 1
        mask = filled(roi.coordinates(multi=True))
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        bounds = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
        if roi.composite:
            assert [roi.top, roi.left, roi.bottom, roi.right] == bounds
        found.append((mask, name, float(score)))
    return found


@pytest.mark.parametrize(
    ("form", "read"), [("coco", read_coco), ("geojson", read_geojson), ("rois", read_rois)]
)
def test_masks_classes_and_scores_are_those_that_were_written(tmp_path, form, read):
    """Holes, islands in them, parts, corners, neighbours, overlaps, the last pixel and noise."""
    objects = many_shapes()
    write(tmp_path, objects, [form])
    found = read(tmp_path)
    assert len(found) == len(objects)
    for (mask, index, score), (read_mask, name, read_score) in zip(objects, found, strict=True):
        np.testing.assert_array_equal(read_mask, mask)
        assert (name, read_score) == (CLASSES.names[index], pytest.approx(score, abs=1e-4))


@pytest.mark.parametrize("seed", range(8))
def test_outlines_of_any_shape_are_exact_and_valid(tmp_path, seed):
    generator = np.random.default_rng(seed)
    masks = [generator.random(SIZE) < share for share in (0.02, 0.3, 0.5, 0.7, 0.98)]
    write(tmp_path, [(mask, 0, 0.5) for mask in masks], ["geojson", "rois"])
    for read in (read_geojson, read_rois):
        for mask, (read_mask, *_) in zip(masks, read(tmp_path), strict=True):
            np.testing.assert_array_equal(read_mask, mask)


def test_an_outline_has_no_more_corners_than_its_object(tmp_path):
    write(tmp_path, [(box(3, 4, 20, 9), 0, 0.5)], ["geojson"])
    content = json.loads((tmp_path / "geojson" / "a.geojson").read_text())
    (ring,) = content["features"][0]["geometry"]["coordinates"]
    assert ring[0] == ring[-1] and len(ring) <= 6
    assert {tuple(p) for p in ring} >= {(4, 3), (13, 3), (13, 23), (4, 23)}
    x, y = np.transpose(ring)
    assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2 == 20 * 9, "counterclockwise, as in RFC 7946"


@pytest.mark.parametrize("rows", [512, 7])
@pytest.mark.parametrize(
    ("form", "ending", "most"),
    [("labels", ".png", 10**6), ("labels32", ".tif", 10**6), ("labels", ".tif", 2000)],
)
def test_label_images_show_the_best_object_and_what_others_lose_is_said(
    tmp_path, monkeypatch, form, ending, most, rows
):
    """Of 32 bits strip by strip, as images of more than so many pixels are always."""
    monkeypatch.setattr(label_images, "_STRIP", rows)
    monkeypatch.setattr(label_images, "MAX_PIXELS", most)
    objects = many_shapes()
    (remark,) = write(tmp_path, objects, [form]).remarks
    path = tmp_path / form / f"a{ending}"
    labels = tifffile.imread(path) if ending == ".tif" else np.array(Image.open(path))
    assert labels.itemsize == (4 if ending == ".tif" else 2)
    expected = np.zeros(SIZE, int)
    for label in range(len(objects), 0, -1):
        expected[objects[label - 1][0]] = label
    np.testing.assert_array_equal(labels, expected)
    lost = [(mask & (expected != label)).sum() for label, (mask, *_) in enumerate(objects, start=1)]
    gone = len(objects) - len(np.unique(expected[expected > 0]))
    assert gone == 1 and remark.startswith(
        f"in label images {np.count_nonzero(lost)} objects lost {sum(lost)} pixels to better ones "
        f"that they overlap, and {gone} of them all"
    )


def test_more_objects_than_16_bits_hold_go_to_32(tmp_path):
    """A pixel each; 65,535 still fit."""
    size = (256, 257)
    count = size[0] * size[1]
    for kept, ending in ((65535, ".png"), (65536, ".tif")):
        folder = tmp_path / str(kept)
        found = [Pixel(label, np.unravel_index(label - 1, size)) for label in range(1, kept + 1)]
        with ResultWriter(str(folder), CLASSES, ["labels"]) as writer:
            writer.add(ResultImage("a", "a.png", size), found)
        (path,) = (folder / "labels").iterdir()
        assert path.name == f"a{ending}"
        labels = tifffile.imread(path) if ending == ".tif" else np.array(Image.open(path))
        expected = np.arange(1, count + 1)
        np.testing.assert_array_equal(labels.ravel(), expected * (expected <= kept))


def test_the_table_measures_whole_masks(tmp_path):
    objects = many_shapes()
    write(tmp_path, objects, ["csv"])
    with (tmp_path / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(objects)
    for label, ((mask, index, score), row) in enumerate(zip(objects, rows, strict=True), start=1):
        y, x = np.nonzero(mask)
        assert list(row.values()) == [
            *("a.tif", str(label), CLASSES.names[index], f"{score:.4f}", str(len(y))),
            *(f"{value:.1f}" for value in (y.mean(), x.mean(), x.min(), y.min())),
            *(f"{value:.1f}" for value in (np.ptp(x) + 1, np.ptp(y) + 1)),
        ]
