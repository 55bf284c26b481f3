"""Masks of the user's: what they keep stays as it is, byte by byte; what is wrong with them is said before the work."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from folders import NET, SIZE, pictures, small, stopped
from PIL import Image

import tfadv
from tfadv.attacks import recipes
from tfadv.cli import main
from tfadv.files import image_files, masks
from tfadv.folders.craft import craft_folder

BIM = recipes.bim(steps=3)


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """images/ and masks/ beside it: the left half may change, a strip in the middle by a half."""
    root = tmp_path_factory.mktemp("masked")
    (root / "images").mkdir()
    pictures(root / "images")
    for path in (root / "images").rglob("*.*"):
        name = path.relative_to(root / "images").with_suffix(".png")
        try:
            height, width = image_files.size_of(path.read_bytes())
        except image_files.Unreadable:
            height, width = SIZE, SIZE
        levels = np.zeros((height, width), np.uint8)
        levels[:, :6], levels[:, 6:8] = 255, 128
        (root / "masks" / name).parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(levels).save(root / "masks" / name)
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "masked")


@pytest.mark.parametrize(
    "attack",
    [
        BIM,
        recipes.pim(steps=2),
        recipes.fia(steps=2, copies=2, layer="Mixed"),
        recipes.pgd(steps=2),
        tfadv.Ascent(tfadv.CrossEntropy(), tfadv.Momentum() >> tfadv.Sign(4.0), tfadv.L2(60.0), steps=2),
    ],
)
def test_only_what_the_masks_name_changes_on_the_files(root, network, tmp_path, attack):
    report = craft_folder(root / "images", tmp_path / "out", attack, network, masks=root / "masks")
    assert len(report.done) == 21 and "GivenRegion()" in report.experiment["attack"]
    for entry in report.done:
        result = image_files.read_image(tmp_path / "out" / entry["output"])
        clean = image_files.read_image(root / "images" / entry["file"], (SIZE, SIZE))
        np.testing.assert_array_equal(result[:, 8:], clean[:, 8:])
        assert np.any(result[:, :6] != clean[:, :6])
        assert len(entry["mask_sha256"]) == 64


def test_white_masks_change_nothing_about_the_attack_and_shares_take_their_part_of_a_step(root, network, tmp_path):
    one = recipes.fgsm(epsilon=20)
    plain = craft_folder(root / "images", tmp_path / "plain", one, network)
    for level, name in ((255, "white"), (102, "part")):
        Image.new("L", (5, 7), level).save(tmp_path / f"{name}.png")
        craft_folder(root / "images", tmp_path / name, one, network, masks=tmp_path / f"{name}.png")
    for entry in plain.done:
        clean, whole, white, part = (
            image_files.read_image(tmp_path / folder / entry["output"]).astype(int)
            for folder in ("plain/clean", "plain", "white", "part")
        )
        np.testing.assert_array_equal(white, whole)
        inside = (clean >= 20) & (clean <= 235)
        np.testing.assert_array_equal((part - clean)[inside], np.rint((whole - clean) * 0.4)[inside])


def test_a_run_goes_on_with_the_same_masks_alone(root, network, tmp_path, monkeypatch):
    settings = {"masks": root / "masks", "batch_size": 4}
    whole = craft_folder(root / "images", tmp_path / "whole", BIM, network, **settings)
    with stopped(monkeypatch, after=13):
        craft_folder(root / "images", tmp_path / "out", BIM, network, **settings)
    other = shutil.copytree(root / "masks", tmp_path / "other")
    Image.new("L", (SIZE, SIZE), 9).save(other / "03.png")
    for masks_, differs in (
        (other, "masks sha256 is .* there, .* now"),
        (None, "masks is .* there, null now"),
        (other / "03.png", "masks from is folder there, file now"),
    ):
        with pytest.raises(ValueError, match=f"holds another experiment: .*{differs}"):
            craft_folder(root / "images", tmp_path / "out", BIM, network, **settings | {"masks": masks_})
    again = craft_folder(root / "images", tmp_path / "out", BIM, network, **settings)
    assert again.images == whole.images
    assert (tmp_path / "out/attack.json").read_bytes() == (tmp_path / "whole/attack.json").read_bytes()
    assert again.experiment["masks"]["count"] == 23


def spoiled(folder, kind):
    """A mask that cannot be used, and why."""
    path, levels = folder / "03.png", np.full((SIZE, SIZE), 200, np.uint8)
    if kind == "missing":
        path.unlink()
        return "expected a mask of each image, of the same name as a PNG, got none of 1 of 23, such as 03.png"
    if kind == "broken":
        path.write_bytes(path.read_bytes()[:60])
        return "masks: 1 cannot be used: .*03.png .broken image data"
    if kind == "folder":
        path.unlink()
        path.mkdir()
        return "03.png .a folder that cannot be opened"
    content = {
        "black": levels * 0,
        "ones": levels // 200,
        "size": levels[:5],
        "colours": np.stack([levels, levels, levels - 1], -1),
        "transparent": np.stack([levels] * 4, -1),
        "jpeg": levels,
    }[kind]
    Image.fromarray(content).save(path, "JPEG" if kind == "jpeg" else "PNG")
    return {
        "black": "black everywhere: nothing may change",
        "ones": "expected grey levels 0..255, got 0 and 1: multiply by 255",
        "size": "expected 16 x 16 pixels as its image has, got 5 x 16",
        "colours": "in colours: expected a greyscale PNG",
        "transparent": "transparent: expected a PNG of grey levels alone",
        "jpeg": "a JPEG: expected a greyscale PNG, whose levels are exact",
    }[kind]


@pytest.mark.parametrize(
    "kind", ["missing", "broken", "folder", "black", "ones", "size", "colours", "transparent", "jpeg"]
)
def test_masks_that_cannot_be_used_are_named_before_the_work(root, network, tmp_path, kind):
    with pytest.raises(ValueError, match=spoiled(root / "masks", kind)):
        craft_folder(root / "images", tmp_path / "out", BIM, network, masks=root / "masks")
    assert not (tmp_path / "out").exists()


def test_a_mask_belongs_to_one_image(tmp_path):
    for name in ("images/a.jpg", "images/a.png", "images/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), "red").save(tmp_path / name)
    (tmp_path / "masks").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("L", (4, 4), 255).save(tmp_path / "masks" / name)
    with pytest.raises(ValueError, match="got none of 1 of 3, such as a.jpg"):
        masks.read(tmp_path / "masks", tmp_path / "images", ["a.jpg", "a.png", "b.jpg"], (4, 4))
    Image.new("L", (4, 4), 255).save(tmp_path / "masks" / "b.jpg", "PNG")
    with pytest.raises(ValueError, match="expected one mask of b.jpg, got b.jpg and b.png"):
        masks.read(tmp_path / "masks", tmp_path / "images", ["b.jpg"], (4, 4))
    with pytest.raises(ValueError, match="expected a name inside of"):
        masks.read(tmp_path / "masks", tmp_path / "images", ["../b.png"], (4, 4))
    with pytest.raises(FileNotFoundError, match="no such folder of masks, nor a file of one"):
        masks.read(tmp_path / "gone", tmp_path / "images", ["b.jpg"], (4, 4))
    found = masks.read(tmp_path / "masks", tmp_path / "images", ["a.png"], (4, 4))
    (tmp_path / "masks" / "a.png").write_bytes((tmp_path / "masks" / "a.png").read_bytes() + b"\0")
    with pytest.raises(ValueError, match="the mask has changed since this run began"):
        found("a.png")


def test_a_mask_turns_and_shrinks_as_its_image_does(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, shown upright
    Image.new("RGB", (8, 4), "red").save(tmp_path / "a.jpg", exif=exif)
    levels = np.zeros((8, 4), np.uint8)
    levels[:4] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(levels).save(tmp_path / "masks" / "a.png")
    found = masks.read(tmp_path / "masks", tmp_path, ["a.jpg"], (4, 2))("a.jpg")
    np.testing.assert_array_equal(found[..., 0], [[255, 255], [255, 255], [0, 0], [0, 0]])


def test_a_search_takes_no_masks(root, network, tmp_path):
    with pytest.raises(ValueError, match="masks=: expected an attack by gradient ascent, such as bim, .*got DeepFool"):
        craft_folder(root / "images", tmp_path / "out", recipes.deepfool(), network, masks=root / "masks")


def test_in_python_a_goal_names_the_pixels(network):
    images = np.full((2, SIZE, SIZE, 3), 100, np.float32)
    shares = np.zeros((2, SIZE, SIZE, 1), np.float32)
    shares[0, :4] = shares[1, :, 5:] = 1
    plain = tfadv.Ascent(tfadv.CrossEntropy(), tfadv.Sign(4.0), tfadv.Linf(8.0), 2)
    craft, plain = dataclasses.replace(plain, region=tfadv.GivenRegion()).on(network), plain.on(network)
    changed = np.any(craft(images, tfadv.untargeted([0, 1], shares)) != images, axis=-1, keepdims=True)
    np.testing.assert_array_equal(changed & (shares == 0), False)
    assert changed[0].any() and changed[1].any()
    everywhere = craft(images, tfadv.untargeted([0, 1]))
    np.testing.assert_array_equal(everywhere, plain(images, tfadv.untargeted([0, 1])))
    for wrong in (shares * 255 * 2, shares[..., 0], shares.astype(int)):
        with pytest.raises(ValueError, match="expected shares of 0..1"):
            craft(images, tfadv.targeted([0, 1], wrong))
    with pytest.raises(ValueError, match="expected shares for an attack with region=GivenRegion"):
        plain(images, tfadv.untargeted([0, 1], shares))


def test_the_command_line(root, monkeypatch):
    monkeypatch.chdir(root)
    (root / "nets.py").write_text(NET)
    words = ["attack", "bim", "images", "adv", "--source", "nets.py:build", "--set", "steps=2"]
    done = CliRunner().invoke(main, [*words, "--mask-dir", "masks"])
    assert done.exit_code == 3 and "region=GivenRegion()" in done.output  # two images are broken
    assert json.loads((root / "adv/attack.json").read_text())["masks"]["from"] == "folder"
    done = CliRunner().invoke(main, [*words, "--mask", "masks/03.png"])
    assert done.exit_code == 1 and "holds another experiment" in done.output
    for wrong in ("--mask-dir masks --mask masks/03.png", "--mask masks", "--mask-dir masks/03.png"):
        assert CliRunner().invoke(main, [*words, *wrong.split()]).exit_code == 2
