"""The command ``dml``.

A command is imported when it is called, so that ``dml --help`` answers at once.
"""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from .version import __version__

# The exit status of a program that a signal ends is as far above the signal's number.
_OF_SIGNAL = 128

_COMMANDS = {
    "segment": "segment images with a trained model, write masks and tables",
    "look": "draw what a trained model sees",
    "prepare": "make a data set of images and annotations",
    "train": "train a model on a data set",
    "compare": "train models for the same minutes, and compare them",
    "app": "a page to segment, correct by clicks, and learn from it",
    "export": "write a model that runs without torch",
    "models": "list the models that come with the package",
}


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status.

    Args:
        words: of the command line; None: those of the process.
    """
    words = list(sys.argv[1:] if words is None else words)
    commands = "\n".join(f"  {name:10}{what}" for name, what in _COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="dml",
        description="Box-free instance segmentation by deep metric learning.",
        epilog=f"commands:\n{commands}\n\n`dml COMMAND --help` shows its options and an example.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=_COMMANDS, metavar="COMMAND", help="one of those below")
    parser.add_argument("--version", action="version", version=__version__)
    name = parser.parse_args(words[:1]).command
    command = importlib.import_module(f".commands.{name}", __package__)
    return run(command.argument_parser(f"dml {name}"), command.main, words[1:])


def run(
    parser: argparse.ArgumentParser,
    main: Callable[[argparse.Namespace], int],
    words: Sequence[str] | None = None,
) -> int:
    """Run a command or a tool in a process of its own; returns its exit status.

    One that is interrupted says so in a line. Where nobody reads what is printed, it ends without.

    Args:
        parser: of its command line.
        main: what it does; raises KeyboardInterrupt, maybe with the line to say.
        words: of the command line; None: those of the process.
    """
    # Behind the command, which sets up the process before it imports torch.
    from .engine import use_huge_pages

    use_huge_pages()
    try:
        try:
            return main(parser.parse_args(words))
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt as error:
        print(str(error) or "interrupted", file=sys.stderr)
        return _OF_SIGNAL + signal.SIGINT
    except BrokenPipeError:
        if sys.stdout is None or not _is_unread(sys.stdout):
            raise
        # Python writes what is left when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _OF_SIGNAL + signal.SIGPIPE


def _is_unread(stream: TextIO) -> bool:
    """Whether whoever should read a stream has closed it."""
    try:
        # What could not be written before is forgotten, and flushing alone tells nothing.
        print(file=stream, flush=True)
    except BrokenPipeError:
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
