"""Raw files of two chromosomes, and counts of cells."""

import numpy as np
import pytest
from scipy import sparse

from epilm.motifs.formats import write_jaspar
from epilm.motifs.motif import Motif
from toy_raw import LETTERS, bed


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two chromosomes, two peak files, three motifs, a blacklist, a contact map."""
    folder = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    with open(folder / "g.fa", "w") as handle:
        for name, length in (("chr1", 6000), ("chr2", 4000)):
            letters = LETTERS[rng.integers(0, 4, length)]
            letters[1000:1100] = "N"
            handle.write(f">{name}\n{''.join(letters)}\n")
    (folder / "peaks").mkdir()
    bed(
        folder / "peaks" / "X.bed",
        ["chr1"] * 4 + ["chr2"] * 2,
        [100, 500, 1080, 3000, 50, 2000],
        [300, 700, 1200, 3300, 250, 2300],
    )
    bed(
        folder / "peaks" / "Y.bed",
        ["chr1"] * 3 + ["chr2"],
        [250, 3000, 5000, 3000],
        [400, 3300, 5200, 3200],
    )
    bed(folder / "black.bed", ["chr1"], [5100], [5110])
    write_jaspar(
        [
            Motif(f"MA000{i}.1", f"F{i}", rng.integers(1, 50, (w, 4)).astype(float), True)
            for i, w in enumerate((6, 9, 12))
        ],
        folder / "m.jaspar",
    )
    (folder / "chr1.tsv").write_text(
        "".join(f"{a * 1000}\t{b * 1000}\t{9 - b + a}\n" for a in range(6) for b in range(a, 6))
    )
    return folder


@pytest.fixture(scope="module")
def counted(raw, tmp_path_factory):
    # protocols 3.1
    folder = tmp_path_factory.mktemp("counts")
    matrix = sparse.csr_array(np.array([[0, 2, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]))
    sparse.save_npz(folder / "m.npz", sparse.csr_matrix(matrix))
    bed(folder / "peaks.bed", ["chr1"] * 4, [100, 500, 2000, 3000], [300, 700, 2300, 3100])
    (folder / "cells.tsv").write_text("cell\tkind\n1\tX\n2\tX\n3\tY\n4\tY\n")
    return folder
