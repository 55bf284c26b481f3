"""Layouts of other tools: which folder has which, what it says of the classes, and what is ambiguous."""

import json

import pytest

from tfadv.files import layouts

IMAGES = ("a.png", "b.JPEG")
TABLES = {
    "images.csv": "ImageId,URL,TrueLabel,TargetClass,Author\na,https://c1.example/a,306,779,me\nb,,1000,1,\n",
    "labels.csv": "filename,label,targeted_label\na.png,305,778\nb.JPEG,999,0\n",
    "metadata.csv": "file_name,label,target\na.png,305,778\nb.JPEG,999,0\n",
    "target_class.csv": "a.png,779\nb.JPEG,1\n",
}
BELOW = {"nips2017": ("images.csv", "images"), "transferattack": ("labels.csv", "images"),
         "huggingface": ("metadata.csv", ""), "competition": ("target_class.csv", "")}  # fmt: skip


class Net:
    name, classes = "net", 3


def made(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def listed(root, layout):
    table, below = BELOW[layout]
    made(root, *(f"{below}/{name}" if below else name for name in IMAGES))
    (root / table).write_text(TABLES[table])
    return root


@pytest.mark.parametrize("layout", BELOW)
@pytest.mark.parametrize("asked", ["auto", None])
def test_the_list_in_a_folder_says_its_layout_and_all_of_them_the_same_classes(tmp_path, layout, asked):
    root = listed(tmp_path, layout)
    found = layouts.find(root, asked or layout, targeted=True)
    assert (found.name, found.images) == (layout, root / BELOW[layout][1])
    for column, classes in ((found.labels, [305, 999]), (found.targets, [778, 0])):
        if column is not None:
            there = column.of(list(IMAGES)).classes
            assert [there[name] - found.first_label for name in IMAGES] == classes
    assert (found.labels is None) == (layout == "competition")
    assert f"counted from {found.first_label}" in found.sentence
    assert layouts.find(root).targets is None


def test_a_plain_folder_says_nothing(tmp_path):
    root = made(tmp_path, "images/a.png", "cat/b.png")
    assert layouts.find(root) == layouts.Layout("flat", root)
    (root / "labels.csv").write_text(TABLES["labels.csv"])
    assert layouts.find(root, "flat").labels is None


@pytest.mark.parametrize(
    ("tables", "layout", "message"),
    [
        (
            ("images.csv", "labels.csv"),
            "auto",
            "expected one list of classes, got images.csv and labels.csv. Say by layo",
        ),
        ((), "nips2017", "expected images.csv beside images/, as layout=nips2017 has it; there is none"),
        ((), "huggingface", "expected metadata.csv, as layout=huggingface has it"),
        ((), "imagenet", "layout: expected one of auto, flat, nips2017, .*got 'imagenet'"),
    ],
)
def test_a_folder_of_another_layout_is_refused(tmp_path, tables, layout, message):
    made(tmp_path, "images/a.png")
    for table in tables:
        (tmp_path / table).write_text(TABLES[table])
    with pytest.raises((ValueError, OSError), match=message):
        layouts.find(tmp_path, layout)


def test_classes_to_reach_are_missed(tmp_path):
    made(tmp_path, "images/a.png")
    with pytest.raises(ValueError, match=r"expected a list of classes to reach, .*got none \(layout flat\)"):
        layouts.find(tmp_path, targeted=True)


def test_names_in_a_list_stay_in_the_folder(tmp_path):
    listed(tmp_path, "transferattack")
    (tmp_path / "labels.csv").write_text("filename,label\n../../etc/passwd,1\n")
    with pytest.raises(ValueError, match="line 2: expected a name inside of the folder of images"):
        layouts.find(tmp_path)


def test_folders_of_classes_are_counted_in_the_order_of_keras_and_torchvision(tmp_path):
    root = made(tmp_path, "cat/1.png", "Dog/deep/2.png", "ant/3.jpg", "4.png", ".hidden/5.png")
    found = layouts.find(root, "classes")
    assert found.class_names == ("Dog", "ant", "cat") and found.first_label == 0
    assert found.labels.classes == {"Dog/deep/2.png": 0, "ant/3.jpg": 1, "cat/1.png": 2}
    assert found.sentence == "layout: classes, 3 folders in alphanumeric order: 0 Dog, 1 ant, 2 cat"
    found.check(Net)
    (root / "empty").mkdir()  # a class of Keras' as well
    with pytest.raises(
        ValueError, match="one for each of the 3 classes of net, got 4, whose order .*class_names=, a f"
    ):
        layouts.find(root, "classes").check(Net)


def test_keras_has_the_same_order(tmp_path):
    keras = pytest.importorskip("keras")
    from PIL import Image

    root = made(tmp_path, "cat/1.png", "Dog/2.png", "ant/3.png", "10/4.png", "9/5.png")
    for path in root.glob("*/*.png"):
        Image.new("RGB", (2, 2)).save(path)
    read = keras.utils.image_dataset_from_directory(root, image_size=(2, 2), shuffle=False)
    assert tuple(read.class_names) == layouts.find(root, "classes").class_names


@pytest.mark.parametrize(
    "names",
    [
        "n02\nn01440764 tench, Tinca tinca\nn03\n",
        '["n02", "n01440764", "n03"]',
        json.dumps({"1": ["n01440764", "tench"], "0": ["n02", "a"], "2": ["n03", "b"]}),
    ],
)
def test_some_wordnet_ids_are_classes_by_the_list_of_all(tmp_path, names):
    root = made(tmp_path / "images", "n01440764/x.JPEG", "n03/y.JPEG")
    (tmp_path / "names").write_text(names)
    for layout in ("auto", "classes"):
        found = layouts.find(root, layout, tmp_path / "names")
        assert found.labels.classes == {"n01440764/x.JPEG": 1, "n03/y.JPEG": 2}
        found.check(Net)
    with pytest.raises(
        ValueError, match="the folders in .*images: expected one for each of the 3 classes of net, got 2"
    ):
        layouts.find(root, "classes").check(Net)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("cat\n", "expected all folders of .* among its names, ant is missing"),
        ("ant\ncat\nant\n", "expected each name once, got ant for the classes 0 and 2"),
        ("ant\n\ncat\n", r"got something else \(line 2 is empty\)"),
        ('{"0": "ant", "2": "cat"}', "got no class 1"),
        ("[[], 3]", "is no name"),
        ("[" * 100_000, "got something else"),
    ],
)
def test_ambiguous_names_are_refused(tmp_path, names, message):
    root = made(tmp_path / "images", "ant/x.png", "cat/y.png")
    (tmp_path / "names").write_text(names)
    with pytest.raises(ValueError, match=message):
        layouts.find(root, "classes", tmp_path / "names")


def test_numbers_in_another_order_than_theirs_are_refused(tmp_path):
    root = made(tmp_path, *(f"{number}/x.png" for number in range(11)))
    with pytest.raises(ValueError, match="got numbers of which 10 has place 2 in it. Say by class_names="):
        layouts.find(root, "classes")
    root = made(tmp_path / "ten", *(f"{number}/x.png" for number in range(10)))
    assert layouts.find(root, "classes").labels.classes["7/x.png"] == 7


def test_class_names_belong_to_folders_of_classes(tmp_path):
    made(tmp_path, "a.png")
    with pytest.raises(ValueError, match="class_names: names the folders of the layout classes"):
        layouts.find(tmp_path, "flat", tmp_path / "names")
    with pytest.raises(ValueError, match="expected a folder for each class, got images and no folder"):
        layouts.find(tmp_path, "classes")
    with pytest.raises(FileNotFoundError, match="no such file of the classes' names"):
        layouts.find(made(tmp_path, "cat/a.png"), "classes", tmp_path / "names")
