"""Files that annotation tools export, read so that what is wrong with one is said with its name."""

import base64
import binascii
import contextlib
import io
import os
import re
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from ....errors import FileError
from ...input_files import files_below as walked
from ...input_files import images_below
from ...json_file import JsonFile, parsed

# What programs call the splits, and what they are called here.
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}

# How Python and NumPy word errors of values.
_NO_NUMBER = re.compile(
    r"(?:could not convert string to float|invalid literal for int\(\)[^:]*): (.*)"
)
_OF_PYTHON = re.compile(r"inhomogeneous|unpack|reshape|zip\(\)|cannot convert|broadcast")


@contextlib.contextmanager
def understood(what: str, form: str) -> Iterator[None]:
    """What is missing or of another type inside the block becomes a FileError.

    Args:
        what: the file, or the file and the entry, for the message.
        form: who writes such files.
    """
    try:
        yield
    except FileError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise FileError(
            f"{what} is not as {form} writes it ({_reason(error)}): mend it, or export it again"
        ) from error


def _reason(error: Exception) -> str:
    """What is wrong with a file, for people who do not know Python."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not in UTF-8: save it so"
    text = " ".join(str(error).split())
    if no_number := _NO_NUMBER.match(text):
        return f"{no_number[1]} is no number"
    if not isinstance(error, ValueError) or _OF_PYTHON.search(text):
        return "a value is of another kind or length, or is missing"
    return text


def parsed_json(file: str, known: JsonFile | None = None) -> JsonFile:
    """A JSON file in UTF-8, 16 or 32; FileError for one that is none.

    Args:
        file: its path.
        known: a file that was parsed before; taken where it is this one.
    """
    if known is not None and known.path == file:
        return known
    try:
        return parsed(file)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise FileError(f"{file} is no JSON ({reason}): export it again") from error


def files_below(path: str, ending: str) -> list[str]:
    """Those files of an ending that a path is, or that lie below it, by name."""
    if os.path.isfile(path):
        return [path] if path.lower().endswith(ending) else []
    return list(walked(path, lambda name: name.lower().endswith(ending)))


def one_file(path: str, ending: str) -> str:
    """The only file of an ending that a path is, or that lies below it; FileError for others."""
    files = files_below(path, ending)
    if len(files) != 1:
        raise FileError(f"{path} holds {len(files)} {ending} files: give the one that is meant")
    return files[0]


def embedded_png(text: str, mode: str) -> np.ndarray:
    """(H, W) or (H, W, C) uint8 of a PNG in base64, maybe behind the head of a data URL.

    Args:
        text: that an export holds.
        mode: of Pillow's, that the pixels are wanted in.

    Raises:
        ValueError: for what is no PNG.
    """
    try:
        with Image.open(io.BytesIO(base64.b64decode(text.split(",")[-1]))) as png:
            return np.asarray(png.convert(mode))
    except (binascii.Error, OSError, SyntaxError) as error:
        raise ValueError(f"its mask is no PNG: {error}") from error


class ImageFolder:
    """Finds the image files that annotations name: in any of some folders, or below them."""

    def __init__(self, given: str | None, others: Sequence[str]):
        """
        Args:
            given: folder that a user says the images lie in; None: nobody says.
            others: where else they may lie, by precedence. What is no folder is left out.
        """
        self._is_given = given is not None
        self._folders = [f for f in (given, *others) if f and os.path.isdir(f)]
        self._by_name: dict[str, list[str]] | None = None

    def find(self, names: Sequence[str], source: str) -> str:
        """The file of the first of some names that there is.

        A name counts with the folders in front of it, or as many of them as there are. Last comes
        the bare name, wherever the file lies, if the annotations have no other or the folder was
        given: a file of that name in another folder may be another image.

        Args:
            names: of one image, with "/" or "\\" between folders.
            source: file of the annotations, for messages.

        Raises:
            FileError: for names of no file, or of several.
        """
        found = self.found(names, source)
        if found is None:
            places = " or ".join(self._folders) or "any folder"
            raise FileError(
                f"{source} names the image {names[0]}, which is not in {places}: give the folder "
                "of the images with --images, or take this annotation out"
            )
        return found

    def found(self, names: Sequence[str], source: str) -> str | None:
        """``find``; None for names of no file."""
        tails = []
        for name in names:
            parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
            tails += [os.path.join(*parts[start:]) for start in range(len(parts))]
        absolute = [name for name in names if os.path.isabs(name)]
        for path in [*absolute, *(os.path.join(f, tail) for tail in tails for f in self._folders)]:
            if os.path.isfile(path):
                return path
        for tail in tails:
            found = self._named(os.path.basename(tail))
            if len(found) > 1:
                raise FileError(
                    f"{source} names the image {names[0]}, but {found[0]} and {found[1]} have that "
                    "name: give the folder that it lies in with --images"
                )
            if found and (self._is_given or not any(map(os.path.dirname, tails))):
                return found[0]
            if found:
                raise FileError(
                    f"{source} names the image {names[0]}, which is not there, but {found[0]} has "
                    "that name: if it is meant, give the folder of the images with --images"
                )
        return None

    def _named(self, name: str) -> list[str]:
        """All images of a name."""
        if self._by_name is None:
            self._by_name = {}
            for image in images_below(self._folders):
                self._by_name.setdefault(os.path.basename(image.path), []).append(image.path)
        return self._by_name.get(name, [])
