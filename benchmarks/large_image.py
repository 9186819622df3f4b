"""What one large image with many objects takes, by the code of ``dml segment``.

    python -m benchmarks.large_image --size 8192 8192 --objects 20000 \\
        --output benchmarks/results/large_image.json

An image of drawn cells is written as TIFF in tiles, and segmented by the command, with the forms
that it writes by default, in a process of its own; with --regions region by region. For each number
of objects:

image_objects   objects drawn
found           objects found, with the least score of the model
mib             the most memory beyond that of the process once the model is loaded, MiB
bytes_a_pixel   the same, by the pixels of the image
processor_s     processor seconds of all threads: the wall time of one undisturbed core
"""

import argparse
import contextlib
import os
import resource
import tempfile
from unittest import mock

import tifffile

from dml_instance.commands import segment
from dml_instance.engine import use_huge_pages
from dml_instance.files import write_json
from dml_instance.report import table

from .figures import about
from .memory import AddedMemory, in_fresh_process
from .timing.scenes import drawn_cells


def measured(size: tuple[int, int], objects: int, model: str, options: list[str]) -> dict:
    """The figures of one image, see the head of this module."""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "cells.tif")
        in_fresh_process(_write_cells, file, size, objects)
        words = ["--model", model, "--input", file, "--output", os.path.join(folder, "found")]
        figures = in_fresh_process(_of_command, [*words, *options])
    pixels = size[0] * size[1]
    figures["bytes_a_pixel"] = round(figures["mib"] * 2**20 / pixels, 1)
    return {"height": size[0], "width": size[1], "image_objects": objects, **figures}


def _write_cells(file: str, size: tuple[int, int], objects: int) -> None:
    tifffile.imwrite(
        file, drawn_cells(*size, objects), photometric="rgb", tile=(512, 512), compression="zlib"
    )


def _of_command(words: list[str]) -> dict:
    figures = {}
    run = segment.run_over_images

    def watched(records, act, title, tally, *rest, **options):
        start = processor_seconds()
        with AddedMemory() as added:
            status = run(records, act, title, tally, *rest, **options)
        figures.update(
            found=tally.objects,
            mib=added.mib,
            processor_s=round(processor_seconds() - start, 1),
        )
        return status

    use_huge_pages()
    with mock.patch.object(segment, "run_over_images", watched), _no_output():
        segment.main(segment.argument_parser().parse_args(words))
    return figures


@contextlib.contextmanager
def _no_output():
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def processor_seconds() -> float:
    """Of all threads of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(args: argparse.Namespace) -> None:
    limit = [] if args.regions is None else ["--max-pixels", str(args.regions**2)]
    rows = [measured(tuple(args.size), n, args.model, [*limit, *args.opts]) for n in args.objects]
    print(table([list(row.values()) for row in rows], list(rows[0])))
    if args.output:
        head = about("benchmarks.large_image", __doc__)
        write_json(args.output, {**head, "large_image": rows})


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.large_image",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--size",
        nargs=2,
        type=int,
        default=[8192, 8192],
        metavar=("HEIGHT", "WIDTH"),
        help="pixels",
    )
    parser.add_argument(
        "--objects", nargs="+", type=int, default=[20000], metavar="N", help="drawn, of each image"
    )
    parser.add_argument(
        "--regions", type=int, metavar="SIDE", help="in regions of so many pixels (default: whole)"
    )
    parser.add_argument("--model", default="nuclei", help="default: %(default)s")
    parser.add_argument("--output", metavar="FILE.json", help="write the figures there as well")
    parser.add_argument(
        "--opts", nargs="*", default=[], metavar="KEY VALUE", help="changes to the config"
    )
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())
