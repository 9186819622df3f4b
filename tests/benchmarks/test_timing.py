import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.structures import BoxMode
from scipy import ndimage

from dml_instance.benchmark.clusterings import (
    hdbscan,
    instances_of_labels,
    loop_over_seeds,
    mean_shift,
    sklearn_cluster,
)
from dml_instance.benchmark.growth import exponents, measure_growth
from dml_instance.benchmark.measure import AddedMemory, in_fresh_process, interleaved
from dml_instance.benchmark.panoptic_deeplab import panoptic_deeplab, perfect_maps, project_module
from dml_instance.benchmark.peers import _as_coco, _scores, ground_truth_of
from dml_instance.benchmark.predicted import Predicted, evenly_taken
from dml_instance.benchmark.roofline import MachineSpeed, Work, grouping_work, machine_speed
from dml_instance.benchmark.scenes import drawn_cells
from dml_instance.benchmark.stopwatch import Stopwatch
from dml_instance.files import read_json, write_json
from dml_instance.modeling.inference import InstanceGrouping
from dml_instance.structures import PixelPredictions
from toy_scenes import rle, square_and_disc, write_coco

ROOT = Path(__file__).parents[1]


def test_functions_are_called_in_turn_and_warm_ups_do_not_count():
    calls = []
    times = interleaved(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3, warm_up=2
    )
    assert calls == ["a", "b"] * 5
    assert set(times) == {"a", "b"}
    for figures in times.values():
        assert 0 <= figures["ms_low"] <= figures["ms"] <= figures["ms_high"]


def _held(mib):
    with AddedMemory() as added:
        np.ones(mib * 2**20, np.uint8).sum()
    return added.mib


def test_memory_is_that_of_the_block_even_after_a_larger_peak():
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux can forget a peak")
    np.ones(200 * 2**20, np.uint8).sum()
    assert _held(60) == pytest.approx(60, abs=12)
    assert in_fresh_process(_held, 30) == pytest.approx(30, abs=12)


@pytest.mark.parametrize(
    ("size", "objects"), [((128, 128), 10), ((256, 300), 150), ((64, 400), 40)]
)
def test_cells_are_apart_and_as_many_as_wanted(size, objects):
    image = drawn_cells(*size, objects)
    assert image.shape == (*size, 3) and image.dtype == np.uint8
    _, count = ndimage.label(image[..., 0] > 70)
    assert objects <= count <= 2 * objects


def test_the_tool_times_a_model_and_its_parts(tmp_path):
    command = [
        sys.executable,
        str(ROOT / "tools" / "benchmark.py"),
        "inference",
        "--size",
        "64",
        "96",
    ]
    command += [
        "--objects",
        "6",
        "--batch",
        "1",
        "2",
        "--repeats",
        "1",
        "--output",
        str(tmp_path / "out.json"),
    ]
    command += [
        "--run",
        "ours",
        "configs/DSB2018/dml_slim_unet.yaml",
        "dml://nuclei",
        "MODEL.DEVICE",
        "cpu",
    ]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr[-2000:]
    rows = json.loads((tmp_path / "out.json").read_text())["inference"]
    assert [row["run"] for row in rows] == ["ours", "ours: network", "ours: grouping"] * 2
    assert all(row["ms"] > 0 for row in rows)
    assert rows[0]["mib"] > 0 and rows[0]["instances"] > 0
    wrong = subprocess.run(
        [*command[:3], "--run", "ours", "x.yaml"], capture_output=True, text=True, cwd=ROOT
    )
    assert wrong.returncode != 0 and "--run takes NAME" in wrong.stderr


def two_objects():
    """Masks (2, 64, 96) bool, whose sides lie on a grid of stride 2, classes (2,), and predictions that tell them."""
    masks = torch.zeros(2, 64, 96, dtype=torch.bool)
    masks[0, 8:28, 10:40] = True
    masks[1, 32:60, 50:90] = True
    of_cells = masks[:, ::2, ::2]
    generator = torch.Generator().manual_seed(0)
    embedding = 0.05 * torch.randn(1, 4, 32, 48, generator=generator)
    embedding[0, 0] += 6 * of_cells[0]
    embedding[0, 1] += 6 * of_cells[1]
    logits = torch.full((1, 2, 3, 32, 48), -4.0)  # two thresholds, background and two classes
    logits[:, :, 0] = 4.0
    for index, cells in enumerate(of_cells):
        logits[0, 0, 0, cells] = -4.0
        logits[0, 0, 1 + index, cells] = 4.0
    predictions = PixelPredictions(embedding, torch.ones(1, 32, 48), logits, stride=2)
    return masks, torch.tensor([0, 1]), Predicted(predictions, (64, 96), (64, 96))


TAUS = (0.5, 0.75)


def plain_grouping():
    return InstanceGrouping(
        taus=TAUS,
        candidates="peaks",
        peak_size=3,
        min_seediness=0.5,
        max_seeds=50,
        alpha=0.3,
        diversity="dissimilarity",
        context=-1,
        connect_gap=0,
        bridge_probability=0.3,
        small_mask_cells=0.0,
        max_overlap=0.5,
        mask_resolution="grid",
        score="seediness",
        class_of="seed",
        max_instances=10,
    )


def of_ours(masks, classes, image):
    return plain_grouping()([image.predictions], [image.image_size], 0, image.output_size)


def of_panoptic_deeplab(masks, classes, image):
    return panoptic_deeplab(
        perfect_maps(masks, classes, image.image_size, 2), 2, image.cell_size, image.output_size
    )


GROUPINGS = {
    "ours": of_ours,
    "seed_loop": lambda masks, classes, image: loop_over_seeds(image, plain_grouping(), TAUS),
    "mean_shift": lambda masks, classes, image: mean_shift(image, binned=False),
    "mean_shift_binned": lambda masks, classes, image: mean_shift(image, binned=True),
    "hdbscan": lambda masks, classes, image: hdbscan(image),
    "panoptic_deeplab": of_panoptic_deeplab,
}


@pytest.mark.parametrize("name", GROUPINGS)
def test_every_grouping_finds_two_objects(name):
    if name in ("mean_shift", "mean_shift_binned", "hdbscan"):
        pytest.importorskip("sklearn")
    masks, classes, image = two_objects()
    found = GROUPINGS[name](masks, classes, image)
    assert found.image_size == (64, 96) and len(found) == 2
    for index in range(2):
        (place,) = (found.pred_classes == classes[index]).nonzero()
        assert found.pred_masks.dtype == torch.bool
        assert torch.equal(found.pred_masks[place[0]], masks[index])
        assert found.scores[place[0]] > 0.95


@pytest.mark.parametrize("name", GROUPINGS)
def test_every_grouping_bears_an_image_without_objects(name):
    if name in ("mean_shift", "mean_shift_binned", "hdbscan"):
        pytest.importorskip("sklearn")
    masks, classes, image = two_objects()
    image.predictions.class_logits[:, :, 0] = 30.0
    found = GROUPINGS[name](masks[:0], classes[:0], image)
    assert len(found) == 0 and found.pred_masks.shape == (0, 64, 96)


def test_clusters_take_the_score_and_class_of_their_cells():
    labels = torch.tensor([[1, 1, 0], [0, 2, 2]])
    probability = torch.tensor(
        [[[0.9, 0.5, 0.8], [0.1, 0.2, 0.3]], [[0.1, 0.6, 0.1], [0.1, 0.7, 0.3]]]
    )
    found = instances_of_labels(labels, probability, (2.0, 1.5), (4, 5))
    assert found.scores.tolist() == pytest.approx([(0.9 + 0.6) / 2, (0.7 + 0.3) / 2])
    assert found.pred_classes.tolist() == [0, 1]
    # Columns have their centres at 0.5, 1.5 ... 4.5 pixels, which lie in the cells 0, 1, 1, 2 and
    # 3, which is 2 still.
    expected = torch.zeros(2, 4, 5, dtype=torch.bool)
    expected[0, :2, :3] = True
    expected[1, 2:, 1:] = True
    assert torch.equal(found.pred_masks, expected)


def test_maps_of_the_ground_truth_point_at_the_centres():
    masks, classes, _ = two_objects()
    maps = perfect_maps(masks, classes, (64, 96), stride=2)
    assert (
        maps.semantic[0, 6, 8] == 1
        and maps.semantic[0, 20, 30] == 2
        and maps.semantic[0, 0, 0] == 0
    )
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    pointed = torch.stack([rows, columns]) + maps.offsets[:]
    for index, centre in enumerate([(8.5, 12.0), (22.5, 34.5)]):
        cells = masks[index, ::2, ::2]
        assert pointed[:, cells].unique(dim=1).T.tolist() == [list(centre)]
        assert maps.centers[0, round(centre[0]), round(centre[1])] == 1
    assert not maps.offsets[:, maps.semantic[0] == 0].any()


def test_more_objects_than_the_project_takes_by_default_come_back():
    labels = torch.zeros(160, 200, dtype=torch.int64)
    for index in range(320):
        row, column = divmod(index, 20)
        labels[10 * row + 2 : 10 * row + 8, 10 * column + 2 : 10 * column + 8] = index + 1
    masks = labels == torch.arange(1, 321)[:, None, None]
    maps = perfect_maps(masks, torch.zeros(320, dtype=torch.int64), (160, 200), stride=1)
    found = panoptic_deeplab(maps, 1, (1.0, 1.0), (160, 200))
    assert {mask.numpy().tobytes() for mask in found.pred_masks} == {
        mask.numpy().tobytes() for mask in masks
    }


def test_true_masks_score_full_marks_and_none_score_zero():
    masks, classes, image = two_objects()
    record = {"image_id": "a", "file_name": "a.png", "height": 64, "width": 96}
    record["annotations"] = [
        {
            "category_id": int(c),
            "bbox": [0, 0, 96, 64],
            "bbox_mode": BoxMode.XYXY_ABS,
            "segmentation": rle(m.numpy()),
        }
        for m, c in zip(masks, classes, strict=True)
    ]
    truth = ground_truth_of([record], num_classes=2)
    found = of_panoptic_deeplab(masks, classes, image)
    assert _scores(truth, _as_coco(found, "a"), 100) == {
        "AP": pytest.approx(100),
        "AP50": pytest.approx(100),
    }
    assert _scores(truth, _as_coco(found[found.pred_classes == 0], "a"), 100)[
        "AP"
    ] == pytest.approx(50)
    assert _scores(truth, [], 100) == {"AP": 0.0, "AP50": 0.0}
    record["annotations"][0]["segmentation"] = []
    with pytest.raises(ValueError, match=r"a\.png has an object without a mask"):
        ground_truth_of([record], num_classes=2)


def test_a_missing_peer_is_named_with_its_cure(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        sklearn_cluster()
    monkeypatch.setattr("detectron2.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(ImportError, match="comes without its projects"):
        project_module.__wrapped__()


def test_an_unknown_data_set_is_named():
    with pytest.raises(ValueError, match="data set nowhere is not registered"):
        evenly_taken("nowhere", 3)


def test_a_stopwatch_counts_inner_parts_once():
    watch = Stopwatch()
    ticks = iter([0.0, 1.0, 4.0, 6.0, 10.0, 11.0])

    def inner():
        return "done"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dml_instance.benchmark.stopwatch.now_ms", lambda: next(ticks))
        with watch.part("outer"):
            assert watch.timed("inner", inner)() == "done"
        assert watch.take() == {"outer": 3.0, "inner": 3.0}
        assert next(watch.drawn("data", [7])) == 7
        assert watch.take() == {"data": 1.0}
    assert watch.take() == {} and list(watch.drawn("data", [])) == []


def test_the_least_work_of_a_grouping_by_hand():
    _, _, image = two_objects()
    # Boxes of 20 x 30 and 28 x 40 pixels, 4 pixels a cell.
    boxes = torch.tensor([[10.0, 8.0, 40.0, 28.0], [50.0, 32.0, 90.0, 60.0]])
    logits, cells, pixels = 2 * 3 * 32 * 48, 150 + 280, 600 + 1120
    work = grouping_work(image, boxes)
    assert work.bytes == 4 * logits + 4 * 4 * cells + pixels
    assert work.flops == 3 * logits + 13 * cells
    assert grouping_work(image, boxes[:0]) == Work(flops=3 * logits, bytes=4 * logits)


def test_the_limit_is_what_takes_longer():
    speed = MachineSpeed(bytes_per_second=1e9, flops_per_second=1e10, threads=1)
    assert speed.limit_ms(Work(flops=10**7, bytes=10**7)) == pytest.approx(10)
    assert speed.limit_ms(Work(flops=10**9, bytes=10**7)) == pytest.approx(100)
    measured = machine_speed(copied_mib=1, side=32, repeats=1)
    assert measured.bytes_per_second > 0 and measured.flops_per_second > 0
    assert measured.threads == torch.get_num_threads()


@pytest.fixture(scope="module")
def registration(tmp_path_factory):
    scenes = [square_and_disc(64, 96), square_and_disc(70, 90), square_and_disc(64, 80)]
    scenes = [(image, masks, np.zeros(2, int)) for image, masks, _ in scenes]
    path, images = write_coco(
        tmp_path_factory.mktemp("data"), "toy", scenes, class_names=["nucleus"]
    )
    return f"toy={path}:{images}"


def benchmark(part, *arguments, ok=True):
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "benchmark.py"), part, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (result.returncode == 0) == ok, result.stderr[-2000:]
    return result.stderr


OURS = (
    "--run",
    "ours",
    "configs/DSB2018/dml_slim_unet.yaml",
    "dml://nuclei",
    "MODEL.DEVICE",
    "cpu",
)


def test_the_tool_compares_groupings(registration, tmp_path):
    pytest.importorskip("sklearn")
    output = tmp_path / "out.json"
    data = ("--register-coco", registration, "--dataset", "toy", "--images", "2", "--repeats", "1")
    benchmark("peers", *data, *OURS, "--output", output)
    rows = {row["method"]: row for row in json.loads(output.read_text())["peers"]}
    assert set(rows) == set(GROUPINGS)
    for row in rows.values():
        assert row["ms_low"] <= row["ms"] <= row["ms_high"] and row["images"] == 2
        assert 0 <= row["AP"] <= row["AP50"] <= 100
    assert rows["ours"]["times_ours"] == 1
    assert (
        rows["panoptic_deeplab"]["AP50"] == pytest.approx(100)
        and rows["panoptic_deeplab"]["instances"] == 2
    )
    scales = benchmark("peers", *data, *OURS, "MODEL.DML.TEST_SCALES", "[1.0,2.0]", ok=False)
    assert "error: run ours sees images at 2 scales" in scales
    assert "data set moon is not registered" in benchmark(
        "peers", "--dataset", "moon", *OURS, ok=False
    )


def test_the_tool_takes_training_iterations_apart(registration, tmp_path):
    output = tmp_path / "out.json"
    options = ("MODEL.DEVICE", "cpu", "DATASETS.TRAIN", "('toy',)", "SOLVER.IMS_PER_BATCH", "2")
    options += (
        "INPUT.CROP.SIZE",
        "[64,64]",
        "DATALOADER.NUM_WORKERS",
        "1",
        "OUTPUT_DIR",
        tmp_path / "none",
    )
    ours = ("--run", "ours", "configs/DSB2018/dml_slim_unet.yaml", *options)
    theirs = ("--run", "mask_rcnn", "configs/DSB2018/mask_rcnn_R_18_FPN.yaml", *options)
    benchmark(
        "training",
        "--register-coco",
        registration,
        "--repeats",
        "2",
        *ours,
        *theirs,
        "--output",
        output,
    )
    rows = json.loads(output.read_text())["training"]
    parts = {
        name: {row["part"]: row for row in rows if row["run"] == name}
        for name in ("ours", "mask_rcnn")
    }
    everywhere = {"iteration", "mapper, an image", "data", "backward", "optimizer", "other"}
    assert set(parts["ours"]) == everywhere | {"network", "targets", "losses"}
    assert set(parts["mask_rcnn"]) == everywhere | {"forward"}
    for of_run in parts.values():
        whole = of_run["iteration"]
        assert (whole["share"], whole["batch"], whole["iterations"], whole["workers"]) == (
            100,
            2,
            2,
            1,
        )
        assert whole["mib"] > 0
        shares = [
            row["share"] for part, row in of_run.items() if part != "iteration" and "share" in row
        ]
        assert sum(shares) == pytest.approx(100)
    assert not (tmp_path / "none").exists()
    assert "--run of training takes NAME CONFIG.yaml [KEY VALUE ...]" in benchmark(
        "training", *OURS, ok=False
    )


def test_the_tool_compares_with_the_limit(registration, tmp_path):
    output = tmp_path / "out.json"
    data = ("--register-coco", registration, "--dataset", "toy", "--images", "1", "--repeats", "1")
    benchmark("roofline", *data, *OURS, "--output", output)
    network, grouping = json.loads(output.read_text())["roofline"]
    assert (network["part"], grouping["part"]) == ("network", "grouping")
    assert network["mflop"] > grouping["mflop"] > 0
    for row in (network, grouping):
        assert row["times_limit"] == pytest.approx(1e3 * row["ms"] / row["limit_us"])


def test_rows_of_figures_become_json_that_others_read(tmp_path):
    path = str(tmp_path / "rows.json")
    write_json(path, {"rows": [{"a": float("nan"), "b": np.float64(1.5)}, {"sizes": (1, 2)}]})
    assert read_json(path) == {"rows": [{"a": None, "b": 1.5}, {"sizes": [1, 2]}]}


def test_exponents_are_those_of_a_power_law():
    rows = [
        {
            "of": "side",
            "value": side,
            "network_ms": 2.0 * side**2,
            "grouping_ms": 3.0 * side,
            "mib": None,
        }
        for side in (400, 100, 200)
    ]
    rows += [{"of": "seeds", "value": 10, "grouping_ms": 1.0}]
    fitted = {(row["of"], row["figure"]): row for row in exponents(rows)}
    assert set(fitted) == {
        ("pixels", "network_ms"),
        ("pixels", "grouping_ms"),
        ("pixels", "total_ms"),
    }
    assert fitted["pixels", "network_ms"]["exponent"] == pytest.approx(1.0)
    assert fitted["pixels", "grouping_ms"]["exponent_at_end"] == pytest.approx(0.5)
    assert 0.5 < fitted["pixels", "total_ms"]["exponent"] < 1.0


def test_growth_varies_one_thing_at_a_time():
    run = ("configs/DSB2018/dml_slim_unet.yaml", "dml://nuclei", ["MODEL.DEVICE", "cpu"])
    series = {
        "sides": [96],
        "objects": [1],
        "seeds": [5, 40],
        "dims": [16, 24],
        "thresholds": [3, 6],
    }
    rows = list(measure_growth(run, **series, repeats=2))
    assert [(row["of"], row["value"]) for row in rows] == [
        ("side", 96), ("objects", 1), ("seeds", 5), ("seeds", 40), ("embedding size", 16), ("embedding size", 24),
        ("thresholds", 3), ("thresholds", 6),
    ]  # fmt: skip
    assert all(row["grouping_ms"] > 0 for row in rows) and rows[0]["mib"] > 0
    few, many, *same = (row["instances"] for row in rows[2:])
    assert few <= 5 < many
    assert len(set(same)) == 1  # channels of zeros and repeated thresholds change nothing
    with pytest.raises(ValueError, match="another model"):
        list(measure_growth(run, **{**series, "sides": [], "objects": [], "dims": [8]}, repeats=1))


def test_sections_of_a_page_are_replaced_and_nothing_else(tmp_path):
    machine = {"threads": 2, "cores": 2, "processor": "x86_64", "torch": "2", "date": "2026-01-01"}
    rows = [
        {"of": "seeds", "value": 10, "grouping_ms": 10.0, "instances": 7},
        {"of": "seeds", "value": 1000, "grouping_ms": 100.0, "instances": 500},
    ]
    page = tmp_path / "page.md"
    page.write_text("# Speed\n\n<!-- growth -->\nold\n<!-- /growth -->\n\nkept\n")
    results = tmp_path / "benchmark_growth.json"
    results.write_text(json.dumps({"command": "python x", "machine": machine, "growth": rows}))
    command = [
        sys.executable,
        str(ROOT / "tools" / "performance_page.py"),
        str(results),
        "--page",
        str(page),
    ]
    result = subprocess.run(
        [*command, "--images", str(tmp_path)], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 0, result.stderr[-2000:]
    text = page.read_text()
    assert text.startswith("# Speed\n\n<!-- growth -->\n|") and text.endswith(
        "<!-- /growth -->\n\nkept\n"
    )
    assert (
        "old" not in text
        and "`python x`, 2 threads" in text
        and "| seeds | grouping_ms |" in text
        and "0.50" in text
    )
    assert (tmp_path / "performance_growth.png").stat().st_size > 5000
    page.write_text("nothing to replace\n")
    result = subprocess.run(
        [*command, "--images", str(tmp_path)], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode != 0 and "no marks <!-- growth -->" in result.stderr
