"""The whole way of a user in a real browser, with a model that comes with the package."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

from dml_instance.data.datasets.shapes import draw_split
from dml_instance.images import read_labels

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install -e .[dev] for this")

# The browser talks to the page and to nothing else.
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no chromium: apt-get install chromium"
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes") / "raw"
    folder.mkdir()
    for index, (kind, scene) in enumerate(draw_split("test", 3, seed=7, size=128, difficulty=0.3)):
        cv2.imwrite(str(folder / f"{index}_{kind}.png"), scene.image[..., ::-1])
    return folder


class Server:
    """The command, as a user starts it."""

    def __init__(self, images):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}/"
        command = [
            "-m",
            "dml_instance.cli",
            "app",
            "--input",
            images,
            "--port",
            port,
            "--model",
            "shapes",
        ]
        root = Path(__file__).parents[2]
        path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)], env={**os.environ, "PYTHONPATH": path}
        )
        for _ in range(600):
            try:
                urllib.request.urlopen(self.address).close()
                return
            except OSError:
                assert self.process.poll() is None, "the server has ended"
                time.sleep(0.2)
        raise AssertionError("the server does not answer")

    def kill(self):
        self.process.kill()
        self.process.wait()


class User:
    """Somebody at the page; points are (row, column) in pixels of the image."""

    def __init__(self, page, pictures):
        self.page, self.pictures = page, pictures
        self.errors = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console",
            lambda line: self.errors.append(line.text) if line.type == "error" else None,
        )

    def state(self, expression):
        return self.page.evaluate(
            f"(() => {{ const s = window.dml.state; return {expression}; }})()"
        )

    def wait(self, condition):
        # Not the browser's own waiting, which evaluates text in the page: the page forbids that.
        for _ in range(1200):
            if self.page.evaluate(
                f"(() => {{ const s = window.dml?.state; return Boolean(s && ({condition})); }})()"
            ):
                return
            time.sleep(0.05)
        line = self.page.locator("#status").inner_text()
        raise AssertionError(f"{condition} never came; the page says: {line}")

    def open(self, address):
        self.page.goto(address)
        self.wait("s.image && s.bitmap && s.objects.size > 0")

    def place(self, row, column):
        left, top, zoom = self.page.evaluate(
            "(() => { const v = window.dml.view; return [v.left, v.top, v.zoom]; })()"
        )
        box = self.page.locator("#canvas").bounding_box()
        return box["x"] + left + column * zoom, box["y"] + top + row * zoom

    def click(self, row, column, **options):
        x, y = self.place(row, column)
        keys = options.pop("keys", [])
        for key in keys:
            self.page.keyboard.down(key)
        self.page.mouse.click(x, y)
        for key in keys:
            self.page.keyboard.up(key)

    def drag(self, start, end, key=None):
        if key:
            self.page.keyboard.down(key)
        self.page.mouse.move(*self.place(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.place(*end), steps=8)
        self.page.mouse.up()
        if key:
            self.page.keyboard.up(key)

    def numbers(self):
        return self.state("[...s.objects.keys()]")

    def area(self, number):
        return self.state(f"s.objects.get({number}).area")

    def picture(self, name):
        self.page.screenshot(path=str(self.pictures / f"{name}.png"))


@pytest.fixture
def user(tmp_path):
    pictures = Path(os.environ.get("DML_PICTURES", tmp_path))
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield User(browser.new_page(viewport={"width": 1200, "height": 800}), pictures)
        browser.close()


def test_a_user_corrects_learns_exports_and_comes_back(images, user):
    server = Server(images)
    try:
        the_whole_way(server, user)
        before = user.state("[...s.objects.values()].map((o) => [o.id, o.class, o.area])")
        server.kill()
        server = Server(images)
        user.open(server.address)
        assert before == user.state("[...s.objects.values()].map((o) => [o.id, o.class, o.area])")
        user.page.keyboard.press("Control+z")
        user.wait("s.image.redo")
        assert user.errors == []
    finally:
        server.kill()
    written = sorted(path.name for path in images.iterdir())
    assert written == ["0_rings.png", "1_bars.png", "2_wires.png", "dml_project"]


def the_whole_way(server, user):
    page = user.page
    user.open(server.address)
    user.picture("opened")
    first = user.numbers()
    assert user.state("s.image.undo") == "segment"

    # What was found is deleted and grows again from a click.
    row, column = user.state(f"s.objects.get({first[0]}).point")
    area = user.area(first[0])
    user.click(row, column)
    user.wait(f"s.selected.has({first[0]})")
    page.keyboard.press("Delete")
    user.wait(f"s.objects.size === {len(first) - 1}")
    user.click(row, column)
    user.wait(f"s.objects.size === {len(first)}")
    (grown,) = user.state("[...s.selected]")
    assert user.area(grown) == area
    user.picture("grown")

    # The slider: shown while it moves, kept where it is let go.
    slider = page.locator("#tau").bounding_box()
    height = slider["y"] + slider["height"] / 2
    page.mouse.move(slider["x"] + slider["width"] / 2, height)
    page.mouse.down()
    page.mouse.move(slider["x"] + slider["width"] * 0.85, height, steps=5)
    user.wait("s.preview && s.preview.tau > 0.7")
    assert user.state("s.preview.area") < area and user.numbers()[-1] == grown
    user.picture("slider")
    page.mouse.up()
    user.wait("s.image.undo === 'threshold' && !s.preview")
    (smaller,) = user.state("[...s.selected]")
    assert user.area(smaller) < area
    # By keys, too.
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    user.wait(f"s.selected.size === 1 && ![...s.selected].includes({smaller})")
    for _ in range(3):
        page.keyboard.press("Control+z")
    user.wait(f"s.objects.has({smaller}) && s.image.undo === 'threshold'")
    page.keyboard.press("Escape")
    user.click(row, column)
    user.wait(f"s.selected.has({smaller})")

    # A cut through the middle, and both halves are merged again.
    left, top, width, height = user.state(f"s.objects.get({smaller}).box")
    page.keyboard.press("c")
    middle = left + width / 2
    user.drag((top - 3, middle), (top + height + 3, middle))
    user.wait("s.image.undo === 'cut'")
    user.picture("cut")
    halves = user.state("[...s.selected]")
    assert len(halves) >= 2
    whole = sum(user.area(half) for half in halves)
    page.keyboard.press("m")
    user.wait("s.image.undo === 'merge'")
    (merged,) = user.state("[...s.selected]")
    assert user.area(merged) == whole
    page.keyboard.press("Control+z")
    user.wait("s.image.undo === 'cut'")
    page.keyboard.press("Control+Shift+Z")
    user.wait("s.image.undo === 'merge'")

    # The brush adds and takes away; a class by its number.
    page.keyboard.press("Escape")
    row, column = user.state(f"(() => {{ const [l, t, w, h] = s.objects.get({merged}).box;"
                             " return [t + h, l + w]; })()")  # fmt: skip
    page.locator("#objects li").last.click()
    user.wait("s.selected.size === 1")
    (chosen,) = user.state("[...s.selected]")
    area = user.area(chosen)
    user.drag((row + 2, column + 2), (row + 4, column + 6), key="Shift")
    user.wait("s.image.undo === 'paint'")
    (painted,) = user.state("[...s.selected]")
    assert user.area(painted) > area
    user.drag((row + 2, column + 2), (row + 4, column + 6), key="Alt")
    user.wait("s.image.undo === 'erase'")
    page.keyboard.press("2")
    user.wait("s.image.undo === 'class'")

    # A class that the model does not know.
    page.once("dialog", lambda dialog: dialog.accept(" spoke "))
    page.locator("#class").select_option(label="new class ...")
    user.wait("s.project.classes.includes('spoke')")
    user.wait("[...s.objects.values()].some((o) => o.class === 'spoke')")
    assert page.locator("#class option").count() == 10
    user.picture("new_class")

    # Why, and the seeds.
    page.keyboard.press("w")
    user.click(*user.state(f"s.objects.get({first[1]}).point"))
    user.wait("s.alike && !document.getElementById('why').hidden")
    assert "seediness" in page.locator("#why").inner_text()
    user.picture("why")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    user.wait("s.seeds && s.seeds.length > 3")
    page.mouse.move(*user.place(*user.state("[s.seeds[0].row, s.seeds[0].column]")))
    page.wait_for_selector("#status:has-text('number 1,')")
    user.picture("seeds")
    page.keyboard.press("s")
    user.wait("!s.seeds")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    user.picture("help")
    page.keyboard.press("Escape")

    # A few seconds of training, and both models on the next image.
    page.keyboard.press("l")
    page.locator("#minutes").fill("0.05")
    page.locator("#learn-start").click()
    page.wait_for_selector("#learn-stop", state="visible", timeout=60_000)
    page.wait_for_selector("#learn-compare", state="visible", timeout=240_000)
    user.picture("learnt")
    page.locator("#learn-compare").click()
    user.wait("s.compare && s.image.index === 1")
    user.picture("before_and_after")
    page.locator("#keep").click()
    user.wait("!s.compare && s.project.model === 'models/001'")

    # Results, and the page anew.
    page.keyboard.press("e")
    page.locator("#export-start").click()
    page.wait_for_selector("#export-state a")
    with page.expect_download() as started:
        page.locator("#export-state a").click()
    assert started.value.suggested_filename == "objects-001.zip"
    page.locator("#export [data-close]").click()
    page.goto("about:blank")
    user.open(f"{server.address}#0")
    assert user.state("s.image.undo") == "class"
    count = user.state("s.objects.size")
    exported = user.state("s.project.project") + "/exports/001/labels/0_rings.png"
    assert len(np.unique(read_labels(exported))) <= count + 1
