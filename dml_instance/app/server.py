"""The routes of the page: what is asked is checked for its form, and handed on.

Answers are JSON; an error is ``{"error": line}`` with status 400. Points are (row, column) in
pixels of the image.
"""

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..engine import message_of
from ..errors import FileError
from . import exchange
from .gallery import PageError, in_page_words
from .security import LOCAL_HOSTS, Guard
from .teaching import Teacher
from .workspace import Workspace

STATIC = Path(__file__).parent / "static"

# Of what is asked; images and annotations that are sent may be larger.
_LARGEST_QUESTION = 2**21
LARGEST_FILE = 2**29


def build_app(
    workspace: Workspace,
    teacher: Teacher,
    *,
    token: str | None = None,
    largest_file: int = LARGEST_FILE,
) -> Starlette:
    """The page as an ASGI application; with it a training and the project end.

    Args:
        workspace: that it shows.
        teacher: of its model.
        token: that has to be known; None: who can reach this machine's own addresses needs none.
        largest_file: bytes of a file that is sent.
    """
    editor = workspace.editor

    def answer(work: Callable[[int, dict], dict]):
        """A route that hands an image and what is asked to a function, in a thread."""

        async def route(request: Request) -> Response:
            try:
                asked = await _question(request)
            except PageError as error:
                return _refused(error)
            index = request.path_params.get("index", 0)
            return await _answered(lambda: work(index, asked))

        return route

    def act(name: str, work: Callable[[int, dict], dict]) -> Route:
        return Route(f"/api/images/{{index:int}}/{name}", answer(work), methods=["POST"])

    def ask(path: str, work: Callable[[int, dict], dict]) -> Route:
        return Route(path, answer(work), methods=["GET"])

    async def picture(request: Request) -> Response:
        index = request.path_params["index"]
        return await _answered(
            lambda: Response(workspace.gallery.picture(index), media_type="image/png")
        )

    async def similarity(request: Request) -> Response:
        index, asked = request.path_params["index"], dict(request.query_params)

        def work() -> Response:
            data, cell = workspace.similarity(index, _point(asked))
            headers = {"x-cell": f"{cell[0]} {cell[1]}"}
            return Response(data, media_type="image/png", headers=headers)

        return await _answered(work)

    async def upload(request: Request) -> Response:
        name = request.query_params.get("name", "")
        return await _received(
            request,
            workspace.project.folder,
            largest_file,
            lambda part: {"index": workspace.gallery.add_upload(name, part)},
        )

    async def take(request: Request) -> Response:
        index, name = request.path_params["index"], request.query_params.get("name", "")
        class_name = request.query_params.get("class")
        return await _received(
            request,
            workspace.project.folder,
            largest_file,
            lambda part: exchange.import_file(workspace, index, name, part, class_name),
        )

    async def packed(request: Request) -> Response:
        name = request.path_params["name"]
        return await _answered(
            lambda: FileResponse(exchange.packed(workspace, name), filename=f"objects-{name}.zip")
        )

    async def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    one = "/api/images/{index:int}"
    routes = [
        Route("/", page),
        Mount("/static", StaticFiles(directory=STATIC)),
        ask("/api/project", lambda index, asked: workspace.overview()),
        ask(one, lambda index, asked: workspace.opened(index)),
        Route(f"{one}/pixels", picture),
        Route(f"{one}/similarity", similarity),
        ask(f"{one}/seeds", lambda index, asked: {"seeds": workspace.seeds(index)}),
        ask(f"{one}/why", lambda index, asked: workspace.why(index, _point(asked))),
        ask(f"{one}/compare", lambda index, asked: teacher.compare(index)),
        act("segment", lambda index, asked: editor.segment(index)),
        act("grow", lambda index, asked: editor.grow(index, _point(asked), asked.get("class"))),
        act(
            "regrow",
            lambda index, asked: editor.regrow(
                index, _whole(asked, "id"), _number(asked, "tau"), keep=bool(asked.get("keep"))
            ),
        ),
        act(
            "paint",
            lambda index, asked: editor.paint(
                index,
                None if asked.get("id") is None else _whole(asked, "id"),
                _points(asked),
                _number(asked, "radius"),
                erase=bool(asked.get("erase")),
                class_name=str(asked.get("class")),
            ),
        ),
        act("merge", lambda index, asked: editor.merge(index, _ids(asked))),
        act("cut", lambda index, asked: editor.cut(index, _whole(asked, "id"), _points(asked))),
        act("delete", lambda index, asked: editor.delete(index, _ids(asked))),
        act(
            "class",
            lambda index, asked: editor.set_class(index, _ids(asked), str(asked.get("class"))),
        ),
        act("undo", lambda index, asked: editor.undo(index)),
        act("redo", lambda index, asked: editor.redo(index)),
        act("complete", lambda index, asked: editor.set_complete(index, bool(asked.get("value")))),
        Route(
            "/api/classes",
            answer(lambda index, asked: workspace.add_class(str(asked.get("name", "")))),
            methods=["POST"],
        ),
        Route(f"{one}/import", take, methods=["PUT"]),
        Route("/api/upload", upload, methods=["PUT"]),
        Route(
            "/api/export",
            answer(lambda index, asked: exchange.export(workspace, _strings(asked, "forms"))),
            methods=["POST"],
        ),
        Route("/api/exports/{name}.zip", packed),
        ask("/api/learning", lambda index, asked: teacher.told()),
        Route(
            "/api/learning",
            answer(
                lambda index, asked: teacher.start(
                    _number(asked, "minutes"), _number(asked, "share")
                )
            ),
            methods=["POST"],
        ),
        Route("/api/learning/stop", answer(lambda index, asked: teacher.stop()), methods=["POST"]),
        Route(
            "/api/learning/decide",
            answer(lambda index, asked: teacher.decide(bool(asked.get("keep")))),
            methods=["POST"],
        ),
    ]
    hosts = LOCAL_HOSTS if token is None else None
    guard = Middleware(Guard, hosts=hosts, token=token)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette):
        yield
        teacher.stop()
        workspace.project.close()

    return Starlette(routes=routes, middleware=[guard], lifespan=lifespan)


def _refused(error: Exception) -> Response:
    # Where no file is named, as on a full disk, the reason alone, without its number.
    line = getattr(error, "strerror", None) if getattr(error, "filename", None) is None else None
    return JSONResponse({"error": in_page_words(line or message_of(error))}, status_code=400)


async def _answered(work: Callable[[], dict | Response]) -> Response:
    """What a function gives, in a thread; or the line of its error."""
    try:
        found = await run_in_threadpool(work)
    except (PageError, FileError, OSError) as error:
        # After a full disk, or an image that has gone, the page goes on.
        return _refused(error)
    return JSONResponse(found) if isinstance(found, dict) else found


async def _question(request: Request) -> dict:
    """The JSON object or the query of a request, empty where it is neither; PageError for more than
    anybody asks."""
    if request.method == "GET":
        return dict(request.query_params)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_QUESTION:
            raise PageError(f"what is asked has at most {_LARGEST_QUESTION} bytes")
    try:
        asked = json.loads(body or b"{}")
    except (RecursionError, ValueError):
        return {}
    return asked if isinstance(asked, dict) else {}


async def _received(
    request: Request, folder: str, largest: int, work: Callable[[str], dict]
) -> Response:
    """Write what is sent into a file of the project and hand that on; it is the function's to
    remove."""
    part, length = "", 0
    try:
        handle, part = tempfile.mkstemp(prefix=".received-", dir=folder)
        with os.fdopen(handle, "wb") as file:
            async for chunk in request.stream():
                length += len(chunk)
                if length > largest:
                    break
                await run_in_threadpool(file.write, chunk)
        if length > largest:
            raise PageError(f"a file that is sent has at most {largest} bytes")
        return await _answered(lambda: work(part))
    except (PageError, OSError) as error:
        return _refused(error)
    finally:
        if os.path.exists(part):
            os.remove(part)


def _number(asked: dict, name: str) -> float:
    try:
        value = float(asked[name])
    except (KeyError, OverflowError, TypeError, ValueError):
        raise PageError(f"{name} is a number") from None
    if not math.isfinite(value):
        raise PageError(f"{name} is a number")
    return value


def _whole(asked: dict, name: str) -> int:
    return int(_number(asked, name))


def _point(asked: dict) -> tuple[float, float]:
    return _number(asked, "row"), _number(asked, "column")


def _points(asked: dict) -> list[tuple[float, float]]:
    points = asked.get("points")
    if not isinstance(points, list):
        raise PageError("points is a list of (row, column)")
    found = []
    for point in points:
        if not isinstance(point, list) or len(point) != 2:
            raise PageError("points is a list of (row, column)")
        found.append(_point({"row": point[0], "column": point[1]}))
    return found


def _ids(asked: dict) -> list[int]:
    ids = asked.get("ids")
    if not isinstance(ids, list) or not ids or not all(type(number) is int for number in ids):
        raise PageError("ids is a list of numbers of objects: choose an object first")
    return ids


def _strings(asked: dict, name: str) -> list[str]:
    values = asked.get(name)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise PageError(f"{name} is a list of words")
    return values
