"""Real files of every format through a run: which are read as what, and that what cannot be read is named."""

import io

import numpy as np
import pytest
from click.testing import CliRunner
from folders import NET, SIZE
from PIL import Image

from tfadv.cli import main
from tfadv.files import folder_record, image_files

RAMP = np.linspace(0, 255, SIZE * SIZE).reshape(SIZE, SIZE)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP.T], -1).astype(np.uint8)
#: By how many levels a lossy file, or CMYK without a profile, may differ.
LOSSY = 40


def gif(path):
    """Two pictures, of which the first is the image."""
    first = Image.fromarray(COLOURS).quantize(64)
    first.save(path, save_all=True, append_images=[Image.new("P", (SIZE, SIZE))])
    return np.asarray(first.convert("RGB"))


def deep(path):
    levels = np.rint(RAMP * 257).astype(np.uint16)
    Image.fromarray(levels).save(path)
    return np.repeat(np.rint(levels / 257)[..., None], 3, -1)


def saved(path, image=None, **settings):
    (Image.fromarray(COLOURS) if image is None else image).save(path, **settings)
    return COLOURS


CMYK = Image.fromarray(COLOURS).convert("CMYK")
#: File -> what writes it and returns its pixels, and by how much they may differ.
WRITTEN = {
    "a.webp": (lambda path: saved(path, lossless=True), 0),
    "b.webp": (lambda path: saved(path, quality=95), LOSSY),
    "c.bmp": (saved, 0),
    "d.tiff": (saved, 0),
    "e.tif": (lambda path: saved(path, compression="tiff_lzw"), 0),
    "f.gif": (gif, 0),
    "g.png": (deep, 0),
    "h.tif": (deep, 0),
    "i.jpg": (lambda path: saved(path, CMYK, quality=100, subsampling=0), LOSSY),
    "j.tif": (lambda path: saved(path, CMYK), 0),
    "K.JPEG": (lambda path: saved(path, quality=98, subsampling=0), LOSSY),
}
#: Files that are no such images, and what is said of them.
REFUSED = {
    "x.tif": "a TIFF of 32-bit values, of which nothing says what is white",
    "y.jp2": "not a PNG, JPEG, WebP, GIF, BMP or TIFF image",
    "z.webp": "not a PNG, JPEG, WebP, GIF, BMP or TIFF image",
    "u.png": "broken image data",
    "w.bmp": "not a PNG, JPEG, WebP, GIF, BMP or TIFF image",
    "v.heic": "not a PNG, JPEG, WebP, GIF, BMP or TIFF image",
}


@pytest.fixture(scope="module")
def crafted(tmp_path_factory):
    root = tmp_path_factory.mktemp("formats")
    images = root / "images"
    images.mkdir()
    pixels = {name: write(images / name) for name, (write, _) in WRITTEN.items()}
    Image.fromarray(RAMP.astype(np.float32)).save(images / "x.tif")
    (images / "y.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n")
    webp = io.BytesIO()
    Image.fromarray(COLOURS).save(webp, "WEBP", lossless=True)
    (images / "z.webp").write_bytes(webp.getvalue()[: len(webp.getvalue()) // 2])
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    Image.fromarray(noise).save(images / "u.png")
    (images / "u.png").write_bytes((images / "u.png").read_bytes()[:300])
    (images / "w.bmp").write_bytes(b"hello")
    (images / "v.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (root / "nets.py").write_text(NET)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        done = CliRunner().invoke(main, ["attack", "fgsm", "images", "adv", "--source", "nets.py:build"])
    return root, pixels, done


@pytest.mark.parametrize("name", WRITTEN)
def test_it_is_read_as_its_pixels(crafted, name):
    root, pixels, done = crafted
    entry = folder_record.read(root / "adv")[1][name]
    assert entry["status"] == "done", done.output
    far = np.abs(image_files.read_image(root / "adv" / "clean" / entry["output"]) - pixels[name].astype(float))
    assert far.max() <= WRITTEN[name][1]


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_named_with_its_reason(crafted, name):
    root, _, done = crafted
    assert done.exit_code == 3 and f"skipped {name}: {REFUSED[name]}" in done.output
    assert folder_record.read(root / "adv")[1][name]["reason"] == REFUSED[name]
