"""The files that commands of the pages read, made up: few, small, and of what they ask for."""

import json
import pickle
import zipfile

import cv2
import numpy as np
import tifffile

from dml_instance.data.datasets.nuclei import read_split
from dml_instance.data.datasets.voc import VOC_CLASSES
from toy_layouts import write_sbd, write_voc
from toy_scenes import rle, square_and_disc

# One image for all: (H, W, 3) uint8, masks (2, H, W) bool, classes (2,).
IMAGE, MASKS, CLASSES = square_and_disc(64, 80)
# As many as the page counts: 6 to train on, 2 to evaluate on.
NUM_RAW = 8
# In the place of a checkpoint to download.
CHECKPOINT = "downloaded.pkl"


def draw_inputs(folder):
    """Write them all into a folder."""
    for name in ("raw", "masks", "some/folder"):
        (folder / name).mkdir(parents=True)
    labels = (MASKS * np.array([1, 2])[:, None, None]).sum(axis=0).astype(np.uint16)
    for index in range(NUM_RAW):
        cv2.imwrite(str(folder / "raw" / f"{index}.png"), IMAGE)
        cv2.imwrite(str(folder / "masks" / f"{index}.png"), labels)
    for name in ("some/folder/image", "cells", "a", "b"):
        cv2.imwrite(str(folder / f"{name}.png"), IMAGE)
    tifffile.imwrite(folder / "slide.ome.tif", IMAGE, photometric="rgb", tile=(32, 32))
    for name in "ab":
        cv2.imwrite(str(folder / f"{name}_labels.png"), labels)
    _write_stage1(folder / "stage1_train.zip")
    _write_checkpoint(folder / CHECKPOINT)
    _write_voc_with_predictions(folder)


def _write_stage1(path):
    """Of nuclei, one image to train on and one to evaluate on."""
    split = read_split()
    with zipfile.ZipFile(path, "w") as archive:
        for part in ("train", "val"):
            name = next(name for name, of in split.items() if of == part)
            archive.writestr(f"{name}/images/{name}.png", _as_png(IMAGE))
            for index, mask in enumerate(MASKS):
                archive.writestr(f"{name}/masks/{index}.png", _as_png(255 * mask.astype(np.uint8)))


def _as_png(image):
    return cv2.imencode(".png", image)[1].tobytes()


def _write_checkpoint(path):
    """Two weights of the ResNet in a detector's pyramid, and one of its heads."""
    names = ("backbone.bottom_up.stem.conv1", "backbone.bottom_up.res2.0.conv1", "roi_heads.fc1")
    path.write_bytes(pickle.dumps({"model": {f"{name}.weight": np.zeros(4) for name in names}}))


def _write_voc_with_predictions(folder):
    """One image of VOC 2012 val with a person, and what a run found in it: just that.

    Beside it images to train on, of VOC and of SBD.
    """
    name, person = "2007_000033", VOC_CLASSES.index("person")
    scene = (IMAGE, MASKS[1:], [person])
    of_train = {f"2007_00003{number}": scene for number in (5, 6)}
    write_voc(
        folder / "datasets", {name: scene, **of_train}, {"val": [name], "train": list(of_train)}
    )
    of_sbd = {"2008_000008": scene, "2008_000015": scene}
    train, val = of_sbd
    write_sbd(folder / "datasets", of_sbd, {"train": [train], "val": [val]})
    output = folder / "output/voc/dml_R_50_voc_aug/inference/voc_2012_instance_val"
    output.mkdir(parents=True)
    found = {"image_id": name, "category_id": person, "segmentation": rle(MASKS[1]), "score": 0.9}
    (output / "voc_instance_predictions.json").write_text(json.dumps([found]))
