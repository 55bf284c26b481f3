"""TF-slim checkpoints come back bit for bit from every form, and whatever does not match is named."""

import json
import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfadv.checkpoints import reader

FIRST = "Conv2d_1a_3x3"
PREACT = "block1.unit_1.bottleneck_v2.preact"


def network(aux: bool = False, dtype: str = "float32") -> keras.Model:
    """A few layers of each kind that slim's networks have, named like them."""
    layers = keras.layers
    images = keras.Input((8, 8, 3), dtype=dtype)
    x = layers.Conv2D(4, 3, use_bias=False, name=FIRST, dtype=dtype)(images)
    x = layers.BatchNormalization(scale=False, epsilon=1e-3, name=f"{FIRST}.BatchNorm", dtype=dtype)(x)
    x = layers.BatchNormalization(name=PREACT, dtype=dtype)(x)
    x = layers.Dropout(0.5, dtype=dtype)(x)
    logits = layers.Dense(5, name="Logits.Logits", dtype=dtype)(layers.Flatten(dtype=dtype)(x))
    outputs = [logits, layers.Conv2D(2, 1, name="AuxLogits.Conv2d_2b_1x1", dtype=dtype)(x)] if aux else logits
    return keras.Model(images, outputs, name="tiny")


def tensors(scope: str = "Tiny", aux: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    """What the checkpoint of `network()` holds."""
    draw = np.random.default_rng(seed).standard_normal
    held = {
        key: draw(tuple(variable.shape)).astype(np.float32)
        for key, variable in reader.checkpoint_keys(network(aux=aux), scope).items()
    }
    return {**held, "global_step": np.int64(7)}


def write(path: Path, held: dict[str, np.ndarray], version: int) -> Path:
    """Save tensors with the op that the Saver of 2016 (version 1) or 2017 (version 2) runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names, values = list(held), [tf.constant(value) for value in held.values()]
    if version == 1:
        tf.raw_ops.Save(filename=str(path), tensor_names=names, data=values)
    else:
        slices = [""] * len(names)
        tf.raw_ops.SaveV2(prefix=str(path), tensor_names=names, shape_and_slices=slices, tensors=values)
        path.with_name(path.name + ".meta").write_bytes(b"a graph that nobody reads")
    return path


def pack(tarball: Path, *files: Path) -> Path:
    with tarfile.open(tarball, "w:gz", compresslevel=1) as archive:
        for file in files:
            archive.add(file, file.name)
    return tarball


def assert_loaded(model: keras.Model, held: dict[str, np.ndarray], scope: str = "Tiny") -> None:
    for key, variable in reader.checkpoint_keys(model, scope).items():
        np.testing.assert_array_equal(np.asarray(variable), held[key], err_msg=key)


def weights(model: keras.Model) -> list[np.ndarray]:
    return [np.array(value) for value in model.get_weights()]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """one/tiny.ckpt (V1) and two/tiny.ckpt.index, .data, .meta (V2), and both as tarballs."""
    folder = tmp_path_factory.mktemp("checkpoints")
    write(folder / "one" / "tiny.ckpt", tensors(), 1)
    write(folder / "two" / "tiny.ckpt", tensors(), 2)
    pack(folder / "one.tar.gz", folder / "one" / "tiny.ckpt")
    pack(folder / "two.tar.gz", *(folder / "two").iterdir())
    return folder


def test_keys_are_computed_from_the_layers_names():
    assert list(reader.checkpoint_keys(network(aux=True), "Tiny")) == [
        "Tiny/Conv2d_1a_3x3/weights",
        "Tiny/Conv2d_1a_3x3/BatchNorm/beta",
        "Tiny/Conv2d_1a_3x3/BatchNorm/moving_mean",
        "Tiny/Conv2d_1a_3x3/BatchNorm/moving_variance",
        "Tiny/block1/unit_1/bottleneck_v2/preact/gamma",
        "Tiny/block1/unit_1/bottleneck_v2/preact/beta",
        "Tiny/block1/unit_1/bottleneck_v2/preact/moving_mean",
        "Tiny/block1/unit_1/bottleneck_v2/preact/moving_variance",
        "Tiny/Logits/Logits/weights",
        "Tiny/Logits/Logits/biases",
        "Tiny/AuxLogits/Conv2d_2b_1x1/weights",
        "Tiny/AuxLogits/Conv2d_2b_1x1/biases",
    ]


def test_keys_refuse_a_variable_without_a_name_in_slim():
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.PReLU(name="curve")], name="odd")
    with pytest.raises(ValueError, match="odd: layer curve has 1 variables, of which TF-slim has names for 0"):
        reader.checkpoint_keys(model, "Odd")


@pytest.mark.parametrize(
    "form",
    [
        "one/tiny.ckpt",
        "one/tiny.ckpt.meta",
        "one",
        "one.tar.gz",
        "two/tiny.ckpt",
        "two/tiny.ckpt.index",
        "two/tiny.ckpt.data-00000-of-00001",
        "two/tiny.ckpt.meta",
        "two",
        "two.tar.gz",
    ],
)
def test_every_form_loads(files, form):
    model = network()
    assert reader.load(model, files / form) == "Tiny"
    assert_loaded(model, tensors())


@pytest.mark.parametrize("version", [1, 2])
def test_a_folder_whose_name_is_a_pattern(tmp_path, version):
    model = network()
    reader.load(model, write(tmp_path / "a[1] *" / "tiny.ckpt", tensors(), version))
    assert_loaded(model, tensors())


def test_a_renamed_scope_is_found(tmp_path):
    held = tensors("Ens3AdvTiny")
    model = network()
    assert reader.load(model, write(tmp_path / "x.ckpt", held, 2)) == "Ens3AdvTiny"
    assert_loaded(model, held, "Ens3AdvTiny")


def test_the_auxiliary_head_is_read_when_the_model_has_it(files, tmp_path):
    model = network(aux=True)
    reader.load(model, files / "one" / "tiny.ckpt")
    assert_loaded(model, tensors())
    bare = write(tmp_path / "bare.ckpt", tensors(aux=False), 1)
    with pytest.raises(ValueError, match=r"2 missing \(Tiny/AuxLogits/Conv2d_2b_1x1/weights, .*/biases\)"):
        reader.load(model, bare)


def test_a_model_in_float64_gets_the_same_numbers(files):
    model = network(dtype="float64")
    reader.load(model, files / "two" / "tiny.ckpt")
    assert all(np.asarray(value).dtype == np.float64 for value in weights(model))
    assert_loaded(model, tensors())


def test_models_inside_a_model_are_walked(files):
    inner = network()
    images = keras.Input((8, 8, 3))
    outer = keras.Model(images, inner(images))
    reader.load(outer, files / "one")
    assert_loaded(inner, tensors())


def test_mean_rgb_is_an_extra_and_optimizer_slots_are_not(tmp_path):
    held = {**tensors(), "Tiny/mean_rgb": np.zeros(3, np.float32)}
    reader.load(network(), write(tmp_path / "mean.ckpt", held, 1))
    held[f"Tiny/{FIRST}/weights/RMSProp"] = np.zeros(2, np.float32)
    trained = write(tmp_path / "trained.ckpt", held, 1)
    with pytest.raises(ValueError, match=r"1 not in the model \(Tiny/Conv2d_1a_3x3/weights/RMSProp\)"):
        reader.load(network(), trained)
    reader.load(network(), trained, ignore=["*/RMSProp"])


def test_faults_are_told_in_one_sentence_and_nothing_is_set(tmp_path):
    held = tensors(aux=False)
    del held["Tiny/Logits/Logits/biases"]
    held[f"Tiny/{FIRST}/weights"] = np.zeros((3, 3, 3, 7), np.float32)
    held["Tiny/Extra/weights"] = np.zeros(1, np.float32)
    model = network()
    before = weights(model)
    with pytest.raises(ValueError) as caught:
        reader.load(model, write(tmp_path / "x.ckpt", held, 2))
    assert str(caught.value).endswith(
        "x.ckpt: its 11 tensors are not those of tiny, which needs 10: 1 missing (Tiny/Logits/Logits/biases); "
        "1 of another shape (Tiny/Conv2d_1a_3x3/weights [3, 3, 3, 7] instead of [3, 3, 3, 4]); "
        "1 not in the model (Tiny/Extra/weights)."
    )
    for old, new in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_many_faults_are_counted(tmp_path):
    held = {"Other/x/weights": np.zeros(2, np.float32)}
    with pytest.raises(
        ValueError, match=r"10 missing \(.*, .*, .*, and 7 more\); 1 not in the model \(Other/x/weights\)"
    ):
        reader.load(network(), write(tmp_path / "x.ckpt", held, 1))


def test_several_scopes_are_ambiguous_unless_one_is_said(tmp_path):
    first, second = tensors("First"), tensors("Second", seed=1)
    both = write(tmp_path / "both.ckpt", {**first, **second}, 2)
    with pytest.raises(ValueError, match=r"expected one scope, found 2 \(First, Second\); say which with scope="):
        reader.load(network(), both)
    model = network()
    assert reader.load(model, both, scope="Second/") == "Second"
    assert_loaded(model, second, "Second")
    with pytest.raises(ValueError, match="10 missing"):
        reader.load(network(), both, scope="Third")


def test_no_scope_at_all(tmp_path):
    with pytest.raises(ValueError, match="expected tensors named <scope>/<layer>/weights, found none"):
        reader.load(network(), write(tmp_path / "x.ckpt", {"global_step": np.int64(1)}, 1))


def damaged(source: Path, target: Path, change) -> Path:
    target.write_bytes(change(bytearray(source.read_bytes())))
    return target


def flipped(content: bytearray) -> bytearray:
    content[len(content) // 2] ^= 0x40
    return content


@pytest.mark.parametrize(
    "change", [flipped, lambda content: content[:-100], lambda content: b"", lambda content: b"<html>404</html>" * 9]
)
@pytest.mark.parametrize(
    "form", ["one/tiny.ckpt", "two/tiny.ckpt.index", "two/tiny.ckpt.data-00000-of-00001", "two.tar.gz"]
)
def test_a_damaged_file_is_one_sentence(files, tmp_path, form, change):
    source = files / form
    for name in source.parent.glob("tiny.ckpt*"):
        (tmp_path / name.name).write_bytes(name.read_bytes())
    path = damaged(source, tmp_path / source.name, change)
    model = network()
    before = weights(model)
    with pytest.raises(ValueError, match=r"^[^\n]*(fetch it again\.|needs both\.)$"):
        reader.load(model, path)
    for old, new in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_numbers_that_are_none(tmp_path):
    held = tensors()
    held[f"Tiny/{FIRST}/weights"][0] = np.nan
    with pytest.raises(ValueError, match=r"1 tensors hold NaN or infinity \(Tiny/Conv2d_1a_3x3/weights\)"):
        reader.load(network(), write(tmp_path / "x.ckpt", held, 1))


def test_missing_files_are_named(files, tmp_path):
    for name in ("tiny.ckpt.index", "tiny.ckpt.data-00000-of-00001"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes((files / "two" / name).read_bytes())
        with pytest.raises(FileNotFoundError, match="beside it, found none; a V2 checkpoint needs both"):
            reader.load(network(), folder / "tiny.ckpt")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ckpt: no checkpoint here; expected a V1 file"):
        reader.load(network(), tmp_path / "nowhere.ckpt")
    with pytest.raises(FileNotFoundError, match="No such file"):
        reader.load(network(), tmp_path / "nowhere.tar.gz")


def test_a_folder_holds_one_checkpoint_or_says_what_it_holds(files, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected one checkpoint .* found nothing"):
        reader.load(network(), tmp_path)
    for name in ("a.ckpt", "b-17"):
        (tmp_path / name).write_bytes((files / "one" / "tiny.ckpt").read_bytes())
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    with pytest.raises(ValueError, match=r"expected exactly one checkpoint, found 2 \(a.ckpt, b-17\)"):
        reader.load(network(), tmp_path)


def test_the_real_inception_v3(shared, tmp_path):
    """All 388 variables of the real graph and global_step, packed like the official tarball."""
    from tfadv.models import ARCHITECTURES

    listed = json.loads((shared / "golden" / "nets" / "inception_v3.variables.json").read_text())["variables"]
    draw = np.random.default_rng(0)
    held = {each["name"]: np.resize(draw.random(997, np.float32), each["shape"]) for each in listed}
    held["global_step"] = np.int64(1)
    tarball = pack(tmp_path / "inception_v3_2016_08_28.tar.gz", write(tmp_path / "inception_v3.ckpt", held, 1))
    model = ARCHITECTURES["inception_v3"].build(classes=1001, size=299)
    assert reader.load(model, tarball) == "InceptionV3"
    assert_loaded(model, held, "InceptionV3")
