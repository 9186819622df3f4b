"""Scalars of trainings that were interrupted, and begun anew in one folder."""

import json

from dml_instance.engine.run_report.history import read_history, series


def write(path, *lines):
    path.write_text(
        "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    )
    return str(path)


def row(iteration, loss=1.0):
    return {"iteration": iteration, "total_loss": loss}


def test_what_a_resumed_training_does_again_replaces_what_was_given_up(tmp_path):
    path = write(
        tmp_path / "m.json", row(19, 5.0), row(39, 4.0), row(59, 3.0), row(39, 3.5), row(59)
    )
    assert [(r["iteration"], r["total_loss"]) for r in read_history(path)] == [
        *((19, 5.0), (39, 3.5), (59, 1.0))
    ]


def test_a_shorter_training_leaves_nothing_of_a_longer_one(tmp_path):
    path = write(tmp_path / "m.json", *(row(i, 9.0) for i in range(19, 400, 20)), row(19), row(39))
    assert read_history(path) == [row(19), row(39)]


def test_lines_that_are_cut_off_are_left_out(tmp_path):
    path = write(tmp_path / "m.json", row(19), '{"iteration": 39, "tot', row(59))
    assert [r["iteration"] for r in read_history(path)] == [19, 59]
    assert read_history(str(tmp_path / "none.json")) == []


def test_a_series_has_what_was_written_and_is_finite():
    rows = [row(19, 2.0), {"iteration": 39}, row(59, float("nan")), row(79, float("inf")), row(99)]
    assert series(rows, "total_loss") == ([20, 100], [2.0, 1.0])
    assert series(rows, "lr") == ([], [])
