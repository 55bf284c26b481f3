"""`tfadv defences`: the defences by name, as the line of parts that each of them is, with settings and papers."""

from collections.abc import Callable
from typing import Any

import click

from tfadv.cli import listing


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of text.")
def command(name: str | None, as_json: bool) -> None:
    """List the defences, or show the settings of NAME and how it differs from its authors' code.

    A defence is written NAME or NAME:key=value,key=value; purifiers are joined with "+", an image going through them
    from left to right. A setting that is a file, such as weights or state, has no default; its name has no "+" and
    no ",".

    \b
    tfadv defences
    tfadv defences jpeg
    tfadv evaluate images/ adv/ --target inception_v4 --defence jpeg:quality=75+median:side=3
    """
    from tfadv.catalogue import DEFENCES

    if name is not None and name not in DEFENCES:
        raise ValueError(f"{name!r}: no such defence. There are {', '.join(DEFENCES)}.")
    found = [_facts(one, DEFENCES[one]) for one in ([name] if name else DEFENCES)]
    listing.tell(found, name, as_json, "defence", "defences", lambda fact: listing.page(fact, "defence"))


def _facts(name: str, maker: Callable) -> dict[str, Any]:
    from tfadv import making

    known = making.settings(maker)
    files = [key for key, one in known.items() if one.default is one.empty]
    made = f"{name}:{','.join(f'{key}=FILE' for key in files)}" if files else repr(maker())
    return listing.facts(name, "defence", made, maker, known)
