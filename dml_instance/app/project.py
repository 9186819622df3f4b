"""The state of a project: the objects of each image, what was done to them, undone and done again.

It is worked out from a log of actions, and from nothing else: what is in memory is what a replay of
the log gives.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .action_log import ActionLog, LogError, write_durably

# The class of regions that are neither object nor background.
IGNORED = "(ignored)"

# The name of the edit that puts what a model finds in the place of what is there.
SEGMENT = "segment"

_FORMAT = 1


@dataclass(frozen=True)
class Marked:
    """One object of an image.

    Attributes:
        mask: compressed RLE of the size of the image, not empty.
        class_name: of the object; IGNORED for a region that is neither object nor background.
        score: in [0, 1], of what a model found or grew; None: drawn or changed by hand.
        point: (row, column) in pixels that it grew from; None: from none.
        tau: the least similarity to that point.
    """

    mask: Mapping
    class_name: str
    score: float | None = None
    point: tuple[float, float] | None = None
    tau: float | None = None

    @classmethod
    def of_json(cls, content: dict) -> "Marked":
        """What ``asdict`` and JSON have made of one."""
        point = content["point"]
        return cls(**{**content, "point": None if point is None else tuple(point)})


@dataclass(frozen=True)
class Edit:
    """Some objects of an image in the place of others.

    Attributes:
        name: for people.
        removed, added: by number.
        model: that found what is added; None: people did.
    """

    name: str
    removed: dict[int, Marked]
    added: dict[int, Marked]
    model: str | None = None


@dataclass
class ImageState:
    """The objects of one image by number, and the edits that led there.

    Attributes:
        objects: in the order in which they are listed.
        done: edits, the last one last.
        undone: edits that can be done again, the next one last.
        is_complete: every object of the image is marked.
    """

    objects: dict[int, Marked] = field(default_factory=dict)
    done: list[Edit] = field(default_factory=list)
    undone: list[Edit] = field(default_factory=list)
    is_complete: bool = False
    next_number: int = 1

    @property
    def is_corrected(self) -> bool:
        """Whether somebody has changed what a model found, or said that nothing is missing."""
        return self.is_complete or any(edit.name != SEGMENT for edit in self.done)

    @property
    def is_seen(self) -> bool:
        """Whether anything was ever done to the objects."""
        return bool(self.done or self.undone)

    @property
    def size(self) -> tuple[int, int] | None:
        """(H, W) of the image that the objects were drawn on; None: there never were any."""
        edits = [*self.done, *self.undone]
        masks = (item.mask for edit in edits for item in (edit.added | edit.removed).values())
        return next((tuple(mask["size"]) for mask in masks), None)

    @property
    def found_by(self) -> str | None:
        """The model that was asked last, also where that was undone; None: none was."""
        edits = [*reversed(self.done), *reversed(self.undone)]
        return next((edit.model for edit in edits if edit.model), None)

    def _replace(self, removed: Iterable[int], added: Mapping[int, Marked]) -> None:
        for number in removed:
            del self.objects[number]
        self.objects.update(added)

    def do(self, edit: Edit) -> None:
        """Apply a new edit; what was undone cannot be done again."""
        self._replace(edit.removed, edit.added)
        self.done.append(edit)
        self.undone.clear()
        self.next_number = max([self.next_number, *(number + 1 for number in edit.added)])

    def undo(self) -> Edit:
        """Take the last edit back."""
        edit = self.done.pop()
        self._replace(edit.added, edit.removed)
        self.undone.append(edit)
        return edit

    def redo(self) -> Edit:
        """Apply the edit that was undone last."""
        edit = self.undone.pop()
        self._replace(edit.removed, edit.added)
        self.done.append(edit)
        return edit


class Project:
    """What people did, kept in a folder: ``project.json`` and ``actions.jsonl``.

    Each action is on the disk before it counts. Images are known by keys, which are only compared
    and never become paths here.

    Attributes:
        folder: of the project.
        images: state by key; of an image that nothing was done to there may be none.
        model: the name of the model in use; None: none was chosen.
        classes: names that people added, beside those of models.
    """

    def __init__(self, folder: str):
        """Open a project, or begin one in a new or empty folder.

        Raises:
            LogError: for a folder that holds something else, a project of another version or one
                that another program has open.
            OSError: for a folder that cannot be made or written.
        """
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self._head = os.path.join(folder, "project.json")
        if os.path.exists(self._head):
            self._about = self._read_head()
        elif os.listdir(folder):
            raise LogError(f"{folder} is no project and not empty: give another --project")
        else:
            self._about = {"format": _FORMAT, "of": "dml_instance"}
            self._write_head()
        self.images: dict[str, ImageState] = {}
        self.model: str | None = None
        self.classes: list[str] = []
        self._log = ActionLog(os.path.join(folder, "actions.jsonl"))
        for number, action in enumerate(self._log.actions, start=1):
            try:
                self._apply(action)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
                self._log.close()
                raise LogError(
                    f"{self._log.path}, line {number}, does not fit what stands before it "
                    f"({type(error).__name__}: {error}): mend that line, or give another --project"
                ) from error
        self._log.actions.clear()

    def close(self) -> None:
        """Nothing more is done; another program may open the project."""
        self._log.close()

    def settle(self, root: str) -> None:
        """Be the project of the images of a folder, from now on of these alone: their keys are
        their names in it, and another folder may have others of the same names.

        A folder that holds the project is known by its place from there, so that both can be moved
        together; another one by its path.

        Args:
            root: folder that the keys start from.

        Raises:
            LogError: where the project is of another folder.
            OSError: where that cannot be written.
        """
        root, folder = os.path.realpath(root), os.path.realpath(self.folder)
        holds_project = Path(folder).is_relative_to(root)
        place = Path(os.path.relpath(root, folder)).as_posix() if holds_project else root
        known = self._about.get("images")
        if known is None:
            self._about["images"] = place
            self._write_head()
        elif known != place:
            before = os.path.normpath(os.path.join(folder, str(known)))
            raise LogError(
                f"{self.folder} is the project of the images in {before}, not of those in {root}: "
                f"give another --project; where that folder was moved here, write "
                f'"images": {json.dumps(place)} into {self._head}'
            )

    def state(self, key: str) -> ImageState:
        """Of an image; an empty one where nothing was done to it."""
        return self.images.get(key) or ImageState()

    def edit(
        self,
        key: str,
        name: str,
        removed: Sequence[int],
        added: Sequence[Marked],
        model: str | None = None,
    ) -> dict[int, Marked]:
        """Put some objects in the place of others; returns the new ones by number. The arguments
        are those of ``Edit``.

        Raises:
            KeyError: where one that is to be removed is not there.
        """
        state = self.state(key)
        for number in removed:
            if number not in state.objects:
                raise KeyError(f"there is no object {number} in {key}; it may have been undone")
        numbered = dict(enumerate(added, start=state.next_number))
        self._act(
            {
                "do": "edit",
                "image": key,
                "name": name,
                "model": model,
                "removed": list(removed),
                "added": {number: asdict(item) for number, item in numbered.items()},
            }
        )
        return numbered

    def undo(self, key: str) -> Edit | None:
        """Take the last edit of an image back and return it; None where there is none."""
        if not self.state(key).done:
            return None
        return self._act({"do": "undo", "image": key})

    def redo(self, key: str) -> Edit | None:
        """Do again what was undone last and return it; None where there is nothing."""
        if not self.state(key).undone:
            return None
        return self._act({"do": "redo", "image": key})

    def set_complete(self, key: str, value: bool) -> None:
        """Say whether every object of an image is marked."""
        self._act({"do": "complete", "image": key, "value": value})

    def set_model(self, name: str) -> None:
        """Say which model is in use from now on."""
        self._act({"do": "model", "name": name})

    def add_class(self, name: str) -> None:
        """Have a class beside those of the model."""
        self._act({"do": "class", "name": name})

    def _act(self, action: dict) -> Edit | None:
        self._log.append(action)
        # Through JSON, as a replay sees it.
        return self._apply(json.loads(json.dumps(action)))

    def _apply(self, action: dict) -> Edit | None:
        if action["do"] == "model":
            self.model = action["name"]
            return None
        if action["do"] == "class":
            self.classes.append(action["name"])
            return None
        state = self.images.setdefault(action["image"], ImageState())
        if action["do"] == "undo":
            return state.undo()
        if action["do"] == "redo":
            return state.redo()
        if action["do"] == "complete":
            state.is_complete = bool(action["value"])
            return None
        if action["do"] != "edit":
            raise ValueError(f"{action['do']!r} is no action")
        removed = {number: state.objects[number] for number in action["removed"]}
        added = {int(number): Marked.of_json(item) for number, item in action["added"].items()}
        edit = Edit(action["name"], removed, added, action["model"])
        state.do(edit)
        return edit

    def _read_head(self) -> dict:
        """What ``project.json`` says; LogError for that of another program or version."""
        try:
            with open(self._head, encoding="utf-8") as file:
                about = json.load(file)
            version = about["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise LogError(
                f"{self._head} is not that of a project: give another --project"
            ) from error
        if version != _FORMAT:
            raise LogError(
                f"{self._head} has format {version}, and this version reads {_FORMAT}: open it "
                "with the version that wrote it"
            )
        return about

    def _write_head(self) -> None:
        write_durably(self._head, json.dumps(self._about, ensure_ascii=False).encode())


def next_number(root: str) -> str:
    """The name of the next of numbered folders below one, which is made: 001, 002 ..."""
    os.makedirs(root, exist_ok=True)
    numbers = [int(name) for name in os.listdir(root) if name.isdigit()]
    return f"{max(numbers, default=0) + 1:03d}"
