"""What a run says where: on the terminal, and in its log.txt."""

import argparse
import contextlib
import io
import logging
import sys

from dml_instance.engine import RunLog
from tool_runner import forget_loggers
from toy_scenes import data_config


@contextlib.contextmanager
def terminal():
    """What is written to it."""
    forget_loggers()
    try:
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            yield shown
    finally:
        forget_loggers()


@contextlib.contextmanager
def opened(folder):
    """A log that has said something already, its file, and the terminal from now on."""
    with terminal() as shown:
        log = RunLog()
        logging.getLogger("dml_instance.data").info("before OUTPUT_DIR is known")
        cfg = data_config("OUTPUT_DIR", str(folder), "SEED", 3)
        log.open(cfg, argparse.Namespace(config_file="", eval_only=False, opts=["SEED", "3"]))
        assert shown.getvalue() == "before OUTPUT_DIR is known\n"
        shown.truncate(shown.seek(0))
        yield log, folder / "log.txt", shown


def test_dumps_go_to_the_file_alone(tmp_path):
    with opened(tmp_path) as (_, file, shown):
        written = file.read_text()
    assert shown.getvalue() == ""
    for part in ("before OUTPUT_DIR is known", "Environment info", "META_ARCHITECTURE", "['SEED',"):
        assert part in written
    assert (file.parent / "config.yaml").is_file()


def test_the_terminal_shows_ours_and_the_first_line_of_the_warnings_of_others(tmp_path):
    with opened(tmp_path) as (_, file, shown):
        logging.getLogger("dml_instance.engine").info("a line\nof two")
        logging.getLogger("dml_instance.engine").debug("too much")
        logging.getLogger("dml_instance.engine").warning("look")
        logging.getLogger("fvcore.common.checkpoint").warning("keys are missing:\n a\n b")
        logging.getLogger("fvcore.common.checkpoint").info("Saving checkpoint")
        logging.getLogger("detectron2.engine.defaults").info("Model:\n...")
        logging.getLogger("detectron2.engine.hooks").error("\none line\n")
        logging.getLogger("detectron2.data.datasets.coco").warning("We'll apply a mapping for you.")
        logging.getLogger("detectron2.evaluation.evaluator").info("Inference done 3/8")
        written = file.read_text()
    assert shown.getvalue().splitlines() == [
        *("a line", "of two", "warning: look"),
        "warning: keys are missing: ... (the rest is in log.txt)",
        *("error: one line", "Inference done 3/8"),
    ]
    for part in (
        "too much",
        "\n b\n",
        "Saving checkpoint",
        "Model:\n...",
        "apply a mapping",
        "done 3/8",
    ):
        assert part in written


def test_what_is_printed_goes_to_the_file_for_a_while(tmp_path):
    with opened(tmp_path) as (log, file, shown):
        with log.prints_to_file():
            sys.stdout.write("DONE (t=")
            print("0.01s)\nAverage Precision")
            logging.getLogger("dml_instance").info("said meanwhile")
        print("afterwards")
        written = file.read_text()
    assert shown.getvalue() == "said meanwhile\nafterwards\n"
    assert "DONE (t=0.01s)\n" in written and "Average Precision\n" in written
    assert "afterwards" not in written


def test_a_second_run_of_a_process_says_things_once(tmp_path):
    with opened(tmp_path) as (*_, shown):
        RunLog()
        logging.getLogger("dml_instance").info("once")
    assert shown.getvalue() == "once\n"


def test_other_processes_than_the_first_are_silent(monkeypatch):
    monkeypatch.setattr("detectron2.utils.comm.is_main_process", lambda: False)
    with terminal() as shown:
        RunLog()
        logging.getLogger("dml_instance").warning("of another process")
    assert shown.getvalue() == ""
