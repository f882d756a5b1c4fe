"""Variants scored by several models on one page: means by hand, seeds of one recipe in one row."""

import csv
import json

import pytest

from epilm.cli import main
from epilm.errors import InputError
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from epilm.reporting import report
from epilm.trials.results import write_results
from epilm.variants.judging import TruthScores
from epilm.variants.kept_judgement import read_judgement
from epilm.variants.score_writers import FIXED
from toy_variants import SITES, write_genome, write_table

LETTERS = "ACGTTGCATG" * 30


def judged(file, scores, *, model=("lab", "x", "1"), variants="v", measure="auroc", **reading):
    """A file of scores and its comparison: score -> group -> (by size, with sign)."""
    file.parent.mkdir(exist_ok=True)
    file.write_text("\t".join(FIXED) + "\n")
    rows = [
        TruthScores(group, "causal", score, 50, 20, measure, signed, size, 0.05)
        for score, groups in scores.items()
        for group, (size, signed) in groups.items()
    ]
    lines = ["\t".join(TruthScores._fields), *("\t".join(map(str, row)) for row in rows)]
    file.with_suffix(".truth.tsv").write_text("\n".join(lines) + "\n")
    about = dict(zip(("name", "alike", "seed"), model)) if model else {}
    kept = {"variants": variants, "table": "known.tsv", "model": about, "reading": reading}
    kept["command"] = f"epilm score-variants known.tsv --out {file.name}"
    file.with_suffix(".truth.json").write_text(json.dumps(kept))
    return file


def numbers(folder):
    with open(folder / "results.tsv", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return {(r["setting"], r["row"], r["score"]): r for r in rows}


def test_models_that_differ_by_the_seed_are_one_row_beside_what_needs_none(tmp_path):
    rule = {"baseline gc": {"all": (0.6, 0.5)}}
    one = judged(tmp_path / "a.tsv", {"l2": {"all": (0.7, 0.2)}} | rule)
    two = judged(tmp_path / "b.tsv", {"l2": {"all": (0.9, 0.4)}} | rule, model=("lab", "x", "2"))
    text = write_results([one, two], tmp_path / "out").read_text()
    assert "## Variants: known.tsv" in text
    assert "epilm score-variants known.tsv --out b.tsv" in text
    assert "* Known: causal (50 variants, 20 of them 1)" in text
    assert "* Model lab: seed 1; 2" in text
    assert "| lab: l2 | 2 | **0.800 ± 0.141** | 0.300 ± 0.141 |" in text
    assert "| baseline gc | 1 | 0.600 | **0.500** |" in text
    # Two errors of .05: twice their hypotenuse is .141, and .2 is more.
    assert "lab: l2, is +0.200 from baseline gc by size" in text
    assert ": level" not in text
    found = numbers(tmp_path / "out")
    assert float(found["causal, all", "lab: l2", "auroc"]["mean"]) == pytest.approx(0.8)


def test_a_score_within_two_errors_of_what_needs_no_model_is_called_level(tmp_path):
    scores = {"l2": {"all": (0.7, 0.2)}, "baseline gc": {"all": (0.6, 0.5)}}
    text = write_results([judged(tmp_path / "a.tsv", scores)], tmp_path / "out").read_text()
    assert "is +0.100 from baseline gc by size" in text
    assert text.count(": level") == 1


def test_groups_are_rows_and_all_of_them_together_no_part_of_the_mean(tmp_path):
    scores = {
        "l2": {"all": (0.9, 0.9), "p": (0.6, 0.1), "q": (0.8, 0.3)},
        "baseline gc": {"all": (0.1, 0.1), "p": (0.5, 0.3), "q": (0.5, 0.3)},
        "baseline tss": {"all": (0.99, 0.1), "p": (0.4, 0.0), "q": (0.45, 0.0)},
    }
    file = judged(tmp_path / "a.tsv", scores, measure="spearman")
    text = write_results([file], tmp_path / "out").read_text()
    assert "| group | variants | lab: l2 | baseline gc | baseline tss |" in text
    assert "| p | 50 | **0.600** | 0.500 | 0.400 |" in text
    # By size: gaps .1 and .3, whose mean has an error of .1. With the sign it is above on neither.
    said = "lab: l2 is above baseline gc on 2 of 2 groups; in the mean +0.200"
    assert f"* {said} (standard error over the groups 0.100)." in text
    assert "above baseline gc on 0 of 2 groups; in the mean -0.100" in text
    found = numbers(tmp_path / "out")
    assert found["causal, all", "lab: l2", "spearman"]["mean"] == "0.9"
    # On top stands the mean over the groups, without all of them together.
    two = judged(tmp_path / "b.tsv", {"l2": {"all": (0.7, 0.2)}}, variants="w")
    top = write_results([tmp_path / "a.tsv", two], tmp_path / "both").read_text()
    assert "| Spearman, mean of 2 | lab: l2 0.700 | baseline gc 0.500 | lab: l2 is above" in top


def test_other_variants_are_another_part_and_models_of_one_name_are_told_apart(tmp_path):
    files = [
        judged(tmp_path / "a.tsv", {"l2": {"all": (0.7, 0.2)}}),
        judged(tmp_path / "b.tsv", {"l2": {"all": (0.8, 0.2)}}, model=("lab", "y", "1")),
        judged(tmp_path / "c.tsv", {"l2": {"all": (0.9, 0.2)}}, variants="w"),
    ]
    text = write_results(files, tmp_path / "out").read_text()
    assert text.count("\n## Variants: known.tsv") == 2
    assert "| lab (a.tsv): l2 | 1 | 0.700 |" in text
    assert "| lab (b.tsv): l2 | 1 | **0.800** |" in text
    assert "| lab: l2 | 1 | 0.900 |" in text


def test_models_of_one_name_and_files_of_one_name_are_told_apart_by_their_paths(tmp_path):
    files = [
        judged(
            tmp_path / name / "scored.tsv", {"l2": {"all": (size, 0.2)}}, model=("lab", name, "")
        )
        for name, size in (("p", 0.7), ("q", 0.8))
    ]
    text = write_results(files, tmp_path / "out").read_text()
    assert "| lab (p/scored.tsv): l2 | 1 | 0.700 |" in text
    assert "| lab (q/scored.tsv): l2 | 1 | **0.800** |" in text


def test_variants_read_in_another_way_are_another_row_and_named_by_it(tmp_path):
    wide = judged(tmp_path / "a.tsv", {"l2": {"all": (0.7, 0.2)}}, window=200)
    usual = judged(tmp_path / "b.tsv", {"l2": {"all": (0.8, 0.2)}}, model=("lab", "x", "2"))
    text = write_results([wide, usual], tmp_path / "out").read_text()
    assert "| lab (window 200): l2 | 1 | 0.700 |" in text
    assert "| lab (as it reads unasked): l2 | 1 | **0.800** |" in text


def test_what_needs_no_model_stands_once_where_it_is_the_same_and_else_beside_its_model(tmp_path):
    nan = float("nan")
    rules = {"baseline gc": {"all": (nan, 0.5)}, "baseline tss": {"all": (0.6, 0.6)}}
    one = judged(tmp_path / "a.tsv", {"l2": {"all": (0.7, 0.2)}} | rules)
    rules["baseline tss"] = {"all": (0.65, 0.65)}  # of fewer variants, say
    two = judged(tmp_path / "b.tsv", {"l2": {"all": (0.8, 0.2)}} | rules, model=("rnd", "y", "1"))
    text = write_results([one, two], tmp_path / "out").read_text()
    assert text.count("| baseline gc | 1 | - | 0.500 |") == 1
    assert "| baseline tss | 1 | 0.600 |" in text
    assert "| baseline tss, beside rnd | 1 | 0.650 |" in text


def test_a_group_or_column_that_one_file_alone_has_is_not_lost(tmp_path):
    one = judged(tmp_path / "a.tsv", {"l2": {"all": (0.7, 0.2), "p": (0.7, 0.2)}})
    more = {"l2": {"all": (0.8, 0.2), "p": (0.8, 0.2), "q": (0.9, 0.1)}}
    two = judged(tmp_path / "b.tsv", more, model=("lab", "x", "2"))
    for files in ([one, two], [two, one]):
        text = write_results(files, tmp_path / f"out{files[0].stem}").read_text()
        assert "| q | 50 | **0.900** |" in text
        assert "| p | 50 | **0.750 ± 0.071** |" in text


def test_a_rule_that_one_group_does_not_have_is_still_the_best(tmp_path):
    nan = float("nan")
    scores = {
        "l2": {"all": (0.9, 0.9), "p": (0.6, 0.1), "q": (0.8, 0.3), "r": (0.7, 0.1)},
        "baseline gc": {"all": (0.5, 0.1), "p": (0.5, 0.3), "q": (0.5, 0.3), "r": (nan, nan)},
        "baseline tss": {"all": (0.1, 0.1), "p": (0.1, 0.0), "q": (0.1, 0.0), "r": (0.1, 0.0)},
    }
    text = write_results([judged(tmp_path / "a.tsv", scores)], tmp_path / "out").read_text()
    assert "lab: l2 is above baseline gc on 2 of 2 groups; in the mean +0.200" in text
    assert "; 1 groups know one of the two alone" in text


def test_labels_without_groups_beside_effects_with_them_have_their_sentence(tmp_path):
    file = judged(tmp_path / "a.tsv", {"l2": {"all": (0.9, 0.2), "p": (0.9, 0.2)}})
    table = file.with_suffix(".truth.tsv")
    other = [
        "\t".join(map(str, TruthScores("all", "known", score, 50, 20, "auroc", size, size, 0.01)))
        for score, size in (("l2", 0.9), ("baseline gc", 0.5))
    ]
    table.write_text(table.read_text() + "\n".join(other) + "\n")
    text = write_results([file], tmp_path / "out").read_text()
    assert "known: the best score of a model, lab: l2, is +0.400 from baseline gc" in text
    assert "nan" not in text


def test_a_model_called_motif_is_a_model(tmp_path):
    scores = {"l2": {"all": (0.7, 0.2)}, "baseline gc": {"all": (0.6, 0.5)}}
    file = judged(tmp_path / "a.tsv", scores, model=("motif_net", "x", "1"))
    text = write_results([file], tmp_path / "out").read_text()
    assert "the best score of a model, motif_net: l2, is +0.100 from baseline gc" in text


def test_quotes_in_a_groups_name_are_letters(tmp_path):
    scores = {"l2": {"all": (0.7, 0.2), '"p': (0.7, 0.2), "q": (0.6, 0.2)}}
    text = write_results([judged(tmp_path / "a.tsv", scores)], tmp_path / "out").read_text()
    assert '| "p | 50 | **0.700** |' in text
    assert "| q | 50 | **0.600** |" in text


def test_a_folder_with_one_table_is_that_table(tmp_path):
    judged(tmp_path / "in" / "a.tsv", {"l2": {"all": (0.7, 0.2)}})
    text = write_results([tmp_path / "in"], tmp_path / "out").read_text()
    assert "| lab: l2 | 1 | 0.700 |" in text


def test_one_model_twice_is_refused(tmp_path):
    files = [judged(tmp_path / f"{name}.tsv", {"l2": {"all": (0.7, 0.2)}}) for name in "ab"]
    with pytest.raises(InputError, match=r"a\.tsv, .*b\.tsv: two files are of one model"):
        write_results(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("lacks", "says"), [("tsv", "truth.tsv"), ("json", "truth.json")])
def test_scores_that_were_compared_with_nothing_are_refused(tmp_path, lacks, says):
    file = judged(tmp_path / "a.tsv", {"l2": {"all": (0.7, 0.2)}})
    file.with_suffix(f".truth.{lacks}").unlink()
    with pytest.raises(InputError, match=f"a.tsv: .*compared with nothing.*{says}.*--truth COLUMN"):
        write_results([file], tmp_path / "out")


@pytest.mark.parametrize("text", ["{", "[]", '{"variants": "v"}'])
def test_a_comparison_that_cannot_be_read_is_refused(tmp_path, text):
    file = judged(tmp_path / "a.tsv", {"l2": {"all": (0.7, 0.2)}})
    file.with_suffix(".truth.json").write_text(text)
    with pytest.raises(InputError, match=r"cannot be read.*score-variants again"):
        write_results([file], tmp_path / "out")


def test_two_pretrainings_of_one_recipe_from_the_command_to_the_page(tmp_path):
    write_genome(tmp_path / "one.fa", chr1=LETTERS)
    write_genome(tmp_path / "two.fa", chr2=LETTERS[::-1])
    rows = [
        [chrom, at + 1, f"v{at}", letters[at], "A" if letters[at] != "A" else "C", at % 2]
        for chrom, letters in (("chr1", LETTERS), ("chr2", LETTERS[::-1]))
        for at in range(100, 112)
    ]
    write_table(tmp_path / "v.tsv", rows, "chrom\tpos\tid\tref\talt\tcausal")
    for seed in (1, 2):
        recipe = {"name": "toy_lab", "train": {"steps": 3, "seed": seed}}
        recipe["objectives"] = {"masked_kmers": {"weight": 0}}
        network = build_model(SITES, seed=seed).eval()
        save_model(tmp_path / f"run{seed}", network, SITES, {"recipe": recipe, "store": "s"})
        words = ["score-variants", tmp_path / "v.tsv", "--model", tmp_path / f"run{seed}"]
        words += ["--genome", tmp_path / "one.fa", tmp_path / "two.fa", "--scores", "l2"]
        words += ["--truth", "causal", "--device", "cpu", "--out", tmp_path / f"s{seed}.tsv"]
        assert main(list(map(str, words))) == 0
    kept = [read_judgement(tmp_path / f"s{seed}.tsv") for seed in (1, 2)]
    assert kept[0].variants == kept[1].variants
    assert kept[0].model["alike"] == kept[1].model["alike"]
    scores = {row.score: row.of_size for row in kept[0].rows}
    text = report(
        results=[tmp_path / "s1.tsv", tmp_path / "s2.tsv"], out=tmp_path / "out"
    ).read_text()
    both = [row.of_size for one in kept for row in one.rows if row.score == "l2"]
    assert both[0] != both[1]
    assert f"| toy_lab: l2 | 2 | {'**' if sum(both) / 2 > scores['baseline gc'] else ''}" in text
    assert f"{sum(both) / 2:.3f} ±" in text
    assert f"--genome {tmp_path / 'one.fa'} {tmp_path / 'two.fa'} --scores l2" in text
    # Other scores under that name are not those that were compared.
    words = [*words[: words.index("--truth")], "--device", "cpu", "--out", tmp_path / "s2.tsv"]
    assert main(list(map(str, words))) == 0
    with pytest.raises(InputError, match="compared with nothing"):
        write_results([tmp_path / "s2.tsv"], tmp_path / "stale")
