"""Pictures as a user draws them, of files good and bad."""

import cv2

from tool_runner import TINY, run_tool
from toy_scenes import square_and_disc


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
    printed = draw(trained, "--input", folder, tmp_path / "absent.png", "--output", output)
    assert [path.name for path in output.iterdir()] == ["good.png"]
    assert cv2.imread(str(output / "good.png")).shape[1] > 3 * image.shape[1]
    for name in ("broken.png", "empty.jpg", "absent.png"):
        assert f"skipped {folder / name if name != 'absent.png' else tmp_path / name}" in printed
    assert "1 pictures" in printed and "3 files skipped" in printed


def test_drawing_nothing_fails(trained, tmp_path):
    draw(trained, "--input", tmp_path / "absent.png", "--output", tmp_path / "out", ok=False)


def test_a_picture_that_cannot_be_written_is_named(trained, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), square_and_disc()[0])
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    paths = ("--input", tmp_path / "a.png", "--output", tmp_path / "out")
    printed = draw(trained, *paths, ok=False)
    assert printed.splitlines()[-1] == f"error: cannot write {tmp_path / 'out' / 'a.png'}"


def test_an_output_that_is_no_folder_is_named(trained, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), square_and_disc()[0])
    paths = ("--input", tmp_path / "a.png", "--output", tmp_path / "a.png")
    printed = draw(trained, *paths, ok=False)
    assert printed.splitlines()[-1] == f"error: {tmp_path / 'a.png'}: File exists"


def test_missing_weights_and_config_are_named(tmp_path):
    printed = run_tool(
        "visualize",
        "--config-file",
        "configs/Shapes/dml_slim_unet.yaml",
        "--weights",
        "no.pth",
        ok=False,
    )
    assert "no.pth" in printed and "Traceback" not in printed
    printed = run_tool("train_net", "--config-file", "no.yaml", ok=False)
    assert "no.yaml" in printed and "Traceback" not in printed
