"""Recipes that search for the nearest adversarial image."""

from tfadv.attacks.additive_noise import AdditiveUniformNoise
from tfadv.attacks.boundary import Adaptation, Boundary, Inward
from tfadv.attacks.carlini_wagner import CarliniWagner
from tfadv.attacks.deepfool import DeepFool
from tfadv.attacks.jsma import Jsma, Theta
from tfadv.attacks.one_pixel import Mutation, OnePixel, Population
from tfadv.attacks.pointwise import Pointwise
from tfadv.attacks.recipes.frame import recipe
from tfadv.core.ranges import Count, Natural, Portion, Positive, Several, Size, Weight


@recipe
def deepfool(candidates: Several | None = 10, overshoot: Positive = 0.02, steps: Count = 50) -> DeepFool:
    """DeepFool (Moosavi-Dezfooli et al., CVPR 2016): gradients, l2, to the nearest boundary of the linear network."""
    return DeepFool(candidates, overshoot, steps)


@recipe
def cw(
    steps: Count = 1000,
    searches: Count = 9,
    c: Positive = 1e-3,
    rate: Positive = 0.01,
    confidence: Weight = 0.0,
    stop_early: bool = True,
) -> CarliniWagner:
    """C&W in l2 (Carlini and Wagner, IEEE S&P 2017): Adam on the distance and c times the logits, c by a search.

    The FCR paper runs it with c=1, rate=0.01, steps=1000: searches=1. Where adversarial images are within a grey level
    of the clean ones, a smaller rate finds nearer ones.
    """
    return CarliniWagner(steps, searches, c, rate, confidence, stop_early)


@recipe
def jsma(theta: Theta = 255.0, gamma: Portion = 0.145, candidates: Several = 256) -> Jsma:
    """Jacobian-based saliency map attack (Papernot et al., EuroS&P 2016): pairs of values, l0; 14.5 % may change."""
    return Jsma(theta, gamma, candidates)


@recipe
def auna(epsilon: Size = 255.0, sizes: Count = 100, tries: Count = 10) -> AdditiveUniformNoise:
    """Additive uniform noise attack, as in the tables of NIP: the smallest size that fools, of `sizes` to epsilon."""
    return AdditiveUniformNoise(epsilon, sizes, tries)


@recipe
def boundary(
    queries: Count = 25000,
    tries: Count = 100,
    orthogonal: Positive = 0.05,
    inward: Inward = 0.05,
    adaptation: Adaptation = 1.5,
    least: Weight = 1e-7,
) -> Boundary:
    """Boundary attack (Brendel et al., ICLR 2018): decisions only, l2, at most `queries` images shown for each."""
    return Boundary(queries, tries, orthogonal, inward, adaptation, least)


@recipe
def pwa(queries: Count = 25000, sizes: Count = 100, tries: Count = 10, halvings: Natural = 10) -> Pointwise:
    """Pointwise attack (Schott et al., ICLR 2019): decisions only, l0, at most `queries` images shown for each."""
    return Pointwise(queries, sizes, tries, halvings)


@recipe
def one_pixel(
    pixels: Count = 1, population: Population = 400, generations: Count = 100, mutation: Mutation = 0.5
) -> OnePixel:
    """One-pixel attack (Su et al., IEEE TEVC 2019): differential evolution on the probability; 1, 3 or 5 pixels."""
    return OnePixel(pixels, population, generations, mutation)
