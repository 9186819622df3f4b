"""How a command ends that is interrupted, or that nobody reads."""

import argparse
import contextlib
import io
import os

import pytest

from dml_instance.cli import run


@pytest.mark.parametrize("line", ["", "interrupted; 3 of 4 are done"])
def test_a_command_that_is_interrupted_says_so_in_a_line(capsys, line):
    def interrupted(args):
        raise KeyboardInterrupt(*filter(None, [line]))

    assert run(argparse.ArgumentParser(), interrupted, []) == 130
    assert capsys.readouterr().err == f"{line or 'interrupted'}\n"


@contextlib.contextmanager
def nobody_reads():
    """In the block the reader of standard output has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    with (
        io.TextIOWrapper(io.BufferedWriter(io.FileIO(writing, "w"))) as stream,
        contextlib.redirect_stdout(stream),
    ):
        yield


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_a_command_that_nobody_reads_ends_without_a_word(capfd, words):
    with nobody_reads():
        assert run(argparse.ArgumentParser(), lambda args: print("a table"), words) == 141
    assert capfd.readouterr().err == ""


def test_a_pipe_of_another_kind_is_an_error():
    def failing(args):
        raise BrokenPipeError("of a worker")

    with pytest.raises(BrokenPipeError, match="of a worker"):
        run(argparse.ArgumentParser(), failing, [])
