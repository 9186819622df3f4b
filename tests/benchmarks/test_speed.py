"""Every part of benchmarks.speed on tiny data, as its command line says."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from benchmarks import speed
from benchmarks.timing import evaluator
from benchmarks.timing.growth import measure_growth
from benchmarks.timing.inference import memory_of_inference
from command_lines import call
from dml_instance.data.forms.results import RESULT_FORMS
from toy_scenes import square_and_disc

MODEL = ("configs/DSB2018/dml_efficientnet_lite0.yaml", "dml://nuclei")
OURS = ("--run", "ours", *MODEL, "MODEL.DEVICE", "cpu")


@pytest.fixture
def data(registration):
    return ("--register-coco", registration, "--dataset", "toy", "--repeats", "1")


def rows_of(part, tmp_path, *arguments):
    """What a part writes."""
    output = tmp_path / "out.json"
    call(speed, part, *arguments, "--output", output)
    written = json.loads(output.read_text())
    assert set(written) == {"command", "machine", part}
    assert written["command"].startswith("python -m benchmarks.speed ")
    return written[part]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inference", "--run", "ours", "x.yaml"), "--run takes NAME CONFIG.yaml WEIGHTS"),
        (("training", *OURS), "--run of training takes NAME CONFIG.yaml"),
        (("peers",), "peers needs a --run"),
        (("peers", "--dataset", "moon", *OURS), "data set moon is not registered"),
        (("growth", *OURS, "--repeats", "0"), "--repeats is at least 1"),
        (("grouping", *OURS, "--threads", "0", "2"), "--threads are at least 1, got 0"),
    ],
)
def test_what_cannot_be_measured_is_named(arguments, message):
    with pytest.raises(SystemExit, match=message.replace(".", r"\.")):
        call(speed, *arguments)


def test_the_numbers_of_threads_end_with_all_cores():
    assert [speed.powers_of_two(cores) for cores in (1, 2, 3, 16)] == [
        *([1], [1, 2], [1, 2, 3], [1, 2, 4, 8, 16])
    ]


def test_the_grouping_is_timed_over_threads(tmp_path, monkeypatch):
    at_once = []
    monkeypatch.setattr(
        "dml_instance.modeling.image_threads.ThreadPoolExecutor",
        lambda threads: at_once.append(threads) or ThreadPoolExecutor(threads),
    )
    before = torch.get_num_threads()
    drawn = ("--size", 64, 96, "--objects", 6, "--threads", 1, 2, "--repeats", 1)
    rows = rows_of("grouping", tmp_path, *drawn, *OURS)
    assert [(row["objects"], row["threads"], row["images"]) for row in rows] == [
        *((6, 1, 8), (6, 2, 8))
    ]
    for row in rows:
        assert row["images_per_second"] == pytest.approx(8e3 / row["ms"], abs=0.1)
    assert rows[0]["instances"] == rows[1]["instances"] > 0
    assert set(at_once) == {2}
    assert torch.get_num_threads() == before


@pytest.mark.usefixtures("no_new_processes")
def test_a_model_and_its_parts_are_timed(tmp_path):
    drawn = ("--size", 64, 96, "--objects", 6, "--batch", 1, 2, "--repeats", 1)
    rows = rows_of("inference", tmp_path, *drawn, *OURS)
    assert [row["run"] for row in rows] == ["ours", "ours: network", "ours: grouping"] * 2
    assert all(row["ms"] > 0 for row in rows)
    assert rows[0]["mib"] >= 0 and rows[0]["instances"] > 0
    assert rows[1]["mib"] is None


@pytest.mark.usefixtures("no_new_processes")
def test_writing_is_measured_in_each_form_and_in_all(tmp_path):
    drawn = ("--size", 64, 96, "--objects", 6)
    model, *rows = rows_of("writing", tmp_path, *drawn, *OURS)
    assert model["form"] == "model" and model["instances"] > 0 and model["seconds"] > 0
    assert [row["form"] for row in rows] == [*RESULT_FORMS, "all"]
    assert all(row["seconds"] >= 0 and row["mib"] >= 0 for row in rows)


def test_the_memory_of_a_model_is_that_of_a_new_process(registration):
    """Which must be told of the data sets of the command line."""
    options = ["DATASETS.TRAIN", "('toy',)", "DATASETS.TEST", "('toy',)", "MODEL.DEVICE", "cpu"]
    images = [square_and_disc(128, 128)[0]]
    assert memory_of_inference((*MODEL, options), images, [registration]) > 0


def test_groupings_are_compared(data, tmp_path):
    pytest.importorskip("sklearn")
    rows = {row["method"]: row for row in rows_of("peers", tmp_path, *data, "--images", 2, *OURS)}
    assert set(rows) == {
        *("ours", "panoptic_deeplab", "seed_loop", "mean_shift", "mean_shift_binned", "hdbscan")
    }
    for row in rows.values():
        assert row["ms_low"] <= row["ms"] <= row["ms_high"] and row["images"] == 2
        assert 0 <= row["AP"] <= row["AP50"] <= 100
    assert rows["ours"]["times_ours"] == 1
    assert rows["panoptic_deeplab"]["AP50"] == pytest.approx(100)
    assert rows["panoptic_deeplab"]["instances"] == 2


def test_groupings_of_several_scales_are_not_compared(data):
    with pytest.raises(SystemExit, match="error: run ours sees images at 2 scales"):
        call(speed, "peers", *data, *OURS, "MODEL.DML.TEST_SCALES", "[1.0,2.0]")


@pytest.mark.usefixtures("no_new_processes")
def test_training_iterations_are_taken_apart(registration, tmp_path):
    options = ("MODEL.DEVICE", "cpu", "DATASETS.TRAIN", "('toy',)", "SOLVER.IMS_PER_BATCH", 2)
    options += ("INPUT.CROP.SIZE", "[64,64]", "DATALOADER.NUM_WORKERS", 1)
    options += ("OUTPUT_DIR", tmp_path / "none")
    ours = ("--run", "ours", "configs/DSB2018/dml_slim_unet.yaml", *options)
    options += ("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 8, "MODEL.RPN.POST_NMS_TOPK_TRAIN", 20)
    theirs = ("--run", "mask_rcnn", "configs/DSB2018/mask_rcnn_R_18_FPN.yaml", *options)
    given = ("--register-coco", registration, "--repeats", 2)
    rows = rows_of("training", tmp_path, *given, *ours, *theirs)
    parts = {
        name: {row["part"]: row for row in rows if row["run"] == name}
        for name in ("ours", "mask_rcnn")
    }
    everywhere = {"iteration", "mapper, an image", "data", "backward", "optimizer", "other"}
    assert set(parts["ours"]) == everywhere | {"network", "targets", "losses"}
    assert set(parts["mask_rcnn"]) == everywhere | {"forward"}
    expected = {"share": 100, "batch": 2, "iterations": 2, "workers": 1}
    for of_run in parts.values():
        whole = of_run.pop("iteration")
        assert {key: whole[key] for key in expected} == expected
        assert whole["mib"] >= 0
        assert sum(row.get("share", 0) for row in of_run.values()) == pytest.approx(100)
    assert not (tmp_path / "none").exists()


def test_network_and_grouping_stand_beside_their_limits(data, tmp_path):
    network, grouping = rows_of("roofline", tmp_path, *data, "--images", 1, *OURS)
    assert (network["part"], grouping["part"]) == ("network", "grouping")
    assert network["mflop"] > grouping["mflop"] > 0
    for row in (network, grouping):
        assert row["times_limit"] == pytest.approx(1e3 * row["ms"] / row["limit_us"])


@pytest.mark.usefixtures("no_new_processes")
def test_growth_varies_one_thing_at_a_time():
    run = (*MODEL, ["MODEL.DEVICE", "cpu"])
    series = {
        "sides": [96],
        "objects": [1],
        "seeds": [5, 40],
        "dims": [16, 24],
        "thresholds": [3, 6],
    }
    rows = list(measure_growth(run, **series, repeats=2))
    assert [(row["of"], row["value"]) for row in rows] == [
        *(("side", 96), ("objects", 1), ("seeds", 5), ("seeds", 40)),
        *(("embedding size", 16), ("embedding size", 24), ("thresholds", 3), ("thresholds", 6)),
    ]
    assert all(row["grouping_ms"] > 0 for row in rows) and rows[0]["mib"] >= 0
    few, many, *same = (row["instances"] for row in rows[2:])
    assert few <= 5 < many
    assert len(set(same)) == 1  # channels of zeros and repeated thresholds change nothing
    with pytest.raises(ValueError, match="another model"):
        list(measure_growth(run, **{**series, "sides": [], "objects": [], "dims": [8]}, repeats=1))


@pytest.mark.usefixtures("no_new_processes")
def test_scoring_is_measured_on_images_of_two_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluator, "IMAGES", 3)
    small, large = rows_of("evaluator", tmp_path)
    assert (small["image_size"], large["image_size"]) == ([375, 500], [750, 1000])
    for row in (small, large):
        assert (row["images"], row["predictions"]) == (3, 3 * evaluator.PREDICTIONS)
        assert 0 < row["AP50"] < 100 and np.isfinite(row["peak_mib_added"])
