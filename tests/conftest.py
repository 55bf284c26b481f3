"""What several test files share: the reference data, and a small network to attack."""

import os
import re
import sys
from pathlib import Path

import pytest
from repository import shared_folder

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# XLA compiles for a test three times as fast, for a little slower programs; none is kept in the user's cache folder.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")
os.environ["TFADV_XLA_CACHE"] = ""
# Of several test processes each computes in one thread: they would wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Tests that tests/slow.txt names are slow; one that it names and that is no more is an error."""
    lines = Path(__file__).with_name("slow.txt").read_text(encoding="utf-8").splitlines()
    slow = {line: re.compile(re.escape(line).replace(r"\*", ".*")) for line in lines if not line.startswith("#")}
    any_of, found = re.compile("|".join(f"(?:{one.pattern})" for one in slow.values())), []
    for item in items:
        if any_of.fullmatch(item.nodeid):
            item.add_marker(pytest.mark.slow)
            found.append(item.nodeid)
    files = (
        set() if any("::" in argument for argument in config.args) else {item.nodeid.split("::")[0] for item in items}
    )
    gone = [line for line, one in slow.items() if line.split("::")[0] in files and not any(map(one.fullmatch, found))]
    if gone:
        raise pytest.UsageError(f"tests/slow.txt: no such test: {', '.join(sorted(gone))}.")


@pytest.fixture(autouse=True)
def same_weights():
    """Networks that a test makes have the same random weights in each run."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data that is not part of the project; tests that need it are skipped without it."""
    folder = shared_folder()
    if not folder.is_dir():
        pytest.skip(f"reference data not found at {folder}; set TFADV_SHARED to its folder")
    return folder


@pytest.fixture(scope="module")
def images():
    """Three images of the small networks' size, as a tensor."""
    import tensorflow as tf
    from networks import batch_of

    return tf.constant(batch_of(3)[0])


@pytest.fixture(scope="module")
def own(images):
    """The seeds of these images in run 0."""
    import tensorflow as tf

    from tfadv.core import seeds

    return tf.constant(seeds.of_images(images.numpy(), 0))


@pytest.fixture
def uncompiled(monkeypatch):
    """Attacks run eagerly but for their random numbers: small ones are done before they would be compiled."""
    from tfadv.core.compilation import Compiled

    monkeypatch.setattr(Compiled, "attempt", lambda self, *arguments: self._plain(*arguments))


#: The embedded digit networks that a test has asked for: loaded, and compiled, once for all tests of a process.
EMBEDDED: dict = {}


@pytest.fixture(scope="module")
def embedded_networks_once():
    """Workspaces and commands share the embedded digit networks, which none of them changes."""
    from tfadv.registry import loading

    load = loading.load

    def embedded(spec, **settings):
        asked = {name for name, value in settings.items() if value is not None} - {"trust"}
        plain = str(spec).startswith("digits/") and not asked
        if plain and spec not in EMBEDDED:
            EMBEDDED[spec] = load(spec)
        return EMBEDDED[spec] if plain else load(spec, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load", embedded)
        yield
