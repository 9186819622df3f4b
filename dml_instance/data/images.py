"""Image files of users: which there are, and those that are not 8-bit made so."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from detectron2.data.detection_utils import read_image
from detectron2.utils.file_io import PathManager
from PIL import ExifTags, Image

IMAGE_ENDINGS = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp")

# Intensities of an image that is not 8-bit are stretched between these percentiles, as
# microscopists do.
_PERCENTILES = (0.1, 99.9)


class ImageFileError(ValueError):
    """An image file that cannot be used as it is; the message names it and says what to do."""


def image_files(paths: Sequence[str]) -> list[str]:
    """Files as they are, and the images directly inside folders, by name.

    Raises:
        FileNotFoundError: for a folder that does not exist, and if there is no image at all.
        ValueError: for two of one name, whatever their folders and endings: one's results would
            replace the other's.
    """
    files = []
    # A missing file among others is skipped as a bad one is; a missing folder is a slip of the pen.
    absent = [p for p in paths if not os.path.exists(p) and not is_image_name(p)]
    if absent:
        raise FileNotFoundError(f"{', '.join(absent)}: no such folder")
    for path in paths:
        if os.path.isdir(path):
            files += [
                os.path.join(path, name) for name in sorted(os.listdir(path)) if is_image_name(name)
            ]
        else:
            files.append(path)
    if not files:
        raise FileNotFoundError(
            f"no image was found in {', '.join(paths)}; looked for {', '.join(IMAGE_ENDINGS)}"
        )
    by_stem: dict[str, str] = {}
    for file in files:
        other = by_stem.setdefault(stem_of(file), file)
        if other is not file:
            raise ValueError(
                f"{other} and {file} have one name, and so would their results; rename one, or "
                "give them one after the other"
            )
    return files


def evenly_spread(entries: Sequence, count: int) -> list:
    """``count`` >= 1 of the entries, from the first to the last; all where there are no more."""
    places = np.linspace(0, len(entries) - 1, min(count, len(entries))).round().astype(int)
    return [entries[place] for place in places]


def stem_of(file: str) -> str:
    """The name that results of an image go by: that of its file, without folder and ending."""
    return os.path.splitext(os.path.basename(file))[0]


def is_image_name(name: str) -> bool:
    """Whether a file name ends like one of IMAGE_ENDINGS, in any case."""
    return name.lower().endswith(IMAGE_ENDINGS)


@contextlib.contextmanager
def _reading(file: str) -> Iterator[None]:
    """Whatever goes wrong in reading a file becomes an ImageFileError that names it."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        # Of a broken file Pillow raises OSError, SyntaxError, ValueError, struct.error and others.
        raise ImageFileError(
            f"cannot read {file}: {type(error).__name__}: {error}. Mend or replace this file, or "
            "leave it out"
        ) from error


def check_readable(file: str) -> None:
    """Read an image as Detectron2 does; ImageFileError where that fails."""
    with _reading(file):
        read_image(file)


def read_unchanged(file: str) -> np.ndarray:
    """The image as it is stored, (H, W) or (H, W, C), colours in the order blue, green, red.

    Raises:
        ImageFileError: for a file that is no readable image.
    """
    image = cv2.imread(file, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageFileError(f"{file} is no readable image")
    return image


def write_image(file: str, image: np.ndarray) -> None:
    """Write an image in the format of the file's ending.

    Args:
        file: in a folder that exists.
        image: (H, W) or (H, W, 3), uint8 or uint16, colours in the order blue, green, red.

    Raises:
        OSError: if it cannot be written, with the file's name.
    """
    # OpenCV only returns False.
    if not cv2.imwrite(file, image):
        raise OSError(f"cannot write {file}")


def to_eight_bit(image: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) of any number type to (H, W, 3) uint8; 8-bit images keep their values.

    Others are stretched so that their 0.1st percentile becomes 0 and the 99.9th 255. Of more than
    three channels the first three are kept.
    """
    if image.dtype != np.uint8:
        low, high = np.percentile(image, _PERCENTILES)
        image = ((image - low) / max(high - low, 1e-9) * 255).clip(0, 255).round().astype(np.uint8)
    if image.ndim == 2 or image.shape[2] < 3:
        return np.repeat(image.reshape(*image.shape[:2], -1)[..., :1], 3, axis=2)
    return image[..., :3]


def is_deep(file: str) -> bool:
    """Whether a file has more than 8 bits a pixel, in a form that Detectron2's reader spoils.

    It cuts off all above 255.

    Raises:
        ImageFileError: for a file that is no image, or not there.
    """
    with _reading(file), PathManager.open(file, "rb") as stream, Image.open(stream) as image:
        return image.mode.startswith(("I", "F"))


def eight_bit_file(file: str, folder: str) -> str:
    """The file itself, or, if it ``is_deep``, the path of a copy made by ``to_eight_bit``.

    Args:
        file: an image.
        folder: for the copy, which bears the name of the file.

    Raises:
        ImageFileError: as ``is_deep`` and ``read_unchanged``.
        OSError: if the copy cannot be written.
    """
    if not is_deep(file):
        return file
    copy = os.path.join(folder, f"{stem_of(file)}.png")
    write_image(copy, to_eight_bit(read_unchanged(file)))
    return copy


def image_size(file: str) -> tuple[int, int]:
    """(height, width) of an image, from its header alone, turned as its EXIF orientation says.

    Raises:
        ImageFileError: for a file that is no image.
    """
    with _reading(file), Image.open(file) as image:
        width, height = image.size
        # Pillow turns the size of a TIFF itself, and decodes a whole PNG to look for EXIF.
        has_exif = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        is_turned = has_exif and image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    return (width, height) if is_turned else (height, width)
