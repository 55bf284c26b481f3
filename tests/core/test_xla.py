"""With XLA, as on a GPU: an attack is one program, and reaches the same pixels in float64 as without.

Between them the recipes here have every part of the catalogue.
"""

import dataclasses
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from folders import pictures, small
from networks import batch_of, bound, convolutional, fitting, recipe

import tfadv
from tfadv import L2, CrossEntropy, InsideBall, Linf, ScaledCopies, Unit, untargeted
from tfadv.attacks.ascent import Ascent
from tfadv.core import compilation, seeds
from tfadv.core.interfaces import View
from tfadv.defences import Jpeg
from tfadv.files import image_files
from tfadv.folders import batches
from tfadv.models import max_pooling
from tfadv.registry.catalogue import ATTACKS


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(compilation, "concessions", [])


@pytest.fixture
def xla(monkeypatch):
    monkeypatch.setenv(compilation.XLA, "1")


def with_xla(name, **settings):
    return recipe(name, **settings).on(fitting(name).__wrapped__("float64"))


def operations(function: compilation.Compiled) -> list[str]:
    """The types of all operations that a compiled function holds, in loops and functions too."""
    found = []
    for graph in function.graphs:
        described = graph.as_graph_def()
        found += [node.op for node in described.node]
        found += [node.op for one in described.library.function for node in one.node_def]
    return found


def pooled(dtype="float32"):
    """A network with max pooling of both paddings, one of them in a model of its own, at 24 pixels."""
    keras.utils.set_random_seed(3)
    images = keras.Input((24, 24, 3), dtype=dtype)
    x = keras.layers.Conv2D(6, 3, activation="relu", dtype=dtype)(images)
    x = keras.layers.MaxPooling2D(3, 2, "same", dtype=dtype)(x)
    x = keras.layers.Conv2D(8, 3, activation="relu", dtype=dtype, name="middle")(x)
    inner = keras.Sequential([keras.Input(x.shape[1:], dtype=dtype), keras.layers.MaxPooling2D(2, dtype=dtype)])
    x = keras.layers.Flatten(dtype=dtype)(inner(x))
    model = keras.Model(images, keras.layers.Dense(10, dtype=dtype)(x), name="pooled")
    return tfadv.network(model, input_range=(-1, 1), layer="middle")


ASCENTS = [name for name in ATTACKS if isinstance(recipe(name), Ascent)]
#: One of each mechanism; the others take minutes together.
DIFFERENT = {"sim", "fda", "fcr", "ila", "mef", "bsr", "svre", "bpa", "fia-pd", "naa-pd"}


@pytest.mark.parametrize(
    "name", [name if name in DIFFERENT else pytest.param(name, marks=pytest.mark.slow) for name in ASCENTS]
)
def test_the_program_reaches_the_pixels_of_the_loop(name, xla, monkeypatch):
    images, labels = batch_of(3, dtype=np.float64)
    craft = with_xla(name)
    result = craft(images, untargeted(labels), seed=3)
    assert craft.traces == 1
    monkeypatch.delenv(compilation.XLA)
    np.testing.assert_allclose(result, bound(name)(images, untargeted(labels), seed=3), rtol=0, atol=1e-6)
    assert np.any(result != images)


@pytest.mark.parametrize("name", ["deepfool", "cw", "jsma"])
def test_a_search_reaches_the_same_pixels(name, xla, monkeypatch):
    images = batch_of(2, dtype=np.float64)[0]
    labels = convolutional("float64").predict(images)
    result = with_xla(name)(images, untargeted(labels))
    monkeypatch.delenv(compilation.XLA)
    assert np.all(np.abs(result - bound(name)(images, untargeted(labels))) < 1e-3)


def test_forward_mode_compiles(xla, monkeypatch):
    images, labels = batch_of(2, dtype=np.float64)
    exact = {"exact": True, "noise": 0.0, "points": "gauss-legendre"}
    result = with_xla("naa", **exact)(images, untargeted(labels))
    monkeypatch.delenv(compilation.XLA)
    expected = recipe("naa", **exact).on(convolutional("float64"))(images, untargeted(labels))
    assert np.all(np.abs(result - expected) < 1e-6)


@pytest.mark.parametrize("name", ["auna", "boundary", "pwa"])
def test_a_search_with_xla_is_its_images_own(name, xla):
    images = batch_of(3, dtype=np.float64)[0]
    labels = convolutional("float64").predict(images)
    craft = with_xla(name)
    result = craft(images, untargeted(labels))
    alone = craft(images[1:][::-1], untargeted(labels[1:][::-1]))[::-1]
    assert np.all(np.abs(alone - result[1:]) < 1e-3) and np.any(result != images)


def test_max_pooling_is_tensorflows_in_value_and_gradient():
    random = np.random.default_rng(0)
    for size, window, stride, padding in [
        (9, 3, 2, "same"),
        (10, 3, 2, "same"),
        (9, 3, 2, "valid"),
        (10, 2, 2, "valid"),
        (7, 3, 1, "same"),
        (8, 1, 2, "valid"),
        (7, 3, 3, "same"),
        (5, 4, 1, "same"),
    ]:
        images = tf.constant(random.integers(-2, 3, (2, size, size + 1, 3)).astype(np.float64))  # most windows tie
        found = []
        for pool in (
            lambda x: max_pooling.max_pool(x, (window, window), (stride, stride), padding),  # noqa: B023
            lambda x: tf.nn.max_pool2d(x, window, stride, padding.upper()),  # noqa: B023
        ):
            with tf.GradientTape() as tape:
                tape.watch(images)
                out = pool(images)
                total = tf.reduce_sum(out * tf.reshape(tf.range(tf.size(out), dtype=out.dtype), out.shape))
            found.append((out, tape.gradient(total, images)))
        np.testing.assert_array_equal(found[0][0], found[1][0])
        np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-12)


def test_a_models_pooling_has_a_gradient_and_is_its_own_again(xla, monkeypatch):
    images, labels = batch_of(2, dtype=np.float64)
    network = pooled("float64")
    craft = recipe("naa").on(network)
    result = craft(images, untargeted(labels))
    held = operations(craft._craft._program.whole)
    assert "MaxPoolGrad" not in held and "MaxPool" not in held and "Maximum" in held
    monkeypatch.delenv(compilation.XLA)
    plain = recipe("naa").on(network)
    np.testing.assert_allclose(result, plain(images, untargeted(labels)), rtol=0, atol=1e-6)
    assert "MaxPoolGrad" in operations(plain._craft.step)


def test_a_batch_of_a_folder_is_one_program_of_bytes(xla, monkeypatch, tmp_path):
    (tmp_path / "images").mkdir()
    called, call = [], compilation.Compiled.attempt

    def counted(self, *arguments):
        called.append(self)
        return call(self, *arguments)

    def drawn(*_):
        assert not tf.executing_eagerly(), "a draw outside of the program"
        return draw(*_)

    draw = seeds._drawn
    monkeypatch.setattr(seeds, "_drawn", drawn)
    attack = recipe("naa-pd", layer="Mixed")
    with_labels = {name: 3 for name in image_files.find_images(pictures(tmp_path / "images"))}
    monkeypatch.setattr(compilation.Compiled, "attempt", counted)
    report = tfadv.craft_folder(
        tmp_path / "images", tmp_path / "out", attack, small(), labels=with_labels, first_label=0, force_labels=True
    )
    assert len(report.done) == 21
    programs = [one for one in called if one is not called[0]]  # the first looks at the labels
    assert len(programs) == 3 and len(set(programs)) == 1  # three batches of eight, one program
    (graph,) = programs[0].graphs
    assert [one.dtype for one in graph.inputs if one.dtype == tf.uint8 or one.dtype.is_floating] == [tf.uint8]
    assert not any(one.dtype.is_floating for one in graph.outputs)
    held = operations(programs[0])
    assert not {"MaxPoolGrad", "TensorListReserve", "StatelessRandomNormalV2"} & set(held)
    assert sum("While" in one for one in held) == 2  # over the copies and over the steps; none over images


@pytest.mark.parametrize("budget", [Linf(5.5), L2(40), L2(3, scaled=True)])
def test_bytes_with_xla_are_those_without(budget, xla, monkeypatch):
    attack = Ascent(CrossEntropy(), Unit(15.0), budget, 2, view=ScaledCopies(2), start=InsideBall())
    images, labels = batch_of(3)
    images, own = images.astype(np.uint8), seeds.of_images(images, 0)
    made = []
    for forced in ("1", "0"):
        monkeypatch.setenv(compilation.XLA, forced)
        network = convolutional.__wrapped__("float64")
        made.append(batches.BatchAttack(attack, attack.on(network), network, 0)(images, labels, None, own))
    for one, other in zip(*made, strict=True):
        np.testing.assert_array_equal(one, other)
    change = made[0].images.astype(np.float64) - images
    assert np.all(budget.allows(change)) and np.all(np.any(change != 0, axis=(1, 2, 3))) and made[0].finite.all()


@dataclasses.dataclass(frozen=True, repr=False)
class InNumpy(View):
    """Shows the images through numpy, which XLA does not compile; the gradient passes as if it did nothing."""

    def apply(self, images, copy, seeds):
        seen = tf.ensure_shape(tf.numpy_function(lambda shown: shown[:, ::-1], [images], images.dtype), images.shape)
        return images + tf.stop_gradient(seen - images)


def test_what_xla_refuses_runs_in_parts_and_is_said(xla, monkeypatch):
    images, labels = batch_of(2, dtype=np.float64)
    attack = dataclasses.replace(recipe("mim", steps=2), view=InNumpy())
    craft = attack.on(convolutional.__wrapped__("float64"))
    with pytest.warns(compilation.Concession) as said:
        result = craft(images, untargeted(labels))
    assert [str(one.message).split("(")[0] for one in said] == [
        "the attack cannot be one program ",
        "XLA refuses an operation ",
    ]
    monkeypatch.delenv(compilation.XLA)
    expected = attack.on(convolutional("float64"))(images, untargeted(labels))
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


def test_what_was_conceded_is_in_the_record_and_binds_nobody(xla, tmp_path):
    (tmp_path / "images").mkdir()
    pictures(tmp_path / "images")
    attack = dataclasses.replace(recipe("mim", steps=2), view=InNumpy())
    with pytest.warns(compilation.Concession, match="XLA refuses"):
        tfadv.craft_folder(tmp_path / "images", tmp_path / "out", attack, small(), limit=3)
    written = (tmp_path / "out" / "attack.json").read_bytes()
    assert [sentence.split("(")[0] for sentence in json.loads(written)["concessions"]] == [
        "a batch cannot be one program ",
        "the attack cannot be one program ",
        "XLA refuses an operation ",
    ]
    compilation.concessions.clear()
    again = tfadv.craft_folder(tmp_path / "images", tmp_path / "out", attack, small(), limit=3)
    assert len(again.done) == 3 and (tmp_path / "out" / "attack.json").read_bytes() == written


def test_what_xla_has_no_operation_for_runs_without_it(xla):
    images = batch_of(2)[0]
    tidy = compilation.Compiled(lambda shown: Jpeg(75).purify(None, shown, None))
    with pytest.warns(RuntimeWarning, match="XLA refuses"):
        np.testing.assert_array_equal(tidy(images), Jpeg(75).purify(None, tf.constant(images), None))


def test_what_determinism_refuses_runs_without_it_and_is_said(monkeypatch):
    determined = compilation.determinism.is_op_determinism_enabled

    def refusing(value):
        return value + 1

    run = compilation.Compiled(refusing)
    traced = run._traced

    def refused(arguments):
        if determined():
            raise tf.errors.UnimplementedError(None, None, "A deterministic GPU implementation is not available")
        return traced(arguments)

    monkeypatch.setattr(run, "_traced", refused)
    tf.config.experimental.enable_op_determinism()
    try:
        with pytest.warns(RuntimeWarning, match="goes on without determinism"):
            np.testing.assert_array_equal(run(np.zeros([2, 3], np.float32)), np.ones([2, 3]))
        assert not determined()
    finally:
        compilation.determinism.disable_op_determinism()


def test_an_error_of_the_functions_own_is_raised(xla):
    run = compilation.Compiled(lambda x: tf.numpy_function(lambda shown: shown[9], [x], tf.float32))
    with (
        pytest.warns(RuntimeWarning, match="XLA refuses"),
        pytest.raises(tf.errors.OpError, match="out of bounds"),
    ):
        run(np.full([2, 3], np.nan, np.float32))


def test_the_environment_decides(monkeypatch):
    monkeypatch.setattr(compilation, "on_gpu", lambda: True)
    assert compilation.use_xla()
    monkeypatch.setenv(compilation.XLA, "0")
    assert not compilation.use_xla()
    monkeypatch.setenv(compilation.XLA, "yes")
    with pytest.raises(ValueError, match="TFADV_XLA: expected 1 .*, got 'yes'"):
        compilation.use_xla()


def test_programs_are_kept_where_the_user_says(monkeypatch, tmp_path):
    keep = compilation.keep_programs
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_clustering_debug=false")
    monkeypatch.setenv(compilation.CACHE, "")
    assert keep() is None
    monkeypatch.setenv(compilation.CACHE, str(tmp_path / "programs"))
    kept = tuple(map(int, tf.__version__.split(".")[:2])) >= compilation.KEEPS
    assert keep() == (tmp_path / "programs" if kept else None) and (tmp_path / "programs").is_dir() == kept
    monkeypatch.setenv(compilation.CACHE, str(tmp_path / "others"))
    assert keep() is None, "TF_XLA_FLAGS names a folder already"


@pytest.mark.slow
def test_a_second_start_compiles_nothing_again(tmp_path):
    if tuple(map(int, tf.__version__.split(".")[:2])) < compilation.KEEPS:
        pytest.skip(f"TensorFlow {tf.__version__} does not keep what XLA compiles on a CPU")
    code = "import numpy, tfadv; from tfadv.models import digits; n = tfadv.load('digits/resnet_v2'); "
    code += "tfadv.recipes.mim(steps=2).on(n)(numpy.full((2, 32, 32, 3), 100.0), tfadv.untargeted([1, 2]))"
    environment = os.environ | {compilation.XLA: "1", compilation.CACHE: str(tmp_path), "TF_XLA_FLAGS": ""}
    kept = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        kept.append({path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()})
    assert kept[0] and kept[0] == kept[1]
