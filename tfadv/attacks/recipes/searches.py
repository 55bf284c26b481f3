"""Recipes that search for the nearest adversarial image."""

from tfadv.attacks.additive_noise import AdditiveUniformNoise
from tfadv.attacks.boundary import Boundary
from tfadv.attacks.carlini_wagner import CarliniWagner
from tfadv.attacks.deepfool import DeepFool
from tfadv.attacks.jsma import Jsma
from tfadv.attacks.one_pixel import OnePixel
from tfadv.attacks.pointwise import Pointwise


def auna(epsilon: float = 255.0, sizes: int = 100, tries: int = 10) -> AdditiveUniformNoise:
    """Additive uniform noise attack, as in the tables of NIP: the smallest size that fools, of `sizes` to epsilon."""
    return AdditiveUniformNoise(epsilon, sizes, tries)


def boundary(
    queries: int = 25000,
    tries: int = 100,
    orthogonal: float = 0.05,
    inward: float = 0.05,
    adaptation: float = 1.5,
    least: float = 1e-7,
) -> Boundary:
    """Boundary attack (Brendel et al., ICLR 2018): decisions only, l2, at most `queries` images shown for each."""
    return Boundary(queries, tries, orthogonal, inward, adaptation, least)


def pwa(queries: int = 25000, sizes: int = 100, tries: int = 10, halvings: int = 10) -> Pointwise:
    """Pointwise attack (Schott et al., ICLR 2019): decisions only, l0, at most `queries` images shown for each."""
    return Pointwise(queries, sizes, tries, halvings)


def one_pixel(pixels: int = 1, population: int = 400, generations: int = 100, mutation: float = 0.5) -> OnePixel:
    """One-pixel attack (Su et al., IEEE TEVC 2019): differential evolution on the probability; 1, 3 or 5 pixels."""
    return OnePixel(pixels, population, generations, mutation)


def deepfool(candidates: int | None = 10, overshoot: float = 0.02, steps: int = 50) -> DeepFool:
    """DeepFool (Moosavi-Dezfooli et al., CVPR 2016): gradients, l2, to the nearest boundary of the linear network."""
    return DeepFool(candidates, overshoot, steps)


def cw(
    steps: int = 1000,
    searches: int = 9,
    c: float = 1e-3,
    rate: float = 0.01,
    confidence: float = 0.0,
    stop_early: bool = True,
) -> CarliniWagner:
    """C&W in l2 (Carlini and Wagner, IEEE S&P 2017): Adam on the distance and c times the logits, c by a search.

    The FCR paper runs it with c=1, rate=0.01, steps=1000: searches=1. Where adversarial images are within a grey level
    of the clean ones, a smaller rate finds nearer ones.
    """
    return CarliniWagner(steps, searches, c, rate, confidence, stop_early)


def jsma(theta: float = 255.0, gamma: float = 0.145, candidates: int = 256) -> Jsma:
    """Jacobian-based saliency map attack (Papernot et al., EuroS&P 2016): pairs of values, l0; 14.5 % may change."""
    return Jsma(theta, gamma, candidates)
