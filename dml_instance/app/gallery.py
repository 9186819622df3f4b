"""The images of the page: those that were named when it was started, and those that were sent.

An image is known by its place in the list. Names that come from outside are never paths.
"""

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..data.input_files import InputFile, input_files
from ..errors import FileError
from ..images import ReadingRules, image_size, is_image_name, read_image

UPLOADS = "uploads"

_KEPT_PICTURES = 4


class PageError(ValueError):
    """What was asked cannot be done; the message is for the user."""


def in_page_words(line: str) -> str:
    """What readers of files say, with the options that the page has in the place of those of other
    commands, and these by the name of their command."""
    line = re.sub(r"--max-pixels of [\w, ]+? and \w+", "--max-pixels of dml app", line)
    line = re.sub(r"(?<!\S)(\(?)--images\b", r"\1--input", line)
    return re.sub(
        r"(?<!dml prepare )--(number-pieces|class-name|classes)\b", r"dml prepare --\1", line
    )


@dataclass(frozen=True)
class PageImage:
    """An image of the page.

    Attributes:
        key: by which the project knows it.
        file: that it is read from.
    """

    key: str
    file: str


class Gallery:
    """The images, in the order of the page. Threads may call at once.

    Attributes:
        reading: of images.
        root: the folder that the keys of those that were named start from; without any, that of
            those that were sent.
        uploads: the folder of those that were sent; it is there with the first.
    """

    def __init__(self, folder: str, reading: ReadingRules, inputs: Sequence[str] = ()):
        """
        Args:
            folder: of the project, to which images are sent.
            reading: of images; ``max_pixels`` bounds what is sent, too.
            inputs: images and folders of images.

        Raises:
            FileNotFoundError: where inputs hold no image.
        """
        self.reading = reading
        self.uploads = os.path.join(folder, UPLOADS)
        files: list[InputFile] = input_files(inputs, leave_out=[folder]) if inputs else []
        self._images = [PageImage(file.relative, file.path) for file in files]
        folders = [path if os.path.isdir(path) else os.path.dirname(path) for path in inputs]
        self.root = os.path.commonpath(map(os.path.abspath, folders)) if inputs else self.uploads
        if os.path.isdir(self.uploads):
            self._images += [self._uploaded(name) for name in sorted(os.listdir(self.uploads))]
        self._sizes: dict[str, tuple[tuple[int, ...], tuple[int, int]]] = {}
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._images)

    def __iter__(self):
        return iter(self._images)

    def __getitem__(self, index: int) -> PageImage:
        """By its place in the list; PageError for a place without one."""
        if not 0 <= index < len(self._images):
            raise PageError(f"there is no image {index}; there are {len(self._images)}")
        return self._images[index]

    def add_upload(self, name: str, part: str) -> int:
        """Take a file that was sent among the images; returns its place.

        Args:
            name: that the user's program gave it; only its last part counts, and of that what is
                harmless in a file name.
            part: the file as it was received, in the project's folder; it is moved or removed.

        Raises:
            PageError: for a name that is not that of an image, or a file that is none.
        """
        try:
            plain = re.sub(r"[^\w.-]+", "_", re.split(r"[\\/]", name)[-1]).lstrip(".")[-100:]
            if not is_image_name(plain):
                raise PageError(f"{name!r} is no name of an image file that is known")
            try:
                read_image(part, self.reading)
            except FileError as error:
                raise PageError(str(error).replace(part, plain)) from error
            with self._lock:
                os.makedirs(self.uploads, exist_ok=True)
                stem, ending = os.path.splitext(plain)
                free, number = plain, 2
                while os.path.lexists(os.path.join(self.uploads, free)):
                    free, number = f"{stem}-{number}{ending}", number + 1
                os.replace(part, os.path.join(self.uploads, free))
                self._images.append(self._uploaded(free))
                return len(self._images) - 1
        finally:
            if os.path.exists(part):
                os.remove(part)

    def _uploaded(self, name: str) -> PageImage:
        return PageImage(f"{UPLOADS}/{name}", os.path.join(self.uploads, name))

    def size(self, index: int) -> tuple[int, int]:
        """(H, W) of an image, read anew where the file is another one than before.

        Raises:
            FileError: for a file that cannot be read.
        """
        file = self[index].file
        try:
            found = os.stat(file)
            stamp = found.st_mtime_ns, found.st_size, found.st_ino
        except OSError:  # its reader says it better
            return image_size(file, self.reading)
        known = self._sizes.get(file)
        if known is None or known[0] != stamp:
            # Checking a large PNG takes longer than an act on it.
            known = self._sizes[file] = stamp, image_size(file, self.reading)
        return known[1]

    def picture(self, index: int) -> bytes:
        """The pixels of an image as PNG."""
        image = self[index]
        with self._lock:
            if image.key in self._pictures:
                self._pictures.move_to_end(image.key)
                return self._pictures[image.key]
        pixels = read_image(image.file, self.reading)
        data = png(pixels[..., ::-1])
        with self._lock:
            self._pictures[image.key] = data
            while len(self._pictures) > _KEPT_PICTURES:
                self._pictures.popitem(last=False)
        return data


def png(pixels: np.ndarray) -> bytes:
    """(H, W) or (H, W, 3), BGR, uint8; packed quickly rather than small."""
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
