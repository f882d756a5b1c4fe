"""Variants as what is explained: both haplotypes, as sequences written by hand would be."""

import csv

import numpy as np
import pytest

from epilm.errors import InputError, UsageError
from epilm.explaining.explain import explain
from epilm.explaining.opening import open_subject
from epilm.tasks.reference import StoreReference
from toy_explained import binding, subject
from toy_tracks import toy_track_store
from toy_variants import write_genome, write_table

RNG = np.random.default_rng(3)
BASES = "".join(RNG.choice(list("ACGT"), 120))


def other(base):
    return "ACGT"[("ACGT".index(base) + 1) % 4]


@pytest.fixture
def world(tmp_path):
    """A SNV, a deletion of two bases that can be moved no further, and what names no bases."""
    genome = write_genome(tmp_path / "g.fa", chr1=BASES)
    rows = [
        ("chr1", 61, "rs1", BASES[60], other(BASES[60])),
        ("chr1", 40, ".", BASES[39:42], BASES[39]),
        ("chr1", 50, ".", BASES[49], "<DEL>"),
    ]
    return genome, write_table(tmp_path / "v.tsv", rows)


def test_each_haplotype_is_explained_as_the_same_sequence_by_itself(world, tmp_path):
    genome, variants = world
    made = subject("dna")
    done = explain(made, variants=variants, genome=[genome], flank=10, say=lambda line: None)
    names = [each.region.name for each in done.maps]
    deletion = f"chr1:40:{BASES[39:42]}>{BASES[39]}"
    assert names == ["rs1 ref", "rs1 alt", f"{deletion} ref", f"{deletion} alt"]
    letters = ["".join("ACGTN"[code] for code in each.codes) for each in done.maps]
    changed = BASES[:60] + other(BASES[60]) + BASES[61:]
    assert letters[:2] == [BASES[50:71], changed[50:71]]
    assert (len(letters[2]), len(letters[3])) == (22, 20)
    assert letters[3] in BASES[:40] + BASES[42:]
    for each, text in zip(done.maps, letters, strict=True):
        (tmp_path / "one.fa").write_text(f">one\n{text}\n")
        alone = explain(made, fasta=tmp_path / "one.fa", say=lambda line: None)
        np.testing.assert_allclose(each.changes, alone.maps[0].changes, atol=1e-6)
    assert any("1 of 3 alleles: 1 a symbolic ALT" in note for note in done.notes)
    # The bases of REF lie on the genome, those of ALT nowhere.
    done.write(tmp_path / "why")
    with open(tmp_path / "why/bases.tsv", newline="") as file:
        chroms = {row["region"]: row["chrom"] for row in csv.DictReader(file, delimiter="\t")}
    assert chroms["rs1 ref"] == "chr1"
    assert chroms["rs1 alt"] == "rs1 alt"
    assert (tmp_path / "why/scores.bw").is_file()


def test_a_window_reaches_beyond_the_explained_bases_of_either_haplotype(world):
    genome, variants = world
    made = subject("dna")
    wide = explain(
        made, variants=variants, genome=[genome], flank=4, window=30, say=lambda line: None
    )
    alt = wide.maps[1]
    changed = BASES[:60] + other(BASES[60]) + BASES[61:]
    assert len(alt.codes) == 9
    window = np.array(["ACGT".index(base) for base in changed[45:75]], np.uint8)
    ((_, (frame,)),) = [made.frames(alt.region._replace(chrom="chr1"), window, 30, 45)]
    whole = made.score(window[None], frame)[0]
    mutated = window.copy()
    mutated[60 - 45] = "ACGT".index(BASES[60])  # back to REF
    back = made.score(mutated[None], frame)[0]
    assert alt.changes["ACGT".index(BASES[60]), 4] == pytest.approx(back - whole, abs=1e-5)


def test_a_model_of_places_reads_the_haplotype_at_its_place(tmp_path):
    store = toy_track_store(tmp_path / "s")
    codes = StoreReference(store).codes("chr1")
    at = next(n for n in range(400, 2000) if codes[n - 300 : n + 300].max() < 4)
    ref = "ACGT"[codes[at]]
    table = write_table(tmp_path / "v.tsv", [("chr1", at + 1, "rs1", ref, other(ref))])
    opened = open_subject(binding(), store=store, cell="typeA", output="CTCF", device="cpu")
    done = explain(opened, variants=table, store=store.path, cell="typeA", flank=3)
    one, two = done.maps
    swapped = codes[at]
    assert two.codes[3] == "ACGT".index(other(ref))
    # REF to ALT and ALT to REF are the same change, seen from either side.
    forth = one.changes[two.codes[3], 3]
    back = two.changes[swapped, 3]
    assert forth == pytest.approx(-back, abs=1e-5)


def test_what_cannot_be_explained_is_refused(world, tmp_path):
    genome, variants = world
    made = subject("dna")
    with pytest.raises(UsageError, match="--regions and --variants"):
        explain(made, tmp_path / "r.bed", variants=variants, genome=[genome])
    with pytest.raises(UsageError, match=r"v\.tsv: regions need the genome they lie on"):
        explain(made, variants=variants)
    none = write_table(tmp_path / "n.tsv", [("chr1", 50, ".", BASES[49], "<DEL>")])
    with pytest.raises(InputError, match="no variant can be explained. Found left out, 1 of 1"):
        explain(made, variants=none, genome=[genome])
