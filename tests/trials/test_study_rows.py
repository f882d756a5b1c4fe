"""Rows of a paper's table: models are pre-trained once for all arms that share them."""

import json

import numpy as np
import pytest

import toy_store
from epilm.cli import main
from epilm.errors import InputError, RecipeError, UsageError
from epilm.reporting import report
from epilm.trials.ablate import ablate
from epilm.trials.choices import LabFiles
from epilm.trials.descriptions import list_designs

MODELS = """
models:
  - name: mgm
    recipe: genebert_native
    size: tiny
    set: [samples.regions=2, model.k=3, model.max_tokens=34, model.encoder.layers=1, train.steps=1,
          objectives.matching.weight=0, objectives.next_segment.weight=0, train.batch_size=4,
          "model.tower.patch=[1,2]",
          train.validate_samples=0, train.checkpoint_every=1, optim.warmup_steps=1]
"""
LABELS = f"""
name: mine
measure: labels
task: sequences
published: "5"
{MODELS}
arms:
  - {{name: none, model: mgm, init: random}}
  - {{name: mgm, model: mgm, title: MGM}}
  - {{name: kmer, baseline: kmer}}
claims: [{{say: it helps, more: mgm, less: none}}]
finetune: {{epochs: 1, batch_size: 16, device: cpu, precision: fp32}}
"""
NEIGHBOURS = f"""
name: near
measure: neighbours
cells: 2
drawn: 12
expected: The paper shows a picture
{MODELS}
arms: [{{name: random, model: mgm, init: random}}, {{name: uni, model: mgm}}]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A store, labelled sequences, and both descriptions."""
    home = tmp_path_factory.mktemp("table")
    store = toy_store.toy_store(home, contacts=False)
    rng = np.random.default_rng(0)
    rows = ["".join("ACGT"[b] for b in rng.integers(0, 4, 30)) for _ in range(60)]
    lines = [f"{row}\t{number % 2}" for number, row in enumerate(rows)]
    (home / "rows.tsv").write_text("\n".join(["sequence\tlabel", *lines]) + "\n")
    (home / "mine.yaml").write_text(LABELS)
    (home / "near.yaml").write_text(NEIGHBOURS)
    return home, LabFiles(store=store.path, data=home / "rows.tsv")


@pytest.fixture(scope="module")
def made(data):
    home, files = data
    said: list[str] = []
    return ablate(home / "mine.yaml", home / "out", seeds=2, data=files, say=said.append), said


def test_a_model_is_pre_trained_once_and_each_arm_has_a_row_a_seed(data, made):
    result, said = made
    assert [line for line in said if "pre-training" in line] == ["pre-training mgm"]
    assert [(row["seed"], row["arm"]) for row in result.rows] == [
        (1, "none"),
        (1, "mgm"),
        (1, "kmer"),  # without chance: one row for all seeds
        (2, "none"),
        (2, "mgm"),
    ]
    assert {row["set"] for row in result.rows} == {"sequences"}
    assert [v.say for v in result.verdicts] == ["sequences: it helps"]
    # The start is another one in each seed, whatever is read from the run.
    first, second = (row for row in result.rows if row["arm"] == "none")
    assert first["auroc"] != second["auroc"]


def test_the_papers_figure_stands_beside_ours(data, made):
    home, _ = data
    result, _ = made
    lines = (home / "out/published.tsv").read_text().splitlines()
    head = lines[0].split("\t")
    rows = {line.split("\t")[1]: dict(zip(head, line.split("\t"))) for line in lines[1:]}
    assert rows["mgm"]["macro_precision_published"] == "0.6750"
    mean = np.mean([row["auroc"] for row in result.rows if row["arm"] == "mgm"])
    assert float(rows["mgm"]["auroc_mean"]) == pytest.approx(mean, abs=1e-4)
    assert rows["kmer"]["auroc_published"] == ""
    # A row of the paper that this description has not made stands there too.
    assert "published (GeneBERT paper, Table 5)" in result.text()
    assert "AUC .021 would be .979 when flipped" in result.text()
    page = report(home / "out").read_text()
    assert "Beside the paper" in page
    assert "http" not in page


def test_the_page_of_results_has_its_means_what_is_published_and_the_command(data, made, tmp_path):
    home, files = data
    result, _ = made
    text = report(results=[home / "out"], out=tmp_path / "page").read_text()
    command = f"--store {files.store} --data {files.data} --seeds 2 --out {home / 'out'}"
    assert f"epilm ablate mine.yaml {command}" in text
    ours, _, theirs = text.partition("**sequences as published**")
    scores = [row["auroc"] for row in result.rows if row["arm"] == "mgm"]
    mean, sd = np.mean(scores), np.std(scores, ddof=1)
    (line,) = [line for line in ours.splitlines() if line.startswith("| MGM | 2 |")]
    assert f"{mean:.3f} ± {sd:.3f}" in line
    assert "| MGM | 1 | **0.675** |" in theirs  # the paper's Table 5, macro precision
    (verdict,) = (v for v in result.verdicts if v.score == "auroc")
    assert f"sequences: it helps: auROC {verdict.mean:+.4f}" in text
    assert "Published: GeneBERT paper, Table 5" in text


def test_the_same_call_goes_on_and_another_description_is_refused(data, made):
    home, files = data
    said: list[str] = []
    result = ablate(home / "mine.yaml", home / "out", seeds=2, data=files, say=said.append)
    assert not any(line.startswith("seed ") for line in said)
    assert len(result.rows) == 5
    (home / "other.yaml").write_text(LABELS.replace("epochs: 1", "epochs: 2"))
    with pytest.raises(Exception, match=r"holds another table. Found finetune.epochs was 1, is 2"):
        ablate(home / "other.yaml", home / "out", seeds=1, data=files, say=said.append)


def test_with_seed_in_a_run_each_seed_starts_from_its_own(data, tmp_path):
    home, files = data
    model = MODELS.replace("    size: tiny\n", "    size: tiny\n    pretrain: per_seed\n")
    arms = "  - {name: kmer, baseline: kmer}\n"
    (home / "each.yaml").write_text(LABELS.replace(MODELS, model).replace(arms, ""))
    each = ablate(home / "each.yaml", tmp_path / "each", seeds=2, data=files, say=lambda _: None)
    finished = f"{tmp_path}/each/seed{{seed}}/runs/mgm"
    given = f"models: [{{name: mgm, run: '{finished}'}}]"
    (home / "given.yaml").write_text(LABELS.replace(MODELS, given).replace(arms, ""))
    said: list[str] = []
    again = ablate(home / "given.yaml", tmp_path / "given", seeds=2, data=files, say=said.append)
    assert not any("pre-training" in line for line in said)
    assert [row["auroc"] for row in again.rows] == [row["auroc"] for row in each.rows]
    weights = [(tmp_path / f"each/seed{n}/runs/mgm/model/model.safetensors") for n in (1, 2)]
    assert weights[0].read_bytes() != weights[1].read_bytes()
    # A seed without a run is said before the first row is begun, and nothing is written.
    with pytest.raises(RecipeError, match=r"the run cannot be opened.*mgm: .*seed3"):
        ablate(home / "given.yaml", tmp_path / "three", seeds=3, data=files, say=said.append)
    assert not (tmp_path / "three").exists()


def test_neighbours_are_numbers_and_a_picture(data):
    home, files = data
    files = LabFiles(store=files.store)
    result = ablate(home / "near.yaml", home / "near", seeds=1, data=files, say=lambda line: None)
    for row in result.rows:
        assert 0 <= row["purity"] <= 1
        assert -1 <= row["silhouette"] <= 1
        assert len(row["cells"]) == 2
    points = (home / "near/seed1/uni.tsne.tsv").read_text().splitlines()
    assert len(points) == 1 + 12
    assert {line.split("\t")[2] for line in points[1:]} <= set(result.rows[0]["cells"])
    assert "The paper shows a picture" in result.text()
    assert "data:image" in result.report.read_text()


def test_what_is_missing_or_given_in_vain_is_refused(data, tmp_path, capsys):
    home, files = data

    def run(name, **given):
        ablate(name, tmp_path / "x", data=LabFiles(**given), say=lambda line: None)

    with pytest.raises(UsageError, match=r"Give --store \(the store.*\) and --data \(the labelled"):
        run("genebert_table5")
    with pytest.raises(UsageError, match=r"--labels: the table does not take this option"):
        run(home / "mine.yaml", store=files.store, data=files.data, labels=home)
    with pytest.raises(UsageError, match=r"--data: the table does not take.*expected --store"):
        run(home / "near.yaml", store=files.store, data=files.data)
    with pytest.raises(InputError, match=r"--data: there is no such file"):
        run(home / "mine.yaml", store=files.store, data=home / "none.tsv")
    words = ["ablate", "genebert_table5", "--size", "tiny", "--out", str(tmp_path / "x")]
    assert main([*words, "--store", str(files.store)]) == 2
    assert "--store: the description makes its own world" in capsys.readouterr().err
    words = ["ablate", "dream_slices", "--out", str(tmp_path / "x"), "--data", str(files.data)]
    assert main(words) == 2
    assert "--data: the description is of binding" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.twin  # each part is tested above; here the shipped files run as they are
@pytest.mark.parametrize("name", [n for n in list_designs() if n.partition("_")[2][:1] in "tf"])
def test_a_shipped_table_runs_at_its_tiny_size(tmp_path, name, capsys):
    words = ["ablate", name, "--size", "tiny", "--seeds", "1", "--out", str(tmp_path / "t")]
    assert main(words) == 0
    assert "SIMULATED" in (tmp_path / "t/report.html").read_text()
    rows = [json.loads(line) for line in (tmp_path / "t/rows.jsonl").read_text().splitlines()]
    assert len(rows) >= 2
