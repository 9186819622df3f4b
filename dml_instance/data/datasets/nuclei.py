"""DSB2018 stage 1 (nuclei in microscopy, BBBC038, CC0) from its public zip file to COCO format.

The zip holds ``ID/images/ID.png`` and ``ID/masks/*.png``, one file a nucleus.
"""

import os
import pathlib
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from tqdm import tqdm

from ...errors import FileError
from ...rle import encoded
from ..annotated import AnnotatedObject
from ..coco import CocoWriter

# Ids are cut to this many hexadecimal digits, which still tell all images apart.
_NAME_LENGTH = 16
_CLASS_NAME = "nucleus"


def read_split() -> dict[str, str]:
    """The split that this project's figures use.

    Returns:
        The name of an image (16 hexadecimal digits) to "train" or "val".
    """
    path = pathlib.Path(__file__).with_name("dsb2018_split.txt")
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = (line.split() for line in lines if not line.startswith("#"))
    return {name: split for split, name in rows}


def _decoded(archive: zipfile.ZipFile, entry: str, flag: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(archive.read(entry), np.uint8), flag)
    if image is None:
        raise FileError(
            f"{archive.filename}: {entry} is no readable image; download the file again"
        )
    return image


def convert_nuclei(zip_file: str, root: str, split: dict[str, str]) -> dict[str, int]:
    """Write ``root/images/NAME.png`` and ``root/annotations/instances_SPLIT.json``.

    Everything is written into a folder beside ``root`` and moved there at the end.

    Args:
        zip_file: stage1_train.zip.
        root: folder to write; must not exist.
        split: image name to split; images that are not in it are left out.

    Returns:
        Number of images of each split.

    Raises:
        FileNotFoundError: for a missing zip file.
        FileExistsError: if ``root`` exists.
        FileError: for a file that is no such zip file, or holds what cannot be read. All name the
            file and say what to do.
    """
    if not os.path.isfile(zip_file):
        raise FileNotFoundError(
            f"{zip_file} does not exist; get stage1_train.zip of accession BBBC038 from the "
            "Broad Bioimage Benchmark Collection"
        )
    if not zipfile.is_zipfile(zip_file):
        raise FileError(f"{zip_file} is no zip file; download it again")
    with zipfile.ZipFile(zip_file) as archive, CocoWriter(root, [_CLASS_NAME]) as writer:
        return _convert(archive, writer, split)


def _convert(archive: zipfile.ZipFile, writer: CocoWriter, split: dict[str, str]) -> dict[str, int]:
    """Hand the archive's images to the writer; returns the number of images of each split."""
    images: dict[str, str] = {}
    masks: dict[str, list[str]] = defaultdict(list)
    for entry in sorted(archive.namelist()):
        identifier, *kind, file_name = (
            entry.split("/")[-3:] if entry.count("/") >= 2 else ("", "", "")
        )
        if file_name.endswith(".png") and kind == ["images"]:
            images[identifier] = entry
        elif file_name.endswith(".png") and kind == ["masks"]:
            masks[identifier].append(entry)
    chosen = {i: split[i[:_NAME_LENGTH]] for i in images if i[:_NAME_LENGTH] in split}
    if not chosen:
        raise FileError(
            f"{archive.filename} holds none of the expected ID/images/ID.png; is it "
            "stage1_train.zip of BBBC038?"
        )
    for name in sorted(set(split.values())):
        writer.start_split(name, f"DSB2018 stage 1, {name} (BBBC038, CC0)")
    for identifier in tqdm(sorted(chosen), desc="converting", unit="image"):
        image = _decoded(archive, images[identifier], cv2.IMREAD_COLOR)
        size, name = image.shape[:2], identifier[:_NAME_LENGTH]
        nuclei = (_decoded(archive, entry, cv2.IMREAD_GRAYSCALE) for entry in masks[identifier])
        objects = _apart(nuclei, size, name)
        writer.add(chosen[identifier], name, image, size, objects)
    return writer.counts()


def _apart(
    masks: Iterable[np.ndarray], size: tuple[int, int], name: str
) -> Iterator[AnnotatedObject]:
    """Nuclei from their masks; a pixel in two stays with the first, since they do not overlap.

    Args:
        masks: (H, W) each, non-zero inside.
        size: (H, W) of the image.
        name: of the image, for errors.

    Raises:
        FileError: for a mask of another size than the image.
    """
    taken = np.zeros(size, dtype=bool)
    for mask in masks:
        if mask.shape != size:
            raise FileError(
                f"image {name} is {size}, but one of its masks is {mask.shape} (height, width)"
            )
        mask = (mask > 0) & ~taken
        if mask.any():
            taken |= mask
            yield AnnotatedObject(encoded(mask), _CLASS_NAME)
