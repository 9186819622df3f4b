import json

from tool_runner import run_tool


def test_the_tool_says_where_the_set_lies_and_what_it_holds(tmp_path):
    root = tmp_path / "set"
    options = ["--output", root, "--train", 2, "--val", 1, "--test", 1, "--size", 64]
    printed = run_tool("prepare_shapes", *options)
    assert str(root) in printed
    for split, images in (("train", 2), ("val", 1), ("test", 1)):
        coco = json.loads((root / "annotations" / f"instances_{split}.json").read_text())
        assert len(coco["images"]) == images
        bars = [a["category_id"] for a in coco["annotations"]].count(2)
        (line,) = [line for line in printed.splitlines() if line.startswith(split)]
        assert f"{bars} bar" in line
    assert "--overwrite" in run_tool("prepare_shapes", *options, "--seed", 1, ok=False)
