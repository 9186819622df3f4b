"""The page by its addresses: what each answers, what it refuses, and what is left on the disk."""

import io
import json
import os
import tempfile
import time
import zipfile

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from dml_instance.app import gallery, job, teaching
from dml_instance.errors import FileError
from dml_instance.images import image_size, read_labels
from toy_page import BLOCKS, SIZE, draw_blocks, teacher_of, workspace_in

testclient = pytest.importorskip("starlette.testclient", reason="pip install -e .[dev] for these")

from dml_instance.app.server import build_app  # noqa: E402


def block(index):
    top, left, bottom, right, _ = BLOCKS[index]
    mask = np.zeros(SIZE, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


class Page:
    """A client of a page, and what lies behind it."""

    def __init__(self, folder, largest_file=2**20, **rules):
        self.workspace = workspace_in(folder, **rules)
        self.teacher = teacher_of(self.workspace)
        app = build_app(self.workspace, self.teacher, largest_file=largest_file)
        self.client = testclient.TestClient(app, base_url="http://127.0.0.1:8123")
        self.folder = folder

    def get(self, path, **query):
        return answer_of(self.client.get(path, params=query))

    def post(self, path, **content):
        return answer_of(self.client.post(path, json=content))

    def act(self, name, index=0, **content):
        return self.post(f"/api/images/{index}/{name}", **content)

    def put(self, path, data, name):
        path, _, query = path.partition("?")
        asked = {"name": name, **dict(part.split("=") for part in query.split("&") if query)}
        return answer_of(self.client.put(path, content=data, params=asked))

    def objects(self, index=0):
        """Masks by number, as the project has them."""
        key = self.workspace.gallery[index].key
        state = self.workspace.project.state(key)
        return {n: coco_mask.decode(dict(m.mask)).astype(bool) for n, m in state.objects.items()}

    def error(self, response):
        assert response.status_code == 400, response.text
        return response.json()["error"]

    def close(self):
        self.teacher.stop()
        self.workspace.project.close()


def answer_of(response):
    return response.json() if response.status_code == 200 else response


@pytest.fixture
def page(tmp_path):
    opened = Page(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def open_page(page):
    page.get("/api/images/0")
    return page


def test_images_are_listed_and_opened_with_what_the_model_finds(page):
    listed = page.get("/api/project")
    assert [image["name"] for image in listed["images"]] == ["a.png", "b.png", "sub/c.png"]
    assert listed["classes"] == ["square", "disc", "(ignored)"]
    assert not any(image["seen"] for image in listed["images"])
    opened = page.get("/api/images/0")
    assert (opened["height"], opened["width"]) == SIZE
    assert [item["class"] for item in opened["objects"]] == ["square"] * 3
    assert [item["area"] for item in opened["objects"]] == [block(i).sum() for i in range(3)]
    assert opened["undo"] == "segment" and not opened["corrected"]
    # A second look asks the model no more, and the objects stay the same.
    assert page.get("/api/images/0")["objects"] == opened["objects"]
    pixels = page.client.get("/api/images/0/pixels")
    assert pixels.headers["content-type"] == "image/png"
    decoded = cv2.imdecode(np.frombuffer(pixels.content, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded[..., 0], cv2.imread(page.workspace.gallery[0].file, 0))


def test_a_click_grows_what_is_similar_and_another_threshold_changes_it(open_page):
    page = open_page
    page.act("delete", ids=[1, 2, 3])
    grown = page.act("grow", row=20, column=10)
    ((number, item),) = [(item["id"], item) for item in grown["added"]]
    np.testing.assert_array_equal(page.objects()[number], block(2))
    assert (item["class"], item["tau"]) == ("square", 0.5)
    shown = page.act("regrow", id=number, tau=0.001, keep=False)["preview"]
    assert shown["area"] == block(2).sum() and list(page.objects()) == [number]
    changed = page.act("regrow", id=number, tau=0.3, keep=True)
    assert changed["removed"] == [number] and changed["added"][0]["tau"] == 0.3
    disc = page.act("grow", row=5, column=25, **{"class": "disc"})["added"][0]
    assert disc["class"] == "disc"


def test_objects_are_painted_cut_merged_classed_and_deleted_and_all_is_undone(open_page):
    page = open_page
    before = page.objects()
    painted = page.act("paint", id=1, points=[[7, 17]], radius=2, **{"class": "square"})
    assert painted["added"][0]["area"] > before[1].sum()
    again = page.act("regrow", id=painted["added"][0]["id"], tau=0.5)
    assert "did not grow from a point" in page.error(again)  # it would lose the paint
    erased = page.act(
        "paint", id=painted["added"][0]["id"], points=[[7, 17]], radius=3, erase=True,
        **{"class": "square"},
    )  # fmt: skip
    assert erased["added"][0]["area"] < painted["added"][0]["area"]
    new = page.act("paint", id=None, points=[[1, 1], [1, 8]], radius=1, **{"class": "disc"})
    assert new["removed"] == [] and new["added"][0]["class"] == "disc"
    assert new["added"][0]["score"] is None
    halves = page.act("cut", id=3, points=[[15, 14], [1e30, 14]])["added"]
    assert sum(half["area"] for half in halves) == before[3].sum()
    merged = page.act("merge", ids=[half["id"] for half in halves])["added"][0]
    np.testing.assert_array_equal(page.objects()[merged["id"]], before[3])
    assert page.act("class", ids=[2], **{"class": "disc"})["added"][0]["class"] == "disc"
    page.act("delete", ids=[merged["id"]])
    names = []
    while (undone := page.act("undo"))["undo"] != "segment":
        names.append(undone["undo"])
    assert names == ["class", "merge", "cut", "paint", "erase", "paint"]
    assert page.objects().keys() == before.keys()
    while page.act("redo")["redo"]:
        pass
    assert merged["id"] not in page.objects() and len(page.objects()) == 3


def test_all_of_an_object_can_be_rubbed_out(open_page):
    gone = open_page.act(
        "paint", id=1, points=[[7, 10]], radius=20, erase=True, **{"class": "square"}
    )
    assert gone == {**gone, "removed": [1], "added": []}


@pytest.mark.parametrize(
    ("act", "content", "message"),
    [
        ("grow", {"row": -1, "column": 0}, "outside of the image"),
        ("grow", {"row": 1}, "column is a number"),
        ("grow", {"row": 1, "column": "nan"}, "column is a number"),
        ("grow", {"row": 1, "column": 1, "class": "dog"}, "no class 'dog'"),
        ("regrow", {"id": 1, "tau": 1.0, "keep": True}, "strictly between 0 and 1"),
        ("regrow", {"id": 9, "tau": 0.5}, "no object 9"),
        ("merge", {"ids": [1]}, "two objects or more"),
        ("merge", {"ids": [1, 99]}, "no object 99"),
        ("merge", {"ids": "all"}, "choose an object first"),
        ("delete", {"ids": []}, "choose an object first"),
        ("delete", {"ids": [1, 99]}, "not there any more"),
        ("cut", {"id": 1, "points": [[0, 0]]}, "a line has 2"),
        ("cut", {"id": 1, "points": [[0, 0], [1, 1]]}, "does not divide"),
        ("cut", {"id": 1, "points": [[0, 0], [1, None]]}, "column is a number"),
        ("cut", {"id": 1, "points": [[0]]}, "list of"),
        ("paint", {"id": 1, "points": [], "radius": 1, "class": "square"}, "1 to"),
        ("paint", {"id": 1, "points": [[1, 1]], "radius": 0, "class": "square"}, "radius up to"),
        ("paint", {"points": [[99, 99]], "radius": 1, "class": "square"}, "inside of the image"),
        ("paint", {"points": [[9, 9]], "radius": 1, "class": "dog"}, "no class 'dog'"),
        ("class", {"ids": [1], "class": "dog"}, "no class 'dog'"),
        ("redo", {}, "nothing to do again"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(open_page, act, content, message):
    before = open_page.objects()
    assert message in open_page.error(open_page.act(act, **content))
    after = open_page.objects()
    assert after.keys() == before.keys()
    assert open_page.get("/api/images/0")["undo"] == "segment"


def test_an_image_that_is_not_there_and_a_broken_one_are_one_line(page):
    assert "there is no image 7" in page.error(page.get("/api/images/7"))
    (page.folder / "raw" / "b.png").write_bytes(b"no image")
    assert "b.png" in page.error(page.get("/api/images/1"))
    assert page.get("/api/images/0")["objects"]
    assert page.client.get("/api/images/x").status_code == 404
    assert page.client.get("/static/%2e%2e/server.py").status_code == 404


def test_why_and_seeds(open_page):
    told = open_page.get("/api/images/0/why", row=20, column=10)
    assert told["class"] == "square" and 0.7 < told["seediness"] < 0.9
    assert told["account"]["reason"] == "it is an object" and told["nearest"] == 0
    assert set(told["classes"]) == {"square", "disc"}
    answered = open_page.client.get("/api/images/0/similarity", params={"row": 20, "column": 10})
    assert answered.headers["x-cell"] == "1.0 1.0"
    alike = cv2.imdecode(np.frombuffer(answered.content, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(alike == 255, block(2))
    assert open_page.get("/api/images/0/seeds")["seeds"][0]["class"] == "square"
    for path in ("why", "similarity"):
        refused = open_page.get(f"/api/images/0/{path}", row=30, column=1)
        assert "outside of the image" in open_page.error(refused)


def test_reopening_goes_on_where_it_was(open_page):
    open_page.act("grow", row=1, column=1)
    open_page.act("complete", value=True)
    before = open_page.get("/api/images/0")
    open_page.close()
    again = Page(open_page.folder)
    assert again.get("/api/images/0") == before and before["complete"]
    assert again.act("undo")["redo"] == "grow"
    again.close()


def test_exports_are_what_is_there(open_page):
    page = open_page
    page.act("class", ids=[1], **{"class": "disc"})
    page.act("paint", id=None, points=[[1, 1]], radius=1, **{"class": "(ignored)"})
    page.get("/api/images/2")
    forms = ["labels", "labels32", "csv", "coco", "geojson", "rois"]
    told = page.post("/api/export", forms=forms)
    assert (told["images"], told["objects"]) == (2, 6)
    packed = page.client.get(f"/api/exports/{told['name']}.zip")
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        names = set(archive.namelist())
        coco = json.loads(archive.read("instances.json"))
        (page.folder / "labels.png").write_bytes(archive.read("labels/a.png"))
    assert {"labels/a.png", "labels/sub/c.png", "labels32/a.tif", "rois/a.zip"} <= names
    labels = read_labels(str(page.folder / "labels.png"))
    assert labels.shape == SIZE and len(np.unique(labels)) == 4
    for index in range(3):
        assert len(np.unique(labels[block(index)])) == 1
    of_a = [a for a in coco["annotations"] if a["image_id"] == 1]
    names = {c["id"]: c["name"] for c in coco["categories"]}
    found = {a["area"]: names[a["category_id"]] for a in of_a}
    assert found == {block(0).sum(): "disc", block(1).sum(): "square", block(2).sum(): "square"}
    assert page.post("/api/export", forms=["csv"])["name"] == "002"
    # Nothing lies beside the images.
    assert sorted(path.name for path in (page.folder / "raw").iterdir()) == [
        "a.png", "b.png", "sub",
    ]  # fmt: skip


@pytest.fixture
def changed_page(open_page):
    """The first of three corrected images was replaced by a smaller one, the second has gone."""
    for index in range(3):
        open_page.get(f"/api/images/{index}")
        open_page.act("delete", index, ids=[1])
    draw_blocks(open_page.folder / "raw" / "a.png", size=(20, 25))
    (open_page.folder / "raw" / "b.png").unlink()
    return open_page


def test_an_image_of_another_size_than_its_objects_is_refused_by_name(changed_page):
    page = changed_page
    before = page.objects()
    acts = [
        ("segment", {}), ("grow", {"row": 1, "column": 1}), ("undo", {}), ("redo", {}),
        ("regrow", {"id": 2, "tau": 0.3, "keep": False}), ("delete", {"ids": [2]}),
        ("paint", {"id": 2, "points": [[5, 5]], "radius": 2, "class": "square"}),
        ("cut", {"id": 3, "points": [[15, 14], [29, 14]]}), ("merge", {"ids": [2, 3]}),
        ("class", {"ids": [2], "class": "disc"}), ("complete", {"value": True}),
    ]  # fmt: skip
    for refused in (page.get("/api/images/0"), *(page.act(name, **asked) for name, asked in acts)):
        message = page.error(refused)
        assert message.startswith("a.png is 20 x 25 pixels now") and "30 x 36" in message
    labels = cv2.imencode(".png", np.ones((20, 25), np.uint8))[1].tobytes()
    assert "a.png is 20 x 25" in page.error(
        page.put("/api/images/0/import?class=disc", labels, "labels.png")
    )
    # The objects are kept, and are there with the image that they were drawn on.
    draw_blocks(page.folder / "raw" / "a.png")
    after = page.objects()
    assert after.keys() == before.keys() == {2, 3}
    assert [item["id"] for item in page.get("/api/images/0")["objects"]] == [2, 3]
    assert page.act("undo")["undo"] == "segment"


def test_the_header_of_an_image_is_read_once_while_the_file_is_the_same(open_page, monkeypatch):
    page, read = open_page, []

    def counted(file, reading):
        read.append(file)
        return image_size(file, reading)

    monkeypatch.setattr(gallery, "image_size", counted)
    for number in (1, 2):
        page.act("delete", ids=[number])
    assert read == []
    draw_blocks(page.folder / "raw" / "a.png", BLOCKS[:1])
    for _ in range(2):
        page.act("undo")
    assert read == [str(page.folder / "raw" / "a.png")]


def test_exports_leave_out_what_changed_or_has_gone_and_say_so(changed_page):
    page = changed_page
    told = page.post("/api/export", forms=["labels", "coco"])
    assert (told["images"], told["objects"]) == (1, 2)
    of_a, of_b = told["remarks"]
    assert of_a.startswith("left out: a.png is 20 x 25") and "b.png" in of_b
    (page.folder / "raw" / "sub" / "c.png").unlink()
    assert "left out: a.png" in page.error(page.post("/api/export", forms=["labels"]))


def test_a_training_leaves_out_what_changed_or_has_gone_and_says_so(changed_page, monkeypatch):
    page = changed_page
    page.post("/api/learning", minutes=0.01, share=1)
    told = wait_for(page, "done")
    assert ["a.png is 20 x 25" in told["remarks"][0], "b.png" in told["remarks"][1]] == [True] * 2
    folder = page.folder / "project" / "models" / "001" / job.DATA
    data = json.loads((folder / "annotations" / "instances_train.json").read_text())
    assert [image["file_name"] for image in data["images"]] == ["00002.png"]
    path = page.folder / "raw" / "sub" / "c.png"
    with monkeypatch.context() as patch:
        # A header without pixels: no empty model is left.
        def broken(file, reading):
            raise FileError(f"cannot read {file}")

        patch.setattr(teaching, "read_image", broken)
        refused = page.error(page.post("/api/learning", minutes=0.01, share=1))
    assert refused == f"cannot read {path}"
    assert [model.name for model in path.parents[2].glob("project/models/*")] == ["001"]
    path.unlink()
    refused = page.error(page.post("/api/learning", minutes=0.01, share=1))
    assert "no object was corrected" in refused and "left out: a.png" in refused


def test_exports_that_cannot_be_are_refused(page):
    assert "no image was looked at" in page.error(page.post("/api/export", forms=["csv"]))
    assert "choose forms" in page.error(page.post("/api/export", forms=["doc"]))
    assert "choose forms" in page.error(page.post("/api/export", forms=[]))
    assert "no export" in page.error(page.get("/api/exports/007.zip"))
    for name in ("..", "%2e%2e", "..%2fproject", "\u0661"):
        assert page.client.get(f"/api/exports/{name}.zip").status_code in (400, 404)


def test_label_images_and_coco_are_imported(open_page):
    page = open_page
    labels = np.zeros(SIZE, np.uint16)
    labels[block(0)], labels[block(2)] = 7, 900
    data = cv2.imencode(".png", labels)[1].tobytes()
    refused = page.error(page.put("/api/images/0/import", data, "my labels.png"))
    assert "names no class" in refused
    told = page.put("/api/images/0/import?class=disc", data, "my labels.png")
    assert told == {
        "images": 1, "objects": 2, "others": 0, "without": 2, "classes": [], "doubts": [],
    }  # fmt: skip
    masks = list(page.objects().values())
    np.testing.assert_array_equal(masks, [block(0), block(2)])
    assert {o["class"] for o in page.get("/api/images/0")["objects"]} == {"disc"}
    assert page.act("undo")["redo"] == "import"
    rle = coco_mask.encode(np.asfortranarray(block(1), dtype=np.uint8))
    annotation = {
        "id": 1, "image_id": 5, "category_id": 3, "bbox": [20, 3, 10, 11], "area": 110,
        "iscrowd": 0, "segmentation": {"size": list(SIZE), "counts": rle["counts"].decode()},
    }  # fmt: skip
    coco = {
        "images": [{"id": 5, "file_name": "sub/c.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [annotation],
        "categories": [{"id": 3, "name": "disc"}],
    }
    told = page.put("/api/images/0/import", json.dumps(coco), "coco.json")
    assert told["objects"] == 1
    (mask,) = page.objects(2).values()
    np.testing.assert_array_equal(mask, block(1))
    coco["categories"][0]["name"] = "dog"
    refused = page.error(page.put("/api/images/0/import", json.dumps(coco), "coco.json"))
    assert "coco.json has objects of class 'dog'" in refused
    refused = page.error(page.put("/api/images/0/import", b"{}", "../../etc/x.json"))
    assert "holds nothing that is known" in refused
    small = cv2.imencode(".png", labels[:9])[1].tobytes()
    path = "/api/images/0/import?class=disc"
    assert "height, width" in page.error(page.put(path, small, "a.png"))
    left = {path.name for path in (page.folder / "project").iterdir()}
    assert left == {"project.json", "actions.jsonl"}


@pytest.mark.parametrize("is_sent", [False, True])
def test_an_export_is_imported_again_with_all_its_images(tmp_path, is_sent):
    """Of a folder with one image in a sub-folder, and of images that were sent with its name."""
    block_image = draw_blocks(tmp_path / "raw" / "sub" / "c.png").read_bytes()
    page = Page(tmp_path)
    for name in ("c.png", "d.png") if is_sent else ():
        page.put("/api/upload", block_image, name)
    images = page.get("/api/project")["images"]
    assert [image["name"] for image in images] == [
        "sub/c.png", *(["uploads/c.png", "uploads/d.png"] if is_sent else []),
    ]  # fmt: skip
    for index in range(len(images)):
        page.get(f"/api/images/{index}")
        page.act("delete", index, ids=[1 + index % 3])
    before = [list(page.objects(index).values()) for index in range(len(images))]
    name = page.post("/api/export", forms=["coco"])["name"]
    coco = (tmp_path / "project" / "exports" / name / "instances.json").read_bytes()
    told = page.put("/api/images/0/import", coco, "mine.json")
    assert (told["images"], told["others"]) == (len(images), 0)
    for index, masks in enumerate(before):
        np.testing.assert_array_equal(list(page.objects(index).values()), masks)
        assert set(page.objects(index)) == {4, 5}
    if is_sent:  # a plain name is that of an image that was sent where there is no other
        told = page.put("/api/images/0/import", coco.replace(b"uploads/d", b"d"), "mine.json")
        assert told["images"] == 3
    refused = page.error(
        page.put("/api/images/0/import", coco.replace(b"sub/c", b"sub/x"), "mine.json")
    )
    assert "sub/x.png" in refused and str(tmp_path / "project") not in refused
    page.close()
    left = {path.name for path in (tmp_path / "project").iterdir()}
    assert left <= {"project.json", "actions.jsonl", "uploads", "exports"}


def test_what_looks_like_a_mistake_in_an_import_is_said_in_words_of_the_page(open_page):
    page = open_page
    path = "/api/images/0/import?class=disc"
    mask = np.any([block(index) for index in range(3)], axis=0) * np.uint8(255)
    told = page.put(path, cv2.imencode(".png", mask)[1].tobytes(), "mask.png")
    assert told["objects"] == 1 and len(page.objects()) == 1
    (doubt,) = told["doubts"]
    assert doubt.startswith("mask.png: 255 is in 3 pieces")
    assert "of which dml prepare --number-pieces makes each" in doubt
    page.act("undo")
    assert len(page.objects()) == 3
    smooth = cv2.GaussianBlur(mask, (0, 0), 2)
    refused = page.put(path, cv2.imencode(".png", smooth)[1].tobytes(), "mask.png")
    assert "mask.png has smooth edges" in page.error(refused)
    assert " dml prepare --number-pieces takes what is" in page.error(refused)
    lost = {"version": "5.0", "imagePath": "x/no.png", "imageData": None, "shapes": []}
    refused = page.error(page.put("/api/images/0/import", json.dumps(lost), "lost.json"))
    assert "no.png" in refused and "--input" in refused and "--images" not in refused


def test_images_are_sent_under_harmless_names(page):
    sent = draw_blocks(page.folder / "sent.png").read_bytes()
    for name, stored in [
        ("x.png", "x.png"),
        ("x.png", "x-2.png"),
        ("../../../evil.png", "evil.png"),
        ("C:\\temp\\y z.png", "y_z.png"),
        ("..png", "png.png"),
    ]:
        told = page.put("/api/upload", sent, name)
        if stored == "png.png":  # nothing is left of that name but its ending
            assert "no name of an image" in page.error(told)
            continue
        key = page.get("/api/project")["images"][told["index"]]["name"]
        assert key == f"uploads/{stored}"
        assert (page.folder / "project" / "uploads" / stored).read_bytes() == sent
    assert len(page.get("/api/images/3")["objects"]) == 3
    assert "no name of an image" in page.error(page.put("/api/upload", sent, "run.sh"))
    assert "it is no image" in page.error(page.put("/api/upload", b"text", "z.png"))
    assert "at most" in page.error(page.put("/api/upload", b"0" * (2**20 + 1), "z.png"))
    left = {path.name for path in (page.folder / "project").iterdir()}
    assert left == {"project.json", "actions.jsonl", "uploads"}
    page.close()
    again = Page(page.folder)
    assert len(again.get("/api/project")["images"]) == 7
    again.close()


def test_images_with_too_many_pixels_are_refused(tmp_path):
    page = Page(tmp_path, max_pixels=SIZE[0] * SIZE[1])
    assert page.get("/api/images/0")["objects"]
    large = draw_blocks(tmp_path / "large.png", size=(40, 40)).read_bytes()
    refused = page.error(page.put("/api/upload", large, "large.png"))
    assert "more than 1080" in refused and "raise --max-pixels of dml app where" in refused
    page.close()


def test_a_question_that_is_too_long_or_no_json_is_refused(open_page):
    for act, content, message in (
        ("undo", b"[" + b"0," * 2**20 + b"0]", "at most"),
        ("grow", b"{", "row is a number"),
        ("grow", b"[1, 2]", "row is a number"),
        ("grow", b"[" * 200_000, "row is a number"),
        ("grow", b'{"row": 1' + b"0" * 400 + b', "column": 1}', "row is a number"),
    ):
        response = open_page.client.post(f"/api/images/0/{act}", content=content)
        assert message in open_page.error(response)


def test_a_full_disk_and_a_broken_image_are_one_line(open_page, monkeypatch):
    page = open_page
    name = page.post("/api/export", forms=["csv"])["name"]

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "mkstemp", full)
        patch.setattr(tempfile, "TemporaryDirectory", full)
        for answer in (
            page.put("/api/upload", b"x", "x.png"), page.client.get(f"/api/exports/{name}.zip")
        ):  # fmt: skip
            assert page.error(answer) == "No space left on device"
    # Received, but the disk has no room for the last bytes.
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", lambda handle, mode: _Full(handle, mode))
        assert "No space left" in page.error(page.put("/api/upload", b"x", "x.png"))
    left = {path.name for path in (page.folder / "project").iterdir()}
    assert left == {"project.json", "actions.jsonl", "exports"}
    (page.folder / "raw" / "b.png").write_bytes(b"no image")
    for path in ("similarity", "why", "seeds", "pixels"):
        refused = page.error(page.get(f"/api/images/1/{path}", row=1, column=1))
        assert "b.png" in refused, path


class _Full(io.FileIO):
    """A file on a disk that is full."""

    def write(self, data):
        raise OSError(28, "No space left on device")


def wait_for(page, state):
    for _ in range(400):
        told = page.get("/api/learning")
        if told["state"] == state:
            return told
        assert told["state"] == "running", told
        time.sleep(0.05)
    raise AssertionError(told)


def test_learning_from_what_was_corrected_before_and_after_and_the_choice(open_page):
    page = open_page
    page.get("/api/images/1")
    assert "no object was corrected" in page.error(
        page.post("/api/learning", minutes=0.01, share=1)
    )
    page.act("delete", ids=[1])
    page.act("class", ids=[2], **{"class": "(ignored)"})
    assert page.post("/api/learning", minutes=0.01, share=0.5)["state"] == "running"
    done = wait_for(page, "done")
    assert done["images"] == [0] and done["share"] == 1.0 and done["iterations"] == 7
    assert page.workspace.model.shares == [0.5]
    folder = page.folder / "project" / "models" / "001" / job.DATA
    data = json.loads((folder / "annotations" / "instances_train.json").read_text())
    assert [c["name"] for c in data["categories"]] == ["square", "disc"]
    assert [(a["iscrowd"], a["area"]) for a in data["annotations"]] == [
        (0, block(2).sum()), (1, block(1).sum()),
    ]  # fmt: skip
    found = page.get("/api/images/1/compare")
    assert {o["class"] for o in found["before"]} == {"square"}
    assert {o["class"] for o in found["after"]} == {"disc"}
    assert page.post("/api/learning/decide", keep=True)["state"] == "none"
    assert page.get("/api/project")["model"] == "models/001"
    # Images that nobody corrected are looked at anew, the others keep their objects.
    assert {o["class"] for o in page.get("/api/images/1")["objects"]} == {"disc"}
    assert {o["class"] for o in page.get("/api/images/0")["objects"]} == {"square", "(ignored)"}
    page.close()
    again = workspace_in(page.folder)
    assert again.project.model == "models/001"
    again.project.close()


def test_a_model_that_was_learnt_can_be_forgotten(open_page):
    open_page.act("delete", ids=[1])
    assert "nothing was learnt" in open_page.error(open_page.get("/api/images/0/compare"))
    open_page.post("/api/learning", minutes=0.01, share=1)
    wait_for(open_page, "done")
    models = open_page.folder / "project" / "models"
    assert (models / "001").is_dir()
    open_page.post("/api/learning/decide", keep=False)
    assert not list(models.iterdir())
    assert open_page.get("/api/project")["model"] == "toy"
    assert "nothing was learnt" in open_page.error(
        open_page.post("/api/learning/decide", keep=True)
    )


def test_a_model_that_cannot_be_loaded_is_one_line_and_can_be_forgotten(open_page, monkeypatch):
    open_page.act("delete", ids=[1])
    open_page.post("/api/learning", minutes=0.01, share=1)
    wait_for(open_page, "done")

    def damaged(name):
        raise ValueError(f"{name} is no checkpoint")

    monkeypatch.setattr(open_page.teacher, "_load", damaged)
    for answer in (
        open_page.get("/api/images/0/compare"), open_page.post("/api/learning/decide", keep=True)
    ):  # fmt: skip
        assert "models/001 is no checkpoint): forget it" in open_page.error(answer)
    assert open_page.post("/api/learning/decide", keep=False)["state"] == "none"
    assert open_page.get("/api/project")["model"] == "toy"


def test_a_training_that_runs_fails_or_is_stopped(open_page):
    open_page.act("delete", ids=[1])
    open_page.post("/api/learning", minutes=60, share=1)
    assert "is running" in open_page.error(open_page.post("/api/learning", minutes=1, share=1))
    assert open_page.post("/api/learning/stop")["state"] == "stopped"
    open_page.post("/api/learning", minutes=0.125, share=1)
    assert wait_for(open_page, "failed")["error"] == "the disk is full"
    for minutes, share in ((0, 1), (1, 0), (1, 1.5), (1e9, 1)):
        refused = open_page.post("/api/learning", minutes=minutes, share=share)
        assert open_page.error(refused)


def test_a_new_class_is_one_like_the_others(open_page, tmp_path):
    page = open_page
    assert page.post("/api/classes", name=" ring ")["classes"] == [
        *("square", "disc", "ring", "(ignored)")
    ]
    page.act("class", ids=[2], **{"class": "ring"})
    name = page.post("/api/export", forms=["coco"])["name"]
    coco = json.loads((tmp_path / "project/exports" / name / "instances.json").read_text())
    assert [c["name"] for c in coco["categories"]] == ["square", "disc", "ring"]
    ids = [c["id"] for c in coco["categories"]]
    assert len(set(ids)) == 3
    assert sorted(a["category_id"] for a in coco["annotations"]) == [ids[0], ids[0], ids[2]]


def test_a_new_class_is_learnt_beside_those_of_the_model(open_page):
    page = open_page
    page.post("/api/classes", name="ring")
    page.act("class", ids=[1], **{"class": "ring"})
    page.post("/api/learning", minutes=0.01, share=1)
    wait_for(page, "done")
    data = page.folder / "project" / "models" / "001" / job.DATA / "annotations"
    categories = json.loads((data / "instances_train.json").read_text())["categories"]
    assert [c["name"] for c in categories] == ["square", "disc", "ring"]


@pytest.mark.parametrize("name", ["", "  ", "square", "(ignored)", "a\nb", "x" * 81])
def test_what_is_no_new_class_is_refused(open_page, name):
    before = open_page.get("/api/project")["classes"]
    assert "class" in open_page.error(open_page.post("/api/classes", name=name))
    assert open_page.get("/api/project")["classes"] == before


def test_new_classes_are_there_when_the_project_is_opened_again(page, tmp_path):
    page.post("/api/classes", name="ring")
    page.close()
    again = Page(tmp_path)
    assert again.get("/api/project")["classes"] == ["square", "disc", "ring", "(ignored)"]
    again.close()
