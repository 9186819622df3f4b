"""The command ``dml``.

A command is imported when it is called, so that ``dml --help`` answers at once.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence

from .version import __version__

# The exit status of what Ctrl-C has ended, as shells have it.
_INTERRUPTED = 128 + 2

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
    """Run a command or a tool in a process of its own; returns its exit status, after Ctrl-C with
    one line.

    Args:
        parser: of its command line.
        main: what it does.
        words: of the command line; None: those of the process.
    """
    # Behind the command, which sets up the process before it imports torch.
    from .engine import use_huge_pages

    use_huge_pages()
    try:
        return main(parser.parse_args(words))
    except KeyboardInterrupt as error:
        # A command that has something to say about its end says it by this error.
        print(f"\ninterrupted{f': {error}' if str(error) else ''}", file=sys.stderr)
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
