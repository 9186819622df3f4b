"""Why a model finds the objects that it finds, as a table: every seed, and what became of it."""

import csv
import io

import torch
from detectron2.config import CfgNode

from ..data import build_test_mapper
from ..grouping import RULES, shown
from ..images import PLAIN, ReadingRules
from ..keys.classes import classes_of
from ..modeling import DMLInstance
from ..modeling.grouping import explain

COLUMNS = (
    "seed",
    "row",
    "column",
    "class",
    "tau",
    "seediness",
    "score",
    "object",
    "taken_by",
    "share_taken",
    "rule",
    "reason",
)


@torch.no_grad()
def account_of(
    model: DMLInstance,
    cfg: CfgNode,
    record: dict,
    min_score: float,
    rules: ReadingRules = PLAIN,
) -> list[dict]:
    """A row for every seed of an image in the order in which they first grow, and for the peaks of
    seediness that are none; see ``grouping.SeedAccount``.

    Args:
        model: in evaluation mode.
        cfg: that built it.
        record: Detectron2's, of the image.
        min_score: objects under it are not shown, and the rule says so.
        rules: of reading the image.

    Returns:
        Rows by COLUMNS. ``seed`` counts from 1, and ``taken_by`` names one; ``object`` is the
        number of the object in label images. What does not apply is None.

    Raises:
        FileError: for a file that cannot be read or is not what its record says.
    """
    inputs = build_test_mapper(cfg, rules)(record)
    size = (inputs["height"], inputs["width"])
    (pyramid,) = model.pyramids([inputs])
    _, accounts = explain(model.grouping, pyramid, size)
    names, rows = classes_of(cfg).names, []
    for number, account in enumerate(accounts, start=1):
        account = shown(account, min_score)
        values = (
            number,
            round(account.row, 1),
            round(account.column, 1),
            names[account.pred_class],
            account.tau,
            _rounded(account.seediness),
            _rounded(account.score),
            None if account.instance is None else account.instance + 1,
            None if account.taken_by is None else account.taken_by + 1,
            _rounded(account.share_taken),
            account.rule,
            RULES[account.rule],
        )
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def as_csv(rows: list[dict]) -> str:
    """The text of a table with a head."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
