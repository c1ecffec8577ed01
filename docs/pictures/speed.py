"""Draws speed.svg from the measurements in speed.json.

    pip install matplotlib
    python3 docs/pictures/speed.py
"""

import json
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
OPERATIONS = {"encrypt": "encrypt", "add": "add to a sum", "decrypt": "decrypt"}
OURS, OTHERS = "#1b6ca8", "#b8c4ce"


def main() -> None:
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "cipherfold", "font.family": "sans-serif", "font.size": 10})
    measured = json.loads((HERE / "speed.json").read_text())
    rows = measured["rows"][::-1]
    figure, axes = plt.subplots(1, len(OPERATIONS), figsize=(10, 2.6), sharey=True, layout="constrained")
    for axis, (operation, title) in zip(axes, OPERATIONS.items(), strict=True):
        rates = [row[operation] * row["values"] for row in rows]
        colors = [OURS if row["name"].startswith("cipherfold") else OTHERS for row in rows]
        bars = axis.barh([row["name"] for row in rows], rates, color=colors)
        axis.bar_label(bars, [short(rate) for rate in rates], padding=3)
        axis.set_xscale("log")
        axis.set_xlim(50, 2e11)
        axis.set_title(title)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.xaxis.set_visible(False)
    figure.supxlabel("values a second on one core, logarithmic", fontsize=9)
    figure.savefig(HERE / "speed.svg", metadata={"Date": None}, facecolor="white")


def short(rate: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if rate >= size:
            return f"{rate / size:.3g} {unit}"
    return f"{rate:.3g}"


main()
