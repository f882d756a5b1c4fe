"""Copies of each ALT, from a VCF and from PLINK files: what is not known is missing and counted."""

import numpy as np
import pytest

from epilm.cohorts import genotypes as module
from epilm.cohorts.genotypes import counts_text, open_genotypes, parse_call, usable_columns
from epilm.errors import InputError, UsageError
from epilm.tasks.reference import open_reference
from toy_cohort import LETTERS, OTHER, snv, write_genome, write_plink, write_vcf

NAN = np.nan


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return open_reference(write_genome(tmp_path_factory.mktemp("genome")))


def read(opened, columns=None):
    """Dosages, copies and unphased of columns, all blocks together."""
    columns = np.arange(len(opened.variants.alleles)) if columns is None else columns
    blocks = list(opened.blocks(columns))
    assert np.concatenate([b.columns for b in blocks]).tolist() == list(columns)
    return [
        np.concatenate([getattr(b, name) for b in blocks], 1)
        for name in ("dosages", "copies", "unphased")
    ]


def test_every_kind_of_call_is_counted_by_its_alt(tmp_path, genome):
    chrom, pos, ref, alt = snv(100)
    third = OTHER[alt]
    calls = ["0|1", "1/2", "2|2", "./.", "./1", "1", "0/1/1", "."]
    path = write_vcf(
        tmp_path / "a.vcf", list("abcdefgh"), [(chrom, pos, ref, f"{alt},{third}", calls)]
    )
    opened = open_genotypes(path, genome)
    dosages, copies, unphased = read(opened)
    np.testing.assert_array_equal(dosages[:, 0], [1, 1, 0, NAN, NAN, 1, NAN, NAN])
    np.testing.assert_array_equal(dosages[:, 1], [0, 1, 2, NAN, NAN, 0, NAN, NAN])
    assert copies[0, 0].tolist() == [0, 1]  # phased: the second haplotype has it
    assert copies[2, 1].tolist() == [1, 1]
    assert copies[3, 0].tolist() == [-1, -1]
    assert copies[5, 0].tolist() == [1, 1]  # one haplotype stands for both
    assert unphased[:, 0].tolist() == [False, True, *[False] * 6]
    assert dict(opened.counts) == {
        "calls": 8,
        "missing": 2,
        "half": 1,
        "haploid": 1,
        "polyploid": 1,
        "unphased": 1,
    }
    assert "1 half-calls (one copy known): taken as missing" in counts_text(opened.counts)


def test_other_fields_of_a_call_do_not_matter_and_no_genotypes_are_refused(tmp_path, genome):
    rows = [(*snv(100), ["3:0|1", "4:1|1"])]
    path = write_vcf(tmp_path / "a.vcf", ["a", "b"], rows, format="DP:GT")
    assert read(open_genotypes(path, genome))[0].ravel().tolist() == [1, 2]
    path = write_vcf(tmp_path / "b.vcf", ["a"], [(*snv(100), ["3"])], format="DP")
    with pytest.raises(InputError, match=r"b.vcf, record 1 \(chr1:100\): the record has no geno"):
        read(open_genotypes(path, genome))
    with pytest.raises(InputError, match="the file has variants and no people"):
        open_genotypes(write_vcf(tmp_path / "c.vcf", [], [(*snv(100), [])]), genome)


def test_blocks_do_not_change_what_is_read(tmp_path, genome, monkeypatch):
    rng = np.random.default_rng(0)
    words = ["0|0", "0|1", "1|0", "1|1", "./."]
    rows = [(*snv(p), [words[i] for i in rng.integers(0, 5, 6)]) for p in range(100, 200, 9)]
    opened = open_genotypes(write_vcf(tmp_path / "a.vcf", list("abcdef"), rows), genome)
    whole = read(opened)
    monkeypatch.setattr(module, "BLOCK", 2)
    for one, other in zip(whole, read(opened)):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(read(opened, [1, 4, 7])[0], whole[0][:, [1, 4, 7]])


@pytest.mark.parametrize("people", [4, 7])
def test_plink_counts_alt_whichever_allele_is_counted(tmp_path, genome, people):
    pytest.importorskip("bed_reader")
    rng = np.random.default_rng(people)
    wanted, rows = [], []
    for number, pos in enumerate(range(100, 190, 10)):
        chrom, pos, ref, alt = snv(pos)
        copies = [[0, 1, 2, None][i] for i in rng.integers(0, 4, people)]
        wanted.append([NAN if n is None else n for n in copies])
        if number % 3:  # A1 is ALT
            rows.append((chrom, pos, alt, ref, copies))
        else:
            turned = [None if n is None else 2 - n for n in copies]
            rows.append((chrom, pos, ref, alt, turned))
    bed = write_plink(tmp_path / "p", [f"s{i}" for i in range(people)], rows)
    for name in (bed, tmp_path / "p", tmp_path / "p.bim"):
        opened = open_genotypes(name, genome)
        np.testing.assert_array_equal(read(opened)[0].T, wanted)
    assert "A1, whose copies PLINK counts, is REF in 3 of 9 variants: turned" in opened.notes[0]
    assert [a.ref for a in opened.variants.alleles] == [LETTERS[p - 1] for p in range(100, 190, 10)]
    assert opened.counts["missing"] == int(np.isnan(np.array(wanted, float)).sum())
    assert len(usable_columns(opened, genome).numbers) == 9


def test_an_indel_of_which_the_genome_has_both_alleles_is_left_out(tmp_path, genome):
    pytest.importorskip("bed_reader")
    one, two = LETTERS[499], LETTERS[499:501]
    three = LETTERS[600:602] + OTHER[LETTERS[602]]
    rows = [
        ("chr1", 500, one, two, [0, 1]),
        ("chr1", 601, three, LETTERS[600], [0, 1]),
        ("chr1", 700, "0", LETTERS[699], [0, 0]),
    ]
    opened = open_genotypes(write_plink(tmp_path / "p", ["a", "b"], rows), genome)
    assert "1 insertions or deletions left out: the genome has both alleles" in opened.notes[0]
    assert usable_columns(opened, genome).numbers.tolist() == [1]


def test_another_assembly_is_refused(tmp_path, genome):
    pytest.importorskip("bed_reader")
    wrong = []
    for pos in range(100, 130):
        letters = sorted(set("ACGT") - {LETTERS[pos - 1]})
        wrong.append(("chr1", pos, letters[0], letters[1], [0, 1]))
    opened = open_genotypes(write_plink(tmp_path / "p", ["a", "b"], wrong), genome)
    with pytest.raises(InputError, match="REF is not what the genome has"):
        usable_columns(opened, genome)
    named = [("1", 100, *snv(100)[2:], [0, 1])]
    with pytest.raises(InputError, match="the chromosomes are named differently than in the geno"):
        open_genotypes(write_plink(tmp_path / "q", ["a", "b"], named), genome)


def test_a_haplotype_written_twice_counts_once(tmp_path, genome):
    chrom, pos, ref, alt = snv(100)
    longer = LETTERS[98] + ref, LETTERS[98] + alt
    rows = [(chrom, pos - 1, *longer, ["0|1"]), (chrom, pos, ref, alt, ["0|1"])]
    columns = usable_columns(
        open_genotypes(write_vcf(tmp_path / "a.vcf", ["a"], rows), genome), genome
    )
    assert (columns.numbers.tolist(), dict(columns.left_out)) == ([0], {"written_twice": 1})


def test_files_that_are_no_genotypes_are_told_apart(tmp_path, genome):
    intervals = tmp_path / "r.bed"
    intervals.write_text("chr1\t0\t10\n")
    (tmp_path / "r.bim").write_text("chr1 a 0 5 A C\n")
    (tmp_path / "r.fam").write_text("a a 0 0 0 0\n")
    with pytest.raises(InputError, match=r"not PLINK's .bed \(intervals have the same ending\)"):
        open_genotypes(intervals, genome)
    intervals.write_bytes(b"\x6c\x1b\x00\x00")
    with pytest.raises(InputError, match="the .bed has a row a person"):
        open_genotypes(intervals, genome)
    intervals.write_bytes(b"\x6c\x1b\x01\x00\x00")
    with pytest.raises(InputError, match="Found 5 bytes; expected 4 for 1 people and 1 variants"):
        open_genotypes(intervals, genome)
    (tmp_path / "r.fam").unlink()
    with pytest.raises(InputError, match="three files lie side by side, and one is missing"):
        open_genotypes(intervals, genome)
    with pytest.raises(UsageError, match="plink2 --make-bed"):
        open_genotypes(tmp_path / "x.pgen", genome)
    with pytest.raises(InputError, match="there is no such file"):
        open_genotypes(tmp_path / "x.bed", genome)


def test_a_call_is_read_by_its_letters():
    assert parse_call("10|0").first == 10
    assert parse_call("0/1").phased is False
    assert parse_call(".|1").kind == "half"
