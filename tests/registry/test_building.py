"""A name and settings become an attack: every setting of every recipe is reachable, and a misspelt one is refused."""

import inspect

import keras
import pytest
from networks import convolutional, fitting

import tfadv
from tfadv import Ensemble
from tfadv.parts.regions import ContributiveRegion, Everywhere
from tfadv.registry import building
from tfadv.registry.catalogue import ATTACKS

every_attack = pytest.mark.parametrize("name", ATTACKS)
#: Every setting that is a word, but for the names of layers and files, with its default.
WORDS = [
    (name, key, parameter.default)
    for name in ATTACKS
    for key, parameter in building.settings(ATTACKS[name]).items()
    if isinstance(parameter.default, str) and parameter.default and not key.endswith("layer")
]
#: The ascents whose recipe has no region of its own.
EVERYWHERE = [name for name in ATTACKS if Everywhere() in ATTACKS[name]().inner_parts]


@every_attack
def test_every_setting_can_be_given_and_a_misspelt_one_is_refused(name):
    known = building.settings(ATTACKS[name])
    defaults = {key: parameter.default for key, parameter in known.items()}
    assert inspect.Parameter.empty not in defaults.values(), "every setting has a default"
    assert building.check(ATTACKS, name, defaults) == defaults
    for key in known:
        with pytest.raises(ValueError, match=f"{name} has no setting '{key}x'. It has .*{key}"):
            building.check(ATTACKS, name, {f"{key}x": 1})


@pytest.mark.parametrize(("name", "key", "default"), WORDS)
def test_words_among_the_settings_are_one_of_a_list(name, key, default):
    with pytest.raises(ValueError, match=f"{default}.*got 'nonsense'"):
        building.make(ATTACKS, name, convolutional("float64"), {key: "nonsense"})


@pytest.mark.parametrize("name", EVERYWHERE)
def test_an_ascent_can_be_kept_to_the_contributive_region(name):
    network = convolutional("float64")
    kept = building.make(ATTACKS, name, network, {"region": "contributive", "threshold": 0.3})
    assert kept.region == ContributiveRegion("late", 0.3)
    named = building.make(ATTACKS, name, network, {"region": "contributive", "cam_layer": "early"})
    assert named.region == ContributiveRegion("early")


def test_layers_left_open_are_the_sources_own():
    network = convolutional("float64")
    assert building.make(ATTACKS, "naa", network).objective.layer == "middle"
    two = Ensemble([network, network])
    assert building.make(ATTACKS, "fia", two).objective.layer == ("small:middle", "small#2:middle")
    assert network.last_map == "late" and two.last_map == "small:late"


@every_attack
def test_python_finds_the_networks_own_layers_too(name):
    network = fitting(name)("float64")
    bound = ATTACKS[name]().on(network)
    assert bound.attack == building.make(ATTACKS, name, network)
    assert "None" not in repr(bound.attack)


def test_a_common_setting_is_refused_in_the_recipes_name():
    for settings, message in (
        ({"region": "contributive", "threshold": "nan"}, r"bim\(threshold\): expected a share from 0 to 1, got 'nan'"),
        ({"loss": "margin", "confidence": -1}, r"bim\(confidence\): expected a number from 0 on or None, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            building.check(ATTACKS, "bim", settings)


def test_a_layer_left_open_needs_a_network_that_names_one():
    inputs = keras.Input((8, 8, 3))
    bare = tfadv.network(keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)), name="bare"))
    for recipe, message in (
        (
            tfadv.recipes.naa(),
            r"Naa attacks a layer, and bare names none: choose one with layer=",
        ),
        (tfadv.recipes.ila(), "Ila attacks a layer, and bare names none"),
    ):
        with pytest.raises(ValueError, match=message):
            recipe.on(bare)
    assert repr(tfadv.recipes.fda()).startswith("Ascent(Fda(None), ")
    assert tfadv.faster(convolutional(), tfadv.recipes.fda())[1] == tfadv.recipes.fda("middle")


def test_several_layers_are_taken():
    assert building.check(ATTACKS, "naa", {"layer": ("early", "middle")}) == {"layer": ("early", "middle")}
