"""A record is one JSON document with a line for each image; entries are in no memory, in whichever layout they are."""

import json
import tracemalloc

import pytest

from tfadv.files import folder_record, records
from tfadv.files.entries import Entries, Listed, where
from tfadv.files.folder_record import Journal
from tfadv.files.image_files import PLAIN, inside

EXPERIMENT = {"attack": "Ascent(...)", "network": {"name": "net"}, "odd": {"images": [1], "of": "\n"}}
NAMES = ["a.png", "b/ü.png", "b/{1},.png", "odd \udcff.png", "z.png"]


def entry(name: str, **facts) -> dict:
    """A finished image."""
    distances = {"linf": 1.0, "l0": 0.5}
    done = {"status": "done", "output": name, "label": 1, "before": 1, "after": 2, "distances": distances}
    return {"file": name, **done, **facts}


ENTRIES = [entry(name) for name in NAMES]


def folded(folder, entries=ENTRIES, concessions=()):
    """Write a record."""
    with Journal(folder, EXPERIMENT) as journal:
        journal.fold(entries, concessions)
    return folder / "attack.json"


@pytest.mark.parametrize("entries", [[], ENTRIES[:1], ENTRIES])
def test_a_record_is_one_document_with_a_line_for_each_image(tmp_path, entries):
    content = folded(tmp_path, entries, ["one"]).read_bytes()
    assert json.loads(content) == {**EXPERIMENT, "concessions": ["one"], "images": entries}
    lines = [line for line in content.splitlines() if line.startswith(b"  {")]
    assert [json.loads(line.rstrip(b",")) for line in lines] == entries
    experiment, there = folder_record.read(tmp_path)
    assert experiment == EXPERIMENT and list(there) == NAMES[: len(entries)] and list(there.values()) == entries
    assert folder_record.contents(tmp_path).concessions == ["one"]


LAYOUTS = {
    "earlier": lambda whole: json.dumps(whole, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace"),
    "one line": lambda whole: json.dumps(whole).encode(),
    "sorted": lambda whole: json.dumps(whole, indent=3, sort_keys=True).encode(),
    "images first": lambda whole: json.dumps({"images": whole.pop("images"), **whole}, indent=1).encode(),
    "of two bytes": lambda whole: json.dumps(whole).encode("utf-16"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_another_layout_says_the_same_and_stays(tmp_path, layout):
    path = folded(tmp_path, concessions=["one"])
    path.write_bytes(LAYOUTS[layout](json.loads(path.read_bytes())))
    there = path.read_bytes()
    assert folder_record.experiment_of(tmp_path) == EXPERIMENT
    entries = folder_record.claim(tmp_path, EXPERIMENT)
    assert list(entries.values()) == ENTRIES and entries[NAMES[3]] == ENTRIES[3]
    folded(tmp_path, Listed(NAMES, entries))
    assert path.read_bytes() == there
    folded(tmp_path, [*ENTRIES[:-1], entry("z.png", after=3)])
    assert path.read_bytes() != there and json.loads(path.read_bytes())["images"][-1]["after"] == 3


EDITS = {
    "an entry over lines": (b'"before": 1,', b'"before":\n1,'),
    "two on a line": (b"},\n  {", b"}, {"),
    "space at its end": (b"]\n}\n", b"]\n}\n\n"),
    "space in between": (b"},\n", b"},\n\n"),
    "more after the images": (b" ]\n}\n", b' ],\n "seed": 1\n}\n'),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_is_edited_by_hand_is_read_as_json(tmp_path, edit):
    path = folded(tmp_path)
    content = path.read_bytes()
    assert EDITS[edit][0] in content
    path.write_bytes(content.replace(*EDITS[edit]))
    whole = json.loads(path.read_bytes())
    experiment, entries = folder_record.read(tmp_path)
    assert list(entries.values()) == whole.pop("images") == ENTRIES and experiment == whole


@pytest.mark.parametrize("edit", [(b"},\n", b"}\n"), (b" ]\n}\n", b" ]\n"), (b"}\n ]", b"},\n ]"), (b"  {", b"  {{")])
def test_what_is_no_json_is_refused(tmp_path, edit):
    path = folded(tmp_path)
    path.write_bytes(path.read_bytes().replace(*edit))
    with pytest.raises(ValueError, match=r"attack\.json: expected a record of tfadv"):
        folder_record.read(tmp_path)


def test_entries_are_in_no_memory(tmp_path):
    """A dictionary of these facts takes more than a kilobyte, a name and its place a few hundred bytes."""
    names, more = [f"{number:06}.png" for number in range(4000)], {"digest": "0" * 64, "sha256": "0" * 64}
    folded(tmp_path, [entry(name, **more) for name in names])
    tracemalloc.start()
    entries = folder_record.read(tmp_path)[1]
    last = list(where(Listed(names, entries), lambda one: one["file"] == names[-1]))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert last == [entry(names[-1], **more)] and len(entries) == 4000
    assert peak < 400 * 4000 + 500_000, peak
    assert held <= peak


def test_entries_that_another_run_has_joined_meanwhile_are_found_again(tmp_path):
    with Journal(tmp_path, EXPERIMENT) as journal:
        written = journal.add(ENTRIES[:2])
        (tmp_path / "a.png").touch()
        entries = folder_record.claim(tmp_path, EXPERIMENT)
        entries.update(written)
        journal.fold([entry("0.png"), *ENTRIES])
    assert not (tmp_path / "attack.jsonl").exists()
    listed = Listed(NAMES[:2], entries)
    assert listed == ENTRIES[:2] and listed[-1] == ENTRIES[1] and listed[:1] == ENTRIES[:1]
    folded(tmp_path, [entry("0.png", before=1000), *(entry(name, before=7) for name in NAMES)])
    assert [one["before"] for one in listed] == [7, 7]
    with pytest.raises(ValueError, match=r"attack\.jsonl: expected the entry of a\.png, got another"):
        written["a.png"]


def test_what_is_there_is_not_written_again(tmp_path, monkeypatch):
    path = folded(tmp_path)
    monkeypatch.setattr(folder_record, "write_safely", lambda *_: pytest.fail("written"))
    folded(tmp_path, Listed(NAMES, folder_record.read(tmp_path)[1]))
    monkeypatch.undo()
    folded(tmp_path, ENTRIES[::-1])
    assert [one["file"] for one in json.loads(path.read_bytes())["images"]] == NAMES[::-1]


def test_half_a_line_at_the_end_of_a_long_journal_is_dropped(tmp_path):
    long = [entry(name, reason="x" * 70_000) for name in NAMES[:2]]
    with Journal(tmp_path, EXPERIMENT) as journal:
        journal.add(long)
    path, name = tmp_path / "attack.jsonl", tmp_path / "a.png"
    name.touch()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"file": "z.png", "reason": "' + b"y" * 150_000)
    with Journal(tmp_path, EXPERIMENT) as journal:
        journal.add(ENTRIES[-1:])
    assert path.read_bytes() == whole + json.dumps(ENTRIES[-1]).encode() + b"\n"
    assert list(folder_record.read(tmp_path)[1].values()) == [*long, ENTRIES[-1]]


def test_names_that_are_not_looked_at_closely_stay_inside():
    parts = ["", ".", "..", "a", ".a", "a.", "a:", "\\", "a\\..", "\0", "ü", "..."]
    names = {
        "/".join([one, two, three][:count]) for one in parts for two in parts for three in parts for count in (1, 2, 3)
    }
    plain = [name for name in names if PLAIN.fullmatch(name)]
    for name in plain:
        inside("folder", name, "origin")
    assert {"a", "a/a.", "ü/a/a"} <= set(plain) and not any({"..", ""} & set(name.split("/")) for name in plain)


def test_places_of_several_folders_are_held_together(tmp_path):
    both = Entries()
    for number, some in enumerate((ENTRIES[:2], ENTRIES[2:])):
        folded(tmp_path / str(number), some)
        both.update(folder_record.read(tmp_path / str(number))[1])
    both.hold(entry("held.png"))
    assert list(both.each([*reversed(NAMES), "held.png"])) == [*reversed(ENTRIES), entry("held.png")]
    assert b"".join(records.record_lines({}, [])) == b'{\n "images": [\n ]\n}\n'
