"""The sentences of a result page: scale, images, what is missing, and agreement with the paper's order."""

from __future__ import annotations

import collections
import math
import statistics
from collections.abc import Sequence

from tfadv.reproduce.pages.grid import Record, TableGrid, cells, number, reasons
from tfadv.reproduce.plan import STANDARD_ERRORS

OFFICIAL = "official"
#: Numbers of fewer images than this are inconclusive: the uncertainty of a share is a quarter of the whole there.
FEWEST = 16
#: What an uncertainty is, in words.
ERRORS = "two standard errors"
STAND_INS = (
    "Outside the official scale other networks, and often other images, stand in for the paper's: the differences "
    "measure how far these stand-ins are from the paper's networks."
)


def measured(part: Record) -> str:
    """What the numbers of a part are, and in which unit."""
    return "; ".join(part["says"]) + (f", in {part['unit']}" if part["unit"] else "")


def counted(count: int, word: str) -> str:
    """ "1 cell", "2 cells"."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def scale(record: Record) -> str:
    """The scale: its name and description."""
    facts = record["scale"]
    levels = facts["levels"]
    more = "" if levels == 1 else f"; the paper's grey levels are multiplied by {levels:g}"
    return f"{facts['name']}: {facts['says']}{more}."


def images(record: Record) -> str:
    """How many images the numbers are measured on, here and in the paper."""
    counts = [cell["images"] for cell in cells(record) if cell["images"]]
    here = f"{record['settings']['count']} asked for"
    if counts:
        low, high = min(counts), max(counts)
        here += f"; each number is of {counted(high, 'image')}" if low == high else f"; {low} to {high} for each number"
    theirs = record["paper_images"]
    paper = _whose(record)
    if _of_no_paper(record):
        return f"{here}."
    return f"{here}. " + (f"The {paper}'s are of {theirs}." if theirs else f"The {paper} does not say of how many.")


def _of_no_paper(record: Record) -> bool:
    return record.get("paper") == ""


def _whose(record: Record) -> str:
    """Whose the published numbers are."""
    return TableGrid(record["parts"][0]).paper if record["parts"] else "paper"


def stand_ins(record: Record) -> str | None:
    """That the differences measure the stand-ins; None at the official scale, and where no paper is compared."""
    return None if record["scale"]["name"] == OFFICIAL or _of_no_paper(record) else STAND_INS


def completeness(record: Record, shown: bool = True) -> str:
    """Whether all numbers are there, and how many are missing; shown: whether this page shows the drawings."""
    everything = list(cells(record))
    absent = sum(cell["value"] is None for cell in everything)
    drawings = sum(count for _, _, count in reasons(record).values())
    drawn = sum(not drawing["missing"] for part in record["parts"] for drawing in part["pictures"])
    if not absent and not drawings:
        if not drawn:
            return f"Whole: all {counted(len(everything), 'number')} are here."
        if shown:
            return f"Whole: all {counted(len(everything), 'number')} and {counted(drawn, 'drawing')} are here."
        return (
            f"All {counted(len(everything), 'number')} are here, without the {counted(drawn, 'drawing')} that the "
            f"command writes into {record['experiment']}.html."
        )
    lost = [f"{absent} of {counted(len(everything), 'number')}"] * bool(absent)
    lost += [counted(drawings, "drawing")] * bool(drawings)
    return f"Partial: {' and '.join(lost)} {'is' if absent + drawings == 1 else 'are'} missing."


def costs(number: int, drawings: int) -> str:
    """What a missing thing costs."""
    lost = [counted(number, "number")] * bool(number) + [counted(drawings, "drawing")] * bool(drawings)
    return " and ".join(lost)


def both_ways(orders: Sequence[Record]) -> dict[tuple[str, str], int]:
    """(one, other) -> in how many cells the paper orders the two, either way."""
    counts: dict[tuple[str, str], int] = collections.Counter()
    for pair in orders:
        counts[pair["higher"], pair["lower"]] += pair["cells"]
        counts[pair["lower"], pair["higher"]] += pair["cells"]
    return counts


def reversals(part: Record) -> list[tuple[str, Record]]:
    """(what is said of it, the pair) for each pair of rows whose order is not the paper's."""
    places, paper = both_ways(part["orders"]), TableGrid(part).paper
    return [
        (reversal(pair, places[pair["higher"], pair["lower"]], paper), pair) for pair in reversed_pairs(part["orders"])
    ]


def reversal(pair: Record, places: int, paper: str) -> str:
    """One pair whose order is not the paper's; places: in how many cells the paper orders the two."""
    clear, wrong = pair["clearly"], pair["reversed"]
    of_them = f"{clear} of them " if 0 < clear < wrong else "each " if wrong > 1 else ""
    far = f", {of_them}by {'more' if clear else 'less'} than {ERRORS}" if pair["unsure"] < wrong else ""
    return (
        f"The {paper} has {pair['higher']} above {pair['lower']} in {pair['cells']} of {counted(places, 'cell')}; of "
        f"these, here it is above in {pair['same']}, level in {pair['equal']}, below in {wrong}{far}."
    )


def reversed_pairs(orders: Sequence[Record]) -> list[Record]:
    """The pairs whose order is not the paper's in at least one cell."""
    return [pair for pair in orders if pair["reversed"]]


def agreement(orders: Sequence[Record], paper: str) -> str:
    """That no order is reversed, and over how many pairs and cells."""
    places = sum(pair["cells"] for pair in orders)
    level = sum(pair["equal"] for pair in orders)
    more = f"; in {level} of them the two are level here" if level else ""
    return f"no order of the {paper}'s is reversed here, in {counted(places, 'comparison')} of two rows{more}."


def rankings(part: Record) -> list[str]:
    """A sentence for each group and column of a part whose best row is compared with the others."""
    return [_ranking(one, part["unit"]) for one in part.get("rankings", [])]


def _ranking(one: Record, unit: str) -> str:
    clear, unclear = one["clear"], one["inconclusive"]
    where = " / ".join([*one["group"], one["column"]])
    best = f"{where}: {one['best']} is the best, {number(100 * one['value'], '%')} %"
    best += f", clearly above {counted(len(clear), 'other')}" if clear else ", clearly above no other"
    return f"{best}; inconclusive against {len(unclear)}: {', '.join(unclear)}." if unclear else f"{best}, all."


def best_rows(record: Record) -> str | None:
    """How often the best of many is clearly the best; None where no part asks for it."""
    found = [one for part in record["parts"] for one in part.get("rankings", [])]
    if not found:
        return None
    clear = [one for one in found if not one["inconclusive"]]
    named = "; ".join(f"{one['best']} ({' / '.join([*one['group'], one['column']])})" for one in clear)
    rest = f"inconclusive in {len(found) - len(clear)} of {counted(len(found), 'column')}"
    return (
        f"The best is clearly above all others, image by image: {named}; {rest}."
        if clear
        else (f"Which is the best is {rest}: image by image no row is above all others by more than {ERRORS}.")
    )


def unordered(part: Record) -> bool:
    """Whether no ranking is defined for its rows."""
    return part.get("higher", True) is None


def inconclusive(record: Record) -> str | None:
    """That its shares are of too few images to say anything of the paper; None where they are not.

    Judged by the number of images that half of its shares do not exceed: accuracies are of more than what is attacked.
    The uncertainty that is named is that of a share of a half.
    """
    counts = [
        cell["images"]
        for part in record["parts"]
        for cell in part["cells"]
        if cell["images"] and ("%" in part["unit"] or "%" in str(cell["column"]))
    ]
    if not counts or statistics.median_low(counts) >= FEWEST:
        return None
    count = statistics.median_low(counts)
    off = 100 * STANDARD_ERRORS * math.sqrt(0.25 / count)
    return f"Inconclusive: of {counted(count, 'image')} a share is uncertain by up to {off:.0f} points, {ERRORS}."


def order(record: Record, most: int = 3) -> tuple[str, bool | None]:
    """(how our order stands to the paper's, in a line; whether it agrees, None where that is not known).

    Names the `most` pairs that are reversed most clearly. Of too few images only what is clear is taken for a finding.
    """
    sentence, agrees = _order(record, most)
    few = inconclusive(record)
    if few is None or any(pair["clearly"] for part in record["parts"] for pair in part["orders"]):
        return sentence, agrees
    return f"{few} {sentence}", None


def _order(record: Record, most: int) -> tuple[str, bool | None]:
    """The same, however few the images are."""
    pairs = [pair for part in record["parts"] for pair in part["orders"]]
    paper = _whose(record)
    if not any(pair["cells"] for pair in pairs):
        if _of_no_paper(record):
            return best_rows(record) or "No paper has it: there is nothing to compare.", None
        compared = [part for part in record["parts"] if any(cell["paper"] is not None for cell in part["cells"])]
        if not compared:
            return f"No number of the {paper} is known for it: there is nothing to compare.", None
        if all(unordered(part) for part in compared):
            return f"No ranking is defined for this table: each number is compared with the {paper}'s by itself.", None
        return f"No two rows are both here and in the {paper}: there is no order to compare.", None
    wrong = sorted(reversed_pairs(pairs), key=lambda pair: (-pair["clearly"], -pair["reversed"]))
    if not any(pair["same"] or pair["reversed"] for pair in pairs):
        return f"No order to compare: here all {sum(pair['cells'] for pair in pairs)} compared pairs are level.", None
    if not wrong:
        return f"Agrees with the {paper} in order: {agreement(pairs, paper)}", True
    named = [
        f"{pair['lower']} above {pair['higher']} in {pair['reversed']} of {pair['cells']}"
        + (f" ({pair['clearly']} by more than {ERRORS})" if pair["clearly"] else "")
        for pair in wrong[:most]
    ]
    rest = f"; and {counted(len(wrong) - most, 'more pair')}" if len(wrong) > most else ""
    near = not wrong[0]["clearly"] and not any(pair["unsure"] for pair in wrong)
    mild = f", but nowhere by more than {ERRORS}" if near else ""
    return f"Disagrees with the {paper} in order{mild}: {'; '.join(named)}{rest}.", False
