"""The inputs of the measurement of binding sites."""

from pathlib import Path

import numpy as np
from benchmarks.binding_sites import CUT, cut_peaks, write_collection, write_sets

from epilm.motifs.formats import read_motifs, write_jaspar
from epilm.motifs.motif import Motif


def test_peaks_move_with_their_bases_and_one_over_the_cut_is_left_out() -> None:
    lines = [
        f"chr20\t{CUT - 20}\t{CUT}\ta\n",
        f"chr20\t{CUT - 1}\t{CUT + 1}\tb\n",
        f"chr20\t{CUT}\t{CUT + 7}\tc\n",
        "chr22\t5\t9\td\n",
    ]
    assert list(cut_peaks(iter(lines))) == [lines[0], "chr20valid\t0\t7\tc\n"]


def test_left_out_are_the_named_motifs_and_their_reverse_complements(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rest, other = rng.multinomial(20, [0.7, 0.1, 0.1, 0.1], 12), rng.multinomial(20, [0.25] * 4, 12)
    rows = (("REST", rest), ("copy", rest[::-1, ::-1]), ("CTCF", other))
    motifs = [Motif(name, name, table.astype(float), True) for name, table in rows]
    said = write_collection(write_jaspar(motifs, tmp_path / "all"), tmp_path / "left")
    assert said == "left out 2 of 3 motifs: REST, copy"
    assert [motif.name for motif in read_motifs(tmp_path / "left")] == ["CTCF"]


def test_manifest_names_cell_factor_and_places(tmp_path: Path) -> None:
    write_sets(tmp_path, tmp_path / "sets.tsv")
    head, first, *rest = (tmp_path / "sets.tsv").read_text().splitlines()
    row = dict(zip(head.split("\t"), first.split("\t"), strict=True))
    assert len(rest) == 9
    assert row == {
        "name": "K562.CTCF",
        "task": "tfbs",
        "data": str(tmp_path / "K562.CTCF.conservative.narrowPeak.gz"),
        "negatives": "gc",
        "valid": "chr20:55000000-63025520",
        "test": "chr22",
        "factor": "CTCF",
    }
