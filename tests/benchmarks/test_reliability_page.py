"""The page of promises against the raw figures."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks import reliability_page
from command_lines import call

RESULTS = Path("benchmarks/results")


def test_the_page_shows_the_raw_figures_as_they_are(tmp_path):
    page = shutil.copy("docs/reliability.md", tmp_path)
    call(reliability_page, "--page", page)
    assert Path(page).read_text() == Path("docs/reliability.md").read_text()


@pytest.mark.parametrize(
    ("name", "key", "value", "told"),
    [
        ("kills.json", "resumed_exactly", 49, "49 of 50 resumed exactly"),
        ("processes.json", "metrics", [{"figures": 9, "other": 2}], "2 of 9 figures differ, in 1 "),
        ("processes.json", "ends", [{"seconds": 59}, {"seconds": 61}], "1 of 2 ended within a min"),
    ],
)
def test_what_does_not_hold_is_told(name, key, value, told, tmp_path):
    shutil.copytree(RESULTS, tmp_path / "results")
    path = tmp_path / "results" / name
    figures = json.loads(path.read_text())
    assert key in figures
    path.write_text(json.dumps({**figures, key: value}))
    rows = reliability_page.rows_of(str(tmp_path / "results"))
    assert any(told in result for _, _, result, _ in rows)
    assert len(rows) == len(reliability_page.rows_of(str(RESULTS)))
