"""What one image takes of a worker, and what of the process that gives it out and writes.

    python -m benchmarks.workers --output benchmarks/results/workers.json

By the code of ``dml segment --scheduler``, without a cluster: as many workers as the first takes
longer than the second keep one process busy that writes. For each kind of image:

find_s      processor seconds to read it, and to find its objects
write_s     processor seconds to unpack what comes back, and to write it in the default forms
kib         of what comes back, KiB
workers     find_s / write_s, of one core each
"""

import argparse
import os
import pickle
import tempfile

import tifffile

from dml_instance.data.forms.results import ResultImage, ResultWriter
from dml_instance.engine import Finder, find_model, load_model, min_score_of, put_together
from dml_instance.files import write_json
from dml_instance.images import ReadingRules
from dml_instance.keys.classes import classes_of
from dml_instance.report import table

from .figures import about
from .large_image import processor_seconds
from .timing.scenes import drawn_cells

# Height, width and objects.
_KINDS = ((512, 512, 80), (2048, 2048, 1250), (4096, 4096, 5000))
# The first run compiles the grouping.
_WARM_UP = (256, 256, 20)


def measured(finder: Finder, classes, size: tuple[int, int], objects: int) -> dict:
    """The figures of one image, see the head of this module."""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "cells.tif")
        tifffile.imwrite(file, drawn_cells(*size, objects), photometric="rgb", tile=(512, 512))
        start = processor_seconds()
        jobs = finder.jobs(file)
        parts = [finder.find(job) for job in jobs]
        packed = pickle.dumps(parts)
        found_at = processor_seconds()
        found = put_together(jobs, pickle.loads(packed), finder.min_score)
        with ResultWriter(os.path.join(folder, "found"), classes) as writer:
            writer.add(ResultImage("cells", "cells.tif", found.size), found.objects)
        end = processor_seconds()
    return {
        "height": size[0],
        "width": size[1],
        "found": len(found.objects),
        "find_s": round(found_at - start, 2),
        "write_s": round(end - found_at, 3),
        "kib": round(len(packed) / 1024),
        "workers": round((found_at - start) / (end - found_at)),
    }


def main(args: argparse.Namespace) -> None:
    cfg, weights = find_model(args.model)
    model = load_model(cfg, weights)
    finder = Finder(model, cfg, ReadingRules(), min_score_of(cfg))
    kinds = (_WARM_UP, *_KINDS)
    rows = [measured(finder, classes_of(cfg), kind[:2], kind[2]) for kind in kinds][1:]
    print(table([list(row.values()) for row in rows], list(rows[0])))
    if args.output:
        write_json(args.output, {**about("benchmarks.workers", __doc__), "workers": rows})


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.workers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="nuclei", help="default: %(default)s")
    parser.add_argument("--output", metavar="FILE.json", help="write the figures there as well")
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())
