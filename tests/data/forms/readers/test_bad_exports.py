"""What is wrong with an export ends in one line that names its file; what is no object is said."""

import json

import pytest

import toy_exports as toy
from dml_instance.data.forms.readers import SourceRules, read_annotations


def read(path, form=None, **options):
    rules = SourceRules(str(path), **options)
    return list(read_annotations(rules, form)[1])


def assert_refused(path, named, *words, form=None, **options):
    with pytest.raises(ValueError, match=".") as refused:
        read(path, form, **options)
    message = str(refused.value)
    assert "\n" not in message and str(named) in message, message
    assert all(word in message for word in words), message


def change(path, place, value):
    """Set, or with None take out, what lies at a place of a JSON file."""
    content = json.loads(path.read_text())
    *way, last = place
    where = content
    for step in way:
        where = where[step]
    if value is None:
        del where[last]
    else:
        where[last] = value
    path.write_text(json.dumps(content))


LABELME = [
    (("shapes", 0, "points", 0), [500, 3], "x 500, y 3, outside"),
    (("shapes", 0, "points", 0), [float("nan"), 3], "x nan"),
    (("shapes", 0, "points"), None, "shape 1, is not as LabelMe writes it (it lacks 'points')"),
    (("shapes", 0, "points"), [[1, 2], [3]], "shape 1,"),
    (("shapes", 0, "label"), 7, "class 7, which is no name"),
    (("shapes", 0), [], "shape 1,"),
    (("shapes",), 3, "LabelMe"),
    (("imagePath",), "gone.png", "names the image gone.png", "--images"),
    (("imagePath",), 3, "LabelMe"),
    (("imageHeight",), 144, "144 x 96", "72 x 96"),
    (("imageHeight",), "tall", "LabelMe"),
    (("shapes", 4, "mask"), "no png", "shape 5,", "mask is no PNG"),
]


@pytest.mark.parametrize(("place", "value", "words"), [(p, v, w) for p, v, *w in LABELME])
def test_labelme(tmp_path, place, value, words):
    path = toy.write_labelme(tmp_path, toy.ALL)
    change(path, place, value)
    assert_refused(path, path, *words)


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000, "\udcff"])
def test_what_is_no_json(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert_refused(path, path, "is no JSON", form="labelme")


TASK = (0, "annotations", 0, "result", 0)
LABEL_STUDIO = [
    ((*TASK, "value", "points", 0), [300, 3], "outside"),
    ((*TASK, "value", "points"), "here", "task 1,"),
    ((*TASK, "original_width"), 5, "72 x 5"),
    ((*TASK, "value", "polygonlabels"), ["cell", "nucleus"], "classes cell, nucleus"),
    ((*TASK, "image_rotation"), 90, "turned"),
    ((0, "data"), {}, "it has no image"),
    ((0, "annotations", 0, "result", 4, "value", "rle"), [0, 0, 0, 9, 1, 2], "9 values"),
    ((0, "annotations", 0, "result", 4, "value", "rle"), [300], "task 1,"),
]


@pytest.mark.parametrize(("place", "value", "words"), [(p, v, w) for p, v, *w in LABEL_STUDIO])
def test_label_studio(tmp_path, place, value, words):
    path = toy.write_label_studio(tmp_path, toy.ALL)
    change(path, place, value)
    assert_refused(path, path, *words)


REGION = ("_via_img_metadata", "a.png99", "regions", 0)
VIA = [
    (
        (*REGION, "shape_attributes", "all_points_x"),
        [1, 2],
        "a.png, is not as VIA writes it (a value is of another kind or length, or is missing)",
    ),
    (
        (*REGION, "shape_attributes"),
        {"name": "circle", "cx": 20, "cy": 20, "r": -8},
        "a.png, is not as VIA writes it (a radius is -8)",
    ),
    ((*REGION, "shape_attributes"), None, "it lacks 'shape_attributes'"),
    ((*REGION, "region_attributes"), {"size": "big"}, "size, kind", "--class-key"),
    ((*REGION, "region_attributes", "kind"), {"cell": True, "nucleus": True}, "cell, nucleus"),
]


@pytest.mark.parametrize(("place", "value", "words"), [(p, v, w) for p, v, *w in VIA])
def test_via(tmp_path, place, value, words):
    path = toy.write_via(tmp_path, toy.PLAIN)
    change(path, place, value)
    assert_refused(path, path, *words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("</annotations>", "", "is no XML"),
        ('encoding="utf-8"', 'encoding="klingon"', "is no XML"),
        ('<image id="0"', '<track id="0"></track><image id="0"', "CVAT for video"),
        (' label="cell"', "", "image a.png, is not as CVAT writes it (it lacks 'label')"),
        ('width="96"', 'width="97"', "72 x 97"),
        ('width="96" ', "", "it lacks 'width'"),
        ('name="a.png"', 'name="b.png"', "names the image b.png"),
        ("4.00,5.00", "4.00;5.00", "(a value is of another kind or length, or is missing)"),
        ("4.00,5.00", "4.00,five", "('five' is no number)"),
        ('left="', 'left="-9', "outside of its image a.png"),
        ('top="', 'top="9', "outside of its image a.png"),
        ("4.00,5.00", "4.00,500.00", "y 500"),
        ('rle="', 'rle="1, ', "has runs of"),
        ('rle="', 'rle="-1, 1, ', "has runs of"),
    ],
)
def test_cvat(tmp_path, old, new, words):
    path = toy.write_cvat(tmp_path, toy.ALL) / "annotations.xml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert_refused(path, path, words, form="cvat")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("0 0.041667", "7 0.041667", "line 1, is not as YOLO writes it (class 7"),
        ("0 0.041667", "0 x", "line 1, is not as YOLO writes it ('x' is no number)"),
        ("0 0.041667", "0 \u00e4", "is not in UTF-8: save it so"),
        ("0 0.041667", "0 0.3 0.041667", "are no pairs"),
        ("0 0.041667", "0 1.5", "x 144"),
    ],
)
def test_yolo(tmp_path, old, new, words):
    toy.write_yolo(tmp_path, toy.ALL)
    path = tmp_path / "labels" / "train" / "a.txt"
    text = path.read_text()
    assert text.startswith(old)
    path.write_text(text.replace(old, new, 1), encoding="latin-1")
    assert_refused(tmp_path, path, words)


@pytest.mark.parametrize(
    "text", ["names: [a", "names:\ntrain: images", "names: [a]\ntrain: gone", "names: cell"]
)
def test_yaml(tmp_path, text):
    toy.write_yolo(tmp_path, toy.ALL)
    (tmp_path / "data.yaml").write_text(text)
    assert_refused(tmp_path, tmp_path / "data.yaml")


def test_shapes_that_are_no_masks_are_counted(tmp_path):
    path = toy.write_labelme(tmp_path, toy.PLAIN)
    content = json.loads(path.read_text())
    for kind, points in (
        ("rectangle", [[9, 9], [2, 4]]),
        ("point", [[2, 2]]),
        ("polygon", [[2, 2], [5, 5]]),
        ("polygon", [[5, 5], [5.01, 5], [5, 5.01]]),
        ("circle", [[5, 5], [5, 8]]),
    ):
        content["shapes"].append({"label": "cell", "shape_type": kind, "points": points})
    path.write_text(json.dumps(content))
    (image,) = read(path)
    assert len(image.objects) == len(toy.PLAIN) + 1
    assert image.left_out == {
        "box without a mask": 1,
        "point or line": 1,
        "polygon of fewer than 3 points": 1,
        "shape that covers no pixel": 1,
    }
    (image,) = read(path, keep_boxes=True)
    assert len(image.objects) == len(toy.PLAIN) + 2
    assert image.left_out.get("box without a mask") is None


def test_options_of_other_forms_are_refused(tmp_path):
    path = toy.write_labelme(tmp_path, toy.PLAIN)
    for option in ({"number_pieces": True}, {"class_names": ("x",)}, {"class_key": "x"}):
        with pytest.raises(ValueError, match="of no use for LabelMe"):
            read(path, **option)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert_refused(tmp_path / "empty", "empty", "holds nothing that is known")


def test_tasks_that_nobody_has_annotated_are_no_empty_images(tmp_path):
    path = toy.write_label_studio(tmp_path, toy.ALL)
    (task,) = json.loads(path.read_text())
    cancelled = {**task, "annotations": [{**task["annotations"][0], "was_cancelled": True}]}
    empty = {**task, "annotations": [{"result": []}]}
    path.write_text(json.dumps([{**task, "annotations": []}, cancelled, empty]))
    (image,) = read(path)
    assert image.objects == ()


def test_an_address_on_the_web_with_a_signature_names_its_image(tmp_path):
    path = toy.write_label_studio(tmp_path, toy.ALL)
    change(path, (0, "data", "image"), "https://x.org/a%20b/a.png?X-Amz=1/2.png&y=2#z")
    (image,) = read(path, images=str(tmp_path))
    assert image.file == str(tmp_path / "a.png")


def test_blanks_round_a_label_make_no_other_class(tmp_path):
    path = toy.write_labelme(tmp_path, toy.PLAIN)
    content = json.loads(path.read_text())
    content["shapes"][0]["label"] += " "
    path.write_text(json.dumps(content))
    (image,) = read(path)
    assert {item.class_name for item in image.objects} == {shape.class_name for shape in toy.PLAIN}
