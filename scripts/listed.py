"""Write the lists that commands show without TensorFlow: cli/listed.json and tfadv/registry/shapes.json.

python scripts/listed.py          write both
python scripts/listed.py recipes  write only cli/listed.json, in a few seconds

They lie beside `tfadv.cli.listing` and `tfadv.registry.network_list`. The tests compare the files with the attacks, the
defences and the networks themselves.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tfadv.cli import defences, listing, recipes
from tfadv.models import ARCHITECTURES, digits, model_outputs
from tfadv.models.network import Network
from tfadv.registry import network_list


def write(path: Path, facts: dict[str, Any], width: int | None) -> None:
    """Write JSON: indented, or with a line for each of the facts."""
    if width is None:
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(fact)}" for name, fact in facts.items())
        text = "{\n" + lines + "\n}"
    else:
        text = json.dumps(facts, indent=width, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def shapes() -> dict[str, dict[str, list[int]]]:
    """Architecture -> layer -> the shape of its output without the batch."""
    models = {f"digits/{name}": digits.build(name) for name in digits.NAMES if digits.ARCHITECTURES[name] == name}
    for name, made in ARCHITECTURES.items():
        auxiliary = {"aux_logits": True} if made.has_aux else {}
        models[name] = made.build(classes=made.classes, size=made.size, **auxiliary)
    networks = {name: Network(model, output=model_outputs.names(model)[0]) for name, model in models.items()}
    return {name: network_list.shapes_of(network.layers) for name, network in networks.items()}


if __name__ == "__main__":
    write(listing.LISTED, {"recipes": recipes.entries(), "defences": defences.entries()}, 1)
    if "recipes" not in sys.argv[1:]:
        write(network_list.SHAPES, shapes(), None)
