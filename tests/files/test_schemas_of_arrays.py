"""Nothing that an archive of arrays holds is more than refused: bytes, headers, names, shapes and facts are changed."""

import io
import json
import random
import zipfile

import numpy as np
import pytest
from strange import arrays_changed, changed, refuses

from tfadv.defences import learned
from tfadv.defences.nip import KIND, FittedNip, Nip
from tfadv.defences.sparse import KIND as SPARSE
from tfadv.files import array_files
from tfadv.training import datasets, loop, trained_networks


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_with_bytes_changed(tmp_path, save):
    content, path, chance = io.BytesIO(), tmp_path / "a.npz", random.Random(0)
    save(content, a=np.arange(6.0).reshape(2, 3), about=np.array('{"x": 1}'))
    whole = content.getvalue()
    for number in range(1500):
        some = bytearray(whole)
        for _ in range(1 + number % 3):
            some[chance.randrange(len(some))] = chance.randrange(256)
        path.write_bytes(bytes(some[: chance.randrange(len(some))] if number % 5 == 0 else some))
        refuses(lambda: array_files.read(path, "an archive"), "a.npz")


def test_an_encrypted_archive(tmp_path):
    """The flag of encryption is set in both headers of each member."""
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    some = bytearray((tmp_path / "a.npz").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        some[some.index(mark) + place] |= 1
    (tmp_path / "a.npz").write_bytes(bytes(some))
    assert refuses(lambda: array_files.read(tmp_path / "a.npz", "an archive"), "a.npz")


@pytest.mark.parametrize(
    "header", ["(" * 5000, "{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}", "{}", "1", "\xff"]
)
def test_the_header_of_an_array(tmp_path, header):
    text = header.encode("latin1")
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(8)
    (tmp_path / "a.npy").write_bytes(content)
    refuses(lambda: array_files.read_one(tmp_path / "a.npy", "an array"), "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    refuses(lambda: array_files.read(tmp_path / "a.npz", "an archive"), "a.npz")


def test_a_trained_network(tmp_path):
    path = tmp_path / "a.npz"
    about = trained_networks.About(
        "lenet5", 16, 3, "pgd", {"epsilon": 8.0}, class_names=("a", "b"), sources=(("x", "0"),)
    )
    trained_networks.save(about.build(), path, about)
    with np.load(path) as held:
        arrays = dict(held)
    whole = json.loads(str(arrays["about"]))
    assert trained_networks.about(path).sources == (("x", "0"),)
    loaded = 0
    for value in changed(whole):
        np.savez(path, **arrays | {"about": json.dumps(value)})
        refuses(lambda: trained_networks.about(path), "a.npz")
    for key in ("architecture", "size", "classes", "method", "settings"):
        for value in (None, 0, 10**30, "x", {"x": 1}, 3, 10**6):
            np.savez(path, **arrays | {"about": json.dumps(whole | {key: value})})
            loaded += not refuses(lambda: trained_networks.load(path), "a.npz")
    assert loaded < 20
    for some in arrays_changed({name: arrays[name] for name in list(arrays)[:3]}):
        np.savez(path, **{**{name: arrays[name] for name in list(arrays)[3:]}, **some})
        refuses(lambda: trained_networks.load(path), "a.npz")


def test_the_weights_of_a_purifier(tmp_path):
    path, settings = tmp_path / "a.npz", SPARSE.settings(atoms=2, side=2, steps=1)
    learned.save(path, SPARSE, settings, SPARSE.build(settings))
    with np.load(path) as held:
        arrays = dict(held)
    assert not refuses(lambda: learned.load(path, SPARSE), "a.npz")
    for value in changed({key: getattr(settings, key) for key in ("atoms",)}):
        np.savez(path, **arrays | {"about": json.dumps({"kind": "sparse", "version": 1, "settings": value})})
        refuses(lambda: learned.load(path, SPARSE), "a.npz")
    for some in arrays_changed(arrays):
        np.savez(path, **some)
        refuses(lambda: learned.load(path, SPARSE), "a.npz")


def test_a_fitted_nip(tmp_path):
    path = tmp_path / "a.npz"
    fitted = FittedNip(Nip("flatten"), "0", np.ones(3), np.ones((2, 3)), np.ones((2, 4, 4, 3), np.float16))
    fitted.save(path)
    with np.load(path) as held:
        arrays = dict(held)
    about = json.loads(str(arrays["about"]))
    assert about["kind"] == KIND and not refuses(lambda: Nip.load(path), "a.npz")
    for value in [*changed(about), *({**about, "settings": one} for one in changed(about["settings"]))]:
        np.savez(path, **arrays | {"about": json.dumps(value)})
        refuses(lambda: Nip.load(path), "a.npz")
    for some in arrays_changed(arrays):
        np.savez(path, **some)
        refuses(lambda: Nip.load(path), "a.npz")


def test_the_checkpoint_of_a_training(tmp_path):
    import keras
    import tensorflow as tf

    path, rows = tmp_path / "a.checkpoint.npz", (np.zeros((4, 2), np.float32),)
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])

    def loss(batch, seed):
        return tf.reduce_mean(model(batch[0], training=True))

    def train():
        loop.train(model, loss, rows, loop.Schedule(1, batch=2), checkpoint=path)

    train()
    with np.load(path) as held:
        arrays = dict(held)
    train()  # nothing is left to be done
    refused = 0
    for some in arrays_changed({name: arrays[name] for name in ("losses", "facts", "v0")}):
        np.savez(path, **{**{name: arrays[name] for name in arrays if name not in some and name[0] == "v"}, **some})
        refused += refuses(train, "a.checkpoint.npz")
    assert refused > 15


def test_pictures_to_train_on(tmp_path):
    images, labels = np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 0, 1])
    whole = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    for arrays in (*arrays_changed(whole), whole):
        np.savez(tmp_path / "a.npz", **arrays)
        refused = refuses(lambda: datasets.load(tmp_path / "a.npz", fill=True), "a.npz")
        assert refused != (arrays.keys() >= whole.keys() and all(arrays[key] is whole[key] for key in whole))
