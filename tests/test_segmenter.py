"""What a Python user calls: models of all kinds load, arrays and files give the same objects."""

import json
import os
import shutil

import numpy as np
import pytest
import tifffile
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from pycocotools import mask as coco_mask

import dml_instance
from dml_instance.engine import NO_DATA, load_config
from dml_instance.learning import write_training_set
from toy_models import CONFIGS
from toy_scenes import crowd_of_cells

CELLS = crowd_of_cells(96, 128, 24, seed=0)


@pytest.fixture(scope="module")
def nuclei():
    return dml_instance.load("nuclei", device="cpu")


def as_it_is_built_by_hand(image):
    """Masks of score 0.55 and more, which the training of the model chose, best first."""
    options = ["MODEL.DEVICE", "cpu"]
    cfg = load_config(str(CONFIGS / "DSB2018/dml_efficientnet_lite0.yaml"), options, needs=NO_DATA)
    model = build_model(cfg).eval()
    DetectionCheckpointer(model).load("dml://nuclei")
    with torch.no_grad():
        x = {"image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))}
        found = model([x])[0]["instances"]
    return found[found.scores >= 0.55].pred_masks.numpy()


def test_a_shipped_model_finds_what_it_finds_by_hand(nuclei):
    result = nuclei(CELLS)
    assert nuclei.classes.names == ("nucleus",) and nuclei.min_score == 0.55
    np.testing.assert_array_equal(result.masks, as_it_is_built_by_hand(CELLS))
    assert len(result) > 5 and np.all(np.diff(result.scores) <= 0) and result.scores.min() >= 0.55
    assert len(nuclei(CELLS, min_score=0.87)) == (result.scores >= 0.87).sum() < len(result)
    assert repr(nuclei) == "Segmenter(dml://nuclei: nucleus; least score 0.55)"


DEEP = CELLS[..., 0].astype(np.uint16) * 200 + 1000


@pytest.mark.parametrize(
    "array", [CELLS[..., 0], CELLS, DEEP, DEEP.astype(np.float32) / 7e4, np.dstack([DEEP] * 3)]
)
def test_an_array_is_what_its_file_is(array, nuclei, tmp_path):
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, array, photometric="rgb" if array.ndim == 3 else "minisblack")
    from_file, from_array = nuclei(path), nuclei(array)
    assert len(from_array) > 5
    np.testing.assert_array_equal(from_array.image, from_file.image)
    np.testing.assert_array_equal(from_array.labels, from_file.labels)
    assert from_file.table()[0]["image"] == "cells.tif"


def test_several_images_give_several_results(nuclei):
    one, other = nuclei([CELLS, CELLS[:64]])
    assert one.labels.shape == (96, 128) and other.labels.shape == (64, 128)
    assert nuclei([]) == []


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 40, 50)), r"got \(3, 40, 50\)"),
        (np.zeros((0, 50)), r"got \(0, 50\)"),
        (np.zeros((2, 2, 2, 2)), r"got \(2, 2, 2, 2\)"),
        (np.zeros((4, 4), complex), "complex128"),
        (np.array([["a"]]), "got <U1"),
    ],
)
def test_what_is_no_image_is_refused(array, message, nuclei):
    with pytest.raises(ValueError, match=message):
        nuclei(array)


def test_a_least_score_out_of_range_is_refused(nuclei):
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 1\.5"):
        nuclei(CELLS, min_score=1.5)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nucleii is neither.*nuclei, photographs, shapes"):
        dml_instance.load("nucleii")
    with pytest.raises(FileNotFoundError, match=r"model_final\.pth: .* holds no ended training"):
        dml_instance.load(tmp_path)
    torch.save({"model": {}}, tmp_path / "bare.pth")
    with pytest.raises(ValueError, match=r"bare\.pth holds no config.*config\.yaml"):
        dml_instance.load(tmp_path / "bare.pth")


@pytest.fixture(scope="module")
def learned(nuclei, tmp_path_factory):
    """Trained for a second on one image, of which a part is neither cell nor background."""
    folder = tmp_path_factory.mktemp("learned") / "training"
    labels = nuclei(CELLS).labels
    labels[:10] = -1
    names = {label: "cell" if label % 2 else "nucleus" for label in range(1, labels.max() + 1)}
    datasets = DatasetCatalog.list()
    model = nuclei.fine_tune(
        [CELLS], [labels], minutes=0.02, class_names=[names], labelled_share=0.5, output=folder
    )
    assert DatasetCatalog.list() == datasets
    return model, folder, labels, names


def test_what_was_learned_from_is_kept_as_a_data_set(learned):
    _, folder, labels, names = learned
    coco = json.loads((folder / "data/annotations/instances_train.json").read_text())
    assert [c["name"] for c in coco["categories"]] == ["cell", "nucleus"]
    objects = [a for a in coco["annotations"] if not a["iscrowd"]]
    for label, annotation in enumerate(objects, labels[labels > 0].min()):
        np.testing.assert_array_equal(coco_mask.decode(annotation["segmentation"]), labels == label)
        assert annotation["category_id"] == 1 + (names[label] == "nucleus")
    (void,) = (a for a in coco["annotations"] if a["iscrowd"])
    np.testing.assert_array_equal(coco_mask.decode(void["segmentation"]), labels == -1)


def test_a_model_that_has_learned_is_another_one_of_the_same_form(learned, nuclei):
    model, folder, *_ = learned
    assert model.classes.names == ("cell", "nucleus")
    assert model.min_score == nuclei.min_score
    assert model.cfg.MODEL.DML.SEED_LOSS.LABELLED_SHARE == 0.5
    assert model.cfg.MODEL.DML.SEED_LOSS.RAMP_END == 0
    assert pytest.approx(nuclei.cfg.SOLVER.ADAMW.BASE_LR / 4) == model.cfg.SOLVER.ADAMW.BASE_LR
    before, after = (m.model.network.backbone.state_dict() for m in (nuclei, model))
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert json.loads((folder / "training.json").read_text())["iterations"] > 0


def test_a_checkpoint_alone_is_a_whole_model(learned, tmp_path):
    model, folder, *_ = learned
    shutil.copy(folder / "model_final.pth", tmp_path / "alone.pth")
    model.save(tmp_path / "saved.pth")
    wanted = model(CELLS, min_score=0.1)
    for source in (folder, tmp_path / "alone.pth", tmp_path / "saved.pth"):
        again = dml_instance.load(source, device="cpu")
        np.testing.assert_array_equal(again(CELLS, min_score=0.1).labels, wanted.labels)
        assert again.classes == model.classes and again.min_score == model.min_score
    size = os.path.getsize
    assert size(tmp_path / "saved.pth") < 0.7 * size(tmp_path / "alone.pth")  # no optimiser


def test_a_shipped_model_is_saved_whole(nuclei, tmp_path):
    nuclei.save(tmp_path / "a.pth")
    again = dml_instance.load(tmp_path / "a.pth", device="cpu")
    np.testing.assert_array_equal(again(CELLS).labels, nuclei(CELLS).labels)


LABELS = np.zeros((96, 128), int)
LABELS[10:20, 10:20] = 4


@pytest.mark.parametrize(
    ("images", "labels", "names", "message"),
    [
        ([CELLS], [], [], "got 1 images, 0 label images"),
        ([CELLS], [LABELS[:50]], [{4: "a"}], r"image 0 is \(96, 128\), but .* \(50, 128\)"),
        ([CELLS], [LABELS - 3], [{}], "from -3 on"),
        ([CELLS], [LABELS * 1.0], [{}], "float64"),
        ([CELLS], [LABELS], [{3: "a"}], "label 4 of image 0 has no class"),
        ([CELLS], [0 * LABELS], [{}], "no label image has an object"),
        ([], [], [], "no label image has an object"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(images, labels, names, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_training_set(str(tmp_path / "data"), images, labels, names)
    assert list(tmp_path.iterdir()) == []


def test_learning_wants_time_and_a_folder_of_its_own(nuclei, tmp_path):
    with pytest.raises(ValueError, match="above 0, got 0"):
        nuclei.fine_tune([CELLS], [LABELS], minutes=0, output=tmp_path / "a")
    with pytest.raises(FileExistsError):
        nuclei.fine_tune([CELLS], [LABELS], minutes=0.01, output=tmp_path / "a")
