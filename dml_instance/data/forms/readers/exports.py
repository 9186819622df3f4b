"""Files that annotation tools export, read so that what is wrong with one is said with its name."""

import base64
import binascii
import contextlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ...images import ImageFileError
from ...input_files import files_below as walked
from ...input_files import images_below
from ..annotated import FormError

# What programs call the splits, and what they are called here.
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@contextlib.contextmanager
def understood(what: str, form: str) -> Iterator[None]:
    """What is missing or of another type inside the block becomes a FormError.

    Args:
        what: the file, or the file and the entry, for the message.
        form: who writes such files.
    """
    try:
        yield
    except (FormError, ImageFileError):
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise FormError(
            f"{what} is not as {form} writes it ({' '.join(reason.split())}): mend it, or export "
            "it again"
        ) from error


def parsed_json(file: str) -> Any:
    """The content of a JSON file in UTF-8, 16 or 32; FormError for one that is none."""
    try:
        with open(file, "rb") as stream:
            return json.loads(stream.read())
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise FormError(f"{file} is no JSON ({reason}): export it again") from error


def files_below(path: str, ending: str) -> list[str]:
    """Those files of an ending that a path is, or that lie below it, by name."""
    if os.path.isfile(path):
        return [path] if path.lower().endswith(ending) else []
    return list(walked(path, lambda name: name.lower().endswith(ending)))


def one_file(path: str, ending: str) -> str:
    """The only file of an ending that a path is, or that lies below it; FormError for others."""
    files = files_below(path, ending)
    if len(files) != 1:
        raise FormError(f"{path} holds {len(files)} {ending} files: give the one that is meant")
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
            FormError: for names of no file, or of several.
        """
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
                raise FormError(
                    f"{source} names the image {names[0]}, but {found[0]} and {found[1]} have that "
                    "name: give the folder that it lies in with --images"
                )
            if found and (self._is_given or not any(map(os.path.dirname, tails))):
                return found[0]
            if found:
                raise FormError(
                    f"{source} names the image {names[0]}, which is not there, but {found[0]} has "
                    "that name: if it is meant, give the folder of the images with --images"
                )
        places = " or ".join(self._folders) or "any folder"
        raise FormError(
            f"{source} names the image {names[0]}, which is not in {places}: give the folder of "
            "the images with --images, or take this annotation out"
        )

    def _named(self, name: str) -> list[str]:
        """All images of a name."""
        if self._by_name is None:
            self._by_name = {}
            for image in images_below(self._folders):
                self._by_name.setdefault(os.path.basename(image.path), []).append(image.path)
        return self._by_name.get(name, [])
