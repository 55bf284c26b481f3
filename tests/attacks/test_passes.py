"""How many gradients an attack says that it takes is how many it takes; recipes lend each other their parts."""

import numpy as np
import pytest
import tensorflow as tf
from networks import LAYER, SIDE, batch_of, convolutional, fitting, recipe

import tfadv
from tfadv import untargeted
from tfadv.attacks.ascent import Ascent
from tfadv.models.network import Network
from tfadv.registry import building
from tfadv.registry.catalogue import ATTACKS

ASCENTS = [name for name in ATTACKS if isinstance(ATTACKS[name](), Ascent)]


@pytest.fixture
def counted(monkeypatch):
    """Forward pass through which a gradient has come back -> how many images, copies of one, passed."""
    passes, original, number = {}, Network.__call__, iter(range(10**6))

    def call(self, images, layers=(), logits=True):
        outputs, this = original(self, images, layers, logits), next(number)

        @tf.custom_gradient
        def marked(tensor):
            def back(gradient):
                passes[this] = len(images)
                return gradient

            return tf.identity(tensor), back

        if logits:
            return outputs._replace(logits=marked(outputs.logits))
        return outputs._replace(features={name: marked(feature) for name, feature in outputs.features.items()})

    monkeypatch.setattr(Network, "__call__", call)
    tf.config.run_functions_eagerly(True)
    yield passes
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("name", ASCENTS)
def test_an_attack_takes_as_many_gradients_as_it_says(name, counted):
    small = {"steps": 2, "copies": 3, "neighbours": 2, "guide_steps": 2}
    attack = recipe(name, **{key: value for key, value in small.items() if key in building.settings(ATTACKS[name])})
    images, labels = batch_of(1, dtype=np.float64)
    attack.on(fitting(name)("float64"))(images, untargeted(labels))
    assert sum(counted.values()) == attack.passes > 0


def test_restarts_regions_and_copies_multiply(counted):
    region, view = tfadv.ContributiveRegion("late"), tfadv.ScaledCopies(2)
    objective, rule = tfadv.Fia(LAYER, tfadv.MaskedCopies(3)), tfadv.Sign(2.0)
    attack = Ascent(objective, rule, tfadv.Linf(8), 2, view, region, restarts=2, gradient=tfadv.VarianceTuning(4))
    images, labels = batch_of(1, dtype=np.float64)
    attack.on(convolutional("float64"))(images, untargeted(labels))
    assert sum(counted.values()) == attack.passes == 2 * (1 + 3 * 2 + 2 * (4 + 1) * 2)


def test_the_papers_attacks_cost_what_is_known():
    assert [ATTACKS[name]().passes for name in ("fgsm", "mim", "fia", "naa", "naa-pd", "sim", "vmi", "nr-igsm")] == [
        *(1, 10, 40, 40, 40, 50, 210, 100)
    ]
    assert ATTACKS["deepfool"]().passes is None
    searched = tfadv.Ila(LAYER, ATTACKS["deepfool"]())
    assert Ascent(searched, tfadv.Sign(2.0), tfadv.Linf(8)).passes is None  # its guide's depend on the image


def test_views_are_lent_in_a_row():
    chosen = {"steps": 4, "view_of": "sim:copies=3+dim", "rule_of": "tim"}
    attack = building.attack(ATTACKS, "mim", chosen)
    assert attack.view == tfadv.ScaledCopies(3) >> tfadv.DiverseInputs()
    assert attack.rule == tfadv.Smooth(15) >> tfadv.Momentum() >> tfadv.Sign(4.0)
    assert attack.passes == 12


def test_a_recipe_lends_its_parts():
    chosen = {
        "epsilon": 8.0,
        "steps": 4,
        "view_of": "sim:copies=3",
        "gradient_of": "vmi:neighbours=2",
        "rule_of": "pim",
    }
    attack = building.attack(ATTACKS, "naa", chosen)
    assert attack == Ascent(
        tfadv.Naa(None),
        tfadv.Momentum() >> tfadv.Patchwise(2.0),
        tfadv.Linf(8.0),
        4,
        tfadv.ScaledCopies(3),
        gradient=tfadv.VarianceTuning(2, radius=12.0),
    )
    made = building.make(ATTACKS, "naa", convolutional(), chosen)
    images, labels = batch_of(1)
    assert images.shape[1] == SIDE and np.abs(made.on(convolutional())(images, untargeted(labels)) - images).max() == 8


@pytest.mark.parametrize(
    ("part", "text", "sentence"),
    [
        ("view_of", "deepfool", "view_of: expected one recipe of an attack that ascends, got 'deepfool'"),
        ("view_of", "sim+deepfool", "view_of: expected one recipe of an attack that ascends, got 'deepfool'"),
        ("gradient_of", "vmi+emi", "gradient_of: expected one recipe of an attack that ascends, got 'vmi\\+emi'"),
        ("view_of", "smi", "'smi': no such recipe. Nearest: "),
        ("view_of", "sim:copy=3", "sim has no setting .copy"),
    ],
)
def test_what_lends_nothing_is_named(part, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        building.attack(ATTACKS, "naa", {part: text})
