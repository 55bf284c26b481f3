"""What every attack of the catalogue promises, tested over the catalogue itself."""

import contextlib
import dataclasses
import inspect
import itertools
import re
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import CLASSES, LAYER, SIDE, batch_of, bound, convolutional, fitting, linear, recipe
from repository import REPOSITORY

import tfadv
from tfadv import targeted, untargeted
from tfadv.attacks.recipes import frame
from tfadv.core import gradients, scores
from tfadv.core.interfaces import Attack, View
from tfadv.registry.catalogue import ATTACKS

NAMES = {name: getattr(tfadv, name) for name in tfadv.__all__}


@pytest.fixture(scope="module")
def batch():
    """Three images with the classes that the small network sees: a search has something to do on each."""
    images = batch_of(3, dtype=np.float64)[0]
    return images, convolutional("float64").predict(images)


@pytest.fixture(scope="module")
def results(batch):
    """name -> the attack's result on the batch with seed 0, made once."""
    made = {}

    def result(name):
        if name not in made:
            made[name] = bound(name)(batch[0], untargeted(batch[1]))
        return made[name]

    return result


def those(declare):
    """Parametrise a test over the attacks of which this holds."""
    return pytest.mark.parametrize("name", [name for name in ATTACKS if declare(ATTACKS[name]())])


every_attack = those(lambda attack: True)


def same(result, expected):
    """No pixel differs; in float64 a batch's size may touch the last digits."""
    return np.all(np.abs(result - expected) < 1e-6)


@every_attack
def test_is_made_without_settings_and_is_what_its_repr_says(name):
    for attack in (ATTACKS[name](), recipe(name)):
        assert isinstance(attack, Attack)
        assert eval(repr(attack), dict(NAMES)) == attack
        assert hash(attack) == hash(eval(repr(attack), dict(NAMES)))
    assert ATTACKS[name].__doc__


@every_attack
def test_keeps_shape_range_and_budget(name, batch, results):
    images, result = batch[0], results(name)
    assert result.shape == images.shape and result.dtype == np.float64
    assert result.min() >= 0 and result.max() <= 255
    assert np.any(result != images)


@every_attack
def test_a_recipe_has_its_command_lines_name(name):
    assert getattr(tfadv.recipes, name.replace("-", "_")) is ATTACKS[name]
    assert ATTACKS[name].__name__ in tfadv.recipes.__all__ and len(tfadv.recipes.__all__) == len(ATTACKS)


@pytest.mark.parametrize("name", [name for name in ATTACKS if f"{name}-pd" in ATTACKS])
def test_a_recipe_patchwise_and_diverse_is_its_base_with_other_steps_and_another_view(name):
    base, derived = ATTACKS[name], ATTACKS[f"{name}-pd"]
    rule, view = tfadv.Momentum(0.5) >> tfadv.Patchwise(2.0, 3.0, 0.7, 5), tfadv.DiverseInputs(0.4)
    own = {"steps": 4, "decay": 0.5, "epsilon": 8.0}
    made = derived(**own, amplify=3.0, spill=0.7, side=5, probability=0.4)
    assert made == dataclasses.replace(base(**own), rule=rule, view=view)
    assert derived(probability=0) == dataclasses.replace(derived(), view=tfadv.Plain())
    settings = list(inspect.signature(derived).parameters)
    assert settings == [*inspect.signature(base).parameters, "amplify", "spill", "side", "probability"]
    with pytest.raises(ValueError, match=rf"{derived.__name__}\(decay\): expected a number from 0 on, got -1"):
        derived(decay=-1)


def test_a_new_recipe_is_registered_as_contributing_shows(monkeypatch):
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = [textwrap.dedent(block) for block in re.findall(r" *```python\n(.*?)```", text, re.DOTALL)]
    monkeypatch.setattr(frame, "RECIPES", {})
    names = {}
    for block in blocks:
        exec(block, names)
    assert list(frame.RECIPES) == ["mask-block"]
    attack = frame.RECIPES["mask-block"](steps=1, step=4.0, tiles=3)
    assert eval(repr(attack), NAMES | names) == attack
    network, images = linear("float64", classes=4), batch_of(1, side=6, dtype=np.float64)[0]
    goals = {1: untargeted([1]), -1: targeted([1])}
    for sign, goal in goals.items():
        mean = 0.0
        for row, column in itertools.product(range(0, 6, 2), repeat=2):  # tiles of two pixels, written out
            shown = np.ones(images.shape)
            shown[:, row : row + 2, column : column + 2] = 0
            slope = lambda x, shown=shown: scores.cross_entropy(network(x * shown).logits, goal.labels)  # noqa: B023, E731
            mean += sign * gradients.of_images(slope, tf.constant(images)).numpy() / 9
        np.testing.assert_allclose(attack.on(network)(images, goal), np.clip(images + 4 * np.sign(mean), 0, 255))


@those(lambda attack: attack.budget is not None)
def test_keeps_its_budget(name, batch, results):
    change = results(name) - batch[0]
    np.testing.assert_allclose(recipe(name).budget.project(tf.constant(change)), change, atol=1e-9)


@every_attack
def test_what_it_says_it_found_fools_the_network_and_nothing_else_does(name, batch, results):
    images, labels = batch
    made = bound(name).crafted(images, untargeted(labels))
    assert made.images.tobytes() == results(name).tobytes()
    assert np.array_equal(made.found, bound(name).network.predict(made.images) != labels)
    assert (made.queries is not None) == recipe(name).counts_queries
    assert bound(name).crafted(images[:0], untargeted(labels[:0])).found.shape == (0,)


@those(lambda attack: attack.is_search)
def test_a_search_leaves_the_rest_clean_and_counts(name, batch):
    images, labels = batch
    made = bound(name).crafted(images, untargeted(labels))
    assert np.array_equal(made.images[~made.found], images[~made.found])
    assert np.all(made.queries > 0)


@every_attack
def test_asks_for_gradients_where_it_says_so(name, batch, monkeypatch):
    class Asked(Exception):
        pass

    def tape(*arguments, **settings):
        raise Asked

    craft = recipe(name).on(fitting(name).__wrapped__("float64"))
    with monkeypatch.context() as patch:
        patch.setattr(tf, "GradientTape", tape)
        with pytest.raises(Asked) if recipe(name).needs_gradient else contextlib.nullcontext():
            craft(batch[0][:1], untargeted(batch[1][:1]))


@every_attack
def test_same_seed_same_bytes_and_another_seed_another_image(name, batch, results):
    images, labels = batch
    again = bound(name)(images, untargeted(labels), seed=0)
    assert again.tobytes() == results(name).tobytes()
    other = bound(name)(images, untargeted(labels), seed=1)
    assert np.any(other != again) == recipe(name).uses_seed


@every_attack
def test_company_order_and_number_change_nothing(name, batch, results):
    images, labels = batch
    order = [2, 0, 1]
    assert same(bound(name)(images[order], untargeted(labels[order])), results(name)[order])
    assert same(bound(name)(images[1:2], untargeted(labels[1:2])), results(name)[1:2])
    strange = np.concatenate([images[:1], 255 - images[:1], images[:1] // 2, images[2:]])
    found = bound(name)(strange, untargeted(np.array([labels[0], 1, 2, labels[2]])))
    assert same(found[[0, 3]], results(name)[[0, 2]])
    assert bound(name)(images[:0], untargeted(labels[:0])).shape == (0, SIDE, SIDE, 3)


@every_attack
def test_eager_is_compiled(name, batch, results, request):
    images, labels = batch
    expected = results(name)[:1]
    request.getfixturevalue("uncompiled")
    assert same(bound(name)(images[:1], untargeted(labels[:1])), expected)


@those(lambda attack: not attack.has_target)
def test_without_a_targeted_form_it_says_so(name, batch):
    with pytest.raises(ValueError, match=r"has no targeted form: expected untargeted\(labels\), got targeted"):
        bound(name)(batch[0], targeted((batch[1] + 1) % CLASSES))


@those(lambda attack: attack.has_target)
def test_reaches_for_a_class(name, batch):
    images, labels = batch
    wanted = (labels + 1) % CLASSES
    network, made = bound(name).network, bound(name).crafted(images, targeted(wanted))
    assert np.array_equal(made.found, network.predict(made.images) == wanted)
    tried = made.found if recipe(name).is_search else np.full(len(images), True)
    share = lambda x: tf.gather(tf.nn.softmax(network(x).logits), wanted, axis=1, batch_dims=1)  # noqa: E731
    assert np.all((share(made.images) > share(images))[tried])


@every_attack
def test_wrong_calls_are_told_what_was_expected(name, batch):
    images, labels = batch
    for wrong, goal, message in [
        (images / 255, untargeted(labels), "Multiply by 255"),
        (images[:, :5], untargeted(labels), f"small takes {SIDE} x {SIDE} pixels, got 5 x {SIDE}"),
        (images, untargeted(labels[:2]), r"goal: expected one class for each of the 3 images, got \[2\]"),
        (images, untargeted(labels + CLASSES), "small has the classes 0..9"),
        (images, labels, r"goal: expected tfadv.untargeted\(labels\) or tfadv.targeted\(classes\), got a ndarray"),
        (images, (labels, 1), r"goal: expected .*, got a tuple. Call attack\(images, tfadv.untargeted\(labels\)\)"),
        (images, tfadv.Goal(labels, 0), "goal: expected a sign of 1, to leave the labels, or -1, to reach them, got 0"),
        (
            images,
            tfadv.Goal(np.eye(10)[labels], 1),
            r"labels: .* got float64 \[3, 10\]. Of one-hot labels take np.argmax",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            bound(name)(wrong, goal)


@pytest.mark.parametrize("name", [name for name in ATTACKS if "layer" in inspect.signature(ATTACKS[name]).parameters])
def test_a_layer_that_is_not_there_is_told_the_nearest(name):
    with pytest.raises(ValueError, match="small has no layer 'Mixed_9z'. Nearest"):
        ATTACKS[name](layer="Mixed_9z").on(convolutional("float64"))


@every_attack
def test_one_trace_for_many_batches(name, batch):
    craft = bound(name)
    craft(batch[0][:2], untargeted(batch[1][:2]))
    before = craft.traces
    for count in (1, 2, 3):
        craft(batch[0][:count], untargeted(batch[1][:count]), seed=count)
    assert craft.traces == before


@pytest.mark.parametrize("name", ["dim", "naa"])
def test_in_float32_a_batch_of_one_size_gives_an_image_the_same_bytes(name):
    images, labels = batch_of(4)
    craft = recipe(name).on(convolutional())
    whole = craft(images, untargeted(labels))
    assert whole.dtype == np.float32
    order = [3, 1, 0, 2]
    assert craft(images[order], untargeted(labels[order])).tobytes() == whole[order].tobytes()
    strange = np.concatenate([images[:1], 255 - images[1:]])
    assert craft(strange, untargeted(labels))[0].tobytes() == whole[0].tobytes()
    assert craft(images.astype(np.uint8), untargeted(labels)).tobytes() == whole.tobytes()
    assert craft.traces == 1


@dataclasses.dataclass(frozen=True, repr=False)
class OwnMasks(View):
    """A user's view that holds what no dataclass field can compare."""

    copies = 2

    def __init__(self, masks):
        object.__setattr__(self, "masks", masks)

    def apply(self, images, copy, seeds):
        return images * tf.gather(self.masks, copy)


def test_views_of_a_users_own_do_not_share_what_is_compiled(batch):
    """Two that are equal as dataclasses give, on one network, what each gives on a network of its own."""
    images, labels = batch[0], untargeted(batch[1])
    random = np.random.RandomState(0)
    attacks = [recipe("fia") for _ in range(2)]
    attacks = [
        dataclasses.replace(one, objective=tfadv.Fia(LAYER, OwnMasks(random.randint(0, 2, (2, *images.shape)) * 1.0)))
        for one in attacks
    ]
    network = convolutional("float64")
    together = [attack.on(network)(images, labels) for attack in attacks]
    apart = [attack.on(convolutional.__wrapped__("float64"))(images, labels) for attack in attacks]
    for one, other in zip(together, apart, strict=True):
        assert same(one, other)
    assert np.any(together[0] != together[1])


def test_a_network_of_any_size_takes_images_of_several(batch):
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name=LAYER)(inputs)
    logits = keras.layers.Dense(CLASSES)(keras.layers.GlobalAveragePooling2D()(x))
    network = tfadv.network(keras.Model(inputs, logits), scale=1 / 255)
    craft = tfadv.recipes.naa(LAYER, copies=2, steps=2).on(network)
    for side in (12, 16, 12):
        images, labels = batch_of(2, side)
        assert craft(images, untargeted(labels)).shape == images.shape
    assert craft.traces == 2
