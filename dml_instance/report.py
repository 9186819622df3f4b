"""Figures as tables for people."""

from tabulate import tabulate


def table(rows: list[list], header: list[str], digits: int = 1) -> str:
    """Rows as a Markdown table: so many decimals, and "-" for what was not measured."""
    return tabulate(rows, headers=header, floatfmt=f".{digits}f", missingval="-", tablefmt="github")
