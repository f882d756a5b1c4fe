"""`epilm explain` whole: files in; tables, tracks, pictures and a page out; refusals by name."""

import csv
import json

import numpy as np
import pytest

from epilm.cli import main
from epilm.errors import CheckpointError, InputError, UsageError
from epilm.explaining.explain import explain
from epilm.genome.signals import open_signal
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from toy_explained import DNA, frame, louder, subject

LETTERS = "ACGTN"


def write_fasta(path, codes):
    text = "".join(LETTERS[code] for code in codes)
    path.write_text(f">one\n{text}\n")
    return path


def test_the_map_says_what_each_changed_sequence_scores_alone(tmp_path):
    codes = frame(24, n_at=(5,)).codes
    made = subject("dna")
    done = explain(made, fasta=write_fasta(tmp_path / "a.fa", codes), out=tmp_path / "why")
    here = frame(24, n_at=(5,), more=0)
    whole = made.score(codes[None], here)[0]
    table = done.maps[0].changes
    for at, base in ((0, 3), (11, 0), (23, 2)):
        changed = codes.copy()
        changed[at] = base
        alone = made.score(changed[None], here)[0]
        assert table[base, at] == pytest.approx(alone - whole, abs=1e-5)
    assert np.isnan(table[:, 5]).all()
    rows = list(csv.DictReader((tmp_path / "why/bases.tsv").open(), delimiter="\t"))
    assert [row["base"] for row in rows] == [LETTERS[code] for code in codes]
    assert [int(row["pos"]) for row in rows] == list(range(24))


def test_the_command_writes_tables_tracks_pictures_and_a_page(tmp_path, capsys):
    folder = tmp_path / "model"
    save_model(folder, louder(build_model(DNA, seed=1)), DNA, {})
    fasta = write_fasta(tmp_path / "a.fa", frame(20).codes)
    words = ["explain", str(folder), "--fasta", str(fasta), "--out", str(tmp_path / "why")]
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["regions"], said["bases"], said["output"]) == (1, 20, "llr")
    names = {path.name for path in (tmp_path / "why").iterdir()}
    assert {"map.tsv", "bases.tsv", "scores.bedgraph", "report.html", "explain.json"} <= names
    assert any(name.endswith(".png") for name in names)
    assert main(words) == 1  # the folder is there
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--regions"),
        ({"factor": "CTCF", "fasta": "a.fa"}, r"--factor: it says which planted sites count"),
        ({"fasta": "a.fa", "method": "guess"}, "guess"),
    ],
)
def test_what_cannot_be_explained_is_refused(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    write_fasta(tmp_path / "a.fa", frame(20).codes)
    with pytest.raises((UsageError, InputError), match=message):
        explain(subject("dna"), out=tmp_path / "why", **options)
    assert not (tmp_path / "why").exists()


def test_a_run_that_is_not_there_is_said_before_its_options(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere"):
        explain(tmp_path / "nowhere", "r.bed", store="s", cell="c")


def genome_and_genes(folder, length=60):
    codes = np.random.default_rng(3).integers(0, 4, length)
    letters = "".join(LETTERS[code] for code in codes)
    (folder / "g.fa").write_text(f">chr1\n{letters}\n")
    (folder / "genes.bed").write_text("chr1\t20\t30\tRET\t0\t-\nchr1\t90\t99\tFAR\t0\t+\n")
    return {"genome": [folder / "g.fa"], "genes": folder / "genes.bed"}, letters


def test_a_gene_is_mapped_as_its_place_is_with_tracks_of_both_kinds_of_mutation(tmp_path):
    given, letters = genome_and_genes(tmp_path)
    made, window = subject("dna"), {"window": 20, "method": "mutations", "longest": 2}
    done = explain(made, gene=["ret"], flank=2, out=tmp_path / "why", **given, **window)
    region = done.maps[0].region
    assert (region.chrom, region.start, region.end, region.strand) == ("chr1", 18, 32, -1)
    place = explain(made, gene=["chr1:18-32"], genome=given["genome"], **window)
    np.testing.assert_array_equal(place.maps[0].changes, done.maps[0].changes)
    track = open_signal(tmp_path / "why/deletions.bw").read("chr1", 60)
    values = track[18:32]
    assert np.isnan(track[:18]).all()
    table = done.maps[0].deletions  # each base: the mean loss over the deletions that take it
    first = -np.mean([table[0, 0], table[1, 0]])
    second = -np.mean([table[0, 1], table[1, 0], table[1, 1]])
    assert values[:2] == pytest.approx([first, second], abs=1e-5)
    rows = list(csv.DictReader((tmp_path / "why/map.tsv").open(), delimiter="\t"))
    assert {(row["ref"], row["alt"]) for row in rows if row["pos"] == "18"} == {
        *((letters[18], base) for base in "ACGT" if base != letters[18]),
        (letters[18], "-"),
        (letters[18:20], "-"),
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gene": ["RTE"]}, r"no gene has this name.*RTE"),
        ({"gene": ["RET"], "genes": None}, "a gene is looked up in a file"),
        ({"gene": ["FAR"]}, "ends past its chromosome"),
        ({"gene": ["chr9:1-5"]}, "the genome has no such chromosome"),
        ({"gene": ["RET"], "regions": "r.bed"}, "Found --regions and --gene"),
        ({"regions": "r.bed"}, "--genes is of --gene"),
        ({"gene": ["RET"], "flank": -1}, "--flank: impossible value"),
    ],
)
def test_genes_that_cannot_be_mapped_are_refused(tmp_path, options, message):
    given, _ = genome_and_genes(tmp_path)
    with pytest.raises((UsageError, InputError), match=message):
        explain(subject("dna"), out=tmp_path / "why", **given | options)
    assert not (tmp_path / "why").exists()
