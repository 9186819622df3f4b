"""One line of an error, whatever raised it."""

import pytest

from dml_instance.engine import message_of


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
