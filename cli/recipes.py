"""`tfadv recipes`: lists the attacks with their parts, settings and papers."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import click

from tfadv.cli import listing


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of text.")
def command(name: str | None, as_json: bool) -> None:
    """List the attacks, or show the settings of NAME and how it differs from its authors' code.

    A setting is given to `tfadv attack` as --set KEY=VALUE; the most common have options of their own.

    \b
    tfadv recipes
    tfadv recipes naa
    tfadv recipes --json
    """
    listing.show(listing.chosen("recipes", "recipe", name), name, as_json, "attack", "recipes", _page)


def entries() -> list[dict[str, Any]]:
    """The facts of every attack, from the recipes themselves."""
    from tfadv.registry.catalogue import ATTACKS

    return [_facts(name, recipe) for name, recipe in ATTACKS.items()]


def _facts(name: str, recipe: Callable) -> dict:
    """What there is to say about a recipe: its attack with the defaults, its settings and its documentation."""
    from tfadv.attacks import recipes
    from tfadv.registry import building

    parameters, attack = building.settings(recipe), recipe()
    common = inspect.getdoc(recipes) or ""
    return listing.facts(name, "attack", repr(attack), recipe, parameters) | {
        "can": {
            "targeted": attack.has_target,
            "needs_gradient": attack.needs_gradient,
            "is_search": attack.is_search,
            "counts_queries": attack.counts_queries,
            "fitted": attack.fitted,
            "uses_seed": attack.uses_seed,
        },
        "parts": dict(_differences(attack)),
        "region": (inspect.getdoc(building.where) or "") if "region" in parameters else "",
        "loss": (inspect.getdoc(building.raised) or "") if "loss" in parameters else "",
        "common": common.partition("\n")[2].strip(),
    }


def _differences(part: Any) -> Iterator[tuple[str, str]]:
    """(kind of part, how it differs from its authors' code or paper) of an attack's parts, at any depth."""
    if isinstance(part, tuple):
        for one in part:
            yield from _differences(one)
    elif dataclasses.is_dataclass(part):
        paragraphs = (inspect.getdoc(type(part)) or "").split("\n\n")
        said = "\n\n".join(paragraph for paragraph in paragraphs if paragraph.startswith("Differs from"))
        if said:
            yield type(part).__name__, said
        for field in dataclasses.fields(part):
            yield from _differences(getattr(part, field.name))


def _page(fact: dict) -> str:
    return listing.page(
        fact,
        "attack",
        f"What it is and can do:\n{listing.settings(fact['can'])}",
        *(f"{part}: {said}" for part, said in fact["parts"].items()),
        *([f"Where it may change an image:\n{fact['region']}"] if fact["region"] else []),
        *([f"What it raises:\n{fact['loss']}"] if fact["loss"] else []),
        f"About all recipes:\n{fact['common']}",
    )
