"""The scalars of a training, as its ``metrics.json`` has them."""

import json
import os
from collections.abc import Sequence


def read_history(path: str) -> list[dict]:
    """Rows by iteration, ascending; none where there is no such file.

    A training that is resumed, or begun anew in the same folder, adds to the file: from a row on
    whose iteration is not after the one before, all earlier rows of that iteration and later ones
    are of what was given up.

    Args:
        path: of a file with an object of JSON in each line.

    Returns:
        Dicts with ``iteration``, which counts from 0, and scalars by name. Lines that are no JSON,
        as a process leaves them that is killed, are left out.
    """
    rows = []
    if not os.path.isfile(path):
        return rows
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            while rows and rows[-1]["iteration"] >= row["iteration"]:
                rows.pop()
            rows.append(row)
    return rows


def series(rows: Sequence[dict], name: str) -> tuple[list[int], list[float]]:
    """Iterations done, from 1, and values of a scalar, where it was written and is finite."""
    points = [(r["iteration"] + 1, r[name]) for r in rows if abs(r.get(name, float("nan"))) < 1e300]
    return [done for done, _ in points], [value for _, value in points]
