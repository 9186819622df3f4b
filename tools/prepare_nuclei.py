#!/usr/bin/env python
"""Convert DSB2018 stage 1 to COCO format.

    python tools/prepare_nuclei.py stage1_train.zip

The images are of nuclei: Broad Bioimage Benchmark Collection, accession BBBC038.
"""

import argparse
import os
import sys

import _quiet  # noqa: F401

from dml_instance.data.datasets.nuclei import convert_nuclei, read_split
from dml_instance.data.forms.coco_writer import counts_line


def main(args: argparse.Namespace) -> None:
    try:
        counts = convert_nuclei(args.zip_file, args.output, read_split())
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(counts_line(counts, args.output))


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("zip_file", metavar="ZIP", help="stage1_train.zip")
    default = os.path.join(
        os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets")), "dsb2018"
    )
    parser.add_argument(
        "--output", default=default, metavar="DIR", help="folder to write (default: %(default)s)"
    )
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())
