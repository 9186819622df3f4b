"""The report.html of trainings as a user runs them, against the files that they left."""

import base64
import json

import cv2
import numpy as np
import pytest

from dml_instance.engine.run_report import writing
from report_reader import read_report
from tool_runner import TINY, run_tool, train


@pytest.fixture(scope="module")
def report(trained):
    return read_report(trained[0] / "report.html")


def pictures(section):
    """Those of a section: JPEGs as (H, W, 3), SVGs as text. They are all in the page."""
    found = []
    for source in section["links"]:
        kind, data = source.split(";base64,")
        content = base64.b64decode(data, validate=True)
        if kind == "data:image/jpeg":
            found.append(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR))
        else:
            assert kind == "data:image/svg+xml"
            found.append(content.decode())
    return found


def test_the_table_has_the_figures_of_the_results(trained, report):
    results = json.loads((trained[0] / "results.json").read_text())
    header, *rows = report["Result"]["tables"][0]
    assert [row[1] for row in rows] == ["masks", "boxes"]
    for row, task in zip(rows, ("segm", "bbox"), strict=True):
        cells = dict(zip(header, row, strict=True))
        for name in ("AP", "AP50", "AP75"):
            assert float(cells[name]) == round(results["metrics"]["toy"][task][name], 1)
        assert float(cells["ms/image"]) == results["ms_per_image"]
    names, values = report["Result"]["tables"][1]
    by_class = results["metrics"]["toy"]["segm"]
    assert dict(zip(names, map(float, values), strict=True)) == {
        name: round(by_class[f"AP-{name}"], 1) for name in ("square", "disc")
    }
    assert "Of 6 objects in 4 images: " in report["Result"]["text"]
    assert "On 4 images of the training set F1 is " in report["Result"]["text"]


def test_losses_are_those_of_the_metrics(trained, report):
    rows = [json.loads(line) for line in (trained[0] / "metrics.json").read_text().splitlines()]
    names = {"all together": "total_loss", "pairs": "loss_pair", "masks": "loss_mask"}
    names["seeds"] = "loss_seed"
    _, *lines = report["Training"]["tables"][0]
    assert {line[0] for line in lines} == set(names)
    for words, *values in lines:
        written = [row[names[words]] for row in rows if names[words] in row]
        expected = (written[0], min(written), written[-1])
        assert [float(value) for value in values] == pytest.approx(expected, abs=6e-4)


def test_every_object_has_one_fate(report):
    section = report["Which objects were found"]
    _, *rows = section["tables"][0]
    assert sum(int(row[1]) for row in rows) == 6
    assert sum(float(row[2]) for row in rows) == pytest.approx(100, abs=0.3)


def test_pictures_are_in_the_page(trained, report):
    best, *_, worst = pictures(report["Pictures"])
    assert best.shape[2] == worst.shape[2] == 3 and best.shape[1] > 5 * 200
    watched = pictures(report["One image while it learnt"])
    files = sorted((trained[0] / "watched").iterdir())
    assert len(watched) == len(files) == 2
    for picture, file in zip(watched, files, strict=True):
        assert np.array_equal(picture, cv2.imread(str(file)))
    assert "After 3 iterations" in report["One image while it learnt"]["text"]


def test_what_to_try_next_and_what_it_was(trained, report):
    advice = report["What to try next"]["text"]
    assert "SOLVER.MAX_ITER 1500" in advice and "6 iterations are a beginning" in advice
    assert "There were 6 objects to score on" in advice
    facts = dict(report["The run"]["tables"][0])
    training = json.loads((trained[0] / "training.json").read_text())
    assert facts["seed"] == str(training["seed"]) == "1"
    assert facts["parameters"] == f"{training['parameters']:,}"
    assert facts["DATASETS.TRAIN"] == facts["DATASETS.TEST"] == "toy"
    lengths = dict(report["Lengths"]["tables"][0])
    assert lengths["MODEL.DML.DECODER.STRIDE"] == "2"
    assert (trained[0] / "config.yaml").read_text() in report["The run"]["text"]


def test_nothing_of_a_page_lies_elsewhere(trained):
    for section in read_report(trained[0] / "report.html").values():
        assert all(link.startswith("data:image/") for link in section["links"])


def test_an_evaluation_has_a_report_too(data, trained, tmp_path):
    """Of a model that finds something; nothing was trained in its folder."""
    weak = ("MODEL.DML.GROUPING.MIN_SEEDINESS", "0.001", "TEST.MIN_SCORE", "0.01")
    weights = ("MODEL.WEIGHTS", trained[0] / "model_final.pth")
    printed = train(data, tmp_path, 6, "--eval-only", *weights, *weak)
    assert str(tmp_path / "report.html") in printed
    report = read_report(tmp_path / "report.html")
    assert "Training" not in report and "One image while it learnt" not in report
    (curve,) = pictures(report["Least score"])
    assert curve.startswith("<?xml") and "</svg>" in curve
    assert "Objects of score 0.01 and more" in report["Least score"]["text"]
    assert dict(report["The run"]["tables"][0])["MODEL.WEIGHTS"] == str(weights[1])


def test_a_training_without_a_set_to_score_on(data, tmp_path):
    printed = run_tool(
        *("train_net", "--config-file", "configs/Shapes/dml_slim_unet.yaml"),
        *("--register-coco", f"toy={data[0]}:{data[1]}", "DATASETS.TRAIN", "('toy',)"),
        *("DATASETS.TEST", "()", "OUTPUT_DIR", tmp_path, "SOLVER.MAX_ITER", 1, *TINY),
    )
    report = read_report(tmp_path / "report.html")
    assert "Nothing was scored" in report["Result"]["text"]
    assert "Pictures" not in report and "the report does not say" not in printed


def test_a_report_that_fails_loses_nothing(data, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", "a file")

    monkeypatch.setattr(writing, "_page", fail)
    printed = train(data, tmp_path, 1)
    assert "report.html was not written: a file: No space left on device" in printed
    names = {path.name for path in tmp_path.iterdir()}
    assert "model_final.pth" in names and not any("report" in name for name in names)


def test_a_section_that_fails_is_left_out(data, trained, tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("an image is gone")

    monkeypatch.setattr(writing, "picture_of", fail)
    monkeypatch.setattr(writing, "score_training_sample", fail)
    printed = train(
        data, tmp_path, 6, "--eval-only", "MODEL.WEIGHTS", trained[0] / "model_final.pth"
    )
    assert "the report does not say how training images are segmented: an image is gone" in printed
    report = read_report(tmp_path / "report.html")
    assert "Of 6 objects in 4 images" in report["Result"]["text"]
    assert report["Pictures"]["links"] == []
