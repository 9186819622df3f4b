"""A folder or file of annotations, in whatever form, to a data set in COCO's format."""

import os
from collections.abc import Sequence

from PIL import Image
from tqdm import tqdm

from ...images import read_image
from ...input_files import InputFile, input_files, named
from ..annotated import AnnotatedImage, FormError
from ..coco_writer import CocoWriter, counts_line
from ..readers import BOX, SourceRules, form_of
from .contact_sheet import Picture, write_contact_sheet
from .splits import TRAIN, VAL, SplitRules, split_of_each
from .summary import median_diameter, objects_by_class, summary
from .tiles import Window, objects_inside, tiles


def prepare(
    source: SourceRules,
    root: str,
    *,
    form: str | None = None,
    splits: SplitRules | None = None,
    tile: int = 0,
) -> str:
    """Write ``root/images``, ``root/annotations/instances_SPLIT.json`` and a contact sheet.

    All annotations are read before anything is written. Images of PNG and JPEG with 8 bits are
    copied where they are not cut; others become PNG of 8 bits.

    Args:
        source: what to read.
        root: folder to write; must not exist.
        form: of the annotations, a key of FORMS; None: what is found decides.
        splits: how images are split.
        tile: side in pixels into which images are cut, so that one large image can give both
            splits. 0: not cut.

    Returns:
        What was found and written, for people.

    Raises:
        FormError, ImageFileError: for a file that cannot be used.
        ValueError: for options that do not fit, and where there is nothing to train on.
        OSError: for a file that is missing or cannot be written; FileExistsError: if ``root``
            exists.
    """
    if os.path.lexists(root):
        raise FileExistsError(f"{root} exists already; remove it or choose another folder")
    chosen = form_of(source, form)
    images = list(tqdm(chosen.read(source), desc="reading", unit="image"))
    _check(images, source.labels)
    beside = source.images or (source.labels if chosen.has_images_beside else "")
    found = summary(chosen.title, images, _unused(images, beside))
    files = named([image.file for image in images])
    windows = [tiles(image.size, tile) for image in images]
    split_of, groups = _splits(images, files, windows, splits or SplitRules())
    counts = _write(root, images, files, windows, split_of, is_cut=tile > 0)
    line = counts_line(counts, root)
    return f"{found}\n\n{line}{f' ({groups})' if groups else ''}"


def _check(images: Sequence[AnnotatedImage], source: str) -> None:
    """FormError where there is nothing to train on, or an image is there twice."""
    if not any(objects_by_class(images)):
        left_out = sorted({what for image in images for what in image.left_out})
        found = f" ({', '.join(left_out)})" if left_out else ""
        cure = ", or --keep-boxes where boxes are the objects" if BOX in left_out else ""
        raise FormError(
            f"{source} has {len(images)} images and no object with a mask{found}: give annotations "
            f"that have some{cure}"
        )
    seen: set[str] = set()
    for image in images:
        path = os.path.realpath(image.file)
        if path in seen:
            raise FormError(f"{image.file} is annotated twice in {source}: leave one of them")
        seen.add(path)


def _unused(images: Sequence[AnnotatedImage], folder: str) -> list[str]:
    """Image files of a folder that are not among the images."""
    used = {os.path.realpath(image.file) for image in images}
    there = input_files([folder]) if os.path.isdir(folder) else []
    return [file.path for file in there if os.path.realpath(file.path) not in used]


def _splits(
    images: Sequence[AnnotatedImage],
    files: Sequence[InputFile],
    windows: Sequence[Sequence[Window]],
    rules: SplitRules,
) -> tuple[list[list[str]], str]:
    """The split of each tile of each image, and what was done, in a few words.

    Tiles of one image are alike: those of a val image must not be trained on beside it, if there
    are others.
    """
    if len(images) == 1:
        names = [_tile_name(files[0], window, is_cut=True) for window in windows[0]]
        splits, groups = split_of_each(names, [images[0].split] * len(names), rules)
        return [splits], groups
    splits, groups = split_of_each(
        [file.name for file in files], [image.split for image in images], rules
    )
    return [[split] * len(cuts) for split, cuts in zip(splits, windows, strict=True)], groups


def _write(
    root: str,
    images: Sequence[AnnotatedImage],
    files: Sequence[InputFile],
    windows: Sequence[Sequence[Window]],
    splits: Sequence[Sequence[str]],
    *,
    is_cut: bool,
) -> dict[str, int]:
    """Write the data set; returns the number of images of each split."""
    by_class = objects_by_class(images)
    pictures = []
    with (
        CocoWriter(root, list(by_class)) as writer,
        tqdm(total=sum(map(len, windows)), desc="writing", unit="image") as progress,
    ):
        for split in dict.fromkeys([TRAIN, VAL, *(s for of_image in splits for s in of_image)]):
            writer.start_split(split, f"{', '.join(by_class)}, {split}")
        for image, file, cuts, of_image in zip(images, files, windows, splits, strict=True):
            # Read in any case: a broken file is to be found now, not in training.
            pixels = read_image(image.file)
            is_copied = not is_cut and _is_plain(image.file)
            for window, split in zip(cuts, of_image, strict=True):
                name = _tile_name(file, window, is_cut=is_cut)
                objects = objects_inside(image.objects, window) if is_cut else image.objects
                part = pixels[window]
                source = image.file if is_copied else part[..., ::-1]
                written = writer.add(split, name, source, part.shape[:2], objects)
                pictures.append(Picture(written, name, objects))
                progress.update()
        everything = [item for objects in by_class.values() for item in objects]
        write_contact_sheet(
            os.path.join(writer.folder, "contact_sheet.png"), pictures, median_diameter(everything)
        )
        return writer.counts()


def _tile_name(file: InputFile, window: Window, *, is_cut: bool) -> str:
    rows, columns = window
    return f"{file.name}_{rows.start}_{columns.start}" if is_cut else file.name


def _is_plain(file: str) -> bool:
    """Whether any program reads a file as it is read here: PNG or JPEG of grey or RGB, 8 bits."""
    with open(file, "rb") as stream, Image.open(stream) as image:
        if image.format not in ("PNG", "JPEG") or image.mode not in ("L", "RGB"):
            return False
        stream.seek(24)  # of PNG: bits of a channel
        is_deep = image.format == "PNG" and stream.read(1) != b"\x08"
        return not is_deep and getattr(image, "n_frames", 1) == 1
