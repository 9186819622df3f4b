"""Images with their annotated objects: what every reader yields and the writer takes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class AnnotatedObject:
    """One object of an image.

    Attributes:
        mask: compressed RLE of the size of the image, not empty.
        class_name: of the object; of a crowd it may be empty, for any.
        is_crowd: the mask is of several objects, or of what is neither object nor background.
    """

    mask: dict
    class_name: str
    is_crowd: bool = False


@dataclass(frozen=True)
class AnnotatedImage:
    """One image with its objects. Memory is that of run-length masks, some 300 bytes an object.

    Attributes:
        file: of the image.
        size: (H, W) of it.
        objects: which may overlap.
        split: that the annotations put it in; empty: none.
        left_out: what was annotated and is not among the objects, and how often.
        doubts: what looks like a mistake, or was decided without being asked: for each kind a line
            for people, with the cure.
        may_lie_turned: EXIF turns or mirrors the image, and nothing tells whether the annotations
            were made before or after.
    """

    file: str
    size: tuple[int, int]
    objects: tuple[AnnotatedObject, ...]
    split: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)
    may_lie_turned: bool = False


def left_out_lines(images: Sequence[AnnotatedImage]) -> list[str]:
    """A line that counts what was annotated and is no object, of all images; none without any."""
    left_out = sum((Counter(image.left_out) for image in images), Counter())
    counts = ", ".join(f"{count} x {what}" for what, count in left_out.most_common())
    return [f"left out: {counts}"] if counts else []
