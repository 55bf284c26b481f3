"""The input transformations against scipy, Pillow and the formulas of their papers."""

import io

import numpy as np
import pytest
import tensorflow as tf
from networks import SIDE, batch_of, convolutional
from PIL import Image
from scipy import fft, ndimage

import tfadv
from tfadv import defences
from tfadv.core import compilation, seeds
from tfadv.defences import (
    BitDepth,
    FeatureDistillation,
    Jpeg,
    Median,
    NipsR3,
    RandomAffine,
    ResizePad,
    TotalVariation,
    TurnedZoom,
)

PURIFIERS = [
    BitDepth(3),
    Median(2),
    Median(3),
    Jpeg(80),
    TotalVariation(iterations=20),
    FeatureDistillation(),
    FeatureDistillation(1.5, 51.5, "triangle", "ycbcr"),
    ResizePad(),
    ResizePad(0.6, flip=0.5),
    RandomAffine(),
    TurnedZoom(),
]
ROUNDED = (BitDepth, Jpeg, TotalVariation, FeatureDistillation)
OBLONG = np.random.RandomState(5).randint(0, 256, (2, 13, 18, 3)).astype(np.float64)


def purify(purifier, images, own=None):
    own = seeds.of_images(images, 0) if own is None else own
    return purifier.purify(None, tf.constant(images), tf.constant(own)).numpy()


def flat(level, side=16, dtype=np.float32):
    return np.full((2, side, side, 3), level, dtype)


def checkerboard(side=16):
    return np.tile(255.0 * (np.indices((side, side)).sum(0) % 2)[None, :, :, None], (1, 1, 1, 3))


@pytest.mark.parametrize("purifier", PURIFIERS, ids=repr)
def test_each_keeps_shape_type_and_range_in_any_company(purifier):
    for images in (batch_of(3)[0], OBLONG.astype(np.float32)):
        done = purify(purifier, images)
        assert done.shape == images.shape and done.dtype == np.float32
        assert done.min() >= 0 and done.max() <= 255
        np.testing.assert_allclose(purify(purifier, images[1:2]), done[1:2], atol=1e-3)
        np.testing.assert_allclose(purify(purifier, images[::-1].copy())[::-1], done, atol=1e-3)
        double = purify(purifier, images.astype(np.float64), seeds.of_images(images, 0))
        assert double.dtype == np.float64
        if not isinstance(purifier, TurnedZoom):  # normal numbers of another type are others
            np.testing.assert_allclose(double, done, atol=0.05)


@pytest.mark.parametrize("purifier", PURIFIERS, ids=repr)
def test_each_is_the_same_compiled_for_any_batch(purifier):
    images = batch_of(3)[0]
    own = seeds.of_images(images, 4)
    run = compilation.Compiled(lambda shown, keys: purifier.purify(None, shown, keys))
    for count in (3, 1):
        done = run(images[:count], own[:count])
        np.testing.assert_allclose(done, purify(purifier, images[:count], own[:count]), atol=1e-3)
    assert run.traces == 1


@pytest.mark.parametrize("purifier", PURIFIERS, ids=repr)
def test_a_gradient_passes_where_it_is_said_to(purifier):
    assert purifier.has_gradient == (not isinstance(purifier, ROUNDED))
    random = np.random.RandomState(1)
    images = tf.constant(random.uniform(60, 190, (2, 12, 12, 3)))  # no two alike, and nothing is cut
    own = tf.constant(seeds.of_images(images.numpy(), 0))
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(purifier.purify(None, images, own))
    gradient = tape.gradient(total, images)
    if purifier.has_gradient:
        # Each is linear in the image around it, so a small change does what the gradient says.
        change = 1e-5 * random.standard_normal(images.shape)
        moved = tf.reduce_sum(purifier.purify(None, images + change, own)) - total
        np.testing.assert_allclose(np.sum(gradient * change), moved, rtol=1e-4)
    else:
        assert gradient is None or not np.any(gradient)


def test_a_flat_image_stays_flat():
    for level in (0.0, 40.0, 127.5, 255.0):
        for purifier in (Median(2), Median(5), TotalVariation(iterations=5), ResizePad(pad=level)):
            np.testing.assert_array_equal(purify(purifier, flat(level)), flat(level))
    for purifier in (RandomAffine(pad=40.0), TurnedZoom(noise=0.0, pad=40.0)):
        np.testing.assert_allclose(purify(purifier, flat(40)), flat(40), atol=1e-4)
    assert np.all(purify(FeatureDistillation(), flat(128)) == 41 * 25 / 8)  # 8 * 128 / 25 = 40.96


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
def test_the_median_is_scipys(side):
    expected = ndimage.median_filter(OBLONG, size=(1, side, side, 1), mode="reflect")
    np.testing.assert_array_equal(purify(Median(side), OBLONG), expected)


def test_the_median_of_a_checkerboard():
    board = checkerboard()
    np.testing.assert_array_equal(purify(Median(2), board)[:, 1:, 1:], 255)  # the larger of the middle two
    np.testing.assert_array_equal(purify(Median(3), board)[:, 1:-1, 1:-1], board[:, 1:-1, 1:-1])


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_bit_depth_is_its_formula(bits):
    levels = np.arange(256, dtype=np.float64).reshape(1, 16, 16, 1).repeat(3, -1)
    most = 2**bits - 1
    done = purify(BitDepth(bits), levels)
    np.testing.assert_allclose(done, np.rint(levels / 255 * most) / most * 255, atol=1e-10)
    assert len(np.unique(done.round(6))) == 2**bits


@pytest.mark.parametrize("quality", [1, 50, 75, 80, 100])
def test_jpeg_is_what_pillow_writes_and_reads(quality):
    for images in (OBLONG, checkerboard()):
        for done, image in zip(purify(Jpeg(quality), images), images.astype(np.uint8), strict=True):
            file = io.BytesIO()
            Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
            np.testing.assert_array_equal(done, np.asarray(Image.open(file)))


def distilled(image, steps, colours):
    """The twin: each block of each colour through scipy's transform."""
    planes = image @ colours.T
    for row in range(0, image.shape[0], 8):
        for column in range(0, image.shape[1], 8):
            for colour in range(3):
                block = planes[row : row + 8, column : column + 8, colour]
                levels = np.floor(fft.dctn(block, norm="ortho") / steps + 0.5 + 1e-9)
                block[:] = fft.idctn(levels * steps, norm="ortho")
    return np.clip(planes @ np.linalg.inv(colours).T, 0, 255)


def test_feature_distillation_is_its_twin():
    images = np.random.RandomState(0).randint(0, 256, (2, 24, 16, 3)).astype(np.float64)
    steps = np.full((8, 8), 30.0)
    steps[:4, :4] = 25
    for done, image in zip(purify(FeatureDistillation(), images), images, strict=True):
        np.testing.assert_allclose(done, distilled(image, steps, np.eye(3)), atol=1e-8)
    fine = np.where(np.add.outer(np.arange(8), np.arange(8)) < 5, 1.5, 51.5)
    assert np.sum(fine == 1.5) == 15
    jfif = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    colours = defences.distillation.COLOURS["ycbcr"]
    np.testing.assert_allclose(colours, jfif, atol=1e-6)
    for done, image in zip(purify(FeatureDistillation(1.5, 51.5, "triangle", "ycbcr"), images), images, strict=True):
        np.testing.assert_allclose(done, distilled(image, fine, colours), atol=1e-8)


def test_feature_distillation_of_any_side_is_that_of_the_continued_image():
    wide = np.pad(OBLONG, ((0, 0), (0, 3), (0, 6), (0, 0)), mode="edge")
    for purifier in (FeatureDistillation(), FeatureDistillation(1.5, 51.5, "triangle", "ycbcr")):
        np.testing.assert_array_equal(purify(purifier, OBLONG), purify(purifier, wide)[:, :13, :18])
    small = OBLONG[:, :3, :2]
    assert purify(FeatureDistillation(), small).shape == small.shape


def test_feature_distillation_twice_is_once_and_drops_what_is_below_half_a_step():
    inner = 127.5 + (OBLONG - 127.5) / 3  # nothing of it is cut to 0..255
    once = purify(FeatureDistillation(), inner[:, :8, :8])
    np.testing.assert_allclose(purify(FeatureDistillation(), once), once, atol=1e-9)
    # A checkerboard of 1.4 levels has no cosine above 15 = 30 / 2 but its mean; JPEG at 75 keeps one of 30 levels.
    faint = 125 + 1.4 * (checkerboard(8) / 255 - 0.5)
    assert np.ptp(purify(FeatureDistillation(), faint)) < 1e-9
    strong = 125 + 120 * (checkerboard(8) / 255 - 0.5)
    assert np.ptp(purify(FeatureDistillation(), strong)) > 100


def test_resize_pad_shrinks_by_nearest_neighbours_to_every_side_and_place():
    side, count = 24, 200
    image = np.arange(side * side, dtype=np.float64).reshape(1, side, side, 1).repeat(3, -1) / 3
    own = np.random.RandomState(0).randint(-(2**31), 2**31, (count, 2)).astype(np.int32)
    done = purify(ResizePad(0.75, pad=255.0), image.repeat(count, 0), own)[..., 0]
    seen = set()
    for shown in done:
        rows, columns = (np.flatnonzero((shown != 255).any(axis)) for axis in (1, 0))
        inner, top, left = len(rows), rows[0], columns[0]
        assert len(columns) == inner
        source = np.arange(inner) * side // inner
        expected = image[0, source][:, source, 0]
        np.testing.assert_array_equal(shown[top : top + inner, left : left + inner], expected)
        seen.add((inner, top))
    assert {inner for inner, _ in seen} == set(range(18, 24))
    assert {top for inner, top in seen if inner == 18} >= {0, 6}


def test_resize_pad_mirrors_as_often_as_it_should():
    images = np.tile(np.linspace(1, 200, 24)[None, None, :, None], (300, 24, 1, 3))
    own = np.random.RandomState(0).randint(-(2**31), 2**31, (300, 2)).astype(np.int32)
    done = purify(ResizePad(0.8, flip=0.3, pad=0.0), images, own)[:, 12, :, 0]
    falling = [bool(np.diff(line[line > 0]).mean() < 0) for line in done]
    assert abs(np.mean(falling) - 0.3) < 0.1
    oblong = purify(ResizePad(0.5, pad=0.0), OBLONG[:1] * 0 + 9)[0, :, :, 0]
    tall, wide = (oblong.any(axis).sum() for axis in (1, 0))
    assert wide == tall * 18 // 13
    np.testing.assert_array_equal(purify(ResizePad(1.0), flat(3))[:, :, :, 0] == 127.5, False)


@pytest.mark.parametrize("side", [24, 41])
def test_random_affine_is_scipys_four_steps(side):
    """Of the maps that were drawn: scipy's nearest neighbour, one after the other, as the released program has them."""
    images = np.random.RandomState(3).uniform(0, 255, (3, side, side, 3))
    own = tf.constant(seeds.of_images(images, 0))
    part = RandomAffine(shear=4, turn=7, shift=0.1)
    done = part.purify(None, tf.constant(images), own).numpy()
    maps = part.maps(images, own)
    for number, image in enumerate(images):
        for matrix, offset in maps:
            numbers = [[float(tf.reshape(cell, [-1])[number]) for cell in row] for row in matrix]
            shift = [float(tf.reshape(cell, [-1])[number]) for cell in offset]
            image = np.stack(
                [
                    ndimage.affine_transform(image[..., c], numbers, shift, order=0, mode="constant", cval=127.5)
                    for c in range(3)
                ],
                axis=-1,
            )
        assert np.mean(done[number] != image) < 0.002  # places halfway between two pixels


def test_random_affine_draws_within_the_programs_ranges():
    own = np.random.RandomState(0).randint(-(2**31), 2**31, (400, 2)).astype(np.int32)
    shear, shift, zoom, turn = RandomAffine().maps(np.zeros((400, 299, 299, 3)), tf.constant(own))
    angles = np.arcsin(-np.ravel(shear[0][0][1])) / (np.pi / 128)
    np.testing.assert_allclose(np.unique(angles.round(6)), np.arange(95, 106) / 100)
    assert set(np.ravel(shift[1][0])) == {5.0, 6.0}
    assert 0.95**2 - 1e-9 <= np.min(zoom[0][0][0]) and np.max(zoom[0][0][0]) <= 0.95 * 1.05 + 1e-9
    np.testing.assert_allclose(
        np.unique(np.arcsin(turn[0][1][0]).round(9)), -np.pi / 128 * np.arange(105, 94, -1) / 100
    )


def test_turned_zoom_moves_a_ramp_as_its_angles_say():
    """Cubic convolution reproduces a plane exactly, so the shown values are where they were taken from."""
    side, count = 40, 60
    grid = np.indices((side, side)).transpose(1, 2, 0) * 3.0 + 60
    images = np.concatenate([grid, grid[..., :1]], -1)[None].repeat(count, 0)
    own = np.random.RandomState(0).randint(-(2**31), 2**31, (count, 2)).astype(np.int32)
    done = purify(TurnedZoom(noise=0.0), images, own)[:, 5:-5, 5:-5, :2] / 3 - 20
    found = set()
    for rows, columns in done.transpose(0, 3, 1, 2):
        # rows = cos(turn) / tall * i - sin(turn) / wide * j + ...
        down, across = np.diff(rows, axis=0), np.diff(rows, axis=1)
        other_down, other_across = np.diff(columns, axis=0), np.diff(columns, axis=1)
        for each in (down, across, other_down, other_across):
            np.testing.assert_allclose(each, each.mean(), atol=1e-9)
        tall, wide = 1 / np.hypot(down.mean(), other_down.mean()), 1 / np.hypot(across.mean(), other_across.mean())
        assert 1.05 <= tall <= 1.1 and 1.05 <= wide <= 1.1
        found.add(round(float(np.degrees(np.arctan2(other_down.mean(), down.mean()))), 6))
        np.testing.assert_allclose(rows.mean(), (side - 1) / 2, atol=1e-9)
    assert found == {-3, -2, 2, 3}


def test_turned_zoom_is_close_to_the_programs_two_splines():
    """A smooth picture through scipy's rotate and zoom, cut to the middle: half a pixel of its middle is theirs."""
    side = 64
    image = ndimage.gaussian_filter(np.random.RandomState(0).uniform(0, 255, (side, side)), 4, mode="wrap") * 4 - 380
    image = np.clip(image, 5, 250)
    done = purify(TurnedZoom(0.0, 2, 2, 1.08, 1.08), np.tile(image[None, :, :, None], (1, 1, 1, 3)))[0, :, :, 0]
    near = []
    for degrees in (2, -2):
        larger = ndimage.zoom(ndimage.rotate(image, degrees, reshape=True, cval=127.5), 1.08)
        start = (larger.shape[0] - side) // 2
        near.append(np.abs(larger[start : start + side, start : start + side] - done)[4:-4, 4:-4].mean())
    assert min(near) < 0.1 * image.std() < max(near)


def test_turned_zoom_without_turn_or_zoom_is_the_image_and_its_noise():
    plain = TurnedZoom(0.0, 0, 0, 1.0, 1.0)
    np.testing.assert_allclose(purify(plain, OBLONG), OBLONG, atol=1e-9)
    noisy = purify(TurnedZoom(2.0, 0, 0, 1.0, 1.0), flat(100, 60))
    np.testing.assert_allclose([noisy.std(), noisy.mean()], [2, 100], rtol=0.03)


def test_nips_r3_sums_the_logits_of_its_branches():
    one, other = convolutional("float64"), convolutional("float64", activation="tanh")
    images = batch_of(2, dtype=np.float64)[0]
    branches = [(0, RandomAffine(), 0.7), (0, Jpeg(50), 0.1), (1, TurnedZoom(), 0.2), (1, Jpeg(50), 0.1)]
    for given, members in ((one, (one, one)), (tfadv.Ensemble([one, other]), (one, other))):
        expected = sum(  # each branch draws for itself
            weight * defences.Purified(members[place], part, seed=number)(tf.constant(images)).logits
            for number, (place, part, weight) in enumerate(branches)
        )
        answer = NipsR3().on(given)(tf.constant(images)).logits
        np.testing.assert_allclose(answer, expected / 1.1, rtol=1e-9)
    four = NipsR3().on(tfadv.Ensemble([one, other, one, other]))
    assert len(four.members) == 6
    np.testing.assert_allclose(np.array(four.weights) * 1.25, [0.7, 0.1, 0.2, 0.1, 0.1, 0.05])
    with pytest.raises(ValueError, match="an ensemble of at most four"):
        NipsR3().on(tfadv.Ensemble([one] * 5))


def test_r_and_p_is_a_mean_over_draws():
    defended = defences.r_and_p(3).on(convolutional())
    assert defended.draws == 3 and defended.purifier == ResizePad()
    assert defended(tf.constant(batch_of(2)[0])).logits.shape == (2, 10)
    assert SIDE == defended.size[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BitDepth(0), r"BitDepth\(bits\): expected a whole number from 1 to 8"),
        (lambda: Median(0), r"Median\(side\)"),
        (lambda: Median(9)(np.zeros((1, 3, 8, 3))), "at least 4 x 4 pixels, got 3 x 8"),
        (lambda: Jpeg(101), r"Jpeg\(quality\)"),
        (lambda: TotalVariation(0), r"TotalVariation\(keep\): expected a share above 0"),
        (lambda: TotalVariation(weight=0), r"TotalVariation\(weight\)"),
        (lambda: TotalVariation(iterations=0), r"TotalVariation\(iterations\)"),
        (lambda: FeatureDistillation(0), r"FeatureDistillation\(low\): expected a number above 0"),
        (lambda: FeatureDistillation(band="round"), r"FeatureDistillation\(band\): expected one of square, triangle"),
        (lambda: FeatureDistillation(colours="lab"), r"FeatureDistillation\(colours\)"),
        (lambda: ResizePad(0), r"ResizePad\(low\)"),
        (lambda: ResizePad(flip=2), r"ResizePad\(flip\)"),
        (lambda: ResizePad(pad=-1), r"ResizePad\(pad\)"),
        (lambda: RandomAffine(zoom=0), r"RandomAffine\(zoom\): expected a number from 0.001 to 1000, got 0"),
        (lambda: RandomAffine(pad=300), r"RandomAffine\(pad\)"),
        (lambda: TurnedZoom(noise=-1), r"TurnedZoom\(noise\)"),
        (lambda: TurnedZoom(least=5), "expected whole degrees"),
        (lambda: TurnedZoom(near=2), "expected enlargements"),
        (lambda: TurnedZoom(pad=-1), r"TurnedZoom\(pad\)"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("purifier", [*PURIFIERS, NipsR3()], ids=repr)
def test_a_part_is_its_text(purifier):
    assert eval(repr(purifier), vars(defences)) == purifier
