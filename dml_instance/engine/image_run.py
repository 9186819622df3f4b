"""A tool at work on one image after the other, and how it ends."""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from tqdm import tqdm

from ..errors import FileError
from ..report import counted
from .errors import is_out_of_memory, message_of
from .tally import Tally

_logger = logging.getLogger(__name__)


def run_over_images(
    records: Sequence[dict],
    act: Callable[[dict], None],
    title: str,
    tally: Tally,
    output: str,
    *,
    results: contextlib.AbstractContextManager | None = None,
    remarks: Callable[[], Iterable[str]] = tuple,
) -> int:
    """``for_each_image`` for a tool, whose last lines it prints but for the very last.

    Where results cannot be written, memory is short, or the user interrupts, the process ends with
    one line that says how many images are done, and where their results are.

    Args:
        records, act, title: as of ``for_each_image``.
        tally: that ``act`` counts in.
        output: folder of the results.
        results: open as long as images are at work; None: nothing is to be opened.
        remarks: lines on the results, asked for at the end.

    Returns:
        The exit status: 0 if no file was skipped.

    Raises:
        KeyboardInterrupt: where the user interrupts, with the line to say.
    """
    try:
        with results or contextlib.nullcontext():
            skipped = for_each_image(records, act, title)
    except (OSError, MemoryError) as error:
        # The results cannot be written, or memory is short; what is wrong with an image is neither.
        there = f"; {_results(tally, output)}" if tally.images else ""
        sys.exit(f"error: {message_of(error)}{there}")
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"interrupted; {_results(tally, output)}") from error
    for line in (*remarks(), *tally.remarks, *list_of_skipped(skipped)):
        print(line)
    return 1 if skipped else 0


def _results(tally: Tally, output: str) -> str:
    return f"the results of {counted(tally.images, 'image')} are in {output}"


@torch.no_grad()
def for_each_image(
    records: Sequence[dict], act: Callable[[dict], None], title: str
) -> dict[str, str]:
    """Call ``act`` with one record after the other, behind a progress bar, without gradients.

    A file for which ``act`` raises FileError, as the mapper does, is reported in the log and
    skipped. Any other error ends the loop, and the log says at which image.

    Args:
        records: with ``file_name`` at least.
        act: gets each record.
        title: of the progress bar.

    Returns:
        For each file that was skipped a line with its name and the reason.

    Raises:
        MemoryError: where the memory, or that of the GPU, does not suffice, with the file's name.
        Exception: whatever else ``act`` raises but FileError.
    """
    skipped = {}
    for number, record in enumerate(tqdm(records, desc=title, unit="image"), start=1):
        file = record["file_name"]
        try:
            act(record)
        except FileError as error:
            why = str(error)
            skipped[file] = why if file in why else f"{file}: {why}"
            _logger.warning("skipped: %s", skipped[file])
        except Exception as error:
            _logger.error("stopped at %s, image %d of %d", file, number, len(records))
            if not is_out_of_memory(error):
                raise
            what = " ".join(str(error).split())
            raise MemoryError(
                f"out of memory at {file}: {what}. Leave it out, cut it, or make "
                "MODEL.DML.TILES.SIZE smaller"
            ) from error
    return skipped


def list_of_skipped(skipped: Mapping[str, str]) -> list[str]:
    """Lines on the files that ``for_each_image`` skipped, for the user; none without any."""
    if not skipped:
        return []
    return [f"{counted(len(skipped), 'file')} skipped:", *(f"  {why}" for why in skipped.values())]
