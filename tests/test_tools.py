"""The tools as a user runs them, on tiny data: train, resume, evaluate, draw, and what happens with bad input."""

import csv
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from dml_instance.data.nuclei import convert_nuclei, read_split
from toy_scenes import square_and_disc, write_coco

ROOT = Path(__file__).parents[1]
TINY = [
    *("SOLVER.IMS_PER_BATCH", "2", "SOLVER.CHECKPOINT_PERIOD", "3", "DATALOADER.NUM_WORKERS", "0"),
    *("MODEL.DML.BACKBONE.CHANNELS", "[8,12,16,20,24]", "MODEL.DML.BACKBONE.BLOCKS", "[1,1,1,1]"),
    *(
        "INPUT.RANDOM_FLIP",
        "none",
        "INPUT.AUG.RIGHT_ANGLES",
        "False",
        "MODEL.DEVICE",
        "cpu",
    ),
]


def run(tool, *arguments, ok=True):
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / tool), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (result.returncode == 0) == ok, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    scenes = [square_and_disc(64, 96), square_and_disc(70, 90), square_and_disc(64, 80)]
    blank = (np.full((48, 48, 3), 90, np.uint8), np.zeros((0, 48, 48), bool), np.zeros(0, int))
    return write_coco(folder, "toy", [*scenes, blank], as_polygons=True)


def train(data, output, iterations, *options, ok=True, config="configs/Shapes/dml_slim_unet.yaml"):
    path, images = data
    arguments = ["--config-file", config, "--register-coco", f"toy={path}:{images}", *options]
    overrides = ["DATASETS.TRAIN", "('toy',)", "DATASETS.TEST", "('toy',)", "OUTPUT_DIR", output]
    return run("train_net.py", *arguments, *overrides, "SOLVER.MAX_ITER", iterations, *TINY, ok=ok)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained")
    return output, train(data, output, 6)


def test_a_run_prints_a_table_and_writes_the_same_figures(trained):
    output, printed = trained
    results = json.loads((output / "results.json").read_text())
    assert set(results["metrics"]["toy"]) == {"bbox", "segm"}
    assert results["ms_per_image"] > 0
    assert results["training"]["iterations"] == 6
    assert results["training"]["minutes"] > 0
    assert "| toy" in printed and "training min" in printed
    assert "eta:" in printed and "loss_pair" in printed


def test_a_resumed_run_knows_its_iteration_and_lambda(data, trained, tmp_path):
    """Six iterations at once, and three with three more after a stop, log the same lambda for the same iteration."""

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
    assert "Starting training from iteration 3" in printed
    assert lambdas(tmp_path)[5] == lambdas(output)[5]
    state = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert state["iteration"] == 5
    assert state["trainer"]["hooks"]["TrainingClock"]["seconds"] > 0


def test_eval_only_repeats_the_figures_of_the_run(data, trained, tmp_path):
    output, _ = trained
    train(data, tmp_path, 6, "--eval-only", "MODEL.WEIGHTS", output / "model_final.pth")
    first, again = (
        json.loads((folder / "results.json").read_text())["metrics"]
        for folder in (output, tmp_path)
    )
    assert again == first


def test_the_coco_figures_agree_with_pycocotools_on_the_saved_predictions(data, trained):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    output, _ = trained
    predictions = output / "inference" / "toy" / "coco_instances_results.json"
    if not json.loads(predictions.read_text()):
        pytest.skip("six iterations found nothing")
    truth = COCO(str(data[0]))
    evaluation = COCOeval(truth, truth.loadRes(str(predictions)), "segm")
    evaluation.params.maxDets = [1, 10, 100]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    reported = json.loads((output / "results.json").read_text())["metrics"]["toy"]["segm"]
    assert reported["AP"] == pytest.approx(100 * evaluation.stats[0], abs=1e-6)
    assert reported["AP50"] == pytest.approx(100 * evaluation.stats[1], abs=1e-6)


def test_results_outside_the_expected_range_fail_the_run(data, tmp_path):
    expected = "[['segm', 'AP', 99.0, 0.5]]"
    printed = train(data, tmp_path, 2, "TEST.EXPECTED_RESULTS", expected, ok=False)
    assert "Result verification failed" in printed


@pytest.mark.parametrize("registration", ["toy", "toy=only.json", "=a.json:b"])
def test_a_malformed_registration_is_explained(registration):
    printed = run(
        *(
            "train_net.py",
            "--config-file",
            "configs/Shapes/dml_slim_unet.yaml",
            "--register-coco",
            registration,
        ),
        ok=False,
    )
    assert "NAME=ANNOTATIONS.json:IMAGE_DIR" in printed
    assert "Traceback" not in printed


def test_a_contradicting_class_number_ends_with_one_clear_line(data, tmp_path):
    printed = train(data, tmp_path, 2, "MODEL.DML.NUM_CLASSES", "5", ok=False)
    assert "MODEL.DML.NUM_CLASSES is 5, but toy has 2 classes: square, disc" in printed
    assert "Traceback" not in printed


def test_a_corrupt_training_image_is_named(tmp_path):
    path, images = write_coco(tmp_path, "toy", [square_and_disc()] * 2)
    (images / "002.png").write_bytes((images / "002.png").read_bytes()[:100])
    printed = train((path, images), tmp_path / "out", 3, ok=False)
    assert "002.png" in printed and "Mend or replace this file" in printed


def draw(trained, *arguments, ok=True):
    overrides = ["MODEL.DML.NUM_CLASSES", "2", "DATASETS.TRAIN", "()", "DATASETS.TEST", "()", *TINY]
    weights = trained[0] / "model_final.pth"
    config = ["--config-file", "configs/Shapes/dml_slim_unet.yaml", "--weights", weights]
    return run("visualize.py", *config, *arguments, *overrides, ok=ok)


def test_a_folder_is_drawn_and_bad_images_are_skipped(trained, tmp_path):
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    image, _, _ = square_and_disc()
    cv2.imwrite(str(folder / "good.png"), image)
    (folder / "broken.png").write_bytes((folder / "good.png").read_bytes()[:90])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    printed = draw(trained, "--input", folder, tmp_path / "absent.png", "--output", output)
    assert [path.name for path in output.iterdir()] == ["good.png"]
    assert cv2.imread(str(output / "good.png")).shape[1] > 3 * image.shape[1]
    for name in ("broken.png", "empty.jpg", "absent.png"):
        assert f"skipped {folder / name if name != 'absent.png' else tmp_path / name}" in printed
    assert "1 pictures" in printed and "3 files skipped" in printed


def test_the_config_of_a_training_draws_and_predicts_without_its_data_and_beside_it(
    data, trained, tmp_path
):
    """A config.yaml names data sets that only the training knew, and holds the number of classes and every override."""
    image, _, _ = square_and_disc()
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "deep.tif"), image[..., 0].astype(np.uint16) * 200 + 1000)
    cv2.imwrite(str(tmp_path / "in" / "eight.png"), image)
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    config = ("--config-file", trained[0] / "config.yaml")
    everything = ("--min-score", "0", "MODEL.DML.GROUPING.MIN_SEEDINESS", "0.001")
    run(
        "visualize.py",
        *config,
        "--input",
        tmp_path / "in" / "deep.tif",
        "--output",
        tmp_path / "drawn",
    )
    drawn = cv2.imread(str(tmp_path / "drawn" / "deep.png"))
    assert 20 < drawn[30:, :310].mean() < 200, "stretched, not cut off at 255"
    toy = ("--register-coco", f"toy={data[0]}:{data[1]}")
    for source in ((), ("--dataset", "toy")):
        run("visualize.py", *config, *toy, *source, "--number", 1, "--output", tmp_path / "beside")
    assert "'nowhere'" in run("visualize.py", *config, "--dataset", "nowhere", ok=False)
    assert len(list((tmp_path / "beside").iterdir())) == 1

    printed = run(
        "predict.py",
        *config,
        *toy,
        "--input",
        tmp_path / "in",
        "--output",
        tmp_path / "out",
        *everything,
    )
    assert "objects in 2 images" in printed and "1 files skipped" in printed
    coco = json.loads((tmp_path / "out" / "instances.json").read_text())
    rows = list(csv.DictReader((tmp_path / "out" / "objects.csv").open()))
    assert len(rows) == len(coco["annotations"]) > 0
    assert {row["class"] for row in rows} <= {"square", "disc"}
    for name in ("deep.tif", "eight.png"):
        labels = cv2.imread(
            str(tmp_path / "out" / "labels" / f"{name[:-4]}.png"), cv2.IMREAD_UNCHANGED
        )
        assert labels.dtype == np.uint16 and labels.shape == (64, 96)
        of_image = [row for row in rows if row["image"] == name]
        numbers, areas = np.unique(labels[labels > 0], return_counts=True)
        assert set(numbers) <= {int(row["label"]) for row in of_image}
        best = next(row for row in of_image if row["label"] == "1")
        assert int(best["area"]) == areas[0], "the best object hides the others"
        rows_of_best, _ = np.nonzero(labels == 1)
        assert float(best["center_row"]) == pytest.approx(rows_of_best.mean(), abs=0.06)
        assert float(best["height"]) == rows_of_best.max() - rows_of_best.min() + 1
    images = {image["id"]: image for image in coco["images"]}
    assert all(
        coco_mask.decode(a["segmentation"]).sum() == a["area"] > 0 for a in coco["annotations"]
    )
    assert all(
        a["segmentation"]["size"] == [images[a["image_id"]][k] for k in ("height", "width")]
        for a in coco["annotations"]
    )


def test_inputs_of_one_name_are_refused(trained, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "x.png"), square_and_disc()[0])
    config = ("--config-file", trained[0] / "config.yaml", "--output", tmp_path / "out")
    printed = run("predict.py", *config, "--input", tmp_path / "a", tmp_path / "b", ok=False)
    assert "have one name" in printed and "Traceback" not in printed


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
    printed = run(
        "train_net.py", "--config-file", "configs/Shapes/dml_slim_unet.yaml", *options, ok=False
    )
    assert message in printed and "Traceback" not in printed


def test_drawing_nothing_fails(trained, tmp_path):
    draw(trained, "--input", tmp_path / "absent.png", "--output", tmp_path / "out", ok=False)


def test_missing_weights_and_config_are_named(tmp_path):
    printed = run(
        "visualize.py",
        "--config-file",
        "configs/Shapes/dml_slim_unet.yaml",
        "--weights",
        "no.pth",
        ok=False,
    )
    assert "no.pth" in printed and "Traceback" not in printed
    printed = run("train_net.py", "--config-file", "no.yaml", ok=False)
    assert "no.yaml" in printed and "Traceback" not in printed


def stage1_zip(path, names, mask_size=(20, 30)):
    """A zip in the layout of stage1_train.zip with two nuclei an image, which overlap in one column."""
    image = np.full((20, 30, 4), 40, np.uint8)
    masks = np.zeros((2, *mask_size), np.uint8)
    masks[0, 2:8, 2:9], masks[1, 2:8, 8:14] = 255, 255
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"{name}/images/{name}.png", cv2.imencode(".png", image)[1].tobytes())
            for index, mask in enumerate(masks):
                archive.writestr(
                    f"{name}/masks/{index}.png", cv2.imencode(".png", mask)[1].tobytes()
                )


def test_nuclei_are_converted_by_the_fixed_split(tmp_path):
    split = read_split()
    assert sum(value == "train" for value in split.values()) == 464
    assert sum(value == "val" for value in split.values()) == 100
    train_name = next(name for name, value in split.items() if value == "train")
    val_name = next(name for name, value in split.items() if value == "val")
    stage1_zip(tmp_path / "a.zip", [train_name + "0" * 48, val_name + "0" * 48, "f" * 64])
    printed = run("prepare_nuclei.py", tmp_path / "a.zip", "--output", tmp_path / "dsb2018")
    assert "1 train, 1 val images" in printed
    coco = json.loads((tmp_path / "dsb2018/annotations/instances_val.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == [f"{val_name}.png"]
    masks = [coco_mask.decode(annotation["segmentation"]) for annotation in coco["annotations"]]
    assert [mask.sum() for mask in masks] == [42, 30]
    assert (sum(masks) <= 1).all()
    assert cv2.imread(str(tmp_path / f"dsb2018/images/{val_name}.png")).shape == (20, 30, 3)
    with pytest.raises(FileExistsError, match="dsb2018"):
        convert_nuclei(str(tmp_path / "a.zip"), str(tmp_path / "dsb2018"), split)


def test_bad_nuclei_archives_are_named(tmp_path):
    name = next(iter(read_split())) + "0" * 48
    stage1_zip(tmp_path / "a.zip", [name], mask_size=(9, 9))
    with pytest.raises(ValueError, match=name[:16]):
        convert_nuclei(str(tmp_path / "a.zip"), str(tmp_path / "out"), read_split())
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.part").exists()
    (tmp_path / "b.zip").write_text("no zip")
    with pytest.raises(ValueError, match=r"b\.zip"):
        convert_nuclei(str(tmp_path / "b.zip"), str(tmp_path / "out"), read_split())
    with pytest.raises(FileNotFoundError, match="BBBC038"):
        convert_nuclei(str(tmp_path / "c.zip"), str(tmp_path / "out"), read_split())
    stage1_zip(tmp_path / "d.zip", ["0" * 64])
    with pytest.raises(ValueError, match=r"stage1_train\.zip"):
        convert_nuclei(str(tmp_path / "d.zip"), str(tmp_path / "out"), read_split())


def test_label_images_become_a_data_set_that_trains(tmp_path):
    labels = np.zeros((128, 128), np.uint16)
    for number, (row, column) in enumerate([(20, 20), (20, 90), (90, 30), (95, 100)], start=1):
        cv2.circle(labels, (column, row), 12, number, -1)
    cv2.imwrite(str(tmp_path / "labels.tif"), labels)
    cv2.imwrite(str(tmp_path / "image.tif"), (labels > 0).astype(np.uint16) * 3000 + 100)
    root = tmp_path / "cells"
    source = ("--images", tmp_path / "image.tif", "--labels", tmp_path / "labels.tif", "--tile", 64)
    assert "3 train, 1 val images" in run("prepare_label_images.py", *source, "--output", root)
    assert "exists already" in run("prepare_label_images.py", *source, "--output", root, ok=False)
    train((root / "annotations" / "instances_train.json", root / "images"), tmp_path / "out", 2)
    # The raw image, deeper than 8 bits, would be cut off at 255.
    coco = json.loads((root / "annotations" / "instances_train.json").read_text())
    cv2.imwrite(
        str(root / "images" / coco["images"][0]["file_name"]), np.full((64, 64), 3000, np.uint16)
    )
    printed = train(
        (root / "annotations" / "instances_train.json", root / "images"),
        tmp_path / "deep",
        2,
        ok=False,
    )
    assert "more than 8 bits" in printed and coco["images"][0]["file_name"] in printed
    assert (tmp_path / "out" / "results.json").is_file()


def test_only_a_finished_run_is_shipped(tmp_path):
    facts = (
        "--name",
        "x",
        "--config",
        "configs/Shapes/dml_slim_unet.yaml",
        "--command",
        "make demo",
    )
    assert "no model_final.pth" in run("ship_model.py", tmp_path, *facts, ok=False)


def test_the_backbone_of_a_detector_becomes_weights_of_ours(tmp_path):
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.modeling import build_model

    from dml_instance.engine import load_config

    no_weights = ["MODEL.WEIGHTS", "", "MODEL.DEVICE", "cpu", "MODEL.RESNETS.DEPTH", "50"]
    detector = build_model(
        load_config(str(ROOT / "configs/VOC/mask_rcnn_R_50_FPN_voc_aug.yaml"), no_weights)
    )
    torch.save({"model": detector.state_dict()}, tmp_path / "detector.pth")
    assert "weights in" in run(
        "extract_backbone.py", tmp_path / "r50.pth", tmp_path / "detector.pth"
    )
    ours = build_model(
        load_config(str(ROOT / "configs/VOC/dml_R_101_deeplabv2_os8_voc_aug.yaml"), no_weights)
    )
    DetectionCheckpointer(ours).load(str(tmp_path / "r50.pth"))
    theirs = detector.backbone.bottom_up.state_dict()
    assert all(
        torch.equal(value, theirs[name]) for name, value in ours.backbone.state_dict().items()
    )
    torch.save({"head.weight": torch.zeros(1)}, tmp_path / "other.pth")
    printed = run("extract_backbone.py", tmp_path / "x.pth", tmp_path / "other.pth", ok=False)
    assert "no ResNet among its 1 weights" in printed and "Traceback" not in printed


def test_saved_predictions_are_scored_without_the_model(data, tmp_path):
    path, images = data
    coco = json.loads(path.read_text())
    found = [
        {
            "image_id": a["image_id"],
            "category_id": a["category_id"] - 1,
            "score": 0.5,
            "segmentation": rle_of(a, coco),
        }
        for a in coco["annotations"][1:]
    ]
    (tmp_path / "found.json").write_text(json.dumps(found))
    options = ["--register-coco", f"toy={path}:{images}", "--output", tmp_path / "scores.json"]
    assert "| square" in run("score_voc.py", "toy", tmp_path / "found.json", *options)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["AP50-disc"] == 100
    assert scores["AP50-square"] == pytest.approx(100 * 2 / 3)
    for arguments, message in (
        (["nowhere", tmp_path / "found.json"], "'nowhere' is not registered"),
        (["toy", tmp_path / "absent.json", *options], "absent.json"),
        (["toy", path, *options], "no list of COCO's results"),
    ):
        printed = run("score_voc.py", *arguments, ok=False)
        assert message in printed and "Traceback" not in printed


def rle_of(annotation, coco):
    (image,) = [image for image in coco["images"] if image["id"] == annotation["image_id"]]
    encoded = coco_mask.merge(
        coco_mask.frPyObjects(annotation["segmentation"], image["height"], image["width"])
    )
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}
