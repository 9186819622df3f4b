"""One line of an error, whatever raised it."""

import mmap

import cv2
import numpy as np
import pytest
import torch

from dml_instance.engine.errors import is_out_of_memory, message_of


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("the key is off"), "the key is off"),
        (KeyError("no such set"), "no such set"),
        (FileNotFoundError("a.json does not exist"), "a.json does not exist"),
        (FileNotFoundError(2, "No such file", "a.json"), "a.json: No such file"),
        (OSError(28, "No space left"), "[Errno 28] No space left"),
        (ValueError("of", "two parts"), "('of', 'two parts')"),
        (KeyError(), "KeyError"),
    ],
)
def test_the_message_alone_is_told(error, message):
    assert message_of(error) == message


def test_a_file_that_the_system_does_not_find_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "none.yaml").read_text()
    assert message_of(caught.value) == f"{tmp_path / 'none.yaml'}: No such file or directory"


def raised_by(function):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        function()
    return caught.value


def wrapped(error):
    """As the grouping names the image of an error."""
    try:
        raise RuntimeError(f"a.png: {error}") from error
    except RuntimeError as wrapped:
        return wrapped


TOO_MUCH = 2**46


@pytest.mark.parametrize(
    "ask",
    [
        lambda: np.ones(TOO_MUCH),
        lambda: torch.ones(TOO_MUCH),
        lambda: mmap.mmap(-1, TOO_MUCH * 2**10),
        lambda: cv2.resize(np.ones((2, 2)), (2**22, 2**24)),
    ],
    ids=["numpy", "torch", "mmap", "opencv"],
)
def test_every_library_says_in_its_own_way_that_memory_is_short(ask):
    error = raised_by(ask)
    assert is_out_of_memory(error), repr(error)
    assert is_out_of_memory(wrapped(error))


def test_that_of_a_gpu_is_one_too_and_others_are_not():
    assert is_out_of_memory(wrapped(torch.cuda.OutOfMemoryError("CUDA out of memory")))
    for error in (ValueError("memory"), RuntimeError("memory"), OSError(28, "No space left")):
        assert not is_out_of_memory(wrapped(error))
    assert not is_out_of_memory(raised_by(lambda: cv2.resize(np.ones((2, 2)), (0, 0))))
