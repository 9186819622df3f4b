"""Tiny data sets in the official layouts, trained and evaluated by the shipped yamls through
tools/train_net.py.

Only sizes, weights (there is no network here) and the length of the schedule are overridden.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES

from toy_layouts import write_cityscapes, write_sbd, write_voc
from toy_scenes import square_and_disc, write_coco

ROOT = Path(__file__).parents[1]
SIZES = [
    *(
        "SOLVER.IMS_PER_BATCH",
        "2",
        "SOLVER.MAX_ITER",
        "2",
        "SOLVER.WARMUP_ITERS",
        "1",
        "SOLVER.STEPS",
        "()",
    ),
    *(
        "MODEL.WEIGHTS",
        "",
        "MODEL.DEVICE",
        "cpu",
        "DATALOADER.NUM_WORKERS",
        "0",
        "TEST.EVAL_PERIOD",
        "0",
    ),
]
SMALL = ["INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MIN_SIZE_TEST", "64", "INPUT.MAX_SIZE_TEST", "128"]
CROP = ["INPUT.CROP.SIZE", "[64,64]", "INPUT.AUG.SCALE_RANGE", "[0.9,1.1]"]
SCENES = [square_and_disc(64, 96), square_and_disc(70, 90), square_and_disc(64, 80)]


def run(root, config, output, *overrides):
    """Train and evaluate; returns the metrics of results.json."""
    command = [
        sys.executable,
        str(ROOT / "tools" / "train_net.py"),
        "--config-file",
        str(ROOT / "configs" / config),
    ]
    environment = {
        **os.environ,
        "DETECTRON2_DATASETS": str(root),
        "FVCORE_CACHE": str(root / "cache"),
    }
    result = subprocess.run(
        [*command, *SIZES, "OUTPUT_DIR", str(output), *overrides],
        capture_output=True,
        text=True,
        cwd=output.parent,
        env=environment,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return json.loads((output / "results.json").read_text())["metrics"]


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    root = tmp_path_factory.mktemp("voc")
    named = {f"2007_00000{index}": scene for index, scene in enumerate(SCENES)}
    names = list(named)
    write_voc(root, named, {"train": names[:2], "val": names[2:], "trainval": names})
    write_sbd(
        root,
        {"2008_000007": SCENES[0], names[2]: SCENES[2]},
        {"train": ["2008_000007"], "val": [names[2]]},
    )
    return root


@pytest.mark.parametrize(
    "config",
    [
        "dml_R_101_deeplabv2_os8_voc_aug.yaml",
        "dml_R_50_voc_aug.yaml",
        "mask_rcnn_R_50_FPN_voc_aug.yaml",
    ],
)
def test_voc_trains_on_voc_and_sbd_and_is_scored_by_masks_and_boxes(voc, tmp_path, config):
    metrics = run(voc, f"VOC/{config}", tmp_path / "out", *CROP)
    assert set(metrics) == {"voc_2012_instance_val"}
    assert set(metrics["voc_2012_instance_val"]) == {"segm_voc", "segm", "bbox"}
    assert {"AP50", "AP70", "APvol", "AP50-aeroplane"} <= set(
        metrics["voc_2012_instance_val"]["segm_voc"]
    )
    assert "| tvmonitor" in (tmp_path / "out" / "log.txt").read_text(), (
        "a table of the classes is printed"
    )
    assert (
        tmp_path / "out" / "inference" / "voc_2012_instance_val" / "voc_instance_predictions.json"
    ).is_file()


def test_a_voc_without_its_boxes_is_scored_by_masks_alone(voc, tmp_path):
    (tmp_path / "VOCdevkit").mkdir()
    shutil.copytree(voc / "VOCdevkit/VOC2012", tmp_path / "VOCdevkit/VOC2012")
    (tmp_path / "VOCdevkit/VOC2012/Annotations/2007_000002.xml").unlink()
    sets = ["DATASETS.TRAIN", "('voc_2012_instance_train',)"]
    metrics = run(tmp_path, "VOC/dml_R_50_voc_aug.yaml", tmp_path / "out", *CROP, *sets)
    assert set(metrics["voc_2012_instance_val"]) == {"segm_voc", "segm"}
    assert (
        "boxes of voc_2012_instance_val are not scored"
        in (tmp_path / "out" / "log.txt").read_text()
    )


def test_missing_data_ends_the_run_before_it_starts_with_one_clear_line(voc, tmp_path):
    command = [sys.executable, str(ROOT / "tools" / "train_net.py"), "--config-file"]
    command += [
        str(ROOT / "configs/VOC/dml_R_50_voc_aug.yaml"),
        *SIZES,
        "OUTPUT_DIR",
        str(tmp_path / "out"),
    ]
    for root, message in (
        (tmp_path, "VOCdevkit/VOC2012"),
        (voc / "only_voc", "benchmark_RELEASE/dataset"),
    ):
        root.mkdir(exist_ok=True)
        if root != tmp_path:
            (root / "VOCdevkit").symlink_to(voc / "VOCdevkit")
        environment = {
            **os.environ,
            "DETECTRON2_DATASETS": str(root),
            "FVCORE_CACHE": str(tmp_path / "cache"),
        }
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert result.returncode != 0
        assert "Traceback" not in result.stderr
        assert (
            message in result.stderr.splitlines()[-1] and "unpack" in result.stderr.splitlines()[-1]
        )


def test_sbd_alone_trains_and_is_scored_by_masks(voc, tmp_path):
    sets = ["DATASETS.TRAIN", "('sbd_instance_train',)", "DATASETS.TEST", "('sbd_instance_val',)"]
    metrics = run(voc, "VOC/dml_R_50_voc_aug.yaml", tmp_path / "out", *CROP, *sets)
    assert set(metrics["sbd_instance_val"]) == {"segm_voc", "segm"}


def test_coco_trains_and_is_scored_by_cocos_metric(tmp_path):
    categories = [category for category in COCO_CATEGORIES if category["isthing"]]
    for split in ("train2017", "val2017"):
        annotations, _ = write_coco(tmp_path / "coco", split, SCENES, as_polygons=True)
        content = json.loads(annotations.read_text())
        content["categories"] = [
            {"id": category["id"], "name": category["name"]} for category in categories
        ]
        content["annotations"][1]["iscrowd"] = 1
        (tmp_path / "coco" / "annotations").mkdir(exist_ok=True)
        (tmp_path / "coco" / "annotations" / f"instances_{split}.json").write_text(
            json.dumps(content)
        )
    metrics = run(tmp_path, "COCO/dml_R_50.yaml", tmp_path / "out", *SMALL)
    assert set(metrics["coco_2017_val"]) == {"bbox", "segm"}


def test_cityscapes_trains_and_is_scored_by_its_own_metric(tmp_path):
    for split in ("train", "val"):
        write_cityscapes(tmp_path, SCENES, split, ["car", "person"])
    metrics = run(tmp_path, "Cityscapes/dml_R_50.yaml", tmp_path / "out", *SMALL)
    assert set(metrics["cityscapes_fine_instance_seg_val"]["segm"]) == {"AP", "AP50"}
