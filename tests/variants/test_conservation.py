"""Conservation beside variants: which bases are read, and what is said where nothing is known."""

import numpy as np
import pytest

from epilm.errors import InputError, UsageError
from epilm.genome.signals import write_bigwig
from epilm.variants.conservation import conservation_of
from epilm.variants.haplotypes import Change
from epilm.variants.score import score_variants

LETTERS = "ACGTTGCAAC" * 20
CHANGES = [
    Change("chr1", 150, "ACG", ""),
    None,
    Change("chr1", 12, "G", "T"),
    Change("chr1", 20, "", "TT"),
    Change("chr1", 190, "A", "C"),
    Change("chr1", 0, "", "TT"),
]


class Genome:
    sizes = {"chr1": 200, "chr2": 200}  # noqa: RUF012


def bigwig(path, last=160, chroms=("chr1",), size=200):
    """A value a base: its number."""
    sizes = dict.fromkeys(chroms, size)
    at = np.arange(last)
    write_bigwig(path, sizes, ((chrom, at, at + 1, at.astype(float)) for chrom in chroms))
    return path


def test_the_mean_is_of_the_changed_bases_and_of_both_beside_an_insertion(tmp_path):
    values, notes = conservation_of(bigwig(tmp_path / "p.bw"), CHANGES, Genome())
    assert values[[0, 2, 3, 5]].tolist() == [151, 12, 19.5, 0]
    assert np.isnan(values[[1, 4]]).all()
    assert notes == ["p.bw says nothing about 1 of 5 variants"]


def test_far_changes_and_other_chromosomes(tmp_path, monkeypatch):
    from epilm.variants import conservation

    monkeypatch.setattr(conservation, "_APART", 3)
    more = [*CHANGES, Change("chr2", 5, "A", "C")]
    values, notes = conservation_of(bigwig(tmp_path / "p.bw"), more, Genome())
    assert values[[0, 2, 3, 5]].tolist() == [151, 12, 19.5, 0]
    assert np.isnan(values[6])
    assert notes[-1] == "p.bw has no chr2"


def test_another_assembly_is_refused(tmp_path):
    with pytest.raises(InputError, match="named differently than in the track"):
        conservation_of(bigwig(tmp_path / "a.bw", chroms=("1",)), CHANGES, Genome())
    with pytest.raises(InputError, match=r"chr1.*199"):
        conservation_of(bigwig(tmp_path / "b.bw", size=199), CHANGES, Genome())


def test_it_is_a_column_with_no_model_at_all(tmp_path):
    (tmp_path / "g.fa").write_text(f">chr1\n{LETTERS}\n")
    (tmp_path / "v.tsv").write_text("chrom\tpos\tref\talt\nchr1\t13\tG\tT\nchr1\t13\tG\t<DEL>\n")
    given = {"genome": tmp_path / "g.fa", "conservation": bigwig(tmp_path / "p.bw")}
    done = score_variants(
        tmp_path / "v.tsv", out=tmp_path / "o.tsv", say=lambda line: None, **given
    )
    assert done.reasons == ["", "symbolic"]
    rows = [line.split("\t") for line in (tmp_path / "o.tsv").read_text().splitlines()]
    assert [row[-1] for row in rows] == ["conservation", "12", "."]
    for options, message in (
        ({"window": 90}, "--window says nothing here"),
        ({"grid": 4}, "--grid says nothing here"),
        ({"null": 3}, "--null ranks scores"),
    ):
        with pytest.raises(UsageError, match=message):
            score_variants(tmp_path / "v.tsv", **given, **options)
