"""List the models that come with the package.

    dml models

Their names stand for --model, and dml://NAME for MODEL.WEIGHTS in a yaml.
"""

import argparse

from tabulate import tabulate

from ..model_zoo import PREFIX, shipped_models
from ..stored_config import config_of


def add_options(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def main(args: argparse.Namespace) -> int:
    """Print the table."""
    rows = []
    for name, facts in shipped_models().items():
        (metrics,) = facts["metrics"].values()
        cfg = config_of(f"{PREFIX}{name}")
        diameter = f"{cfg.INPUT.OBJECT_DIAMETERS[1]:.0f} pixels"
        classes = ", ".join(cfg.DATASETS.CLASS_NAMES)
        rows.append([name, classes, diameter, metrics["segm"]["AP"], f"{facts['bytes'] / 1e6:.1f} MB"])
    headers = ["name", "classes", "median diameter", "mask AP", "size"]
    print(tabulate(rows, headers, tablefmt="github", floatfmt=".1f"))
    return 0
