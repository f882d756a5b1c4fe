"""Which genes learn, choose and judge: chromosomes, paralogs, borders, overlapping genes."""

import numpy as np
import pytest

from epilm.errors import InputError, UsageError
from epilm.genome.transcripts import Transcript
from epilm.tasks.splice.splice_parts import parts_of

NONE = np.zeros(0, np.int64)


def gene(chrom, start, paralog=False, length=10):
    return Transcript(f"{chrom}:{start}", chrom, "+", start, start + length, NONE, NONE, paralog)


ROWS = [gene(f"chr{c}", s, c % 2 == 0) for c in (1, 2, 3, 4, 10) for s in (0, 100, 200)]


def parts(rows=ROWS, **how):
    out, notes = parts_of(rows, where="t", **how)
    return {name: {rows[n].gene for n in np.flatnonzero(out == name)} for name in set(out)}, notes


def test_spliceai_s_chromosomes_are_the_test_where_none_are_named():
    found, _ = parts(valid=("chr4",))
    assert found["test"] == {f"chr{c}:{s}" for c in (1, 3) for s in (0, 100, 200)}
    assert found["valid"] == {f"chr4:{s}" for s in (0, 100, 200)}
    bare = [row._replace(chrom=row.chrom[3:]) for row in ROWS]
    assert len(parts(bare, valid=("4",))[0]["test"]) == 6
    with pytest.raises(UsageError, match="--test: no gene lies on SpliceAI's chromosomes"):
        parts([gene("chr20", 0), gene("chr22", 0)])


def test_paralogs_may_be_learned_but_not_tested():
    how = {"test": ("chr1", "chr2"), "valid": ("chr3",)}
    learned, notes = parts(**how)
    assert {g[:4] for g in learned["test"]} == {"chr1"}
    assert {g.split(":")[0] for g in learned["train"]} == {"chr4", "chr10"}
    assert notes == ["3 genes of the test with a paralog left out"]
    assert len(parts(**how, paralogs="everywhere")[0]["test"]) == 6
    with pytest.raises(InputError, match="the train part is empty.*9 genes with a paralog"):
        parts(**how, paralogs="nowhere")


def test_an_annotation_that_does_not_know_paralogs_is_said_to():
    rows = [row._replace(paralog=None) for row in ROWS]
    _, notes = parts(rows, valid=("chr4",))
    assert "whether a gene has a paralog is not said" in notes[0]


def test_a_gene_on_a_border_is_in_no_part():
    rows = [row._replace(paralog=False) for row in ROWS]
    found, notes = parts(rows, test=("chr10:0-105",), valid=("chr4",))
    assert found["test"] == {"chr10:0"}
    assert found[""] == {"chr10:100"}
    assert "1 genes on the border of a part left out" in notes


def test_a_tenth_of_the_genes_chooses_overlapping_ones_together_whatever_else_is_there():
    rows = [gene("chr2", 100 * n + o, length=30) for n in range(300) for o in (0, 20)]
    rows += [gene("chr1", 0)]
    found, _ = parts(rows, seed=3)
    starts = {int(name.split(":")[1]) for name in found["valid"]}
    assert {s // 100 for s in starts} == {s // 100 for s in starts if s % 100 == 20}
    assert 20 < len(starts) / 2 < 42
    fewer, _ = parts([*rows[100:]], seed=3)
    later = {name for name in found["valid"] if int(name.split(":")[1]) >= 5000}
    assert fewer["valid"] == later
    assert parts(rows, seed=4)[0]["valid"] != found["valid"]


def test_chromosomes_without_genes_and_empty_parts_are_refused():
    with pytest.raises(InputError, match=r"--test, t: no gene lies on the chromosome named"):
        parts(test=("chr7",))
    with pytest.raises(InputError, match="the train part is empty"):
        parts(test=("chr1",), valid=("chr2", "chr3", "chr4", "chr10"), paralogs="everywhere")
    with pytest.raises(InputError, match="all genes of train overlap"):
        parts([gene("chr1", 0), gene("chr2", 0), gene("chr2", 5)])
