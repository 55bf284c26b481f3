"""Names of classes: from a file, from a trained network, or from Keras's file for ImageNet."""

import json
import os
from pathlib import Path

#: Keras's file of ImageNet's class names, once `decode_predictions` has fetched it.
KERAS_INDEX = Path("models", "imagenet_class_index.json")
#: How many classes ImageNet has.
IMAGENET = 1000


def read(path: str | os.PathLike) -> dict[int, str]:
    """The name of each class by its number, from 0.

    Args:
        path: a text with a name on each line, a JSON list of names, or a JSON object whose keys are the numbers and
            whose values the names or, as Keras has them, lists that end in the name.

    Raises FileNotFoundError, or ValueError for a file of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of the classes' names.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip()[:1] not in ("{", "["):
            return dict(enumerate(line.strip() for line in text.splitlines()))
        held = json.loads(text)
        named = held.items() if isinstance(held, dict) else enumerate(held)
        return {int(number): _name(name) for number, name in named}
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}: expected a name on each line, or JSON with one for each class, got something else ({error})."
        ) from error


def _name(value: object) -> str:
    last = value[-1] if isinstance(value, list) and value else value
    if not isinstance(last, str):
        raise ValueError(f"{last!r} is no name")
    return last.replace("_", " ")


def of(spec: str, classes: int) -> dict[int, str]:
    """The names of a network's classes by number, from its spec and how many there are; {} where none are known."""
    if spec.endswith(".npz") and os.path.isfile(spec):
        from tfadv.training import trained_networks

        return dict(enumerate(trained_networks.about(spec).class_names))
    index = Path(os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")) / KERAS_INDEX
    return read(index) if classes == IMAGENET and index.is_file() else {}
