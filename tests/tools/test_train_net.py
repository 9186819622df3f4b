"""Training as a user runs it, on tiny data: train, resume, evaluate, and bad input."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dml_instance.engine import TrainingClock
from tool_runner import ROOT, TINY, run_tool, train
from toy_scenes import square_and_disc, write_coco


def test_a_run_prints_a_table_and_writes_the_same_figures(trained):
    output, printed = trained
    results = json.loads((output / "results.json").read_text())
    assert set(results["metrics"]["toy"]) == {"bbox", "segm"}
    assert results["ms_per_image"] > 0
    assert results["training"]["iterations"] == 6
    assert results["training"]["minutes"] > 0
    assert "| toy" in printed and "training min" in printed
    assert "\niteration 6 of 6 · loss " in printed


def test_curves_and_pictures_of_a_training_are_there(trained):
    """For TensorBoard, whose own reader says what is in its file."""
    output, _ = trained
    events = EventAccumulator(str(output))
    events.Reload()
    assert {"dml/distance_within", "dml/seed_lambda", "total_loss", "lr"} <= set(
        events.Tags()["scalars"]
    )
    page = (ROOT / "docs" / "watching.md").read_text(encoding="utf-8")
    logged = {name for name in events.Tags()["scalars"] if name.startswith("dml/")}
    assert logged == set(re.findall(r"`(dml/\w+)`", page))
    assert [image.step for image in events.Images("watched")] == [2, 5]
    assert sorted(path.name for path in (output / "watched").iterdir()) == [
        *("iteration_0000003.jpg", "iteration_0000006.jpg")
    ]


def test_a_training_starts_with_a_few_lines(data, tmp_path):
    """Whatever comes before the first loss, of a process of its own and its libraries."""
    path, images = data
    command = [
        *(sys.executable, "tools/train_net.py"),
        *("--config-file", "configs/Shapes/dml_slim_unet.yaml"),
        *("--register-coco", f"toy={path}:{images}", "DATASETS.TRAIN", "('toy',)"),
        *("DATASETS.TEST", "()", "OUTPUT_DIR", str(tmp_path), "SOLVER.MAX_ITER", "3", *TINY),
    ]
    run = subprocess.run(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
    )
    lines = run.stdout.splitlines()
    before = lines[: next(i for i, line in enumerate(lines) if line.startswith("iteration "))]
    assert len(before) <= 30, run.stdout
    said = "\n".join(before)
    for part in ("4 images, 6 objects", "square (3), disc (3)", "pixels across", "computes in"):
        assert part in said
    log = (tmp_path / "log.txt").read_text()
    for part in ("Environment info", "\nSOLVER:", "(embedding_head): ", "4 images, 6 objects"):
        assert part in log


def test_a_run_keeps_its_classes_and_its_least_score(data, trained, tmp_path):
    """The least score is that of the data of the run, as its metrics have it."""
    stored = yaml.safe_load((trained[0] / "config.yaml").read_text())
    assert stored["DATASETS"]["CLASS_NAMES"] == ["square", "disc"]
    assert stored["DATASETS"]["CATEGORY_IDS"] == [3, 4]
    # After six iterations a model is sure of little.
    weak = ("MODEL.DML.GROUPING.MIN_SEEDINESS", "0.001", "TEST.INSTANCE_METRICS.ENABLED", "True")
    weights = ("MODEL.WEIGHTS", trained[0] / "model_final.pth")
    printed = train(data, tmp_path, 6, "--eval-only", *weights, *weak)
    metrics = json.loads((tmp_path / "results.json").read_text())["metrics"]["toy"]
    stored = yaml.safe_load((tmp_path / "config.yaml").read_text())["TEST"]["MIN_SCORE"]
    if metrics["segm_instances"]["recall@50"] > 0:
        assert stored == metrics["segm_instances"]["min_score"]
        assert f"objects of score {stored} and more give the best F1" in printed
    else:
        assert stored is None and "TEST.MIN_SCORE was not chosen: no object of toy" in printed
    keys = ("TEST.MIN_SCORE", "0.3", "MODEL.DML.GROUPING.MAX_SEEDS", "1")
    printed = train(data, tmp_path / "given", 6, "--eval-only", *weights, *weak, *keys)
    assert "MODEL.DML.GROUPING.MAX_SEEDS was reached in 4 images" in printed
    stored = yaml.safe_load((tmp_path / "given" / "config.yaml").read_text())
    assert stored["TEST"]["MIN_SCORE"] == 0.3


def test_a_resumed_run_knows_its_iteration_and_lambda(data, trained, tmp_path):
    """Six iterations at once log the same lambda as three with three more after a stop."""

    def lambdas(folder):
        rows = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
        return {
            row["iteration"]: row["dml/seed_lambda"] for row in rows if "dml/seed_lambda" in row
        }

    # MAX_ITER is the schedule's length, so the stop is made by taking the later checkpoint away
    output, _ = trained
    for name in ("config.yaml", "metrics.json", "model_0000002.pth"):
        (tmp_path / name).write_bytes((output / name).read_bytes())
    (tmp_path / "metrics.json").unlink()
    (tmp_path / "last_checkpoint").write_text("model_0000002.pth")
    printed = train(data, tmp_path, 6, "--resume")
    assert "goes on at iteration 4" in printed and "\niteration 6 of 6 · " in printed
    assert lambdas(tmp_path)[5] == lambdas(output)[5]
    state = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert state["iteration"] == 5
    assert state["trainer"]["hooks"]["TrainingClock"]["seconds"] > 0


def test_a_damaged_checkpoint_is_passed_over_and_none_that_is_whole_is_one_line(
    data, trained, tmp_path
):
    output, _ = trained
    names = ("model_0000002.pth", "model_0000005.pth")
    for name in names:
        (tmp_path / name).write_bytes((output / name).read_bytes())
    (tmp_path / "checkpoints.txt").write_text("\n".join(names))
    (tmp_path / "last_checkpoint").write_text(names[-1])
    (tmp_path / names[1]).write_bytes((output / names[1]).read_bytes()[:-1000])
    printed = train(data, tmp_path, 6, "--resume")
    (warning,) = (line for line in printed.splitlines() if names[1] in line)
    assert warning.startswith(f"warning: {tmp_path / names[1]} is damaged")
    assert warning.endswith(f"goes on from the one before, {tmp_path / names[0]}")
    assert "goes on at iteration 4" in printed
    for path in tmp_path.glob("*.pth"):
        path.write_bytes(b"")
    printed = train(data, tmp_path, 6, "--resume", ok=False)
    assert printed.splitlines()[-1].startswith(f"error: no checkpoint of {tmp_path} can be read: ")
    assert "Traceback" not in printed


def test_a_loss_that_is_not_finite_ends_a_run_in_one_line(data, tmp_path):
    printed = train(data, tmp_path, 6, "SOLVER.ADAMW.BASE_LR", "1e30", ok=False)
    *_, line = lines = printed.splitlines()
    assert line.startswith("error: the loss loss_") and ".png; no step was taken with it" in line
    assert "Traceback" not in printed
    assert [text for text in lines if "error" in text or "xception" in text] == [line]
    assert not (tmp_path / "model_final.pth").exists()


def test_a_training_says_that_it_replaces_another(data, trained, tmp_path):
    shutil.copy(trained[0] / "model_final.pth", tmp_path)
    assert "holds a trained model, which this training will replace" in train(data, tmp_path, 1)
    assert "holds a trained model" not in trained[1]


def test_eval_only_repeats_the_figures_of_the_run(data, trained, tmp_path):
    output, _ = trained
    train(data, tmp_path, 6, "--eval-only", "MODEL.WEIGHTS", output / "model_final.pth")
    first, again = (
        json.loads((folder / "results.json").read_text())["metrics"]
        for folder in (output, tmp_path)
    )
    assert again == first


def test_a_model_is_scored_without_its_training_data_and_found_by_its_config(data, tmp_path):
    """And drawn, both on the set that it is evaluated on."""
    held_out = f"held_out={data[0]}:{data[1]}"
    run_tool(
        *("train_net", "--config-file", "configs/Shapes/dml_slim_unet.yaml"),
        *("--register-coco", f"toy={data[0]}:{data[1]}", "--register-coco", held_out),
        *("DATASETS.TRAIN", "('toy',)", "DATASETS.TEST", "('held_out',)", "OUTPUT_DIR", tmp_path),
        *("SOLVER.MAX_ITER", 1, *TINY),
    )
    before = json.loads((tmp_path / "results.json").read_text())["metrics"]
    (tmp_path / "results.json").unlink()
    config = ("--config-file", tmp_path / "config.yaml", "--register-coco", held_out)
    run_tool("train_net", *config, "--eval-only", "TEST.MIN_SCORE", "0.25")
    assert json.loads((tmp_path / "results.json").read_text())["metrics"] == before
    pictures = tmp_path / "drawn"
    run_tool("visualize", *config, "--number", 1, "--output", pictures, "TEST.MIN_SCORE", "0.5")
    assert len(list(pictures.iterdir())) == 1
    printed = run_tool("visualize", *config[:2], "--output", pictures, ok=False)
    assert printed.startswith("error: data set 'held_out' is not registered")


@pytest.mark.parametrize("options", [(), ("--eval-only",)], ids=["training", "scoring"])
def test_weights_that_are_not_there_or_none_are_one_line(data, tmp_path, options):
    (tmp_path / "none.pth").write_bytes(data[0].read_bytes())
    for weights, line in (
        ("gone.pth", "error: no weights at gone.pth; train first"),
        (tmp_path / "none.pth", f"error: {tmp_path / 'none.pth'} cannot be loaded into the model"),
    ):
        printed = train(data, tmp_path, 1, *options, "MODEL.WEIGHTS", weights, ok=False)
        assert printed.splitlines()[-1].startswith(line) and "Traceback" not in printed
    if options:
        printed = train(data, tmp_path, 1, *options, ok=False)
        line = f"error: no weights at {tmp_path / 'model_final.pth'}; train first"
        assert printed.splitlines()[-1].startswith(line)


def test_instance_metrics_are_in_the_table_and_the_file(data, trained, tmp_path):
    keys = ("TEST.INSTANCE_METRICS.ENABLED", "True", "TEST.INSTANCE_METRICS.MIN_SCORE", "0.125")
    weights = ("MODEL.WEIGHTS", trained[0] / "model_final.pth")
    printed = train(data, tmp_path, 6, "--eval-only", *weights, *keys)
    metrics = json.loads((tmp_path / "results.json").read_text())["metrics"]["toy"]
    assert set(metrics) == {"bbox", "segm", "segm_boundary", "segm_instances"}
    assert metrics["segm_instances"]["min_score"] == 0.125
    assert {"AP_dsb@50", "PQ-square", "SBD", "BF"} <= set(metrics["segm_instances"])
    assert "AP-disc" in metrics["segm_boundary"]
    assert "| masks, boundaries |" in printed and "|   least score |" in printed
    assert "predictions of score 0.12 and more" in printed


def test_a_key_of_instance_metrics_out_of_range_ends_a_run_before_its_training(data, tmp_path):
    keys = ("TEST.INSTANCE_METRICS.ENABLED", "True", "TEST.INSTANCE_METRICS.MIN_SCORE", "50")
    printed = train(data, tmp_path, 6, *keys, ok=False)
    assert "error: TEST.INSTANCE_METRICS.MIN_SCORE is None or in [0, 1], got 50" in printed
    assert "Traceback" not in printed and not (tmp_path / "metrics.json").exists()


def test_the_coco_figures_agree_with_pycocotools_on_the_saved_predictions(data, trained, tmp_path):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    # After six iterations a model is sure of little.
    weak = ("MODEL.DML.GROUPING.MIN_SEEDINESS", "0.001")
    weights = ("MODEL.WEIGHTS", trained[0] / "model_final.pth")
    train(data, tmp_path, 6, "--eval-only", *weights, *weak)
    predictions = tmp_path / "inference" / "toy" / "coco_instances_results.json"
    assert json.loads(predictions.read_text())
    truth = COCO(str(data[0]))
    evaluation = COCOeval(truth, truth.loadRes(str(predictions)), "segm")
    evaluation.params.maxDets = [1, 10, 100]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    reported = json.loads((tmp_path / "results.json").read_text())["metrics"]["toy"]["segm"]
    assert reported["AP"] == pytest.approx(100 * evaluation.stats[0], abs=1e-6)
    assert reported["AP50"] == pytest.approx(100 * evaluation.stats[1], abs=1e-6)


def test_results_outside_the_expected_range_fail_the_run(data, tmp_path):
    expected = ("TEST.EXPECTED_RESULTS", "[['segm', 'AP', 99.0, 0.5]]")
    printed = train(data, tmp_path, 2, *expected, "TEST.MIN_SCORE", "0.3", ok=False)
    assert "Result verification failed" in printed
    stored = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert stored["TEST"]["MIN_SCORE"] == 0.3, "what is given stays"


@pytest.mark.parametrize("registration", ["toy", "toy=only.json", "=a.json:b"])
def test_a_malformed_registration_is_explained(registration):
    config = ("--config-file", "configs/Shapes/dml_slim_unet.yaml")
    printed = run_tool("train_net", *config, "--register-coco", registration, ok=False)
    assert "NAME=ANNOTATIONS.json:IMAGE_DIR" in printed
    assert "Traceback" not in printed


def test_a_contradicting_class_number_ends_with_one_clear_line(data, tmp_path):
    printed = train(data, tmp_path, 2, "MODEL.DML.NUM_CLASSES", "5", ok=False)
    assert "MODEL.DML.NUM_CLASSES is 5, but toy has 2 classes: square, disc" in printed
    assert "Traceback" not in printed


def test_a_set_that_nothing_scores_is_refused_before_a_training(data, tmp_path):
    name = "scored_by_nothing"
    DatasetCatalog.register(name, list)
    MetadataCatalog.get(name).set(thing_classes=["square", "disc"], evaluator_type="lvis")
    try:
        printed = run_tool(
            *("train_net", "--config-file", "configs/Shapes/dml_slim_unet.yaml"),
            *("--register-coco", f"toy={data[0]}:{data[1]}", "DATASETS.TRAIN", "('toy',)"),
            *("DATASETS.TEST", f"('{name}',)", "OUTPUT_DIR", tmp_path, "SOLVER.MAX_ITER", 1, *TINY),
            ok=False,
        )
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    assert printed.splitlines()[-1] == (
        f"error: data set {name} has evaluator_type 'lvis'; known are 'coco', 'voc_instance', "
        "'pascal_voc', 'cityscapes_instance'"
    )
    assert not (tmp_path / "metrics.json").exists()


def test_a_refused_annotation_file_ends_a_run_before_it_begins(tmp_path):
    path, images = write_coco(tmp_path, "toy", [square_and_disc()] * 2)
    coco = json.loads(path.read_text())
    for annotation in coco["annotations"]:
        annotation["segmentation"] = [[1, 2, 3, 4]]
    path.write_text(json.dumps(coco))
    printed = train((path, images), tmp_path / "out", 1, ok=False)
    heading, *faults = printed[printed.index("error: ") :].splitlines()
    assert heading == f"error: {path} has 4 faults:"
    assert [fault.startswith("  annotation ") for fault in faults] == [True] * 4
    assert not (tmp_path / "out").exists()


def test_what_was_repaired_is_said_once(data, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    coco = json.loads(data[0].read_text())
    for annotation in coco["annotations"]:
        annotation["area"] = None
    (tmp_path / "spoilt.json").write_text(json.dumps(coco))
    where = tmp_path / "spoilt.json", data[1]
    printed = train(
        where, tmp_path, 6, "--eval-only", "MODEL.WEIGHTS", trained[0] / "model_final.pth"
    )
    assert printed.count("areas taken from the masks (6)") == 1
    assert "| toy" in printed


def test_a_corrupt_training_image_is_named(tmp_path):
    path, images = write_coco(tmp_path, "toy", [square_and_disc()] * 2)
    (images / "002.png").write_bytes((images / "002.png").read_bytes()[:100])
    printed = train((path, images), tmp_path / "out", 3, ok=False)
    assert "002.png" in printed and "Mend or replace this file" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["SOLVER.MAX_ITER", "3", "--register-coco", "a=b:c"],
            "--register-coco stands behind a KEY VALUE pair",
        ),
        (["MODEL.DML.NO_SUCH_KEY", "3"], "NO_SUCH_KEY"),
        (["SOLVER.MAX_ITER"], "odd length"),
    ],
)
def test_overrides_that_do_not_exist_or_come_too_early_are_named(options, message):
    printed = run_tool(
        "train_net", "--config-file", "configs/Shapes/dml_slim_unet.yaml", *options, ok=False
    )
    assert message in printed and "Traceback" not in printed


def test_a_training_of_no_iteration_or_into_a_file_is_refused(data, tmp_path):
    printed = train(data, tmp_path / "out", 0, ok=False)
    assert "error: SOLVER.MAX_ITER is at least 1, got 0" in printed
    (tmp_path / "file").write_text("mine")
    printed = train(data, tmp_path / "file", 1, ok=False)
    assert f"error: OUTPUT_DIR {tmp_path / 'file'} is a file: give a folder" in printed
    assert (tmp_path / "file").read_text() == "mine"


def test_a_training_that_is_interrupted_says_how_to_go_on(data, tmp_path, monkeypatch):
    steps = iter(range(4))

    def interrupted(trainer):
        if next(steps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingClock, "after_step", interrupted)
    last = tmp_path / "out" / "model_0000002.pth"
    printed = train(data, tmp_path / "out", 9, ok=False)
    line = f"interrupted; --resume goes on from the last checkpoint, {last}"
    assert printed.splitlines()[-1] == line
