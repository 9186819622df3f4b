"""From rows of figures to a page of documentation."""

import json

import numpy as np
import pytest

from benchmarks import performance_page
from benchmarks.timing.growth import exponents
from command_lines import call
from dml_instance.files import read_json, write_json


def test_rows_of_figures_become_json_that_others_read(tmp_path):
    path = str(tmp_path / "rows.json")
    write_json(path, {"rows": [{"a": float("nan"), "b": np.float64(1.5)}, {"sizes": (1, 2)}]})
    assert read_json(path) == {"rows": [{"a": None, "b": 1.5}, {"sizes": [1, 2]}]}


@pytest.mark.parametrize("unknown", [None, float("nan"), 0.0])
def test_exponents_are_those_of_a_power_law(unknown):
    rows = [
        {
            "of": "side",
            "value": side,
            "network_ms": 2.0 * side**2,
            "grouping_ms": 3.0 * side,
            "mib": unknown,
        }
        for side in (400, 100, 200)
    ]
    rows += [{"of": "seeds", "value": 10, "grouping_ms": 1.0}]
    fitted = {(row["of"], row["figure"]): row for row in exponents(rows)}
    assert set(fitted) == {
        ("pixels", "network_ms"),
        ("pixels", "grouping_ms"),
        ("pixels", "total_ms"),
    }
    assert fitted["pixels", "network_ms"]["exponent"] == pytest.approx(1.0)
    assert fitted["pixels", "grouping_ms"]["exponent_at_end"] == pytest.approx(0.5)
    assert 0.5 < fitted["pixels", "total_ms"]["exponent"] < 1.0


def test_sections_of_a_page_are_replaced_and_nothing_else(tmp_path):
    machine = {"threads": 2, "cores": 2, "processor": "x86_64", "torch": "2", "date": "2026-01-01"}
    rows = [
        {"of": "seeds", "value": 10, "grouping_ms": 10.0, "instances": 7},
        {"of": "seeds", "value": 1000, "grouping_ms": 100.0, "instances": 500},
    ]
    page = tmp_path / "page.md"
    page.write_text("# Speed\n\n<!-- growth -->\nold\n<!-- /growth -->\n\nkept\n")
    results = tmp_path / "benchmark_growth.json"
    results.write_text(json.dumps({"command": "python x", "machine": machine, "growth": rows}))
    arguments = (results, "--page", page, "--images", tmp_path)
    call(performance_page, *arguments)
    text = page.read_text()
    assert text.startswith("# Speed\n\n<!-- growth -->\n|")
    assert text.endswith("<!-- /growth -->\n\nkept\n")
    assert "old" not in text
    assert "`python x`, 2 threads" in text
    assert "| seeds | grouping_ms |" in text and "0.50" in text
    assert (tmp_path / "performance_growth.png").stat().st_size > 5000
    page.write_text("nothing to replace\n")
    with pytest.raises(SystemExit, match="no marks <!-- growth -->"):
        call(performance_page, *arguments)
