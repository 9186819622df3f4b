"""Pictures as a user draws them, of files good and bad."""

import json

import cv2

from tool_runner import TINY, run_tool
from toy_scenes import square_and_disc, write_coco


def draw(trained, *arguments, ok=True):
    overrides = ["MODEL.DML.NUM_CLASSES", "2", "DATASETS.TRAIN", "()", "DATASETS.TEST", "()", *TINY]
    weights = trained[0] / "model_final.pth"
    config = ["--config-file", "configs/Shapes/dml_slim_unet.yaml", "--weights", weights]
    return run_tool("visualize", *config, *arguments, *overrides, ok=ok)


def test_a_folder_is_drawn_and_bad_images_are_skipped(trained, tmp_path):
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    image, _, _ = square_and_disc()
    cv2.imwrite(str(folder / "good.png"), image)
    (folder / "broken.png").write_bytes((folder / "good.png").read_bytes()[:90])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    paths = ("--input", folder, tmp_path / "absent.png", "--output", output)
    printed = draw(trained, *paths, ok=False)
    assert [path.relative_to(output).as_posix() for path in output.rglob("*.*")] == ["in/good.png"]
    assert cv2.imread(str(output / "in" / "good.png")).shape[1] > 3 * image.shape[1]
    for path in (folder / "broken.png", folder / "empty.jpg", tmp_path / "absent.png"):
        assert printed.count(f"skipped: cannot read {path}: ") == 1
        assert f"\n  cannot read {path}: " in printed
    assert printed.splitlines()[-1] == f"1 picture in {output}"
    assert "3 files skipped:" in printed


def test_images_of_one_name_have_a_picture_each(trained, tmp_path):
    scenes = [square_and_disc(64, 80)] * 2
    path, images = write_coco(tmp_path, "toy", scenes)
    content = json.loads(path.read_text())
    for number, entry in enumerate(content["images"]):
        (images / str(number)).mkdir()
        (images / entry["file_name"]).rename(images / str(number) / "field1.png")
        entry["file_name"] = f"{number}/field1.png"
    path.write_text(json.dumps(content))
    toy = ("--register-coco", f"fields={path}:{images}", "--dataset", "fields")
    for source in (("--input", images), toy):
        output = tmp_path / source[0]
        printed = draw(trained, *source, "--output", output, "--min-score", 1)
        assert f"2 pictures in {output}" == printed.splitlines()[-1]
        assert "0 objects in 2 of 2 images, " in printed
        drawn = {file.relative_to(output).as_posix() for file in output.rglob("*.png")}
        assert drawn == {"0/field1.png", "1/field1.png"}


def test_a_picture_never_takes_the_place_of_an_image(trained, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), square_and_disc()[0])
    before = (tmp_path / "a.png").read_bytes()
    printed = draw(trained, "--input", tmp_path, "--output", tmp_path, ok=False)
    assert f"{tmp_path / 'a.png'} is one of the images" in printed.splitlines()[-1]
    assert (tmp_path / "a.png").read_bytes() == before


def test_drawing_nothing_fails(trained, tmp_path):
    draw(trained, "--input", tmp_path / "absent.png", "--output", tmp_path / "out", ok=False)


def test_a_picture_that_cannot_be_written_is_named(trained, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), square_and_disc()[0])
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    paths = ("--input", tmp_path / "a.png", "--output", tmp_path / "out")
    printed = draw(trained, *paths, ok=False)
    assert printed.splitlines()[-1] == f"error: {tmp_path / 'out' / 'a.png'}: Is a directory"


def test_an_output_that_is_no_folder_is_named(trained, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), square_and_disc()[0])
    paths = ("--input", tmp_path / "a.png", "--output", tmp_path / "a.png")
    printed = draw(trained, *paths, ok=False)
    last = printed.splitlines()[-1]
    assert last.startswith(f"error: {tmp_path / 'a.png'} is no folder") and "--output" in last


def test_images_are_looked_for_before_the_model_is_loaded(tmp_path):
    config = ("--config-file", "configs/Shapes/dml_slim_unet.yaml", "--weights", "no.pth")
    printed = run_tool("visualize", *config, "--input", tmp_path, ok=False)
    assert f"no image was found in {tmp_path}" in printed and "no.pth" not in printed


def test_missing_weights_and_config_are_named(tmp_path):
    printed = run_tool(
        "visualize",
        "--config-file",
        "configs/Shapes/dml_slim_unet.yaml",
        "--weights",
        "no.pth",
        "--input",
        tmp_path / "a.png",
        ok=False,
    )
    assert "no.pth" in printed and "Traceback" not in printed
    printed = run_tool("train_net", "--config-file", "no.yaml", ok=False)
    assert "no.yaml" in printed and "Traceback" not in printed
