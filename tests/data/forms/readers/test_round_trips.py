"""What is drawn is what is read, of every form: holes, parts, neighbours, overlaps, classes."""

import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

import toy_exports as toy
from dml_instance.data.forms.readers import SourceRules, form_of
from toy_layouts import write_voc
from toy_scenes import write_coco


def read(path, **options):
    """Title of the form that is found, and its images."""
    rules = SourceRules(str(path), **options)
    form = form_of(rules)
    return form.title, list(form.read(rules))


def objects_of(image):
    return [(item.class_name, coco_mask.decode(item.mask).astype(bool)) for item in image.objects]


def assert_same(found, expected, tolerance=0):
    """As many objects of each class with the same pixels, but for so many along the border."""
    assert len(found) == len(expected)
    unused = list(found)
    kernel = np.ones((2 * tolerance + 1,) * 2, np.uint8)
    for name, mask in expected:
        smallest = cv2.erode(mask.astype(np.uint8), kernel).astype(bool)
        largest = cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)
        fitting = [
            n
            for n, (other, pixels) in enumerate(unused)
            if other == name and (smallest <= pixels).all() and (pixels <= largest).all()
        ]
        assert fitting, name
        unused.pop(fitting[0])


# Of forms of outlines masks agree but for a pixel.
OUTLINES = {
    "LabelMe": (toy.write_labelme, toy.ALL),
    "YOLO": (toy.write_yolo, toy.ALL),
    "CVAT": (toy.write_cvat, toy.ALL),
    "Label Studio": (toy.write_label_studio, toy.ALL),
    "Label Studio min": (toy.write_label_studio_min, toy.ALL),
    "VIA": (toy.write_via, toy.PLAIN),
    "VIA csv": (toy.write_via_csv, toy.PLAIN),
}


@pytest.mark.parametrize("form", OUTLINES)
def test_outlines(tmp_path, form):
    write, shapes = OUTLINES[form]
    title, (image,) = read(write(tmp_path, shapes))
    assert form.startswith(title)
    assert (image.size, image.left_out) == (toy.SIZE, {})
    assert_same(objects_of(image), [(s.class_name, s.mask) for s in shapes], tolerance=1)


def test_checkboxes_of_via_name_the_class(tmp_path):
    path = toy.write_via(tmp_path, toy.PLAIN)
    text = path.read_text().replace('"kind": "cell"', '"kind": {"egg": false, "cell": true}')
    path.write_text(text.replace('"kind": "nucleus"', '"kind": ""'))
    _, (image,) = read(path, class_names=("else",))
    assert [item.class_name for item in image.objects] == ["cell", "cell", "else", "cell"]


@pytest.mark.parametrize("empty", ['""', '"  "', "null", '{"egg": false}'])
def test_regions_of_via_without_a_class_are_said_unless_their_class_is(tmp_path, empty):
    path = toy.write_via(tmp_path, toy.PLAIN)
    path.write_text(path.read_text().replace('"kind": "nucleus"', f'"kind": {empty}'))
    for options, name in (({}, "object"), ({"class_names": ("egg",)}, "egg")):
        _, (image,) = read(path, **options)
        assert [item.class_name for item in image.objects] == ["cell", "cell", name, "cell"]
        said = [*image.doubts.values()]
        assert len(said) == (name == "object")
        assert all(f"{path}: objects of a.png have no class" in line for line in said)
    content = json.loads(path.read_text())
    for region in content["_via_img_metadata"]["a.png99"]["regions"]:
        region["region_attributes"] = {}
    path.write_text(json.dumps(content))
    _, (image,) = read(path)
    assert not image.doubts, "nobody has asked for a class"


def test_regions_of_label_studio_without_a_class_are_said(tmp_path):
    path = toy.write_label_studio(tmp_path, toy.PLAIN)
    (task,) = json.loads(path.read_text())
    results = task["annotations"][0]["result"]
    del results[2]["value"]["polygonlabels"]
    results.append({"id": "c", "type": "choices", "value": {"choices": ["good"]}})
    path.write_text(json.dumps([task]))
    _, (image,) = read(path)
    assert [item.class_name for item in image.objects] == ["cell", "cell", "object", "cell"]
    (said,) = image.doubts.values()
    assert "have no class, and are taken for object" in said
    results[2]["value"]["polygonlabels"] = ["nucleus"]
    path.write_text(json.dumps([task]))
    _, (image,) = read(path)
    assert not image.doubts, "a choice is no region"


def test_of_several_annotations_in_label_studio_one_counts(tmp_path):
    path = toy.write_label_studio(tmp_path, toy.PLAIN)
    (task,) = json.loads(path.read_text())
    (whole,) = task["annotations"]
    parts = [{**whole, "result": whole["result"][:number]} for number in (1, 2, 3)]

    def count(*annotations):
        path.write_text(json.dumps([{**task, "annotations": list(annotations)}]))
        _, (image,) = read(path)
        return len(image.objects), image.left_out

    late, early = ({"updated_at": f"2024-0{month}-01"} for month in (5, 2))
    other = "region of another annotation of its task"
    assert count({**parts[0], **late}, {**parts[1], **early}) == (1, {other: 2})
    assert count({**parts[0], **late}, {**parts[1], **early, "ground_truth": True}) == (
        2,
        {other: 1},
    )
    assert count({**parts[0], **late, "was_cancelled": True}, {**parts[2], **early}) == (3, {})


@pytest.mark.parametrize("form", ["LabelMe", "CVAT", "Label Studio"])
def test_masks_are_read_to_the_pixel(tmp_path, form):
    _, (image,) = read(OUTLINES[form][0](tmp_path, [toy.HOLE]))
    assert_same(objects_of(image), [("nucleus", toy.HOLE.mask)])


@pytest.mark.parametrize("write", [toy.write_class_folders, toy.write_voc_colours])
def test_label_images_of_several_classes(tmp_path, write):
    # Of one class a pixel has one number; here the classes do not overlap.
    shapes = (*toy.PLAIN[:3], toy.HOLE, toy.PARTS)
    source = write(tmp_path, shapes)
    images = tmp_path / "raw"
    _, (image,) = read(source, images=str(images) if images.is_dir() else None)
    assert_same(objects_of(image), toy.visible(shapes))


def test_one_object_a_file(tmp_path):
    title, (image,) = read(toy.write_one_object_files(tmp_path, toy.ALL), class_names=("x",))
    assert title == "label images"
    assert_same(objects_of(image), [("x", shape.mask) for shape in toy.ALL])


def test_voc_palettes_their_borders_and_objects_without_class(tmp_path):
    masks = np.stack([toy.PARTS.mask, toy.HOLE.mask, toy.PLAIN[0].mask])
    image = np.full((*toy.SIZE, 3), 90, np.uint8)
    write_voc(tmp_path, {"a": (image, masks, [0, 14, -1])}, {"train": ["a"]})
    title, (image,) = read(tmp_path)
    assert title == "VOC masks"
    kernel = np.ones((3, 3), np.uint8)
    rims = [cv2.morphologyEx(m.astype(np.uint8), cv2.MORPH_GRADIENT, kernel) for m in masks]
    border = np.any(rims, axis=0)
    expected = [(n, m & ~border) for n, m in zip(("aeroplane", "person"), masks[:2], strict=True)]
    assert_same(objects_of(image)[:2], expected)
    (crowd,) = image.objects[2:]
    assert crowd.is_crowd
    np.testing.assert_array_equal(coco_mask.decode(crowd.mask), border | masks[2])


@pytest.mark.parametrize("as_polygons", [False, True])
def test_coco(tmp_path, as_polygons):
    shapes = toy.PLAIN if as_polygons else toy.ALL
    names = ["cell", "nucleus"]
    scene = (
        np.full((*toy.SIZE, 3), 90, np.uint8),
        np.stack([shape.mask for shape in shapes]),
        [names.index(shape.class_name) for shape in shapes],
    )
    path, images = write_coco(tmp_path, "data", [scene], names, as_polygons)
    title, (image,) = read(path, images=str(images))
    assert title == "COCO"
    expected = [(shape.class_name, shape.mask) for shape in shapes]
    assert_same(objects_of(image), expected, tolerance=int(as_polygons))


def test_yolo_without_a_yaml(tmp_path):
    """As Label Studio writes it, and as labelImg does: text files and names in one folder."""
    toy.write_yolo(tmp_path, toy.ALL)
    (tmp_path / "data.yaml").unlink()
    names = "cell\nnucleus\n"
    (tmp_path / "classes.txt").write_text(names)
    expected = [(shape.class_name, shape.mask) for shape in toy.ALL]
    title, (image,) = read(tmp_path)
    assert title == "YOLO"
    assert_same(objects_of(image), expected, tolerance=1)
    labels = tmp_path / "labels" / "train"
    (labels / "classes.txt").write_text(names)
    photos = (tmp_path / "images" / "train").rename(tmp_path / "photos")
    title, (image,) = read(labels, images=str(photos))
    assert title == "YOLO"
    assert_same(objects_of(image), expected, tolerance=1)
