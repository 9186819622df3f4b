"""Which form is found among other files, and which folders are searched."""

import json
import shutil

import pytest

import toy_exports as toy
from dml_instance.data.forms.readers import SourceRules, read_annotations
from dml_instance.errors import FileError
from fuzz.exports import WRITERS
from toy_scenes import square_and_disc, write_coco


def read(path, **options):
    rules = SourceRules(str(path), **options)
    form, images = read_annotations(rules)
    return form.title, list(images)


def test_notes_beside_label_images_are_passed_over(tmp_path, caplog):
    masks = toy.write_class_folders(tmp_path, toy.PLAIN)
    (masks / "notes.json").write_text("{broken")
    (masks / "colours.yaml").write_text("names: [cell, nucleus]\n")
    title, (image,) = read(masks, images=str(tmp_path / "raw"))
    assert title == "label images" and len(image.objects) == len(toy.PLAIN)
    assert f"passed over: {masks / 'notes.json'} is no JSON" in caplog.text


def test_hidden_folders_are_not_searched_and_links_are(tmp_path):
    toy.write_labelme(tmp_path / "far", toy.ALL)
    (tmp_path / "in" / ".ipynb_checkpoints").mkdir(parents=True)
    (tmp_path / "in" / ".ipynb_checkpoints" / "a-checkpoint.json").write_text("{broken")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "far")
    title, (image,) = read(tmp_path / "in")
    assert title == "LabelMe" and len(image.objects) == len(toy.ALL)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_json_of_any_unicode(tmp_path, encoding):
    path = toy.write_label_studio(tmp_path, toy.ALL)
    path.write_text(path.read_text(), encoding=encoding)
    title, (image,) = read(path)
    assert title == "Label Studio" and len(image.objects) == len(toy.ALL)


def counted_parsing(monkeypatch):
    """What JSON is parsed from now on."""
    parsed, loads = [], json.loads
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or loads(text))
    return parsed


@pytest.mark.parametrize("name", ["coco", "labelme", "label-studio", "via"])
def test_a_json_file_is_parsed_once(tmp_path, monkeypatch, name):
    if name == "coco":
        path, _ = write_coco(tmp_path, "images", [square_and_disc()])
    else:
        path = WRITERS[name](tmp_path, toy.PLAIN)
    parsed = counted_parsing(monkeypatch)
    _, (image,) = read(path)
    assert image.objects and parsed == [path.read_bytes()]


def test_each_of_several_json_files_is_parsed_once(tmp_path, monkeypatch):
    for name, shapes in (("a.png", toy.PLAIN), ("b.png", toy.PLAIN[:1])):
        toy.write_labelme(tmp_path, shapes, name)
    parsed = counted_parsing(monkeypatch)
    _, images = read(tmp_path)
    assert [len(image.objects) for image in images] == [len(toy.PLAIN), 1]
    assert parsed == [(tmp_path / name).read_bytes() for name in ("a.json", "b.json")]


@pytest.mark.parametrize("place", [".", "images", "images/train"])
def test_yolo_is_read_from_inside_its_folders(tmp_path, monkeypatch, place):
    toy.write_yolo(tmp_path, toy.ALL)
    monkeypatch.chdir(tmp_path / place)
    up = "/".join([".."] * place.count("/") + [".."] * place.count("images")) or "."
    for labels, images in ((up, None), (f"{up}/data.yaml", None), (up, f"{up}/images")):
        title, (image,) = read(labels, images=images)
        assert title == "YOLO" and len(image.objects) == len(toy.ALL)


def test_yolo_with_an_empty_split_and_with_one_image(tmp_path, caplog):
    toy.write_yolo(tmp_path, toy.ALL)
    (tmp_path / "valid" / "images").mkdir(parents=True)
    with (tmp_path / "data.yaml").open("a") as stream:
        stream.write("val: ../valid/images\n")
    _, (image,) = read(tmp_path)
    assert image.split == "train"
    assert f"{tmp_path / 'valid' / 'images'} holds no image" in caplog.text
    file = tmp_path / "images" / "train" / "a.jpg"
    shutil.rmtree(tmp_path / "valid")
    _, (image,) = read(tmp_path, images=str(file))
    assert (image.file, image.split, len(image.objects)) == (str(file), "", len(toy.ALL))
    assert "--images is given: train, val of" in caplog.text


@pytest.mark.parametrize("entry", ["../test/images", "[images/train, ../more/images]"])
@pytest.mark.parametrize("split", ["val", "valid", "validation", "test"])
def test_yolo_goes_on_without_a_split_that_was_not_exported(tmp_path, caplog, split, entry):
    toy.write_yolo(tmp_path, toy.ALL)
    text = (tmp_path / "data.yaml").read_text()
    (tmp_path / "data.yaml").write_text(f"{split}: {entry}\n{text}")
    _, (image,) = read(tmp_path)
    assert (image.split, len(image.objects)) == ("train", len(toy.ALL))
    (warning,) = caplog.messages
    assert warning.startswith(f"{tmp_path / 'data.yaml'} names ")
    assert warning.endswith(
        f" for {split[:3].replace('tes', 'test')}, which is not there: left out"
    )
    (tmp_path / "data.yaml").write_text(text.replace("train: ", "train: gone/"))
    with pytest.raises(FileError, match="names gone/images/train for train, .* correct it"):
        read(tmp_path)


def test_a_missing_image_of_voc_is_not_its_mask(tmp_path):
    folder = toy.write_voc_colours(tmp_path, toy.PLAIN)
    (tmp_path / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(FileError, match="is not in .*JPEGImages: give the folder"):
        read(folder)


def test_yolo_with_the_same_images_to_train_and_to_evaluate_on(tmp_path, caplog):
    """As in ultralytics' own examples of few images."""
    toy.write_yolo(tmp_path, toy.ALL)
    yaml = tmp_path / "data.yaml"
    yaml.write_text(f"{yaml.read_text()}\nval: images/train\n")
    (image,) = read_annotations(SourceRules(str(tmp_path)))[1]
    assert image.split == "train" and len(image.objects) == len(toy.ALL)
    assert f"{yaml} names 1 of the 1 images of val for another split, too" in caplog.text
    assert "--val-fraction" in caplog.text


def test_a_class_of_yolo_is_called_as_it_is_written(tmp_path):
    toy.write_yolo(tmp_path, toy.ALL)
    yaml = tmp_path / "data.yaml"
    names = ["yes", "1.0", "010", "2001-01-01", "off"]
    yaml.write_text(f"names: [{', '.join(names)}]\ntrain: images/train\nval: ~\ntest:\n")
    (image,) = read_annotations(SourceRules(str(tmp_path)))[1]
    assert {item.class_name for item in image.objects} == set(names[:2])


def test_broken_json_beside_files_of_labelme_is_one_error_and_no_warning(tmp_path, caplog):
    toy.write_labelme(tmp_path, toy.ALL)
    (tmp_path / "0.json").write_text('{"a":')
    with pytest.raises(FileError, match="0.json is no JSON"):
        read(tmp_path)
    assert not caplog.messages


def test_coco_without_categories_is_known(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"images": [], "annotations": []}')
    with pytest.raises(FileError, match="a.json .* has no list under categories"):
        read(path)
