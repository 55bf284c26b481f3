"""The views: shapes, chains, copies, and that each shows what its paper says."""

import numpy as np
import pytest
import tensorflow as tf
from networks import SIDE

from tfadv import (
    DiverseInputs,
    GridNoise,
    InStep,
    MaskedCopies,
    NoisyCopies,
    PatchNoise,
    PathCopies,
    Plain,
    ScaledCopies,
    UniformNoise,
)
from tfadv.core import seeds
from tfadv.core.interfaces import ViewChain
from tfadv.defences import ResizePad, randomised
from tfadv.parts.views import diverse

VIEWS = [
    Plain(),
    DiverseInputs(1.0),
    ScaledCopies(3),
    NoisyCopies(4),
    MaskedCopies(4),
    PathCopies(4),
    PathCopies(3, base="grey"),
    PathCopies(3, base="blurred"),
    UniformNoise(20, 2),
    GridNoise(0.3, (0, 5, 7), 4),
    PatchNoise(4),
    InStep((GridNoise(0.2, (4, 6)), UniformNoise(), PathCopies(3, noise=0, base="grey"))),
    ScaledCopies(2) >> DiverseInputs(),
    MaskedCopies(3) >> NoisyCopies(2, deviation=1) >> DiverseInputs(1.0),
]


def moved_by_gathers(images, rows, columns, pad, most):
    """`diverse.draw_map` by plain gathers, whose gradient TensorFlow makes."""
    taken = tf.gather(images, tf.maximum(rows, 0), axis=1, batch_dims=1)
    taken = tf.gather(taken, tf.maximum(columns, 0), axis=2, batch_dims=1)
    inside = (rows >= 0)[:, :, None, None] & (columns >= 0)[:, None, :, None]
    return tf.where(inside, taken, tf.cast(pad, images.dtype))


@pytest.mark.parametrize("larger", [25, 27, 48, 60, 80])
@pytest.mark.parametrize("kind", ["diverse inputs", "resize and pad", "and flip"])
def test_pixels_that_move_have_the_gradient_of_a_gather(kind, larger, images, monkeypatch):
    show = {
        "diverse inputs": lambda x, own: DiverseInputs(1.0, larger).apply(x, tf.constant(0), own),
        "resize and pad": lambda x, own: ResizePad(SIDE / larger).purify(None, x, own),
        "and flip": lambda x, own: ResizePad(SIDE / larger, flip=1.0).purify(None, x, own),
    }[kind]
    images, found = tf.cast(images, tf.float64), []
    for run in range(4):
        own = tf.constant(seeds.of_images(images.numpy(), run))
        for draw_map in (diverse.draw_map, moved_by_gathers):
            monkeypatch.setattr(diverse, "draw_map", draw_map)
            monkeypatch.setattr(randomised, "draw_map", draw_map)
            with tf.GradientTape() as tape:
                tape.watch(images)
                shown = show(images, own)
                total = tf.reduce_sum(shown * tf.reshape(tf.range(tf.size(shown), dtype=shown.dtype), shown.shape))
            found.append((shown, tf.convert_to_tensor(tape.gradient(total, images))))
            monkeypatch.undo()
        for one, other in zip(*found[-2:], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_views_keep_shape_and_type_and_have_gradients(view, images, own):
    for copy in range(view.copies):
        with tf.GradientTape() as tape:
            tape.watch(images)
            shown = view.apply(images, tf.constant(copy), own)
        assert shown.shape == images.shape and shown.dtype == images.dtype
        assert np.any(tape.gradient(shown, images) != 0)
        double = view.apply(tf.cast(images, tf.float64), tf.constant(copy), own)
        assert double.dtype == tf.float64
    again = view.apply(images, tf.constant(view.copies - 1), own)
    np.testing.assert_array_equal(shown, again)


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_an_image_is_shown_the_same_in_any_company(view, images, own):
    last = view.copies - 1
    shown = view.apply(images, last, own).numpy()
    np.testing.assert_allclose(view.apply(images[1:2], last, own[1:2]), shown[1:2], rtol=1e-6)
    np.testing.assert_allclose(view.apply(images[::-1], last, own[::-1]), shown[::-1], rtol=1e-6)


def test_chains_are_associative_and_their_copies_multiply():
    a, b, c = ScaledCopies(2), NoisyCopies(3), DiverseInputs()
    assert (a >> b) >> c == a >> (b >> c) == ViewChain((a, b, c))
    assert (a >> b >> c).copies == 6
    assert repr(a >> b) == "ScaledCopies(copies=2) >> NoisyCopies(copies=3)"


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_plain_is_neutral(view):
    assert Plain() >> view == view >> Plain() == view


def test_a_chain_shows_the_first_first(images, own):
    chain = ScaledCopies(3, toward=0.0) >> PathCopies(2, noise=0) >> DiverseInputs(1.0, pad=77.0)
    for copy in range(6):
        shown = chain.apply(images, copy, own)
        factor = 0.5 ** (copy // 2) * (1 - (copy % 2) / 2)  # the last view's copies run fastest
        # Were the canvas first, its grey would be scaled as well.
        pixels = np.concatenate([images.numpy().ravel() * factor, [77.0]])
        assert set(np.unique(shown)) <= set(np.unique(np.float32(pixels)))


def test_copies_of_one_view_are_seen_through_different_draws_of_the_next(images, own):
    chain = ScaledCopies(6, toward=0.0) >> DiverseInputs(1.0, larger=40, pad=0.0)
    shown = [chain.apply(images, copy, own).numpy()[0] * 2**copy for copy in range(6)]
    assert len({image.tobytes() for image in shown}) > 3


def test_masks_keep_their_rate_of_values(images, own):
    for keep in (0.3, 0.9):
        view = MaskedCopies(keep=keep)
        kept = np.stack([view.apply(tf.ones((3, 40, 40, 3)), copy, own) for copy in range(3)])
        assert set(np.unique(kept)) == {0.0, 1.0}
        np.testing.assert_allclose(kept.mean(axis=(2, 3, 4)), keep, atol=0.03)
    assert np.any(view.apply(images, 0, own) != view.apply(images, 1, own))
    np.testing.assert_array_equal(MaskedCopies(keep=1.0).apply(images, 0, own), images)


def test_the_path_starts_at_the_image_and_never_reaches_black(own):
    white = tf.fill((3, 4, 4, 3), 255.0)
    path = PathCopies(5, noise=0)
    levels = [path.apply(white, copy, own).numpy() for copy in range(5)]
    np.testing.assert_allclose([level.mean() for level in levels], 255 * np.array([1, 0.8, 0.6, 0.4, 0.2]), rtol=1e-6)
    np.testing.assert_array_equal(levels[0], white)
    noisy = PathCopies(2, noise=10.0)
    large = tf.zeros((3, 60, 60, 3))
    for copy, deviation in ((0, 10), (1, 5)):
        np.testing.assert_allclose(noisy.apply(large, copy, own).numpy().std(), deviation, rtol=0.02)


def test_scaled_copies_halve_the_contrast(images, own):
    np.testing.assert_array_equal(ScaledCopies().apply(images, 0, own), images)
    np.testing.assert_allclose(ScaledCopies().apply(images, 2, own), 127.5 + (images - 127.5) / 4)
    np.testing.assert_allclose(ScaledCopies(toward=0).apply(images, 1, own), images / 2)


def test_noisy_copies_have_their_deviation(own):
    noise = NoisyCopies(deviation=15).apply(tf.zeros((3, 60, 60, 3)), 3, own).numpy()
    np.testing.assert_allclose(noise.std(axis=(1, 2, 3)), 15, rtol=0.03)


def test_diverse_inputs_of_probability_zero_are_the_images(images, own):
    np.testing.assert_array_equal(DiverseInputs(0.0).apply(images, 0, own), images)


def test_diverse_inputs_cover_every_side_and_as_many_images_as_they_should():
    side, larger, count = 8, 12, 300
    many = tf.constant(np.random.RandomState(0).randint(-(2**31), 2**31, (count, 2)), tf.int32)
    ones = tf.ones((count, side, side, 3))
    show = tf.function(lambda view: view.apply(ones, 0, many))
    shown = show(DiverseInputs(1.0, larger, pad=0.0)).numpy()
    # Sides of 8, 9, 10, 11 on a canvas of 12, shown at 8: of 8 / 12 .. 11 / 12 of the rows something is left.
    rows = shown[:, :, :, 0].max(axis=2).sum(axis=1)
    assert set(rows) == {5, 6, 7, 8}
    touched = show(DiverseInputs(0.3, larger, pad=0.0)).numpy().min(axis=(1, 2, 3)) == 0
    always = show(DiverseInputs(1.0, larger, pad=2.0)).numpy().max(axis=(1, 2, 3)) > 1
    assert abs(touched.sum() / always.sum() - 0.3) < 0.1
    shared = show(DiverseInputs(1.0, larger, pad=0.0, shared=True)).numpy()
    assert np.all(shared == shared[:1])


def test_diverse_inputs_refuse_shapes_they_have_no_canvas_for(images, own):
    with pytest.raises(ValueError, match=rf"DiverseInputs\(larger={SIDE}\): expected more than the image's side"):
        DiverseInputs(larger=SIDE).apply(images, 0, own)
    with pytest.raises(ValueError, match="expected square images"):
        DiverseInputs().apply(images[:, :5], 0, own)


def test_uniform_noise_fills_its_range(own):
    noise = UniformNoise(20, 3).apply(tf.zeros((3, 60, 60, 3)), 2, own).numpy()
    assert 19.9 < np.abs(noise).max() <= 20
    np.testing.assert_allclose(noise.std(axis=(1, 2, 3)), 20 / np.sqrt(3), rtol=0.03)


def test_a_grid_is_replaced_in_whole_cells_and_at_its_rate(own):
    view, many = GridNoise(0.3, (0, 4), 12), tf.constant(np.arange(80).reshape(40, 2), tf.int32)
    black = tf.fill((40, 22, 22, 3), -1.0)
    shares = []
    for copy in range(view.copies):
        changed = view.apply(black, copy, many).numpy() >= 0
        assert np.all(changed == changed[..., :1])
        for image in changed[..., 0]:
            cells = [image[row : row + 4, column : column + 4] for row in range(0, 22, 4) for column in range(0, 22, 4)]
            assert all(cell.all() or not cell.any() for cell in cells)
            shares.append(np.mean([cell.all() for cell in cells]))
    assert 0.4 < np.mean(np.array(shares) == 0) < 0.6
    np.testing.assert_allclose(np.mean([share for share in shares if share]), 0.3, atol=0.02)
    shown = GridNoise(1.0, (5,)).apply(tf.zeros((3, 60, 60, 3)), 0, own).numpy()
    np.testing.assert_allclose((shown.mean(), shown.std()), (127.5, 255 / np.sqrt(12)), rtol=0.02)
    np.testing.assert_array_equal(GridNoise(1.0, (0,)).apply(black, 0, many), black)


@pytest.mark.parametrize("side", [1, 3, 5, 7])
def test_patches_of_each_colour_are_darkened_and_the_rest_stays(side, own):
    white = tf.ones((3, 23, 26, 3))
    shown = PatchNoise(8, (1, 3, 5, 7), 0.7).apply(white, (1, 3, 5, 7).index(side) + 4, own).numpy()
    down, across = 23 // side, 26 // side
    assert np.all(shown[:, down * side :] == 1) and np.all(shown[:, :, across * side :] == 1)
    inside = shown[:, : down * side, : across * side].reshape(3, down, side, across, side, 3)
    dark = np.any(inside < 1, axis=(2, 4))
    for image in range(3):
        chosen = dark[image].mean()
        assert (
            chosen == pytest.approx(0.3, abs=0.03) if side == 1 else dark[image].sum() == int(down * across * 3 * 0.3)
        )
    values = np.moveaxis(inside, (2, 4), (4, 5))[dark]
    assert 0 <= values.min() and values.max() < 1
    np.testing.assert_allclose(values.mean(), 0.5, atol=0.05)


def test_views_in_step_go_copy_by_copy(images, own):
    path = PathCopies(3, noise=0, base=9.0)
    together = InStep((NoisyCopies(1, 5), path))
    assert together.copies == 3 and together.base == 9.0 and (together >> ScaledCopies(2)).copies == 6
    noises = []
    for copy in range(3):
        faded = together.apply(tf.zeros_like(images), tf.constant(copy), own).numpy() - 9 * copy / 3
        noises.append(faded / (1 - copy / 3))
        np.testing.assert_allclose(noises[-1].std(), 5, rtol=0.05)
    assert np.abs(noises[0] - noises[1]).max() > 1  # in a chain they would be the same
    np.testing.assert_array_equal(InStep((Plain(), path)).apply(images, 1, own), path.apply(images, 1, own))
    gauss = PathCopies(3, points="gauss-legendre")
    assert InStep((NoisyCopies(1), gauss)).weights == gauss.weights


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: InStep((MaskedCopies(2), PathCopies(3))),
            r"InStep\(views\): expected views with one number of copies",
        ),
        (lambda: InStep(()), r"InStep\(views\): expected views"),
        (
            lambda: GridNoise(sizes=(-1,)),
            r"GridNoise\(sizes\): expected sides of cells from 0 pixels on, .* got \(-1,\)",
        ),
        (lambda: PatchNoise(sizes=(0, 3)), r"PatchNoise\(sizes\): expected sides of patches from 1 pixel on"),
        (lambda: PatchNoise(sizes=()), r"PatchNoise\(sizes\): .* at least one, got \(\)"),
        (lambda: PatchNoise(keep=0), r"PatchNoise\(keep\): expected a share above 0"),
    ],
)
def test_views_refuse_what_means_nothing(make, message):
    with pytest.raises(ValueError, match=message):
        make()
