"""`epilm explain` whole: files in; tables, tracks, pictures and a page out; refusals by name."""

import csv
import json

import numpy as np
import pytest

from epilm.cli import main
from epilm.errors import CheckpointError, InputError, UsageError
from epilm.explaining.explain import explain
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
