"""A folder or file of annotations, in whatever form, to a data set in COCO's format."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from tqdm import tqdm

from ...errors import FileError
from ...images import ReadingRules, evenly_spread, is_plain, read_image
from ...report import counted
from ..annotated import AnnotatedImage, AnnotatedObject
from ..coco import CocoWriter, counts_line
from ..forms.readers import BOX, SourceRules, read_annotations
from ..input_files import images_below, named, remarks_on_names
from .contact_sheet import PICTURES, small_picture, write_contact_sheet
from .splits import TRAIN, VAL, SplitRules, split_of_each
from .summary import median_diameter, objects_by_class, summary
from .tiles import LEAST_TILE, CutObjects, Window, tiles

# Of the splits, as they are written and told.
_ORDER = (TRAIN, VAL, "test")
# At most so many pictures of the contact sheet are chosen for what EXIF does to them.
_TURNED = 3


@dataclass(frozen=True)
class Piece:
    """What becomes one image of the data set: a window of an annotated image, with its name."""

    image: AnnotatedImage
    cut: CutObjects
    name: str
    window: Window
    split: str

    def objects(self) -> list[AnnotatedObject]:
        """The objects in the window."""
        return self.cut.inside(self.window)


def prepare(
    source: SourceRules,
    root: str,
    *,
    form: str | None = None,
    splits: SplitRules | None = None,
    tile: int = 0,
) -> str:
    """Write ``root/images``, ``root/annotations/instances_SPLIT.json`` and a contact sheet.

    All annotations are read before anything is written. Of a split without an image no file is
    written. Images of PNG and JPEG with 8 bits, upright as they are stored, are copied where they
    are not cut; others become PNG of 8 bits.

    Args:
        source: what to read.
        root: folder to write; must not exist.
        form: of the annotations, a key of SOURCE_FORMS; None: what is found decides.
        splits: how images are split.
        tile: side in pixels into which images are cut, at least LEAST_TILE, so that one large image
            can give both splits. 0: not cut.

    Returns:
        What was found and written, for people.

    Raises:
        FileError: for a file that cannot be used.
        ValueError: for options that do not fit, and where train, or a val with images, has no
            object.
        OSError: for a file that is missing or cannot be written; FileExistsError: if ``root``
            exists.
    """
    if os.path.lexists(root):
        raise FileExistsError(f"{root} exists already; remove it or choose another folder")
    if tile and tile < LEAST_TILE:
        raise ValueError(
            f"--tile is 0, for whole images, or at least {LEAST_TILE} pixels, got {tile}"
        )
    chosen, reading = read_annotations(source, form)
    images = list(tqdm(reading, desc="reading", unit="image"))
    _check(images, source.labels)
    beside = source.images or (source.labels if chosen.has_images_beside else "")
    found = summary(chosen.title, images, _unused(images, beside))
    pieces, groups = _pieces(images, tile, splits or SplitRules())
    line = counts_line(_write(root, pieces, source.reading), root)
    remarks = _remark_on_tiles(images, tile) + "".join(
        f"{remark}\n" for remark in remarks_on_names(named([i.file for i in images]))
    )
    return f"{found}\n\n{remarks}{line}{f' ({groups})' if groups else ''}"


def _check(images: Sequence[AnnotatedImage], source: str) -> None:
    """FileError where there is nothing to train on, or an image is there twice."""
    if not any(objects_by_class(images)):
        left_out = sorted({what for image in images for what in image.left_out})
        found = f" ({', '.join(left_out)})" if left_out else ""
        cure = ", or --keep-boxes where boxes are the objects" if BOX in left_out else ""
        raise FileError(
            f"{source} has {counted(len(images), 'image')} and no object with a mask{found}: give "
            f"annotations that have some{cure}"
        )
    seen: set[str] = set()
    for image in images:
        path = os.path.realpath(image.file)
        if path in seen:
            raise FileError(f"{image.file} is annotated twice in {source}: leave one of them")
        seen.add(path)


def _unused(images: Sequence[AnnotatedImage], folder: str) -> list[str]:
    """Image files of a folder that are not among the images."""
    used = {os.path.realpath(image.file) for image in images}
    there = images_below([folder]) if os.path.isdir(folder) else []
    return [file.path for file in there if os.path.realpath(file.path) not in used]


def _remark_on_tiles(images: Sequence[AnnotatedImage], tile: int) -> str:
    """A line on tiles that cut most objects; empty where they do not."""
    objects = [item for of_class in objects_by_class(images).values() for item in of_class]
    diameter = median_diameter(objects)
    if not 0 < tile < 2 * diameter:
        return ""
    return (
        f"warning: tiles of {tile} pixels cut objects of {diameter:.0f} pixels across: give a "
        "larger --tile\n"
    )


def _pieces(
    images: Sequence[AnnotatedImage], tile: int, rules: SplitRules
) -> tuple[list[Piece], str]:
    """The images, or their tiles, with their splits; and how these came about, in a few words.

    Tiles of one image are alike: those of a val image must not be trained on beside it, if there
    are others.
    """
    files = named([image.file for image in images])
    windows = [
        (image, cut, file.name, window)
        for image, file in zip(images, files, strict=True)
        for cut in [CutObjects(image)]
        for window in tiles(image.size, tile)
    ]
    parts = [f"{name}_{window[0].start}_{window[1].start}" for *_, name, window in windows]
    if len(images) == 1:
        given = [images[0].split] * len(parts)
        splits, groups = split_of_each(parts, given, rules)
    else:
        names = [file.name for file in files]
        of_image, groups = split_of_each(names, [image.split for image in images], rules)
        by_name = dict(zip(names, of_image, strict=True))
        splits = [by_name[name] for *_, name, _ in windows]
    pieces = [
        Piece(image, cut, part if tile > 0 else name, window, split)
        for (image, cut, name, window), part, split in zip(windows, parts, splits, strict=True)
    ]
    _check_splits(pieces)
    return pieces, groups


def _check_splits(pieces: Sequence[Piece]) -> None:
    """ValueError where there is nothing to train on, or nothing in val to score."""
    for split, other_cure in ((TRAIN, ""), (VAL, ", 0 for no val")):
        of_split = [piece for piece in pieces if piece.split == split]
        has_object = any(not item.is_crowd for piece in of_split for item in piece.objects())
        if not has_object and (of_split or split == TRAIN):
            raise ValueError(
                f"no image of {split} has an object: give another --seed or --val-fraction"
                f"{other_cure}"
            )


def _shown(pieces: Sequence[Piece]) -> list[Piece]:
    """Those on the contact sheet, of which some may lie turned, where there are such."""
    may_lie_turned = [piece for piece in pieces if piece.image.may_lie_turned]
    first = evenly_spread(may_lie_turned, _TURNED) if may_lie_turned else []
    return first + evenly_spread(pieces, PICTURES - len(first))


def _write(root: str, pieces: Sequence[Piece], reading: ReadingRules) -> dict[str, int]:
    """Write the data set; returns the number of images of each split."""
    by_image = {file: list(of) for file, of in groupby(pieces, lambda piece: piece.image.file)}
    by_class = objects_by_class([of_image[0].image for of_image in by_image.values()])
    diameter = median_diameter([item for objects in by_class.values() for item in objects])
    shown = set(map(id, _shown(pieces)))
    pictures = []
    with CocoWriter(root, list(by_class)) as writer:
        for split in sorted({piece.split for piece in pieces}, key=_ORDER.index):
            writer.start_split(split, f"{', '.join(by_class)}, {split}")
        for file, of_image in tqdm(by_image.items(), desc="writing", unit="image"):
            # Read in any case: a broken file is to be found now, not in training.
            pixels = read_image(file, reading)
            is_copied = reading.channels is None and is_plain(file, reading)
            for piece in of_image:
                objects, part = piece.objects(), pixels[piece.window]
                source = file if is_copied and part.shape == pixels.shape else part[..., ::-1]
                writer.add(piece.split, piece.name, source, part.shape[:2], objects)
                if id(piece) in shown:
                    pictures.append(small_picture(part, piece.name, objects, diameter))
        write_contact_sheet(os.path.join(writer.folder, "contact_sheet.png"), pictures)
        return writer.counts()
