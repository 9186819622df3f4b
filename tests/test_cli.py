"""How commands end."""

import argparse

import pytest

from dml_instance.cli import run


@pytest.mark.parametrize(("said", "line"), [((), "interrupted"), (("x",), "interrupted: x")])
def test_ctrl_c_ends_a_command_in_one_line(said, line, capsys):
    def interrupted(args):
        raise KeyboardInterrupt(*said)

    assert run(argparse.ArgumentParser(), interrupted, []) == 130
    assert capsys.readouterr().err.strip() == line
