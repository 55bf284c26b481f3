"""Gradient estimates by themselves: closed forms on functions whose gradient is known."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfadv import (
    AlongLastGradient,
    AtImage,
    Damping,
    ExpectedFlatness,
    GradientNormPenalty,
    GradientRelevance,
    Patchwise,
    Sign,
    VarianceTuning,
)
from tfadv.core import seeds
from tfadv.core.positions import Position

ESTIMATES = [
    AtImage(),
    VarianceTuning(4),
    AlongLastGradient(5),
    GradientRelevance(4),
    GradientNormPenalty(4),
    ExpectedFlatness(4),
]
random = np.random.RandomState(3)
IMAGES = tf.constant(random.uniform(0, 255, (2, 4, 4, 3)))
SLOPE = tf.constant(random.standard_normal((2, 4, 4, 3)))
OWN = tf.constant(seeds.of_images(IMAGES.numpy(), 0))


def position(gradient_at, ahead=0.0):
    return Position(IMAGES, ahead, gradient_at, value_at=None, moved=None)


def unit_mean(vectors):
    return vectors / np.mean(np.abs(vectors), axis=(1, 2, 3), keepdims=True)


@pytest.mark.parametrize("estimate", ESTIMATES, ids=repr)
def test_of_a_linear_function_it_is_the_gradient_from_as_many_points_as_it_says(estimate):
    asked = []

    def gradient_at(images, draw=None):
        asked.append(None if draw is None else int(draw))
        return SLOPE

    state = estimate.init(IMAGES)
    for _ in range(3):
        asked.clear()
        gradient, after = estimate.estimate(position(gradient_at), state, OWN)
        np.testing.assert_allclose(gradient, SLOPE, rtol=1e-12)
        assert len(asked) == estimate.points
        tf.nest.map_structure(lambda old, new: np.testing.assert_equal(old.shape, new.shape), state, after)
        state = after


@pytest.mark.parametrize("estimate", ESTIMATES, ids=repr)
def test_it_looks_around_where_the_rule_wants_the_gradient(estimate):
    """Of x^2 / 2 the gradient is x: ahead it is larger by as much."""
    asked = []

    def gradient_at(images, draw=None):
        asked.append(images)
        return images

    for ahead in (0.0, SLOPE):
        estimate.estimate(position(gradient_at, ahead), estimate.init(IMAGES), OWN)
    here, there = asked[: estimate.points], asked[estimate.points :]
    moved = [np.allclose(b - a, SLOPE) for a, b in zip(here, there, strict=True)]
    if isinstance(estimate, VarianceTuning):  # the authors' neighbours lie around the image
        assert moved == [True] + [False] * 4
    elif isinstance(estimate, GradientNormPenalty):  # every second point hangs on the gradient at the first
        assert moved[::2] == [True] * 4
    else:
        assert all(moved)


def test_variance_is_of_the_step_before():
    """Of sum a x^2 / 2 the gradient a x differs around x by a times the mean neighbour."""
    estimate, curvature = VarianceTuning(8, radius=3.0), 0.5
    gradient, state = estimate.estimate(position(lambda x, draw=None: curvature * x), estimate.init(IMAGES), OWN)
    np.testing.assert_array_equal(gradient, curvature * IMAGES)
    assert 0 < np.abs(state).max() <= 3 * curvature
    again, _ = estimate.estimate(position(lambda x, draw=None: curvature * x), state, OWN)
    np.testing.assert_allclose(again, curvature * IMAGES + state, rtol=1e-12)


def test_points_along_the_last_gradient_are_evenly_spaced_around_the_image():
    places, estimate = [], AlongLastGradient(5, reach=8.0)

    def gradient_at(images, draw=None):
        places.append(images)
        return SLOPE

    _, state = estimate.estimate(position(gradient_at), estimate.init(IMAGES), OWN)
    assert all(np.array_equal(place, IMAGES) for place in places)
    places.clear()
    estimate.estimate(position(gradient_at), state, OWN)
    for place, offset in zip(places, (-8, -4, 0, 4, 8), strict=True):
        np.testing.assert_allclose(place - IMAGES, offset * unit_mean(SLOPE), atol=1e-9)


@pytest.mark.parametrize(("around", "expected"), [(2.0, 1.0), (-1.0, -3.0)])
def test_relevance_is_the_cosine(around, expected):
    """Where the gradient is g and around it k g, the cosine is the sign s of k: s g + (1 - s) k g."""
    gradient, _ = GradientRelevance(3).estimate(
        position(lambda x, draw=None: SLOPE if draw is None else around * SLOPE), (), OWN
    )
    np.testing.assert_allclose(gradient, expected * SLOPE, rtol=1e-9)


def test_the_norm_is_penalised_by_the_second_derivative():
    """Of a quadratic form with matrix A the second gradient is g - size A N(g)."""
    curvature = tf.constant(np.random.RandomState(4).standard_normal((4, 4, 3)))
    estimate = GradientNormPenalty(1, radius=5.0, size=2.0, share=0.3)
    gradient, _ = estimate.estimate(position(lambda x, draw=None: curvature * x), (), OWN)
    first = curvature * (IMAGES + seeds.uniform(seeds.fold(OWN, 0), (4, 4, 3), tf.float64, -5.0, 5.0))
    np.testing.assert_allclose(gradient, first - 0.3 * 2.0 * curvature * unit_mean(first), rtol=1e-9, atol=1e-9)


def test_neighbours_remember_with_a_changing_sign():
    estimate = ExpectedFlatness(3, decay=0.9)
    state = estimate.init(IMAGES)
    assert state.shape == (2, 3, 4, 4, 3)
    for share in (1.0, 0.1, 0.91):  # q <- N(g) - 0.9 q
        _, state = estimate.estimate(position(lambda x, draw=None: SLOPE), state, OWN)
        for number in range(3):
            np.testing.assert_allclose(state[:, number], share * unit_mean(SLOPE), rtol=1e-9)


@pytest.mark.parametrize("estimate", [one for one in ESTIMATES if one.random], ids=repr)
def test_each_step_and_image_has_its_own_points(estimate):
    places = []

    def gradient_at(images, draw=None):
        places.append(images - IMAGES)
        return SLOPE

    for own in (OWN, seeds.fold(OWN, 1)):
        estimate.estimate(position(gradient_at), estimate.init(IMAGES), own)
    shifts = [place.numpy() for place in places if np.any(place != 0)]
    radius = estimate.radius + (estimate.size * 10 if isinstance(estimate, GradientNormPenalty) else 0)
    assert all(np.abs(shift).max() <= radius for shift in shifts)
    flat = [shift[image].tobytes() for shift in shifts for image in range(2)]
    assert len(set(flat)) == len(flat)


# Damping, which comes with them


@pytest.mark.parametrize("step", [Sign(2.0), Patchwise(2.0)], ids=repr)
def test_steps_are_damped_where_they_turn(step):
    rule, budget = step >> Damping(0.5), lambda delta: tf.clip_by_value(delta, -1000.0, 1000.0)
    directions = [1, 1, -1, -1, 1, 0, 1]
    expected = [1, 1, 0.5, 0.5, 0.25, 0, 0.0625]  # to no step and back are two turns
    state, plain = rule.init(IMAGES), step.init(IMAGES)
    for direction, share in zip(directions, expected, strict=True):
        moved, state = rule.update(direction * tf.ones_like(IMAGES), state, budget)
        whole, plain = step.update(direction * tf.ones_like(IMAGES), plain, budget)
        np.testing.assert_allclose(moved, share * whole, atol=1e-12)


def test_a_share_of_one_damps_nothing():
    rule = Damping(1.0)
    moved, _ = rule.update(SLOPE, rule.init(IMAGES), None)
    np.testing.assert_array_equal(moved, SLOPE)
    with pytest.raises(ValueError, match=r"Damping\(share\): expected a share above 0 and up to 1, got 0"):
        dataclasses.replace(rule, share=0.0)
