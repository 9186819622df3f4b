"""Shapes: what a scene promises, what each scene kind is for, and what lies on disk.

Scenes are judged by their pixels (contours, connected pieces, boxes), not by how they were drawn.
"""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from dml_instance.data.datasets import shapes, shapes_drawing
from dml_instance.data.datasets.shapes import CLASS_NAMES, SCENE_KINDS, write_shapes
from dml_instance.data.datasets.shapes_drawing import (
    DEFAULT_DIFFICULTY,
    Difficulty,
    draw_scene,
)

SPLITS = {"train": 5, "val": 2}


def scenes_of(kind, number=8, **options):
    return [draw_scene(np.random.default_rng([seed, 5]), kind, **options) for seed in range(number)]


@pytest.fixture(scope="module")
def scenes():
    return {kind: scenes_of(kind) for kind in SCENE_KINDS}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("shapes") / "set"
    assert write_shapes(str(root), SPLITS, seed=3, size=96)
    return root


def pieces(mask):
    """Number of 8-connected pieces with at least 4 pixels."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return int((stats[1:count, cv2.CC_STAT_AREA] >= 4).sum())


def hole(mask):
    """Pixels that a mask encloses without owning them."""
    outer, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return (cv2.drawContours(np.zeros(mask.shape, np.uint8), outer, -1, 1, cv2.FILLED) > 0) & ~mask


def boxes_of(masks):
    """(N, 4) x0, y0, x1, y1 of each mask, ends exclusive."""
    boxes = np.array([cv2.boundingRect(mask.astype(np.uint8)) for mask in masks]).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def touching_pairs(masks):
    """Number of pairs of masks with neighbouring pixels."""
    grown = [cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for mask in masks]
    return sum((grown[i] & masks[j]).any() for i in range(len(masks)) for j in range(i))


def overlapping_boxes(masks):
    """Number of pairs of masks whose boxes share pixels."""
    low, high = np.split(boxes_of(masks), 2, axis=1)
    meets = (np.minimum(high[:, None], high) > np.maximum(low[:, None], low)).all(axis=2)
    return (int(meets.sum()) - len(masks)) // 2


def of_class(scene, name):
    return scene.masks[scene.classes == CLASS_NAMES.index(name)]


def read_split(root, split):
    return json.loads((root / "annotations" / f"instances_{split}.json").read_text())


def files_of(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(SCENE_KINDS),
    size=st.integers(64, 128),
    level=st.floats(0, 1),
)
def test_a_scene_keeps_its_contract_and_repeats(seed, kind, size, level):
    scene = draw_scene(np.random.default_rng(seed), kind, size, level)
    again = draw_scene(np.random.default_rng(seed), kind, size, level)
    count = len(scene.classes)
    assert count >= 1
    assert scene.image.dtype == np.uint8
    assert scene.image.shape == (size, size, 3)
    assert scene.masks.dtype == bool
    assert scene.masks.shape == (count, size, size)
    assert scene.classes.dtype == np.int64
    assert ((scene.classes >= 0) & (scene.classes < len(CLASS_NAMES))).all()
    assert scene.masks.any(axis=(1, 2)).all(), "an instance without a visible pixel"
    assert scene.masks.sum(axis=0).max() == 1, "instances share a pixel"
    for field in ("image", "masks", "classes"):
        np.testing.assert_array_equal(getattr(scene, field), getattr(again, field))


def test_a_hidden_object_leaves_the_drawing():
    bottom, top = np.zeros((2, 40, 40), bool)
    bottom[5:15, 5:15] = True
    top[4:14, 4:30] = True
    drawn, parts = shapes_drawing._visible([("blob", bottom), ("bar", top)])
    assert [name for name, _ in drawn] == ["bar"], "19 visible pixels are fewer than 30"
    np.testing.assert_array_equal(parts, [top])


def test_what_a_hidden_object_covered_stays():
    """Of bottom 12 % are visible, of middle 4 %: without middle, bottom is whole."""
    bottom, middle = np.zeros((2, 64, 64), bool)
    bottom[:10, :10] = True
    middle[:40, :50] = True
    middle[:3, :4] = False
    top = middle & ~bottom
    drawn, parts = shapes_drawing._visible([("blob", bottom), ("ring", middle), ("bar", top)])
    assert [name for name, _ in drawn] == ["blob", "bar"]
    np.testing.assert_array_equal(parts, [bottom, top])


@pytest.mark.parametrize("kind", SCENE_KINDS)
def test_whatever_is_drawn_is_labelled(kind, monkeypatch):
    """White objects on black, no noise: white pixels and masks are the same but for the blur."""
    plain = Difficulty(count=1.3, stroke=4.0, color_spread=0.0, texture=0.0, rim=0.0, noise=0.0)
    monkeypatch.setattr(Difficulty, "of", classmethod(lambda cls, level: plain))
    for seed in range(4):
        shades = iter([0.0] + [255.0] * 100)
        monkeypatch.setattr(
            shapes_drawing,
            "_texture",
            lambda rng, size, *_, shades=shades: np.full((size, size, 3), next(shades)),
        )
        scene = draw_scene(np.random.default_rng(seed), kind)
        labelled = scene.masks.any(axis=0).astype(np.uint8)
        near, deep = (
            cv2.dilate(labelled, np.ones((3, 3))),
            cv2.erode(labelled, np.ones((3, 3)), borderValue=1),
        )
        assert not scene.image[near == 0].any(), "something is drawn that no mask covers"
        assert (scene.image[deep > 0] >= 254).all(), "a mask covers background"


def test_rings_hold_other_objects(scenes):
    for scene in scenes["rings"]:
        others = scene.masks.any(axis=0)
        assert any((hole(mask) & others).sum() >= 20 for mask in of_class(scene, "ring"))


def test_bars_cut_each_other_in_pieces(scenes):
    for scene in scenes["bars"]:
        assert touching_pairs(of_class(scene, "bar")) >= 1
    assert (
        sum(any(pieces(mask) > 1 for mask in of_class(scene, "bar")) for scene in scenes["bars"])
        >= 6
    )


def test_wires_cross_and_leave_their_boxes_empty(scenes):
    wires = [mask for scene in scenes["wires"] for mask in of_class(scene, "wire")]
    boxes = boxes_of(wires)
    filled = [
        mask.sum() / np.prod(box[2:] - box[:2]) for mask, box in zip(wires, boxes, strict=True)
    ]
    assert np.median(filled) < 0.35
    assert (
        sum(any(pieces(mask) > 1 for mask in of_class(scene, "wire")) for scene in scenes["wires"])
        >= 4
    )


def test_combs_and_chairs_reach_into_each_other(scenes):
    drawn = {
        name: sum(len(of_class(scene, name)) for scene in scenes["combs"]) for name in CLASS_NAMES
    }
    assert min(drawn["comb"], drawn["chair"]) >= 5
    for scene in scenes["combs"]:
        assert (
            overlapping_boxes(np.concatenate([of_class(scene, "comb"), of_class(scene, "chair")]))
            >= 1
        )


def test_crowds_are_many_of_one_class_that_touch(scenes):
    counts = [len(of_class(scene, "blob")) for scene in scenes["crowds"]]
    assert min(counts) >= 7
    assert np.mean(counts) >= 10
    assert np.mean([touching_pairs(of_class(scene, "blob")) for scene in scenes["crowds"]]) >= 5
    assert np.mean([overlapping_boxes(of_class(scene, "blob")) for scene in scenes["crowds"]]) >= 8


def test_difficulty_is_monotone_in_every_quantity():
    levels = [Difficulty.of(level) for level in np.linspace(0, 1, 11)]
    grows = {
        "count": True,
        "stroke": False,
        "color_spread": False,
        "texture": True,
        "rim": False,
        "noise": True,
    }
    for name, rises in grows.items():
        steps = np.diff([getattr(level, name) for level in levels])
        assert (steps > 0).all() if rises else (steps < 0).all(), name


def test_difficulty_is_seen_in_the_pictures():
    """More objects, thinner strokes, fainter against their surroundings."""

    def measured(level):
        drawn = [scene for kind in SCENE_KINDS for scene in scenes_of(kind, 6, difficulty=level)]
        contrast, width = [], []
        for scene in drawn:
            for mask, class_index in zip(scene.masks, scene.classes, strict=True):
                around = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > mask
                contrast.append(
                    np.abs(scene.image[mask].mean(0) - scene.image[around].mean(0)).mean()
                )
                if CLASS_NAMES[class_index] in ("ring", "wire", "comb", "chair"):
                    width.append(
                        2 * cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3).max()
                    )
        return np.mean([len(scene.masks) for scene in drawn]), np.median(width), np.mean(contrast)

    easy, default, hard = (measured(level) for level in (0.0, DEFAULT_DIFFICULTY, 1.0))
    assert easy[0] < default[0] < hard[0]
    assert easy[1] > default[1] > hard[1]
    assert easy[2] > default[2] > hard[2]


def test_strokes_span_a_cell_of_a_stride_two_grid(scenes):
    thin = [
        of_class(scene, name)
        for scene in scenes["wires"] + scenes["combs"]
        for name in ("wire", "comb", "chair")
    ]
    for mask in np.concatenate(thin):
        assert cv2.erode(mask.astype(np.uint8), np.ones((2, 2), np.uint8), borderValue=1).any()


def test_colour_tells_no_class(scenes):
    """Mean colour of a class less that of other objects of an image.

    It is under 3.5 standard errors off zero.
    """
    offsets = {name: [] for name in CLASS_NAMES}
    for scene in [scene for kind in SCENE_KINDS for scene in scenes[kind]]:
        colors = np.array([scene.image[mask].mean(axis=0) for mask in scene.masks])
        for name in CLASS_NAMES:
            mine = scene.classes == CLASS_NAMES.index(name)
            if mine.any() and not mine.all():
                offsets[name].append(colors[mine].mean(axis=0) - colors[~mine].mean(axis=0))
    for name, values in offsets.items():
        values = np.array(values)
        assert len(values) >= 5, name
        z = values.mean(axis=0) / (values.std(axis=0, ddof=1) / np.sqrt(len(values)))
        assert (np.abs(z) < 3.5).all(), f"{name}: {z}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"difficulty": 1.5}, "difficulty.*1.5"),
        ({"difficulty": -0.1}, "difficulty.*-0.1"),
        ({"difficulty": float("nan")}, "difficulty.*nan"),
        ({"size": 63}, "64.*63"),
        ({"kind": "boxes"}, "scene kind.*boxes"),
    ],
)
def test_errors_name_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        draw_scene(np.random.default_rng(0), **{"kind": "rings", **options})


def test_the_files_hold_what_was_drawn(written):
    for split, count in SPLITS.items():
        coco = read_split(written, split)
        assert [category["name"] for category in coco["categories"]] == list(CLASS_NAMES)
        assert [category["id"] for category in coco["categories"]] == list(
            range(1, len(CLASS_NAMES) + 1)
        )
        assert len(coco["images"]) == count
        assert len({annotation["id"] for annotation in coco["annotations"]}) == len(
            coco["annotations"]
        )
        drawn = shapes.draw_split(
            split, count, seed=3, size=96, difficulty=shapes.DEFAULT_DIFFICULTY
        )
        for image, (kind, scene) in zip(coco["images"], drawn, strict=True):
            assert image["scene"] == kind
            picture = cv2.imread(str(written / "images" / split / image["file_name"]))
            np.testing.assert_array_equal(picture[:, :, ::-1], scene.image)
            mine = [
                annotation
                for annotation in coco["annotations"]
                if annotation["image_id"] == image["id"]
            ]
            for annotation, mask, class_index in zip(mine, scene.masks, scene.classes, strict=True):
                assert isinstance(annotation["segmentation"]["counts"], str)
                np.testing.assert_array_equal(coco_mask.decode(annotation["segmentation"]), mask)
                assert annotation["category_id"] == class_index + 1
                assert annotation["area"] == mask.sum()
                assert annotation["iscrowd"] == 0
                rows, columns = mask.nonzero()
                corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                x, y, width, height = annotation["bbox"]
                assert [x, y, x + width, y + height] == corners


def test_every_kind_has_the_same_share(written):
    assert [image["scene"] for image in read_split(written, "train")["images"]] == list(SCENE_KINDS)


def test_splits_do_not_repeat_each_other(written):
    first = [(written / "images" / split / "000001.png").read_bytes() for split in SPLITS]
    assert first[0] != first[1]


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(written, tmp_path):
    write_shapes(str(tmp_path / "again"), SPLITS, seed=3, size=96)
    assert files_of(tmp_path / "again") == files_of(written)
    write_shapes(str(tmp_path / "other"), SPLITS, seed=4, size=96)
    assert (
        files_of(tmp_path / "other")["images/train/000001.png"]
        != files_of(written)["images/train/000001.png"]
    )


def test_a_larger_split_begins_with_the_smaller_one(written, tmp_path):
    write_shapes(str(tmp_path / "larger"), {"train": 8}, seed=3, size=96)
    small, large = files_of(written), files_of(tmp_path / "larger")
    names = [f"images/train/{index:06d}.png" for index in range(1, SPLITS["train"] + 1)]
    assert [large[name] for name in names] == [small[name] for name in names]
    few, many = (
        read_split(written, "train")["annotations"],
        read_split(tmp_path / "larger", "train")["annotations"],
    )
    assert len(many) > len(few)
    assert many[: len(few)] == few


def interrupt_after(number, monkeypatch):
    """Let the given number of scenes be drawn, then press Ctrl-C."""
    left = iter(range(number))

    def draw(*args):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return draw_scene(*args)

    monkeypatch.setattr(shapes, "draw_scene", draw)


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    interrupt_after(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        write_shapes(str(tmp_path / "set"), SPLITS, size=64)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_overwrite_keeps_the_old_set(tmp_path, monkeypatch):
    root = tmp_path / "set"
    write_shapes(str(root), {"train": 2}, size=64)
    before = files_of(root)
    interrupt_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        write_shapes(str(root), {"train": 3}, size=64, overwrite=True)
    assert files_of(root) == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_an_existing_set_is_kept_refused_or_replaced(tmp_path):
    root = tmp_path / "set"
    assert write_shapes(str(root), {"train": 2}, size=64)
    before = files_of(root)
    assert not write_shapes(str(root), {"train": 2}, size=64)
    for other in ({"seed": 1}, {"size": 96}, {"difficulty": 0.6}, {"splits": {"train": 3}}):
        with pytest.raises(FileExistsError, match="--overwrite"):
            write_shapes(str(root), **{"splits": {"train": 2}, "size": 64, **other})
    assert files_of(root) == before
    assert write_shapes(str(root), {"train": 1}, size=64, overwrite=True)
    assert len(read_split(root, "train")["images"]) == 1
    assert not (root / "images" / "train" / "000002.png").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_folder_is_left_alone(tmp_path, overwrite):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="another folder"):
        write_shapes(str(tmp_path), {"train": 1}, size=64, overwrite=overwrite)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("splits", "message"), [({"training": 1}, "train.*training"), ({"train": 1}, "difficulty.*2")]
)
def test_wrong_parameters_write_nothing(tmp_path, splits, message):
    with pytest.raises(ValueError, match=message):
        write_shapes(
            str(tmp_path / "set"), splits, size=64, difficulty=2.0 if "train" in splits else 0.5
        )
    assert list(tmp_path.iterdir()) == []


def test_a_negative_count_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="-5"):
        write_shapes(str(tmp_path / "set"), {"train": -5}, size=64)


@pytest.mark.parametrize("splits", [{"val": 2}, {"test": 1}])
def test_a_set_without_train_is_known_again_and_an_empty_folder_is_filled(tmp_path, splits):
    assert write_shapes(tmp_path, splits, size=64)
    assert not write_shapes(tmp_path, splits, size=64)
