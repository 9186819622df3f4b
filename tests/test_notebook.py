"""The notebook of the pages runs from top to bottom."""

import nbformat

from doc_pages import ROOT
from tool_runner import load_script

run_notebook = load_script(ROOT / "docs" / "run_notebook.py")


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell):
    """Of what a reader sees below a cell."""
    return [sorted(output.get("data", {"text": ""})) for output in cell.outputs]


def test_the_notebook_runs_and_shows_what_is_stored_in_it(tmp_path, monkeypatch):
    """Only the learning is cut short."""
    # It is set for the kernel, and forgotten with the test.
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(run_notebook.NOTEBOOK, as_version=4)
    stored = [kinds(cell) for cell in code_of(notebook)]
    assert any("image/png" in kind for outputs in stored for kind in outputs)
    learning = [cell for cell in code_of(notebook) if "minutes=0.3" in cell.source]
    assert len(learning) == 1
    learning[0].source = learning[0].source.replace("minutes=0.3", "minutes=0.01")
    run_notebook.execute(notebook, str(tmp_path))
    assert [kinds(cell) for cell in code_of(notebook)] == stored
    texts = "".join(output.get("text", "") for cell in code_of(notebook) for output in cell.outputs)
    assert "before: 0 of 16" in texts
    written = {path.name for path in tmp_path.iterdir()}
    assert {"found.tif", "found.csv", "found.geojson", "mine.pth"} <= written
