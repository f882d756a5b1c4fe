"""Ablations on given data: descriptions read against the data, rows of every kind, stopped and gone
on with.
"""

import json
import math
import shutil

import numpy as np
import pytest

from epilm.baselines.bin_models import fit_kmer_state
from epilm.cli import main
from epilm.errors import RecipeError, TrainingError
from epilm.finetuning.scorer import open_scorer
from epilm.metrics.bin_scores import score_bins
from epilm.playground.simulate import simulate
from epilm.store.making.build import build
from epilm.store.reader import Store
from epilm.tasks.binding.bins import grid
from epilm.tasks.binding.rows import CellBins
from epilm.tasks.binding.sources import load_bins
from epilm.trials.ablate import ablate
from epilm.trials.bench import LAB
from epilm.trials.choices import LabFiles
from epilm.trials.descriptions import load_design
from epilm.trials.trial import rows_of
from epilm.trials.trial_page import design_of
from epilm.trials.trial_table import summarise
from epilm.trials.verdicts import judge
from toy_designs import MINE

ACROSS = ["motif", "kmer_state", "ebert", "cnn", "mean"]
ACROSS_EBERT = ("across", "ebert")
WITHIN = ["motif", "kmer_state", "ebert", "mean"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Files of an invented lab, the store of them; JUND was not measured in typeB, and has no
    motif.
    """
    home = tmp_path_factory.mktemp("lab")
    play = home / "play"
    simulate(play, "tiny", 3)
    build(
        genome=play / "genome.fa",
        states={f"type{c}": play / f"states/type{c}.bed.gz" for c in "ABC"},
        accessibility={f"type{c}": play / f"signals/type{c}.accessibility.bw" for c in "ABC"},
        out=home / "store",
    )
    for path in (play / "chip").glob("typeB.JUND.*"):
        path.unlink()
    text = (play / "motifs.jaspar").read_text()
    kept = [f">{block}" for block in text.split(">")[1:] if "JUND" not in block.splitlines()[0]]
    (home / "motifs.jaspar").write_text("".join(kept))
    (home / "mine.yaml").write_text(MINE)
    return home


def run(home, out, name="mine.yaml", **more):
    said: list[str] = []
    more = {
        "store": home / "store",
        "labels": home / "play/chip",
        "motifs": home / "motifs.jaspar",
    } | more
    return ablate(home / name, out, seeds=1, data=LabFiles(**more), say=said.append), said


@pytest.fixture(scope="module")
def done(data):
    return (data, *run(data, data / "out"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "    test_cell: typeC",
            "    test_cell: typeD",
            r"line 18, key settings.across.test_cell: the store has no such cell type.*typeC",
        ),
        (
            "test: [chr2]\n  within",
            "test: [chr5]\n  within",
            r"line 21, key settings.across.test: the store has no such chromosome. Found chr5",
        ),
        (
            "train_cells: [typeA, typeB]\n    test_cell: typeC",
            "train_cells: [typeA]\n    test_cell: typeB",
            (
                r"line 18, key settings.across.test_cell: the labels of JUND lack the test cell"
                r" type. Found typeB; expected one of typeA, typeC"
            ),
        ),
        (
            "train_cells: [typeA, typeB]",
            "train_cells: [typeB]",
            r"line 17, key settings.across.train_cells: no training cell type has labels of JUND",
        ),
        (
            "signals: [accessibility]",
            "signals: [methylation]",
            r"key arms: the arm reads what the store has not.*no such signal.*motif in across",
        ),
        (
            "recipe: ebert_tiny\n",
            "run: nowhere\n",
            r"key models: the run cannot be opened. Found ebert",
        ),
    ],
)
def test_what_the_data_have_not_is_named_with_the_line_that_asks_for_it(
    data, tmp_path, old, new, message
):
    assert old in MINE
    text = MINE.replace(old, new)
    if "run: nowhere" in text:
        first, _, rest = text.partition("    set: [")
        text = first + rest.partition("optim.warmup_steps=1]\n")[2]
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        run(data, tmp_path / "out", name=tmp_path / "mine.yaml")
    assert not (tmp_path / "out").exists()


# -- rows


def test_every_row_of_every_setting_is_there_and_its_score_is_the_mean_over_factors(done):
    _, result, said = done
    assert [(row["setting"], row["arm"]) for row in result.rows] == [
        *(("across", arm) for arm in ACROSS),
        *(("within", arm) for arm in WITHIN),
    ]
    for row in result.rows:
        assert set(row["factors"]) == ({"CTCF", "JUND"} if row["setting"] == "across" else {"CTCF"})
        known = [table for table in row["factors"].values() if table is not None]
        assert row["n_factors"] == len(known)
        for score in ("ap", "auprc_dg", "recall_at_fdr50"):
            assert row[score] == pytest.approx(sum(t[score] for t in known) / len(known), abs=1e-6)
        assert all(t["positives"] > 0 for t in known)
    assert sum(line.startswith("pre-training ebert") for line in said) == 1
    assert "across: no labels of JUND in typeB: nothing is learned there" in said


def test_a_factor_without_a_motif_has_no_score_and_the_table_says_over_how_many_the_mean_is(done):
    _, result, said = done
    motif = next(
        line for line in result.table if (line["setting"], line["arm"]) == ("across", "motif")
    )
    assert (motif["n_factors"], motif["of_factors"]) == (1, 2)
    assert motif["factors"]["JUND"]["ap_mean"] is None
    assert motif["ap_mean"] == pytest.approx(motif["factors"]["CTCF"]["ap_mean"])
    assert "motif (1 of 2 factors)" in result.text()
    assert any("the collection has none of JUND" in line for line in said)
    # The claim compares the factor that both have.
    rows = {row["arm"]: row for row in result.rows if row["setting"] == "across"}
    verdict = next(
        v for v in result.verdicts if v.say == "across: it is better" and v.score == "ap"
    )
    assert verdict.mean == pytest.approx(
        rows["ebert"]["factors"]["CTCF"]["ap"] - rows["motif"]["factors"]["CTCF"]["ap"]
    )


def test_rows_are_what_the_parts_give_one_by_one(done):
    home, result, _ = done
    store = Store.open(home / "store")
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    labels = load_bins(home / "play/chip", factor="CTCF", sizes=sizes)
    rows = {row["arm"]: row for row in result.rows if row["setting"] == "across"}
    bins = grid(sizes, step=200, chroms=["chr2"])
    truth = load_bins(
        home / "play/chip", factor="CTCF", cells=["typeC"], sizes=sizes, regions=bins
    ).of("typeC")
    model = fit_kmer_state(
        labels,
        store,
        k=3,
        cells=("typeA", "typeB"),
        train=("chr1:0-160000",),
        valid=("chr1:160000-240000",),
        test=("chr2",),
        negatives=3,
        seed=1,
    )
    assert rows["kmer_state"]["factors"]["CTCF"]["ap"] == pytest.approx(
        score_bins(truth, model.scores("typeC", bins))["ap"], abs=1e-6
    )
    tuned = open_scorer(home / "out/seed1/across/ebert", device="cpu")
    examples = CellBins(bins, store.cell_number("typeC"), tuple(store.chroms))
    scores = np.concatenate(list(tuned(examples, store)))
    assert rows["ebert"]["factors"]["CTCF"]["ap"] == pytest.approx(
        score_bins(truth, scores[:, 0])["ap"], rel=1e-3
    )
    assert "pre-training has seen none" in rows["ebert"]["met"]
    assert rows["ebert"]["factors"]["CTCF"]["n"] + rows["ebert"]["factors"]["CTCF"][
        "ambiguous"
    ] == len(bins)


def test_an_arm_goes_on_with_the_head_of_a_fine_tuned_run(done, tmp_path):
    home, before, _ = done
    taught = home / "out/seed1/across/ebert"
    models = f"models: [{{name: taught, run: {taught}}}]\n"
    arms = "arms:\n  - {name: new, model: taught}\n  - {name: kept, model: taught, head: kept}\n"
    own = MINE[MINE.index("finetune:") : MINE.index("  within:")]
    own = own.replace("epochs: 1,", "epochs: 1, lr: 1.0e-12,")
    (tmp_path / "mine.yaml").write_text(MINE.partition("models:")[0] + models + own + arms)
    files = {"store": home / "store", "labels": home / "play/chip"}
    made, _ = run(tmp_path, tmp_path / "out", **files, motifs=home / "motifs.jaspar")
    rows = {row["arm"]: row["factors"]["CTCF"] for row in made.rows}
    (was,) = [r["factors"]["CTCF"] for r in before.rows if (r["setting"], r["arm"]) == ACROSS_EBERT]
    assert rows["kept"]["ap"] == pytest.approx(was["ap"], rel=1e-4)
    assert rows["new"]["ap"] != pytest.approx(was["ap"], rel=1e-3)
    (tmp_path / "mine.yaml").write_text(MINE.replace("model: ebert}", "model: ebert, head: kept}"))
    with pytest.raises(RecipeError, match="key arms: there is no head to keep. Found ebert"):
        run(tmp_path, tmp_path / "none", **files, motifs=home / "motifs.jaspar")


def test_a_shortcut_that_is_fitted_leaves_the_network_without_one_as_it_is(data, tmp_path):
    before = MINE.partition("models:")[0]
    own = MINE[MINE.index("finetune:") : MINE.index("  within:")]
    cnn = "arms:\n  - {name: cnn, start: factornet, signals: [accessibility]}\n"
    fitted = own.replace("epochs: 1,", "epochs: 1, shortcut: signals, shortcut_start: fitted,")
    ebert = "  - {name: ebert, start: ebert, size: tiny, signals: [accessibility]}\n"
    scores = {}
    for name, text in (("plain", own + cnn), ("fitted", fitted + cnn + ebert)):
        (tmp_path / f"{name}.yaml").write_text(before + text)
        files = {"store": data / "store", "labels": data / "play/chip"}
        files["motifs"] = data / "motifs.jaspar"
        made, _ = run(tmp_path, tmp_path / name, f"{name}.yaml", **files)
        scores[name] = {row["arm"]: row["auroc"] for row in made.rows}
    assert scores["plain"]["cnn"] == scores["fitted"]["cnn"]
    assert set(scores["fitted"]) == {"cnn", "ebert"}


def test_an_arm_is_fine_tuned_in_a_way_of_its_own(data, tmp_path):
    before = MINE.partition("models:")[0] + MINE[MINE.index("finetune:") : MINE.index("  within:")]
    arms = (
        "arms:\n  - {name: plain, start: factornet}\n"
        "  - {name: own, start: factornet, finetune: {epochs: 2, conv_channels: [2]}}\n"
    )
    (tmp_path / "mine.yaml").write_text(before + arms)
    files = {"store": data / "store", "labels": data / "play/chip"}
    files["motifs"] = data / "motifs.jaspar"
    made, _ = run(tmp_path, tmp_path / "out", **files)
    settings = {}
    for name in ("plain", "own"):
        told = json.loads((tmp_path / f"out/seed1/across/{name}/run.json").read_text())
        settings[name] = told["settings"]
    other = {key for key, value in settings["own"].items() if value != settings["plain"][key]}
    assert other == {"epochs", "conv_channels"}
    assert settings["own"]["epochs"] == 2
    # The folder knows it again, and another way of its own is another ablation.
    assert run(tmp_path, tmp_path / "out", **files)[0].rows == made.rows
    (tmp_path / "mine.yaml").write_text(before + arms.replace("epochs: 2", "epochs: 3"))
    with pytest.raises(TrainingError, match=r"arms.own.finetune.epochs was 2, is 3"):
        run(tmp_path, tmp_path / "out", **files)
    for new, message in [
        ("baseline: motif, finetune: {epochs: 2}", "a baseline is not fine-tuned. Found own"),
        ("start: factornet, finetune: {epoch: 2}", "epoch"),
        ("start: factornet, finetune: {epochs: 0}", "Found own: --epochs 0"),
    ]:
        text = arms.replace("start: factornet, finetune: {epochs: 2, conv_channels: [2]}", new)
        (tmp_path / "wrong.yaml").write_text(before + text)
        with pytest.raises(RecipeError, match=message):
            run(tmp_path, tmp_path / "none", "wrong.yaml", **files)


def test_signals_alone_read_no_base(data, tmp_path):
    before = MINE.partition("arms:")[0]
    arms = [
        "  - {name: open, baseline: signals, signals: [accessibility]}",
        "  - {name: state, baseline: signals, states: true}",
        "  - {name: kmer, baseline: kmer_state, k: 2, states: false}",
    ]
    (tmp_path / "mine.yaml").write_text(
        before.partition("models:")[0]
        + "\n".join([before[before.index("finetune:") :], "arms:", *arms])
    )
    genome = (data / "play/genome.fa").read_text().splitlines()
    others = str.maketrans("ACGT", "CATG")  # of other composition
    other = [line if line[0] == ">" else line.translate(others) for line in genome]
    (tmp_path / "other.fa").write_text("\n".join(other) + "\n")
    play = data / "play"
    build(
        genome=tmp_path / "other.fa",
        states={f"type{c}": play / f"states/type{c}.bed.gz" for c in "ABC"},
        accessibility={f"type{c}": play / f"signals/type{c}.accessibility.bw" for c in "ABC"},
        out=tmp_path / "store",
    )
    rows = {}
    for store in (data / "store", tmp_path / "store"):
        files = LabFiles(store=store, labels=play / "chip", motifs=data / "motifs.jaspar")
        out = tmp_path / f"of_{store.parent.name}"
        made = ablate(tmp_path / "mine.yaml", out, seeds=1, data=files, say=lambda line: None)
        rows[store] = {(r["setting"], r["arm"]): r["auroc"] for r in made.rows}
    one, two = rows.values()
    assert len(one) == 6
    for key, auroc in one.items():
        assert (auroc == two[key]) == (key[1] != "kmer")
    assert one["across", "open"] > 0.55
    with pytest.raises(RecipeError, match="the arm reads nothing. Found open; expected signals:"):
        text = (tmp_path / "mine.yaml").read_text().replace(", signals: [accessibility]", "")
        (tmp_path / "none.yaml").write_text(text)
        ablate(tmp_path / "none.yaml", tmp_path / "none", seeds=1, data=files, say=print)


def test_where_one_cell_type_is_trained_on_the_mean_is_that_of_the_others_and_said(done):
    _, result, _ = done
    notes = {row["setting"]: row["notes"] for row in result.rows if row["arm"] == "mean"}
    assert notes["across"] == []
    assert "typeB, typeC" in notes["within"][0]


def test_tables_hold_each_factor_with_mean_and_sample_deviation(done):
    home, result, _ = done
    plan = load_design(home / "mine.yaml")
    changed = json.loads(json.dumps(result.rows[:1]))
    changed[0]["seed"] = 2
    changed[0]["ap"] += 0.2
    changed[0]["factors"]["CTCF"]["ap"] += 0.2
    line = summarise(design_of(plan), [result.rows[0], changed[0]])[0]
    assert line["ap_sd"] == pytest.approx(0.2 / math.sqrt(2))
    assert line["factors"]["CTCF"]["ap_sd"] == pytest.approx(0.2 / math.sqrt(2))
    heads, *lines = [
        line.split("\t") for line in (home / "out/factors.tsv").read_text().splitlines()
    ]
    assert heads[:4] == ["setting", "arm", "factor", "seeds"]
    assert {"recall_at_fdr10_mean", "recall_at_fdr50_sd"} <= set(heads)
    assert len(lines) == 2 * len(ACROSS) + len(WITHIN)
    assert len((home / "out/table.tsv").read_text().splitlines()) == 1 + len(ACROSS) + len(WITHIN)
    assert "NaN" not in (home / "out/table.json").read_text()
    assert len(judge(design_of(plan), result.rows)) == 4


def test_the_page_has_a_part_for_each_setting_and_does_not_call_real_data_simulated(done):
    _, result, _ = done
    text = result.report.read_text()
    for word in ("across", "within", "k-mers and states", "Notes", "too few seeds", "--labels"):
        assert word in text
    assert "SIMULATED" not in text  # nobody said that this store was
    assert "http" not in text


# -- stopped and gone on with


@pytest.mark.twin  # the engine of tests/trials/test_trial.py
def test_a_stopped_one_goes_on_with_the_rows_that_are_missing(done, tmp_path):
    home, result, _ = done
    shutil.copytree(home / "out", tmp_path / "out")
    lines = (tmp_path / "out" / LAB.rows).read_text().splitlines()
    gone = [line for line in lines if json.loads(line)["arm"] != "kmer_state"]
    (tmp_path / "out" / LAB.rows).write_text(
        "\n".join(gone) + "\n" + lines[1][:60]
    )  # killed while it wrote
    again, said = run(home, tmp_path / "out")
    assert [row["factors"] for row in again.rows] == [row["factors"] for row in result.rows]
    assert sum(line.startswith("seed 1") for line in said) == 2


@pytest.mark.twin  # the engine of tests/trials/test_trial.py
def test_an_arm_or_a_seed_more_is_added_and_another_ablation_refused(done, tmp_path):
    home, result, _ = done
    shutil.copytree(home / "out", tmp_path / "out")
    finished = str(tmp_path / "out/runs/ebert")
    more = MINE.replace("models:", f"models:\n  - {{name: given, run: {finished}}}").replace(
        "controls:", "  - {name: again, model: given, only: [within]}\ncontrols:"
    )
    (tmp_path / "more.yaml").write_text(more)
    again, said = run(home, tmp_path / "out", name=tmp_path / "more.yaml")
    assert sum(line.startswith("seed 1") for line in said) == 1
    rows = {row["arm"]: row for row in again.rows if row["setting"] == "within"}
    assert (
        rows["again"]["factors"]["CTCF"]["ap"] == rows["ebert"]["factors"]["CTCF"]["ap"]
    )  # the same start and seed
    assert not any("pre-training" in line for line in said)
    assert len(again.rows) == len(result.rows) + 1
    (tmp_path / "other.yaml").write_text(MINE.replace("k: 3,", "k: 2,"))
    with pytest.raises(TrainingError, match=r"arms\.kmer_state\.k was 3, is 2"):
        run(home, tmp_path / "out", name=tmp_path / "other.yaml")
    with pytest.raises(TrainingError, match=r"given\.labels\.CTCF was"):
        run(home, tmp_path / "out", rule="bin_half")
    plan = load_design(home / "mine.yaml")
    assert len(rows_of(tmp_path / "out", design_of(plan))) == len(result.rows)


def test_a_folder_with_other_things_is_left_alone(data, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("keep")
    with pytest.raises(TrainingError, match="not an ablation"):
        run(data, tmp_path / "out")
    assert not (tmp_path / "out" / LAB.plan).exists()


# -- the command


def test_the_command_asks_for_the_data_and_refuses_them_where_there_is_a_world(data, capsys):
    words = ["ablate", str(data / "mine.yaml"), "--out", str(data / "none")]
    assert main(words) == 2
    assert "Give --store and --labels" in capsys.readouterr().err
    assert (
        main(
            [
                "ablate",
                "playground_ebert",
                "--out",
                str(data / "none"),
                "--store",
                str(data / "store"),
            ]
        )
        == 2
    )
    assert "makes its own world" in capsys.readouterr().err
    assert not (data / "none").exists()


def test_the_command_prints_the_tables_of_a_finished_one(done, capsys):
    home, _, _ = done
    words = [
        "--store",
        home / "store",
        "--labels",
        home / "play/chip",
        "--motifs",
        home / "motifs.jaspar",
        "--seeds",
        1,
    ]
    assert (
        main([str(w) for w in ("ablate", home / "mine.yaml", "--out", home / "out", *words)]) == 0
    )
    text = capsys.readouterr().out
    assert "within" in text
    assert "k-mers and states" in text
    assert (
        main(
            [
                str(w)
                for w in ("ablate", home / "mine.yaml", "--out", home / "out", *words, "--json")
            ]
        )
        == 0
    )
    assert len(json.loads(capsys.readouterr().out)["rows"]) == len(ACROSS) + len(WITHIN)
