"""Row 8: p-value thresholds of 200 motifs; peer MOODS-python, within 0.03 bit."""

import argparse

import MOODS.tools
import motif_data
import numpy as np
from harness import compare, write_row

from epilm.motifs.pwm import Thresholds, thresholds


def main() -> None:
    """Measure and write the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--motifs", type=int, default=200)
    parser.add_argument("--out", default="row08.json")
    arguments = parser.parse_args()
    pwms = motif_data.pwms()[: arguments.motifs]
    lists = [p.T.tolist() for p in pwms]
    flat = [0.25] * 4

    def check(ours: Thresholds, theirs: list[float]) -> str:
        bits = np.abs(ours.scores - theirs) / np.log(2)
        assert bits.max() < 0.03, f"{bits.max():.4f} bit apart"
        return f"{len(bits)} cuts within {bits.max():.4f} bit"

    row = compare(
        "row 8: p-value thresholds",
        lambda: thresholds(pwms, 1e-4),
        lambda: [MOODS.tools.threshold_from_p(matrix, flat, 1e-4) for matrix in lists],
        check=check,
        goal=5,
        stretch=8,
        peer_name="MOODS-python threshold_from_p",
        setup_note=f"{len(pwms)} motifs, p = 1e-4, uniform background, peer's default precision",
        threads=1,
    )
    write_row(row, arguments.out)


if __name__ == "__main__":
    main()
