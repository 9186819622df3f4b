"""Instance masks of Pascal VOC and SBD, read from the folders that their archives unpack to.

VOC 2012 (Everingham et al.): ``SegmentationObject`` numbers the objects of an image in a palette
PNG, ``SegmentationClass`` says what they are; 255 is a border that belongs to nothing. SBD
(Hariharan et al., Semantic Contours from Inverse Detectors, ICCV 2011) has the same for many more
images, in MATLAB files and without a border.
"""

import logging
import os
from collections.abc import Callable

import numpy as np
from detectron2.data.datasets.pascal_voc import CLASS_NAMES
from detectron2.structures import BoxMode
from PIL import Image
from scipy.io import loadmat
from tqdm import tqdm

from ...errors import FileError
from ...rle import encoded
from ..coco import annotation_of
from ..parse_cache import cached

VOC_CLASSES = CLASS_NAMES
# Both what the archives unpack to and, second, where Detectron2 looks for VOC's boxes.
_VOC_FOLDERS = ("VOCdevkit/VOC2012", "VOC2012")
_SBD_FOLDERS = ("benchmark_RELEASE/dataset", "sbd")
_VOC_SOURCE = "VOCtrainval_11-May-2012.tar of http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
_SBD_SOURCE = "benchmark.tgz, the SBD of http://home.bharathh.info/pubs/codes/SBD/download.html"
_VOID = 255
# Images of VOC 2012 train and all of SBD, without those of VOC 2012 val (the paper's training set).
_TRAIN_AUG_IMAGES = 10_582
_DEV_EVERY = 3

_logger = logging.getLogger(__name__)


def load_voc(root: str, split: str) -> list[dict]:
    """Detectron2 records of a segmentation split of VOC 2012.

    Args:
        root: folder that holds VOCdevkit/VOC2012 or VOC2012.
        split: "train", "val" or "trainval".

    Returns:
        One record an image: ``file_name``, ``image_id`` (its name), ``height``, ``width``,
        ``annotations`` with RLE masks, boxes, and ``category_id`` counting VOC_CLASSES; and
        ``void``, the RLE of the pixels that are neither object nor background, where there are
        any. Some 1 KB an object.

    Raises:
        FileNotFoundError: for a missing folder, list, image or mask, with what is missing and where
            to get it.
        FileError: for a file that does not hold what it should, named.
    """
    folder = _voc_folder(root)
    return _load(
        f"VOC 2012 {split}",
        _voc_record,
        _voc_names(folder, split),
        folder,
        {"JPEGImages": "jpg", "SegmentationObject": "png", "SegmentationClass": "png"},
        _VOC_SOURCE,
    )


def load_sbd(root: str, split: str) -> list[dict]:
    """Detectron2 records of SBD, as ``load_voc``.

    Args:
        root: folder that holds benchmark_RELEASE/dataset or sbd.
        split: "train" or "val".
    """
    folder = _sbd_folder(root)
    return _load(
        f"SBD {split}",
        _sbd_record,
        _sbd_names(folder, split),
        folder,
        {"img": "jpg", "inst": "mat", "cls": "mat"},
        _SBD_SOURCE,
    )


def load_train_aug(root: str) -> list[dict]:
    """The paper's 10,582 training images: VOC 2012 train and SBD, without VOC 2012 val.

    An image that both have is VOC's, whose masks have a border. Another number of images is
    explained in the log.
    """
    voc = {record["image_id"]: record for record in load_voc(root, "train")}
    sbd = {
        record["image_id"]: record for split in ("train", "val") for record in load_sbd(root, split)
    }
    val = set(_voc_names(_voc_folder(root), "val"))
    records = {**{name: record for name, record in sbd.items() if name not in val}, **voc}
    if len(records) != _TRAIN_AUG_IMAGES:
        _logger.warning(
            "voc_2012_instance_train_aug has %d images, not %d: %d of VOC 2012 train (1,464 in the "
            "archive), %d of SBD (11,355), of which %d are in VOC 2012 val and left out, and %d in "
            "both",
            len(records),
            _TRAIN_AUG_IMAGES,
            len(voc),
            len(sbd),
            len(sbd.keys() & val),
            len(sbd.keys() & voc.keys()),
        )
    return [records[name] for name in sorted(records)]


def load_fit(root: str) -> list[dict]:
    """``load_train_aug`` without ``load_dev``."""
    held_out = _dev_names(root)
    return [r for r in load_train_aug(root) if r["image_id"] not in held_out]


def load_dev(root: str) -> list[dict]:
    """Images of ``load_train_aug`` to choose settings on, so that VOC 2012 val is left for
    reporting: every third of VOC 2012 train, and all of SBD val."""
    held_out = _dev_names(root)
    return [r for r in load_train_aug(root) if r["image_id"] in held_out]


def _dev_names(root: str) -> set[str]:
    voc = sorted(_voc_names(_voc_folder(root), "train"))
    of_dev = set(voc[::_DEV_EVERY])
    return of_dev | (set(_sbd_names(_sbd_folder(root), "val")) - set(voc))


def voc_place(root: str) -> str:
    """Where VOC 2012 lies under a root, or would lie."""
    return _place(root, _VOC_FOLDERS)


def _place(root: str, places: tuple[str, ...]) -> str:
    paths = [os.path.join(root, place) for place in places]
    return next((path for path in paths if os.path.isdir(path)), paths[0])


def _voc_folder(root: str) -> str:
    return _folder(
        root, _VOC_FOLDERS, ("JPEGImages", "SegmentationObject", "SegmentationClass"), _VOC_SOURCE
    )


def _sbd_folder(root: str) -> str:
    return _folder(root, _SBD_FOLDERS, ("img", "inst", "cls"), _SBD_SOURCE)


def _folder(root: str, places: tuple[str, ...], parts: tuple[str, ...], source: str) -> str:
    """The folder of a data set; raises FileNotFoundError for what is missing."""
    folder = _place(root, places)
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"{root} has neither {' nor '.join(places)}: unpack {source} there, or set "
            "DETECTRON2_DATASETS to where it is"
        )
    missing = [part for part in parts if not os.path.isdir(os.path.join(folder, part))]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks the folders {', '.join(missing)}: unpack {source} again"
        )
    return folder


def _voc_names(folder: str, split: str) -> list[str]:
    return _names(os.path.join(folder, "ImageSets", "Segmentation", f"{split}.txt"), _VOC_SOURCE)


def _sbd_names(folder: str, split: str) -> list[str]:
    return _names(os.path.join(folder, f"{split}.txt"), _SBD_SOURCE)


def _names(list_file: str, source: str) -> list[str]:
    """Image names of a split, in order."""
    if not os.path.isfile(list_file):
        raise FileNotFoundError(
            f"{list_file}, the list of the images of this split, is missing: unpack {source} again"
        )
    with open(list_file, encoding="utf-8") as file:
        return [line.split()[0] for line in file if line.strip()]


def _load(
    title: str,
    parse: Callable[[str, str], dict],
    names: list[str],
    folder: str,
    endings: dict[str, str],
    source: str,
) -> list[dict]:
    """Records of the named images, parsed once for as long as their files stay what they are.

    Args:
        parse: (folder, image name) to a record, without its file name.
        endings: sub-folder to the ending of its files; images are in the first.
    """
    files = [
        os.path.join(part, f"{name}.{ending}") for part, ending in endings.items() for name in names
    ]
    absent = [file for file in files if not os.path.isfile(os.path.join(folder, file))]
    if absent:
        raise FileNotFoundError(
            f"{folder} lacks {len(absent)} of the {len(files)} files of {title}, the first are "
            f"{', '.join(absent[:5])}: unpack {source} again"
        )
    images, ending = next(iter(endings.items()))
    parsed = cached(
        title,
        lambda: [
            parse(folder, name) for name in tqdm(names, desc=f"reading {title}", unit="image")
        ],
        folder,
        files[len(names) :],
    )
    for record in parsed:
        record["file_name"] = os.path.join(folder, images, f"{record['image_id']}.{ending}")
        for annotation in record["annotations"]:
            annotation["bbox_mode"] = BoxMode.XYWH_ABS
    return parsed


def _voc_record(folder: str, name: str) -> dict:
    objects = _index_png(os.path.join(folder, "SegmentationObject", f"{name}.png"))
    classes = _index_png(os.path.join(folder, "SegmentationClass", f"{name}.png"))
    if objects.shape != classes.shape:
        raise FileError(
            f"SegmentationObject/{name}.png is {objects.shape}, but SegmentationClass/{name}.png "
            f"{classes.shape} (height, width) in {folder}"
        )
    void = objects == _VOID
    annotations = []
    for number in np.setdiff1d(objects, (0, _VOID)):
        mask = objects == number
        of_class = np.bincount(classes[mask], minlength=_VOID + 1)[1 : len(VOC_CLASSES) + 1]
        if of_class.any():
            annotations.append(annotation_of(mask, int(of_class.argmax())))
        else:
            # Something is there, but nobody says what: no class to learn, and no background either.
            void |= mask
    return _record(name, objects.shape, annotations, void)


def _sbd_record(folder: str, name: str) -> dict:
    path = os.path.join(folder, "inst", f"{name}.mat")
    try:
        content = loadmat(path)["GTinst"][0, 0]
        objects, classes = content["Segmentation"], content["Categories"].ravel()
    except Exception as error:
        raise FileError(
            f"{path} is no instance file of SBD ({type(error).__name__}: {error})"
        ) from error
    annotations = []
    for number in np.setdiff1d(objects, (0, _VOID)):
        if number > len(classes) or not 1 <= classes[number - 1] <= len(VOC_CLASSES):
            raise FileError(f"{path} has an object {number}, but no class of VOC for it")
        annotations.append(annotation_of(objects == number, int(classes[number - 1]) - 1))
    return _record(name, objects.shape, annotations, objects == _VOID)


def _record(name: str, shape: tuple[int, int], annotations: list[dict], void: np.ndarray) -> dict:
    record = {"image_id": name, "height": shape[0], "width": shape[1], "annotations": annotations}
    if void.any():
        record["void"] = encoded(void)
    return record


def _index_png(path: str) -> np.ndarray:
    """(H, W) uint8 values of a palette or grey PNG, as they are stored."""
    with Image.open(path) as image:
        if image.mode not in ("P", "L"):
            raise FileError(
                f"{path} is {image.mode}, but masks of VOC are palette images: it was saved again "
                "by a program that wrote colours instead of numbers; unpack the original"
            )
        return np.array(image)
