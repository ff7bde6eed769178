"""A table of numbers as a picture, coloured by how each differs from the base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from serlab.reports.figure import PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEEPEST = 0.2
"""Difference to the base at which the colour is deepest, unless a figure says otherwise."""

COLOURS = ("#D55E00", "#f2b48c", "#f7f7f7", "#8fc1e3", "#0072B2")
"""From below the base to above it."""


def cells(
    axes: Axes,
    differences: npt.NDArray[np.float64],
    texts: Sequence[Sequence[str]],
    *,
    deepest: float,
    bold_first: bool,
) -> None:
    """Draws the cells (row, column), their numbers in them.

    Args:
        axes: left without spines or tick marks.
        differences: what colours a cell; nan is none.
        texts: what stands in each cell; a second line is small.
        deepest: the difference at which the colour is deepest.
        bold_first: whether the first row is the base.
    """
    from matplotlib.colors import LinearSegmentedColormap

    n_rows, n_columns = differences.shape
    change = np.nan_to_num(differences)
    axes.pcolormesh(
        np.arange(n_columns + 1) - 0.5,
        np.arange(n_rows + 1) - 0.5,
        change,
        cmap=LinearSegmentedColormap.from_list("serlab", COLOURS),
        vmin=-deepest,
        vmax=deepest,
        edgecolors=PAPER,
        linewidth=1.5,
    )
    for (i, j), difference in np.ndenumerate(change):
        colour = "#fefefe" if abs(difference) > 0.75 * deepest else "#111111"
        _text(axes, j, i, texts[i][j], colour, bold=i == 0 and bold_first)
    axes.set_xlim(-0.5, n_columns - 0.5)
    axes.set_ylim(n_rows - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _text(axes: Axes, x: float, y: float, text: str, colour: str, *, bold: bool) -> None:
    first, _, second = text.partition("\n")
    up = 0.16 if second else 0.0
    upper = axes.text(x, y - up, first, ha="center", va="center", color=colour, fontsize=8)
    upper.set_fontweight("bold" if bold else "normal")
    if second:
        axes.text(x, y + 0.24, second, ha="center", va="center", color=colour, fontsize=6.3)
