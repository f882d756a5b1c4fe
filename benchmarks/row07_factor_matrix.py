"""Row 7: best score of each region and motif (the factor matrix); peer lightmotif
calculate().max().

Also states the scale claim: regions per second with two threads, all else default.
"""

import argparse
import time

import lightmotif
import motif_data
import numpy as np
from harness import compare, write_row
from row05_hits_lightmotif import scoring_matrix

from epilm.motifs.log_odds import log_odds
from epilm.motifs.matrix import factor_matrix
from epilm.motifs.pwm import reverse_complement
from epilm.motifs.scan import best_scores


def main() -> None:
    """Measure and write the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regions", type=int, default=1000)
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--out", default="row07.json")
    arguments = parser.parse_args()
    count, width = arguments.regions, arguments.width
    motifs = motif_data.motifs()
    pwms = [log_odds(m) for m in motifs]
    text = motif_data.sequence(count * width, start=60_000)
    assert "N" not in text
    codes = motif_data.encode(text)
    starts = np.arange(count) * width
    ends = starts + width
    matrices = [(scoring_matrix(p), scoring_matrix(reverse_complement(p))) for p in pwms]
    striped = [lightmotif.stripe(text[a:b]) for a, b in zip(starts, ends)]  # outside of the timing

    def peer() -> np.ndarray:
        out = np.empty((count, len(pwms)), dtype=np.float32)
        for r, region in enumerate(striped):
            for m, (plus, minus) in enumerate(matrices):
                out[r, m] = max(plus.calculate(region).max(), minus.calculate(region).max())
        return out

    def peer_scores(regions: int) -> np.ndarray:
        """The peer's scores at the positions that exist: its .max() also reads cells past the
        end.
        """
        out = np.empty((regions, len(pwms)), dtype=np.float32)
        for r in range(regions):
            for m, pair in enumerate(matrices):
                scores = [matrix.calculate(striped[r]) for matrix in pair]
                out[r, m] = max(
                    np.asarray(memoryview(s)).reshape(-1)[: len(s)].max() for s in scores
                )
        return out

    some = min(count, 200)
    valid = peer_scores(some)

    def check(ours: tuple, theirs: np.ndarray) -> str:
        beyond = float((theirs[:some] > valid + 1e-3).mean())
        worst = float(np.abs(ours[0][:some].astype(np.float64) - np.maximum(valid, 0)).max())
        assert worst < 0.01, f"scores differ by {worst}"  # the matrix is kept in half precision
        exact = best_scores(codes, starts[:some], ends[:some], pwms, threads=1)
        both = float(np.abs(exact - valid).max())
        assert both < 1e-4, f"scores before rounding differ by {both}"
        return (
            f"{valid.size} scores within {worst:.1e} as stored in float16, {both:.1e} before, of"
            " the peer's at real positions (its own .max() takes a cell past the end of the region"
            f" in {beyond:.0%} of the cases)"
        )

    row = compare(
        "row 7: factor matrix, best score",
        lambda: factor_matrix(codes, starts, ends, motifs, threads=1),
        peer,
        check=check,
        goal=2,
        stretch=4,
        peer_name="lightmotif calculate().max()",
        setup_note=(
            f"{count} regions of {width} bp, {len(pwms)} motifs, both strands; matrices and striped"
            " regions of the peer are made before, our log-odds, cuts and tables inside"
        ),
        threads=1,
    )
    many = 200_000
    rng = np.random.default_rng(0)
    wide = motif_data.encode(motif_data.sequence(10_000_000, start=60_000))
    at = np.sort(rng.integers(0, len(wide) - width, size=many))
    begin = time.perf_counter()
    factor_matrix(wide, at, at + width, motifs, threads=2)
    seconds = time.perf_counter() - begin
    row["regions_per_s_1_thread"] = round(count / row["ours_s"])
    row["regions_per_s_2_threads"] = round(many / seconds)
    row["extrapolated_1000029_regions_s"] = round(1_000_029 / many * seconds, 1)
    print(
        f"scale: {many} regions of {width} bp x {len(motifs)} motifs on 2 threads in {seconds:.1f}"
        f" s = {many / seconds:.0f} regions/s; 1,000,029 regions extrapolate to"
        f" {row['extrapolated_1000029_regions_s']:.0f} s and"
        f" {1_000_029 * len(motifs) * 2 / 1e9:.2f} GB of result"
    )
    write_row(row, arguments.out)


if __name__ == "__main__":
    main()
