"""From annotations to a data set: splits, names, image files, and what is said."""

import json
import shutil

import cv2
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import toy_exports as toy
from dml_instance.data.coco import check_coco
from dml_instance.data.forms.readers import SourceRules
from dml_instance.data.preparing import SplitRules, prepare
from dml_instance.errors import FileError
from dml_instance.images import to_eight_bit


@pytest.fixture
def labelled(tmp_path):
    """raw/WELL/field.png with masks/WELL/field.png: the same names in every folder."""
    rng = np.random.default_rng(0)
    for well in ("A01", "A02", "B01", "B02"):
        for part, pixels in (
            ("raw", rng.integers(0, 255, (80, 120), dtype=np.uint8)),
            ("masks", np.pad(np.arange(1, 5, dtype=np.uint8).reshape(2, 2).repeat(9, 0), 11)),
        ):
            path = tmp_path / part / well / "field.png"
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), cv2.resize(pixels, (120, 80), interpolation=cv2.INTER_NEAREST))
    return SourceRules(str(tmp_path / "masks"), str(tmp_path / "raw"), class_names=("cell",))


def content(root, split):
    path = root / "annotations" / f"instances_{split}.json"
    checked = check_coco(str(path), str(root / "images"))
    assert checked.repairs == ""
    return checked.content


def test_names_in_sub_folders_stay_apart(labelled, tmp_path):
    root = tmp_path / "out"
    report = prepare(labelled, str(root))
    assert report.startswith("label images: 4 images of 80 x 120 pixels")
    assert report.endswith(f"3 train, 1 val images in {root}")
    names = [i["file_name"] for s in ("train", "val") for i in content(root, s)["images"]]
    assert sorted(names) == [f"{well}/field.png" for well in ("A01", "A02", "B01", "B02")]
    for name in names:
        written, source = root / "images" / name, tmp_path / "raw" / name
        assert written.read_bytes() == source.read_bytes(), "8 bits are copied as they are"
    sheet = cv2.imread(str(root / "contact_sheet.png"))
    assert sheet.shape[1] > 4 * 300 and len(np.unique(sheet)) > 50


def test_groups_go_to_one_split(labelled, tmp_path):
    report = prepare(labelled, str(tmp_path / "out"), splits=SplitRules(0.5, group_by="^[AB]"))
    assert "2 train, 2 val images" in report and "(1 group in train, 1 in val)" in report
    rows = {i["file_name"][0] for i in content(tmp_path / "out", "val")["images"]}
    assert len(rows) == 1


def test_tiles_of_one_image_all_go_to_one_split_and_lose_nothing(labelled, tmp_path):
    prepare(labelled, str(tmp_path / "whole"))
    prepare(labelled, str(tmp_path / "tiles"), tile=40)
    areas = [
        sum(a["area"] for s in ("train", "val") for a in content(tmp_path / name, s)["annotations"])
        for name in ("whole", "tiles")
    ]
    assert areas[0] == areas[1] > 0
    of_split = [
        {image["file_name"][:3] for image in content(tmp_path / "tiles", split)["images"]}
        for split in ("train", "val")
    ]
    assert not of_split[0] & of_split[1] and len(of_split[0] | of_split[1]) == 4
    for image in content(tmp_path / "tiles", "val")["images"]:
        well, name = image["file_name"].removesuffix(".png").split("/")
        row, column = map(int, name.split("_")[1:])
        whole = cv2.imread(str(tmp_path / "raw" / well / "field.png"))
        tile = cv2.imread(str(tmp_path / "tiles" / "images" / image["file_name"]))
        assert tile.shape[:2] == (image["height"], image["width"]) == (40, 40)
        np.testing.assert_array_equal(tile, whole[row : row + 40, column : column + 40])


def test_colours_and_the_sheet_are_in_order(tmp_path):
    """Six images, so that the sheet has two rows; red stays red."""
    for number in range(6):
        toy.write_labelme(tmp_path / "in", toy.PLAIN, f"{number}.png")
        red = np.zeros((*toy.SIZE, 3), np.uint8)
        red[..., 2] = 40 * number
        cv2.imwrite(str(tmp_path / "in" / f"{number}.png"), red)
    prepare(SourceRules(str(tmp_path / "in")), str(tmp_path / "out"), tile=1000)
    sheet = cv2.imread(str(tmp_path / "out" / "contact_sheet.png")).astype(int)
    for number in range(6):
        name = tmp_path / "out" / "images" / f"{number}_0_0.png"
        assert (cv2.imread(str(name)) == (0, 0, 40 * number)).all()
        rows, columns = (
            slice(place * side, (place + 1) * side)
            for place, side in zip(
                divmod(number, 4), (sheet.shape[0] // 2, sheet.shape[1] // 4), strict=True
            )
        )
        assert np.median(sheet[rows, columns][24:250], axis=(0, 1)).tolist() == [0, 0, 40 * number]


def test_tiles_of_a_single_image_give_both_splits(labelled, tmp_path):
    files = [str(tmp_path / part / "A01" / "field.png") for part in ("masks", "raw")]
    assert "4 train, 2 val images" in prepare(SourceRules(*files), str(tmp_path / "out"), tile=40)
    with pytest.raises(ValueError, match="1 image leaves none to train on"):
        prepare(SourceRules(*files), str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_images_of_more_than_8_bits_are_stretched(tmp_path):
    path = toy.write_labelme(tmp_path / "in", toy.ALL)
    deep = np.random.default_rng(0).integers(100, 4000, toy.SIZE).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "in" / "a.png"), deep)
    prepare(SourceRules(str(path)), str(tmp_path / "out"), splits=SplitRules(0))
    written = cv2.imread(str(tmp_path / "out" / "images" / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(written, to_eight_bit(deep))


def test_jpeg_stays_as_it_is(tmp_path):
    toy.write_yolo(tmp_path / "in", toy.ALL)
    prepare(SourceRules(str(tmp_path / "in")), str(tmp_path / "out"), splits=SplitRules(0))
    source = tmp_path / "in" / "images" / "train" / "a.jpg"
    assert (tmp_path / "out" / "images" / "a.jpg").read_bytes() == source.read_bytes()


def test_the_splits_of_yolo_stay(tmp_path):
    folder = toy.write_yolo(tmp_path / "in", toy.ALL)
    for part, ending in (("images", "jpg"), ("labels", "txt")):
        (folder / part / "val").mkdir()
        for name in "bcd":
            source = folder / part / "train" / f"a.{ending}"
            shutil.copy(source, folder / part / "val" / f"{name}.{ending}")
    with (folder / "data.yaml").open("a") as stream:
        stream.write("val: images/val\n")
    report = prepare(SourceRules(str(folder)), str(tmp_path / "out"))
    assert "1 train, 3 val images" in report and "splits as the annotations have them" in report
    report = prepare(SourceRules(str(folder)), str(tmp_path / "new"), splits=SplitRules(0.25))
    assert "3 train, 1 val images" in report


def test_tiles_of_an_image_with_a_long_name_are_written_and_the_name_is_said(tmp_path):
    name = "n" * 251
    toy.write_labelme(tmp_path / "in", toy.ALL)
    path = tmp_path / "in" / "a.json"
    labelme = json.loads(path.read_text())
    (tmp_path / "in" / "a.png").rename(tmp_path / "in" / f"{name}.png")
    path.write_text(json.dumps({**labelme, "imagePath": f"{name}.png"}))
    root = tmp_path / ("o" * 250)
    report = prepare(SourceRules(str(path)), str(root), splits=SplitRules(0), tile=48)
    assert f"{name}.png, whose name is too long, is called nnn" in report
    assert len(content(root, "train")["images"]) == 4


def test_what_was_found_is_said(tmp_path):
    path = toy.write_labelme(tmp_path / "in", toy.ALL)
    labelme = json.loads(path.read_text())
    labelme["shapes"].append({"label": "x", "points": [[1, 1], [5, 5]], "shape_type": "rectangle"})
    path.write_text(json.dumps(labelme))
    toy.write_labelme(tmp_path / "in", [], "empty.png")
    toy.write_image(tmp_path / "in" / "nobody.png")
    splits = SplitRules(0)
    report = prepare(SourceRules(str(tmp_path / "in")), str(tmp_path / "out"), splits=splits)
    rows = [line.split("|")[1:-1] for line in report.splitlines() if line.startswith("|")]
    areas = [shape.mask.sum() for shape in toy.ALL if shape.class_name == "cell"]
    name, images, objects, diameter = rows[2]
    assert (name.strip(), int(images), int(objects)) == ("cell", 1, 4)
    assert float(diameter) == pytest.approx(2 * np.sqrt(np.median(areas) / np.pi), abs=0.5)
    assert rows[3][0].strip() == "nucleus"
    assert "left out: 1 x box without a mask" in report
    assert f"without an object: 1 image ({tmp_path / 'in' / 'empty.png'})" in report
    assert f"without annotation, left out: 1 image ({tmp_path / 'in' / 'nobody.png'})" in report


def warnings_of(report):
    return [line.removeprefix("warning: ") for line in report.splitlines() if "warning" in line]


def test_tiles_smaller_than_objects_are_doubted(tmp_path):
    path = toy.write_labelme(tmp_path / "in", [toy.Shape("cell", ((toy.circle(40, 36, 20),),))])
    prepared = (SourceRules(str(path)), str(tmp_path / "out"))
    (warning,) = warnings_of(prepare(*prepared, splits=SplitRules(0), tile=48))
    assert warning.startswith("tiles of 48 pixels cut objects of 40 pixels across")
    prepared = (SourceRules(str(path)), str(tmp_path / "large"))
    assert not warnings_of(prepare(*prepared, splits=SplitRules(0), tile=90))


def test_classes_that_look_alike_are_doubted(tmp_path):
    names = ("Cell", " cell", "cell", "big  cell", "BigCell", "egg", "\u0065\u0301", "\u00c9")
    for number, name in enumerate(names):
        shape = toy.Shape(name, toy.PLAIN[0].parts)
        toy.write_labelme(tmp_path / "in", [shape], f"{number}.png")
    report = prepare(SourceRules(str(tmp_path / "in")), str(tmp_path / "out"))
    assert sorted(warning.partition(" are ")[0] for warning in warnings_of(report)) == [
        *("'BigCell' and 'big  cell'", "'Cell' and 'cell'", "'e\u0301' and '\u00c9'")
    ]


def write_turned(folder, orientations, size):
    """LabelMe's files of images with EXIF, and what their sizes are as they are seen."""
    for number, orientation in enumerate(orientations):
        path = toy.write_labelme(folder, toy.PLAIN, f"{number}.png")
        (folder / f"{number}.png").unlink()
        seen = size[::-1] if orientation > 4 else size
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.new("L", size).save(folder / f"{number}.jpg", exif=exif)
        facts = {"imagePath": f"{number}.jpg", "imageWidth": seen[0], "imageHeight": seen[1]}
        path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))
    return SourceRules(str(folder))


def test_a_turn_that_the_size_does_not_show_is_doubted(tmp_path):
    """Of square images any; of others those that stay as high and wide."""
    for size, turned in (((96, 96), range(2, 9)), ((96, 120), range(2, 5))):
        folder = tmp_path / f"{size[1]}"
        source = write_turned(folder / "in", range(1, 9), size)
        (warning,) = warnings_of(prepare(source, str(folder / "out")))
        assert warning.startswith(f"EXIF turns {folder / 'in' / '1.jpg'}, and nothing tells")
        assert f"({len(turned) - 1} images more like it)" in warning
    # Written upright, they say nothing any more.
    assert content(tmp_path / "96" / "out", "train")["images"]


def test_a_turn_is_doubted_where_no_size_is_given(tmp_path):
    """YOLO has shares of the sides."""
    folder = toy.write_yolo(tmp_path / "in", toy.PLAIN)
    for orientation in (1, 6):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.new("L", (72, 96)).save(folder / "images" / "train" / "a.jpg", exif=exif)
        root = str(tmp_path / f"{orientation}")
        report = prepare(SourceRules(str(folder)), root, splits=SplitRules(0))
        assert len(warnings_of(report)) == (orientation == 6)


def test_pictures_that_may_lie_turned_are_on_the_sheet(tmp_path):
    """One among forty is."""
    source = write_turned(tmp_path / "in", [1] * 26 + [3] + [1] * 13, (120, 96))
    red = Image.new("RGB", (120, 96), (255, 0, 0))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    red.save(tmp_path / "in" / "26.jpg", exif=exif)
    prepare(source, str(tmp_path / "out"))
    sheet = cv2.imread(str(tmp_path / "out" / "contact_sheet.png")).astype(int)
    assert ((sheet[..., 2] > 200) & (sheet[..., 0] < 60)).sum() > 10_000


def test_each_kind_of_doubt_has_a_line(tmp_path):
    for folder in ("raw", "masks"):
        (tmp_path / folder).mkdir()
    labels = np.zeros((64, 80), np.uint8)
    labels[5:15, 5:15] = labels[40:60, 50:70] = 1
    for name, of_image in (("a", labels), ("b", labels + 1), ("c", labels), ("d", labels)):
        cv2.imwrite(str(tmp_path / "raw" / f"{name}.png"), of_image)
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), of_image)
    source = SourceRules(str(tmp_path / "masks"), str(tmp_path / "raw"))
    pieces, background = warnings_of(prepare(source, str(tmp_path / "out")))
    assert "a.png: 1 is in 2 pieces" in pieces and "(3 images more like it)" in pieces
    assert "b.png has no 0" in background and "more like it" not in background


def test_nothing_is_written_of_what_cannot_be_used(labelled, tmp_path):
    root = tmp_path / "out"
    path = toy.write_labelme(tmp_path / "empty", [])
    with pytest.raises(FileError, match="1 image and no object with a mask"):
        prepare(SourceRules(str(path)), str(root))
    for tile in (-1, 1, 31):
        with pytest.raises(ValueError, match=f"--tile is 0, .* or at least 32 pixels, got {tile}"):
            prepare(SourceRules(str(path)), str(root), tile=tile)
    shutil.copy(path, path.with_name("again.json"))
    toy.write_labelme(tmp_path / "empty", toy.ALL)
    with pytest.raises(FileError, match="a.png is annotated twice"):
        prepare(SourceRules(str(path.parent)), str(root))
    image = tmp_path / "raw" / "B02" / "field.png"
    image.write_bytes(image.read_bytes()[:500])
    with pytest.raises(FileError, match="field.png"):
        prepare(labelled, str(root))
    assert not root.exists()
    root.mkdir()
    with pytest.raises(FileExistsError, match="out exists already"):
        prepare(labelled, str(root))


def test_train_and_val_have_an_object(tmp_path):
    toy.write_labelme(tmp_path / "in", toy.ALL)
    toy.write_labelme(tmp_path / "in", toy.ALL, "b.png")
    toy.write_labelme(tmp_path / "in", [], "c.png")
    source, refused = SourceRules(str(tmp_path / "in")), []
    for seed in range(12):
        root = tmp_path / f"out{seed}"
        fraction = (0.34, 0.67)[seed % 2]
        try:
            prepare(source, str(root), splits=SplitRules(fraction, seed=seed))
        except ValueError as error:
            refused.append(str(error).split()[3])
        assert not root.exists() or all(content(root, s)["annotations"] for s in ("train", "val"))
    assert 0 < len(refused) < 12 and set(refused) == {"train", "val"}
    prepare(source, str(tmp_path / "none"), splits=SplitRules(0))
    assert [path.name for path in (tmp_path / "none" / "annotations").iterdir()] == [
        "instances_train.json"
    ]


def test_a_tile_of_val_has_an_object(tmp_path):
    """All objects of the one image lie in one tile: it can be in train or in val."""
    path = toy.write_labelme(tmp_path / "in", toy.PLAIN[:1])
    with pytest.raises(ValueError, match="no image of (train|val) has an object"):
        prepare(SourceRules(str(path)), str(tmp_path / "out"), tile=36)


def test_any_number_type_is_written_as_8_bits_and_what_is_turned_upright(tmp_path):
    labels = toy.numbered(toy.PLAIN).astype(np.uint8)
    images = {"double.tif": np.float64, "half.tif": np.float16}
    for folder in ("raw", "masks"):
        (tmp_path / folder).mkdir()
    for name, kind in images.items():
        tifffile.imwrite(tmp_path / "raw" / name, labels.astype(kind))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    colours = np.repeat(labels[..., None] * 50, 3, axis=2)
    Image.fromarray(np.rot90(colours)).save(tmp_path / "raw" / "turned.jpg", exif=exif)
    for name in ("double", "half", "turned"):
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), labels)
    source = SourceRules(str(tmp_path / "masks"), str(tmp_path / "raw"))
    prepare(source, str(tmp_path / "out"), splits=SplitRules(0))
    for name in ("double", "half", "turned"):
        written = Image.open(tmp_path / "out" / "images" / f"{name}.png")
        assert written.size == toy.SIZE[::-1] and not written.getexif()
    difference = np.asarray(written.convert("L")).astype(int) - colours[..., 0]
    assert np.median(np.abs(difference)) < 9


def test_annotations_in_a_folder_without_images(tmp_path):
    path = toy.write_labelme(tmp_path / "json", toy.ALL)
    (tmp_path / "images").mkdir()
    path.with_name("a.png").rename(tmp_path / "images" / "a.png")
    labelme = json.loads(path.read_text())
    path.write_text(json.dumps({**labelme, "imagePath": "../images/a.png"}), encoding="utf-16")
    source = SourceRules(str(tmp_path / "json"), str(tmp_path / "images"))
    assert "1 train images" in prepare(source, str(tmp_path / "out"), splits=SplitRules(0))
    path.write_text(json.dumps({**labelme, "imagePath": str(tmp_path / "images" / "a.png")}))
    source = SourceRules(str(tmp_path / "json"))
    assert "1 train images" in prepare(source, str(tmp_path / "o"), splits=SplitRules(0))


def test_a_data_set_scored_against_itself_is_perfect(tmp_path):
    path = toy.write_label_studio(tmp_path / "in", toy.ALL)
    prepare(SourceRules(str(path)), str(tmp_path / "out"), splits=SplitRules(0))
    truth = COCO(str(tmp_path / "out" / "annotations" / "instances_train.json"))
    results = [{**annotation, "score": 1.0} for annotation in truth.dataset["annotations"]]
    scores = COCOeval(truth, truth.loadRes(results), "segm")
    scores.evaluate()
    scores.accumulate()
    scores.summarize()
    assert scores.stats[0] == 1


def test_no_name_in_a_file_leads_out_of_the_folder_that_is_written(tmp_path):
    images, root = tmp_path / "in" / "images", tmp_path / "deep" / "out"
    images.mkdir(parents=True)
    for path in (tmp_path / "out.png", images / "in.png"):
        cv2.imwrite(str(path), np.full((40, 50, 3), 90, np.uint8))
    entries = ["../../out.png", str(tmp_path / "out.png"), "in.png"]
    square = [[5, 5, 15, 5, 15, 15, 5, 15]]
    coco = {
        "images": [
            {"id": n, "file_name": name, "height": 40, "width": 50}
            for n, name in enumerate(entries[1:], 1)
        ],
        "categories": [{"id": 1, "name": "../../class"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "segmentation": square} for n in (1, 2)
        ],
    }
    for name in entries[:2]:
        coco["images"][0]["file_name"] = name
        (tmp_path / "in" / "instances.json").write_text(json.dumps(coco))
        before = {path for path in tmp_path.rglob("*") if root not in path.parents}
        prepare(SourceRules(str(tmp_path / "in" / "instances.json"), str(images)), str(root))
        made = {path for path in tmp_path.rglob("*") if root not in path.parents}
        assert made - before <= {root, root.parent}
        assert len(list((root / "images").rglob("*.png"))) == 2
        shutil.rmtree(root)


def write_numbered(folder, images):
    """raw/N.png and masks/N.png; returns what ``prepare`` says of them, each piece an object."""
    for number, labels in enumerate(images):
        for part in ("raw", "masks"):
            (folder / part).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / part / f"{number}.png"), labels)
    rules = SourceRules(str(folder / "masks"), str(folder / "raw"), number_pieces=True)
    return prepare(rules, str(folder / "out"))


@pytest.mark.parametrize(("inverted", "is_said"), [(10, True), (9, True), (8, False)])
def test_inverted_masks_are_doubted_where_nearly_all_are_so(tmp_path, inverted, is_said):
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 10:20] = mask[25:35, 30:50] = 255
    said = write_numbered(tmp_path, [255 - mask] * inverted + [mask] * (10 - inverted))
    line = "0.png has an object that covers 88% of its image and reaches all of its borders"
    assert (line in said) == is_said
    assert (f"({inverted - 1} images more like it)" in said) == is_said


def test_objects_that_are_there_twice_are_counted(tmp_path):
    path = toy.write_labelme(tmp_path, toy.PLAIN)
    content = json.loads(path.read_text())
    content["shapes"] += [{**shape, "label": "twin"} for shape in content["shapes"][:2]]
    path.write_text(json.dumps(content))
    said = prepare(SourceRules(str(path)), str(tmp_path / "out"), splits=SplitRules(0))
    assert f"warning: 2 objects of 1 image ({tmp_path / 'a.png'}) with the same pixels" in said
