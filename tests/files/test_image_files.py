"""Image folders and labels: every odd kind of image becomes RGB, every broken one a reason, names stay apart."""

import errno
import io
import os
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfadv.files import folder_record, image_files, resizing

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 256, (6, 8, 3), np.uint8)
NO_IMAGE = "not a PNG, JPEG, WebP, GIF, BMP or TIFF image"
NO_WHITE = "a TIFF of 32-bit values, of which nothing says what is white"
#: Kinds of files that keep every pixel, and how they are asked to.
EXACT = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}, "BMP": {}, "GIF": {}}


def encoded(image: Image.Image, kind: str = "PNG", **settings) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0")), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_rgb_of_the_right_size_is_taken_as_it_is():
    for filter in resizing.FILTERS:
        np.testing.assert_array_equal(image_files.decode(encoded(Image.fromarray(COLOURS)), (6, 8), filter), COLOURS)


def test_grey_and_black_and_white_are_repeated():
    grey = Image.fromarray(COLOURS[..., 0])
    np.testing.assert_array_equal(image_files.decode(encoded(grey)), np.repeat(COLOURS[..., :1], 3, axis=-1))
    bits = image_files.decode(encoded(grey.point(lambda value: 255 * (value > 99)).convert("1")))
    np.testing.assert_array_equal(bits, np.repeat(np.where(COLOURS[..., :1] > 99, 255, 0), 3, axis=-1))


def test_16_bit_grey_is_rounded_not_cut():
    deep = np.array([[0, 128, 129, 257, 30000, 65407, 65535]], np.uint16)
    expected = np.rint(deep / 257).astype(np.uint8)
    np.testing.assert_array_equal(image_files.decode(encoded(Image.fromarray(deep)))[..., 0], expected)


def test_palettes_are_resolved():
    image = Image.fromarray(COLOURS[:2, :2]).quantize(4)
    np.testing.assert_array_equal(image_files.decode(encoded(image)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_white(mode):
    image = Image.fromarray(COLOURS).convert(mode)
    image.putalpha(Image.fromarray(np.tile(np.array([0, 255], np.uint8), (6, 4))))
    found, opaque = (
        image_files.decode(encoded(image)),
        np.asarray(Image.fromarray(COLOURS).convert(mode).convert("RGB")),
    )
    assert (found[:, ::2] == 255).all()
    np.testing.assert_array_equal(found[:, 1::2], opaque[:, 1::2])


def test_transparent_palette_entries_lie_on_white():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    found = image_files.decode(encoded(image, transparency=0))
    np.testing.assert_array_equal(found, [[[255, 255, 255], [0, 0, 255]]])


def test_cmyk_jpeg_becomes_rgb():
    image = Image.new("RGB", (16, 16), (200, 30, 60))
    found = image_files.decode(encoded(image.convert("CMYK"), "JPEG", quality=100))
    assert np.abs(found.astype(int) - (200, 30, 60)).max() <= 4


def test_the_first_of_several_pictures_is_read():
    """Of an animation, of a document of several pages; every kind is known by its content."""
    other = Image.new("RGB", (8, 6), "red")
    for kind, settings in EXACT.items():
        several = {} if kind == "BMP" else {"save_all": True, "append_images": [other]}
        content = encoded(Image.fromarray(COLOURS), kind, **several, **settings)
        np.testing.assert_array_equal(image_files.decode(content), COLOURS, err_msg=kind)


def test_grey_of_12_and_16_bits_and_white_of_0_in_a_tiff():
    deep = np.array([[0, 128, 129, 257, 30000, 65407, 65535]], np.uint16)
    expected = np.rint(deep / 257).astype(np.uint8)
    content = encoded(Image.fromarray(deep), "TIFF")
    np.testing.assert_array_equal(image_files.decode(content)[..., 0], expected)
    black_is_one = struct.pack("<HHII", 262, 3, 1, 1)
    assert content.count(black_is_one) == 1
    turned = content.replace(black_is_one, struct.pack("<HHII", 262, 3, 1, 0))
    np.testing.assert_array_equal(image_files.decode(turned)[..., 0], 255 - expected)


def test_transparent_gifs_lie_on_white_and_cmyk_tiffs_become_rgb():
    np.testing.assert_array_equal(
        image_files.decode(encoded(Image.new("P", (1, 1)), "GIF", transparency=0)), [[[255] * 3]]
    )
    image = Image.new("RGB", (4, 4), (200, 30, 60))
    np.testing.assert_array_equal(image_files.decode(encoded(image.convert("CMYK"), "TIFF")), np.asarray(image))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_their_exif_says(orientation, kind):
    """Where row 0 and column 0 of the stored image lie in the upright one: the EXIF standard's own definition."""
    corners = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "lt", 6: "rt", 7: "rb", 8: "lb"}
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = image_files.decode(encoded(Image.fromarray(COLOURS), kind, exif=exif, **EXACT[kind]))
    first, second = corners[orientation]
    upright = COLOURS if first in "tb" else COLOURS.transpose(1, 0, 2)
    upright = upright[::-1] if "b" in (first, second) else upright
    upright = upright[:, ::-1] if "r" in (first, second) else upright
    np.testing.assert_array_equal(found, upright)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_says_nothing_about_the_pixels():
    image = encoded(Image.fromarray(COLOURS), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert image_files.decode(image).shape == (6, 8, 3)


def test_resizing_uses_the_named_filter():
    image = Image.fromarray(COLOURS)
    for name in resizing.FILTERS[1:]:
        found = image_files.decode(encoded(image), (3, 5), name)
        np.testing.assert_array_equal(found, np.asarray(image.resize((5, 3), Image.Resampling[name.upper()])))
    with pytest.raises(ValueError, match="expected one of tf-bilinear, nearest, box"):
        image_files.decode(encoded(image), (3, 5), "cubic")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"hello", NO_IMAGE),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", NO_IMAGE),
        (encoded(Image.fromarray(COLOURS), "PPM"), NO_IMAGE),
        (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), NO_WHITE),
        (encoded(Image.fromarray(np.ones((4, 4), np.int32)), "TIFF"), NO_WHITE),
        (encoded(Image.fromarray(COLOURS), "TIFF")[:-30], "broken image data"),
        (encoded(Image.fromarray(np.tile(COLOURS, (9, 9, 1))), "GIF")[:-600], "broken image data"),
        (encoded(Image.fromarray(COLOURS), "BMP")[:-30], "broken image data"),
        (encoded(Image.fromarray(COLOURS))[:-30], "broken image data"),
        (encoded(Image.fromarray(np.tile(COLOURS, (9, 9, 1))), "JPEG")[:-600], "broken image data"),
        (png_of_size(6, 6), "broken image data"),
        (png_of_size(9000, 9000), "more than 64 million pixels"),
        (png_of_size(30000, 30000), "more than 64 million pixels"),
        (png_of_size(2**31 - 1, 2**31 - 1), "more than 64 million pixels"),
    ],
)
def test_what_is_no_image_has_a_reason(tmp_path, content, reason):
    (tmp_path / "x.png").write_bytes(content)
    picture = image_files.try_image(tmp_path / "x.png", (4, 4))
    assert picture.pixels is None
    assert picture.reason == reason  # word for word: it is part of the record, and no address may be in it
    assert picture.sha256 == image_files.file_hash(tmp_path / "x.png")


def test_noise_never_raises_anything_but_unreadable():
    whole = encoded(Image.fromarray(COLOURS), "JPEG") + encoded(Image.fromarray(COLOURS))
    for seed in range(200):
        random = np.random.default_rng(seed)
        content = bytearray(whole if seed % 2 else encoded(Image.fromarray(COLOURS)))
        for place in random.integers(0, len(content), 5):
            content[place] = random.integers(256)
        try:
            assert image_files.decode(bytes(content), (4, 4)).shape == (4, 4, 3)
        except image_files.Unreadable:
            pass


def test_files_that_cannot_be_read_have_a_reason(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    assert image_files.try_image(tmp_path / "pipe.png").reason == "not a regular file"
    assert image_files.try_image(tmp_path / "nowhere.png").reason == "cannot be read: No such file or directory"
    assert image_files.find_images(tmp_path) == ["nowhere.png", "pipe.png"]


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "FILE_LIMIT", 1 << 20)
    (tmp_path / "x.png").write_bytes(b"\0" * (2 << 20))
    assert image_files.try_image(tmp_path / "x.png").reason == "file larger than 1 MiB"


def test_images_are_found_in_folders_of_any_depth_and_name(tmp_path):
    names = ["Grüße aus 東京.JPG", "a b/c d.PnG", "a b/e/f.jpeg", "b.png", "z.tar.png"]
    for name in [*names, ".hidden.png", ".cache/x.png", "notes.txt", "a b/labels.csv"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a b" / "up").symlink_to(tmp_path)
    assert image_files.find_images(tmp_path) == sorted(names)


def test_links_to_folders_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x.png").write_bytes(b"")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "link").symlink_to(tmp_path / "real")
    assert image_files.find_images(tmp_path / "images") == ["link/x.png"]


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        image_files.find_images(tmp_path / "gone")
    with pytest.raises(ValueError, match="got an empty folder"):
        image_files.find_images(tmp_path)
    for name in ("a.heic", "b.HEIC", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"expected images \(PNG, .*TIFF\), got other files: 2 .heic, 1 .txt"):
        image_files.find_images(tmp_path)
    with pytest.raises(NotADirectoryError, match="got a file"):
        image_files.find_images(tmp_path / "a.heic")


def test_images_of_every_kind_are_found_and_those_that_cannot_be_read_too(tmp_path):
    names = sorted(f"a{suffix}" for suffix in (*image_files.SUFFIXES, ".heic", ".AVIF", ".jp2", ".cr2"))
    for name in [*names, "notes.txt", "script.py", "labels.csv", "network.npz"]:
        (tmp_path / name).write_bytes(b"")
    assert image_files.find_images(tmp_path) == sorted(names)


def test_avif_alone_is_a_folder_of_images(tmp_path):
    (tmp_path / "a.avif").write_bytes(b"")
    assert image_files.find_images(tmp_path) == ["a.avif"]


def test_each_folder_is_visited_once_under_its_own_name(tmp_path):
    """Eight folders linked to each other have 8! ways through them; two that are linked from outside have one name."""
    folders = [tmp_path / "in" / name for name in "abcdefgh"]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "x.png").write_bytes(b"")
    for folder in folders:
        for other in folders:
            (folder / f"0{other.name}").symlink_to(other)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "y.png").write_bytes(b"")
    for name in ("2", "1"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "other")
    assert image_files.find_images(tmp_path / "in") == ["1/y.png", *(f"{folder.name}/x.png" for folder in folders)]


def test_loops_and_closed_folders_do_not_hide_the_rest(tmp_path, monkeypatch):
    for name, target in (("loop.png", "loop.png"), ("here", "there"), ("there", "here")):
        (tmp_path / name).symlink_to(tmp_path / target)
    (tmp_path / "closed").mkdir()
    (tmp_path / "x.png").write_bytes(encoded(Image.fromarray(COLOURS)))
    scandir = os.scandir

    def refused(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("tfadv.files.listing.os.scandir", refused)
    names = image_files.find_images(tmp_path)
    assert names == ["closed", "loop.png", "x.png"]
    reasons = [image_files.try_image(tmp_path / name).reason for name in names]
    assert reasons == ["a folder that cannot be opened", "cannot be read: Too many levels of symbolic links", None]


def test_outputs_never_meet():
    names = ["a.jpg", "a.png", "b.JPG", "b.jpeg", "c.jpg", "c.jpg.png", "c.png", "d.jpeg", "d.png/e.png", "x/a.jpg"]
    outputs = image_files.output_names(sorted(names))
    assert outputs["a.png"] == "a.png"
    assert outputs["a.jpg"] == "a.jpg.png"
    assert (outputs["b.JPG"], outputs["b.jpeg"]) == ("b.JPG.png", "b.jpeg.png")
    assert outputs["c.jpg"] == "c.jpg.png.png"
    assert outputs["d.jpeg"] == "d.jpeg.png"  # d.png is a folder
    assert outputs["x/a.jpg"] == "x/a.png"
    assert len(set(outputs.values())) == len(names)


def test_outputs_have_names_that_a_disk_takes():
    names = ["a" * 251 + ".jpg", "a" * 251 + ".png", "ü" * 125 + ".gif", "ü" * 125 + ".png", "b/" + "c" * 250 + ".jpeg"]
    outputs = image_files.output_names(names)
    assert len(set(outputs.values())) == len(names)
    assert all(len(os.fsencode(output.rpartition("/")[2])) <= 255 for output in outputs.values())
    assert outputs[names[1]] == names[1] and outputs[names[0]].startswith("a" * 200)
    assert outputs[names[4]] == "b/" + "c" * 250 + ".png"


def test_outputs_leave_the_record_its_names():
    names = ["Attack.json/x.png", "attack.jsonl/x.jpg", "attack.part-1/x.png", "attack.json_/x.png", "shift.npy/x.png"]
    outputs = image_files.output_names(names, folder_record.ATTACK.taken)
    assert (
        outputs["attack.json_/x.png"] == "attack.json_/x.png" and outputs["Attack.json/x.png"] == "Attack.json_/x.png"
    )
    assert not any(folder_record.ATTACK.taken(output.split("/")[0]) for output in outputs.values())
    assert len(set(outputs.values())) == len(names)


def test_a_png_is_whole_or_not_there(tmp_path, monkeypatch):
    target, temporary = tmp_path / "new" / "x.png", tmp_path / "part"
    written = image_files.write_png(target, COLOURS, temporary)
    np.testing.assert_array_equal(written.pixels, COLOURS)
    assert written.sha256 == image_files.file_hash(target)
    assert not temporary.exists()
    monkeypatch.setattr(
        image_files.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OSError, match="No space"):
        image_files.write_png(Path(tmp_path, "y.png"), COLOURS, temporary)
    assert not (tmp_path / "y.png").exists()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (23, 16)])
def test_any_decoder_reads_what_is_encoded(shape):
    pixels = RANDOM.integers(0, 256, (*shape, 3), np.uint8)
    for given in (pixels, pixels[::-1, ::-1], np.asfortranarray(pixels), np.full_like(pixels, 7)):
        content = image_files.encode(given)
        Image.open(io.BytesIO(content)).verify()  # the checksums
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), given)


@pytest.mark.parametrize("name", ["a.png", "a/b.png", "..a/b..png", "a/./b.png"])
def test_a_name_stays_in_its_folder(tmp_path, name):
    assert image_files.inside(tmp_path, name, "a record", writing=True) == tmp_path / name


@pytest.mark.parametrize("name", ["", ".", "..", "../a.png", "a/../../b.png", "/a.png", "a\0.png", None, 7, ["a.png"]])
def test_a_name_that_leaves_its_folder_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"^a record: expected a name inside of .*Correct that file"):
        image_files.inside(tmp_path, name, "a record")


def test_a_link_out_of_the_folder_is_read_and_not_written_through(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    assert image_files.inside(tmp_path / "out", "link/a.png", "a record") == tmp_path / "out" / "link" / "a.png"
    with pytest.raises(ValueError, match=r"got a link that leads to .*elsewhere\. Remove the link"):
        image_files.inside(tmp_path / "out", "link/a.png", "a record", writing=True)


def test_what_is_written_safely_follows_no_link(tmp_path):
    (tmp_path / "holiday").write_bytes(b"mine")
    for name in ("new", "new.part"):
        (tmp_path / name).symlink_to(tmp_path / "holiday")
    image_files.write_safely(tmp_path / "new", b"ours", tmp_path / "new.part")
    assert (tmp_path / "holiday").read_bytes() == b"mine" and not (tmp_path / "new").is_symlink()
    assert (tmp_path / "new").read_bytes() == b"ours"


def test_what_is_written_whole_is_there_or_what_was_there_before(tmp_path, monkeypatch):
    path = tmp_path / ("n" * 250 + ".json")
    image_files.write_whole(path, b"first")
    (tmp_path / "link").symlink_to(path)
    image_files.write_whole(tmp_path / "link", b"another")
    assert path.read_bytes() == b"first" and not (tmp_path / "link").is_symlink()
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    image_files.write_whole(tmp_path / "pipe", b"flows")
    assert os.read(reader, 9) == b"flows" and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    os.close(reader)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(image_files.os, "fsync", full)
    with pytest.raises(OSError, match="cannot be written: No space left on device. What was there before") as raised:
        image_files.write_whole(path, b"second")
    assert raised.value.errno == errno.ENOSPC and path.read_bytes() == b"first"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link", path.name, "pipe"]


def test_a_name_without_a_suffix_gets_one_of_its_own():
    assert image_files.output_names(["a", "a.png"]) == {"a": "a.png.png", "a.png": "a.png"}
    assert image_files.output_names(["a", "a.jpg", "a.png"]) == {
        "a": "a.png.png",
        "a.jpg": "a.jpg.png",
        "a.png": "a.png",
    }
