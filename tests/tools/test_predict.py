"""Segmentation of a user's images, as files."""

import csv
import json
import os
import re
import shutil

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from dml_instance.data import set_num_classes
from dml_instance.modeling import DMLInstance
from tool_runner import run_tool
from toy_scenes import data_config, square_and_disc


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
        *("predict", *config, "--input", tmp_path / "in", "--output", tmp_path / "out"),
        *everything,
        ok=False,
    )
    assert re.search(r"^\d+ objects in 2 images: ", printed.splitlines()[-1])
    listed = printed[printed.index("\n1 file skipped:\n") :].splitlines()
    assert listed[2].startswith(f"  cannot read {tmp_path / 'in' / 'broken.png'}: ")
    coco = json.loads((tmp_path / "out" / "instances.json").read_text())
    rows = list(csv.DictReader((tmp_path / "out" / "objects.csv").open()))
    assert len(rows) == len(coco["annotations"]) > 0
    assert {row["class"] for row in rows} <= {"square", "disc"}
    assert coco["categories"] == [{"id": 3, "name": "square"}, {"id": 4, "name": "disc"}]
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


def test_every_image_has_its_results_in_every_form_and_they_are_never_overwritten(
    trained, tmp_path
):
    """Of one name in three folders, and twice in one of them."""
    image = square_and_disc()[0]
    names = ("A01/field1.png", "A01/field1.bmp", "A02/field1.png", "B01/deep/field1.png")
    for name in names:
        (tmp_path / "plate" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "plate" / name), image)
    command = ("predict", "--config-file", trained[0] / "config.yaml", "--input")
    output = ("--output", tmp_path / "plate" / "found")
    forms = ("--format", "labels", "csv", "coco", "geojson", "rois", "--overwrite")
    keys = ("MODEL.DML.GROUPING.MAX_SEEDS", "5")
    for again in range(2):
        printed = run_tool(*command, tmp_path / "plate", *output, *forms, "--min-score", 0, *keys)
        assert " objects in 4 images: " in printed.splitlines()[-1], again
    results = {
        path.relative_to(tmp_path / "plate" / "found").with_suffix("").as_posix()
        for path in (tmp_path / "plate" / "found").rglob("*")
        if path.is_file()
    }
    stems = ("A01/field1.png", "A01/field1.bmp", "A02/field1", "B01/deep/field1")
    assert results == {
        *("objects", "instances"),
        *(f"{folder}/{stem}" for folder in ("labels", "geojson", "rois") for stem in stems),
    }
    coco = json.loads((tmp_path / "plate" / "found" / "instances.json").read_text())
    assert sorted(entry["file_name"] for entry in coco["images"]) == sorted(names)
    printed = run_tool(*command, tmp_path / "plate" / "A01", *output, ok=False)
    assert printed.splitlines()[-1].startswith(
        f"error: {tmp_path / 'plate' / 'found' / 'labels'} exists already; give another --output"
    )


def test_long_names_and_names_that_are_no_text_have_results_and_other_images_keep_theirs(
    trained, tmp_path
):
    (tmp_path / "in").mkdir()
    for name in (b"n" * 251, b"\xe4"):
        cv2.imwrite(str(tmp_path / "a.png"), square_and_disc()[0])
        os.rename(tmp_path / "a.png", os.path.join(os.fsencode(tmp_path / "in"), name + b".png"))
    forms = ("--format", "labels", "csv", "coco", "geojson", "rois", "--min-score", 0)
    command = ("predict", "--config-file", trained[0] / "config.yaml", *forms)
    output = ("--output", tmp_path / "out", "--overwrite")
    printed = run_tool(*command, "--input", tmp_path / "in", *output)
    assert re.search(
        r"^what is made of .*, whose name is too long, is called n+-\w{8}$", printed, re.M
    )
    assert {len(list((tmp_path / "out" / f).iterdir())) for f in ("labels", "geojson", "rois")} == {
        2
    }
    coco = json.loads((tmp_path / "out" / "instances.json").read_text())
    assert {image["file_name"] for image in coco["images"]} == {"%E4.png", f"{'n' * 251}.png"}
    cv2.imwrite(str(tmp_path / "other.png"), square_and_disc()[0])
    printed = run_tool(*command, "--input", tmp_path / "other.png", *output, ok=False)
    assert "has results of 2 images not given now" in printed.splitlines()[-1]
    drawn = ("--input", tmp_path / "in", "--output", tmp_path / "drawn")
    printed = run_tool("visualize", "--config-file", trained[0] / "config.yaml", *drawn)
    assert "2 pictures in" in printed and "whose name is too long" in printed


def test_what_is_left_out_and_a_limit_that_was_reached_are_said(trained, tmp_path):
    (tmp_path / "in").mkdir()
    for name in "abc":
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), square_and_disc()[0])
    config = ("--config-file", trained[0] / "config.yaml", "--input", tmp_path / "in")
    weak = ("MODEL.DML.GROUPING.MIN_SEEDINESS", "0.001", "MODEL.DML.GROUPING.MAX_SEEDS", "5")
    printed = run_tool(*("predict", *config, "--output", tmp_path / "out", "--min-score", 1, *weak))
    assert re.search(
        r"^0 objects in 3 of 3 images, best score 0\.\d+ \(.\.png\); try --min-score 0",
        printed,
        re.M,
    )
    assert re.search(r"^\d+ objects with a score under 1 left out$", printed, re.M)
    assert printed.count("possible seeds are grown") == 1
    assert "\nMODEL.DML.GROUPING.MAX_SEEDS was reached in 3 images\n" in printed
    assert "least score of an object: 1.0 (as given" in printed
    printed = run_tool("predict", *config, "--output", tmp_path / "b", "--min-score", 50, ok=False)
    assert printed.splitlines()[-1].startswith("error: --min-score, and TEST.MIN_SCORE, is in")


@pytest.mark.parametrize(
    ("error", "last"),
    [
        (
            torch.cuda.OutOfMemoryError("of the GPU"),
            r"error: out of memory at .*c\.png: of the GPU",
        ),
        (OSError(28, "No space left", "a.png"), "error: a.png: No space left"),
        (KeyError("a bug"), "KeyError: 'a bug'"),
        (KeyboardInterrupt(), "interrupted; the results of 2 images are in "),
    ],
)
def test_an_error_loses_no_result_of_an_earlier_image_and_is_no_skipped_file(
    trained, tmp_path, monkeypatch, error, last
):
    (tmp_path / "in").mkdir()
    for name in "abcd":
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), square_and_disc()[0])
    find = DMLInstance.find

    def failing(model, x):
        if x["file_name"].endswith("c.png"):
            raise error
        return find(model, x)

    monkeypatch.setattr(DMLInstance, "find", failing)
    config = ("--config-file", trained[0] / "config.yaml", "--input", tmp_path / "in")
    output = tmp_path / "out"
    forms = ("--format", "labels", "csv", "coco", "geojson", "rois", "--min-score", 0)
    printed = run_tool("predict", *config, "--output", output, *forms, ok=False)
    assert re.match(last, printed.splitlines()[-1]) and "files skipped" not in printed
    if isinstance(error, Exception):
        assert re.search(r"stopped at .*c\.png, image 3 of 4", printed)
    if isinstance(error, OSError | MemoryError | RuntimeError):
        assert printed.rstrip().endswith(f"; the results of 2 images are in {output}")
    coco = json.loads((output / "instances.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == ["a.png", "b.png"]
    for folder in ("labels", "geojson", "rois"):
        assert sorted(path.stem for path in (output / folder).iterdir()) == ["a", "b"]


def test_results_are_taken_beside_the_data_that_the_model_was_trained_on(
    data, trained, tmp_path, registered
):
    config = ("--config-file", trained[0] / "config.yaml", "--input", data[1])
    run_tool("predict", *config, "--output", tmp_path / "out", "--min-score", 0)
    registered("found_before", *data)
    registered("found_after", tmp_path / "out" / "instances.json", data[1])
    cfg = data_config("DATASETS.TRAIN", ("found_before", "found_after"))
    set_num_classes(cfg)
    assert cfg.DATASETS.CLASS_NAMES == ["square", "disc"]
    assert cfg.DATASETS.CATEGORY_IDS == [3, 4]


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
    printed = run_tool(*words, ok=False)
    assert "in 1 image:" in printed and "2 files skipped" in printed
    assert f"skipped: {tmp_path / 'in' / 'stack.tif'} holds 2 images" in printed
    assert f"skipped: {tmp_path / 'in' / 'large.png'} is 128 x 192" in printed
    assert "in 2 images" in run_tool(*words, "--page", 1, "--overwrite", ok=False)


def test_results_never_take_the_place_of_an_image(tmp_path):
    folder = tmp_path / "found" / "labels"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "a.png"), square_and_disc()[0])
    before = (folder / "a.png").read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "found")
    words = ("predict", "--config-file", "none.yaml", "--input", folder, "--overwrite", "--output")
    for output in (tmp_path / "found", tmp_path / "link"):
        last = run_tool(*words, output, ok=False).splitlines()[-1]
        assert f"error: {output / 'labels' / 'a.png'} is one of the images" in last
    assert (folder / "a.png").read_bytes() == before
    printed = run_tool(*words, tmp_path / "other", ok=False)
    assert "none.yaml does not exist" in printed


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
    last = printed.splitlines()[-1]
    assert last.startswith(f"error: {tmp_path / 'a.png'} is no folder") and "--output" in last


def test_a_moved_model_finds_its_weights_and_others_are_refused_in_one_line(trained, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("config.yaml", "model_final.pth"):
        shutil.copy(trained[0] / name, moved)
    cv2.imwrite(str(tmp_path / "a.png"), square_and_disc()[0])
    words = ("predict", "--config-file", moved / "config.yaml", "--input", tmp_path / "a.png")
    gone = ("OUTPUT_DIR", tmp_path / "gone")
    run_tool(*words, "--output", tmp_path / "out", *gone)
    broken = moved / "model_final.pth"
    for content in (broken.read_bytes()[:2000], (tmp_path / "a.png").read_bytes()):
        broken.write_bytes(content)
        printed = run_tool(*words, "--output", tmp_path / "b", *gone, ok=False)
        assert printed.splitlines()[-1].startswith(f"error: {broken} cannot be loaded into")
    broken.unlink()
    printed = run_tool(*words, "--output", tmp_path / "b", *gone, ok=False)
    assert f"no weights at {tmp_path / 'gone' / 'model_final.pth'}" in printed
