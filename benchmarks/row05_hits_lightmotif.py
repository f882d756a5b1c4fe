"""Row 5: hits at p = 1e-4, 579 motifs, both strands; peer lightmotif's scanner."""

import argparse

import lightmotif
import motif_data
import numpy as np
from harness import compare, write_row

from epilm.motifs.pwm import reverse_complement, thresholds
from epilm.motifs.scan import Hits, scan

NEAR = 1e-4  # nats: lightmotif computes in single precision


def scoring_matrix(pwm: np.ndarray) -> lightmotif.ScoringMatrix:
    """The very same scores as a lightmotif matrix."""
    return lightmotif.ScoringMatrix({base: pwm[:, i].tolist() for i, base in enumerate("ACGT")})


def main() -> None:
    """Measure and write the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=1_000_000)
    parser.add_argument("--out", default="row05.json")
    arguments = parser.parse_args()
    text, pwms = motif_data.sequence(arguments.length), motif_data.pwms()
    codes = motif_data.encode(text)
    cuts = thresholds(pwms, 1e-4).scores
    matrices = [(scoring_matrix(p), scoring_matrix(reverse_complement(p))) for p in pwms]
    striped = lightmotif.stripe(text)  # outside of the timing

    def peer() -> list:
        return [
            [(hit.position, hit.score) for hit in lightmotif.scan(m, striped, threshold=cut)]
            for pair, cut in zip(matrices, cuts)
            for m in pair
        ]

    def check(ours: Hits, theirs: list) -> str:
        mine: dict[tuple[int, int, int], float] = {}
        for m, start, strand, score in zip(*(column.tolist() for column in ours)):
            mine[m, start, strand] = score
        peers = {
            (i // 2, position, 1 - 2 * (i % 2)): score
            for i, hits in enumerate(theirs)
            for position, score in hits
        }
        near = 0
        for key in mine.keys() ^ peers.keys():
            score = mine.get(key, peers.get(key))
            assert abs(score - cuts[key[0]]) < NEAR, f"one side alone has {key}, score {score}"
            near += 1
        worst = max(abs(mine[key] - peers[key]) for key in mine.keys() & peers.keys())
        assert worst < NEAR
        return (
            f"the same {len(mine)} hits but for {near} within {NEAR:g} of their cut (float32 peer)"
        )

    row = compare(
        "row 5: hits at p = 1e-4, same hits",
        lambda: scan(codes, pwms, cuts, dedup=False, threads=1),
        peer,
        check=check,
        goal=3,
        stretch=8,
        peer_name="lightmotif scan",
        setup_note=(
            f"{len(text)} bp of hg19 chr20, {len(pwms)} motifs, both strands; the peer's matrices"
            " and striped sequence are made before, our tables inside"
        ),
        threads=1,
    )
    write_row(row, arguments.out)


if __name__ == "__main__":
    main()
