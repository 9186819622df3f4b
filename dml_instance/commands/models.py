"""List the models that come with the package.

    dml models

Their names stand for --model, and dml://NAME for MODEL.WEIGHTS in a yaml.
"""

import argparse
import textwrap

from tabulate import tabulate

from ..model_zoo import PREFIX, shipped_models
from ..stored_config import config_of

# Characters of the column; more names are cut.
_CLASSES_WIDTH = 45


def main(args: argparse.Namespace) -> int:
    """Print the table."""
    rows = []
    for name, facts in shipped_models().items():
        (metrics,) = facts["metrics"].values()
        cfg = config_of(f"{PREFIX}{name}")
        # Only of a training whose lengths follow from its objects.
        diameters = cfg.INPUT.OBJECT_DIAMETERS
        diameter = f"{diameters[1]:.0f} pixels" if diameters else "-"
        names = cfg.DATASETS.CLASS_NAMES
        classes = textwrap.shorten(", ".join(names), _CLASSES_WIDTH, placeholder=" ...")
        if classes.endswith("..."):
            classes = f"{len(names)}: {classes}"
        size = f"{facts['bytes'] / 1e6:.1f} MB"
        rows.append([name, classes, diameter, metrics["segm"]["AP"], size])
    headers = ["name", "classes", "median diameter", "mask AP", "size"]
    print(tabulate(rows, headers, tablefmt="github", floatfmt=".1f"))
    return 0


def argument_parser(prog: str | None = None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
