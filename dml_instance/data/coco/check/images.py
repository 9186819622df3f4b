"""The images that a COCO file lists, beside the files that they name."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ....errors import FileError
from ....images import PLAIN, ImageHeader, ReadingRules, image_header
from .fields import is_text, shown, whole
from .findings import Findings
from .ids import identity, number_entries

# Opening a file is waiting for a disk, and disks do several things at once.
_THREADS, _AT_ONCE = 8, 100

# How far above the folder of images a file's name is tried. Farther up, /tmp or a home folder, a
# file of that name is another one.
_LEVELS_UP = 2

# What to do about a file that is not read.
LEAVE_OUT = "to leave it out, remove its entry and its annotations"

_ID = "every image has an id of its own; number the images anew, and image_id with them"
_NAME = "give the name of the image's file, relative to the folder of images"
_TWICE = "keep one entry of a file, with the annotations of both"
_SIZE = (
    "height and width are those of the file, turned as its EXIF orientation says; masks that were "
    "drawn on another grid have to be drawn anew or resized"
)


@dataclass(frozen=True)
class ListedImage:
    """An image that annotations can refer to.

    Attributes:
        name: of its file, as listed.
        number: its id as a number.
        size: (height, width); None where it is not known, which was refused.
        may_lie_turned: EXIF turns it, and its size is that of the file without that, too.
    """

    name: str
    number: int
    size: tuple[int, int] | None
    may_lie_turned: bool = False


@dataclass(frozen=True)
class _File:
    """A file that an entry names: the name by which it is found, and what its header says."""

    name: str | None = None
    header: ImageHeader | None = None
    fault: str = ""

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width); None of a file that is not read."""
        return None if self.header is None else self.header.size


def check_images(
    entries: Sequence[dict],
    root: str,
    findings: Findings,
    reading: ReadingRules = PLAIN,
    cure: str = LEAVE_OUT,
) -> dict[int | str, ListedImage]:
    """Check the entries of ``images``, and repair them in place.

    Args:
        entries: all of them.
        root: folder that ``file_name`` is relative to.
        findings: gets what is found.
        reading: of the files.
        cure: what to do about a file that is not read.

    Returns:
        The images by ``identity`` of their ids.
    """
    named = []
    for entry in entries:
        name = entry.get("file_name")
        if is_text(name):
            named.append(entry)
        else:
            findings.refuse(f"image {shown(entry.get('id'))} has file_name {shown(name)}", _NAME)
    files = _looked_for([entry["file_name"] for entry in named], root, reading)
    _check_files(named, files, root, findings, cure)
    sizes = [_size(entry, file, findings) for entry, file in zip(named, files, strict=True)]
    by_id: dict[int | str, dict] = {}
    size_of, turned = {}, set()
    for entry, file, size in zip(named, files, sizes, strict=True):
        identifier = identity(entry.get("id"))
        if identifier is None:
            findings.refuse(f"image {entry['file_name']} has the id {shown(entry.get('id'))}", _ID)
            continue
        first = by_id.setdefault(identifier, entry)
        if first is not entry:
            pair = f"{first['file_name']} and {entry['file_name']}"
            findings.refuse(f"image id {identifier} is that of {pair}", _ID)
        size_of[identifier] = size
        if file.header is not None and file.header.hides_turn:
            turned.add(identifier)
    numbers = number_entries(by_id, "images", findings)
    return {
        i: ListedImage(entry["file_name"], numbers[i], size_of[i], i in turned)
        for i, entry in by_id.items()
    }


def _looked_for(names: Sequence[str], root: str, reading: ReadingRules) -> list[_File]:
    parts = [names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE)]
    with ThreadPoolExecutor(_THREADS) as threads:
        return [
            file
            for files in threads.map(lambda part: [_look(root, n, reading) for n in part], parts)
            for file in files
        ]


def _look(root: str, name: str, reading: ReadingRules) -> _File:
    # Windows' programs write back slashes.
    for spelling in (name, name.replace("\\", "/")):
        path = os.path.join(root, spelling)
        if os.path.isfile(path):
            try:
                return _File(spelling, image_header(path, reading))
            except FileError as error:
                return _File(spelling, fault=str(error))
    return _File()


def _check_files(
    entries: Sequence[dict], files: Sequence[_File], root: str, findings: Findings, cure: str
) -> None:
    """Whether every entry has a file, that can be read, and that no other entry has."""
    absent = [e["file_name"] for e, file in zip(entries, files, strict=True) if file.name is None]
    where = _cure_of_absence(absent[0], root) if absent else ""
    for name in absent:
        findings.refuse(f"image {name} is not in {root}", where, is_absent_file=True)
    first_ids: dict[str, object] = {}
    for entry, file in zip(entries, files, strict=True):
        if file.name is None:
            continue
        if file.fault:
            findings.refuse(file.fault, cure)
        if file.name != entry["file_name"]:
            entry["file_name"] = file.name
            findings.repair("file names given slashes for back slashes")
        path = os.path.normpath(os.path.join(root, file.name))
        if path in first_ids:
            pair = f"{shown(first_ids[path])} and {shown(entry.get('id'))}"
            findings.refuse(f"file {file.name} is listed twice, as images {pair}", _TWICE)
        first_ids.setdefault(path, entry.get("id"))


def _cure_of_absence(name: str, root: str) -> str:
    """What to do where a file is not where its name says, by where it is."""
    plain, place = name.replace("\\", "/"), Path(os.path.abspath(root))
    for folder in (*place.parents[:_LEVELS_UP], *place.glob("*/")):
        if os.path.isfile(folder / plain):
            return f"the names are relative to {folder}: give this folder"
    base = os.path.basename(plain)
    if base != name and os.path.isfile(os.path.join(root, base)):
        return f"{base} is: give the folder that the names are relative to, or cut the names"
    return "give the folder that the names are relative to, or remove these entries"


def _size(entry: dict, file: _File, findings: Findings) -> tuple[int, int] | None:
    """(height, width) of an image; None where that is not known, which was refused."""
    given = entry.get("height"), entry.get("width")
    if file.size and given == (None, None):
        findings.repair("images given the size of their files")
        entry["height"], entry["width"] = file.size
        return file.size
    size = whole(given[0]), whole(given[1])
    of_file = "" if file.size is None else f", and its file {file.size[0]} x {file.size[1]}"
    if None in size or min(size) < 1 or (file.size and size != file.size):
        findings.refuse(
            f"image {entry['file_name']} is listed as {shown(given[0])} x {shown(given[1])} "
            f"(height x width){of_file}",
            _SIZE,
        )
        return None
    if set(map(type, given)) != {int}:
        findings.repair("sizes of images read as whole numbers")
        entry["height"], entry["width"] = size
    return size
