"""Command lines of tools that take a trained model: options first, KEY VALUE pairs last."""

import pytest

from dml_instance.engine.config import is_key
from dml_instance.options import ModelArgumentParser, count, count_from_1


@pytest.fixture
def parser():
    parser = ModelArgumentParser("A tool.")
    parser.add_argument("--input", nargs="+", default=[])
    parser.add_argument("--number", nargs="+", type=int)
    parser.add_argument("--format", nargs="+", choices=["a", "b"])
    parser.add_argument("--output")
    parser.add_argument("--replace", action="store_true")
    return parser


PAIRS = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", "here", "SOLVER.STEPS", "(1, 2)"]


@pytest.mark.parametrize(
    "option",
    [
        *(["--input", "x", "y"], ["--number", "1", "2"], ["--format", "a", "b"]),
        *(["--output", "x"], ["--replace"], []),
    ],
)
def test_pairs_are_pairs_behind_any_option(parser, option):
    """And the option has what stands in front of them."""
    bare = parser.parse_args(["--config-file", "c", *option])
    given = parser.parse_args(["--config-file", "c", *option, *PAIRS])
    assert (given.opts, bare.opts) == (PAIRS, [])
    bare.opts = PAIRS
    assert given == bare


def test_a_mistyped_key_is_left_for_the_config_to_refuse(parser):
    given = parser.parse_args(["--config-file", "c", "--input", "x", "MODEL.DEVIC", "cpu"])
    assert (given.input, given.opts) == (["x"], ["MODEL.DEVIC", "cpu"])


def test_names_that_look_like_keys_may_be_values(parser):
    words = [
        "--config-file",
        "SEED",
        "--output",
        "MODEL.DEVICE",
        "--input",
        "MODEL.DML",
        "model.pth",
    ]
    given = parser.parse_args(words)
    assert (given.config_file, given.output, given.opts) == ("SEED", "MODEL.DEVICE", [])
    assert given.input == ["MODEL.DML", "model.pth"]


def test_files_are_no_keys(parser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MODEL.X").touch()
    names = ["TEST.TIF", "INPUT.PNG", "MODEL.X"]
    given = parser.parse_args(["--config-file", "c", "--input", "a", *names, *PAIRS])
    assert (given.input, given.opts) == (["a", *names], PAIRS)


@pytest.mark.parametrize("option", [["--input", "x"], ["--replace"]])
def test_an_option_behind_the_pairs_is_named(parser, capsys, option):
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--config-file", "c", *option, *PAIRS[:2], "--output", "y"])
    assert ended.value.code == 2
    assert "error: --output stands behind a KEY VALUE pair" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["SEED", "TEST.MIN_SCORE", "INPUT.NO_SUCH", "MODEL.DML.CONTEXT"])
def test_keys_are_known_by_their_section(word):
    assert is_key(word)


@pytest.mark.parametrize("word", ["", "A.PNG", "MODEL", "SEED.X", "model.device", "MODEL.pth", "x"])
def test_other_words_are_no_keys(word):
    assert not is_key(word)


@pytest.mark.parametrize(("kind", "least"), [(count, 0), (count_from_1, 1)])
def test_what_counts_begins_at_0_or_1(parser, capsys, kind, least):
    parser.add_argument("--times", type=kind)
    words = ["--config-file", "c", "--times"]
    assert [parser.parse_args([*words, text]).times for text in (str(least), "12")] == [
        *(least, 12)
    ]
    for text in (str(least - 1), "1.5", "x", ""):
        with pytest.raises(SystemExit):
            parser.parse_args([*words, text])
        assert (
            f"--times: it is a whole number, at least {least}, got {text}"
            in capsys.readouterr().err
        )
