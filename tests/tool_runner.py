"""Runs the tools of tools/ inside the test's process: importing torch for each takes minutes."""

import contextlib
import importlib
import importlib.util
import io
import logging
import os
import traceback
from functools import cache
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.logger import setup_logger

ROOT = Path(__file__).parents[1]
# Options of a training of seconds.
TINY = [
    *("SOLVER.IMS_PER_BATCH", "2", "SOLVER.CHECKPOINT_PERIOD", "3", "DATALOADER.NUM_WORKERS", "0"),
    *("MODEL.DML.BACKBONE.CHANNELS", "[8,12,16,20,24]", "MODEL.DML.BACKBONE.BLOCKS", "[1,1,1,1]"),
    *("INPUT.RANDOM_FLIP", "none", "INPUT.AUG.RIGHT_ANGLES", "False", "MODEL.DEVICE", "cpu"),
]


# Tools that are commands by another name.
_COMMANDS = {
    "export": "export",
    "predict": "segment",
    "prepare": "prepare",
    "train_net": "train_net",
    "visualize": "look",
}


@cache
def load_script(path):
    """The module of a script that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def load_tool(name):
    """The module of a tool, by its name without ending, or of a command, as "dml train"."""
    command = name.removeprefix("dml ") if name.startswith("dml ") else _COMMANDS.get(name)
    if command is not None:
        return importlib.import_module(f"dml_instance.commands.{command}")
    return load_script(ROOT / "tools" / f"{name}.py")


def run_tool(name, *arguments, ok=True, folder=ROOT):
    """Run a tool as its command line does.

    Args:
        name: of the tool, without ending.
        arguments: of its command line, of any type.
        ok: whether it is to end with status 0.
        folder: that it runs in; the root of the repository by default.

    Returns:
        What it printed and logged, and the trace of an exception that it let through.
    """
    tool, printed = load_tool(name), io.StringIO()
    known, before = set(DatasetCatalog.list()), os.getcwd()
    forget_loggers()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            os.chdir(folder)
            status = tool.main(tool.argument_parser().parse_args([str(a) for a in arguments])) or 0
        except SystemExit as end:
            status = end.code or 0
            if isinstance(status, str):
                print(status)
        except KeyboardInterrupt as end:  # as the command says it
            status = 130
            print(end)
        except Exception:
            status = 1
            traceback.print_exc()
        finally:
            os.chdir(before)
            forget_loggers()
            for dataset in set(DatasetCatalog.list()) - known:
                DatasetCatalog.remove(dataset)
                MetadataCatalog.remove(dataset)
    assert (status == 0) == ok, printed.getvalue()[-6000:]
    return printed.getvalue()


def train(data, output, iterations, *options, ok=True):
    """Train and evaluate a tiny model on a data set, see ``run_tool``.

    Args:
        data: (annotation file, image folder) in COCO's format.
        output: OUTPUT_DIR.
        iterations: of the schedule.
        options: of the command line, then overrides.
    """
    path, images = data
    return run_tool(
        *("train_net", "--config-file", "configs/Shapes/dml_slim_unet.yaml"),
        *("--register-coco", f"toy={path}:{images}", *options),
        *("DATASETS.TRAIN", "('toy',)", "DATASETS.TEST", "('toy',)", "OUTPUT_DIR", output),
        *("SOLVER.MAX_ITER", iterations, *TINY),
        ok=ok,
    )


def forget_loggers():
    """Detectron2 keeps loggers that write to the streams of the first tool that ran."""
    setup_logger.cache_clear()
    for name in ("detectron2", "fvcore", "dml_instance"):
        logger = logging.getLogger(name)
        for handler in logger.handlers[:]:
            logger.removeHandler(handler)
            handler.close()
        logger.propagate = True
