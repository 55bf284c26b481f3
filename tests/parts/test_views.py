"""The views: shapes, chains, copies, and that each shows what its paper says."""

import numpy as np
import pytest
import tensorflow as tf
from networks import SIDE
from PIL import Image
from scipy.fft import dctn
from sklearn.datasets import load_sample_images

from tfadv import (
    DimmedCopies,
    DiverseInputs,
    FlippedCopies,
    GridNoise,
    InStep,
    MaskedCopies,
    MixedCopies,
    NeighbourCopies,
    NoisyCopies,
    PatchNoise,
    PathCopies,
    Plain,
    RandomChain,
    RandomEnlargement,
    RolledCopies,
    RotatedCopies,
    ScaledCopies,
    ShuffledBlocks,
    SpectrumCopies,
    TransformedBlocks,
    UniformNoise,
    recipes,
)
from tfadv.core import compilation, filters, seeds
from tfadv.core.interfaces import ViewChain
from tfadv.defences import ResizePad, randomised
from tfadv.parts.views import diverse, mixing
from tfadv.parts.views.chains import OPERATORS
from tfadv.parts.views.frequency import cosines

VIEWS = [
    Plain(),
    DiverseInputs(1.0),
    ScaledCopies(3),
    NoisyCopies(4),
    MaskedCopies(4),
    PathCopies(4),
    RandomEnlargement((1.14, 1.66, 2.9)),
    SpectrumCopies(2),
    MixedCopies(2),
    NeighbourCopies(2),
    FlippedCopies(),
    RolledCopies(),
    RotatedCopies((15, 45, 90, -180)),
    DimmedCopies((2, 7.5)),
    RandomChain(5),
    RandomChain(2, (ScaledCopies(2), MaskedCopies(2) >> DiverseInputs(1.0)), (1, 2)),
    TransformedBlocks(2),
    TransformedBlocks(2, blocks=7),
    ShuffledBlocks(2),
    ShuffledBlocks(2, blocks=3, angle=0.8, pad=7.0),
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


@pytest.mark.parametrize("view", VIEWS, ids=repr)
def test_each_image_may_have_a_copy_of_its_own(view, images, own):
    numbers = tf.constant([0, view.copies - 1, view.copies // 2])
    shown = view.apply(images, numbers, own)
    for row, number in enumerate(numbers):
        np.testing.assert_allclose(view.apply(images, number, own)[row], shown[row], rtol=1e-6)


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


def test_random_enlargement_is_resized_padded_and_resized_back(images, own):
    images = tf.cast(images, tf.float64)
    rates = (1.14, 1.66, 2.9)
    view = RandomEnlargement(rates, pad=30.0)
    for copy, rate in enumerate(rates):
        shown, larger = view.apply(images, copy, own).numpy(), int(SIDE * rate)
        for image, seed, found in zip(images, seeds.fold(own, copy), shown, strict=True):
            chance = seeds.uniform(seed[None], (3,)).numpy()[0]
            inner = SIDE + int(chance[0] * (larger - SIDE))
            top, left = (int(chance[1 + axis] * (larger - inner)) for axis in (0, 1))
            resized = tf.image.resize(tf.cast(image, tf.float32), [inner, inner]).numpy()
            canvas = np.full((larger, larger, 3), 30.0)
            canvas[top : top + inner, left : left + inner] = resized
            np.testing.assert_allclose(found, tf.image.resize(canvas, [SIDE, SIDE]), atol=2e-3)


def test_random_enlargement_has_the_canvas_of_its_paper_and_takes_no_smaller_one():
    assert RandomEnlargement()._canvas(299, 0).numpy() == [340] and RandomEnlargement((1.04,))._canvas(8, 0) == [9]
    assert RandomEnlargement((1.5, 2)).copies == 2
    for rates in ((1.0,), (), 1.14, (1.2, "2"), [1.5]):
        with pytest.raises(ValueError, match=r"RandomEnlargement\(rates\): expected a tuple, each a number above 1"):
            RandomEnlargement(rates)


@pytest.mark.parametrize("view", [view for view in VIEWS if not isinstance(view, SpectrumCopies)], ids=repr)
def test_gradients_are_finite_differences(view, images, own):
    """Along one direction, from images without pixels at the ends of the range, where clipping has a corner."""
    images = 1 + tf.cast(images, tf.float64) * (253 / 255)
    random = np.random.RandomState(1)
    direction, weights = (tf.constant(random.standard_normal(images.shape)) for _ in range(2))
    for copy in range(view.copies):
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(view.apply(images, copy, own) * weights)
        slope = tf.reduce_sum(tape.gradient(total, images) * direction)
        after, before = (view.apply(images + step * direction, copy, own) for step in (1e-4, -1e-4))
        np.testing.assert_allclose(slope, tf.reduce_sum((after - before) * weights) / 2e-4, rtol=1e-6)


def test_spectra_are_scaled_as_scipy_has_them_and_pass_the_gradient_on(images, own):
    images = tf.cast(images[:, :, :20], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(images)
        shown = SpectrumCopies(rho=0.3, deviation=0.0).apply(images, 4, own)
        weights = tf.reshape(tf.range(tf.size(shown), dtype=shown.dtype), shown.shape)
        total = tf.reduce_sum(shown * weights)
    np.testing.assert_array_equal(tape.gradient(total, images), weights)
    before, after = (dctn(one, axes=(1, 2), norm="ortho") for one in (images.numpy(), shown.numpy()))
    ratio = after / before
    assert np.all((ratio > 0.7 - 1e-6) & (ratio < 1.3 + 1e-6)) and abs(ratio.mean() - 1) < 0.01
    still = SpectrumCopies(rho=0.0, deviation=0.0).apply(images, 0, own)
    np.testing.assert_allclose(still, images, atol=1e-9)
    np.testing.assert_allclose(cosines(20) @ cosines(20).T, np.eye(20), atol=1e-12)


def test_a_crop_of_a_photograph_is_mixed_in(images, own):
    pictures = mixing.pictures_of(None, SIDE, SIDE)
    assert pictures.pixels.shape == (2, 34, 51, 3) and mixing.pictures_of(None, 299, 299).pixels.shape == (
        2,
        427,
        640,
        3,
    )
    np.testing.assert_array_equal(mixing.pictures_of(None, 299, 299).pixels[1], load_sample_images().images[1])
    assert mixing.pictures_of(None, 20, 60).heights.min() >= 20
    windows = np.lib.stride_tricks.sliding_window_view(pictures.pixels, (SIDE, SIDE, 3), (1, 2, 3))[:, :, :, 0]
    added = (MixedCopies(share=0.5).apply(images, 2, own) - images) / 0.5 + 127.5
    for one in added.numpy():
        assert np.any(np.all(np.abs(windows - one) < 1e-2, axis=(3, 4, 5)))


def test_a_pool_of_ones_own_is_held_to_its_digest(tmp_path, images, own):
    for name, level in (("a.png", 10), ("b.png", 200)):
        Image.new("RGB", (30, 20), (level,) * 3).save(tmp_path / name)
    (tmp_path / "labels.csv").write_text("a")
    view = MixedCopies(share=1.0, pool=str(tmp_path))
    assert eval(repr(view)) == view and view.digest in repr(view)
    added = np.round((view.apply(images, 0, own) - images).numpy() + 127.5)
    assert set(np.unique(added)) <= {10, 200}
    Image.new("RGB", (9, 9)).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=rf"MixedCopies\(digest\): expected {view.digest}, got \w+: .* has other"):
        eval(repr(view))
    (tmp_path / "c.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="c.png: expected a picture, got a file that is none: .*. Take it out"):
        MixedCopies(pool=str(tmp_path)).apply(images[:, :9, :9], 0, own)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected images .*, got an empty folder"):
        recipes.admix(pool=str(tmp_path / "empty"))
    with pytest.raises(OSError, match="no such folder"):
        recipes.admix(pool=str(tmp_path / "absent"))


def test_random_chains_take_every_operator_and_length(own):
    marks = tuple(DimmedCopies((divisor,)) for divisor in (2.0, 3.0, 5.0))
    many = tf.constant(np.random.RandomState(0).randint(-(2**31), 2**31, (400, 2)), tf.int32)
    shown = RandomChain(1, marks, (1, 2)).apply(tf.ones((400, 2, 2, 3), tf.float64), 0, many)[:, 0, 0, 0]
    divided = np.round(1 / shown.numpy()).astype(int)
    counts = {int(value): int(np.sum(divided == value)) for value in np.unique(divided)}
    assert set(counts) == {2, 3, 5, 4, 6, 10, 9, 15, 25}
    assert all(45 < counts[one] < 90 for one in (2, 3, 5)) and counts[6] > counts[4] and counts[15] > counts[25]
    assert RandomChain().copies == 30 and sum(view.copies for view in OPERATORS) == 31
    for wrong, message in (
        ({"of": ()}, r"RandomChain\(of\): expected a tuple of views, got \(\)"),
        ({"length": (3, 2)}, r"RandomChain\(length\): expected two whole numbers above 0 in order, got \(3, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            RandomChain(**wrong)


def test_with_and_without_xla_a_chain_is_the_same(images, own, monkeypatch):
    shown = RandomChain().apply(images, 7, own)
    monkeypatch.setenv(compilation.XLA, "1")
    np.testing.assert_allclose(RandomChain().apply(images, 7, own), shown, rtol=1e-5)


def test_rotations_by_right_angles_turn_the_image(images, own):
    images = tf.cast(images, tf.float64)
    view = RotatedCopies((90.0, 180.0, -90.0))
    for copy in range(3):  # counterclockwise as the image is seen
        np.testing.assert_allclose(view.apply(images, copy, own), tf.image.rot90(images, copy + 1), atol=1e-9)


def test_blocks_are_rotated_as_the_libraries_rotate(images, own):
    angled = RotatedCopies((20.0,)).apply(images, 0, own)
    np.testing.assert_allclose(angled, filters.rotate(images, 20.0), atol=1e-2)


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
            r"GridNoise\(sizes\): expected a tuple, each a side in pixels from 0 on, got \(-1,\)",
        ),
        (lambda: PatchNoise(sizes=(0, 3)), r"PatchNoise\(sizes\): expected a tuple, each a side in pixels above 0"),
        (lambda: PatchNoise(sizes=()), r"PatchNoise\(sizes\): .* got \(\)"),
        (lambda: PatchNoise(keep=0), r"PatchNoise\(keep\): expected a share above 0"),
    ],
)
def test_views_refuse_what_means_nothing(make, message):
    with pytest.raises(ValueError, match=message):
        make()
