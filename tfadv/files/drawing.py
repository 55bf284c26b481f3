"""Draws figures of attacks as PNG: grids of images, magnified differences, heat maps."""

import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfadv.core.images import GREY, WHITE
from tfadv.files.image_files import write_whole

#: The `Software` text of a PNG drawn here.
SOFTWARE = "tfadv"


def magnified(adversarial: np.ndarray, clean: np.ndarray, largest: float) -> np.ndarray:
    """The difference of two images [N, H, W, 3], grey where there is none, black or white where it is `largest`."""
    difference = np.asarray(adversarial, np.float32) - np.asarray(clean, np.float32)
    return np.clip(GREY + difference * (GREY / largest), 0, WHITE).astype(np.uint8)


def sheet(path: str | os.PathLike, columns: Mapping[str, np.ndarray], captions: Mapping[str, list[str]]) -> None:
    """Write a PNG with one row for each image and one titled column for each entry of `columns`.

    Args:
        path: of the PNG.
        columns: title -> images [N, H, W, 3] of 0..255, or maps [N, h, w], which are drawn from blue (against the
            class) over white to red (for it).
        captions: title -> what stands below each of its N cells, where wanted.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = max(map(len, columns.values()))
    figure = Figure(figsize=(1.7 * len(columns), 1.95 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for column, (title, cells) in enumerate(columns.items()):
        axes[0, column].set_title(title, fontsize=10)
        for row, cell in enumerate(cells):
            panel = axes[row, column]
            panel.set_xticks([])
            panel.set_yticks([])
            if cell.ndim == 3:
                panel.imshow(np.asarray(cell, np.uint8), interpolation="nearest")
            else:
                reach = float(np.max(np.abs(cell))) or 1.0
                panel.imshow(cell, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
            if title in captions:
                panel.set_xlabel(captions[title][row], fontsize=8)
    save(figure, path)


def save(figure: Any, path: str | os.PathLike) -> None:
    """Write a figure of matplotlib as a PNG, whole or not at all."""
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": SOFTWARE})
    write_whole(path, content.getvalue())
