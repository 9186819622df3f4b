"""How long the page takes to answer: clicks, the slider, the brush, undo and the rest, by HTTP.

    OMP_NUM_THREADS=1 python -m benchmarks.page_clicks --output output/clicks.json

Starts ``dml app`` on drawn nuclei and asks it as the page does, one question
after the other on one connection. What is timed is from the question to the last byte of the
answer: the mask is grown and drawn, the edit is on the disk, and the outline is sent.
"""

import argparse
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from dml_instance.engine import machine
from dml_instance.files import write_json
from dml_instance.report import table

from .timing.scenes import drawn_cells

# Pixels; the radius of a nucleus.
RADIUS = 12.0


class PageClient:
    """One connection to the page, which was started for it."""

    def __init__(self, images: Path, model: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dml_instance.cli", "app", "--input", str(images)),
                *("--model", model, "--port", str(self._port)),
            ],
            stdout=subprocess.DEVNULL,
        )
        for _ in range(600):
            try:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port)
                self._connection.connect()
                return
            except OSError:
                if self._process.poll() is not None:
                    sys.exit("error: the page has ended; its lines are above")
                time.sleep(0.2)
        sys.exit("error: the page does not answer")

    def ask(self, path: str, content: dict | None = None) -> bytes:
        """The answer to a question, with content as JSON; the program ends for a refusal."""
        method, body = ("GET", None) if content is None else ("POST", json.dumps(content))
        self._connection.request(method, path, body)
        response = self._connection.getresponse()
        data = response.read()
        if response.status != 200:
            sys.exit(f"error: {path}: {data.decode()}")
        return data

    def close(self) -> None:
        """End the page."""
        self._connection.close()
        self._process.terminate()
        self._process.wait()


def timed(work: Callable[[], object]) -> float:
    """Milliseconds of a call."""
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


def measure(side: int, objects: int, clicks: int, model: str) -> list[dict]:
    """Milliseconds of every kind of question, on an image of ``side`` x ``side`` pixels.

    Returns:
        A row for each: ``act``, ``side``, ``objects`` in the image, ``count`` of questions,
        ``ms`` (median), ``ms_95`` (95th percentile) and ``ms_most``.
    """
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "raw"
        images.mkdir()
        image = drawn_cells(side, side, objects, radius=RADIUS)
        cv2.imwrite(str(images / "nuclei.png"), image)
        page = PageClient(images, model)
        try:
            times = {"open, with the network": [timed(lambda: page.ask("/api/images/0"))]}
            found = json.loads(page.ask("/api/images/0"))["objects"]
            times |= _clicks(page, found, side, clicks)
        finally:
            page.close()
    return [
        {
            "act": act,
            "side": side,
            "objects": len(found),
            "count": len(ms),
            "ms": round(float(np.median(ms)), 2),
            "ms_95": round(float(np.quantile(ms, 0.95)), 2),
            "ms_most": round(max(ms), 2),
        }
        for act, ms in times.items()
    ]


def _clicks(page: PageClient, found: list[dict], side: int, clicks: int) -> dict[str, list[float]]:
    rng = np.random.default_rng(0)
    one = "/api/images/0"
    times: dict[str, list[float]] = {}

    def act(name: str, path: str, content: dict | None = None) -> dict:
        start = time.perf_counter()
        data = page.ask(f"{one}/{path}", content)
        times.setdefault(name, []).append(1e3 * (time.perf_counter() - start))
        return json.loads(data) if content is not None else {}

    for index in range(clicks):
        row, column = found[index % len(found)]["point"]
        (grown,) = act("click on a nucleus", "grow", {"row": row, "column": column})["added"]
        for tau in rng.uniform(0.2, 0.8, 3):
            asked = {"id": grown["id"], "tau": float(tau), "keep": False}
            act("slider, shown", "regrow", asked)
        asked = {"id": grown["id"], "tau": 0.4, "keep": True}
        (kept,) = act("slider, kept", "regrow", asked)["added"]
        stroke = (np.array([[row, column]]) + np.linspace(0, 20, 20)[:, None]).tolist()
        painting = {"id": kept["id"], "points": stroke, "radius": 6, "class": kept["class"]}
        act("brush", "paint", painting)
        act("undo", "undo", {})
        act("redo", "redo", {})
    for row, column in rng.uniform(0, side, (clicks, 2)).tolist():
        act("click anywhere", "grow", {"row": row, "column": column})
        act("undo", "undo", {})
        act("why: similarity", f"similarity?row={row}&column={column}")
    for _ in range(3):
        times.setdefault("open again", []).append(timed(lambda: page.ask(one)))
        times.setdefault("pixels", []).append(timed(lambda: page.ask(f"{one}/pixels")))
    return times


def main(args: argparse.Namespace) -> None:
    rows = [row for side in args.sides for row in _rows_of(side, args)]
    columns = ("act", "side", "objects", "count", "ms", "ms_95", "ms_most")
    print(table([[row[name] for name in columns] for row in rows], list(columns)))
    command = "OMP_NUM_THREADS=1 python -m benchmarks.page_clicks " + " ".join(sys.argv[1:])
    write_json(args.output, {"command": command, "machine": machine(), "rows": rows})


def _rows_of(side: int, args: argparse.Namespace) -> list[dict]:
    # As densely as in an image of 1,024 x 1,024 pixels.
    return measure(side, round(args.objects * (side / 1024) ** 2), args.clicks, args.model)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="JSON file to write")
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[1024], metavar="N", help="(default: 1024)"
    )
    parser.add_argument(
        "--objects", type=int, default=400, help="in 1,024 x 1,024 pixels (default: %(default)s)"
    )
    parser.add_argument("--clicks", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument("--model", default="nuclei", help="(default: %(default)s)")
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())
