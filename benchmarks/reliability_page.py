"""Put raw figures of what is promised into docs/reliability.md, as a table.

    python -m benchmarks.reliability_page

Each file of benchmarks/results that PROMISES names gives rows: a promise, how it is tested, what
came out, and the command. They go between the marks <!-- measured --> and <!-- /measured -->.
"""

import argparse
import os
from collections.abc import Callable, Iterator

from dml_instance.files import read_json, write_text
from dml_instance.report import table

from .timing.page import with_section

COLUMNS = ("promise", "how it is tested", "result", "command, date, raw figures")
_MARK = "measured"
# Seconds in which a job is to end.
_MINUTE = 60


def _kills(figures: dict) -> Iterator[tuple[str, str, str]]:
    yield (
        "a training that was killed goes on, with `--resume`, to the same losses and weights",
        f"SIGKILL at random moments; {figures['training']}; losses, weights, optimiser, schedule "
        "and log against a training that nobody killed, bit for bit",
        f"{figures['resumed_exactly']} of {figures['kills']} resumed exactly; "
        f"{figures['kills_while_a_checkpoint_was_written']} were killed while a checkpoint was "
        f"written, {figures['kills_before_the_first_iteration']} before the first iteration",
    )


def _processes(figures: dict) -> Iterator[tuple[str, str, str]]:
    metrics, ours = (
        figures["metrics"],
        [row for row in figures["gradients"] if row["step"].startswith("ours")],
    )
    other = sum(row["other"] for row in metrics)
    yield (
        "several processes score as one does",
        "every evaluator, also with fewer images than processes and without predictions, in 2 and "
        "3 processes",
        f"{other} of {sum(row['figures'] for row in metrics):,} figures differ, in {len(metrics)} "
        "comparisons",
    )
    yield (
        "several processes train as one does on the whole batch",
        "gradients of a step with the same pixels sampled, in 2 and 3 processes, objects in one of "
        "them alone among the batches",
        "relative difference at most "
        f"{max(row['relative_difference'] for row in ours):.0e}, the rounding of float32",
    )
    slowest = max(end["seconds"] for end in figures["ends"])
    yield (
        "a process that dies ends the job",
        "one of two processes, of one machine and of two, is killed, raises an error, or exits",
        f"{sum(end['seconds'] <= _MINUTE for end in figures['ends'])} of {len(figures['ends'])} "
        f"ended within a minute, the last after {slowest:.0f} s, on a busy machine",
    )


def _load(figures: dict) -> Iterator[tuple[str, str, str]]:
    whats = {
        "segment": "images through the code of `dml segment`",
        "evaluate": "images through Detectron2's evaluation",
        "train": "iterations of training",
    }
    for part, what in whats.items():
        found = figures["load"][part]
        kept = found.get("kept_kib_an_image")
        slope = found["kib_an_image"] - (kept or 0)
        beside = f", beside the predictions that are kept for scoring ({kept:.2f})" if kept else ""
        first, last = found["open_files_first_last"]
        yield (
            f"memory over {found['done']:,} {what}",
            "resident set and open files at regular points; slope over the last half",
            f"{slope:.2f} KiB each{beside}; {first} open files at first, {last} at last",
        )


def _large(figures: dict) -> Iterator[tuple[str, str, str]]:
    how = ", in regions" if "--regions" in figures["command"] else ""
    for row in figures["large_image"]:
        yield (
            f"{row['image_objects']:,} objects in {row['height']:,} x {row['width']:,} pixels{how}",
            "drawn cells through `dml segment`, with what it writes by default",
            f"{row['found']:,} found; {row['mib'] / 1024:.1f} GiB beyond the loaded model, "
            f"{row['processor_s']:.0f} s of processor time",
        )


PROMISES: dict[str, Callable[[dict], Iterator[tuple[str, str, str]]]] = {
    "kills.json": _kills,
    "processes.json": _processes,
    "load.json": _load,
    "large_image.json": _large,
    "large_image_regions.json": _large,
    "large_image_by_objects.json": _large,
}


def rows_of(folder: str) -> list[tuple[str, str, str, str]]:
    """A row of COLUMNS for each promise.

    Args:
        folder: of the raw figures.

    Raises:
        FileNotFoundError: where one is not there.
    """
    rows = []
    for name, promises in PROMISES.items():
        figures = read_json(os.path.join(folder, name))
        source = (
            f"`{figures['command']}`, {figures['machine']['date']}, "
            f"[raw](../benchmarks/results/{name})"
        )
        rows += [(*row, source) for row in promises(figures)]
    return rows


def main(args: argparse.Namespace) -> None:
    with open(args.page, encoding="utf-8") as file:
        page = file.read()
    text = table([list(row) for row in rows_of(args.results)], list(COLUMNS))
    write_text(args.page, with_section(page, _MARK, text))


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability_page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--results",
        default="benchmarks/results",
        metavar="DIR",
        help="of the raw figures (default: %(default)s)",
    )
    parser.add_argument(
        "--page", default="docs/reliability.md", metavar="FILE.md", help="default: %(default)s"
    )
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())
