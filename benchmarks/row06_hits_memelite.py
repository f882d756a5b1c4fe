"""Row 6: hits at p = 1e-4, 579 motifs, both strands, no hit lost; peer memelite fimo."""

import argparse
import math

import motif_data
import numba
import numpy as np
from harness import compare, write_row
from memelite import fimo

from epilm.motifs.scan import Hits, scan

EPS, BIN = 1e-4, 0.1  # fimo's defaults


def fimo_cuts(pwms: list[np.ndarray], p: float) -> np.ndarray:
    """The score cuts fimo computes, so that both sides search for the same hits."""
    from memelite.fimo import _pvalue_tables

    lengths = np.cumsum([0] + [len(w) for w in pwms]).astype(np.uint64)
    smallest, offsets, tables = _pvalue_tables(np.concatenate(pwms).T.copy(), lengths, BIN)
    cuts = np.full(len(pwms), np.inf)
    for m in range(len(pwms)):
        passing = np.flatnonzero(tables[offsets[m] : offsets[m + 1]] < math.log2(p))
        if len(passing):
            cuts[m] = np.float32((passing[0] + smallest[m]) * BIN)
    return cuts


def main() -> None:
    """Measure and write the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=1_000_000)
    parser.add_argument("--out", default="row06.json")
    arguments = parser.parse_args()
    text, motifs = motif_data.sequence(arguments.length), motif_data.motifs()
    codes = motif_data.encode(text)
    frequencies = [m.matrix / m.matrix.sum(axis=1, keepdims=True) for m in motifs]
    pwms = [np.log2(f + EPS) + 2 for f in frequencies]  # fimo's own scores, in bits
    named = {m.id: f.T.copy() for m, f in zip(motifs, frequencies)}
    one_hot = np.zeros((1, 4, len(codes)), dtype=np.int8)
    one_hot[0, codes[codes < 4], np.flatnonzero(codes < 4)] = 1
    numba.set_num_threads(1)
    cuts = fimo_cuts(pwms, 1e-4)

    def check(ours: Hits, theirs: list) -> str:
        mine = set(zip(ours.motif.tolist(), ours.start.tolist(), ours.strand.tolist()))
        peers, with_n = set(), 0
        n_before = np.concatenate([[0], np.cumsum(codes > 3)])
        for m, table in enumerate(theirs):
            for start, end, strand in zip(table["start"], table["end"], table["strand"]):
                if n_before[end] > n_before[start]:
                    with_n += 1  # fimo scores an N as 0; we skip the window
                else:
                    peers.add((m, start, 1 if strand == "+" else -1))
        lost = peers - mine
        assert not lost, f"{len(lost)} hits lost, such as {sorted(lost)[:3]}"
        extra = len(mine) - len(peers)
        assert extra <= 0.001 * len(mine), f"{extra} hits the peer does not have"
        return (
            f"none of {len(peers)} hits lost, {extra} more at the cut itself ({with_n} windows with"
            " N left out)"
        )

    row = compare(
        "row 6: hits at p = 1e-4, no hit lost",
        lambda: scan(codes, pwms, cuts, dedup=False, threads=1),
        lambda: fimo(named, one_hot, threshold=1e-4),
        check=check,
        goal=2,
        stretch=8,
        peer_name="memelite fimo",
        setup_note=(
            f"{len(text)} bp of hg19 chr20, {len(motifs)} motifs, both strands, fimo's scores and"
            " cuts; arrays out on our side, data frames on the peer's"
        ),
        threads=1,
    )
    write_row(row, arguments.out)


if __name__ == "__main__":
    main()
