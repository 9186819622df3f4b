"""Put the figures of benchmarks.speed into a page of documentation: tables and plots.

    python -m benchmarks.performance_page benchmarks/results/benchmark_*.json \\
        --page benchmarks/notebook/performance.md --images docs/images

The results of a file go between the marks <!-- NAME --> and <!-- /NAME --> of the page, NAME being
that of the file without "benchmark_" and ".json"; plots become performance_NAME.png.
"""

import argparse
import os
import sys

from dml_instance.files import read_json, write_text

from .timing.page import PLOTS, section, with_section


def main(args: argparse.Namespace) -> None:
    with open(args.page, encoding="utf-8") as file:
        page = file.read()
    for path in args.results:
        name = os.path.splitext(os.path.basename(path))[0].removeprefix("benchmark_")
        results = read_json(path)
        (part,) = results.keys() - {"command", "machine"}
        try:
            page = with_section(page, name, section(part, results))
        except ValueError as error:
            sys.exit(f"error: {path} and {args.page}: {error}")
        if part in PLOTS:
            PLOTS[part](results[part], os.path.join(args.images, f"performance_{name}.png"))
    write_text(args.page, page)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.performance_page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results", nargs="+", metavar="FILE.json", help="written by benchmarks.speed"
    )
    parser.add_argument(
        "--page",
        default="benchmarks/notebook/performance.md",
        metavar="FILE.md",
        help="default: %(default)s",
    )
    parser.add_argument(
        "--images", default="docs/images", metavar="DIR", help="for plots (default: %(default)s)"
    )
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())
