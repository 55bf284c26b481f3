"""Parts of an evaluation, joined, are the evaluation in one go; what is no part of it is named."""

import copy
import dataclasses
import json

import numpy as np
import pytest
from grey_levels import brightness, grey, pairs

from tfadv.core.compilation import Concession
from tfadv.core.source import Source
from tfadv.defences import BitDepth
from tfadv.folders import cards, evaluated_parts
from tfadv.folders.evaluate import evaluate
from tfadv.folders.pairing import Pairing

LEVELS = np.random.default_rng(0).integers(0, 256, (2, 21)).tolist()
SETTINGS = {"batch_size": 4, "filter": "tf-bilinear"}
#: As much as attack.json says for a card.
EXPERIMENT = {"attack": "Ascent(...)", "epsilon": 40, "seed": 0, "network": {"name": "net", "fingerprint": "a" * 64}}


@pytest.fixture(scope="module")
def networks():
    """Two networks, and one of them behind a defence."""
    bare = brightness()
    return [bare, brightness(7, name="other"), BitDepth(1).on(bare)]


@pytest.fixture(scope="module")
def pairing(tmp_path_factory):
    """Pairs of twenty-one grey images: two are broken, one has no label, some have a class to reach."""
    root = tmp_path_factory.mktemp("pairs")
    found = [
        one._replace(
            label=LEVELS[0][int(one.clean.stem)] * 4 // 256 + 1, target=2 if place % 3 else None, queries=place
        )
        for place, one in enumerate(pairs(root, *LEVELS))
    ]
    found[4] = found[4]._replace(label=None)
    for place in (3, 17):
        found[place].adversarial.write_bytes(b"broken")
    return Pairing(found, ["alone.png"], [], EXPERIMENT, "labels.csv")


def parts_of(pairing, targets, of, settings=SETTINGS, first=1):
    """All parts, or those from the first on, as files hold them."""
    made = []
    for number in range(first, of + 1):
        found = evaluate(pairing.pairs, targets, shard=(number, of), **settings).numbered(1)
        made.append(evaluated_parts.part(pairing, found, targets, (number, of), **settings))
    return json.loads(json.dumps(made, allow_nan=False))


@pytest.fixture(scope="module")
def parts(pairing, networks):
    return parts_of(pairing, networks, 3)


@pytest.fixture(scope="module")
def whole(pairing, networks):
    """The evaluation in one go, and its card."""
    found = evaluate(pairing.pairs, networks, **SETTINGS).numbered(1)
    return found.as_dict(), cards.card(pairing, found, networks, SETTINGS["filter"])


def joined(parts, folder):
    """The parts as files, joined."""
    folder.mkdir(exist_ok=True)
    for number, one in enumerate(parts):
        (folder / f"{number}.json").write_text(json.dumps(one))
    return evaluated_parts.joined([folder / f"{number}.json" for number in range(len(parts))])


def timeless(facts):
    """An evaluation as text, without measured seconds."""
    facts = copy.deepcopy(facts)
    for one in facts["defences"].values():
        assert one.pop("seconds_per_image") > 0
    return json.dumps(facts)


@pytest.mark.parametrize("of", [1, 2, 3, 9])
def test_the_parts_are_the_evaluation_in_one_go(of, pairing, networks, whole, tmp_path):
    """Nine parts of six batches: three are empty."""
    parts = parts_of(pairing, networks, of)
    assert sum(bool(one["images"]) for one in parts) == min(of, 6)
    made = joined(parts[::-1], tmp_path)
    assert timeless(made.evaluation.as_dict()) == timeless(whole[0])
    facts = made.pairing, made.evaluation, made.networks, made.settings["filter"]
    assert cards.card(*facts, judged=made.judged_with) == whole[1]
    assert made.settings == SETTINGS and made.pairing.facts() == pairing.facts()
    far = made.evaluation.names, made.evaluation.distances["linf"]
    assert made.pairing.beyond(*far) == pairing.beyond(*far) != []
    held = made.evaluation.as_dict()
    assert held["first_label"] == 1 and held["labelled"] == 18 and len(held["unreadable"]) == 2
    assert held["targets"][0]["clean_right"]["count"] == 18 and held["targets"][0]["reached"]["of"] == 13


def test_an_image_has_its_neighbours_of_one_go(pairing, networks, monkeypatch):
    """What a network is shown in parts is what it is shown in one go, batch by batch: so are its answers."""
    shown, original, target = [], Source.logits_of_checked, networks[0]

    def logits(self, images):
        shown.append(np.asarray(images).tobytes())
        return original(self, images)

    monkeypatch.setattr(Source, "logits_of_checked", logits)
    evaluate(pairing.pairs, [target], **SETTINGS)
    one_go = sorted(shown)
    shown.clear()
    parts_of(pairing, [target], 3)
    assert sorted(shown) == one_go and len(one_go) == 12


def test_where_no_pair_can_be_judged_it_is_said_as_in_one_go(pairing, networks, tmp_path):
    broken = [one._replace(adversarial=pairing.pairs[3].adversarial) for one in pairing.pairs]
    with pytest.raises(ValueError, match="none of 21 pairs of images can be judged") as one_go:
        evaluate(broken, networks, **SETTINGS)
    with pytest.raises(ValueError) as in_parts:
        joined(parts_of(Pairing(broken, [], []), networks, 2), tmp_path)
    assert str(in_parts.value) == str(one_go.value)


def test_labels_that_fit_no_network_are_told_of_all(pairing, networks, tmp_path):
    wrong = [one._replace(label=(one.label or 0) + 2) for one in pairing.pairs]
    parts = parts_of(Pairing(wrong, [], []), networks[:1], 2)
    with pytest.warns(Concession, match="of 19 clean images: no network agrees"):
        joined(parts, tmp_path)


def test_another_network_other_settings_and_other_pairs_are_seen(pairing, networks, parts, tmp_path):
    bare, other, behind = networks

    def changed(**facts):
        return dataclasses.replace(pairing, **facts)

    others = {
        "target 2 classes is 7 there, 8 now; target 2 fingerprint is ": (
            pairing,
            [bare, brightness(8, name="other"), behind],
        ),
        "target 1 name is brightness there, other now": (pairing, [other, bare, behind]),
        "batch size is 4 there, 5 now": (pairing, networks, SETTINGS | {"batch_size": 5}),
        "pairs count is 21 there, 20 now": (changed(pairs=pairing.pairs[:-1]), networks),
        "pairs labels sha256 is ": (changed(pairs=[one._replace(label=3) for one in pairing.pairs]), networks),
        "unpaired is ": (changed(images_alone=[]), networks),
        "experiment seed is 0 there, 1 now": (changed(experiment=EXPERIMENT | {"seed": 1}), networks),
    }
    for said, (of, targets, *settings) in others.items():
        (third,) = parts_of(of, targets, 3, *settings, first=3)
        with pytest.raises(ValueError, match=r"2\.json is of another evaluation than .*0\.json: ") as raised:
            joined([*parts[:2], third], tmp_path)
        assert said in str(raised.value)


def test_what_is_missing_or_there_twice_is_said(pairing, networks, parts, tmp_path):
    with pytest.raises(ValueError, match="expected all 3 parts, but 2 of 3 are not there: make them, too"):
        joined(parts[::2], tmp_path)
    with pytest.raises(ValueError, match=r"part 2/3 is .*1\.json and .*2\.json: expected it once. Leave one out"):
        joined([parts[0], parts[1], parts[1], parts[2]], tmp_path)
    with pytest.raises(ValueError, match=r"2\.json: expected one of 3 parts, got 3/4"):
        joined([*parts[:2], parts_of(pairing, networks, 4, first=3)[0]], tmp_path)
    with pytest.raises(ValueError, match=r"clean_in: expected a part .* wrote, got a folder"):
        evaluated_parts.joined([grey(tmp_path / "clean_in", [3])])


#: What is changed in a part, and in which words of the error it is found; of an image the first that was judged.
SPOILED = {
    "fewer classes": (lambda held, image: image["top"][0][0].pop(), "has not the best classes on each network"),
    "a network less": (lambda held, image: image["top"].pop(), "has not the best classes on each network"),
    "a class": (lambda held, image: image["top"][0][0].__setitem__(0, 1e300), "top[0][0][0]"),
    "text": (lambda held, image: image["distances"].update(linf="far"), "should be a valid number, got 'far'"),
    "no distances": (lambda held, image: image.update(distances=None), "has neither distances nor a reason"),
    "both": (lambda held, image: image.update(reason="none"), "has neither distances nor a reason, or both"),
    "seconds": (lambda held, image: held.update(seconds=[]), "its counts do not agree"),
    "a number": (lambda held, image: held["part"].update(number=4), "its counts do not agree"),
    "more": (lambda held, image: held.update(more=1), "more is none of its facts"),
    "network": (lambda held, image: held["experiment"].update(network="net"), "experiment.network should be"),
    "name": (lambda held, image: image.update(name="x"), "got 21 or others"),
    "label": (lambda held, image: image.update(label=0), "got 21 or others"),
    "less": (lambda held, image: held["images"].remove(image), "got 20 or others"),
    "twice": (lambda held, image: held["images"].append(image), "got 22 or others"),
    "place": (lambda held, image: image.update(place=99), "got 21 or others"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_spoiled_part_is_said(what, parts, tmp_path):
    held = copy.deepcopy(parts[1])
    change, said = SPOILED[what]
    change(held, next(image for image in held["images"] if image["reason"] is None))
    with pytest.raises(ValueError) as raised:
        joined([parts[0], held, parts[2]], tmp_path)
    assert said in str(raised.value)
    whole, one = "expected the 21 pairs that the parts are of, each once", f"{tmp_path}/1.json: {EXPECTED}, but "
    assert str(raised.value).startswith(whole if "others" in said else one)


EXPECTED = "expected a part that `tfadv evaluate --shard` wrote"
