import contextlib
import logging

import pytest
import torch

from dml_instance.engine import Tally, for_each_image, list_of_skipped, run_over_images
from dml_instance.errors import FileError


def test_files_that_fail_are_skipped(caplog):
    seen = []

    def act(record):
        assert not torch.is_grad_enabled()
        if record["file_name"] == "refused.png":
            raise FileError("this one not")
        seen.append(record["file_name"])

    names = ("a.png", "refused.png", "b.png")
    with caplog.at_level(logging.WARNING):
        skipped = for_each_image([{"file_name": name} for name in names], act, "testing")
    assert skipped == {"refused.png": "refused.png: this one not"}
    assert list_of_skipped(skipped) == ["1 file skipped:", "  refused.png: this one not"]
    assert list_of_skipped({}) == []
    assert "skipped: refused.png: this one not" in caplog.text
    assert seen == ["a.png", "b.png"]


THREE_IMAGES = [{"file_name": f"{name}.png"} for name in "abc"]


def failing_at_b(error):
    def act(record):
        if record["file_name"].endswith("b.png"):
            raise error

    return act


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("full"), FileNotFoundError(2, "a")])
def test_an_error_that_is_not_of_a_file_ends_the_loop(error, caplog):
    with pytest.raises(type(error)) as caught:
        for_each_image(THREE_IMAGES, failing_at_b(error), "testing")
    assert caught.value is error
    assert "stopped at b.png, image 2 of 3" in caplog.text


def test_too_little_memory_ends_the_loop_with_the_file_and_the_cure():
    error = torch.cuda.OutOfMemoryError("CUDA out\n  of memory")
    with pytest.raises(MemoryError, match=r"b\.png: CUDA out of memory\. .*MODEL.DML.TILES.SIZE"):
        for_each_image(THREE_IMAGES, failing_at_b(error), "testing")


def test_the_end_says_what_was_left_out_and_skipped_and_closes_the_results(capsys):
    """In the order: of the results, of the counts, of the files."""
    tally, steps = Tally(0.5), []

    @contextlib.contextmanager
    def results():
        steps.append("opened")
        yield
        steps.append("closed")

    def act(record):
        steps.append(record["file_name"])
        if record["file_name"] == "b.png":
            raise FileError("no image")
        tally.count(record["file_name"], torch.tensor([0.25, 0.75]), 1)

    remarks = lambda: [f"remark after {steps[-1]}"]  # noqa: E731
    status = run_over_images(
        THREE_IMAGES, act, "testing", tally, "out", results=results(), remarks=remarks
    )
    assert status == 1
    assert steps == ["opened", "a.png", "b.png", "c.png", "closed"]
    assert capsys.readouterr().out.splitlines() == [
        *("remark after closed", "2 objects with a score under 0.5 left out"),
        *("1 file skipped:", "  b.png: no image"),
    ]
    assert run_over_images(THREE_IMAGES[:1], act, "testing", tally, "out") == 0


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "full", "x.png"), "error: x.png: full"),
        (MemoryError("short"), "error: out of memory at b.png: short."),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_a_run_that_is_cut_short_says_what_is_there(error, line):
    """With one image done, and with none."""
    for records, done in ((THREE_IMAGES, 1), (THREE_IMAGES[1:], 0)):
        tally = Tally(0.5)

        def act(record, tally=tally):
            failing_at_b(error)(record)
            tally.count(record["file_name"], torch.zeros(0), 0)

        with pytest.raises((SystemExit, KeyboardInterrupt)) as ended:
            run_over_images(records, act, "testing", tally, "out")
        assert isinstance(ended.value, KeyboardInterrupt) == isinstance(error, KeyboardInterrupt)
        (said,) = ended.value.args
        assert said.startswith(line)
        is_said = said.endswith(f"; the results of {done} image{'' if done else 's'} are in out")
        assert is_said == (done > 0 or isinstance(error, KeyboardInterrupt))
