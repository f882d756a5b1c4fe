"""`epilm risk` whole: files in, a table beside the baselines out, nothing left out unsaid."""

import csv
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from epilm.cli import main
from epilm.cohorts import deltas
from epilm.cohorts.risk import risk
from epilm.cohorts.risk_choices import CohortReading, Illness, Judging, Population
from epilm.cohorts.simulate_cohort import simulate_cohort
from epilm.errors import InputError, UsageError
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.reporting import report
from toy_cohort import snv, write_genome, write_people, write_vcf

SPEC = ModelSpec(
    name="dnabert",
    streams=("dna",),
    k=3,
    encoder=EncoderSpec(hidden=8, layers=1, heads=2, ffn=16, max_positions=64),
    max_tokens=64,
    next_segment="none",
    projection="none",
    projection_dim=16,
)
MOTIF = ">M1 x\nA [ 9 0 0 0 ]\nC [ 0 9 0 0 ]\nG [ 0 0 9 0 ]\nT [ 0 0 0 9 ]\n"
QUIET = {"device": "cpu", "say": lambda line: None}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("risk")
    write_genome(folder)
    (folder / "m.jaspar").write_text(MOTIF)
    save_model(folder / "model", build_model(SPEC, seed=1).eval(), SPEC, {})
    rows = ["chrom\tpos\tref\talt\taf\teffect"]
    rows += ["\t".join(map(str, (*snv(p), 0.3, 1))) for p in range(200, 380, 15)]
    (folder / "v.tsv").write_text("\n".join(rows) + "\n")
    simulate_cohort(
        folder / "c",
        folder / "v.tsv",
        illness=Illness(0.6, 0.3, effect="effect"),
        population=Population(60, 70, family_size=2, missing=0.02),
    )
    (folder / "r.bed").write_text("chr1\t190\t290\tA\nchr1\t290\t400\tB\nchr1\t300\t320\tA\n")
    return folder


def files(world):
    return {
        "genotypes": world / "c/genotypes.vcf.gz",
        "phenotypes": world / "c/phenotypes.tsv",
        "genome": world / "g.fa",
    }


def test_the_command_writes_scores_beside_baselines_and_a_page(world, tmp_path, capsys):
    words = ["risk", str(world / "c/genotypes.vcf.gz")]
    words += ["--phenotypes", str(world / "c/phenotypes.tsv"), "--genome", str(world / "g.fa")]
    words += ["--motifs", str(world / "m.jaspar"), "--group-by", "family", "--folds", "3"]
    words += ["--prevalence", "0.3", "--like", "hscr_ret", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "above constant: AUROC +" in said
    assert "probably 431 cases and 487 controls, this cohort 60 and 70" in said
    kept = json.loads((tmp_path / "out/risk.json").read_text())
    assert list(kept["scores"]) == ["model", "dosage", "background", "constant"]
    assert kept["scores"]["constant"]["auroc"]["mean"] == 0.5
    assert kept["scores"]["dosage"]["auroc"]["mean"] > 0.7
    assert kept["scores"]["dosage"]["liability_r2"]["mean"] > 0.1
    assert kept["about"]["simulated"] is True
    assert any("not called" in note for note in kept["notes"])
    page = (tmp_path / "out/report.html").read_text()
    for words_ in ("SIMULATED DATA", "level", "As published", "0.770", "constant prediction"):
        assert words_ in page
    again = report(tmp_path / "out", tmp_path / "again.html").read_text()
    assert again.replace("again.numbers", "report.numbers") == page
    with open(tmp_path / "out/predictions.tsv", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert len(rows) == 130
    with open(world / "c/phenotypes.tsv", newline="") as handle:
        family = {row["sample"]: row["family"] for row in csv.DictReader(handle, delimiter="\t")}
    folds = {}
    for row in rows:
        folds.setdefault(family[row["sample"]], set()).add(row["fold"])
    assert all(len(numbers) == 1 for numbers in folds.values())
    assert main(words) == 2
    assert "the folder exists already" in capsys.readouterr().err


def test_phenotypes_by_chance_are_told_from_nothing_by_no_arm(world, tmp_path):
    rng = np.random.default_rng(8)
    lines = (world / "c/phenotypes.tsv").read_text().splitlines()[1:]
    drawn = rng.permutation([1] * 60 + [0] * 70)
    people = write_people(tmp_path / "p.tsv", [(x.split("\t")[0], y) for x, y in zip(lines, drawn)])
    given = files(world) | {"phenotypes": people, "model": world / "model", **QUIET}
    done = risk(**given, reading=CohortReading(window=31), judging=Judging(folds=3))
    for arm in ("model", "dosage", "background"):
        assert abs(done.table[arm]["auroc"].mean - 0.5) < 0.17
    assert done.differences["dosage"].level


@pytest.mark.parametrize("features", ["deltas", "haplotypes"])
def test_the_same_files_give_the_same_and_people_may_stand_in_any_order(world, tmp_path, features):
    reading = CohortReading(features=features, window=31 if features == "deltas" else None)
    given = {"model": world / "model", "regions": world / "r.bed", "reading": reading, **QUIET}
    judging = Judging(folds=2, components=0)
    done = risk(**files(world), **given, judging=judging)
    lines = (world / "c/phenotypes.tsv").read_text().splitlines()
    (tmp_path / "p.tsv").write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    again = risk(**(files(world) | {"phenotypes": tmp_path / "p.tsv"}), **given, judging=judging)
    for arm, said in done.said.items():
        np.testing.assert_array_equal(said.probabilities, again.said[arm].probabilities)
    width = {"deltas": 2 * 8, "haplotypes": 3 * 8}[features]  # two genes; three regions
    assert done.said["model"].columns == width
    assert "background" not in done.said
    assert "no covariates and no components: no arm of these alone" in done.notes


def test_a_stopped_run_goes_on_and_leaves_nothing_behind(world, tmp_path, monkeypatch):
    monkeypatch.setattr(deltas, "BLOCK", 4)
    given = {"model": world / "model", "reading": CohortReading(window=31), "device": "cpu"}
    given["judging"] = Judging(folds=2, components=0)
    calls = []
    real = deltas.score_changes

    def stopped(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(deltas, "score_changes", stopped)
    lines = []
    with pytest.raises(KeyboardInterrupt):
        risk(**files(world), **given, out=tmp_path / "out", say=lines.append)
    assert not (tmp_path / "out").exists()
    risk(**files(world), **given, out=tmp_path / "out", say=lines.append)
    assert "8 of 12 variants had been read before" in lines
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def small(folder, calls, phenotypes, **options):
    """A cohort written out by hand."""
    samples = [f"s{i}" for i in range(len(phenotypes))]
    rows = [(*snv(300 + 10 * i), line) for i, line in enumerate(calls)]
    vcf = write_vcf(folder / "a.vcf", samples, rows)
    people = write_people(folder / "p.tsv", list(zip(samples, phenotypes)))
    genome, motifs = write_genome(folder), folder / "m.jaspar"
    motifs.write_text(MOTIF)
    return risk(
        vcf,
        people,
        genome,
        reading=options.pop("reading", CohortReading(motifs=motifs)),
        **options,
        **QUIET,
    )


def test_cohorts_that_cannot_be_judged_are_refused(world, tmp_path):
    some = ["0|1", "1|1", "0|0", "0|1"]
    with pytest.raises(InputError, match="there is one class only. Found 4 cases, 0 controls"):
        small(tmp_path, [some], [1, 1, 1, 1])
    with pytest.raises(InputError, match="fewer people than there are folds. Found 2 cases"):
        small(tmp_path, [some], [1, 1, 0, 0])
    judging = Judging(folds=2)
    with pytest.raises(InputError, match="all people have the same calls"):
        small(tmp_path, [["0|1"] * 4], [1, 1, 0, 0], judging=judging)
    (tmp_path / "r.bed").write_text("chr2\t0\t50\n")
    with pytest.raises(InputError, match="no variant lies in a region"):
        small(tmp_path, [some], [1, 1, 0, 0], judging=judging, regions=tmp_path / "r.bed")
    (tmp_path / "r.bed").write_text("chr1\t250\t350\n")
    unphased = [some, ["0/1", "1/1", "0/0", "0|1"]]
    with pytest.raises(InputError, match="not phased, and haplotypes were asked for. Found 1 of 8"):
        small(
            tmp_path,
            unphased,
            [1, 1, 0, 0],
            judging=judging,
            regions=tmp_path / "r.bed",
            model=world / "model",
            reading=CohortReading(features="haplotypes"),
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"judging": Judging(prevalence=1.5)}, "--prevalence: impossible value"),
        ({"judging": Judging(components=-1)}, "--components: impossible value"),
        ({"judging": Judging(covariates=("family",), group_by="family")}, "cannot both be read"),
        ({"reading": CohortReading(features="haplotypes")}, "haplotypes are those of regions"),
        (
            {"reading": CohortReading(features="haplotypes", window=31), "regions": "r.bed"},
            "windows around single variants. Found --window",
        ),
        ({"reading": CohortReading(window=31, shifts=(20,))}, "a shift moves the variant"),
        ({"genome": None}, "the genome of the variants is needed"),
        ({"model": None}, "Give --model or --motifs"),
        ({"like": "hscr"}, "there is no such set"),
    ],
)
def test_options_that_do_not_fit_are_refused_by_name(world, given, message):
    with pytest.raises(UsageError, match=message):
        risk(**(files(world) | {"model": world / "model", **QUIET} | given))


def test_what_is_the_same_in_all_and_what_is_missing_is_said(tmp_path):
    calls = [["0|1", "1|1", "0|0", "./.", "1|0", "0|0"], ["0|0"] * 6]
    done = small(tmp_path, calls, [1, 0, 1, 0, 1, 0], judging=Judging(folds=2, components=0))
    assert "1 variants are the same in all people: not read" in done.notes
    assert "genotypes: 12 calls read; 1 not called" in done.notes
    assert done.said["dosage"].columns == 1


@pytest.mark.slow
def test_the_commands_of_the_sets_of_the_paper_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs/how-to/risk.md"
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    block = next(block for block in blocks if "simulate world" in block)
    for line in block.replace("\\\n", " ").splitlines():
        assert main(shlex.split(line)[1:]) == 0, line
    kept = json.loads(Path("hscr-risk/risk.json").read_text())
    assert (kept["about"]["cases"], kept["about"]["controls"]) == (431, 487)
