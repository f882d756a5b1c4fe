"""The whole road of splice sites: learn, go on after a kill, calibrate, predict transcripts and
chromosomes, evaluate, refuse.
"""

import json

import numpy as np
import pytest
import torch

from epilm.cli import main
from epilm.errors import InputError, UsageError
from epilm.finetuning.evaluate import evaluate
from epilm.finetuning.finetuned import load_finetuned
from epilm.finetuning.predict import predict
from epilm.finetuning.scorer import open_scorer
from epilm.genome.signals import open_signal
from epilm.training.epochs import Epochs
from toy_splice import LETTERS, SHORT, Genome, reverse, short_run, spliced, world, write

QUIET = {"device": "cpu", "say": lambda line: None}


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A run that has learned the toy world's sites, on disk."""
    folder = tmp_path_factory.mktemp("splice")
    result, lines = short_run(
        folder, folder / "run", epochs=12, lr=5e-3, beside=("dinucleotide", "sitematrix")
    )
    return folder, result, lines


def rows_of(path):
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def true_sites(chrom):
    """(position, strand, class) of the toy world, by its table."""
    out = set()
    for line in world()[1]:
        _, _, where, strand, *_, left, right = line.split("\t")
        if where == chrom:
            words = ("donor", "acceptor") if strand == "+" else ("acceptor", "donor")
            for word, column in zip(words, (left, right), strict=True):
                out |= {(int(t) - 1, strand, word) for t in column.split(",") if t}
    return out


def surest(rows, chrom):
    """Top-k of a table of sites: the share of true ones among as many as there are."""
    mine = [row for row in rows if row["chrom"] == chrom]
    mine.sort(key=lambda row: -float(row["probability"]))
    true = true_sites(chrom)
    first = {(int(r["start"]), r["strand"], r["site"]) for r in mine[: len(true)]}
    return len(first & true) / len(true)


def test_it_learns_where_transcripts_are_spliced_and_beats_two_letters(learned):
    _, result, lines = learned
    scores = result.tables["test"]
    assert scores["mean"]["top_k"] > 0.9
    assert scores["mean"]["ap"] > 0.95
    assert set(scores) == {"acceptor", "donor", "mean"}
    assert set(result.beside) == {"dinucleotide", "sitematrix"}
    assert scores["mean"]["ap"] > result.beside["dinucleotide"]["test"]["mean"]["ap"]
    counted = "genes.txt: 4 genes of test, 384 bases in 8 blocks, 12 acceptors and 12 donors"
    assert counted in lines
    assert any("of the test with a paralog left out" in line for line in lines)
    assert any("stand before GT" in line for line in lines)


def test_a_temperature_is_fitted_on_the_valid_part_and_kept(learned):
    folder, _, lines = learned
    opened = load_finetuned(folder / "run")
    temperature = opened.about["labels"]["temperature"]
    assert temperature != 1.0
    assert opened.labels.temperature == temperature
    assert any(line.startswith(f"temperature {temperature:.3f}, fitted on") for line in lines)
    # what the model says is the softmax of its logits over the temperature
    logits = torch.tensor([[[1.0, 0.0, -1.0]]])
    said = opened.labels.probabilities(logits)
    torch.testing.assert_close(said, (logits.double() / temperature).softmax(-1))


def test_a_run_that_was_killed_goes_on_bit_for_bit(tmp_path, monkeypatch):
    whole, _ = short_run(tmp_path / "a", tmp_path / "whole", epochs=3)
    save, count = Epochs._save, []

    def killed(self, epoch):
        save(self, epoch)
        count.append(epoch)
        if len(count) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Epochs, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        short_run(tmp_path / "a", tmp_path / "cut", epochs=3)
    again, lines = short_run(tmp_path / "a", tmp_path / "cut", epochs=3)
    assert "going on after epoch 1 of 3" in lines
    for (name, one), two in zip(
        whole.model.network.state_dict().items(),
        again.model.network.state_dict().values(),
        strict=True,
    ):
        assert torch.equal(one, two), name
    assert json.dumps(whole.tables, sort_keys=True) == json.dumps(again.tables, sort_keys=True)


def test_a_heavier_site_is_another_loss_and_another_model(tmp_path):
    plain, _ = short_run(tmp_path, epochs=1)
    heavy, _ = short_run(tmp_path, epochs=1, site_weight=10.0)
    assert heavy.history[0]["loss"] > plain.history[0]["loss"]


def test_whole_chromosomes_are_answered_once_on_either_strand_whatever_the_block(learned):
    folder, *_ = learned
    how = {"genome": folder / "genome.fa", "chroms": ("chr1",), "threshold": 0.01} | QUIET
    tables = []
    for block in (None, 37):
        out = folder / f"sites{block}.tsv"
        more = {} if block is None else {"block": block, "batch_size": 2}
        done = predict(folder / "run", None, out, tracks=str(folder / f"t{block}"), **how, **more)
        size = world()[0].sizes["chr1"]
        assert done.bases == 2 * size
        tables.append(rows_of(out))
        assert done.sites == {
            word: sum(row["site"] == word for row in tables[-1]) for word in ("acceptor", "donor")
        }
    key = ("start", "strand", "site")
    first, second = ({tuple(row[k] for k in key) for row in table} for table in tables)
    assert first == second
    assert len(first) == len(tables[0])  # none twice
    assert surest(tables[0], "chr1") > 0.8
    for word in ("acceptor.plus", "donor.minus"):
        a, b = (open_signal(f"{folder}/t{n}.{word}.bw").read("chr1", size) for n in (None, 37))
        np.testing.assert_allclose(np.nan_to_num(a), np.nan_to_num(b), atol=1e-4)


def test_a_region_is_answered_as_within_the_whole(learned):
    folder, *_ = learned
    how = {"genome": folder / "genome.fa", "threshold": 0.2} | QUIET
    predict(folder / "run", None, folder / "w.tsv", chroms=("chr2",), **how)
    predict(folder / "run", None, folder / "r.tsv", chroms=("chr2:100-300",), **how)
    whole = [row for row in rows_of(folder / "w.tsv") if 100 <= int(row["start"]) < 300]

    def plain(rows):
        return sorted(
            (r["start"], r["strand"], r["site"], f"{float(r['probability']):.3f}") for r in rows
        )

    assert plain(rows_of(folder / "r.tsv")) == plain(whole) != []


def test_transcripts_and_sequences_are_predicted_along_their_own_strand(learned):
    folder, *_ = learned
    how = {"threshold": 0.01} | QUIET
    source = folder / "genes.txt"
    predict(folder / "run", source, folder / "g.tsv", genome=folder / "genome.fa", **how)
    rows = rows_of(folder / "g.tsv")
    assert surest(rows, "chr1") > 0.8
    genes = {line.split("\t")[0]: line.split("\t") for line in world()[1]}
    assert all(int(genes[r["gene"]][4]) <= int(r["end"]) <= int(genes[r["gene"]][5]) for r in rows)
    codes, ends, starts = spliced(np.random.default_rng(5))
    (folder / "s.fa").write_text(f">x\n{LETTERS[codes].tobytes().decode()}\n")
    predict(folder / "run", folder / "s.fa", folder / "s.tsv", **how)
    rows = sorted(rows_of(folder / "s.tsv"), key=lambda row: -float(row["probability"]))
    true = {(at, "donor") for at in ends} | {(at, "acceptor") for at in starts}
    assert len({(int(r["start"]), r["site"]) for r in rows[:6]} & true) >= 5


def test_the_other_strand_of_a_genome_is_the_same_answer_turned_round(learned):
    """An independent check of coordinates: the genome reversed, its answers turned back."""
    folder, *_ = learned
    codes = world()[0].codes("chr1")
    size, said = len(codes), {}
    for name, bases in (("as", codes), ("turned", reverse(codes))):
        out = folder / f"{name}.tsv"
        genome = Genome({"chr1": bases})
        predict(folder / "run", None, out, genome=genome, chroms=("chr1",), threshold=0.2, **QUIET)
        said[name] = {(int(r["start"]), r["strand"], r["site"]) for r in rows_of(out)}
    turned = {(size - 1 - at, "+-"[strand == "+"], site) for at, strand, site in said["turned"]}
    assert turned == said["as"]


def test_evaluating_the_test_part_again_gives_the_scores_of_the_run(learned):
    folder, result, _ = learned
    kept = evaluate(folder / "run", **QUIET | {"device": "auto"})
    assert kept.tables["test"]["mean"]["ap"] == result.tables["test"]["mean"]["ap"]
    assert "sitematrix" in kept.text()
    data = folder / "genes.txt"
    how = {"genome": folder / "genome.fa", "split": "chromosome", "test": ("chr1",)} | QUIET
    again = evaluate(folder / "run", data=data, **how)
    for name in ("acceptor", "donor"):
        for key in ("ap", "top_k", "positives"):
            assert again.tables["test"][name][key] == pytest.approx(
                result.tables["test"][name][key], abs=1e-6
            )
    rule = again.beside["GT..AG"]["test"]["mean"]["ap"]
    assert rule < again.tables["test"]["mean"]["ap"]
    every = evaluate(folder / "run", data=data, genome=folder / "genome.fa", **QUIET)
    assert any("the model learned from genes of chr2, chr4" in line for line in every.warnings)


def test_a_trunk_says_the_same_of_transcripts_in_any_batch(tmp_path):
    result, _ = short_run(tmp_path, checkpoint="random", k=3, epochs=1, context=20)
    assert result.model.about["head"]["stride"] == 1
    several, one = (open_scorer(result.model, batch_size=n, device="cpu") for n in (8, 1))
    examples = result.lesson.examples
    a, b = (np.concatenate(list(scorer(examples))) for scorer in (several, one))
    np.testing.assert_allclose(a, b, atol=1e-6)
    assert a.shape == (len(examples), 50, 3)


def test_a_context_beyond_the_trunk_enlarges_it_and_opens_again(tmp_path):
    result, lines = short_run(
        tmp_path, tmp_path / "run", checkpoint="random", k=3, epochs=1, context=600, batch_size=2
    )
    assert any("a context of 600 bp needs chunks of" in line for line in lines)
    opened = load_finetuned(tmp_path / "run")
    examples = result.lesson.examples
    a, b = (
        np.concatenate(list(open_scorer(each, device="cpu")(examples)))
        for each in (result.model, opened)
    )
    np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"genome": None}, InputError, "transcripts need the genome that they lie on"),
        ({"context": 90}, UsageError, "--context: the dilated network has no such context"),
        ({"test": ("chr9",)}, InputError, "no gene lies on the chromosome named"),
        ({"beside": ("gc",)}, UsageError, "--beside: unknown baseline of answers to bases"),
        ({"window_bp": 9}, UsageError, "no such option. Found --window-bp, an option of binding"),
    ],
)
def test_what_cannot_be_learned_is_refused(tmp_path, more, error, message):
    with pytest.raises(error, match=message):
        short_run(tmp_path, **more)


def test_genes_of_chromosomes_that_the_genome_lacks_are_counted(tmp_path):
    _, table = write(tmp_path)
    lines = table.read_text()
    table.write_text(lines + lines.splitlines()[0].replace("chr1", "chr77") + "\n")
    genome = world()[0]
    from epilm.finetuning.finetune import finetune

    said = []
    how = SHORT | {"genome": genome, "epochs": 1}
    finetune("splice", table, checkpoint="dilated", say=said.append, **how)
    assert any("1 genes on chromosomes that the genome lacks left out (chr77)" in s for s in said)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"out": None}, "sites are written to a file"),
        ({"threshold": 0.0}, "--threshold: impossible value"),
        ({"genome": None}, "nothing to predict is named"),
        ({"chroms": ("chr8",)}, "--chroms: the genome has no such chromosome. Found chr8"),
        ({"chroms": ("chr1:0-50", "chr1:40-90")}, "a part of a chromosome is named twice"),
        ({"block": 0}, "--block: impossible value"),
        ({"source": "genes.txt", "tracks": "p"}, "--tracks is for whole chromosomes"),
        ({"source": "genes.txt", "chroms": ("chr1",)}, "--chroms is for whole chromosomes"),
    ],
)
def test_what_cannot_be_predicted_is_refused(learned, arguments, message):
    folder, *_ = learned
    values = {"source": None, "out": folder / "no.tsv", "genome": folder / "genome.fa"} | arguments
    source = values.pop("source")
    source = None if source is None else folder / source
    with pytest.raises((UsageError, InputError), match=message):
        predict(folder / "run", source, values.pop("out"), **values, **QUIET)
    assert not (folder / "no.tsv").exists()


def test_the_command_line_does_the_same(learned, capsys):
    folder, *_ = learned
    run, genome = str(folder / "run"), str(folder / "genome.fa")
    out = str(folder / "cli.tsv.gz")
    assert main(["predict", run, "--genome", genome, "--chroms", "chr1", "--out", out]) == 0
    assert "acceptors" in capsys.readouterr().out
    data = str(folder / "genes.txt")
    assert main(["evaluate", run, "--data", data, "--genome", genome, "--device", "cpu"]) == 0
    assert "GT..AG" in capsys.readouterr().out
    assert main(["evaluate", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["test"]["donor"]["positives"] == 12
    assert main(["report", run]) == 0
