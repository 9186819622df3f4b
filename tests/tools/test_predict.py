"""Segmentation of a user's images, as files."""

import csv
import json

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from tool_runner import run_tool
from toy_scenes import square_and_disc


def test_the_config_of_a_training_draws_and_predicts_without_its_data_and_beside_it(
    data, trained, tmp_path
):
    """A config.yaml names data sets that only the training knew, and holds every override."""
    image, _, _ = square_and_disc()
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "deep.tif"), image[..., 0].astype(np.uint16) * 200 + 1000)
    cv2.imwrite(str(tmp_path / "in" / "eight.png"), image)
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    config = ("--config-file", trained[0] / "config.yaml")
    everything = ("--min-score", "0", "MODEL.DML.GROUPING.MIN_SEEDINESS", "0.001")
    run_tool(
        "visualize",
        *config,
        "--input",
        tmp_path / "in" / "deep.tif",
        "--output",
        tmp_path / "drawn",
    )
    drawn = cv2.imread(str(tmp_path / "drawn" / "deep.png"))
    assert 20 < drawn[30:, :310].mean() < 200, "stretched, not cut off at 255"
    toy = ("--register-coco", f"toy={data[0]}:{data[1]}")
    for source in ((), ("--dataset", "toy")):
        run_tool(
            "visualize", *config, *toy, *source, "--number", 1, "--output", tmp_path / "beside"
        )
    assert "'nowhere'" in run_tool("visualize", *config, "--dataset", "nowhere", ok=False)
    assert len(list((tmp_path / "beside").iterdir())) == 1

    printed = run_tool(
        "predict",
        *config,
        *toy,
        "--input",
        tmp_path / "in",
        "--output",
        tmp_path / "out",
        *everything,
    )
    assert "objects in 2 images" in printed and "1 files skipped" in printed
    coco = json.loads((tmp_path / "out" / "instances.json").read_text())
    rows = list(csv.DictReader((tmp_path / "out" / "objects.csv").open()))
    assert len(rows) == len(coco["annotations"]) > 0
    assert {row["class"] for row in rows} <= {"square", "disc"}
    for name in ("deep.tif", "eight.png"):
        labels = cv2.imread(
            str(tmp_path / "out" / "labels" / f"{name[:-4]}.png"), cv2.IMREAD_UNCHANGED
        )
        assert labels.dtype == np.uint16 and labels.shape == (64, 96)
        of_image = [row for row in rows if row["image"] == name]
        numbers, areas = np.unique(labels[labels > 0], return_counts=True)
        assert set(numbers) <= {int(row["label"]) for row in of_image}
        best = next(row for row in of_image if row["label"] == "1")
        assert int(best["area"]) == areas[0], "the best object hides the others"
        rows_of_best, _ = np.nonzero(labels == 1)
        assert float(best["center_row"]) == pytest.approx(rows_of_best.mean(), abs=0.06)
        assert float(best["height"]) == rows_of_best.max() - rows_of_best.min() + 1
    images = {image["id"]: image for image in coco["images"]}
    assert all(
        coco_mask.decode(a["segmentation"]).sum() == a["area"] > 0 for a in coco["annotations"]
    )
    assert all(
        a["segmentation"]["size"] == [images[a["image_id"]][k] for k in ("height", "width")]
        for a in coco["annotations"]
    )


def test_a_stack_and_an_image_that_is_too_large_are_skipped_by_name_or_read_as_told(
    trained, tmp_path
):
    (tmp_path / "in").mkdir()
    image = square_and_disc()[0]
    cv2.imwrite(str(tmp_path / "in" / "plain.png"), image)
    cv2.imwrite(str(tmp_path / "in" / "large.png"), np.tile(image, (2, 2, 1)))
    frames = [Image.fromarray(image[..., 0] // count) for count in (1, 2)]
    frames[0].save(tmp_path / "in" / "stack.tif", save_all=True, append_images=frames[1:])
    words = (
        *("predict", "--config-file", trained[0] / "config.yaml", "--input", tmp_path / "in"),
        *("--output", tmp_path / "out", "--max-pixels", 64 * 96),
    )
    printed = run_tool(*words)
    assert "in 1 images" in printed and "2 files skipped" in printed
    assert f"skipped {tmp_path / 'in' / 'stack.tif'}" in printed and "holds 2 images" in printed
    assert f"skipped {tmp_path / 'in' / 'large.png'}" in printed and "128 x 192" in printed
    assert "in 2 images" in run_tool(*words, "--page", 1)


def test_inputs_of_one_name_are_refused(trained, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "x.png"), square_and_disc()[0])
    config = ("--config-file", trained[0] / "config.yaml", "--output", tmp_path / "out")
    printed = run_tool("predict", *config, "--input", tmp_path / "a", tmp_path / "b", ok=False)
    assert "have one name" in printed and "Traceback" not in printed


def test_a_folder_without_images_is_named(trained, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").touch()
    config = ("--config-file", trained[0] / "config.yaml", "--output", tmp_path / "out")
    for tool in ("predict", "visualize"):
        printed = run_tool(tool, *config, "--input", tmp_path / "in", ok=False)
        last = printed.splitlines()[-1]
        assert last.startswith(f"error: no image was found in {tmp_path / 'in'}; looked for .png")
    assert not (tmp_path / "out").exists()


def test_results_that_cannot_be_written_end_the_tool_with_one_line(trained, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), square_and_disc()[0])
    config = ("--config-file", trained[0] / "config.yaml", "--output", tmp_path / "a.png")
    printed = run_tool("predict", *config, "--input", tmp_path / "a.png", ok=False)
    assert printed.splitlines()[-1] == f"error: {tmp_path / 'a.png' / 'labels'}: Not a directory"
