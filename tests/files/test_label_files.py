"""CSV files of classes: which column is which, what names match, and what is refused by its line."""

import pytest

from tfadv.files import label_files

NIPS = """ImageId,URL,x1,y1,x2,y2,TrueLabel,TargetClass,OriginalLandingURL,License,Author
0c7ac4a8c9dfa802,https://c1.example/a.jpg,0.0,0.0,1.0,1.0,306,779,https://example/,CC,somebody
f43fbfe8a9ea876c,https://c1.example/b.jpg,0.0,0.1,1.0,1.0,1000,1,https://example/,CC,"some, body"
"""
TRANSFER = "filename,label,targeted_label\nILSVRC2012_val_00000293.JPEG,0,864\nILSVRC2012_val_00002138.JPEG,999,394\n"


def written(folder, text):
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_labels_are_read_from_a_csv(tmp_path):
    path = written(tmp_path, '\ufeffLabel, FileName ,note\r\n3,x.png,\r\n 4 ,"./a, b\\c.png",n\r\n')
    assert label_files.read(path) == ({"x.png": 3, "a, b/c.png": 4}, "Label")


@pytest.mark.parametrize(
    ("text", "names", "labels", "targets"),
    [
        (NIPS, ["0c7ac4a8c9dfa802.png", "f43fbfe8a9ea876c.png"], ("TrueLabel", [306, 1000]), ("TargetClass", [779, 1])),
        (
            TRANSFER,
            ["ILSVRC2012_val_00000293.JPEG", "ILSVRC2012_val_00002138.JPEG"],
            ("label", [0, 999]),
            ("targeted_label", [864, 394]),
        ),
    ],
)
def test_the_files_of_others_are_read_for_labels_and_for_classes_to_reach(tmp_path, text, names, labels, targets):
    path = written(tmp_path, text)
    for wanted, (column, classes) in ((False, labels), (True, targets)):
        found = label_files.read(path, targets=wanted).of(names)
        assert (found.name, found.is_targets) == (column, wanted)
        assert found.classes == dict(zip(names, classes, strict=True))


def test_classes_to_reach_may_stand_in_a_column_of_labels_and_never_the_other_way_round(tmp_path):
    found = label_files.read(written(tmp_path, "filename,label\nx.png,1\n"), targets=True)
    assert found == ({"x.png": 1}, "label") and not found.is_targets
    with pytest.raises(ValueError, match="columns filename,label, got filename, Target Class"):
        label_files.read(written(tmp_path, "filename,Target Class\nx.png,1\n"))


def test_accents_match_however_they_are_composed():
    assert label_files.match(["Gr\u00fc\u00dfe.png", "x.png"], {"Gru\u0308\u00dfe.png": 3}) == {
        "Gr\u00fc\u00dfe.png": 3
    }


def test_a_name_without_its_suffix_is_that_of_the_one_image_that_it_can_mean():
    known = {"a": 1, "b": 2, "d/c.1": 3, "e.jpg": 4}
    assert label_files.match(["a.png", "b.png", "b.jpg", "d/c.1.png", "e.png"], known) == {"a.png": 1, "d/c.1.png": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns filename,label, got nothing"),
        ("x.png,3\n", "columns filename,label, got x.png, 3"),
        ("filename,label\n", "no line below the header"),
        ("filename,label\nx.png,cat\n", "line 2: expected a whole number below .* as the label of x.png, got 'cat'"),
        (f"filename,label\nx.png,1\ny.png,{10**30}\n", "line 3: expected a whole number below .* of y.png, got '1000"),
        (f"filename,label\nx.png,{'9' * 5000}\n", r"line 2: expected a whole number .* of x.png, got '9+\.\.\.'"),
        ("filename,label\nx.png\n", "line 2: expected 2 values as in the first line, got 1"),
        ("filename,label\nx.png,1\nx.png,2\n", "line 3: x.png has two labels, 1 and 2"),
        ("filename,label,label\nx.png,1,2\n", "expected each column once, got label twice"),
        ("filename,label\na.png,1\n../b.png,2\n", "line 3: expected a name inside of the folder of images"),
        (f"filename,label,note\nx.png,1,{'n' * 140_000}\n", "line 2: expected a line of a CSV, got something else"),
    ],
)
def test_a_wrong_csv_is_refused_by_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        label_files.read(written(tmp_path, text))
