"""Which images a user means, and what their results are called: sub-folders are mirrored."""

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from ..images import IMAGE_ENDINGS, is_image_name, is_zarr
from ..report import with_more

# By these a folder of results is known, or the project of a page, which holds images, too.
RESULT_FILES = frozenset({"objects.csv", "instances.json", "actions.jsonl"})

# Bytes of a name that results are called after. Systems take 255 for the name of a file; the place
# of a tile, an ending and what a name has while it is written (files.py) come behind it.
_LONGEST = 230
# What Python makes of a byte of a name that is no UTF-8.
_NO_TEXT = re.compile("[\udc80-\udcff]")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class InputFile:
    """One image of several.

    Attributes:
        path: of the file, or of the folder of one of Zarr's.
        relative: the same below the folder that holds all of them, with "/": ``B01/field1.tif``;
            a byte that is no UTF-8 is written as ``%FF``.
        name: what its results are called: ``relative`` without its ending, and with it where
            another image would have the same name; of each image its own. The end of one that is
            too long for the names of files is a digest.
    """

    path: str
    relative: str
    name: str


def remarks_on_names(files: Sequence[InputFile]) -> list[str]:
    """A line on the images whose results are not called as they are; none where all are."""
    others = [file for file in files if not file.relative.startswith(file.name)]
    if not others:
        return []
    first = others[0]
    line = f"what is made of {first.path}, whose name is too long, is called {first.name}"
    return [with_more(line, len(others) - 1)]


def check_apart(images: Collection[str], written: Collection[str]) -> None:
    """Raise ValueError where a file that is to be written would take the place of an image."""
    there = {os.path.realpath(path) for path in images}
    for path in written:
        if os.path.realpath(path) in there:
            raise ValueError(f"{path} is one of the images; choose another --output")


def input_files(paths: Sequence[str], leave_out: Collection[str] = ()) -> list[InputFile]:
    """Files as they are, and the images in folders and all their sub-folders, by name.

    Args:
        paths: files and folders; a file that is not there is kept, for its reader to complain of.
        leave_out: folders below these that are not entered, such as that of earlier results.
            Hidden files and folders, whose names begin with a dot, are left out, too.

    Raises:
        FileNotFoundError: for a folder that does not exist, and if there is no image at all.
    """
    absent = [p for p in paths if not os.path.exists(p) and not is_image_name(p)]
    if absent:
        # A missing file among others is skipped as a bad one is; a folder is a slip of the pen.
        raise FileNotFoundError(f"{', '.join(p or '(empty name)' for p in absent)}: no such folder")
    files = images_below(paths, leave_out)
    if not files:
        raise FileNotFoundError(
            f"no image was found in {', '.join(paths)}; looked for {', '.join(IMAGE_ENDINGS)}"
        )
    return files


def images_below(paths: Sequence[str], leave_out: Collection[str] = ()) -> list[InputFile]:
    """``input_files`` of paths that exist, where there may be no image."""
    files: list[str] = []
    # Of SLIDE.zarr/ the folder is SLIDE.zarr.
    paths = [os.path.normpath(path) if is_zarr(path) else path for path in paths]
    for path in paths:
        files += files_below(path, is_image_name, leave_out) if _is_folder(path) else [path]
    return named(files, [p if _is_folder(p) else os.path.dirname(p) for p in paths])


def _is_folder(path: str) -> bool:
    """Whether images may lie in it: one of Zarr's is a folder, and an image itself."""
    return os.path.isdir(path) and not is_zarr(path)


def named(files: Sequence[str], folders: Sequence[str] = ()) -> list[InputFile]:
    """Files with what their results are called; one that is given twice counts once.

    Args:
        files: their paths.
        folders: that all of them lie below; without any, the folders of the files.
    """
    if not files:
        return []
    folders = folders or [os.path.dirname(file) for file in files]
    root = os.path.commonpath([os.path.abspath(folder) for folder in folders])
    of_paths = {os.path.abspath(file): file for file in files}
    relative = [_legible(os.path.relpath(path, root).replace(os.sep, "/")) for path in of_paths]
    stems = [os.path.splitext(path)[0] for path in relative]
    count = Counter(stems)
    names = [s if count[s] == 1 else r for s, r in zip(stems, relative, strict=True)]
    if len(set(names)) < len(names):  # as of a.png, a.tif and a.png.tif
        names = relative
    return list(map(InputFile, of_paths.values(), relative, map(_shortened, names)))


def _legible(path: str) -> str:
    """A path that text files can hold, and OpenCV can write: it crashes at others."""
    return _NO_TEXT.sub(lambda found: f"%{ord(found[0]) - 0xDC00:02X}", path)


def _shortened(name: str) -> str:
    """A name that is short enough for files; of two long ones two others."""
    folder, slash, last = name.rpartition("/")
    if len(last.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(last.encode()).hexdigest()[:8]
    begin = last.encode()[: _LONGEST - len(digest) - 1].decode(errors="ignore")
    return f"{folder}{slash}{begin}-{digest}"


def files_below(
    folder: str, is_wanted: Callable[[str], bool], leave_out: Collection[str] = ()
) -> Iterator[str]:
    """Files of a folder and its sub-folders by name: links to folders are followed, each folder is
    entered once. What is hidden, what is no file but a pipe or the like, and folders of results of
    ``tools/predict.py`` are passed over, the last with a warning.

    Args:
        folder: that exists.
        is_wanted: says by its name whether a file counts.
        leave_out: folders below it that are not entered.
    """
    seen = {os.path.realpath(path) for path in leave_out} - {os.path.realpath(folder)}
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        if place != folder and RESULT_FILES.intersection(files):
            _logger.warning("%s holds results: passed over", place)
            folders.clear()
            continue
        arrays = [name for name in folders if is_zarr(os.path.join(place, name))]
        folders[:] = sorted(n for n in set(folders).difference(arrays) if not n.startswith("."))
        for name in sorted([*files, *arrays]):
            path = os.path.join(place, name)
            if is_wanted(name) and not name.startswith(".") and _may_be_read(path):
                yield path


def _may_be_read(path: str) -> bool:
    """Whether a path is a file, an image of Zarr's, or a link that leads nowhere, of which its
    reader complains; a pipe would be waited for."""
    return os.path.isfile(path) or os.path.isdir(path) or not os.path.exists(path)
