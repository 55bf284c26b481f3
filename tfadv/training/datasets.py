"""Loads training data from an .npz file or a folder of images; augments batches by shifts and mirroring."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from tfadv.core.ranges import Count, checked
from tfadv.core.seeds import fold_one
from tfadv.core.types import Images, Tensor
from tfadv.files import array_files, image_files, label_files

#: The arrays of an .npz file.
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
#: The file of a folder that says the classes; without it each sub-folder is a class.
LABELS = "labels.csv"
#: The share of a folder's images that is held out.
HELD_OUT = 0.2


class Data(NamedTuple):
    """Images uint8 [N, S, S, 3] and labels int32 [N], to train on and to test with.

    class_names: of a folder with a sub-folder for each class, by their number.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    name: str
    class_names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.x_train.shape[1]

    @property
    def classes(self) -> int:
        """How many classes there are: one more than the largest label."""
        return int(self.y_train.max()) + 1

    @property
    def sha256(self) -> str:
        """Of the training images and labels."""
        digest = hashlib.sha256(np.ascontiguousarray(self.x_train).tobytes())
        digest.update(np.ascontiguousarray(self.y_train, np.int32).tobytes())
        return digest.hexdigest()


@checked
def load(
    path: str | os.PathLike,
    size: Count | None = None,
    fill: bool = False,
    labels: str | os.PathLike | None = None,
) -> Data:
    """Load training and test images from an .npz file or a folder.

    Args:
        path: an .npz file with x_train and x_test, uint8 [N, S, S, 3] or, grey, [N, S, S], and y_train and y_test,
            whole numbers [N]; or a folder of image files, with a `labels.csv` (filename,label) or with a
            sub-folder for each class. Of a folder every image whose name's hash says so, a fifth, is for testing.
        size: side in pixels that a folder's images are brought to, 32 by default; an .npz file has its own.
        fill: whether each image is `filled`; the name says so.
        labels: a CSV (filename,label) for the images of a folder, in place of one that lies in it.

    Raises FileNotFoundError, or ValueError for arrays that are missing or misshapen, images that cannot be read,
    labels that are missing, and a split that leaves nothing.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such data; expected an .npz file or a folder of images.")
    if path.is_dir():
        data = _checked(_folder(path, 32 if size is None else size, labels), path)
    elif labels is not None:
        raise ValueError(f"{path}: expected no labels beside an .npz file, which has its own.")
    elif size is None:
        data = _checked(_arrays(path), path)
    else:
        raise ValueError(f"{path}: expected no size, because the arrays of an .npz file have their own.")
    if fill:
        data = data._replace(x_train=filled(data.x_train), x_test=filled(data.x_test), name=f"{data.name}, filled")
    return data


def filled(images: np.ndarray) -> np.ndarray:
    """Cut off black padding below and to the right of images uint8 [N, S, S, 3], and enlarge them to their size again.

    By Pillow's bilinear filter; an image that is all black stays.
    """
    return np.stack([_filled(image) for image in images])


def _filled(image: np.ndarray) -> np.ndarray:
    height, width = (int(np.max(np.flatnonzero(image.any(axis=axes)), initial=-1)) + 1 for axes in ((1, 2), (0, 2)))
    if not height or (height, width) == image.shape[:2]:
        return image
    inner = Image.fromarray(image[:height, :width])
    return np.asarray(inner.resize((image.shape[1], image.shape[0]), Image.Resampling.BILINEAR))


def _arrays(path: Path) -> Data:
    held = array_files.read(path, f"an .npz file with the arrays {', '.join(ARRAYS)}")
    if not set(ARRAYS) <= set(held):
        raise ValueError(f"{path}: expected the arrays {', '.join(ARRAYS)}, got {', '.join(list(held)[:6])}.")
    x_train, y_train, x_test, y_test = (held[key] for key in ARRAYS)
    return Data(_rgb(x_train), _flat(y_train), _rgb(x_test), _flat(y_test), path.stem)


def _rgb(images: np.ndarray) -> np.ndarray:
    return np.repeat(images[..., None], 3, axis=-1) if images.ndim == 3 else images


def _flat(labels: np.ndarray) -> np.ndarray:
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _folder(folder: Path, size: int, csv: str | os.PathLike | None) -> Data:
    names = image_files.find_images(folder)
    labels, class_names = _labels(folder, names, csv)
    pictures = {name: image_files.try_image(folder / name, (size, size)) for name in names}
    images = np.stack(image_files.pixels_of(folder, pictures))
    held_out = np.array([_held_out(name) for name in names])
    if held_out.all() or not held_out.any():
        raise ValueError(
            f"{folder}: expected images to train on and to test with, got {len(names)} that all fell on one side. "
            "The side follows from the name: add images."
        )
    return Data(images[~held_out], labels[~held_out], images[held_out], labels[held_out], folder.name, class_names)


def _labels(folder: Path, names: list[str], csv: str | os.PathLike | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """The class of each name, and the names of the classes where sub-folders are the classes."""
    csv = folder / LABELS if csv is None and (folder / LABELS).is_file() else csv
    if csv is not None:
        classes = label_files.read(csv).of(names).classes
        without = [name for name in names if name not in classes]
        if without:
            raise ValueError(
                f"{csv}: expected a label for each image, got none for {len(without)}: {', '.join(without[:3])}."
            )
        return np.array([classes[name] for name in names]), ()
    loose = [name for name in names if "/" not in name]
    if loose:
        raise ValueError(
            f"{folder}: expected {LABELS} (filename,label) or a sub-folder for each class, got images without a class: "
            f"{', '.join(loose[:3])}."
        )
    folders = {name.split("/")[0] for name in names}
    ordered = sorted(folders, key=int) if all(one.isdecimal() for one in folders) else sorted(folders)
    number = {name: place for place, name in enumerate(ordered)}
    return np.array([number[name.split("/")[0]] for name in names]), tuple(ordered)


def _held_out(name: str) -> bool:
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) < HELD_OUT * 2**32


def _checked(data: Data, path: Path) -> Data:
    for images, labels, of in ((data.x_train, data.y_train, "train"), (data.x_test, data.y_test, "test")):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or images.shape[1] != images.shape[2]:
            raise ValueError(
                f"{path}: expected x_{of} to be uint8 [N, S, S, 3], as high as wide, got {images.dtype} "
                f"{list(images.shape)}."
            )
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1] or not len(labels):
            raise ValueError(
                f"{path}: expected y_{of} to be a whole number for each of {len(images)} images, got {labels.dtype} "
                f"{list(labels.shape)}."
            )
    if data.x_test.shape[1:] != data.x_train.shape[1:]:
        raise ValueError(
            f"{path}: expected images of one size, got {data.x_train.shape[1:3]} to train on and "
            f"{data.x_test.shape[1:3]} to test with."
        )
    both = np.concatenate([data.y_train, data.y_test])
    if both.min() < 0 or data.y_test.max() >= data.classes or not 2 <= data.classes <= len(data.y_train):
        raise ValueError(
            f"{path}: expected classes counted from 0, at least two, each of them in y_train and so no more than its "
            f"{len(data.y_train)} images, got {data.y_train.min()}..{data.y_train.max()} to train on and "
            f"{data.y_test.min()}..{data.y_test.max()} to test with."
        )
    return data._replace(y_train=data.y_train.astype(np.int32), y_test=data.y_test.astype(np.int32))


def augmented(images: Images, seed: Tensor, shift: int = 4, flip: bool = True) -> Tensor:
    """Images [N, H, W, 3], each shifted by up to so many pixels and, every second one by chance, mirrored.

    Args:
        seed: int32 [2]; the draws follow from it.
        shift: largest shift down and to the right, and up and to the left, in pixels; what comes in from outside is the
            image mirrored at its edge. 0 for none.
        flip: whether left and right may change places; not for traffic signs and digits.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    if shift:
        padded = tf.pad(images, [[0, 0], [shift, shift], [shift, shift], [0, 0]], "REFLECT")
        down, right = tf.unstack(tf.random.stateless_uniform([2, count], fold_one(seed, 0), 0, 2 * shift + 1, tf.int32))
        images = tf.gather(padded, down[:, None] + tf.range(height), axis=1, batch_dims=1)
        images = tf.gather(images, right[:, None] + tf.range(width), axis=2, batch_dims=1)
    if flip:
        mirrored = tf.random.stateless_uniform([count, 1, 1, 1], fold_one(seed, 1)) < 0.5
        images = tf.where(mirrored, tf.reverse(images, [2]), images)
    return images
