"""Any data set in COCO format as a Detectron2 data set, checked before hours are spent on it."""

import argparse
import contextlib
import hashlib
import io
import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from iopath.common.file_io import get_cache_dir

from ..files import write_text
from .coco_check import check_coco
from .images import PLAIN, ReadingRules

_logger = logging.getLogger(__name__)

_NO_PLAIN_IMAGE = (
    "prepare writes a data set of plain images, and visualize takes its options for one that is "
    "registered; to leave the image out, remove its entry and its annotations"
)

# A colon that makes D: of a letter before a slash: a drive of Windows.
_DRIVE = re.compile(r"(?<![^:])[A-Za-z]:(?=[\\/])")


@dataclass(frozen=True)
class CocoFile:
    """A checked COCO file.

    Attributes:
        path: what to read.
        class_names: by their ids in the file, by ascending id.
    """

    path: str
    class_names: dict[int, str]


def checked_file(json_file: str, image_root: str, reading: ReadingRules = PLAIN) -> CocoFile:
    """Check a COCO file, once a process for as long as it stays what it is, and log what is in it.

    Where something had to be repaired, a copy with the repairs is what to read, in iopath's folder,
    which FVCORE_CACHE moves. It is a file because Detectron2's evaluator reads one; made from
    records by Detectron2 it would have other areas, and not all that users note of images. Without
    repairs the file itself is read: figures on official data are everybody's.

    Raises:
        FileNotFoundError, ValueError: as ``check_coco``.
        ValueError: where the copy cannot be written.
    """
    places = os.path.abspath(json_file), os.path.abspath(image_root)
    state = os.stat(json_file) if os.path.isfile(json_file) else None
    version = (state.st_size, state.st_mtime_ns) if state else ()
    return _checked_file(json_file, image_root, reading, places, version)


@cache
def _checked_file(
    json_file: str,
    image_root: str,
    reading: ReadingRules,
    places: tuple[str, str],
    version: tuple[int, ...],
) -> CocoFile:
    coco = check_coco(json_file, image_root, reading, _NO_PLAIN_IMAGE)
    for doubt in coco.doubts:
        _logger.warning("%s: %s", json_file, doubt)
    if not coco.repairs:
        _logger.info("%s: %s", json_file, coco.counts)
        return CocoFile(json_file, coco.class_names)
    stem, _ = os.path.splitext(os.path.basename(json_file))
    name = f"{stem[:40]}_{hashlib.sha256(repr(places).encode()).hexdigest()[:8]}.json"
    path = os.path.join(get_cache_dir(), "dml_instance", "coco", name)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_text(path, json.dumps(coco.content))
    except OSError as error:
        raise ValueError(
            f"{json_file} has to be repaired ({coco.repairs}), but the copy {path} cannot be "
            f"written: {error}; set FVCORE_CACHE to a folder that has room"
        ) from error
    _logger.warning(
        "%s: %s; repaired in a copy, which is read instead (%s): %s",
        json_file,
        coco.counts,
        path,
        coco.repairs,
    )
    return CocoFile(path, coco.class_names)


def parse_registration(text: str) -> tuple[str, str, str]:
    """``NAME=ANNOTATIONS.json:IMAGE_DIR`` to its three parts; ValueError for anything else.

    Of several colons that separates which stands behind a file that is there, else the first one
    behind ``.json``, else the last one. The colon of a drive on Windows does not separate.
    """
    name, _, rest = text.partition("=")
    drives = {found.end() - 1 for found in _DRIVE.finditer(rest)}
    places = [p for p, c in enumerate(rest) if c == ":" and p not in drives]
    pairs = [(rest[:p], rest[p + 1 :]) for p in places if rest[:p] and rest[p + 1 :]]
    if not name or not pairs:
        raise ValueError(f"--register-coco takes NAME=ANNOTATIONS.json:IMAGE_DIR, got {text!r}")
    there = [pair for pair in pairs if os.path.isfile(pair[0])]
    named = [pair for pair in pairs if pair[0].lower().endswith(".json")]
    return (name, *(there or named or pairs[-1:])[0])


def add_registration_option(parser: argparse.ArgumentParser) -> None:
    """``--register-coco`` for a tool; ``register_given`` takes what it collects."""
    parser.add_argument(
        "--register-coco",
        action="append",
        default=[],
        metavar="NAME=ANNOTATIONS.json:IMAGE_DIR",
        help="register a data set in COCO format under a name; repeatable",
    )


def register_given(registrations: Sequence[str], reading: ReadingRules = PLAIN) -> None:
    """Register what ``--register-coco`` was given, with images read by the same rules for all.

    Raises:
        ValueError, FileNotFoundError: as ``parse_registration`` and ``register_coco``.
    """
    for registration in registrations:
        register_coco(*parse_registration(registration), reading)


def register_coco(
    name: str, json_file: str, image_root: str, reading: ReadingRules = PLAIN
) -> None:
    """Register a user's data set, after checking it, with its class names.

    Raises:
        ValueError, FileNotFoundError: as ``checked_file``, or for a name that is taken.
    """
    if name in DatasetCatalog.list():
        raise ValueError(f"a data set named {name} exists already; choose another name")
    file = checked_file(json_file, image_root, reading)
    register_checked(
        name, json_file, image_root, category_ids=file.class_names, hint="", reading=reading
    )
    MetadataCatalog.get(name).json_file = file.path


def register_checked(
    name: str,
    json_file: str,
    image_root: str,
    *,
    category_ids: dict[int, str],
    hint: str,
    subset: Callable[[list[dict]], list[dict]] | None = None,
    reading: ReadingRules = PLAIN,
) -> None:
    """Register a COCO-format data set that is read and checked when it is first used.

    Args:
        name: in the ``DatasetCatalog``.
        json_file, image_root: where it lies; neither needs to exist yet.
        category_ids: id in the file to class name, by ascending id.
        hint: what to do where the files are missing; added to the error.
        subset: picks among the records; without it evaluators read the checked file, once the set
            is loaded.
        reading: that the check of the images goes by.
    """
    DatasetCatalog.register(
        name, partial(_load, name, json_file, image_root, category_ids, hint, subset, reading)
    )
    MetadataCatalog.get(name).set(
        image_root=image_root,
        evaluator_type="coco",
        thing_classes=list(category_ids.values()),
        thing_dataset_id_to_contiguous_id={
            category: index for index, category in enumerate(category_ids)
        },
    )


def _load(
    name: str,
    json_file: str,
    image_root: str,
    category_ids: dict[int, str],
    hint: str,
    subset: Callable[[list[dict]], list[dict]] | None,
    reading: ReadingRules,
) -> list[dict]:
    """Detectron2's records of a registered data set."""
    try:
        file = checked_file(json_file, image_root, reading)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"data set {name}: {error}. {hint}") from error
    if file.class_names != category_ids:
        raise ValueError(
            f"{json_file} has the categories {file.class_names}, but those of data set {name} are "
            f"{category_ids}; put the file of that set there"
        )
    metadata = MetadataCatalog.get(name)
    if subset is None and not hasattr(metadata, "json_file"):
        metadata.json_file = file.path
    # pycocotools prints its progress without being asked.
    with contextlib.redirect_stdout(io.StringIO()):
        records = load_coco_json(file.path, image_root, name)
    return records if subset is None else subset(records)
