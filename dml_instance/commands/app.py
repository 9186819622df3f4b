"""Segment images in the browser, correct by clicks, and have the model learn from it.

    dml app --input raw
    dml app --input raw --model output/cells --labels masks

Open the address that is printed. What is done is kept in the project's folder as it is done, and
nothing is written elsewhere; the same command goes on where it was left.
"""

import argparse
import contextlib
import importlib.util
import os
import secrets
import socket
import sys
from collections.abc import Callable

from detectron2.utils.logger import setup_logger

from ..app.exchange import take
from ..app.gallery import Gallery, in_page_words
from ..app.models import PageModel
from ..app.project import Project
from ..app.security import LOCAL_HOSTS
from ..app.teaching import Teacher
from ..app.workspace import Workspace
from ..data.forms.readers import SourceRules
from ..engine import message_of
from ..images import ReadingRules
from ..options import add_reading_options, reading_rules

PROJECT = "dml_project"
MAX_PIXELS = 4096 * 4096
_LAST_PORT = 65535


def main(args: argparse.Namespace) -> int:
    """Serve the page until it is interrupted, which is its ordinary end."""
    setup_logger(name="dml_instance")
    try:
        _check_server()
        # First: it costs nothing, and a model takes seconds.
        listening = _listening(args.host.strip("[]"), args.port)
        reading = reading_rules(args)
        workspace, load = open_workspace(args, reading)
        if args.labels:
            _import(workspace, args, reading)
    except (KeyError, OSError, ValueError) as error:
        sys.exit(f"error: {in_page_words(message_of(error))}")
    return _serve(workspace, load, args.host, listening)


def _serve(
    workspace: Workspace, load: Callable[[str], PageModel], host: str, listening: socket.socket
) -> int:
    """Serve the page until it is interrupted; returns the exit status."""
    # Here, as they are optional: a line has said what to install.
    import uvicorn

    from ..app.server import build_app

    token = None if host in LOCAL_HOSTS else secrets.token_urlsafe(24)
    app = build_app(workspace, Teacher(workspace, load), token=token)
    port, folder = listening.getsockname()[1], os.path.abspath(workspace.project.folder)
    print(f"{len(workspace.gallery)} images; project {folder}")
    print(f"open http://{host}:{port}/{f'?token={token}' if token else ''}", flush=True)
    # Without a log of its own: what goes wrong is said on the page.
    config = uvicorn.Config(app, log_level="warning", ws="none")
    # The server ends in order at Ctrl-C, and passes it on then.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])
    print(f"stopped; all that was done is kept in {folder}")
    return 0


def open_workspace(
    args: argparse.Namespace, reading: ReadingRules
) -> tuple[Workspace, Callable[[str], PageModel]]:
    """The workspace of a command line, and what loads its models.

    Raises:
        OSError, ValueError: for a project, a model or images that cannot be used.
    """
    folder = args.project or os.path.join(_one_folder(args.input) or ".", PROJECT)
    project = Project(folder)

    def load(name: str) -> PageModel:
        return PageModel(name, reading, beside=folder)

    try:
        gallery = Gallery(folder, reading, args.input)
        if args.input:
            project.settle(gallery.root)
        model = load(args.model or project.model or "nuclei")
    except BaseException:
        project.close()
        raise
    workspace = Workspace(project, gallery, model)
    if project.model != model.name:
        workspace.use(model)
    return workspace, load


def _import(workspace: Workspace, args: argparse.Namespace, reading: ReadingRules) -> None:
    """Begin with the annotations of a command line, and say what was found."""
    rules = SourceRules(args.labels, _one_folder(args.input), may_lack_labels=True, reading=reading)
    found = take(workspace, rules, args.labels, at_start=True)
    without = f"; {found['without']} have no annotations" if found["without"] else ""
    print(f"{found['objects']} objects of {found['images']} images were imported{without}")
    if found["classes"]:
        print(f"classes that are new to the model: {', '.join(found['classes'])}")
    for line in found["doubts"]:
        print(f"check this: {line}")


def _check_server() -> None:
    """ValueError where what serves the page is not installed."""
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"the page needs {' and '.join(missing)}: pip install 'dml_instance[app]'")


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens; ValueError where that cannot be."""
    if not 0 <= port <= _LAST_PORT:
        raise ValueError(f"--port is 0 to {_LAST_PORT}, got {port}")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ValueError(
            f"cannot listen on {host}, port {port} ({error.strerror}): give another --port, 0 for "
            "any that is free, or another --host"
        ) from error


def _one_folder(inputs: list[str]) -> str | None:
    """The folder that holds the images."""
    folders = [path if os.path.isdir(path) else os.path.dirname(path) or "." for path in inputs]
    return os.path.commonpath([os.path.abspath(path) for path in folders]) if folders else None


def argument_parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--input",
        nargs="+",
        default=[],
        metavar="PATH",
        help="images, or folders of images; others can be dropped on the page",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="a shipped model (see dml models), or the folder of a training (default: that which "
        "the project used last, else nuclei)",
    )
    parser.add_argument(
        "--project",
        metavar="DIR",
        help=f"folder of all that is done (default: {PROJECT} beside the images)",
    )
    parser.add_argument(
        "--labels",
        metavar="PATH",
        help="annotations, of any form that `dml prepare` reads, of all images or some; images "
        "that were opened before keep what they have",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; others than this machine's own ask for a token, which is "
        "printed (default: %(default)s)",
    )
    parser.add_argument(
        "--port", type=int, default=8123, help="0: any that is free (default: %(default)s)"
    )
    add_reading_options(parser)
    parser.set_defaults(max_pixels=MAX_PIXELS)
    return parser
