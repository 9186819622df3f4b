"""Learning from what people corrected: the data of a training, the training, and its model beside
the one before."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..data.annotated import AnnotatedObject
from ..data.coco.writer import CocoWriter
from ..engine import message_of
from ..images import read_image
from .editing import told
from .gallery import PageError
from .job import DATA, LearningJob
from .models import PageModel
from .project import IGNORED, Marked, next_number
from .workspace import Workspace

# Of the project's folder.
MODELS = "models"

_MOST_MINUTES = 24 * 60


@dataclass(frozen=True)
class _Lesson:
    """A training, the name of its model, and a line on each image that was left out."""

    name: str
    job: LearningJob
    left_out: list[str]


class Teacher:
    """One training at a time; its model is shown beside that in use until people decide."""

    def __init__(self, workspace: Workspace, load: Callable[[str], PageModel]):
        """
        Args:
            workspace: whose corrections are learnt.
            load: gives a model of the project by its name.
        """
        self._workspace, self._load = workspace, load
        self._lesson: _Lesson | None = None
        self._learnt: PageModel | None = None

    def start(self, minutes: float, labelled_share: float) -> dict:
        """Train on the corrected images from the model in use on.

        Those that cannot be read any more, or have another size than their objects, are left out.

        Args:
            minutes: of training.
            labelled_share: about what share of the objects in these images is marked, in (0, 1].

        Raises:
            PageError: while another training runs, where nothing was corrected, and for a number
                out of its range.
            FileError, OSError: for an image whose pixels cannot be read, or where the data cannot
                be written.
        """
        if not 0 < minutes <= _MOST_MINUTES:
            raise PageError(f"a training takes more than 0 and at most {_MOST_MINUTES} minutes")
        if not 0 < labelled_share <= 1:
            raise PageError("the share of the objects that are marked lies above 0, up to 1")
        if self._lesson is not None and self._lesson.job.is_running:
            raise PageError("a training is running: wait for it, or stop it")
        model, (chosen, left_out) = self._workspace.model, self._chosen()
        name, folder = self._new_folder()
        try:
            self._write_data(os.path.join(folder, DATA), chosen)
            model.write_training(folder, labelled_share)
            job = LearningJob(folder, model.training_command(folder, minutes), minutes)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._lesson, self._learnt = _Lesson(name, job, left_out), None
        return self.told()

    def stop(self) -> dict:
        """End the training; nothing is learnt."""
        if self._lesson is not None and self._lesson.job.is_running:
            self._lesson.job.stop()
            shutil.rmtree(self._lesson.job.folder, ignore_errors=True)
        return self.told()

    def told(self) -> dict:
        """How far the training is, see ``LearningJob.told``; ``state`` "none" where there is none.

        ``images`` are the places of the images that were corrected; ``remarks``, lines on those
        that the training left out.
        """
        images = self._corrected()
        if self._lesson is None:
            return {"state": "none", "images": images}
        remarks = self._lesson.left_out
        about = {"images": images, "model": self._lesson.name, "remarks": remarks}
        return {**about, **self._lesson.job.told()}

    def compare(self, index: int) -> dict:
        """What the model in use and the one that was learnt find in an image: ``before`` and
        ``after``, objects as the page has them."""
        models = {"before": self._workspace.model, "after": self._new_model()}
        return {
            when: [
                told(number, item)
                for number, item in enumerate(self._workspace.sight(index, model).objects, start=1)
            ]
            for when, model in models.items()
        }

    def decide(self, keep: bool) -> dict:
        """Use the model that was learnt from now on, or forget it."""
        job = self._done().job
        if keep:
            self._workspace.use(self._new_model())
        else:
            shutil.rmtree(job.folder, ignore_errors=True)
        self._lesson = self._learnt = None
        return self.told()

    def _done(self) -> _Lesson:
        """The training that has ended with a model; PageError without one."""
        if self._lesson is None or not self._lesson.job.is_done:
            raise PageError("nothing was learnt yet")
        return self._lesson

    def _new_model(self) -> PageModel:
        """That which was learnt; PageError without one, or for one that cannot be loaded."""
        lesson = self._done()
        if self._learnt is None:
            try:
                self._learnt = self._load(lesson.name)
            except (KeyError, OSError, ValueError) as error:
                raise PageError(
                    f"what was learnt cannot be loaded ({message_of(error)}): forget it, and learn "
                    "again"
                ) from error
        return self._learnt

    def _corrected(self) -> list[int]:
        project, gallery = self._workspace.project, self._workspace.gallery
        return [
            index for index, image in enumerate(gallery) if project.state(image.key).is_corrected
        ]

    def _new_folder(self) -> tuple[str, str]:
        """Name and folder of the next model; the folder is made."""
        root = os.path.join(self._workspace.project.folder, MODELS)
        number = next_number(root)
        folder = os.path.join(root, number)
        os.mkdir(folder)
        return f"{MODELS}/{number}", folder

    def _chosen(self) -> tuple[dict[int, list[Marked]], list[str]]:
        """The objects of the corrected images, by the places of these, and a line on each that is
        left out; PageError without any object."""
        workspace = self._workspace
        sizes, left_out = workspace.sizes(self._corrected())
        with workspace.editor.lock:
            chosen = {
                index: list(workspace.project.state(workspace.gallery[index].key).objects.values())
                for index in sizes
            }
        if not any(item.class_name != IGNORED for objects in chosen.values() for item in objects):
            nothing = "no object was corrected yet: mark some objects first"
            raise PageError("; ".join([nothing, *left_out[:3]]))
        return chosen, left_out

    def _write_data(self, folder: str, chosen: Mapping[int, Sequence[Marked]]) -> None:
        """Images and their objects as a data set in COCO's format."""
        gallery, names = self._workspace.gallery, self._workspace.classes.names
        with CocoWriter(folder, names) as writer:
            writer.start_split("train", "corrected on the page")
            for index, objects in chosen.items():
                pixels = read_image(gallery[index].file, gallery.reading)
                annotated = [
                    # A region that is neither object nor background is a crowd of any class.
                    AnnotatedObject(dict(item.mask), "", is_crowd=True)
                    if item.class_name == IGNORED
                    else AnnotatedObject(dict(item.mask), item.class_name)
                    for item in objects
                ]
                size = pixels.shape[:2]
                writer.add("train", f"{index:05d}", pixels[..., ::-1], size, annotated)
