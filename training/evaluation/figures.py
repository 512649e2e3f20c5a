"""The style of all figures: size, fonts, colours, PNG.

Colours are those of Okabe & Ito, which people who confuse red and green tell apart; classes differ in hatching too.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#5b6570"
SERIES = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLE: Any = {  # what matplotlib types as a dictionary of every known key
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
}


def new_figure(title: str, size: tuple[float, float] = (5.2, 4.4)) -> tuple[Figure, Axes]:
    """Return an empty figure and its axes; pass it through ``png`` when it is drawn."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
    axes.set_title(title, loc="left")
    axes.grid(color="#e3e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def png(figure: Figure) -> bytes:
    """Return a figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def data_uri(picture: bytes) -> str:
    """Return a PNG for a page that is one file."""
    return "data:image/png;base64," + base64.b64encode(picture).decode()
