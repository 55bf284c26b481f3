"""Networks that users train: what is written is what was trained, and an interrupted training is the same training."""

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner

from tfadv.cli import main
from tfadv.files import array_files
from tfadv.registry import loading
from tfadv.training import adversarial, datasets, small_networks, trained_networks
from tfadv.training.loop import Schedule

SIDE = 16


def data(count=96, seed=0) -> datasets.Data:
    """Three classes: noise that is brighter at the top, at the bottom or nowhere."""
    random = np.random.RandomState(seed)
    labels = np.arange(count) % 3
    images = random.randint(0, 100, (count, SIDE, SIDE, 3))
    images[labels == 1, : SIDE // 2] += 120
    images[labels == 2, SIDE // 2 :] += 120
    images, labels, rest = images.astype(np.uint8), labels.astype(np.int32), count // 4
    return datasets.Data(images[rest:], labels[rest:], images[:rest], labels[:rest], "halves")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(file of a trained network, the network itself, losses by epoch)."""
    losses = []
    out = tmp_path_factory.mktemp("nets") / "halves.npz"
    network = trained_networks.train("lenet5", data(), out, SCHEDULE, report=lambda epoch, loss: losses.append(loss))
    return out, network, losses


SCHEDULE = Schedule(epochs=6, batch=12, learning_rate=3e-3, seed=4)


def test_classes_that_can_be_told_apart_are(made):
    _, network, losses = made
    assert network.accuracy == 1 and len(losses) == SCHEDULE.epochs and losses[-1] < 0.3 < losses[0]


def test_a_file_holds_the_network_and_what_it_is(made):
    out, network, _ = made
    again, images = trained_networks.load(out), data().x_test
    assert np.array_equal(again(images).logits, network(images).logits)
    assert again.fingerprint == network.fingerprint
    assert (again.name, again.layer, again.accuracy) == ("halves", small_networks.NETWORKS["lenet5"].layer, 1.0)
    about = trained_networks.about(out)
    assert (about.architecture, about.size, about.classes, about.method) == ("lenet5", SIDE, 3, "plain")
    assert about.schedule == dataclasses.asdict(SCHEDULE) and about.data_sha256 == data().sha256
    assert (about.images, about.tested, about.accuracy) == (72, 24, 1.0)
    with np.load(out, allow_pickle=False) as held:
        assert all(held[key].dtype.kind in "fU" for key in held.files)


def test_the_zoo_takes_the_file(made):
    out, network, _ = made
    assert loading.kind(str(out)) == "trained" and loading.kind("nets.py:load:weights.npz") == "code"
    assert loading.kind("nets.py:load:model.keras") == "code" and loading.kind("model.keras") == "file"
    assert loading.load(str(out)).fingerprint == network.fingerprint
    with pytest.raises(ValueError, match="expected no input range"):
        loading.load(str(out), input_range=(0, 1))


def test_a_training_that_runs_away_ends_with_a_sentence(tmp_path):
    """No network of NaN is written, and what was kept before is whole."""
    with pytest.raises(ValueError, match="the loss of epoch 1 is no number any more.* smaller learning rate than 1e"):
        trained_networks.train("lenet5", data(), tmp_path / "lost.npz", Schedule(2, 12, learning_rate=1e15))
    assert not list(tmp_path.iterdir())
    for rate in (float("inf"), float("nan"), 0, -1.0):
        with pytest.raises(ValueError, match=r"Schedule\(learning_rate\): expected a number above 0"):
            Schedule(1, 12, learning_rate=rate)


def test_an_interrupted_training_is_the_same_training(made, tmp_path):
    def stop(epoch, loss):
        if epoch == 2:
            raise KeyboardInterrupt

    _, network, losses = made
    out, more = tmp_path / "again.npz", []
    with pytest.raises(KeyboardInterrupt):
        trained_networks.train("lenet5", data(), out, SCHEDULE, report=stop)
    assert not out.exists()
    batches = []
    again = trained_networks.train(
        "lenet5", data(), out, SCHEDULE, report=lambda epoch, loss: more.append(loss), progress=batches.append
    )
    np.testing.assert_allclose(more, losses[2:], rtol=1e-5)
    for one, other in zip(again.model.get_weights(), network.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    assert sum(batches) == SCHEDULE.epochs * 6
    assert [path.name for path in tmp_path.iterdir()] == ["again.npz"]


def test_the_checkpoint_of_another_training_is_refused(tmp_path):
    def stop(epoch, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained_networks.train("lenet5", data(), tmp_path / "a.npz", SCHEDULE, report=stop)
    for changed in ({"flip": False}, {"shift": 3}, {"method": "fgsm"}):
        with pytest.raises(ValueError, match="holds another training"):
            trained_networks.train("lenet5", data(), tmp_path / "a.npz", SCHEDULE, **changed)
    with pytest.raises(ValueError, match="holds another training"):
        trained_networks.train("lenet5", data(seed=1), tmp_path / "a.npz", SCHEDULE)


def test_what_is_no_checkpoint_is_told(tmp_path):
    for content in (b"no zip", b""):
        (tmp_path / "a.npz.checkpoint.npz").write_bytes(content)
        with pytest.raises(ValueError, match="expected the checkpoint of a training. Remove it"):
            trained_networks.train("lenet5", data(), tmp_path / "a.npz", SCHEDULE)
    np.savez(tmp_path / "a.npz.checkpoint.npz", weights=np.zeros(3))
    with pytest.raises(ValueError, match="expected the checkpoint of a training. Remove it"):
        trained_networks.train("lenet5", data(), tmp_path / "a.npz", SCHEDULE)


@pytest.mark.parametrize("name", adversarial.METHODS)
def test_every_method_is_written_and_read(name, tmp_path):
    about = trained_networks.About("lenet5", SIDE, 3, name)
    model = about.build()
    model.set_weights([weight + 0.01 for weight in model.get_weights()])
    trained_networks.save(model, tmp_path / "a.npz", about)
    network = trained_networks.load(tmp_path / "a.npz")
    for one, other in zip(network.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    settings = dataclasses.asdict(adversarial.METHODS[name]())
    assert trained_networks.about(tmp_path / "a.npz") == dataclasses.replace(about, settings=settings)


def test_a_file_of_before_the_blocks_had_places_has_them_behind_all_stages(tmp_path):
    about = trained_networks.About("lenet5", SIDE, 3, "cas", {"places": "all"})
    model = about.build()
    trained_networks.save(model, tmp_path / "a.npz", about)
    arrays = array_files.read(tmp_path / "a.npz", "a network")
    said = json.loads(str(arrays["about"]))
    del said["settings"]["places"]
    array_files.write(tmp_path / "old.npz", arrays | {"about": json.dumps(said)})
    again = trained_networks.load(tmp_path / "old.npz").model
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert sum(layer.name.endswith(".suppressed") for layer in again.layers) == 2


@pytest.mark.parametrize("architecture", small_networks.NETWORKS)
def test_a_file_of_before_the_weights_had_names_is_read(architecture, tmp_path):
    """It has each weight by its place in the layer, and a text that says no kind."""
    method = "cas" if small_networks.NETWORKS[architecture].stages else "plain"
    about = trained_networks.About(architecture, 32, 3, method)
    model = about.build()
    trained_networks.save(model, tmp_path / "new.npz", about)
    held = array_files.read(tmp_path / "new.npz", "a network")
    facts = json.loads(str(held["about"]))
    assert (facts.pop("kind"), facts.pop("version")) == ("network", 1)
    places = {f"{layer.name}:{at}": one for layer in model.layers for at, one in enumerate(layer.get_weights())}
    assert len(places) == len(held) - 1 and all(key.rpartition(":")[2].isidentifier() for key in held)
    array_files.write(tmp_path / "old.npz", {"about": json.dumps(facts), **places})
    for path in ("new.npz", "old.npz"):
        loaded = trained_networks.load(tmp_path / path).model
        for array, saved in zip(loaded.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(array, saved)


def test_wrong_files_are_told(made, tmp_path):
    out, _, _ = made
    with pytest.raises(FileNotFoundError, match="tfadv train"):
        trained_networks.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(ValueError, match="expected a network that `tfadv train` wrote"):
        trained_networks.load(tmp_path / "text.npz")
    (tmp_path / "half.npz").write_bytes(out.read_bytes()[: -(out.stat().st_size // 2)])
    with pytest.raises(ValueError, match="expected a network that `tfadv train` wrote"):
        trained_networks.load(tmp_path / "half.npz")
    np.savez(tmp_path / "data.npz", x_train=np.zeros(3))
    with pytest.raises(ValueError, match="got x_train.*Data is given"):
        trained_networks.load(tmp_path / "data.npz")
    about, arrays = trained_networks.about(out), array_files.read(out, "a network")
    for changed, said in (
        ({"classes": 4}, "expected .* as logits:bias"),
        ({"architecture": "lenet6"}, "'lenet6'.*newer tfadv"),
        ({"method": "prayer"}, "'prayer'.*newer tfadv"),
    ):
        told = json.dumps({"kind": trained_networks.KIND, **dataclasses.asdict(dataclasses.replace(about, **changed))})
        array_files.write(tmp_path / "wrong.npz", arrays | {"about": told})
        with pytest.raises(ValueError, match=said):
            trained_networks.load(tmp_path / "wrong.npz")
    np.savez(tmp_path / "older.npz", about=np.array('{"architecture": "lenet5"}'))
    with pytest.raises(ValueError, match="expected a network that `tfadv train` wrote, but"):
        trained_networks.load(tmp_path / "older.npz")


def test_what_cannot_be_trained_is_told(made, tmp_path):
    out, network, _ = made
    short = Schedule(1, 12)
    for changed, said in (
        ({"method": "prayer"}, "expected one of plain, .*'prayer'"),
        ({"settings": {"epsilon": 3}}, "plain has no setting 'epsilon'. It has none"),
        (
            {"method": "fgsm", "settings": {"epsilon": "much"}},
            r"FgsmTraining\(epsilon\): expected grey levels above 0, got 'much'",
        ),
        (
            {"method": "fgsm", "settings": {"random_start": 2}},
            r"FgsmTraining\(random_start\): expected True or False, got 2",
        ),
        ({"sources": [network]}, "expected no sources, got 1"),
    ):
        with pytest.raises(ValueError, match=said):
            trained_networks.train("lenet5", data(), tmp_path / "a.npz", short, **changed)
    with pytest.raises(ValueError, match="at least one batch"):
        trained_networks.train("lenet5", data(), tmp_path / "a.npz", Schedule(1, 100))
    with pytest.raises(ValueError, match="ends in .npz"):
        trained_networks.train("lenet5", data(), tmp_path / "a.keras", short)
    with pytest.raises(FileExistsError, match="exists already"):
        trained_networks.train("lenet5", data(), out, short)
    assert not list(tmp_path.iterdir())


def run(*words):
    return CliRunner().invoke(main, ["train", *map(str, words)])


def test_the_command_trains_and_the_others_take_the_file(tmp_path):
    held = data()
    np.savez(tmp_path / "halves.npz", **{key: getattr(held, key) for key in datasets.ARRAYS})
    words = ("lenet5", tmp_path / "halves.npz", tmp_path / "net.npz", "--epochs", 2, "--batch", 24)
    done = run(*words, "--no-flip", "--shift", 1, "--method", "fgsm", "--set", "epsilon=2")
    assert done.exit_code == 0, done.output
    assert "72 images of 16 x 16 pixels and 3 classes" in done.output and "epoch 2 of 2: mean loss" in done.output
    about = trained_networks.about(tmp_path / "net.npz")
    assert (about.flip, about.shift, about.method) == (False, 1, "fgsm")
    assert about.settings == dataclasses.asdict(adversarial.FgsmTraining(epsilon=2))  # also what was left open
    assert f"{about.accuracy:.2%} of the test images right" in done.output
    layers = CliRunner().invoke(main, ["layers", str(tmp_path / "net.npz")])
    assert layers.exit_code == 0 and "* conv2.relu" in layers.output
    (tmp_path / "halves.npz").write_text("not even looked at")
    assert "exists already" in run(*words).stderr


def test_the_command_says_what_is_wrong(tmp_path):
    assert "no such data" in run("lenet5", tmp_path / "none.npz", tmp_path / "a.npz").stderr
    held = data()
    np.savez(tmp_path / "halves.npz", **{key: getattr(held, key) for key in datasets.ARRAYS})
    for words, said in (
        (("vgg11", "--batch", 8), "expected one of vgg19"),
        (("vgg19", "--batch", 8), "at least 32 x 32 pixels"),
        (("lenet5", "--method", "prayer"), "expected one of plain"),
        (("lenet5", "--labels", tmp_path / "labels.csv"), "expected no labels beside an .npz file"),
    ):
        done = run(words[0], tmp_path / "halves.npz", tmp_path / "a.npz", *words[1:])
        assert done.exit_code == 1 and said in done.stderr
