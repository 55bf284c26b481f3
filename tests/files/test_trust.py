"""No file runs code: not a scale by the networks it names, not a saved model by its layers, unless it is trusted."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from click.testing import CliRunner

from tfadv.cli import main
from tfadv.models import saved
from tfadv.registry import loading
from tfadv.reproduce import scales
from tfadv.reproduce.plan import Missing
from tfadv.reproduce.workspace import Workspace

CODE = ("os:system:touch pwned", "pwn.py:run", "pwn:run", "pwn.py:run:word")


@pytest.fixture
def scale(tmp_path, monkeypatch):
    """(network) -> the file of a scale whose network it is; where it runs, pwn.py leaves a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pwn.py").write_text("open('pwned', 'w').close()\ndef run(*words): open('pwned', 'w').close()\n")

    def written(network: str):
        facts = json.loads((scales.FOLDER / "digits.json").read_text())
        for one in facts["networks"].values():
            if isinstance(one["network"], str):
                one["network"] = network
        (tmp_path / "mine.json").write_text(json.dumps(facts))
        return tmp_path / "mine.json"

    return written


@pytest.mark.parametrize("network", CODE)
def test_a_scale_runs_no_code(scale, tmp_path, network):
    words = ["reproduce", "naa-table1", "--scale", str(scale(network)), "--out", "results", "--count", "2"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1 and "expected a network that is no code, got" in done.output
    assert not (tmp_path / "pwned").exists() and not (tmp_path / "results").exists()


def test_a_scale_runs_no_code_by_a_word_either(scale, tmp_path):
    found = scales.read(scale("$WORD"), {"WORD": "pwn.py:run"})
    with pytest.raises(Missing, match="expected a network that is no code"):
        Workspace(found, tmp_path / "results").model("inception_v3")
    assert not (tmp_path / "pwned").exists()


def test_a_scale_that_says_it_is_trusted_is_not(scale):
    path = scale("pwn.py:run")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trusted": True}))
    with pytest.raises(ValueError, match="trusted is none of its facts"):
        scales.read(path)


def test_a_trusted_scale_and_the_package_s_own_may_name_code(scale, tmp_path):
    found = scales.read(scale("pwn.py:run"), trust=True)
    with pytest.raises(Missing):
        Workspace(found, tmp_path / "results").model("inception_v3")
    assert (tmp_path / "pwned").exists()
    assert all(scales.read(name).trusted for name in scales.NAMES)


def model(*layers) -> keras.Model:
    images = x = keras.Input((8, 8, 3))
    for layer in (keras.layers.Conv2D(2, 3, activation="relu"), *layers, keras.layers.GlobalAveragePooling2D()):
        x = layer(x)
    return keras.Model(images, keras.layers.Dense(4)(x))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_saved_lambda_layer_is_refused_unless_it_is_trusted(tmp_path, suffix, nested):
    layer = keras.layers.Lambda(lambda x: x * 2.0, output_shape=(6, 6, 2))
    if nested:
        inputs = keras.Input((6, 6, 2))
        layer = keras.Model(inputs, layer(inputs))
    path = tmp_path / f"model{suffix}"
    model(layer).save(path)
    with pytest.raises(ValueError, match="expected a model of Keras's own layers, got a Lambda layer.*trust="):
        loading.load(str(path))
    assert loading.load(str(path), trust=True).classes == 4
    for more, code in ([], 1), (["--trust"], 0):
        assert CliRunner().invoke(main, ["layers", str(path), *more]).exit_code == code


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_saved_model_without_code_is_read(tmp_path, suffix):
    given = model(keras.layers.BatchNormalization(), keras.layers.ReLU(), keras.layers.Activation("tanh"))
    given.save(tmp_path / f"model{suffix}")
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    read = saved.load(tmp_path / f"model{suffix}")
    np.testing.assert_allclose(read(images), given(images), rtol=1e-5)


def test_the_content_decides_and_not_the_name(tmp_path):
    """An .h5 file is one also where it is called .keras: it is asked before Keras reads it, or refused by its name."""
    model(keras.layers.Lambda(lambda x: x, output_shape=(6, 6, 2))).save(tmp_path / "model.h5")
    (tmp_path / "model.h5").rename(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"got a Lambda layer|got an HDF5 file: call it \.h5"):
        saved.load(tmp_path / "model.keras")


@pytest.mark.parametrize(
    "activation",
    [
        {"module": "os", "class_name": "function", "config": "system", "registered_name": "function"},
        {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "function"},
        {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "function"},
        {"module": "pwn", "class_name": "Layer", "config": {}, "registered_name": None},
        {"class_name": "Custom>Lambda", "config": {}},
        {"class_name": "TFOpLambda", "config": {"name": "x", "function": "io.write_file"}},
        {"class_name": "TFOpLambda", "config": {"name": "x", "function": "py_function"}},
    ],
)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_saved_model_names_no_function_of_other_modules(tmp_path, suffix, activation):
    path = tmp_path / f"model{suffix}"
    model().save(path)
    if suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            held = {name: archive.read(name) for name in archive.namelist()}
        held["config.json"] = changed(held["config.json"], activation).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in held.items():
                archive.writestr(name, content)
    else:
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = changed(file.attrs["model_config"], activation)
    with pytest.raises(ValueError, match="expected a model of Keras's own layers, got"):
        saved.load(path)


def changed(text, activation) -> str:
    config = json.loads(text)
    layer = next(one for one in config["config"]["layers"] if one["class_name"] == "Conv2D")
    layer["config"]["activation"] = activation
    return json.dumps(config)
