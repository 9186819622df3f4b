"""Runs commands of the pages in the process of the tests; importing torch for each takes long."""

import contextlib
import importlib
import io
import sys
from unittest import mock

from detectron2.data import DatasetCatalog, MetadataCatalog

from command_lines import forget_all_but
from dml_instance.data.datasets.builtin import register_all
from doc_pages import ROOT
from tool_runner import forget_loggers, load_script


def program_of(words):
    """The module that ``dml NAME ...``, ``python FILE ...`` or ``python -m NAME ...`` runs, and its
    arguments.

    Raises:
        FileNotFoundError, ModuleNotFoundError: where there is none.
    """
    if words[0] == "dml":
        return importlib.import_module(f"dml_instance.commands.{words[1]}"), words[2:]
    if words[1] == "-m":
        program = importlib.import_module(words[2])
        if hasattr(program, "__path__"):
            program = importlib.import_module(f"{words[2]}.__main__")
        return program, words[3:]
    return load_script(ROOT / words[1]), words[2:]


def parsed(words):
    """The module of a command, and its arguments as its own parser understands them."""
    program, arguments = program_of(words)
    with contextlib.redirect_stderr(io.StringIO()) as complaint:
        try:
            return program, program.argument_parser().parse_args(arguments)
        except SystemExit as end:
            raise ValueError(complaint.getvalue()) from end


def run(words):
    """Run ``python ...`` in the current folder; returns what it printed and logged.

    Data sets that it registers are forgotten, as with the end of its process.

    Raises:
        RuntimeError: where it ends with another status than 0, with what it printed.
    """
    program, arguments = parsed(words)
    known = set(DatasetCatalog.list())
    printed, status = io.StringIO(), 0
    with (
        contextlib.redirect_stdout(printed),
        mock.patch.object(sys, "argv", words[1:]),
        own_loggers(),
    ):
        try:
            status = program.main(arguments)
        except SystemExit as end:
            status = end.code
        finally:
            forget_all_but(known)
    if isinstance(status, str) or status == 1:
        raise RuntimeError(f"{' '.join(words)}: {status}\n{printed.getvalue()[-3000:]}")
    return printed.getvalue()


@contextlib.contextmanager
def own_loggers():
    """Detectron2's loggers are set up anew inside, and forgotten afterwards."""
    forget_loggers()
    try:
        yield
    finally:
        forget_loggers()


@contextlib.contextmanager
def built_in_data_sets_below(folder, monkeypatch):
    """The built-in data sets are those of another folder, by DETECTRON2_DATASETS, for a while."""
    ours = ("shapes_", "dsb2018_", "cables_", "voc_2012_instance_", "sbd_instance_")
    names = [name for name in DatasetCatalog.list() if name.startswith(ours)]
    kept = {name: (DatasetCatalog.pop(name), MetadataCatalog.pop(name)) for name in names}
    try:
        with monkeypatch.context() as patch:
            patch.setenv("DETECTRON2_DATASETS", str(folder))
            register_all()
            yield
    finally:
        for name, (records, metadata) in kept.items():
            DatasetCatalog.pop(name)
            DatasetCatalog.register(name, records)
            MetadataCatalog[name] = metadata
