"""Pages of a record: every number is on them, everything is escaped, nothing is fetched, the same bytes every time."""

import csv
import hashlib
import html.parser
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from page_records import GET, NASTY, cell, compared, drawing, part, record, row_orders
from PIL import Image

from tfadv.pages import markup
from tfadv.reproduce import pages
from tfadv.reproduce.pages import citations, markdown, plots, sentences
from tfadv.reproduce.pages.grid import TableGrid, cells, number, published_number, uncertainty

ROOT = Path(__file__).resolve().parents[2]
VOID = {"img", "input", "meta", "path", "use", "br"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the record, its pictures and its pages."""
    out = tmp_path_factory.mktemp("pages")
    (out / "pictures").mkdir()
    noise = np.random.default_rng(0)
    for name, side in (("small", 32), ("other", 32), ("large", 224)):
        Image.fromarray(noise.integers(0, 256, (side, side, 3), np.uint8)).save(out / "pictures" / f"{name}.png")
    made = record()
    (out / "naa-table9.json").write_text(json.dumps(made, indent=1, allow_nan=False))
    (out / "other.json").write_text("[1]")
    pages.write(made, out)
    pages.index(out)
    return out


class Reader(html.parser.HTMLParser):
    """Checks that elements close in the order they open; keeps addresses, ids and the text."""

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.ids, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID or tag == "path":
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "action", "srcset", "data"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID or tag == "path":
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag in VOID and tag != "path":
            return
        assert self.open and self.open.pop() == tag, f"</{tag}> closes what is not open"

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)


def reading(path):
    """The page, read."""
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert not reader.open
    return reader


def test_the_page_is_balanced_and_its_anchors_meet(folder):
    for name in ("naa-table9", "index"):
        reader = reading(folder / f"{name}.html")
        assert len(reader.ids) == len(set(reader.ids))
        for address in reader.addresses:
            if address.startswith("#"):
                assert address[1:] in reader.ids, address


def test_nothing_is_fetched(folder):
    siblings = {"index.html", *(f"naa-table9.{end}" for end in ("html", "csv", "md", "json"))}
    for name in ("naa-table9", "index"):
        for address in reading(folder / f"{name}.html").addresses:
            allowed = address.startswith(("data:image/png;base64,", "#"))
            assert allowed or address in siblings | {citations.of("naa").address}, address
        text = (folder / f"{name}.html").read_text(encoding="utf-8")
        assert "url(h" not in text and "@import" not in text and "<script" not in text


def test_every_number_and_reason_is_on_the_page(folder):
    text = "".join(reading(folder / "naa-table9.html").text)
    made = record()
    for one in made["parts"]:
        for found in one["cells"]:
            for value in (number(found["value"], one["unit"]), published_number(found["paper"], one["unit"])):
                assert value in text
            for command in found["trace"]:
                assert command in text
    for why in (GET.replace("`", ""), "Costs 6 numbers.", "No layer is named.", "gone.png is not there"):
        assert why in text
    assert hashlib.sha256((folder / "naa-table9.json").read_bytes()).hexdigest() in text
    for said in (sentences.STAND_INS, "The paper's are of 1000.", made["notes"][0], "tfadv reproduce naa-table9"):
        assert said in text


def test_names_are_escaped(folder):
    for name in ("naa-table9", "index"):
        page = (folder / f"{name}.html").read_text(encoding="utf-8")
        assert "<b>&amp;" not in page and '<b>&"' not in page
        assert NASTY in "".join(reading(folder / f"{name}.html").text)
    assert markup.tag("p", NASTY, title=NASTY, hidden=True, class_=None) == (
        '<p title="&lt;b&gt;&amp;&quot;&#x27;|x" hidden>&lt;b&gt;&amp;&quot;&#x27;|x</p>'
    )


def test_the_same_bytes_twice(folder, tmp_path):
    shutil.copytree(folder / "pictures", tmp_path / "pictures")
    for path in pages.write(record(), tmp_path):
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_the_order_is_said_where_it_is_reversed(folder):
    text = "".join(reading(folder / "naa-table9.html").text)
    assert (
        "The paper has NAA above FIA in 6 of 6 cells; of these, here it is above in 2, level in 0, below in 4, "
        "2 of them by more than two standard errors." in text
    )
    assert "Disagrees with the paper in order: FIA above NAA in 4 of 6 (2 by more than two standard errors)." in text
    assert "Disagrees with the paper in order" in "".join(reading(folder / "index.html").text)


def test_agreement_and_ignorance_are_said():
    pair = {
        "higher": "a",
        "lower": "b",
        "cells": 3,
        "same": 2,
        "equal": 1,
        "reversed": 0,
        "clearly": 0,
        "unsure": 0,
        "examples": [],
    }
    made = {"parts": [part("one", [compared(("a",), "t", 5.0, 1.0, 4.0)], ("x",), row_orders=[pair])]}
    said, agrees = sentences.order(made)
    assert agrees and "3 comparisons" in said and "in 1 of them the two are level here" in said
    level = {"parts": [part("one", [], ("x",), row_orders=[{**pair, "same": 0, "equal": 3}])]}
    assert sentences.order(level) == ("No order to compare: here all 3 compared pairs are level.", None)
    assert sentences.order({"parts": [part("one", [cell(("a",), "t", 5.0)], ("x",))]})[1] is None
    alone = part("one", [compared(("a",), "t", 5.0, 1.0, 4.0)], ("x",))
    assert "no order to compare" in sentences.order({"parts": [alone]})[0]
    assert "No ranking is defined" in sentences.order({"parts": [{**alone, "higher": None}]})[0]


@pytest.mark.parametrize(
    ("images", "points"), [(6, 41), (8, 35), (12, 29), (15, 26), (16, None), (60, None), (None, None)]
)
def test_few_images_are_inconclusive_but_for_what_is_clear(images, points):
    """1 / sqrt(n) of the whole: twice the standard error of a half."""
    pair = row_orders()[0] | {"same": 5, "reversed": 1, "clearly": 0}
    counts = [images, images and images // 2, images, 1000]  # accuracies are of more images
    shares = [cell(("a",), f"t{place}", 50.0, images=count) for place, count in enumerate(counts[: 4 if images else 3])]

    def told(**pairs):
        return sentences.order({"parts": [part("one", shares, ("x",), row_orders=[pair | pairs])]})

    for said, agrees in (told(), told(same=6, reversed=0)):
        few = f"Inconclusive: of {images} images a share is uncertain by up to {points} points, two standard errors. "
        assert said.startswith(few) == (points is not None) and (agrees is None) == (points is not None)
    assert "Inconclusive" not in told(clearly=1)[0] and told(clearly=1)[1] is False
    alone = {"parts": [part("one", shares, ("x",))]}
    assert ("Inconclusive" in sentences.order(alone)[0]) == (points is not None)


def test_what_is_named_uncertain_is_two_standard_errors_on_every_page(folder):
    """31.25 with the standard error 5.375, and its difference of 0 to the paper with 1.1 times that."""
    page = "".join(reading(folder / "naa-table9.html").text)
    assert "31.2 ±10.8" in page and "±11.8" in page and "± two standard errors" in page
    assert "| 31.2 ± 10.8 (31.25) |" in (folder / "naa-table9.md").read_text(encoding="utf-8")
    grid = TableGrid(part("one", [compared(("a",), "t", 50.0, 5.0, 90.0)], ("x",), "bars"))
    assert list(plots._ours(grid, ("a",), ["t"])) == [(50.0, 10.0)]
    assert uncertainty(0.0001, 50.0, "%") == "0.0002" and uncertainty(0.0, 50.0, "%") == "0.0"


def test_numbers_of_another_paper_are_called_its_own(tmp_path):
    """FIA's tables stand beside what NAA's authors measured: no page calls that FIA's numbers."""
    made = record()
    assert "the paper's" in markdown.page(made)
    for one in made["parts"]:
        one["beside"] = "NAA paper"
    (text,) = (reading(path).text for path in pages.write(made, tmp_path) if path.suffix == ".html")
    for page in ("".join(text), (tmp_path / "naa-table9.md").read_text(encoding="utf-8")):
        for said in ("Disagrees with the NAA paper in order", "The NAA paper has NAA above", "The NAA paper's are"):
            assert said in page
        assert "The paper has" not in page and "(the paper's)" not in page
    assert "NAA paper 86.25" in "".join(text) and "Δ ours − NAA paper" in "".join(text)


def test_pictures_are_part_of_the_whole():
    shown = drawing()
    made = {"experiment": "naa-figure1", "parts": [part("one", [cell(("a",), "t", 5.0)], ("x",), pictures=[shown])]}
    assert sentences.completeness(made) == "Whole: all 1 number and 1 drawing are here."
    assert sentences.completeness(made, shown=False) == (
        "All 1 number are here, without the 1 drawing that the command writes into naa-figure1.html."
    )
    made["parts"][0]["pictures"] = []
    for seen in (True, False):
        assert sentences.completeness(made, seen) == "Whole: all 1 number are here."
    made["parts"][0]["pictures"] = [shown | {"missing": "No layer."}]
    assert sentences.completeness(made, shown=False) == "Partial: 1 drawing is missing."


def test_standard_errors_of_shares_end_where_shares_do():
    share = TableGrid(part("one", [compared(("a",), "t", 98.0, 5.0, 90.0)], ("x",), "bars"))
    assert plots._whiskers(share, [98.0, 1.0], [5.0, 5.0]) == [[5.0, 1.0], [2.0, 5.0]]
    below = part("one", [compared(("a",), "t", -2.0, 5.0, 9.0)], ("x",), "bars")
    assert plots._whiskers(TableGrid(below), [-2.0], [5.0]) == [[5.0], [5.0]]
    seconds = part("one", [compared(("a",), "t", 98.0, 5.0, 90.0)], ("x",), "bars", unit="s")
    assert plots._whiskers(TableGrid(seconds), [98.0], [5.0]) == [[5.0], [5.0]]


def test_the_list_in_markdown_leaves_another_readme_alone(folder, tmp_path):
    text = (folder / "README.md").read_text(encoding="utf-8")
    (row,) = (line for line in text.splitlines() if line.startswith("| ["))
    assert row.startswith("| [Table 9](naa-table9.md) | ") and len(re.findall(r"(?<!\\)\|", row)) == 5
    assert "Disagrees with the paper in order" in row and text.count(record()["command"]) == 1
    (tmp_path / "README.md").write_text("# Mine\n")
    pages.index(tmp_path)
    assert (tmp_path / "README.md").read_text() == "# Mine\n"


def test_csv_holds_the_numbers_in_full(folder):
    with open(folder / "naa-table9.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    found = list(cells(record()))
    assert len(lines) == len(found)
    for line, one in zip(lines, found, strict=True):
        for field in ("value", "error", "paper", "rerun", "difference", "difference_error"):
            assert (float(line[field]) if line[field] else None) == one[field]
        assert line["command"] == " && ".join(one["trace"])
        assert bool(line["missing"]) == (one["value"] is None)
    assert {line["attack"] for line in lines if line["part"] == "curves"} == {"FIA", NASTY}


def test_markdown_has_a_line_for_each_row(folder):
    text = (folder / "naa-table9.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    parts = record()["parts"]
    assert len(rows) == sum(len(TableGrid(one).rows) + 2 for one in parts)
    assert "| Inc-v3 | NAA | 71.2 ± 10.8 (86.25) |" in text and "— [1] (70.25)" in text
    for one in rows:
        assert len(re.findall(r"(?<!\\)\|", one)) > 2
    assert "<b>" not in text.replace("\\<b\\>", "") and markdown.page(record()) == text


def test_numbers_read_well():
    assert [number(value, "%") for value in (0.04, -0.04, 99.96, -3.25)] == ["0.0", "0.0", "100.0", "−3.2"]
    assert [number(value, "s") for value in (0.0, 0.01234, 12.34, 1234.6, 1e-5)] == [
        "0.00",
        "0.0123",
        "12.3",
        "1235",
        "1.00e-05",
    ]
    assert number(2.0, "%", signed=True) == "+2.0" and number(None, "%") == number(math.nan, "%") == "—"
    assert [published_number(value, "%") for value in (85.0, 85.32)] == ["85.0", "85.32"]


@pytest.mark.parametrize("key", citations.CITATIONS)
def test_the_citations_are_those_of_the_bibliography(key):
    (entry,) = re.findall(rf"^@\w+{{{key}, (.*?)(?=^@|\Z)", (ROOT / "REFERENCES.bib").read_text(), re.M | re.S)
    entry = re.sub(r"[{}]|\s+", " ", entry).replace("  ", " ")
    paper = citations.of(key)
    assert re.sub(r"\W", "", paper.title) in re.sub(r"\W", "", entry) and str(paper.year) in entry
    for author in paper.authors.split(", "):
        assert author.split()[-1] in entry
    assert paper.address.rpartition("/")[2] in entry


def test_pages_in_a_browser(folder, tmp_path):
    if not (shutil.which("chromium") or shutil.which("chromium-browser")):
        pytest.skip("chromium is not installed")
    check = [sys.executable, ROOT / "scripts/page_check.py"]
    done = subprocess.run([*check, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (folder / "index.html").read_text(encoding="utf-8")
    page = page.replace(
        "<main>",
        '<main><img src="gone.png"><p style="width:99rem;max-width:none">wide</p>'
        '<div class="scroll" style="width:9rem;background:none">'
        '<table style="width:99rem"><tr><td>wide</td></tr></table></div>',
    )
    (tmp_path / "bad.html").write_text(page, encoding="utf-8")
    done = subprocess.run([*check, tmp_path, "--shots", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and len(list(tmp_path.glob("*.png"))) == 3
    for said in (
        "bad.html at 360 x 800",
        "wider than the window",
        "broken image: gone.png",
        "fetches ",
        "free space",
        "do not show",
    ):
        assert said in done.stdout
