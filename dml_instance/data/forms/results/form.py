"""What all forms of results have in common."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import ClassVar

from ....files import GrowingFile, replacing
from ....keys.classes import Classes
from .found import FoundObject


@dataclass(frozen=True)
class ResultImage:
    """An image whose objects are written.

    Attributes:
        name: of the files with its results, without ending; may have sub-folders, with "/".
        file_name: of the image below the folder of the images, with "/".
        size: (H, W).
    """

    name: str
    file_name: str
    size: tuple[int, int]


class ResultForm(ABC):
    """Writes the objects of one image after the other, in one form, into a folder.

    What was added stays, whatever goes wrong later.

    Attributes:
        target: the file or folder that is written, below the folder of the results.
        endings: that the files of an image in that folder may have; none where it is a file.
        remark: on what the form could not hold, for the user; may be empty.
        file: that all images go to, once one was added; None for forms with a file an image.
    """

    target: ClassVar[str]
    endings: ClassVar[tuple[str, ...]] = ()
    remark = ""
    file: GrowingFile | None = None

    def __init__(self, folder: str, classes: Classes):
        """
        Args:
            folder: of the results.
            classes: of the model.
        """
        self.path = os.path.join(folder, self.target)
        self.classes = classes

    @abstractmethod
    def adding(
        self, image: ResultImage, objects: Sequence[FoundObject]
    ) -> AbstractContextManager[None]:
        """Write the objects of one image before a ``with`` block, for good at its end.

        After an error inside the block what was there before is as it was. Raises OSError, with
        the name of the file, where writing fails.
        """

    def images_there(self) -> set[str]:
        """The images, by ``file_name``, of an earlier file that all images go to, which this form
        replaces; none for forms with a file an image.

        Raises:
            ValueError: for a file that is not of this form.
        """
        return set()

    def close(self) -> None:
        """Nothing more is added."""
        if self.file is not None:
            self.file.close()

    @contextmanager
    def replaced(self, image: ResultImage, ending: str) -> Iterator[str]:
        """``replacing`` the file of an image in the folder ``target``, in its sub-folder."""
        path = os.path.join(self.path, f"{image.name}{ending}")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with replacing(path) as part:
            yield part
