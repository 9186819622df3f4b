"""Tiny data sets in the official layouts, trained and evaluated by the shipped yamls.

Only sizes, weights (there is no network here) and the length of the schedule are overridden.
"""

import inspect
import json
import shutil

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import builtin, cityscapes
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES

from dml_instance.data.datasets.builtin import register_all
from tool_runner import ROOT, run_tool
from toy_layouts import write_cityscapes, write_sbd, write_voc
from toy_scenes import square_and_disc, write_coco

SIZES = [
    *("SOLVER.IMS_PER_BATCH", "2", "SOLVER.MAX_ITER", "2", "SOLVER.WARMUP_ITERS", "1"),
    *("SOLVER.STEPS", "()", "MODEL.WEIGHTS", "", "MODEL.DEVICE", "cpu"),
    *("DATALOADER.NUM_WORKERS", "0", "TEST.EVAL_PERIOD", "0"),
]
SMALL = ["INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MIN_SIZE_TEST", "64", "INPUT.MAX_SIZE_TEST", "128"]
CROP = ["INPUT.CROP.SIZE", "[64,64]", "INPUT.AUG.SCALE_RANGE", "[0.9,1.1]"]
# Metrics beside those of the data set itself.
MORE, OF_MORE = ["TEST.INSTANCE_METRICS.ENABLED", "True"], {"segm_boundary", "segm_instances"}
SCENES = [square_and_disc(64, 96), square_and_disc(70, 90), square_and_disc(64, 80)]


@pytest.fixture
def train_net(tmp_path, monkeypatch):
    """tools/train_net.py in a world where DETECTRON2_DATASETS is another folder."""

    def train(root, config, *overrides, ok=True):
        monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
        monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(DatasetCatalog, "data", {})
        monkeypatch.setattr(MetadataCatalog, "data", {})
        builtin.register_all_coco(str(root))
        builtin.register_all_cityscapes(str(root))
        register_all()
        output = ("OUTPUT_DIR", tmp_path / "out")
        arguments = ("--config-file", ROOT / "configs" / config, *SIZES, *output, *overrides)
        # Cityscapes' scorer writes a file into the folder that it runs in.
        return run_tool("train_net", *arguments, ok=ok, folder=tmp_path)

    return train


@pytest.fixture
def run(train_net, tmp_path):
    """Train and evaluate; returns the metrics of results.json."""

    def metrics(root, config, *overrides):
        train_net(root, config, *overrides)
        return json.loads((tmp_path / "out" / "results.json").read_text())["metrics"]

    return metrics


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
def test_voc_trains_on_voc_and_sbd_and_is_scored_by_masks_and_boxes(voc, run, tmp_path, config):
    metrics = run(voc, f"VOC/{config}", *CROP)
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


def test_a_voc_without_its_boxes_is_scored_by_masks_alone(voc, run, tmp_path):
    (tmp_path / "VOCdevkit").mkdir()
    shutil.copytree(voc / "VOCdevkit/VOC2012", tmp_path / "VOCdevkit/VOC2012")
    (tmp_path / "VOCdevkit/VOC2012/Annotations/2007_000002.xml").unlink()
    sets = ["DATASETS.TRAIN", "('voc_2012_instance_train',)"]
    metrics = run(tmp_path, "VOC/dml_R_50_voc_aug.yaml", *CROP, *sets)
    assert set(metrics["voc_2012_instance_val"]) == {"segm_voc", "segm"}
    assert (
        "boxes of voc_2012_instance_val are not scored"
        in (tmp_path / "out" / "log.txt").read_text()
    )


def test_missing_data_ends_the_run_before_it_starts_with_one_clear_line(voc, tmp_path, train_net):
    half = tmp_path / "only_voc"
    half.mkdir()
    (half / "VOCdevkit").symlink_to(voc / "VOCdevkit")
    for root, message in ((tmp_path, "VOCdevkit/VOC2012"), (half, "benchmark_RELEASE/dataset")):
        printed = train_net(root, "VOC/dml_R_50_voc_aug.yaml", ok=False)
        assert "Traceback" not in printed
        last = printed.splitlines()[-1]
        assert message in last and "unpack" in last


def test_sbd_alone_trains_and_is_scored_by_masks(voc, run):
    sets = ["DATASETS.TRAIN", "('sbd_instance_train',)", "DATASETS.TEST", "('sbd_instance_val',)"]
    metrics = run(voc, "VOC/dml_R_50_voc_aug.yaml", *CROP, *sets, *MORE)
    assert set(metrics["sbd_instance_val"]) == {"segm_voc", "segm", *OF_MORE}


def test_coco_trains_and_is_scored_by_cocos_metric(run, tmp_path):
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
    metrics = run(tmp_path, "COCO/dml_R_50.yaml", *SMALL, *MORE)
    assert set(metrics["coco_2017_val"]) == {"bbox", "segm", *OF_MORE}


@pytest.mark.skipif(
    "deeplearning.projects" in inspect.getsource(cityscapes),
    reason="this Detectron2 knows cityscapesScripts by a name that only its authors have",
)
def test_cityscapes_trains_and_is_scored_by_its_own_metric(run, tmp_path):
    for split in ("train", "val"):
        write_cityscapes(tmp_path, SCENES, split, ["car", "person"])
    # cityscapesScripts 2.3.0 ends in an IndexError where all predictions of a class that has
    # objects lie on what it ignores, as those of a model of two iterations may.
    plain = ("MODEL.DML.GROUPING.CLASSES_PER_MASK", 1, "MODEL.DML.GROUPING.MEAN_SHIFTS", 0)
    metrics = run(tmp_path, "Cityscapes/dml_R_50.yaml", *SMALL, *MORE, *plain)
    assert set(metrics["cityscapes_fine_instance_seg_val"]) == {"segm", *OF_MORE}
    assert set(metrics["cityscapes_fine_instance_seg_val"]["segm"]) == {"AP", "AP50"}
    assert (tmp_path / "matches.json").is_file(), "and not in the repository"
