"""What motifs say of a variant: at a site's bases, nowhere beside; the largest of several."""

import numpy as np
import pytest

from epilm.variants.score import score_variants
from toy_variants import CPU, write_genome, write_table


def test_the_largest_change_of_a_motif_is_that_of_one_of_them(world, tmp_path):
    folder = world["folder"]
    motifs = (folder / "m.jaspar").read_text()
    (tmp_path / "two.jaspar").write_text(
        motifs + ">M2 E\nA [ 0 9 0 0 ]\nC [ 9 0 9 0 ]\nG [ 0 0 0 9 ]\nT [ 0 0 0 0 ]\n"
    )
    given = {"genome": folder / "g.fa", "motifs": tmp_path / "two.jaspar", "window": 64, **CPU}
    each = score_variants(folder / "v.tsv", **given)
    largest = score_variants(folder / "v.tsv", motif_columns="largest", **given)
    deltas = np.stack([each.values["motif_AP1_delta"], each.values["motif_E_delta"]])
    most = np.abs(deltas).argmax(0)
    expected = deltas[most, np.arange(len(most))]
    assert largest.values["motif_largest_delta"].tolist() == expected.tolist()
    assert largest.values["motifs_changed"] == pytest.approx(np.abs(deltas).sum(0))


def test_a_planted_site_is_hurt_at_its_own_bases_and_nowhere_beside(world, tmp_path):
    """1- against 0-based: the seven positions of TGACTCA, in both directions."""
    letters = "A" * 300 + "TGACTCA" + "A" * 300
    genome = write_genome(tmp_path / "g.fa", chr1=letters)
    rows = [["chr1", at + 1, at, letters[at], "C" if letters[at] == "A" else "A"]
            for at in range(290, 317)]  # fmt: off
    done = score_variants(
        write_table(tmp_path / "v.tsv", rows),
        genome=genome,
        motifs=world["folder"] / "m.jaspar",
        **CPU,
    )
    hurt = [int(rows[i][2]) for i, v in enumerate(done.values["motif_AP1_delta"]) if v < -1]
    assert hurt == list(range(300, 307))


def test_an_effect_of_one_base_peaks_at_that_base(tmp_path):
    """A motif that heeds its middle alone: one C among A, lost by no other substitution."""
    (tmp_path / "m.jaspar").write_text(
        ">M1 one\nA [ 9 0 9 ]\nC [ 9 36 9 ]\nG [ 9 0 9 ]\nT [ 9 0 9 ]\n"
    )
    letters = "A" * 100 + "C" + "A" * 100
    genome = write_genome(tmp_path / "g.fa", chr1=letters)
    rows = [["chr1", at + 1, at, letters[at], "T"] for at in range(90, 111)]
    done = score_variants(
        write_table(tmp_path / "v.tsv", rows),
        genome=genome,
        motifs=tmp_path / "m.jaspar",
        window=40,
        **CPU,
    )
    deltas = done.values["motif_one_delta"]
    assert [rows[i][2] for i in np.flatnonzero(deltas < 0)] == [100]
