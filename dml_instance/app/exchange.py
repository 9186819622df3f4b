"""Objects to and from the forms of other programs."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence

from ..data.annotated import AnnotatedImage, AnnotatedObject, left_out_lines
from ..data.forms.readers import DEFAULT_CLASS, SourceRules, read_annotations
from ..data.forms.results import RESULT_FORMS, FoundObject, ResultImage, ResultWriter
from ..errors import FileError
from ..files import replacing_folder
from ..images import is_image_name
from ..report import with_more
from ..rle import decoded_part
from .gallery import UPLOADS, Gallery, PageError, in_page_words
from .project import IGNORED, Marked, next_number
from .workspace import Workspace

# Of the project's folder.
EXPORTS = "exports"


def export(workspace: Workspace, forms: Sequence[str]) -> dict:
    """Write the objects of all images that were looked at into a new folder of the project.

    Regions of the class IGNORED are no objects, and are left out; so is an image that cannot be
    read any more, or has another size than its objects.

    Args:
        workspace: of the page.
        forms: keys of RESULT_FORMS.

    Returns:
        ``name`` of the folder, ``path`` of it, numbers of ``images`` and ``objects``, and
        ``remarks`` on what a form could not hold, and on images that were left out.

    Raises:
        PageError: for another form, and where there is nothing to write.
    """
    unknown = [form for form in forms if form not in RESULT_FORMS]
    if unknown or not forms:
        raise PageError(f"choose forms among {', '.join(RESULT_FORMS)}")
    with workspace.editor.lock:
        seen = [
            (index, image, list(workspace.project.state(image.key).objects.values()))
            for index, image in enumerate(workspace.gallery)
            if workspace.project.state(image.key).is_seen
        ]
    if not seen:
        raise PageError("no image was looked at yet: open one first")
    sizes, left_out = workspace.sizes([index for index, _, _ in seen])
    if not sizes:
        raise PageError("; ".join(["nothing can be exported", *left_out[:3]]))
    states = [(image, sizes[index], objects) for index, image, objects in seen if index in sizes]
    root = os.path.join(workspace.project.folder, EXPORTS)
    name = next_number(root)
    target, count = os.path.join(root, name), 0
    # Images that were sent may have the name of others.
    names = [os.path.splitext(image.key)[0] for image, _, _ in states]
    names = [
        n if names.count(n) == 1 else image.key
        for n, (image, _, _) in zip(names, states, strict=True)
    ]
    with replacing_folder(target) as folder:
        with ResultWriter(folder, workspace.classes, forms) as writer:
            for stem, (image, size, objects) in zip(names, states, strict=True):
                found = _found(workspace, objects)
                writer.add(ResultImage(stem, image.key, size), found)
                count += len(found)
        remarks = [*writer.remarks, *left_out]
    return {
        "name": name,
        "path": os.path.abspath(target),
        "images": len(states),
        "objects": count,
        "remarks": remarks,
    }


def packed(workspace: Workspace, name: str) -> str:
    """The zip file of an export, which is made where it is not there yet.

    Raises:
        PageError: for a name that is not that of an export.
    """
    root = os.path.join(workspace.project.folder, EXPORTS)
    if not (name.isascii() and name.isdigit() and os.path.isdir(os.path.join(root, name))):
        raise PageError(f"there is no export {name}")
    path = os.path.join(root, f"{name}.zip")
    if not os.path.isfile(path):
        with tempfile.TemporaryDirectory(dir=root, prefix=".") as scratch:
            made = shutil.make_archive(os.path.join(scratch, name), "zip", os.path.join(root, name))
            os.replace(made, path)
    return path


def import_file(
    workspace: Workspace, index: int, name: str, part: str, class_name: str | None = None
) -> dict:
    """Take the objects of a file in the place of those that are there.

    A label image is of the image at ``index``; other files say themselves which images they are of.

    Args:
        workspace: of the page.
        index: of the image that is open.
        name: of the file on the user's machine; it says what kind of file it is.
        part: the file as it was received; it is removed.
        class_name: of objects of which the file names no class; None: the only one that there is.

    Returns:
        As ``take``.

    Raises:
        PageError: for a file that cannot be used.
    """
    try:
        image = workspace.gallery[index]
        # A name of our own: only the ending is that of the user's.
        ending = os.path.splitext(name)[1].lower()
        file = f"{part}{ending if ending[1:].isalnum() else ''}"
        os.replace(part, file)
        part = file
        reading = workspace.gallery.reading
        if is_image_name(file):
            names = _class_names(workspace, class_name)
            rules = SourceRules(file, image.file, class_names=names, reading=reading)
            return take(workspace, rules, name)
        with _one_root(workspace.gallery) as root:
            try:
                return take(workspace, SourceRules(file, root, reading=reading), name)
            except PageError as error:
                raise PageError(str(error).replace(root, workspace.gallery.root)) from error
    finally:
        if os.path.exists(part):
            os.remove(part)


@contextlib.contextmanager
def _one_root(gallery: Gallery) -> Iterator[str]:
    """A folder below which the images lie by their keys.

    That of the images that were named; where others were sent, one of links to both, in which these
    have their plain names, too, where no other file has them.
    """
    if not os.path.isdir(gallery.uploads):
        yield gallery.root
        return
    with tempfile.TemporaryDirectory(dir=os.path.dirname(gallery.uploads), prefix=".") as root:
        links = {name: os.path.join(gallery.uploads, name) for name in os.listdir(gallery.uploads)}
        links[UPLOADS] = gallery.uploads
        links |= {name: os.path.join(gallery.root, name) for name in os.listdir(gallery.root)}
        for name, path in links.items():
            os.symlink(os.path.abspath(path), os.path.join(root, name))
        yield root


def take(workspace: Workspace, rules: SourceRules, name: str, *, at_start: bool = False) -> dict:
    """Take annotations of any form that the project reads; see ``import_file``.

    Args:
        workspace: of the page.
        rules: where they lie.
        name: what the user calls them.
        at_start: leave images alone to which something was done already, and add classes that are
            not there yet.

    Returns:
        The numbers of ``images`` and ``objects`` that were taken, of ``others``, images that are
        not on this page, and of images that are ``without`` annotations; ``classes`` that were
        added; and ``doubts``, lines on what looks like a mistake.
    """
    try:
        images = list(read_annotations(rules)[1])
    except (FileError, OSError, ValueError) as error:
        raise PageError(str(error).replace(rules.labels, name)) from error
    places = {os.path.realpath(i.file): index for index, i in enumerate(workspace.gallery)}
    chosen = [(places.get(os.path.realpath(image.file)), image) for image in images]
    known = [(index, image) for index, image in chosen if index is not None]
    others = len(images) - len(known)
    if not known:
        raise PageError(f"{name} is of none of the images of this page")
    without = len(places) - len({index for index, _ in known})
    classes: list[str] = []
    if at_start:
        project, gallery = workspace.project, workspace.gallery
        known = [(i, image) for i, image in known if not project.state(gallery[i].key).is_seen]
        classes = _added_classes(workspace, [image for _, image in known])
    # All are checked before any is taken.
    taken = [(index, _marked(workspace, image, name)) for index, image in known]
    for index, objects in taken:
        workspace.editor.take(index, objects, "import")
    doubts = _doubts([image for _, image in known])
    return {
        "images": len(taken),
        "objects": sum(len(objects) for _, objects in taken),
        "others": others,
        "without": without,
        "classes": classes,
        "doubts": [in_page_words(line.replace(rules.labels, name)) for line in doubts],
    }


def _doubts(images: Sequence[AnnotatedImage]) -> list[str]:
    """A line on each kind of doubt, of the first image that has it, and one on what was annotated
    and is no object."""
    lines: dict[str, list[str]] = {}
    for image in images:
        for kind, line in image.doubts.items():
            lines.setdefault(kind, []).append(line)
    told = [with_more(first, len(more)) for first, *more in lines.values()]
    return [*told, *left_out_lines(images)]


def _added_classes(workspace: Workspace, images: Sequence[AnnotatedImage]) -> list[str]:
    """The classes of objects that were not there, and are now."""
    names = [_class_of(workspace, item) for image in images for item in image.objects]
    known = (*workspace.classes.names, IGNORED)
    new = [name for name in dict.fromkeys(names) if name not in known]
    for name in new:
        workspace.add_class(name)
    return new


def _class_names(workspace: Workspace, class_name: str | None) -> tuple[str, ...]:
    """The class of objects of a label image; PageError where it is not known."""
    names = workspace.classes.names
    if class_name is None and len(names) > 1:
        raise PageError(
            "a label image names no class: choose that of its objects in the list of classes, with "
            "no object chosen, and import it again"
        )
    return (class_name or names[0],)


def _class_of(workspace: Workspace, item: AnnotatedObject) -> str:
    """What an annotated object is called here, whether there is such a class or not."""
    if item.is_crowd:
        return IGNORED
    name, of_model = item.class_name.strip(), workspace.model.classes.names
    # What readers call objects without a class is the only one that a model knows.
    is_nameless = name == DEFAULT_CLASS and name not in workspace.classes.names
    return of_model[0] if is_nameless and len(of_model) == 1 else name


def _marked(workspace: Workspace, image: AnnotatedImage, name: str) -> list[Marked]:
    """The objects of an annotated image; PageError for a class that is not there."""
    names = workspace.classes.names
    objects = []
    for item in image.objects:
        class_name = _class_of(workspace, item)
        if class_name not in (*names, IGNORED):
            raise PageError(
                f"{name} has objects of class {class_name!r}, but the classes here are "
                f"{', '.join(names)}: add it in the list of classes, or rename it there"
            )
        objects.append(Marked(item.mask, class_name))
    return objects


def _found(workspace: Workspace, objects: Sequence[Marked]) -> list[FoundObject]:
    """The objects as the writers of results take them; what people drew has the score 1."""
    kept = [item for item in objects if item.class_name != IGNORED]
    kept.sort(key=lambda item: -(1.0 if item.score is None else item.score))
    names = workspace.classes.names
    unknown = {item.class_name for item in kept} - set(names)
    if unknown:
        raise PageError(
            f"there are objects of class {', '.join(sorted(unknown))}, which is none of this "
            "model: change their class, or add it in the list of classes"
        )
    found = []
    for label, item in enumerate(kept, start=1):
        mask, (top, left) = decoded_part(dict(item.mask))
        window = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
        score = 1.0 if item.score is None else item.score
        found.append(FoundObject(label, names.index(item.class_name), score, window, mask))
    return found
