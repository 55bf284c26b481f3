"""NIP and top-k neuron consistency: every step against its definition, written out in slow float64 numpy."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import batch_of, convolutional, linear

import tfadv
from tfadv import defences
from tfadv.core import gradients
from tfadv.defences import FittedNip, Median, Nip, Purified, load_nip, top_k_consistency
from tfadv.defences.clean_twins import played
from tfadv.defences.default_layer import default_layer
from tfadv.defences.nip import RETRIEVALS, Neurons
from tfadv.files import array_files
from tfadv.parts import attribution
from tfadv.registry import catalogue

COUNT, SIDE, CLASSES = 12, 6, 4


@pytest.fixture(scope="module")
def hand():
    """A network of two weight arrays, phi = relu(A x), logits = B phi: (Network, A [20, 108], B [4, 20])."""
    given = keras.layers.Input((SIDE, SIDE, 3), dtype="float64")
    x = keras.layers.Flatten(dtype="float64", name="pixels")(given)
    x = keras.layers.Dense(20, use_bias=False, activation="relu", dtype="float64", name="phi")(x)
    logits = keras.layers.Dense(CLASSES, use_bias=False, dtype="float64", name="logits")(x)
    model = keras.Model(given, logits, name="hand")
    random = np.random.RandomState(5)
    first, second = random.standard_normal((108, 20)) / 600, random.standard_normal((20, CLASSES))
    model.set_weights([first, second])
    return tfadv.network(model), first.T, second.T


@pytest.fixture(scope="module")
def batch(hand):
    """(images float64, the classes that the network predicts of them)."""
    images, _ = batch_of(COUNT, SIDE, np.float64)
    return images, hand[0].predict(images)


@pytest.fixture(scope="module")
def fitted(hand, batch):
    return Nip("phi", front=2, tail=3).fit(hand[0], *batch, batch_size=5)


# Slow twins


def influence_of(image, first, second, label=None):
    """Eq. 1 of one image: d p_c / d phi = p_c (B_c - sum_k p_k B_k)."""
    phi = np.maximum(first @ image.ravel(), 0)
    logits = second @ phi
    p = np.exp(logits - logits.max())
    p /= p.sum()
    c = int(np.argmax(p)) if label is None else label
    return p[c] * (second[c] - p @ second) * phi, phi


def order_of(influence):
    return np.argsort(-influence, kind="stable")


def unit(vector):
    return vector / np.linalg.norm(vector) if vector.any() else vector


def vector_of(image, first, second, vector="influence"):
    """Eq. 3's middle neurons: places 10 to 40 % of twenty."""
    sigma, phi = influence_of(image, first, second)
    found = np.zeros(20)
    for neuron in order_of(sigma)[2:8]:
        found[neuron] = {"influence": sigma, "activation": phi, "indicator": np.ones(20)}[vector][neuron]
    return unit(found)


def inverse_of(image, first, second, front, tail):
    """Eq. 4-5 and the quotient of Eq. 7."""
    sigma, phi = influence_of(image, first, second)
    order = order_of(sigma)
    rho = np.zeros(108)
    for neuron in order[:front]:
        rho += (phi[neuron] > 0) * first[neuron]
    for neuron in order[len(order) - tail :]:
        rho -= (phi[neuron] > 0) * first[neuron]
    spread = rho.max() - rho.min()
    return (rho / spread if spread else rho).reshape(image.shape)


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def purified_of(image, others, first, second, front, tail, strength=1.0, vector="influence", retrieval="similarity"):
    """The whole of NIP for one image, from the fitted images."""
    if retrieval == "similarity":
        vectors = [vector_of(other, first, second, vector) for other in others]
        template = np.mean(vectors, axis=0)
        deltas = [cosine(v, template) for v in vectors]
        far = np.abs(np.array(deltas) - cosine(vector_of(image, first, second, vector), template))
    else:
        phi = influence_of(image, first, second)[1]
        far = [np.linalg.norm(influence_of(other, first, second)[1] - phi) for other in others]
    nearest = int(np.argmin(far))
    rho = inverse_of(others[nearest], first, second, front, tail)
    return np.clip(image + strength * image.mean() * rho, 0, 255)


# Eq. 1


def test_influence_is_its_formula(hand, batch):
    network, first, second = hand
    images, _ = batch
    for labels in (None, np.arange(COUNT) % CLASSES):
        for forward in (network, network.compiled):
            found = attribution.neuron_influence(forward, tf.constant(images), labels, "phi").numpy()
            for number, image in enumerate(images):
                expected, _ = influence_of(image, first, second, None if labels is None else labels[number])
                np.testing.assert_allclose(found[number], expected, rtol=1e-9, atol=1e-15)


def test_influence_on_a_linear_head_is_complete():
    """Logits z = B phi: the sum of d y_c / d phi_j phi_j is y_c (z_c - sum_k y_k z_k), of the confidence's own slope
    along phi; that of a logit, for which d z_c / d phi stands in the place of d y_c / d phi, is the logit."""
    forward, labels = linear("float64"), np.array([0, 3, 1])
    images = tf.constant(batch_of(3, 6, np.float64)[0])
    logits = forward(images).logits.numpy()
    shares = tf.nn.softmax(logits).numpy()
    own, rows = labels, np.arange(3)
    expected = shares[rows, own] * (logits[rows, own] - (shares * logits).sum(axis=1))
    for layer in ("features", "flat"):
        found = attribution.neuron_influence(forward, images, labels, layer).numpy()
        np.testing.assert_allclose(found.reshape(3, -1).sum(axis=1), expected, rtol=1e-9)
        (slope,) = gradients.of_features(
            lambda o: tf.gather(o.logits, own, axis=1, batch_dims=1), forward, images, (layer,)
        )
        feature = forward(images, (layer,)).features[layer]
        np.testing.assert_allclose((slope * feature).numpy().reshape(3, -1).sum(axis=1), logits[rows, own], rtol=1e-9)


def test_influence_is_the_products_gradient_of_the_softmax_in_float32_also_where_it_is_sure():
    """Where float32 rounds the confidence to 1 the neurons still have their order and proportion."""
    images = tf.constant(batch_of(2, 6)[0])
    for gain, close in ((1.0, 1e-4), (40.0, 1e-3)):
        found = []
        for dtype in ("float32", "float64"):
            model = keras.models.clone_model(linear(dtype).model)
            weights = linear("float64").model.get_weights()
            model.set_weights([weights[0], weights[1] * gain])
            network = tfadv.network(model)
            found.append(attribution.neuron_influence(network, tf.cast(images, dtype), None, "flat").numpy())
        directions = [each / np.abs(each).max(axis=1, keepdims=True) for each in found]
        assert np.all(np.isfinite(found[0])) and np.all(np.abs(found[0]).max(axis=1) > 0)
        np.testing.assert_allclose(directions[0], directions[1], atol=close)


# Algorithm 1


def test_neurons_are_sorted_and_equal_ones_keep_their_order(hand, batch):
    network, first, second = hand
    neurons = Nip("phi").neurons(network, tf.constant(batch[0]))
    for image, order in zip(batch[0], neurons.order.numpy(), strict=True):
        sigma, _ = influence_of(image, first, second)
        np.testing.assert_array_equal(order, order_of(np.where(np.abs(sigma) < 1e-15, 0, sigma)))
    assert np.any(neurons.influence.numpy() == 0)


def test_front_middle_and_tail_are_ten_thirty_and_sixty_per_cent():
    assert Nip().parts(512) == (51, 205)
    assert Nip().parts(20) == (2, 8)
    assert Nip(front_share=0.25, middle_share=0.5).parts(8) == (2, 6)
    order = tf.constant([[3, 1, 4, 0, 2, 9, 6, 5, 8, 7]])
    middle = Nip().is_middle(Neurons(tf.zeros((1, 10)), order)).numpy()[0]
    assert set(np.flatnonzero(middle)) == {1, 4, 0}


# Eq. 2 and 3


@pytest.mark.parametrize("vector", ["influence", "activation", "indicator"])
def test_template_and_similarities_are_their_formulas(hand, batch, vector):
    network, first, second = hand
    found = Nip("phi", "similarity", front=2, vector=vector).fit(network, *batch)
    vectors = [vector_of(image, first, second, vector) for image in batch[0]]
    np.testing.assert_allclose(found.template, np.mean(vectors, axis=0), rtol=1e-9, atol=1e-12)
    expected = [cosine(v, np.mean(vectors, axis=0)) for v in vectors]
    np.testing.assert_allclose(found.keys[:, 0], expected, rtol=1e-9)


def test_by_default_candidates_are_told_apart_by_all_of_the_layers_activations(hand, batch, fitted):
    network, first, second = hand
    assert fitted.nip.retrieval == Nip().retrieval == "activations" and fitted.template.shape == (0,)
    phis = [influence_of(image, first, second)[1] for image in batch[0]]
    np.testing.assert_allclose(fitted.keys, phis, rtol=1e-9)
    np.testing.assert_array_equal(fitted.nearest(network, tf.constant(batch[0])), np.arange(COUNT))


def test_activations_are_seen_at_the_networks_own_layer_where_it_has_one():
    network, (images, _) = convolutional("float64"), batch_of(4, dtype=np.float64)
    found = Nip().fit(network, images, network.predict(images))
    assert (network.layer, found.nip.layer, found.nip.seen_at) == ("middle", "flat", "middle")
    assert found.keys.shape == (4, np.prod(network.layers["middle"][1:]))
    again = Nip(seen_at="early").fit(network, images, network.predict(images))
    assert again.nip.seen_at == "early" and again.keys.shape[1] == np.prod(network.layers["early"][1:])
    with pytest.raises(ValueError, match="Nip: .* has no layer 'none'"):
        Nip(seen_at="none").fit(network, images, network.predict(images))


@dataclasses.dataclass(frozen=True, repr=False)
class FirstValue(Nip):
    """Images are told apart by their first values."""

    def keys(self, forward, images, template):
        return images[:, 0, 0, :1]


def test_near_similarities_are_told_apart_in_float32_and_of_equal_ones_the_first_is_taken():
    """Keys about 1 that differ by a millionth: float32 cannot tell their squares apart."""
    keys = np.ones((4, 1), np.float32) + np.array([[3e-6], [1e-6], [1e-6], [0]], np.float32)
    found = FittedNip(FirstValue("phi"), "f", np.zeros(0, np.float32), keys, np.zeros((4, 1, 1, 3), np.float16))
    shown = tf.constant(np.repeat(keys, 3, axis=1)[:, None, None])
    np.testing.assert_array_equal(found.nearest(None, shown), [0, 1, 1, 3])


def test_the_intersection_read_as_sets_gives_every_candidate_the_same_similarity(hand, batch):
    """T lies within every fitted image's middle neurons: cos = |T| / sqrt(|Omega_m| |T|) for all of them."""
    network, first, second = hand
    images, labels = batch[0][:2], batch[1][:2]
    nip = Nip("phi", "similarity", front=2, vector="indicator", template="intersection")
    found = nip.fit(network, images, labels)
    sets = [set(np.flatnonzero(vector_of(image, first, second, "indicator"))) for image in images]
    shared = set.intersection(*sets)
    assert set(np.flatnonzero(found.template)) == shared
    np.testing.assert_allclose(found.keys[:, 0], np.sqrt(len(shared) / 6), rtol=1e-9)


def test_an_empty_intersection_is_refused(hand):
    network, _, _ = hand
    images = np.random.RandomState(0).randint(0, 256, (200, SIDE, SIDE, 3)).astype(np.float64)
    with pytest.raises(ValueError, match="no neuron of phi is a middle one of all 200 images"):
        Nip("phi", "similarity", front=2, template="intersection").fit(network, images, network.predict(images))


# Eq. 4-7


@pytest.mark.parametrize(("front", "tail"), [(1, 0), (0, 1), (2, 3)])
def test_perturbations_are_their_formula(hand, batch, front, tail):
    network, first, second = hand
    found = Nip("phi", front=front, tail=tail).fit(network, *batch)
    assert found.perturbations.dtype == np.float16
    for image, rho in zip(batch[0], found.perturbations, strict=True):
        np.testing.assert_allclose(rho, inverse_of(image, first, second, front, tail), rtol=5e-4, atol=1e-6)


def test_the_first_neurons_of_the_tail_may_stand_for_it(hand, batch):
    network, first, _ = hand
    nip = Nip("phi", front=0, tail=2, weakest=False)
    images = tf.constant(batch[0])
    neurons = nip.neurons(network, images)
    rho = nip.inverse(network, images, neurons).numpy()
    for image, order, one in zip(batch[0], neurons.order.numpy(), rho, strict=True):
        expected = -sum((first[neuron] @ image.ravel() > 0) * first[neuron] for neuron in order[8:10])
        spread = np.ptp(expected)
        np.testing.assert_allclose(one.ravel(), expected / spread if spread else 0, atol=1e-12)


@pytest.mark.parametrize(
    ("retrieval", "vector"), [("activations", "influence"), ("similarity", "influence"), ("similarity", "activation")]
)
@pytest.mark.parametrize("strength", [1.0, -0.5])
def test_purified_images_are_the_slow_twins(hand, batch, retrieval, vector, strength):
    network, first, second = hand
    nip = Nip("phi", retrieval, front=2, tail=3, vector=vector, strength=strength)
    shown = np.random.RandomState(3).randint(0, 256, (5, SIDE, SIDE, 3)).astype(np.float64)
    found = nip.fit(network, *batch).on(network).purified(shown)
    for image, one in zip(shown, found, strict=True):
        expected = purified_of(image, batch[0], first, second, 2, 3, strength, vector, retrieval)
        assert np.abs(one - expected).max() < 0.07  # float16
    assert np.abs(found - shown).max() > 5


def test_a_perturbation_without_range_adds_nothing(hand):
    """On a dead network every gradient is zero."""
    network, _, _ = hand
    dead = keras.models.clone_model(network.model)
    dead.set_weights([-np.abs(network.model.get_weights()[0]), network.model.get_weights()[1]])
    images, _ = batch_of(3, SIDE, np.float64)
    found = Nip("phi", front=2).fit(dead, images, np.zeros(3, int))
    np.testing.assert_array_equal(found.on(dead).purified(images), images)


# Promises


def test_it_is_compiled_and_eager_alike_and_each_image_by_itself(hand, batch, fitted):
    network, _, _ = hand
    images = batch[0][::-1].copy()
    together = fitted.on(network).purified(images)
    seeds = tf.zeros((COUNT, 2), tf.int32)
    np.testing.assert_allclose(fitted.purify(network, tf.constant(images), seeds), together, atol=1e-9)
    np.testing.assert_allclose(fitted.on(network).purified(images[4:5]), together[4:5], atol=1e-9)
    assert together.min() >= 0 and together.max() <= 255


def test_the_gradient_goes_through_identity_and_mean(hand, batch, fitted):
    """x + s Mean(x) rho has the gradient g + s sum(g rho) / size, where nothing is cut."""
    network, _, _ = hand
    inner = tf.constant(100 + batch[0][:3] / 10)
    weights = tf.constant(np.random.RandomState(1).standard_normal(inner.shape))
    seeds = tf.zeros((3, 2), tf.int32)

    def value(shown):
        return tf.reduce_sum(weights * fitted.purify(network, shown, seeds), axis=[1, 2, 3])

    purified = fitted.purify(network, inner, seeds)
    assert np.all((purified > 0) & (purified < 255))
    rho = (purified - inner) / tf.reduce_mean(inner, axis=[1, 2, 3], keepdims=True)
    share = tf.reduce_mean(weights * rho, axis=[1, 2, 3], keepdims=True)
    for found in (gradients.of_images(value, inner), tf.function(lambda x: gradients.of_images(value, x))(inner)):
        np.testing.assert_allclose(found, weights + share, rtol=1e-9)


def test_an_attack_goes_through_it(fitted, hand, batch):
    network, _, _ = hand
    defended = fitted.on(network)
    labels = defended.predict(batch[0])
    moved = tfadv.recipes.pgd(epsilon=40, steps=5).on(defended)(batch[0], tfadv.untargeted(labels))
    assert np.mean(defended.predict(moved) != labels) > 0.5


def test_only_what_the_network_gets_right_is_fitted(hand, batch):
    network, _, _ = hand
    images, labels = batch
    wrong = (labels + 1) % CLASSES
    mixed = np.where(np.arange(COUNT) < 4, wrong, labels)
    for retrieval in RETRIEVALS:
        counted, nip = [], Nip("phi", retrieval, front=2, tail=3)
        found = nip.fit(network, images, mixed, batch_size=3, progress=counted.append)
        alone = nip.fit(network, images[4:], labels[4:])
        for one, other in zip(found.arrays, alone.arrays, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
        assert sum(counted) == 3 * COUNT
    with pytest.raises(ValueError, match="expected at least one image that hand gets right, got 12, all wrong"):
        Nip("phi", front=2).fit(network, images, wrong)


def test_a_file_holds_it_all(fitted, hand, batch, tmp_path):
    path = tmp_path / "a.npz"
    fitted.save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.npz"]
    for again in (Nip.load(path), load_nip(str(path))):
        assert again.nip == fitted.nip and again.fitted_to == fitted.fitted_to == hand[0].fingerprint
        for one, other in zip(fitted.arrays, again.arrays, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        assert again.on(hand[0]).fingerprint == fitted.on(hand[0]).fingerprint
        np.testing.assert_array_equal(again.on(hand[0]).purified(batch[0]), fitted.on(hand[0]).purified(batch[0]))


def test_a_file_of_before_the_retrieval_was_a_setting_is_by_similarity(hand, batch, tmp_path):
    fitted = Nip("phi", "similarity", front=2).fit(hand[0], *batch)
    fitted.save(tmp_path / "new.npz")
    held = array_files.read(tmp_path / "new.npz", "a fit")
    about = json.loads(str(held.pop("about")))
    texts = {"fitted_to": about["fitted_to"], "settings": json.dumps(about["settings"])}
    del about["settings"]["retrieval"]
    oldest = {"settings": json.dumps(about["settings"]), "similarities": held["keys"][:, 0]}
    array_files.write(tmp_path / "older.npz", held | texts | {"kind": "tfadv nip 2"})
    del held["keys"]
    array_files.write(tmp_path / "oldest.npz", held | texts | oldest | {"kind": "tfadv nip 1"})
    for name in ("older.npz", "oldest.npz"):
        again = Nip.load(tmp_path / name)
        assert again.nip == fitted.nip and again.on(hand[0]).fingerprint == fitted.on(hand[0]).fingerprint


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    empty = {"template": np.zeros(3), "keys": np.zeros((2, 1)), "perturbations": np.zeros((2, 4, 4, 3))}
    about = {"kind": "nip", "version": 1, "fitted_to": "f"}
    for content in (
        {"x": np.zeros(3)},
        {**empty, "about": json.dumps(about | {"kind": "comdefend", "settings": {}})},
        {**empty, "about": json.dumps(about | {"settings": {"layers": "phi"}})},
        {**empty, "about": json.dumps(about | {"settings": {"layer": "phi"}}), "keys": np.zeros((3, 1))},
        {**empty, "about": json.dumps({"kind": "nip", "settings": {"layer": "phi"}})},
        {**empty, "about": np.array([{}], object)},
    ):
        np.savez(path, **content)
        with pytest.raises(ValueError, match="expected the file of a fitted NIP"):
            Nip.load(path)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="expected the file of a fitted NIP"):
        Nip.load(path)
    with pytest.raises(FileNotFoundError):
        Nip.load(tmp_path / "none.npz")


def test_another_network_or_size_is_refused(fitted, hand, batch):
    with pytest.raises(ValueError, match="was fitted to another network than linear"):
        fitted.on(linear("float64", SIDE))
    with pytest.raises(ValueError, match=r"expected images of \[6, 6, 3\]"):
        fitted.purify(hand[0], tf.zeros((1, 8, 8, 3), tf.float64), tf.zeros((1, 2), tf.int32))
    with pytest.raises(ValueError, match="needs the network"):
        fitted(batch[0])


def test_it_is_a_part_and_a_link_of_a_chain(fitted, hand, batch):
    assert repr(fitted) == "FittedNip(Nip(layer='phi', front=2, tail=3, seen_at='phi'))"
    chain = Median(2) >> fitted
    assert chain.needs_network and chain.has_gradient and chain.fitted_to == fitted.fitted_to and len(chain.arrays) == 3
    assert isinstance(chain.on(hand[0]), Purified)
    assert eval(repr(Nip("phi", strength=-1.0)), {"Nip": Nip}) == Nip("phi", strength=-1.0)
    shuffled = dataclasses.replace(fitted, perturbations=fitted.perturbations[::-1])
    assert isinstance(shuffled, FittedNip)
    assert shuffled.on(hand[0]).fingerprint != fitted.on(hand[0]).fingerprint
    assert np.any(shuffled.on(hand[0]).purified(batch[0]) != fitted.on(hand[0]).purified(batch[0]))


def test_a_fit_of_no_numbers_is_refused(hand, batch, tmp_path):
    fitted = Nip("phi", "similarity", front=2).fit(hand[0], *batch)
    for place in range(3):
        arrays = [array.copy() for array in fitted.arrays]
        arrays[place].flat[0] = np.nan
        with pytest.raises(ValueError, match="FittedNip: expected finite numbers, got NaN or infinity"):
            FittedNip(fitted.nip, fitted.fitted_to, *arrays)
        fitted.save(tmp_path / "nip.npz")
        with np.load(tmp_path / "nip.npz") as held:
            changed = dict(held) | {("template", "keys", "perturbations")[place]: arrays[place]}
        np.savez(tmp_path / "nip.npz", **changed)
        with pytest.raises(ValueError, match="some of its numbers are NaN or infinite"):
            Nip.load(tmp_path / "nip.npz")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Nip(front=-1), r"Nip\(front\): expected a whole number from 0 on, got -1"),
        (lambda: Nip(tail=1.5), r"Nip\(tail\): expected a whole number from 0 on, got 1.5"),
        (lambda: Nip(front=0, tail=0), r"Nip\(front, tail\): expected at least one neuron"),
        (lambda: Nip(front_share=0.7), r"expected shares above 0 with a sum below 1, got 0.7 and 0.3"),
        (lambda: Nip(retrieval="pixels"), r"Nip\(retrieval\): expected one of activations, similarity"),
        (lambda: Nip(vector="activation"), r"Nip\(vector\): 'activation' is of use to retrieval='similarity' alone"),
        (
            lambda: Nip("phi", "similarity", seen_at="phi"),
            r"Nip\(seen_at\): 'phi' is of use to retrieval='activations'",
        ),
        (lambda: Nip(template="intersection"), r"Nip\(template\): 'intersection' is of use to retrieval='similarity'"),
        (lambda: Nip(vector="numbers"), r"Nip\(vector\): expected one of influence, activation, indicator"),
        (lambda: Nip(template="union"), r"Nip\(template\): expected one of mean, intersection"),
        (lambda: Nip(strength=np.nan), r"Nip\(strength\): expected a number, finite, got nan"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_layers_and_labels_are_refused(hand, batch):
    network, _, _ = hand
    images, labels = batch
    with pytest.raises(ValueError, match="phi has 20 neurons, of which 2 are front, 6 middle and 12 tail ones"):
        Nip("phi").fit(network, images, labels)
    with pytest.raises(ValueError, match="Nip: hand has no layer 'psi'"):
        Nip("psi").fit(network, images, labels)
    with pytest.raises(ValueError, match="expected one for each of the 12 images, got 3"):
        Nip("phi").fit(network, images, labels[:3])
    with pytest.raises(ValueError, match=r"has the classes 0..3, got 4"):
        Nip("phi").fit(network, images, labels * 0 + 4)


# The layer between convolutions and classifier


def classifier(*layers, side=16):
    """A Sequential network of these layers behind a convolution `maps` [N, side, side, 6]."""
    first = [keras.layers.Input((side, side, 3)), keras.layers.Conv2D(6, 3, padding="same", name="maps")]
    return tfadv.network(keras.Sequential([*first, *layers]))


def test_the_layer_between_convolutions_and_classifier_is_found():
    # flattened last maps; with an auxiliary head beside them, that comes first and pools
    assert default_layer(convolutional()) == "flat"
    assert default_layer(linear()) == "flat"
    dense, flatten, pool = keras.layers.Dense, keras.layers.Flatten, keras.layers.GlobalAveragePooling2D
    # LeNet, AlexNet and VGG: flatten, then dense layers
    assert default_layer(classifier(flatten(name="flat"), dense(30), dense(10))) == "flat"
    # ResNet, MobileNet: pooled, then one dense layer
    assert default_layer(classifier(pool(name="gap"), dense(10))) == "gap"
    # MobileNetV1: pooled to 1 x 1, a convolution, squeezed
    ends = [keras.layers.Conv2D(10, 1), keras.layers.Reshape((10,))]
    assert default_layer(classifier(pool(keepdims=True, name="gap"), *ends)) == "gap"
    # VGG at 32 pixels: pooled to 1 x 1, flattened, dense of the same width
    ends = [keras.layers.MaxPooling2D(16), flatten(name="flat"), dense(6), dense(10)]
    assert default_layer(classifier(*ends)) == "flat"
    # TF-slim's VGG: a convolution of the map's size
    ends = [keras.layers.Conv2D(40, 16), keras.layers.Conv2D(10, 1), flatten()]
    assert default_layer(classifier(*ends)) == "maps"
    # SqueezeNet: a map for each class, pooled
    with pytest.raises(ValueError, match="name the layer between its convolutions and its classifier"):
        default_layer(classifier(keras.layers.Conv2D(10, 1), pool()))


def test_without_a_name_it_is_fitted_there():
    network = convolutional("float64")
    images, _ = batch_of(4, dtype=np.float64)
    assert Nip().fit(network, images, network.predict(images)).nip.layer == "flat"


def test_a_background_class_is_not_counted():
    network = convolutional("float64", offset=1)
    images, _ = batch_of(4, dtype=np.float64)
    labels = network.predict(images)
    seen = labels >= 0
    assert len(Nip().fit(network, images[seen], labels[seen]).keys) == seen.sum() > 0


# Top-k neuron consistency


def test_consistency_by_hand(hand, batch):
    network, first, second = hand
    images, others = batch[0][:6], batch[0][6:]
    found = top_k_consistency(network, images, others, "phi", 3, batch_size=4)
    for one, other, share in zip(images, others, found, strict=True):
        top, also = (set(order_of(influence_of(each, first, second)[0])[:3]) for each in (one, other))
        assert share == len(top & also) / len(top | also)
    assert len(set(found)) > 1
    np.testing.assert_array_equal(top_k_consistency(network, images, images, "phi", 3), np.ones(6))
    assert top_k_consistency(network, images[:0], images[:0], "phi").shape == (0,)


def test_consistency_says_what_it_cannot_compare(hand, batch):
    with pytest.raises(ValueError, match=r"others: expected images \[12, 6, 6, 3\] like the clean ones, got \[11"):
        top_k_consistency(hand[0], batch[0], batch[0][1:], "phi")
    with pytest.raises(ValueError, match="k: expected 1 to 20, the neurons of phi, got 21"):
        top_k_consistency(hand[0], batch[0], batch[0], "phi", 21)


# What the authors' program measures


def test_the_authors_program_by_hand(hand, batch):
    """Of each pair: the clean twin's class, neurons and step; added, and subtracted."""
    network, first, second = hand
    clean, attacked = batch[0], batch[0][::-1]
    for donors, skipped, size in ((None, 0, 40.0), (None, 5, 40.0), (batch[0][[1] * COUNT], 0, 40.0), (None, 0, 1e-9)):
        found = played(network, clean, attacked, donors=donors, layer="phi", skipped=skipped, size=size, batch_size=5)
        for number, (twin, image) in enumerate(zip(clean, attacked, strict=True)):
            donor = twin if donors is None else donors[number]
            sigma, phi = influence_of(donor, first, second)
            order = order_of(np.where(np.abs(sigma) < 1e-15, 0, sigma))
            order = order[: len(order) - skipped]
            rho = sum((phi[k] > 0) * first[k] for k in order[:1]) - sum((phi[k] > 0) * first[k] for k in order[-5:])
            step = size * (rho / np.sqrt(np.mean(np.square(rho)))).reshape(twin.shape)
            shown = [np.clip(image + sign * step, 0, 255) for sign in (1, -1)]
            seen = network.predict(np.stack([twin, *shown]))
            assert (found.added[number], found.subtracted[number]) == (seen[1] == seen[0], seen[2] == seen[0])
        np.testing.assert_array_equal(found.rescued, found.added | found.subtracted)
    assert len(played(network, clean[:0], clean[:0], layer="phi").rescued) == 0


def test_the_authors_program_is_no_defence_and_no_name_leads_to_it():
    """It has the clean image and the answer: nothing of it may stand in front of a network."""
    module = defences.clean_twins
    assert not {"on", "purify", "purified", "fit"} & set(dir(module.Played))
    assert not {name for name in vars(module) if name in ("played", "Played")} & set(defences.__all__)
    assert not any("twin" in name or "released" in name for name in catalogue.DEFENCES)
    fields = {field.name for field in dataclasses.fields(Nip)}
    assert not {"released", "clean", "twins"} & fields


def test_the_authors_program_says_what_it_cannot_play(hand, batch):
    network, images = hand[0], batch[0]
    with pytest.raises(ValueError, match="attacked: expected images"):
        played(network, images, images[1:], layer="phi")
    with pytest.raises(ValueError, match="expected a size above 0"):
        played(network, images, images, layer="phi", size=0)
    with pytest.raises(ValueError, match="phi: expected 26 neurons or more, got 20"):
        played(network, images, images, layer="phi", skipped=20)
