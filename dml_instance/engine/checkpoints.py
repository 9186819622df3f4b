"""Checkpoints that are whole or not there, and which of them a training goes on from."""

import logging
import os
import re
import zipfile

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils import comm
from torch import nn

from ..errors import in_one_line
from ..files import remove_unfinished, replacing, write_text

# In OUTPUT_DIR: the checkpoints of the training, the latest last, each a line. Detectron2's own
# file, the other one, has the latest alone.
_LIST, _LATEST = "checkpoints.txt", "last_checkpoint"

# As Detectron2 calls the last one, without its ending.
FINAL = "model_final"
# What comes and goes; the last one and what others save stays.
_ON_THE_WAY = re.compile(r"model_\d{7}\.pth")

_logger = logging.getLogger(__name__)


class WholeCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, for a process that may be killed at any time.

    A checkpoint is written under a temporary name and moved into place when the disk has it, and
    only then the names in ``last_checkpoint`` and ``checkpoints.txt`` are, likewise. Of those that
    are saved on the way the latest few are kept. A model whose weights are not finite is not saved.
    """

    def __init__(self, model: nn.Module, save_dir: str, *, kept: int, **checkpointables):
        """
        Args:
            model, save_dir, checkpointables: of Detectron2's.
            kept: checkpoints on the way, at least 2, for the latest may be damaged; 0: all.

        Raises:
            ValueError: for another number.
        """
        if kept < 0 or kept == 1:
            raise ValueError(f"SOLVER.CHECKPOINTS_KEPT is 0 or at least 2, got {kept}")
        super().__init__(model, save_dir, **checkpointables)
        self._kept, self._is_new = kept, False

    def save(self, name: str, **kwargs) -> None:
        """As Detectron2's.

        Raises:
            FloatingPointError: for weights that are not finite; nothing is written then.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        _check_finite_weights(self.model, self.save_dir)
        parts = {key: part.state_dict() for key, part in self.checkpointables.items()}
        file = f"{name}.pth"
        remove_unfinished(self.save_dir, ".pth")
        self.logger.info("Saving checkpoint to %s", os.path.join(self.save_dir, file))
        with replacing(os.path.join(self.save_dir, file), durable=True) as path:
            torch.save({"model": self.model.state_dict(), **parts, **kwargs}, path)
        self.tag_last_checkpoint(file)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Make a file the latest; what is too old is removed."""
        files = [] if self._is_new else history(self.save_dir)
        files = [name for name in files if name != last_filename_basename]
        # What the last call has removed is still listed: a process may be killed anywhere here.
        files = [name for name in files if os.path.isfile(os.path.join(self.save_dir, name))]
        files.append(last_filename_basename)
        _tag(self.save_dir, files)
        self._is_new = False
        on_the_way = list(filter(_ON_THE_WAY.fullmatch, files))
        for name in on_the_way[: -self._kept] if self._kept else []:
            os.remove(os.path.join(self.save_dir, name))

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict:
        """As Detectron2's, from the ``latest_whole`` checkpoint."""
        if resume and self.has_checkpoint():
            return self.load(latest_whole(self.save_dir))
        return self.load(path, checkpointables=[])

    @property
    def is_final(self) -> bool:
        """Whether the latest checkpoint is that of a training that came to its end."""
        return history(self.save_dir)[-1:] == [f"{FINAL}.pth"]

    def begin_anew(self) -> None:
        """What lies in the folder is of another training: none goes on from it any more as soon as
        this one has a checkpoint of its own."""
        self._is_new = True


def history(folder: str) -> list[str]:
    """The names of a training's checkpoints in a folder, the latest last.

    That is the one that ``last_checkpoint`` names: somebody may have gone back to an earlier one by
    hand, and those after it are of a training that was given up.
    """
    files, latest = (_lines_of(os.path.join(folder, name)) for name in (_LIST, _LATEST))
    if not latest:
        return files
    return (
        [*files[: files.index(latest[0])], latest[0]] if latest[0] in files else [*files, *latest]
    )


def latest_whole(folder: str) -> str:
    """The checkpoint that a training in a folder goes on from: the latest, or, where it is damaged,
    the one before.

    What is damaged is named in a warning, and from then on the one before is the latest.

    Returns:
        Its path.

    Raises:
        ValueError: where none is whole.
    """
    files, damaged = history(folder), []
    while files:
        path = os.path.join(folder, files[-1])
        fault = fault_of(path)
        if not fault:
            break
        damaged.append(f"{path} {fault}")
        files.pop()
    faults = "; ".join(damaged) or f"{_LATEST} names none"
    if not files:
        raise ValueError(
            f"no checkpoint of {folder} can be read: {faults}. Start anew without --resume, or put "
            "a whole copy in the place of one"
        )
    if damaged:
        _logger.warning("%s: the training goes on from the one before, %s", faults, path)
        if comm.is_main_process():
            _tag(folder, files)
    return path


def advice(folder: str) -> str:
    """What to do about a training whose numbers are not finite any more, in a sentence or two.

    Args:
        folder: of its checkpoints.
    """
    files = history(folder)
    good = f"The last checkpoint, {os.path.join(folder, files[-1])}, is good" if files else ""
    return (
        f"{good or 'No checkpoint was saved yet'}; --resume alone comes to the same. With it, or "
        "anew, try a lower learning rate (SOLVER.BASE_LR, of AdamW SOLVER.ADAMW.BASE_LR, of Muon "
        "SOLVER.MUON.BASE_LR too), SOLVER.CLIP_GRADIENTS.ENABLED True, or float32 "
        "(SOLVER.AMP.ENABLED False, SOLVER.AMP.CPU_BFLOAT16 off), and look at these images"
    )


def going_on(folder: str) -> str:
    """How a training that was interrupted can be gone on with, in a sentence.

    Args:
        folder: of its checkpoints.
    """
    files = history(folder)
    if not files:
        return "no checkpoint was saved yet, so begin anew"
    return f"--resume goes on from the last checkpoint, {os.path.join(folder, files[-1])}"


def fault_of(path: str) -> str:
    """What is wrong with the file of a checkpoint, in words; empty where it is whole.

    Every byte is read and held against the sums of the file.
    """
    try:
        with zipfile.ZipFile(path) as file:
            part = file.testzip()
    except FileNotFoundError:
        return "is missing"
    except MemoryError:
        raise
    except Exception as error:
        # Of what is no archive any more zipfile raises BadZipFile, NotImplementedError and others.
        return f"is damaged ({in_one_line(error)})"
    return "" if part is None else f"is damaged (in {part})"


def _check_finite_weights(model: nn.Module, folder: str) -> None:
    # Infinity may have a meaning beside the weights, in a mask of attention for instance.
    bad = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    bad += [name for name, buffer in model.named_buffers() if buffer.isnan().any()]
    if bad:
        raise FloatingPointError(
            f"weights are not finite ({', '.join(bad[:3])}{' ...' * (len(bad) > 3)}), and no "
            f"checkpoint is saved of them. {advice(folder)}"
        )


def _lines_of(path: str) -> list[str]:
    if not os.path.isfile(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [line for line in file.read().splitlines() if line]


def _tag(folder: str, files: list[str]) -> None:
    # In this order: a list with one name too many does no harm.
    write_text(os.path.join(folder, _LIST), "\n".join(files) + "\n", durable=True)
    write_text(os.path.join(folder, _LATEST), files[-1], durable=True)
