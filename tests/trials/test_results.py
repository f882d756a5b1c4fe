"""The page of results says what the folders say: means by hand, runs of one kind in one line."""

import csv
import json

import pytest

from epilm.errors import InputError, UsageError
from epilm.reporting import report
from epilm.trials.results import Line, Part, collect, page_of, write_results


def finetuned(folder, seed, auroc, *, lr=1e-3, examples="abc", checkpoint="runs/play", **more):
    folder.mkdir(parents=True)
    settings = {"epochs": 2, "lr": lr, "seed": seed}
    run = {"task": "promoter", "settings": settings, "examples": examples}
    (folder / "run.json").write_text(json.dumps(run | {"checkpoint": checkpoint}))
    task = {"task": "promoter", "data": "PLAY/promoters", "checkpoint": checkpoint}
    (folder / "task.json").write_text(json.dumps(task | {"settings": settings} | more))
    scores = {"n": 84, "auroc": auroc, "ap": 0.5}
    kept = {"task": "promoter", "tables": {"valid": {"": scores}, "test": {"": scores}}}
    (folder / "metrics.json").write_text(json.dumps(kept))
    return folder


def compared(folder, rows):
    folder.mkdir()
    sets = {"sites": {"rows": 20, "counts": {"train": [5, 5], "test": [5, 5]}, "fingerprint": "f0"}}
    models = [{"name": "mine", "checkpoint": "runs/play", "init": "checkpoint"}]
    plan = {"sets": sets, "models": models, "settings": {"epochs": 3, "lr": 1e-3}}
    (folder / "plan.json").write_text(json.dumps(plan))
    (folder / "runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def row(who, seed, auroc, **more):
    return {"seed": seed, "set": "sites", "competitor": who, "n": 10, "auroc": auroc} | more


def numbers(folder):
    with open(folder / "results.tsv", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_runs_that_differ_by_the_seed_are_one_line_with_mean_and_sd(tmp_path):
    runs = [finetuned(tmp_path / f"s{seed}", seed, 0.6 + 0.2 * seed) for seed in (0, 1)]
    page = report(results=runs, out=tmp_path / "out")
    text = page.read_text()
    assert "| pre-trained: play | 2 | **" not in text  # one line: nothing is best
    assert "| pre-trained: play | 2 | 0.700 ± 0.141 |" in text
    assert "epilm finetune promoter --data PLAY/promoters" in text
    (line,) = [line for line in numbers(tmp_path / "out") if line["score"] == "auroc"]
    assert (float(line["mean"]), line["count"]) == (pytest.approx(0.7), "2")
    assert float(line["sd"]) == pytest.approx(0.2 / 2**0.5)


def test_baselines_that_stood_beside_runs_are_lines(tmp_path):
    runs = [finetuned(tmp_path / f"s{seed}", seed, 0.6 + 0.2 * seed) for seed in (0, 1)]
    for run, other in zip(runs, (0.25, 0.75), strict=True):
        kept = json.loads((run / "metrics.json").read_text())
        # k-mers had the same rows in both, the other one had rows drawn by the seed.
        beside = {"kmer": {"test": {"": {"auroc": 0.65}}}, "gc": {"test": {"": {"auroc": other}}}}
        (run / "metrics.json").write_text(json.dumps(kept | {"beside": beside}))
    text = report(results=runs, out=tmp_path / "out").read_text()
    assert "| pre-trained: play | 2 | **0.700 ± 0.141** |" in text
    assert "| baseline: kmer | 1 | 0.650 |" in text
    assert "| baseline: gc | 2 | 0.500 ± 0.354 |" in text
    # Other settings with the same rows, and with other ones.
    for name, value in (("same", 0.65), ("other", 0.55)):
        more = finetuned(tmp_path / name, 0, 0.7, lr=1e-4)
        kept = json.loads((more / "metrics.json").read_text())
        beside = {"kmer": {"test": {"": {"auroc": value}}}}
        (more / "metrics.json").write_text(json.dumps(kept | {"beside": beside}))
        text = report(results=[*runs, more], out=tmp_path / f"out.{name}").read_text()
        lines = [line for line in text.splitlines() if line.startswith("| baseline: kmer")]
        assert (
            lines
            == {
                "same": ["| baseline: kmer | 1 | 0.650 | - |"],
                "other": [
                    "| baseline: kmer, beside pre-trained: play (lr 0.001) | 1 | 0.650 | - |",
                    "| baseline: kmer, beside pre-trained: play (lr 0.0001) | 1 | 0.550 | - |",
                ],
            }[name]
        )


def test_other_settings_are_another_line_and_named_by_what_differs(tmp_path):
    runs = [finetuned(tmp_path / "a", 0, 0.6), finetuned(tmp_path / "b", 0, 0.8, lr=0.01)]
    text = write_results(runs, tmp_path / "out").read_text()
    assert "| pre-trained: play (lr 0.001) | 1 | 0.600 |" in text
    assert "| pre-trained: play (lr 0.01) | 1 | **0.800** |" in text


def from_recipe(folder, auroc, *, pretrained, seed=0, init="checkpoint", alike="x"):
    """A run that remembers by which recipe the weights, or the shape, of its start were made."""
    run = finetuned(folder, seed, auroc, checkpoint=f"runs/lab{pretrained}")
    made = {"recipe": "dnabert_lab", "alike": alike, "seed": pretrained}
    about = {"task": "promoter", "checkpoint": f"runs/lab{pretrained}", "init": init}
    (run / "model").mkdir()
    kept = {"extra": {"task": about | {"made_by": made}}}
    (run / "model" / "spec.json").write_text(json.dumps(kept))
    return run


def test_pretrainings_of_one_recipe_are_one_line_and_their_random_twins_another(tmp_path):
    runs = [
        from_recipe(tmp_path / "a", 0.6, pretrained=1),
        from_recipe(tmp_path / "b", 0.8, pretrained=2),
        from_recipe(tmp_path / "c", 0.5, pretrained=1, init="random"),
        from_recipe(tmp_path / "d", 0.7, pretrained=2, seed=1, init="random"),
        from_recipe(tmp_path / "e", 0.9, pretrained=1, alike="y"),  # of another store
    ]
    text = write_results(runs, tmp_path / "out").read_text()
    assert "| pre-trained: dnabert_lab, 2 pre-trainings | 2 | 0.700 ± 0.141 |" in text
    assert "| random weights, shape of dnabert_lab | 2 | 0.600 ± 0.141 |" in text
    assert "| pre-trained: lab1 | 1 | **0.900** |" in text
    assert "* Seeds of pre-training: 1, 2" in text
    # A random twin has nothing of the pre-training whose shape it has: with one seed it is one.
    again = from_recipe(tmp_path / "f", 0.5, pretrained=2, init="random")
    text = write_results([*runs, again], tmp_path / "more").read_text()
    assert "| random weights, shape of dnabert_lab | 2 | 0.600 ± 0.141 |" in text
    assert "* f is the random start that c is: not counted" in text
    with pytest.raises(InputError, match="two runs are the same one"):
        collect([*runs, from_recipe(tmp_path / "g", 0.6, pretrained=1)])


def test_other_rows_are_another_part(tmp_path):
    runs = [finetuned(tmp_path / "a", 0, 0.6), finetuned(tmp_path / "b", 0, 0.8, examples="xyz")]
    assert [part.title for part in collect(runs)] == ["Fine-tuning: promoter"] * 2


def test_the_same_run_twice_is_refused(tmp_path):
    runs = [finetuned(tmp_path / "a", 0, 0.6), finetuned(tmp_path / "b", 0, 0.6)]
    with pytest.raises(InputError, match="two runs are the same one.*another --seed"):
        write_results(runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_not_finished_is_refused(tmp_path):
    run = finetuned(tmp_path / "a", 0, 0.6)
    (run / "metrics.json").unlink()
    with pytest.raises(InputError, match="the run is not finished"):
        collect([run])


def test_a_comparison_has_its_data_its_baselines_and_what_is_level(tmp_path):
    rows = [row("mine", seed, value) for seed, value in ((0, 0.6), (1, 0.7), (2, 0.8))]
    rows += [row("kmer", 0, 0.9), row("cnn", 0, 0.5, collapse="one class for all")]
    text = write_results([compared(tmp_path / "cmp", rows)], tmp_path / "out").read_text()
    assert "* Set sites: 20 rows (train 10, test 10), fingerprint f0" in text
    assert "| mine | 3 | 0.700 ± 0.100 |" in text
    assert "| kmer | 1 | **0.900** |" in text
    assert "sites: mine is below a trivial baseline, kmer: auroc -0.2000" in text
    assert "sites, cnn, seed 0: one class for all" in text
    drawn = (tmp_path / "out" / "part1.tsv").read_text().splitlines()
    assert drawn[:2] == ["setting\trow\tseeds\tauroc", "sites\tmine\t1\t0.6"]
    assert (tmp_path / "out" / "part1.png").read_bytes().startswith(b"\x89PNG")


def test_many_sets_are_a_row_each_and_pretrainings_of_one_recipe_one_column(tmp_path):
    values = {
        "a": {"lab.1": [0.8, 0.9], "lab.2": [0.9, 0.9], "lab.3": [0.95, 0.95]},
        "b": {"lab.1": [0.6, 0.6], "lab.2": [0.6, 0.6], "lab.3": [0.6, 0.6]},
    }
    rows = []
    for name, models in values.items():
        others = {"random": [0.7, 0.8, 0.75], "kmer": [0.7], "cnn": [0.72, 0.74]}
        for arm, numbers in {**models, **others}.items():
            rows += [row(arm, s, v, set=name, n=1200) for s, v in enumerate(numbers)]
    models = [
        {"name": f"lab.{n}", "checkpoint": f"run{n}", "init": "checkpoint", "group": "lab"}
        for n in (1, 2, 3)
    ]
    given = {"data": "x.tsv", "test": "chr22"}
    sets = {
        name: {"about": {"task": "tfbs", "given": given, "beside": {"they": {"auroc": 0.91}}}}
        for name in values
    }
    settings = {"epochs": 2, "lr": 1e-3, "betas": [0.9, 0.999], "beside": [], "both_strands": True}
    plan = {"sets": sets, "settings": settings, "models": models}
    plan["about"] = {"manifest": "sets.tsv", "genome": ["a.2bit", "b.fa.gz"]}
    folder = compared(tmp_path / "cmp", rows)
    (folder / "plan.json").write_text(json.dumps(plan))
    text = write_results([folder], tmp_path / "out").read_text()
    # Beside another study the group is named, not the best of its members: means of a and b, .9
    # and .6, by hand; random .75 of both.
    other = finetuned(tmp_path / "f", 0, 0.5)
    above = write_results([folder, other], tmp_path / "two").read_text().partition("## Comp")[0]
    line = above.partition("| auROC, mean of 2 | ")[2].split(" | ")
    assert sorted(line[:2]) == ["lab, 3 pre-trainings 0.750", "random 0.750"]
    assert "lab.3" not in above
    assert (
        "epilm compare --manifest sets.tsv --genome a.2bit --genome b.fa.gz"
        " --models lab=run1 lab=run2 lab=run3"
        " --baselines random,kmer,cnn --epochs 2 --both-strands --lr 0.001 --seeds 3" in text
    )
    assert "* Sets: 2 (task tfbs, data x.tsv, test chr22)" in text
    heads = (
        "| set | test rows | kmer | cnn | random | lab | lab - random | lab - best other | they |"
    )
    # Means of the pre-trainings .85, .9, .95: .9 with an error of .05 / sqrt(3); the random start
    # .75 with the same; of the CNN .73 with .01. The standard errors are added as squares.
    a = (
        "| a | 1,200 | 0.700 | 0.730 ± 0.014 | 0.750 ± 0.050 | **0.900 ± 0.055** |"
        " **+0.150** (0.041) | **+0.170** (0.031), cnn | 0.910 |"
    )
    b = (
        "| b | 1,200 | 0.700 | 0.730 ± 0.014 | **0.750 ± 0.050** | 0.600 ± 0.000 |"
        " -0.150 (0.029) | -0.130 (0.010), cnn | 0.910 |"
    )
    block = text[text.index(heads) :].splitlines()
    assert block[2:4] == [a, b]
    said = "lab is above random on 1 of 2 sets, by more than two standard errors on 1"
    assert f"* {said}; in the mean +0.000 (standard error over the sets 0.150)." in text
    assert "b: lab is below a trivial baseline, random" in text
    assert "lab.1 is" not in text  # the group is judged; each pre-training stays in the numbers
    assert "\tlab.2\tauroc\t2\t" in (tmp_path / "out/results.tsv").read_text()


def test_an_ensemble_is_said_by_the_option_and_by_its_members(tmp_path):
    arms = {"lab.1": 0.8, "lab.2": 0.9, "lab.ensemble": 0.95}
    rows = [row(arm, 0, value, set="a", seconds=60.0) for arm, value in arms.items()]
    models = [{"name": f"lab.{n}", "checkpoint": f"run{n}", "group": "lab"} for n in (1, 2)]
    joined = {"name": "lab.ensemble", "checkpoint": "run1 + run2", "members": ["lab.1", "lab.2"]}
    sets = {"a": {"about": {"task": "tfbs", "given": {}}}}
    plan = {"sets": sets, "settings": {}, "models": [*models, joined]}
    plan["about"] = {"manifest": "sets.tsv"}
    folder = compared(tmp_path / "cmp", rows)
    (folder / "plan.json").write_text(json.dumps(plan))
    text = write_results([folder], tmp_path / "out").read_text()
    assert "--models lab=run1 lab=run2 --ensemble --baselines '' " in text
    assert "* Model lab.ensemble: the mean of lab.1, lab.2" in text
    assert "* Time: lab.1 1.0 minutes for 1; lab.2 1.0 minutes for 1\n" in text  # not for nothing


def test_published_rows_stand_beside_a_cohort_that_names_them(tmp_path):
    folds = {"model": [{"auroc": 0.6}, {"auroc": 0.8}], "constant": [{"auroc": 0.5}] * 2}
    gap = {"constant": {"auroc": 0.2, "error": 0.05, "level": False}}
    about = {"genotypes": "g.vcf", "cases": 3, "controls": 4, "simulated": True, "like": "hscr_ret"}
    (tmp_path / "risk").mkdir()
    kept = {"about": about, "folds": folds, "differences": gap}
    (tmp_path / "risk" / "risk.json").write_text(json.dumps(kept))
    text = write_results([tmp_path / "risk"], tmp_path / "out").read_text()
    assert "* Data: **simulated**" in text
    assert "| model | 2 | **0.700 ± 0.141** |" in text
    assert "model above constant: AUROC +0.2000 (standard error 0.0500)" in text
    before, _, after = text.partition("**as published, of other people**")
    assert "| DNABERT |" in after
    assert "DNABERT" not in before


def test_names_from_files_do_not_break_the_table(tmp_path):
    part = Part("t", "", ("auroc",), lines=[Line("", "a|b\nc", {"auroc": [0.5]})])
    assert "| a\\|b c | 1 | 0.500 |" in page_of([part], [False], ["x"], tmp_path)


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_of_something_else_is_refused(tmp_path, there):
    folder = tmp_path / "other"
    if there:
        folder.mkdir()
    with pytest.raises(InputError, match="there are no results in this folder"):
        collect([folder])


def test_a_run_and_results_or_neither_are_refused(tmp_path):
    with pytest.raises(UsageError, match="one run, or the results of several.*neither"):
        report()
    with pytest.raises(UsageError, match="and --results"):
        report(tmp_path, results=[tmp_path])


def test_on_top_one_table_says_what_is_best_and_what_shows(tmp_path):
    one = finetuned(tmp_path / "a", 0, 0.6)
    rows = [row("kmer", 0, 0.7), row("random", 0, 0.6), row("mine", 0, 0.9)]
    rows += [one | {"set": "peaks", "auroc": one["auroc"] - 0.2} for one in rows]
    # A row that lacks a set has no mean over the sets, and is not called best.
    rows += [row("cnn", 0, 0.99)]
    text = report(results=[one, compared(tmp_path / "b", rows)], out=tmp_path / "out").read_text()
    table = text.partition("## In one table\n\n")[2].partition("\n\n## ")[0].splitlines()
    assert table[0] == "|  | by | best | next | what shows |"
    comparison, run = (line.split(" | ") for line in table[2:])
    # Means over both sets by hand: .9 and .7, .7 and .5.
    assert comparison[1:4] == ["auROC, mean of 2", "mine 0.800", "kmer 0.600"]
    assert comparison[0] == "| [Comparison: b](#comparison-b)"
    assert "mine is above random on 2 of 2 sets; in the mean +0.300" in comparison[4]
    assert run[1:4] == ["auROC", "pre-trained: play 0.600", "-"]
    assert "\n## Comparison: b\n" in text  # what it links to
    alone = report(results=[one], out=tmp_path / "alone").read_text()
    assert "In one table" not in alone
