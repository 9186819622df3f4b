"""Objects to and from the forms of other programs."""

import os
import shutil
import tempfile
from collections.abc import Sequence

from ..data.annotated import AnnotatedImage
from ..data.forms.readers import SourceRules, read_annotations
from ..data.forms.results import RESULT_FORMS, FoundObject, ResultImage, ResultWriter
from ..errors import FileError
from ..files import replacing_folder
from ..images import is_image_name
from ..rle import decoded_part
from .gallery import PageError
from .project import IGNORED, Marked, next_number
from .workspace import Workspace

# Of the project's folder.
EXPORTS = "exports"


def export(workspace: Workspace, forms: Sequence[str]) -> dict:
    """Write the objects of all images that were looked at into a new folder of the project.

    Regions of the class IGNORED are no objects, and are left out.

    Args:
        workspace: of the page.
        forms: keys of RESULT_FORMS.

    Returns:
        ``name`` of the folder, ``path`` of it, numbers of ``images`` and ``objects``, and
        ``remarks`` on what a form could not hold.

    Raises:
        PageError: for another form, and where there is nothing to write.
    """
    unknown = [form for form in forms if form not in RESULT_FORMS]
    if unknown or not forms:
        raise PageError(f"choose forms among {', '.join(RESULT_FORMS)}")
    with workspace.editor.lock:
        states = [
            (index, image, list(workspace.project.state(image.key).objects.values()))
            for index, image in enumerate(workspace.gallery)
            if workspace.project.state(image.key).is_seen
        ]
    if not states:
        raise PageError("no image was looked at yet: open one first")
    root = os.path.join(workspace.project.folder, EXPORTS)
    name = next_number(root)
    target, count = os.path.join(root, name), 0
    # Images that were sent may have the name of others.
    names = [os.path.splitext(image.key)[0] for _, image, _ in states]
    names = [
        n if names.count(n) == 1 else image.key
        for n, (_, image, _) in zip(names, states, strict=True)
    ]
    with replacing_folder(target) as folder:
        with ResultWriter(folder, workspace.classes, forms) as writer:
            for stem, (index, image, objects) in zip(names, states, strict=True):
                size = workspace.gallery.size(index)
                found = _found(workspace, objects)
                writer.add(ResultImage(stem, image.key, size), found)
                count += len(found)
        remarks = writer.remarks
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
        The numbers of ``images`` and ``objects`` that were taken.

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
        # Names in the file are below the folder of the images, or those of images that were sent.
        root = workspace.gallery.root
        return take(workspace, SourceRules(file, root, reading=reading), name)
    finally:
        if os.path.exists(part):
            os.remove(part)


def take(workspace: Workspace, rules: SourceRules, name: str, *, only_new: bool = False) -> dict:
    """Take annotations of any form that the project reads; see ``import_file``.

    Args:
        workspace: of the page.
        rules: where they lie.
        name: what the user calls them.
        only_new: leave images alone to which something was done already.
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
    if only_new:
        project, gallery = workspace.project, workspace.gallery
        known = [(i, image) for i, image in known if not project.state(gallery[i].key).is_seen]
    # All are checked before any is taken.
    taken = [(index, _marked(workspace, image, name)) for index, image in known]
    for index, objects in taken:
        workspace.editor.take(index, objects, "import")
    return {
        "images": len(taken),
        "objects": sum(len(objects) for _, objects in taken),
        "others": others,
    }


def _class_names(workspace: Workspace, class_name: str | None) -> tuple[str, ...]:
    """The class of objects of a label image; PageError where it is not known."""
    names = workspace.classes.names
    if class_name is None and len(names) > 1:
        raise PageError(
            "a label image names no class: choose that of its objects in the list of classes, with "
            "no object chosen, and import it again"
        )
    return (class_name or names[0],)


def _marked(workspace: Workspace, image: AnnotatedImage, name: str) -> list[Marked]:
    """The objects of an annotated image; PageError for a class that is not there."""
    names = workspace.classes.names
    objects = []
    for item in image.objects:
        class_name = IGNORED if item.is_crowd else item.class_name
        if len(names) == 1 and class_name == "object":
            class_name = names[0]  # what readers call objects without a class
        if class_name != IGNORED and class_name not in names:
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
