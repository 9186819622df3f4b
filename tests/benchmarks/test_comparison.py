"""Scores, errors, turns and reports of a comparison; and the tool itself on tiny data."""

import json
import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dml_instance.comparison.budget import Turns, referee
from dml_instance.comparison.errors import (
    OBJECT_KINDS,
    PREDICTION_KINDS,
    best_min_score,
    count_errors,
)
from dml_instance.comparison.pictures import most_telling_images
from dml_instance.comparison.report import plot
from dml_instance.comparison.scores import (
    attribute_groups,
    box_overlaps,
    group_ap,
    load_predictions,
    mask_scores,
    object_counts,
    quantile_groups,
)
from toy_scenes import rle, square_and_disc, write_coco

ROOT = Path(__file__).parents[1]
SIZE = (40, 60)


def box(top, left, bottom, right):
    mask = np.zeros(SIZE, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def data_set(*images, classes=2):
    """Images as lists of (mask, class) to a COCO data set."""
    truth = COCO()
    annotations = [
        {
            "id": 1000 * image_id + number,
            "image_id": image_id,
            "category_id": class_id,
            "segmentation": rle(mask),
            "bbox": [float(v) for v in coco_mask.toBbox(rle(mask))],
            "area": int(mask.sum()),
            "iscrowd": 0,
        }
        for image_id, objects in enumerate(images, start=1)
        for number, (mask, class_id) in enumerate(objects, start=1)
    ]
    truth.dataset = {
        "info": {},
        "images": [
            {"id": i, "height": SIZE[0], "width": SIZE[1]} for i in range(1, len(images) + 1)
        ],
        "annotations": annotations,
        "categories": [{"id": c, "name": str(c)} for c in range(1, classes + 1)],
    }
    truth.createIndex()
    return truth


def predictions_of(truth, *found):
    """(image id, mask, class, score) to loaded predictions."""
    return load_predictions(
        truth,
        [
            {"image_id": i, "category_id": c, "segmentation": rle(m), "score": s}
            for i, m, c, s in found
        ],
    )


LEFT, RIGHT = box(5, 5, 25, 25), box(5, 25, 25, 45)


def errors_of(objects, found, min_score=0.0):
    truth = data_set(objects)
    counts = count_errors(truth, predictions_of(truth, *((1, *f) for f in found)), min_score)
    assert set(counts) == {*OBJECT_KINDS, *PREDICTION_KINDS}
    assert sum(counts[kind] for kind in OBJECT_KINDS) == len(objects)
    return {kind: count for kind, count in counts.items() if count}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(LEFT, 1, 0.9), (RIGHT, 1, 0.8)], {"found": 2}),
        ([(LEFT, 1, 0.9), (RIGHT, 2, 0.8)], {"found": 1, "wrong class": 1}),
        ([(LEFT, 1, 0.9), (LEFT, 1, 0.8), (RIGHT, 1, 0.7)], {"found": 2, "duplicate": 1}),
        ([(LEFT | RIGHT | box(25, 5, 35, 45), 1, 0.9)], {"merged": 2, "other": 1}),
        (
            [(LEFT, 1, 0.9), (box(5, 25, 13, 45), 1, 0.8), (box(13, 25, 21, 45), 1, 0.7)],
            {"found": 1, "split": 1, "other": 2},
        ),
        ([(LEFT, 1, 0.9), (box(5, 25, 13, 45), 1, 0.8)], {"found": 1, "poor mask": 1, "other": 1}),
        (
            [(LEFT, 1, 0.9), (box(30, 30, 40, 60), 1, 0.8)],
            {"found": 1, "missed": 1, "background": 1},
        ),
        ([(LEFT, 1, 0.2), (RIGHT, 1, 0.9)], {"found": 1, "missed": 1}),
        ([], {"missed": 2}),
    ],
)
def test_every_object_and_prediction_has_the_fate_that_it_is_drawn_with(found, expected):
    if found:
        assert errors_of([(LEFT, 1), (RIGHT, 1)], found, min_score=0.5) == expected


def test_an_image_without_objects_has_background_alone():
    assert errors_of([], [(LEFT, 1, 0.9)]) == {"background": 1}


def test_the_best_min_score_parts_right_from_wrong():
    truth = data_set([(LEFT, 1), (RIGHT, 1)])
    found = predictions_of(
        truth,
        (1, LEFT, 1, 0.52),
        (1, RIGHT, 1, 0.51),
        (1, box(30, 0, 40, 10), 1, 0.38),
        (1, box(30, 20, 40, 30), 1, 0.3),
    )
    assert 0.38 < best_min_score(truth, found) <= 0.51


def random_case(seed):
    rng = np.random.default_rng(seed)

    def mask():
        top, left = rng.integers(0, 25, 2)
        return box(top, left, top + rng.integers(3, 15), left + rng.integers(3, 20))

    truth = data_set(
        *[[(mask(), int(rng.integers(1, 3))) for _ in range(rng.integers(1, 5))] for _ in range(4)]
    )
    found = []
    for annotation in truth.anns.values():
        shifted = np.roll(truth.annToMask(annotation), rng.integers(-2, 3, 2), (0, 1))
        found.append(
            (annotation["image_id"], shifted, int(rng.integers(1, 3)), float(rng.random()))
        )
    return truth, predictions_of(truth, *found)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_pycocotools(seed, capsys):
    truth, found = random_case(seed)
    reference = COCOeval(truth, found, "segm")
    reference.evaluate()
    reference.accumulate()
    reference.summarize()
    scores = mask_scores(truth, found, max_detections=100)
    for name, index in (("AP", 0), ("AP50", 1), ("AP75", 2), ("APs", 3), ("AR", 8)):
        assert scores[name] == pytest.approx(100 * reference.stats[index], abs=1e-9)
    assert np.isnan(scores["APl"])


def test_a_model_that_finds_nothing_is_scored(tmp_path):
    truth = data_set([(LEFT, 1)])
    (tmp_path / "found.json").write_text("[]")
    for nothing in ([], str(tmp_path / "found.json")):
        found = load_predictions(truth, nothing)
        assert mask_scores(truth, found, 10)["AP"] == 0
        assert count_errors(truth, found, best_min_score(truth, found))["missed"] == 1


def test_scores_of_some_images_ignore_the_others():
    truth = data_set([(LEFT, 1)], [(RIGHT, 1)])
    found = predictions_of(truth, (1, LEFT, 1, 0.9))
    assert mask_scores(truth, found, 10, [1])["AP"] == pytest.approx(100)
    assert mask_scores(truth, found, 10, [2])["AP"] == 0
    assert 45 < mask_scores(truth, found, 10)["AP"] < 55


def test_in_a_group_a_class_counts_by_its_objects():
    truth = data_set(
        [(LEFT, 1), (RIGHT, 1), (box(30, 0, 40, 10), 1), (box(30, 30, 40, 60), 2)], [(LEFT, 2)], []
    )
    found = predictions_of(
        truth,
        (1, LEFT, 1, 0.9),
        (1, RIGHT, 1, 0.8),
        (1, box(30, 0, 40, 10), 1, 0.7),
        (3, LEFT, 1, 0.1),
    )
    assert mask_scores(truth, found, 10, [1])["AP"] == pytest.approx(50)
    assert group_ap(truth, found, 10, [1]) == pytest.approx(75)
    assert group_ap(truth, found, 10, [1, 2]) == pytest.approx(60)
    assert group_ap(truth, found, 10, [1, 3]) == pytest.approx(75)
    assert group_ap(truth, found, 10, [2]) == 0
    assert np.isnan(group_ap(truth, found, 10, [3]))


def test_images_are_ranked_by_the_difference_of_two_runs():
    truth = data_set(*[[(LEFT, 1)]] * 3)
    first = predictions_of(truth, (1, LEFT, 1, 0.9), (2, LEFT, 1, 0.9))
    second = predictions_of(truth, (2, LEFT, 1, 0.9), (3, LEFT, 1, 0.9))
    assert most_telling_images(truth, first, second, 10, count=4) == {
        "best": [1],
        "median": [2],
        "worst": [3],
    }


def test_overlap_is_the_largest_iou_with_another_box():
    truth = data_set(
        [(box(0, 0, 10, 10), 1), (box(0, 5, 10, 15), 1), (box(20, 20, 30, 30), 1)], [(LEFT, 1)]
    )
    assert box_overlaps(truth) == {1: pytest.approx((1 / 3 + 1 / 3 + 0) / 3)}
    assert object_counts(truth) == {1: 3, 2: 1}


@given(st.dictionaries(st.integers(), st.floats(0, 1), max_size=40), st.integers(1, 6))
def test_groups_hold_every_image_once(values, count):
    groups = quantile_groups(values, count, "{!r}")
    assert sorted(i for ids in groups.values() for i in ids) == sorted(values)
    assert len(groups) <= count or not values


def test_groups_by_an_attribute_of_the_images():
    truth = data_set([], [], [])
    assert attribute_groups(truth, "scene") == {}
    for image_id, scene in ((1, "a"), (2, "b"), (3, "a")):
        truth.imgs[image_id]["scene"] = scene
    assert attribute_groups(truth, "scene") == {"a": [1, 3], "b": [2]}


@pytest.mark.parametrize(("minutes", "lines", "bars"), [((30, 60), 2, 0), ((60,), 0, 6)])
def test_runs_that_were_scored_once_are_drawn_as_bars_and_others_as_curves(
    monkeypatch, minutes, lines, bars
):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    run = {
        "curve": [{"minutes": m, "AP": m / 2} for m in minutes],
        "metrics": {"AP": 30, "AP50": 60, "AP75": 20},
    }
    plot(
        {"dataset": "toy", "minutes": 60, "groups": {}, "runs": {"a": run, "b": run}}, "report.png"
    )
    (axis,) = drawn[0].axes
    assert (len(axis.lines), len(axis.patches)) == (lines, bars)
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["a", "b"]


def test_turns_alternate_until_all_are_done_and_a_dead_player_stops_nobody():
    story, ends = [], {}

    def play(name, connection, minutes):
        turns = Turns(connection)
        turns.wait()
        for minute in range(1, minutes + 1):
            story.append((name, minute))
            turns.rest(minute)
        connection.close()

    threads = []
    for name, minutes in (("a", 3), ("b", 1)):
        ends[name], theirs = multiprocessing.Pipe()
        threads.append(threading.Thread(target=play, args=(name, theirs, minutes)))
    ends["dead"], theirs = multiprocessing.Pipe()
    theirs.close()
    for thread in threads:
        thread.start()
    heard = []
    referee(ends, lambda name, minutes: heard.append((name, minutes)))
    for thread in threads:
        thread.join(timeout=10)
    assert story == heard == [("a", 1), ("b", 1), ("a", 2), ("a", 3)]


def compare(folder, *arguments, ok=True):
    path, images = folder
    result = subprocess.run(
        [
            *(
                sys.executable,
                str(ROOT / "tools" / "compare.py"),
                "--register-coco",
                f"toy={path}:{images}",
            ),
            *map(str, arguments),
            *(
                "--opts",
                "DATASETS.TRAIN",
                "('toy',)",
                "DATASETS.TEST",
                "('toy',)",
                "SOLVER.IMS_PER_BATCH",
                "2",
            ),
            *("DATALOADER.NUM_WORKERS", "0", "MODEL.DEVICE", "cpu"),
            *(
                "MODEL.DML.BACKBONE.CHANNELS",
                "[8,12,16,20,24]",
                "MODEL.DML.BACKBONE.BLOCKS",
                "[1,1,1,1]",
            ),
            *("MODEL.DML.GROUPING.MIN_SEEDINESS", "0.001", "MODEL.DML.GROUPING.MAX_SEEDS", "20"),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (result.returncode == 0) == ok, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


def test_two_runs_are_trained_scored_reported_and_drawn_and_a_second_call_only_reports(tmp_path):
    scenes = [square_and_disc(64, 96), square_and_disc(70, 90), square_and_disc(64, 80)]
    folder = write_coco(tmp_path, "toy", scenes)
    config = "configs/Shapes/dml_slim_unet.yaml"
    output = tmp_path / "comparison"
    arguments = ["--output", output, "--minutes", "0.1", "--score-at", "0.04", "--pictures", "1"]
    arguments += ["--run", "ours", config, "--run", "colder", config, "SOLVER.BASE_LR", "0.0005"]
    printed = compare(folder, *arguments)
    assert "| ours" in printed and "| colder" in printed
    report = json.loads((output / "report.json").read_text())
    for name, base_lr in (("ours", 0.003), ("colder", 0.0005)):
        run = report["runs"][name]
        assert run["training"]["minutes"] >= 0.1
        assert len(run["curve"]) == 2 and run["curve"][0]["minutes"] <= run["curve"][1]["minutes"]
        assert run["peak_memory_mib"] > 100
        assert sum(run["errors"][kind] for kind in OBJECT_KINDS) == 6
        scored = json.loads((output / name / "results.json").read_text())["metrics"]["toy"]["segm"]
        assert run["metrics"]["AP"] == pytest.approx(scored["AP"], abs=1e-6)
        rows = [
            json.loads(line) for line in (output / name / "metrics.json").read_text().splitlines()
        ]
        assert rows[-1]["lr"] < 0.6 * base_lr, (
            "the schedule ends with the budget, not with MAX_ITER"
        )
        assert rows[-1]["dml/seed_lambda"] > 0.5, "and so does the ramp of the seed loss"
    assert (output / "report.png").stat().st_size > 0
    assert {path.name.split("_")[0] for path in (output / "pictures").iterdir()} <= {
        "best",
        "median",
        "worst",
    }

    before = (output / "ours" / "model_final.pth").stat().st_mtime_ns
    compare(folder, *arguments)
    assert (output / "ours" / "model_final.pth").stat().st_mtime_ns == before
    printed = compare(folder, *arguments, "SOLVER.WARMUP_ITERS", "7", ok=False)
    assert "holds a run colder of another config" in printed and "Traceback" not in printed


def test_a_run_that_fails_is_named_with_its_log(tmp_path):
    folder = write_coco(tmp_path, "toy", [square_and_disc(64, 96)])
    config = "configs/Shapes/dml_slim_unet.yaml"
    arguments = ["--output", tmp_path / "c", "--minutes", "0.02"]
    printed = compare(
        folder, *arguments, "--run", "bad", config, "MODEL.DML.SEED_LOSS.TARGET", "none", ok=False
    )
    assert "run bad failed" in printed
    assert "SEED.TARGET" in (tmp_path / "c" / "bad" / "stdout.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "a"], "--run takes NAME CONFIG"),
        (["--run", "a", "none.yaml"], "none.yaml does not exist"),
        (
            ["--run", "a", "configs/Shapes/dml_slim_unet.yaml", "DATASETS.TEST", "()"],
            "same single data set",
        ),
    ],
)
def test_arguments_that_cannot_be_compared_are_named(tmp_path, arguments, message):
    folder = write_coco(tmp_path, "toy", [square_and_disc(64, 96)])
    assert message in compare(
        folder, *arguments, "--output", tmp_path / "c", "--minutes", "0.01", ok=False
    )
