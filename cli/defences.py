"""`tfadv defences`: lists the defences with their settings and papers."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import click

from tfadv.cli import listing


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of text.")
def command(name: str | None, as_json: bool) -> None:
    """List the defences, or show the settings of NAME and how it differs from its authors' code.

    What stands in front of a network or around it comes first, then how one is trained to withstand: that is for
    `tfadv train --method NAME`.

    A defence is written NAME or NAME:key=value,key=value; purifiers are joined with "+", an image going through them
    from left to right. A setting that is a file, such as weights or state, has no default; its name has no "+" or ",".

    \b
    tfadv defences
    tfadv defences jpeg
    tfadv evaluate images/ adv/ --target inception_v4 --defence jpeg:quality=75+median:side=3
    """
    facts = listing.chosen("defences", "defence", name)
    listing.show(facts, name, as_json, "defence", "defences", _page)


def entries() -> list[dict[str, Any]]:
    """The facts of every defence, from the defences themselves."""
    from tfadv.registry.catalogue import DEFENCES
    from tfadv.training.adversarial import METHODS

    trained = {key: method for key, method in METHODS.items() if key != "plain"}
    trained = {f"{key}-training" if key in DEFENCES else key: method for key, method in trained.items()}
    return [
        *(_facts(name, maker) for name, maker in DEFENCES.items()),
        *(_method(name, maker) for name, maker in trained.items()),
    ]


def _facts(name: str, maker: Callable) -> dict[str, Any]:
    from tfadv.registry import building

    parameters = building.settings(maker)
    fitted = _fits().get(name)
    files = [key for key, one in parameters.items() if one.default is one.empty]
    made = f"{name}:{','.join(f'{key}=FILE' for key in files)}" if files else repr(maker())
    facts = listing.facts(name, "defence", made, maker, parameters)
    return facts if fitted is None else facts | {"fit": listing.facts(name, "defence", "", fitted, _parameters(fitted))}


def _fits() -> dict[str, Callable]:
    """What is fitted to a network before it defends it."""
    from tfadv.defences import Nip

    return {"nip": Nip}


def _parameters(maker: Callable) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(maker).parameters


def _page(fact: dict[str, Any]) -> str:
    if "fit" not in fact:
        return listing.page(fact, "defence")
    fit = fact["fit"]
    settings = listing.settings(fit["settings"])
    said = f"Settings of `tfadv defend {fact['name']} fit`, with --set:\n{settings}"
    return listing.page(fact, "defence", said, fit["documentation"])


def _method(name: str, maker: Callable) -> dict[str, Any]:
    made = f"tfadv train ARCHITECTURE DATA OUT.npz --method {name.removesuffix('-training')}"
    return listing.facts(name, "defence", made, maker, _parameters(maker))
