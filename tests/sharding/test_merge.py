"""What one process writes and what three shards do, joined: the same bytes, from the command line.
And parts that are no whole are refused, each with its message.
"""

import json
import shutil

import numpy as np
import pytest

from epilm.cli import main
from epilm.genome.sequence import decode
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from toy_binding import quick as quick_binding
from toy_binding import toy_store
from toy_sequences import planted, quick

SPEC = ModelSpec(
    name="dnabert",
    streams=("dna",),
    k=3,
    encoder=EncoderSpec(hidden=16, layers=1, heads=2, ffn=16, max_positions=64),
    max_tokens=64,
    next_segment="none",
    projection="none",
    projection_dim=16,
)


def epilm(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A fine-tuned run, another one, sequences, a genome, a pre-trained model, variants."""
    folder = tmp_path_factory.mktemp("world")
    rows = planted(40, ragged=True)
    for seed, name in enumerate(("run", "other")):
        quick(rows, folder / name, checkpoint="cnn", seed=seed, epochs=1)
    (folder / "s.fa").write_text("".join(f">s{n}\n{rows.text(n)}\n" for n in range(30)))
    letters = decode(np.random.default_rng(1).integers(0, 4, 1500).astype(np.uint8))
    (folder / "g.fa").write_text(f">chr1\n{letters}\n")
    save_model(folder / "model", build_model(SPEC, seed=1).eval(), SPEC, {})
    lines = ["chrom\tpos\tid\tref\talt"]
    for at in range(100, 1400, 90):
        lines.append(f"chr1\t{at + 1}\tv{at}\t{letters[at]}\t{'A' if letters[at] != 'A' else 'C'}")
    (folder / "v.tsv").write_text("\n".join(lines) + "\n")
    return folder


def predict_words(world, run="run"):
    return ["predict", world / run, world / "s.fa", "--batch-size", 4, "--device", "cpu"]


def shards(words, out, n=3):
    for i in range(1, n + 1):
        assert epilm(*words, "--shard", f"{i}/{n}", "--out", out) == 0
    return out


@pytest.fixture(scope="module")
def parts(world, tmp_path_factory):
    """Three whole parts of a prediction; a test copies them."""
    return shards(predict_words(world), tmp_path_factory.mktemp("whole") / "parts")


def test_three_shards_of_a_prediction_are_one_process(world, parts, tmp_path, capsys):
    assert epilm(*predict_words(world), "--out", tmp_path / "one.tsv") == 0
    assert epilm("merge", parts, "--out", tmp_path / "merged.tsv") == 0
    assert "30 sequences, by class" in capsys.readouterr().out
    assert (tmp_path / "merged.tsv").read_bytes() == (tmp_path / "one.tsv").read_bytes()
    held = [json.loads((parts / f"part-{i}-of-3" / "part.json").read_text()) for i in (1, 2, 3)]
    assert [each["done"] for each in held] == [3, 3, 2]  # batches of 4 of 30 sequences
    # The parts themselves, in any order.
    named = [parts / f"part-{i}-of-3" for i in (3, 1, 2)]
    assert epilm("merge", *named, "--out", tmp_path / "again.tsv", "--json") == 0
    assert json.loads(capsys.readouterr().out)["sequences"] == 30
    assert (tmp_path / "again.tsv").read_bytes() == (tmp_path / "one.tsv").read_bytes()


def test_three_shards_of_bins_are_one_process_in_every_format(tmp_path):
    store = toy_store(tmp_path / "store")
    quick_binding(store, out=tmp_path / "run", epochs=1)
    words = ["predict", tmp_path / "run", "--store", store.path, "--cell", "typeA"]
    words += ["--chroms", "chr3", "--batch-size", 50, "--device", "cpu"]
    parts = shards(words, tmp_path / "parts")
    for name in ("F.tab.gz", "F.bw"):
        assert epilm(*words, "--out", tmp_path / f"one.{name}") == 0
        assert epilm("merge", parts, "--out", tmp_path / f"merged.{name}") == 0
        one = (tmp_path / f"one.{name}").read_bytes()
        assert (tmp_path / f"merged.{name}").read_bytes() == one


@pytest.mark.parametrize("name", ["scored.tsv.gz", "scored.vcf"])
def test_three_shards_of_variants_are_one_process(world, tmp_path, capsys, monkeypatch, name):
    monkeypatch.setattr("epilm.variants.score.PIECE", 4)
    monkeypatch.setattr("epilm.variants.variant_shards.PIECE", 4)
    words = ["score-variants", world / "v.tsv", "--model", world / "model"]
    words += ["--genome", world / "g.fa", "--null", 2, "--shifts", 0, 3, "--device", "cpu"]
    assert epilm(*words, "--out", tmp_path / name) == 0
    parts = shards(words, tmp_path / "parts")
    assert epilm("merge", parts, "--out", tmp_path / f"merged.{name}") == 0
    assert "15 of 15 alleles scored" in capsys.readouterr().out
    assert (tmp_path / f"merged.{name}").read_bytes() == (tmp_path / name).read_bytes()


def test_three_shards_of_an_explanation_are_one_process(world, tmp_path, monkeypatch, capsys):
    """All files of the folder, also where paths are typed from where one stands."""
    monkeypatch.chdir(world)
    (world / "few.fa").write_text("".join((world / "s.fa").read_text().splitlines(True)[:8]))
    words = ["explain", "run", "--fasta", "few.fa", "--null", 1, "--pictures", 0, "--device", "cpu"]
    assert epilm(*words, "--out", tmp_path / "why") == 0
    parts = shards(words, tmp_path / "parts")
    assert epilm("merge", parts, "--out", tmp_path / "merged") == 0
    assert "ism of 1: 4 regions" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "why").iterdir())
    assert sorted(path.name for path in (tmp_path / "merged").iterdir()) == names
    for name in names:
        one = (tmp_path / "why" / name).read_bytes()
        assert (tmp_path / "merged" / name).read_bytes() == one, name
    assert epilm("merge", parts, "--out", tmp_path / "merged") == 1
    assert "the folder exists already" in capsys.readouterr().err
    assert epilm("merge", parts, "--out", tmp_path / "merged", "--overwrite") == 0
    assert epilm(*words, "--method", "inputs", "--shard", "1/2", "--out", parts) == 2
    assert "not computed in shards. Found --method inputs" in capsys.readouterr().err


def test_local_processes_are_one_process(world, tmp_path, capsys):
    words = predict_words(world)
    assert epilm(*words, "--out", tmp_path / "one.tsv") == 0
    out = tmp_path / "two.tsv"
    assert epilm(*words, "--out", out, "--executor", "local", "--jobs", 2) == 0
    assert out.read_bytes() == (tmp_path / "one.tsv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.tsv", "two.tsv"]


def test_a_part_that_is_there_is_not_computed_again(world, parts, capsys):
    capsys.readouterr()
    assert epilm(*predict_words(world), "--shard", "2/3", "--out", parts) == 0
    assert "part-2-of-3 is there already: nothing to do" in capsys.readouterr().out


def missing(parts, world):
    shutil.rmtree(parts / "part-2-of-3")
    return [parts]


def doubled(parts, world):
    twin = parts.parent / "twin" / "part-1-of-3"
    shutil.copytree(parts / "part-1-of-3", twin)
    return [parts, twin]


def foreign_model(parts, world):
    shutil.rmtree(parts / "part-2-of-3")
    assert epilm(*predict_words(world, "other"), "--shard", "2/3", "--out", parts) == 0
    return [parts]


def foreign_data(parts, world):
    shutil.rmtree(parts / "part-2-of-3")
    words = predict_words(world)
    words[2] = parts.parent / "t.fa"
    words[2].write_text((world / "s.fa").read_text().replace("ACG", "ACT"))
    assert epilm(*words, "--shard", "2/3", "--out", parts) == 0
    return [parts]


def foreign_request(parts, world):
    shutil.rmtree(parts / "part-2-of-3")
    words = predict_words(world)
    words[words.index("--batch-size") + 1] = 5
    assert epilm(*words, "--shard", "2/3", "--out", parts) == 0
    return [parts]


def two_divisions(parts, world):
    assert epilm(*predict_words(world), "--shard", "1/2", "--out", parts) == 0
    return [parts]


def half_written(parts, world):
    (parts / "part-3-of-3" / ".complete").unlink()
    return [parts]


def cut(parts, world):
    file = parts / "part-3-of-3" / "values-000000.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    return [parts]


def flipped(parts, world):
    file = parts / "part-3-of-3" / "values-000000.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    return [parts]


def renamed(parts, world):
    (parts / "part-3-of-3").rename(parts / "part-2-of-3-")
    (parts / "part-1-of-3").rename(parts / "part-3-of-3")
    return [parts]


def none(parts, world):
    shutil.rmtree(parts)
    parts.mkdir()
    return [parts]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (missing, "1 of 3 shards are missing. Found no part-2-of-3. Run the same command"),
        (doubled, "a shard is there twice. Found"),
        (foreign_model, "part-2-of-3: the parts are of different models. Found"),
        (foreign_data, "part-2-of-3: the parts are of different data. Found source"),
        (
            foreign_request,
            "part-2-of-3: the parts were asked different things. Found batch_size 5; expected"
            " batch_size 4, as",
        ),
        (two_divisions, "the parts are of two divisions. Found part-1-of-3; expected one of 2"),
        (half_written, "part-3-of-3: the part is not whole. Found no .complete, which is"),
        (cut, "values-000000.safetensors: the part is not whole. Found"),
        (flipped, "values-000000.safetensors: the part is not whole. Found"),
        (renamed, "part-3-of-3: the part was renamed. Found part-1-of-3. Call it part-1-of-3"),
        (none, "parts: there are no parts in it. Expected folders part-1-of-N to part-N-of-N"),
    ],
)
def test_parts_that_are_no_whole_are_refused(world, parts, tmp_path, capsys, spoil, said):
    copy = tmp_path / "parts"
    shutil.copytree(parts, copy)
    given = spoil(copy, world)
    capsys.readouterr()
    assert epilm("merge", *given, "--out", tmp_path / "m.tsv") == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "m.tsv").exists()


def test_a_model_that_changed_since_is_refused(world, tmp_path, capsys):
    shutil.copytree(world / "run", tmp_path / "run")
    words = predict_words(world)
    words[1] = tmp_path / "run"
    parts = shards(words, tmp_path / "parts", 1)
    shutil.rmtree(tmp_path / "run")
    shutil.copytree(world / "other", tmp_path / "run")
    capsys.readouterr()
    assert epilm("merge", parts, "--out", tmp_path / "m.tsv") == 1
    assert "the model changed since the parts were made" in capsys.readouterr().err
    # And another request does not take the place of a part that is there.
    assert epilm(*words, "--shard", "1/1", "--out", parts) == 1
    assert "this command: the parts are of different models" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shard", "4/3", "--out", "p"], "--shard: not a shard. Found 4/3"),
        (["--shard", "1/3"], "the parts need a folder"),
        (["--jobs", 2], "--jobs: it says how many processes, and there is one. Found 2"),
        (["--executor", "local"], "what several processes say is written to a file"),
        (["--executor", "local", "--jobs", 0, "--out", "o"], "--jobs: impossible value. Found 0"),
        (["--executor", "local", "--shard", "1/2"], "--shard is one part of the work"),
    ],
)
def test_options_that_do_not_go_together(world, capsys, words, said):
    assert epilm(*predict_words(world), *words) == 2
    assert said in " ".join(capsys.readouterr().err.split())
