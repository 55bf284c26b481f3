"""What a user's own code does wrong is said with the user's lines; what is no network, with what to do."""

import json
import re
import sys
import zipfile

import h5py
import keras
import pytest
from click.testing import CliRunner

from tfadv.cli import main
from tfadv.models import saved
from tfadv.models.user_code import UserCodeError
from tfadv.registry import loading

CODE = """
import sys


def deeper(number):
    return 1 / number  # the culprit


def divides():
    return deeper(0)


def leaves(code=0):
    sys.exit(int(code))


def ends():
    raise SystemExit("no checkpoint")


def odd():
    class Odd(BaseException):
        pass
    raise Odd("very")


def clicks():
    import click
    raise click.exceptions.Exit(0)


def library():
    import json
    json.loads("{")  # it raises in the library


def asks(model):
    return model


def lacks():
    import no_such_module_at_all
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script_of_the_test.py").write_text(CODE)
    yield "script_of_the_test.py"
    sys.modules.pop("script_of_the_test", None)
    sys.modules.pop("tfadv_user_script_of_the_test", None)


@pytest.mark.parametrize(
    "callable, message",
    [
        (
            "divides",
            r"raised ZeroDivisionError:\n.*, in divides\n    return deeper\(0\)\n.*line 6, in deeper\n.*by zero",
        ),
        ("leaves", r"called sys.exit\(0\), and no model came of it:\n.*in leaves\n.*__main__"),
        ("leaves:3", r"called sys.exit\(3\)"),
        ("ends", r"called sys.exit\('no checkpoint'\)"),
        ("odd", "raised Odd:\n.*very"),
        ("clicks", r"raised Exit:\n.*in clicks"),
        ("library", r"raised JSONDecodeError:\n.*in library\n    json.loads\(.*\n.*Expecting property name"),
        ("asks", "raised TypeError:\n.*missing 1 required positional argument: 'model'"),
        ("lacks", "raised ModuleNotFoundError:\n.*in lacks\n.*no_such_module_at_all"),
    ],
)
@pytest.mark.parametrize("spec", ["script_of_the_test.py", "script_of_the_test"])
def test_what_it_raises_comes_with_its_own_lines(script, callable, message, spec):
    expected = re.compile(f"{spec}:{callable}: your code {message}", re.DOTALL)
    with pytest.raises(UserCodeError, match=expected) as raised:
        loading.load(f"{spec}:{callable}")
    assert "click/core.py" not in str(raised.value) and "decoder.py" not in str(raised.value)
    assert raised.value.__cause__ is not None


@pytest.mark.parametrize(
    "line, message",
    [
        ("import sys; sys.exit(0)", r"called sys.exit\(0\)"),
        ("def (", "raised SyntaxError:\n.*line 1\n"),
        ("1 / 0", "line 1"),
    ],
)
def test_so_does_what_a_file_raises_when_it_is_imported(script, tmp_path, line, message):
    (tmp_path / script).write_text(line)
    for spec in (script, script.removesuffix(".py")):
        with pytest.raises(UserCodeError, match=message):
            loading.load(f"{spec}:net")


def test_ctrl_c_stays_what_it_is(script, tmp_path):
    (tmp_path / script).write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        loading.load(f"{script}:net")


@pytest.mark.parametrize("callable, shown", [("leaves", "sys.exit(0)"), ("divides", "return deeper(0)")])
def test_a_command_says_so_and_fails(script, callable, shown):
    done = CliRunner().invoke(main, ["layers", f"{script}:{callable}"])
    assert done.exit_code == 1 and shown in done.output and "invoke" not in done.output


@pytest.mark.parametrize(
    "name, message",
    [
        ("net.tflite", "a TensorFlow Lite model, which has no gradients"),
        ("net.onnx", "an ONNX model"),
        ("net.pt", "PyTorch: in Keras, build the model"),
        ("net.pth", "PyTorch"),
        ("net.py", "say which, as in file.py:callable"),
        ("net.ckpt", "a part of a checkpoint: `tfadv checkpoints import`"),
        ("model.ckpt-7.data-00000-of-00001", "a part of a checkpoint"),
        ("net.bin", "a file of no kind that holds one"),
        ("inception", "a file of no kind"),
        ("digits/net", "a file of no kind"),
        ("a:b", "a file of no kind"),
    ],
)
def test_a_path_that_is_there_is_no_misspelt_name(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    (tmp_path / name).write_bytes(b"\0")
    with pytest.raises(ValueError, match=f"{name}: expected a network, got .*{message}") as raised:
        loading.load(name)
    assert "Nearest" not in str(raised.value)


def test_a_folder_is_no_misspelt_name_either(tmp_path):
    for name in ("plain", "model.keras"):
        (tmp_path / name).mkdir()
        with pytest.raises(ValueError, match="expected a network, got a folder. A model is a file"):
            loading.load(str(tmp_path / name))
        (tmp_path / name / "saved_model.pb").write_bytes(b"")
        with pytest.raises(ValueError, match="got a SavedModel.*\n.*keras.layers.TFSMLayer"):
            loading.load(str(tmp_path / name))


def model():
    given = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(given))
    return keras.Model(given, keras.layers.Dense(4)(x))


def test_keras_s_own_files_by_other_names(tmp_path):
    model().save(tmp_path / "net.h5")
    model().save(tmp_path / "net.keras")
    for suffix in ("h5", "keras"):
        (tmp_path / f"net.{suffix}").rename(tmp_path / f"{suffix}-net")
        with pytest.raises(ValueError, match=rf"call it \.{suffix}"):
            loading.load(str(tmp_path / f"{suffix}-net"))


def test_weights_without_a_model_say_so(tmp_path):
    model().save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(ValueError, match="holds weights without their model: build the model in Python"):
        loading.load(str(tmp_path / "net.weights.h5"))


def test_a_file_of_another_keras_says_the_reason_whole_and_what_works(tmp_path):
    """DepthwiseConv2D of Keras 2 knows groups, which Keras 3 refuses at the end of a long message."""
    other = "2.15.0" if keras.__version__.startswith("3") else "3.15.1"
    remedy = "pip install tf_keras.*TFSMLayer" if other == "2.15.0" else "Use it with that Keras, or build the model"
    model().save(tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "r+") as file:
        file.attrs["keras_version"] = other
        config = json.loads(file.attrs["model_config"])
        broken = next(one for one in config["config"]["layers"] if one["class_name"] == "Conv2D")
        broken["config"]["of_another_keras"] = 1
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(ValueError, match=f"of_another_keras.*Keras {other} saved it. .*{remedy}"):
        saved.load(tmp_path / "net.h5")
    model().save(tmp_path / "net.keras")
    with zipfile.ZipFile(tmp_path / "net.keras") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    held["metadata.json"] = json.dumps({"keras_version": other}).encode()
    held["config.json"] = held["config.json"].replace(b'"Conv2D"', b'"ConvOfAnotherKeras"')
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match=f"Keras {other} saved it"):
        saved.load(tmp_path / "net.keras")
