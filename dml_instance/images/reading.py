"""The one way from an image file to pixels, for training, prediction, pictures and conversion."""

from dataclasses import dataclass

import numpy as np

from ..errors import FileError
from .intensities import to_eight_bit
from .opening import chosen_page, chosen_parts, opened, reading
from .orientation import ORIENTATIONS, upright, upright_size
from .rules import PLAIN, ReadingRules


def read_image(file: str, rules: ReadingRules = PLAIN) -> np.ndarray:
    """An image as all parts of this project see it: upright, in 8-bit red, green and blue.

    The format follows from the content. 8-bit images keep their values, others are stretched (see
    ``to_eight_bit``). Grey is repeated, palettes and inks become colours, opacity is dropped, and
    EXIF's orientation is obeyed. Memory is that of the stored pixels, twice where they are
    stretched, and of the result.

    Args:
        file: path, or, in a process that uses Detectron2, what its ``PathManager`` takes for one.
        rules: the page and the channels of a file that is no plain image, and the largest size.

    Returns:
        (H, W, 3) uint8, maybe read-only.

    Raises:
        FileError: for a file that is no image, is broken or cut short, is larger than the
            rules allow, or has several pages or other channels that they do not choose from; one
            line with its name and the cure.
    """
    with opened(file, rules) as source:
        parts = chosen_parts(file, source, rules)
        with reading(file):
            planes = [source.colours(page, channels) for page, channels in parts]
            pixels = planes[0] if len(planes) == 1 else np.dstack(planes)
            orientation = source.orientation()
    return to_eight_bit(upright(pixels, orientation))


def read_labels(file: str, rules: ReadingRules = PLAIN) -> np.ndarray:
    """A label image: the numbers as they are stored, turned as its image is by ``read_image``.

    Whole numbers of any depth, of a palette those of its entries, and floats that are whole.

    Args:
        file: TIFF, PNG, BMP or GIF; JPEG and others do not keep numbers.
        rules: the page of a file with several; ``channels`` are not asked for.

    Returns:
        (H, W) int32, or int64 where the numbers do not fit. Negative numbers stay.

    Raises:
        FileError: as ``read_image``, and for several channels and other numbers.
    """
    with opened(file, rules) as source:
        page = chosen_page(file, source, rules)
        if source.number_channels != 1:
            raise FileError(
                f"{file} has {source.number_channels} channels ({source.layout}); a label image "
                "has one, a number for each object: export numbers, not colours"
            )
        with reading(file):
            numbers = source.numbers(page)
            orientation = source.orientation()
    return upright(_whole(file, numbers), orientation)


@dataclass(frozen=True)
class ImageHeader:
    """What the header of an image file says.

    Attributes:
        size: (H, W) of what ``read_image`` returns.
        orientation: EXIF's number of how stored pixels are turned and mirrored to get there.
    """

    size: tuple[int, int]
    orientation: int

    @property
    def hides_turn(self) -> bool:
        """Whether the picture is turned or mirrored, and is as high and wide as without it."""
        changes_size = upright_size(self.size, self.orientation) != self.size
        return self.orientation != 1 and not changes_size


def image_header(file: str, rules: ReadingRules = PLAIN) -> ImageHeader:
    """The header of an image file: 0.2 ms.

    Raises:
        FileError: as ``read_image``, as far as the header tells.
    """
    with opened(file, rules) as source:
        chosen_parts(file, source, rules)
        with reading(file):
            orientation = source.orientation()
    orientation = orientation if orientation in ORIENTATIONS else 1
    return ImageHeader(upright_size(source.size, orientation), orientation)


def image_size(file: str, rules: ReadingRules = PLAIN) -> tuple[int, int]:
    """(H, W) of what ``read_image`` returns, from the header, see ``image_header``."""
    return image_header(file, rules).size


def is_plain(file: str, rules: ReadingRules = PLAIN) -> bool:
    """Whether any program sees a file as ``read_image`` does: grey or RGB of 8 bits in PNG or JPEG,
    upright as it is stored.

    Raises:
        FileError: as ``read_image``, as far as the header tells.
    """
    with opened(file, rules) as source, reading(file):
        return source.is_plain and source.orientation() == 1


def _whole(file: str, numbers: np.ndarray) -> np.ndarray:
    """int32, or int64 where that is needed."""
    if numbers.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            is_whole = np.isfinite(numbers) & (numbers == np.rint(numbers))
        if not is_whole.all():
            raise FileError(
                f"{file} holds {numbers[~is_whole][0]:.6g}, but a label image has a whole number "
                "for each object: export it as whole numbers, not divided by 255 or 65535"
            )
    low, high = int(numbers.min()), int(numbers.max())
    for kind in (np.int32, np.int64):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return numbers.astype(kind, copy=False)
    raise FileError(f"{file} holds {high}, more than any count of objects: number them anew")
