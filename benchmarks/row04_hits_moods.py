"""Row 4: hits at p = 1e-4, 579 motifs, both strands, the same hits; peer MOODS-python."""

import argparse

import MOODS.scan
import motif_data
import numpy as np
from harness import compare, write_row

from epilm.motifs.pwm import reverse_complement, thresholds
from epilm.motifs.scan import Hits, scan


def main() -> None:
    """Measure and write the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=1_000_000)
    parser.add_argument(
        "--window",
        type=int,
        default=9,
        help="MOODS' look-up width: 7 by default there, 9 is faster here",
    )
    parser.add_argument("--out", default="row04.json")
    arguments = parser.parse_args()
    text, pwms = motif_data.sequence(arguments.length), motif_data.pwms()
    codes = motif_data.encode(text)
    cuts = thresholds(pwms, 1e-4).scores
    scanner = MOODS.scan.Scanner(arguments.window)  # made outside of the timing
    both = [p.T.tolist() for p in pwms] + [reverse_complement(p).T.tolist() for p in pwms]
    scanner.set_motifs(both, [0.25] * 4, [*cuts, *cuts])

    def check(ours: Hits, theirs: list) -> str:
        peer = np.array(
            [
                (row % len(pwms), hit.pos, 1 if row < len(pwms) else -1, hit.score)
                for row, results in enumerate(theirs)
                for hit in results
            ]
        )
        peer = peer[np.lexsort((-peer[:, 2], peer[:, 1], peer[:, 0]))]
        mine = np.stack(ours, axis=1).astype(float)
        mine = mine[np.lexsort((-mine[:, 2], mine[:, 1], mine[:, 0]))]
        assert np.array_equal(mine[:, :3], peer[:, :3]), "the hits differ"
        np.testing.assert_allclose(mine[:, 3], peer[:, 3], atol=1e-9)
        return f"the same {len(mine)} hits, scores within 1e-9"

    row = compare(
        "row 4: hits at p = 1e-4, same hits",
        lambda: scan(codes, pwms, cuts, dedup=False, threads=1),
        lambda: scanner.scan(text),
        check=check,
        goal=3,
        stretch=10,
        peer_name="MOODS-python",
        setup_note=(
            f"{len(text)} bp of hg19 chr20, {len(pwms)} motifs, both strands; the peer with window "
            f"{arguments.window}, its tables built "
            "before, ours inside"
        ),
        threads=1,
    )
    write_row(row, arguments.out)


if __name__ == "__main__":
    main()
