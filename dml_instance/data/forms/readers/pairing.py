"""Which label image belongs to which image, by their names.

Beside equal names, the additions of common programs are known: Cellpose (``a_cp_masks``,
``a_img`` with ``a_masks``), Fiji and its plugins (``Mask of a``, ``Count Masks of a``, ``a-lbl``,
``LblImg_a``), ilastik (``a_Object Identities``), QuPath (``a-labels``), the Cell Tracking Challenge
(``t001`` with ``man_seg001``), StarDist and others (folders ``images`` and ``masks``).
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ....errors import FileError
from ...input_files import InputFile, input_files
from .exports import files_below

_LABEL_WORDS = (
    r"(?:cp[ _-]?)?masks?|labels?|labell?ed|lbl|gt|ground[ _-]?truth|seg|segmentations?|"
    r"instances?(?:[ _-]?(?:ids?|masks?|labels?))?|annotations?|object[ _-]?identities|"
    r"simple[ _-]?segmentation|objects"
)
_IMAGE_WORDS = r"im|img|image|raw|orig|original"


def _affixes(words: str, before_a_number: str, more: str = "(?!)") -> re.Pattern:
    """What a program puts before or behind a name: words, some of them without a mark between."""
    return re.compile(
        rf"^(?:{more}|(?:{words})[ _.-]+|(?:{before_a_number})(?=\d))|[ _.-]+(?:{words})$",
        re.IGNORECASE,
    )


_OF_LABELS = _affixes(
    _LABEL_WORDS, "man_seg|masks?|labels?|gt|seg", r"(?:count )?masks? of |labels? of |lblimg[ _-]"
)
_OF_IMAGES = _affixes(_IMAGE_WORDS, "t|im|img|image|raw")
_LABEL_FOLDER = re.compile(rf"(?:{_LABEL_WORDS})", re.IGNORECASE)
_IMAGE_FOLDER = re.compile(rf"(?:{_IMAGE_WORDS}|imgs|images)", re.IGNORECASE)
_NUMBERED = re.compile(r"[ _.-]*\d+$")
# What Cellpose writes beside its masks.
_NO_IMAGE = re.compile(r"_(?:cp_)?(?:flows|outlines)$", re.IGNORECASE)


@dataclass(frozen=True)
class LabelFile:
    """A label image.

    Attributes:
        file: its path.
        class_name: of all its objects; None: its name does not say.
        is_one_object: it is the mask of one object.
    """

    file: str
    class_name: str | None = None
    is_one_object: bool = False


@dataclass(frozen=True)
class LabelledImage:
    """An image and the label images that belong to it."""

    image: InputFile
    labels: tuple[LabelFile, ...]


# What a label file may be called for, from its path without ending: the names of images, best
# first, and what is known of its objects.
Layout = Callable[[str], tuple[list[str], str | None, bool]]


def labelled_images(
    images: str | None, labels: str, class_names: Sequence[str], *, may_lack_labels: bool = False
) -> list[LabelledImage]:
    """Images with their label images, by name.

    Args:
        images: folder or file; None: they lie among the labels.
        labels: folder or file.
        class_names: of which label files of one class each bear one at their end; fewer than two:
            they do not.
        may_lack_labels: images without label images are passed over.

    Raises:
        FileError: for files without counterpart, or that several could be the counterpart of;
            names them, and the cure.
    """
    if images is not None and os.path.isfile(images) and os.path.isfile(labels):
        if os.path.samefile(images, labels):
            raise FileError(f"{images} was given as image and as its label image: give two files")
        (image,) = input_files([images])
        return [LabelledImage(image, (LabelFile(labels),))]
    if images is None or (os.path.isdir(images) and os.path.samefile(images, labels)):
        image_files, label_files = _told_apart(labels)
    else:
        image_files, label_files = input_files([images], [labels]), input_files([labels], [images])
    tried = []
    for layout in _layouts(class_names):
        pairs, lone = _matched(image_files, label_files, layout)
        if not lone and len(pairs) == len(image_files):
            return _unambiguous(pairs)
        tried.append((pairs, lone))
    pairs, lone = max(tried, key=lambda found: len(found[0]) - len(found[1]))
    if may_lack_labels and pairs and not lone:
        return _unambiguous(pairs)
    raise _lone_error(images or labels, labels, [f for f in image_files if f not in pairs], lone)


def _told_apart(folder: str) -> tuple[list[InputFile], list[InputFile]]:
    """Images and label images that lie in one folder: by sub-folders, or by what is added."""
    files = [file for file in input_files([folder]) if not _NO_IMAGE.search(_key(file))]
    if labels := [f for f in files if _in_folder(f, _LABEL_FOLDER)]:
        of_images = [f for f in files if _in_folder(f, _IMAGE_FOLDER)]
        return of_images or _others(files, labels), labels
    keys = defaultdict(set)
    for file in files:
        for key in _stripped(_key(file), _OF_IMAGES):
            keys[key].add(file)
    labels = [f for f in files if any(keys[k] - {f} for k in _stripped(_key(f), _OF_LABELS)[1:])]
    return _others(files, labels), labels


def _others(files: Sequence[InputFile], taken: Sequence[InputFile]) -> list[InputFile]:
    """The files that are not among those taken."""
    without = set(taken)
    return [file for file in files if file not in without]


def _in_folder(file: InputFile, pattern: re.Pattern) -> bool:
    return any(pattern.fullmatch(part) for part in file.relative.split("/")[:-1])


def _key(file: InputFile, pattern: re.Pattern | None = None) -> str:
    """The path of a file without ending, and without the folders that only say what it is."""
    # macOS takes letters with accents apart, other systems do not.
    path = unicodedata.normalize("NFC", file.relative)
    *folders, name = os.path.splitext(path)[0].split("/")
    folders = [part for part in folders if pattern is None or not pattern.fullmatch(part)]
    return "/".join([*folders, name])


def _stripped(key: str, pattern: re.Pattern) -> list[str]:
    """A key, and the same without one addition, without two, and so on."""
    folder, slash, name = key.rpartition("/")
    names = [name]
    while (shorter := pattern.sub("", names[-1], count=1)) not in ("", names[-1]):
        names.append(shorter)
    return [f"{folder}{slash}{name}" for name in names]


def _layouts(class_names: Sequence[str]) -> Iterator[Layout]:
    """The ways to name label files, from the plainest on."""

    def by_name(key: str):
        return _stripped(key, _OF_LABELS), None, False

    def by_class_at_end(key: str):
        for name in class_names:
            if key.lower().endswith(name.lower()) and len(key) > len(name):
                rest = key[: -len(name)].rstrip(" _.-")
                return _stripped(rest, _OF_LABELS), name, False
        return [], None, False

    def by_class_folder(key: str):
        name, _, rest = key.partition("/")
        return (_stripped(rest, _OF_LABELS) if rest else []), name, False

    def by_image_folder(key: str):
        return ([key.rpartition("/")[0]] if "/" in key else []), None, True

    def by_number(key: str):
        rest = _NUMBERED.sub("", key)
        return (_stripped(rest, _OF_LABELS) if rest != key else []), None, True

    yield by_name
    if len(class_names) > 1:
        yield by_class_at_end
    yield from (by_class_folder, by_image_folder, by_number)


def _matched(
    images: Sequence[InputFile], labels: Sequence[InputFile], layout: Layout
) -> tuple[dict[InputFile, list[LabelFile]], list[InputFile]]:
    """Images with what belongs to them in a layout, and labels that belong to none."""
    plain, shortened = defaultdict(list), defaultdict(list)
    for image in images:
        key, *shorter = _stripped(_key(image, _IMAGE_FOLDER), _OF_IMAGES)
        plain[key].append(image)
        for other in shorter:
            shortened[other].append(image)
    for image, folder in _alone_in_folder(images).items():
        shortened[folder].append(image)
    pairs, lone = defaultdict(list), []
    for label in labels:
        keys, class_name, is_one_object = layout(_key(label, _LABEL_FOLDER))
        found = [names[key] for names in (plain, shortened) for key in keys if key in names]
        of_label = [image for image in (found or [[]])[0] if not _same(image, label)]
        if len(of_label) > 1:
            raise FileError(
                f"{label.path} may belong to {of_label[0].path} or to {of_label[1].path}: rename "
                "one of these images, or take it away"
            )
        if of_label:
            pairs[of_label[0]].append(LabelFile(label.path, class_name, is_one_object))
        else:
            lone.append(label)
    return pairs, lone


def _alone_in_folder(images: Sequence[InputFile]) -> dict[InputFile, str]:
    """Images that have a folder to themselves, and that folder."""
    of_folder = defaultdict(list)
    for image in images:
        of_folder[_key(image, _IMAGE_FOLDER).rpartition("/")[0]].append(image)
    return {of[0]: folder for folder, of in of_folder.items() if folder and len(of) == 1}


def _same(one: InputFile, other: InputFile) -> bool:
    return os.path.realpath(one.path) == os.path.realpath(other.path)


def _unambiguous(pairs: dict[InputFile, list[LabelFile]]) -> list[LabelledImage]:
    """The same by name of the image; FileError for two files with numbers of the same objects."""
    for image, labels in pairs.items():
        is_clear = len({label.class_name for label in labels}) == len(labels)
        if not (is_clear or all(label.is_one_object for label in labels)):
            raise FileError(
                f"{image.path} has several label images, {labels[0].file} and {labels[1].file}: "
                "leave one, or give several names with --class-name where each is of one class"
            )
    in_order = sorted(pairs, key=lambda image: image.relative)
    return [LabelledImage(image, tuple(pairs[image])) for image in in_order]


def _lone_error(
    images: str, labels: str, without: Sequence[InputFile], lone: Sequence[InputFile]
) -> FileError:
    """What is said where images have no label file, or label files no image."""
    pickles = files_below(labels, "_seg.npy")
    if pickles and not lone:
        return FileError(
            f"{pickles[0]} is Cellpose's own file, a pickle, which may run "
            "any code when it is read: save the masks as PNG or TIFF in Cellpose (File, or "
            "--save_png and --save_tif of its command)"
        )
    for one, other in pairwise(sorted(without, key=_key)):
        if _key(one) == _key(other):
            return FileError(
                f"{one.path} and {other.path} are of one name: where one is the label image of the "
                "other, put label images in a folder of their own (--images, --labels), or add "
                "_mask to their names; else rename one"
            )
    alone = [file.path for file in [*without, *lone]]
    named = f"{', '.join(alone[:3])}{' ...' if len(alone) > 3 else ''}"
    return FileError(
        f"every image of {images} needs a label image of its name in {labels}, such as a.png or "
        f"a_mask.png for a.tif; {named} stand{'s' if len(alone) == 1 else ''} alone: add the other "
        "one, or take this one away"
    )
