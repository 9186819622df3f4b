"""What the reader makes of files, against what was drawn into them."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from detectron2.utils.file_io import PathHandler, PathManager
from PIL import Image

from dml_instance.errors import FileError
from dml_instance.images import PLAIN, ReadingRules, image_size, read_image, read_labels, tiff
from dml_instance.images import reading as reader
from toy_images import DEEP, GREY, KINDS, RGB, SIDES, exif, in_three, stored, stretched

# Of 2 times, 3 slices and 5 channels.
STACK = np.random.default_rng(1).integers(0, 256, (2, 3, 5, 20, 30), dtype=np.uint8)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("error")
def test_a_file_of_any_kind_gives_what_it_shows(tmp_path, name):
    write, shown = KINDS[name]
    path = tmp_path / name
    write(path)
    image = read_image(str(path))
    assert image.dtype == np.uint8 and image.shape == shown.shape
    assert np.abs(image.astype(int) - shown).max() <= (1 if "jp" in name else 0)
    assert image_size(str(path)) == shown.shape[:2]


@pytest.mark.parametrize("orientation", SIDES)
def test_an_orientation_is_obeyed(tmp_path, orientation):
    picture = RGB[:2, :3]
    pixels = stored(picture, orientation)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif(orientation))
    tag = (274, "H", 1, orientation, True)
    tifffile.imwrite(tmp_path / "a.tif", pixels, extratags=[tag], photometric="rgb")
    for path in map(str, tmp_path.iterdir()):
        assert (read_image(path) == picture).all()
        assert image_size(path) == (2, 3)


def assert_refused(path, *parts, rules=PLAIN):
    """By one line with the name of the file and all parts, from pixels and header alike."""
    for read in (read_image, image_size):
        with pytest.raises(FileError) as caught:
            read(str(path), rules)
        message = str(caught.value)
        assert "\n" not in message and all(part in message for part in (str(path), *parts)), message


@pytest.mark.parametrize("ending", ["tif", "gif", "png", "webp"])
def test_a_stack_is_refused_or_its_page_chosen(tmp_path, ending):
    path = tmp_path / f"stack.{ending}"
    frames = [Image.fromarray(page) for page in STACK[0, :, 0]]
    options = {"lossless": True} if ending == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    assert_refused(path, "holds 3 images", "20 x 30", "--page, 0 to 2")
    assert_refused(path, "no page 3", "3 images", rules=ReadingRules(page=3))
    for number, page in enumerate(STACK[0, :, 0]):
        assert (read_image(str(path), ReadingRules(page=number)) == in_three(page)).all()


def test_pages_are_channels_where_channels_are_chosen_and_no_page(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK[0, :, 0], photometric="minisblack")
    rgb = read_image(str(path), ReadingRules(channels=(2, 0)))
    assert (rgb == np.dstack([STACK[0, 2, 0], STACK[0, 0, 0], np.zeros_like(GREY)])).all()
    assert_refused(path, "no page 3", rules=ReadingRules(channels=(0, 3)))
    Image.fromarray(GREY).save(tmp_path / "single.tif")
    for rules in (ReadingRules(page=2), ReadingRules(channels=(0,))):
        assert (read_image(str(tmp_path / "single.tif"), rules) == in_three(GREY)).all()


@pytest.mark.parametrize("options", [{"imagej": True}, {"imagej": True, "truncate": True}, {}])
def test_a_page_is_of_all_axes_but_channels(tmp_path, options):
    """Of ImageJ's stacks, which beyond 4 GB have one header for all planes, and OME-TIFF."""
    path = tmp_path / ("stack.tif" if options else "stack.ome.tif")
    axes = {"axes": "TZCYX"}
    tifffile.imwrite(path, STACK, metadata=axes, photometric="minisblack", **options)
    assert_refused(path, "holds 6 images", "TZCYX 2 x 3 x 5 x 20 x 30")
    assert_refused(path, "5 channels", "--channels, 0 to 4", rules=ReadingRules(page=4))
    assert_refused(path, "no channel 5", rules=ReadingRules(page=4, channels=(5,)))
    rgb = read_image(str(path), ReadingRules(page=4, channels=(3, 1, 2)))
    assert (rgb == np.moveaxis(STACK[1, 1, [3, 1, 2]], 0, -1)).all()


def test_channels_may_come_before_pages(tmp_path):
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "CZYX"}
    tifffile.imwrite(path, np.moveaxis(STACK[0], 1, 0), metadata=metadata, photometric="minisblack")
    assert_refused(path, "holds 3 images", "CZYX 5 x 3 x 20 x 30")
    rgb = read_image(str(path), ReadingRules(page=1, channels=(3, 1, 2)))
    assert (rgb == np.moveaxis(STACK[0, 1, [3, 1, 2]], 0, -1)).all()


@pytest.mark.parametrize("count", [2, 4, 5])
def test_other_numbers_of_channels_are_refused_or_chosen_from(tmp_path, count):
    path, deep = tmp_path / "a.tif", STACK[0, 0].astype(np.uint16)[:count] * 9
    for planes, pixels in (("separate", deep), ("contig", np.moveaxis(deep, 0, -1))):
        layout = {"photometric": "minisblack", "planarconfig": planes}
        tifffile.imwrite(path, pixels, **layout)
        assert_refused(path, f"{count} channels", "uint16", f"--channels, 0 to {count - 1}")
        grey = read_image(str(path), ReadingRules(channels=(1,)))
        assert (grey == in_three(stretched(deep[1]))).all()
        two = read_image(str(path), ReadingRules(channels=(1, 0)))
        assert (two[..., :2] == stretched(np.dstack([deep[1], deep[0]]))).all()
        assert not two[..., 2].any()


def test_of_reduced_copies_masks_slides_and_files_of_a_set_the_image_itself_is_read(tmp_path):
    path = str(tmp_path / "a.tif")
    with tifffile.TiffWriter(path) as writer:
        writer.write(GREY)
        writer.write(RGB[:7, :9], subfiletype=1, photometric="rgb")
        writer.write(GREY > 9, subfiletype=4)
    assert (read_image(path) == in_three(GREY)).all()
    with tifffile.TiffWriter(path) as writer:
        writer.write(RGB, subifds=1, tile=(16, 16), photometric="rgb")
        writer.write(RGB[::2, ::2], subfiletype=1, tile=(16, 16), photometric="rgb")
    assert (read_image(path) == RGB).all()
    with tifffile.TiffWriter(path) as writer:
        slide = {"photometric": "rgb", "description": "Aperio Image Library", "metadata": None}
        writer.write(RGB, tile=(16, 16), **slide)
        writer.write(RGB[:7, :9], **slide)
    assert (read_image(path) == RGB).all()
    uuid = "urn:uuid:00000000-0000-0000-0000-00000000000"
    plane = "<TiffData FirstC='{0}'><UUID FileName='{0}.ome.tif'>{1}{0}</UUID></TiffData>"
    pixels = (
        "<Pixels ID='Pixels:0' DimensionOrder='XYCZT' Type='uint8' SizeX='30' SizeY='20' "
        f"SizeC='2' SizeZ='1' SizeT='1'>{plane.format(0, uuid)}{plane.format(1, uuid)}</Pixels>"
    )
    for number in (0, 1):
        description = (
            "<OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2016-06' "
            f"UUID='{uuid}{number}'><Image ID='Image:0'>{pixels}</Image></OME>"
        )
        file = tmp_path / f"{number}.ome.tif"
        tifffile.imwrite(file, GREY + number, description=description, metadata=None)
    assert (read_image(str(tmp_path / "1.ome.tif")) == in_three(GREY + 1)).all()


def test_a_photograph_with_a_preview_is_no_stack(tmp_path):
    images = [Image.fromarray(RGB), Image.fromarray(RGB[::2, ::2])]
    images[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=images[1:])
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.n_frames == 2
        assert (read_image(str(tmp_path / "a.jpg")) == np.asarray(image)).all()


def test_how_large_an_image_is_read_is_ours_to_say(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for name in ("colour.png", "deep.tif"):
        path = tmp_path / name
        KINDS[name][0](path)
        assert_refused(path, "20 x 30", "599", "--max-pixels", rules=ReadingRules(max_pixels=599))
        assert read_image(str(path), ReadingRules(max_pixels=600)).shape == (20, 30, 3)
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_cut_short_is_refused_or_whole(tmp_path, name):
    path = tmp_path / name
    KINDS[name][0](path)
    whole, content = read_image(str(path)), path.read_bytes()
    messages = []
    for kept in np.linspace(0, len(content) - 1, 16).astype(int):
        path.write_bytes(content[:kept])
        try:
            assert (read_image(str(path)) == whole).all()
        except FileError as error:
            messages.append(str(error))
    assert len(messages) >= 14
    for message in messages:
        assert str(path) in message and "Mend or replace this file" in message
        assert "\n" not in message


def test_a_stack_that_lost_pages_is_no_image_and_neither_is_one_that_lost_strips(tmp_path):
    path = tmp_path / "a.tif"
    frames = [Image.fromarray(page) for page in STACK[0, :, 0]]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert_refused(path, "cut short", "Mend")
    tifffile.imwrite(path, GREY, compression="lzw", rowsperstrip=20)
    one, four = (struct.pack("<HHII", 278, 4, 1, rows_of_a_strip) for rows_of_a_strip in (20, 5))
    path.write_bytes(path.read_bytes().replace(one, four))
    with pytest.raises(FileError, match="cut short"):
        read_image(str(path))


@pytest.mark.parametrize("options", [{"rowsperstrip": 10}, {"tile": (16, 16)}])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_lzw_on_which_its_decoder_may_end_the_program_is_broken(tmp_path, options, is_reversed):
    """A strip or tile, not the first, in which no byte follows a code that clears the table."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, DEEP, compression="lzw", **options)
    if is_reversed:
        # A tag that says that bytes begin with their lowest bit instead of one on resolution.
        found, other = struct.pack("<HHII", 296, 3, 1, 1), struct.pack("<HHII", 266, 3, 1, 2)
        assert path.read_bytes().count(found) == 1
        path.write_bytes(path.read_bytes().replace(found, other))
    with tifffile.TiffFile(path) as file:
        parts = list(zip(file.pages[0].dataoffsets, file.pages[0].databytecounts, strict=True))
    in_order = imagecodecs.bitorder_decode if is_reversed else bytes
    content = bytearray(path.read_bytes())
    for start, length in parts:
        content[start : start + length] = in_order(bytes(content[start : start + length]))
    path.write_bytes(content)
    assert (read_image(str(path)) == in_three(stretched(DEEP))).all()
    start, _ = parts[1]
    # Clear, 1 + 2 + ... + 30 bytes, clear, and the first entry of a table that has none; 40 codes
    # of 9 bits are 45 bytes.
    codes = [256, 7, *range(258, 287), 256, 258]
    broken = sum(code << 9 * (39 - place) for place, code in enumerate(codes))
    content[start : start + 45] = in_order(broken.to_bytes(45, "big"))
    path.write_bytes(content)
    with pytest.raises(FileError, match="LZW codes are broken.* Mend"):
        read_image(str(path))


def test_a_decoder_that_may_end_the_program_on_broken_files_gets_none(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, compression="jpegxr")
    assert_refused(tmp_path / "a.tif", "JPEG XR", "save it with another compression")


def test_data_that_claim_more_memory_than_their_image_are_broken(tmp_path, monkeypatch):
    """As LERC may, that takes what its data ask for; fuzz_images.py breaks some."""
    tifffile.imwrite(tmp_path / "a.tif", GREY, compression="lerc")

    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", fail)
    with pytest.raises(FileError, match=r"a\.tif: .*larger than its image.* Mend"):
        read_image(str(tmp_path / "a.tif"))
    # Where there is too little for the image itself, the file is not to blame.
    monkeypatch.setattr(tiff.np, "empty", fail)
    with pytest.raises(MemoryError):
        read_image(str(tmp_path / "a.tif"))


def test_pages_may_differ(tmp_path):
    path = str(tmp_path / "a.tif")
    with tifffile.TiffWriter(path) as writer:
        writer.write(GREY)
        writer.write(RGB[:7, :9], photometric="rgb")
    assert_refused(path, "holds 2 images")
    for page, shown in ((0, in_three(GREY)), (1, RGB[:7, :9])):
        assert (read_image(path, ReadingRules(page=page)) == shown).all()
        assert image_size(path, ReadingRules(page=page)) == shown.shape[:2]


@pytest.mark.parametrize("axes", ["YXS", "YXQ", "QYXQ", "ZYXS"])
def test_an_axis_of_one_value_a_pixel_is_none(tmp_path, axes):
    """As arrays of the shape (H, W, 1) are written."""
    path = tmp_path / "a.tif"
    stack = np.stack([GREY, GREY // 2])[..., None]
    is_stack = len(axes) == 4
    options = {"photometric": "minisblack", "metadata": {"axes": axes}}
    tifffile.imwrite(path, stack if is_stack else stack[1], **options)
    rules = ReadingRules(page=1 if is_stack else None)
    assert (read_image(str(path), rules) == (GREY // 2)[..., None]).all()
    assert (read_labels(str(path), rules) == GREY // 2).all()


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / "head.tif").write_bytes(b"II*\0")
    assert_refused(tmp_path / "head.tif", "head.tif: it is broken, or cut short. Mend")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    assert_refused(tmp_path / "text.png", "no image, or of a format that is not known")
    assert_refused(tmp_path / "folder.png", "Is a directory")
    assert_refused(tmp_path / "absent.png", "No such file or directory")
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(np.complex64))
    with pytest.raises(FileError, match=r"a\.tif: it holds complex64"):
        read_image(str(tmp_path / "a.tif"))
    tifffile.imwrite(tmp_path / "a.tif", GREY, metadata=None)
    some, none = (struct.pack("<HHII", 257, 4, 1, height) for height in (20, 0))
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes().replace(some, none))
    assert_refused(tmp_path / "a.tif", "no pixels")


@pytest.mark.parametrize("back_to", [0, 1, 149])
def test_pages_in_a_circle_are_refused(tmp_path, back_to):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((150, 2, 3), np.uint8), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        offsets = [page.offset for page in tiff.pages]
        end = tiff.pages.next_page_offset
    content = path.read_bytes()
    assert content[end : end + 4] == bytes(4)
    path.write_bytes(content[:end] + struct.pack("<I", offsets[back_to]) + content[end + 4 :])
    assert_refused(path, "in a circle")


def test_a_tile_much_larger_than_its_image_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, tile=(32, 32), compression="zlib", metadata=None)
    assert (read_image(str(path)) == in_three(GREY)).all()
    content = path.read_bytes()
    for tag in (322, 323):
        start = content.index(struct.pack("<H", tag), 8) + 8
        content = content[:start] + struct.pack("<H", 60_000) + content[start + 2 :]
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"a\.tif: .*its tiles are larger than it: .60000"):
        read_image(str(path))


def test_planes_that_are_not_there_are_refused(tmp_path):
    """Of a planar configuration that is none, which tifffile takes for planes."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", compression="zlib", metadata=None)
    content = path.read_bytes()
    start = content.index(struct.pack("<HHI", 284, 3, 1)) + 8
    path.write_bytes(content[:start] + struct.pack("<H", 16) + content[start + 2 :])
    with pytest.raises(FileError, match=r"a\.tif: .*cut short"):
        read_image(str(path))


def test_lengths_that_a_header_claims_take_no_memory(tmp_path):
    """Of a box of JPEG 2000 that claims 2 ** 62 bytes."""
    path = tmp_path / "a.jp2"
    KINDS["deep.jp2"][0](path)
    content = path.read_bytes()
    place = content.index(b"jp2h") - 4
    claim = struct.pack(">I4sQ", 1, b"jp2h", 2**62)
    path.write_bytes(content[:place] + claim + content[place + 8 :])
    assert_refused(path, "Mend or replace this file")


def test_exif_whose_tags_lie_behind_its_end_gives_no_warning(tmp_path, recwarn):
    broken = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\2\0\0\0\xff\0\0\0\xff"
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=broken)
    assert read_image(str(tmp_path / "a.jpg")).shape == RGB.shape
    assert not recwarn.list


def test_neither_a_lack_of_memory_nor_a_bug_is_blamed_on_a_file(tmp_path, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / "a.png")

    def fail(*_):
        raise error

    for error, place in (
        (MemoryError(), (Image.Image, "load")),
        (MemoryError(), (reader, "to_eight_bit")),
        (ValueError("a bug"), (reader, "to_eight_bit")),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(*place, fail)
            with pytest.raises(type(error)) as caught:
                read_image(str(tmp_path / "a.png"))
            assert caught.value is error


def test_broken_exif_is_none(tmp_path, recwarn):
    for data in (b"Exif\0\0nonsense", b"", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        file = io.BytesIO()
        Image.fromarray(RGB).save(file, "webp", lossless=True, exif=data)
        (tmp_path / "a.webp").write_bytes(file.getvalue())
        assert (read_image(str(tmp_path / "a.webp")) == RGB).all()
    assert not recwarn.list


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"page": -1}, "--page"),
        ({"channels": ()}, "--channels"),
        ({"channels": (0, 1, 2, 3)}, "--channels .* got 0 1 2 3"),
        ({"channels": (-1,)}, "--channels"),
        ({"max_pixels": 0}, "--max-pixels"),
    ],
)
def test_rules_out_of_range_are_refused(options, named):
    with pytest.raises(ValueError, match=named):
        ReadingRules(**options)


def test_paths_of_detectron2_are_opened_by_it(tmp_path):
    class InFolder(PathHandler):
        def _get_supported_prefixes(self):
            return ["kept://"]

        def _open(self, path, mode="r", **kwargs):
            return open(tmp_path / path.removeprefix("kept://"), mode)

    Image.fromarray(RGB).save(tmp_path / "a.png")
    PathManager.register_handler(InFolder(), allow_override=True)
    np.testing.assert_array_equal(read_image("kept://a.png"), RGB)
    with pytest.raises(FileError, match=r"cannot read kept://b\.png: No such file"):
        read_image("kept://b.png")
