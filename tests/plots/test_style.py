"""Pictures: what is drawn is what the table says, and the file is the same each time."""

import subprocess
import sys

from epilm.plots.line_plots import roc_curves
from epilm.plots.style import as_image, figure


def test_the_same_figure_gives_the_same_text():
    def draw() -> str:
        with figure() as (fig, (ax,)):
            roc_curves(ax, {"m": ([1, 0, 1], [0.9, 0.2, 0.4])})
            return as_image(fig)

    assert draw() == draw()


def test_matplotlib_is_imported_by_plots_alone():
    code = (
        "import sys, epilm.playground.simulate, epilm.plots.page; print('matplotlib' in"
        " sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
