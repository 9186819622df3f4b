"""Command lines of tools that take a trained model: options first, KEY VALUE pairs last."""

import pytest

from dml_instance.engine import ModelArgumentParser, count
from dml_instance.engine.config import is_key


@pytest.fixture
def parser():
    parser = ModelArgumentParser("A tool.")
    parser.add_argument("--input", nargs="+", default=[])
    parser.add_argument("--number", nargs="+", type=int)
    parser.add_argument("--form", nargs="+", choices=["a", "b"])
    parser.add_argument("--output")
    parser.add_argument("--replace", action="store_true")
    return parser


PAIRS = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", "here", "SOLVER.STEPS", "(1, 2)"]


@pytest.mark.parametrize(
    "option",
    [
        *(["--input", "x", "y"], ["--number", "1", "2"], ["--form", "a", "b"]),
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


def test_an_option_behind_the_pairs_is_named(parser, capsys):
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--config-file", "c", "--input", "x", *PAIRS, "--output", "y"])
    assert ended.value.code == 2
    assert "error: --output stands behind a KEY VALUE pair" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["SEED", "TEST.MIN_SCORE", "INPUT.NO_SUCH", "MODEL.DML.CONTEXT"])
def test_keys_are_known_by_their_section(word):
    assert is_key(word)


@pytest.mark.parametrize("word", ["", "A.PNG", "MODEL", "SEED.X", "model.device", "MODEL.pth", "x"])
def test_other_words_are_no_keys(word):
    assert not is_key(word)


def test_what_counts_begins_at_0(parser, capsys):
    parser.add_argument("--times", type=count)
    words = ["--config-file", "c", "--times"]
    assert [parser.parse_args([*words, text]).times for text in ("0", "12")] == [0, 12]
    for text in ("-1", "1.5", "x", ""):
        with pytest.raises(SystemExit):
            parser.parse_args([*words, text])
        assert f"--times: it is a whole number, at least 0, got {text}" in capsys.readouterr().err
