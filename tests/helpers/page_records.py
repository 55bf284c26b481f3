"""A record of an experiment as the pages read it: with tables, curves, pictures, orders, and what is missing."""

from tfadv.reproduce import comparison
from tfadv.reproduce.plan import Value

NASTY = "<b>&\"'|x"
GET = "Res-v2 is missing: `tfadv checkpoints fetch resnet_v2_152`"


def cell(row, column, value, **facts):
    """A cell of a record."""
    given = {"error": None, "images": None, "paper": None, "rerun": None, "missing": None, "trace": []}
    none = {"difference": None, "difference_error": None}
    return {"row": list(row), "column": column, "value": value, **given, **none, **facts}


def part(name, cells, heads, kind="table", row_orders=(), unit="%", pictures=(), higher=True, **drawn):
    """A part of a record."""
    return {
        "name": name,
        "title": f"{name}, a part",
        "heads": list(heads),
        "unit": unit,
        "higher": higher,
        "drawn": {"kind": kind, "x": "", "y": "", "shown": "", **drawn},
        "says": ["share of images whose class changed"],
        "cells": cells,
        "orders": list(row_orders),
        "pictures": list(pictures),
    }


def compared(row, column, value, error, paper, rerun=None):
    """A cell with a published number, and commands."""
    far = {"difference": value - paper, "difference_error": 1.1 * error}
    trace = [f"tfadv attack {row[-1].lower()} images {row[0]}", f"tfadv evaluate images {row[0]} --target {column}"]
    return cell(row, column, value, error=error, images=40, paper=paper, rerun=rerun, trace=trace, **far)


def table():
    """Two sources, three attacks, three targets; one target has no player."""
    found = []
    for place, source in enumerate(("Inc-v3", "Inc-v4")):
        for rank, attack in enumerate(("MIM", "FIA", "NAA")):
            for along, target in enumerate(("Inc-v3", "Inc-v4", "Res-v2")):
                if target == "Res-v2":
                    found.append(cell((source, attack), target, None, missing=GET, paper=70.25))
                    continue
                value = 31.25 + 20 * rank - 7 * along + 3 * place
                rerun = 40.5 if place == 0 else None
                found.append(compared((source, attack), target, value, 5.375, value + 2.5 * rank * (1 + rank), rerun))
    return found


def row_orders(groups=6):
    """Pairs as the engine finds them, of measured values: NAA above FIA in the paper and not here."""
    found = []
    for place in range(groups):
        high = {f"{one}": float(one < 4) for one in range(40)}
        low = {f"{one}": float(one < (30 if place < 2 else 5 if place < 4 else 1)) for one in range(40)}
        for name, images, paper in (("NAA", high, 85.0), ("FIA", low, 83.2)):
            value = Value.mean(images, share=True)
            found.append(comparison.ComparedCell(("Inc-v3",), f"target {place}", name, value, paper))
    return [{**pair._asdict(), "examples": list(pair.examples)} for pair in comparison.row_orders(found)]


def drawing():
    """Two small pictures, one large, and one whose file is not there."""
    names = ("small.png", "other.png", "large.png", "gone.png")
    shown = [
        {"file": f"pictures/{name}", "caption": f"{NASTY} {name}", "trace": ["tfadv attack naa"]} for name in names
    ]
    rows = [[shown[0], shown[1]], [shown[2], shown[3]]]
    return {"title": f"Where it looks {NASTY}", "columns": ["clean", NASTY], "rows": rows, "missing": None}


def record():
    """A record with everything."""
    curve = [
        compared((name,), place, 20 + 3 * k * place, 2.0, 22 + 3 * k * place)
        for k, name in enumerate(("FIA", NASTY), 1)
        for place in (1, 5.0, 10, 0.5)
    ]
    heat = [
        compared((f"{down:g}",), along, 10.0 * down + along, 1.5, 11.0) for down in (0, 2, 4) for along in (0, 1, 3)
    ]
    bars = [cell((f"layer {n}",), word, 0.0123 * n, error=0.001) for n in (1, 2, 3) for word in ("front", "middle")]
    places = [
        cell((group, name), column, value, error=0.1)
        for group, name, numbers in (
            ("VGG", "a", (1.5, 2.5, 3.5)),
            ("VGG", "b", (2.0, 4.0, 6.0)),
            ("Res", "c", (9, 8, 7)),
        )
        for column, value in zip(("size", "rate", "more"), numbers, strict=True)
    ]
    absent = {"title": "", "columns": [], "rows": [], "missing": "No layer is named."}
    parts = [
        part("table", table(), ("source", "attack"), row_orders=row_orders(), pictures=[drawing(), absent]),
        part("curves", curve, ("attack",), "curves"),
        part("heat", heat, ("f_p",), "heat map"),
        part("bars", bars, ("layer",), "bars", unit="influence"),
        part("scatter", places, ("network", "attack"), "scatter", unit="grey levels", x="size", y="rate", shown="more"),
        part("empty", [cell(("a",), "b", None)], ("x",), "curves"),
    ]
    missing = {"why": GET, "cells": 6}
    return {
        "experiment": "naa-table9",
        "paper": "naa",
        "place": "Table 9",
        "title": f"Sources and targets {NASTY}",
        "metric": "share of images, in %, whose predicted class changed",
        "paper_images": 1000,
        "notes": [f"Steps are fewer than the paper's, {NASTY}."],
        "scale": {"name": "digits", "says": "the embedded miniatures", "levels": 4.0},
        "roles": {"Inc-v3": "inception_v3", "Inc-v4": NASTY},
        "settings": {"count": 40, "seed": 7, "batch_size": 8, "skip": 0},
        "partial": True,
        "cells": {"all": sum(len(one["cells"]) for one in parts), "missing": 7},
        "missing": [missing],
        "parts": parts,
        "command": "tfadv reproduce naa-table9 --out out",
        "seconds": 12.5,
        "versions": {"tfadv": "0.1", "python": "3.11"},
    }
