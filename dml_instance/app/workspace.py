"""What the page works on: images, the project that keeps their objects, and the model in use.

What the server answers is worked out here and in ``editing``, in JSON's types. Threads may call at
once.
"""

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable

import numpy as np

from ..engine import message_of
from ..errors import FileError
from ..grouping import PointChoice, PointGround
from ..keys.classes import Classes
from .editing import Editor, standing, told
from .gallery import Gallery, PageError, in_page_words, png
from .models import PageModel, Sight, similarity_picture
from .project import IGNORED, Project

# What the network says of images is kept up to so many bytes, and of one image in any case.
_KEPT_BYTES = 2**30
_LONGEST_NAME = 80


class Workspace:
    """The images, the project and the model of one page.

    Attributes:
        project: what people did.
        gallery: the images.
        model: in use.
        editor: what people do.
    """

    def __init__(self, project: Project, gallery: Gallery, model: PageModel):
        """
        Args:
            project: open.
            gallery: of its images.
            model: that objects are found and grown with.
        """
        self.project, self.gallery, self.model = project, gallery, model
        self.editor = Editor(
            project, gallery, lambda: self.model, self.sight, lambda: self.classes.names
        )
        self._sights: OrderedDict[tuple[str, str], Sight] = OrderedDict()
        # Of the network and of what is kept: a click on an image does not wait for another one.
        self._looking, self._keeping = threading.Lock(), threading.Lock()

    def sight(self, index: int, model: PageModel | None = None) -> Sight:
        """What a model, None: that in use, sees in an image; kept while there is room."""
        image, model = self.gallery[index], model or self.model
        place = (model.name, image.key)
        sight = self._kept(place)
        if sight is not None:
            return sight
        with self._looking:
            sight = self._kept(place)  # another thread may have looked meanwhile
            if sight is None:
                sight = model.see(image.file)
                self._keep(place, sight)
            return sight

    def _kept(self, place: tuple[str, str]) -> Sight | None:
        with self._keeping:
            if place in self._sights:
                self._sights.move_to_end(place)
            return self._sights.get(place)

    def _keep(self, place: tuple[str, str], sight: Sight) -> None:
        with self._keeping:
            self._sights[place] = sight
            total = sum(kept.nbytes for kept in self._sights.values())
            while total > _KEPT_BYTES and len(self._sights) > 1:
                total -= self._sights.popitem(last=False)[1].nbytes

    def use(self, model: PageModel) -> None:
        """Another model from now on. Images that nobody corrected are looked at anew when they are
        opened, the others keep their objects."""
        with self.editor.lock:
            self.project.set_model(model.name)
            self.model = model

    @property
    def classes(self) -> Classes:
        """Those of the model in use, and behind them what people added."""
        of_model = self.model.classes
        new = [name for name in self.project.classes if name not in of_model.names]
        first = max(of_model.category_ids) + 1
        ids = (*of_model.category_ids, *range(first, first + len(new)))
        return Classes((*of_model.names, *new), ids)

    def add_class(self, name: str) -> dict:
        """Have a class that the model does not know, until it has learnt it.

        Args:
            name: blanks round it do not count.

        Raises:
            PageError: for a name that is taken, empty, longer than 80 characters or of more than
                a line.
        """
        name = name.strip()
        if not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
            raise PageError(f"a class has a name of 1 to {_LONGEST_NAME} characters")
        with self.editor.lock:
            if name in (*self.classes.names, IGNORED):
                raise PageError(f"there is a class {name!r} already")
            self.project.add_class(name)
        return self.overview()

    def overview(self) -> dict:
        """The images with their counts, the classes and the model."""
        with self.editor.lock:
            images = []
            for index, image in enumerate(self.gallery):
                state = self.project.state(image.key)
                images.append(
                    {
                        "index": index,
                        "name": image.key,
                        "objects": len(state.objects),
                        "seen": state.is_seen,
                        "corrected": state.is_corrected,
                        "complete": state.is_complete,
                    }
                )
            return {
                "images": images,
                "classes": [*self.classes.names, IGNORED],
                "model": self.model.name,
                "min_score": self.model.min_score,
                "project": os.path.abspath(self.project.folder),
            }

    def opened(self, index: int) -> dict:
        """An image with its objects, which are looked for where the model in use never did and
        nobody corrected them."""
        image = self.gallery[index]
        size = self.editor.size(index)
        with self.editor.lock:
            is_stale = self._is_stale(image.key)
        if is_stale:
            self.sight(index)
        else:
            # For the first click; nobody waits for it.
            threading.Thread(target=self._look_ahead, args=(index,), daemon=True).start()
        with self.editor.lock:
            if self._is_stale(image.key):
                self.editor.segment(index)
            state = self.project.state(image.key)
            return {
                "index": index,
                "name": image.key,
                "height": size[0],
                "width": size[1],
                "objects": [told(n, item) for n, item in state.objects.items()],
                **standing(state),
            }

    def sizes(self, indices: Iterable[int]) -> tuple[dict[int, tuple[int, int]], list[str]]:
        """(H, W) of each image whose objects can be used; and for each other one, which cannot be
        read any more or has another size than its objects, a line that says so."""
        sizes, left_out = {}, []
        for index in indices:
            try:
                sizes[index] = self.editor.size(index)
            except (OSError, ValueError) as error:
                left_out.append(f"left out: {in_page_words(message_of(error))}")
        return sizes, left_out

    def seeds(self, index: int) -> list[dict]:
        """The account of every seed of an image; see ``SeedAccount``."""
        return self.sight(index).accounts

    def similarity(
        self, index: int, point: tuple[float, float]
    ) -> tuple[bytes, tuple[float, float]]:
        """How alike all of an image is to a point: a grey PNG on the grid of the network, and the
        pixels a cell, (vertical, horizontal)."""
        ground = self.sight(index).ground
        cell_size = ground.cell_sizes[self._choice(ground, point).level]
        return png(similarity_picture(ground, point)), cell_size

    def why(self, index: int, point: tuple[float, float]) -> dict:
        """What the model says of one point, and the seed nearest to it."""
        sight = self.sight(index)
        choice = self._choice(sight.ground, point)
        away = [
            (account["row"] - point[0]) ** 2 + (account["column"] - point[1]) ** 2
            for account in sight.accounts
        ]
        nearest = int(np.argmin(away)) if away else None
        probability = sight.ground.probabilities[choice.level]
        here = probability[:, :, choice.cell[0], choice.cell[1]].max(axis=0)
        return {
            "class": self.model.name_of(choice.pred_class),
            "tau": sight.ground.taus[choice.tau_index],
            "seediness": round(choice.seediness, 4),
            "classes": {
                self.model.name_of(index): round(float(value), 4)
                for index, value in enumerate(here)
            },
            "nearest": nearest,
            "account": None if nearest is None else sight.accounts[nearest],
        }

    @staticmethod
    def _choice(ground: PointGround, point: tuple[float, float]) -> PointChoice:
        try:
            return ground.choice(point)
        except ValueError as error:
            raise PageError(str(error)) from error

    def _look_ahead(self, index: int) -> None:
        # Who clicks is told what is wrong with the file.
        with contextlib.suppress(FileError, OSError):
            self.sight(index)

    def _is_stale(self, key: str) -> bool:
        state = self.project.state(key)
        return not state.is_corrected and state.found_by != self.model.name
