"""Leaderboards: tables of scores in, one table and its pictures out; what is wrong in a file is
pointed at.
"""

import json

import numpy as np
import pytest

from epilm.cli import main
from epilm.errors import InputError, UsageError
from epilm.metrics.bin_scores import METRICS, score_entry
from epilm.rankings.leaderboard import leaderboard

HEADER = "model,dataset,auroc,auprc_dg,recall_at_fdr10,recall_at_fdr50\n"


def simulated(model, factor, cell, quality, seed):
    """Scores of an invented model on invented bins, as `epilm evaluate --task binding --json`
    writes them.
    """
    rng = np.random.default_rng(seed)
    labels = (np.arange(600) % 8 == 0).astype(np.int8)
    return score_entry(model, factor, cell, labels, rng.normal(quality * labels, 1.0))


@pytest.fixture
def tables(tmp_path):
    pairs = [("CTCF", "iPSC"), ("MAX", "liver"), ("JUND", "liver"), ("E2F1", "K562")]
    for model, quality in (("weak", 0.5), ("strong", 2.5)):
        found = [simulated(model, f, c, quality, seed=i) for i, (f, c) in enumerate(pairs)]
        (tmp_path / f"{model}.json").write_text(json.dumps(found))
    (tmp_path / "peers.csv").write_text(
        HEADER.replace("\n", ",lab\n")
        + "peer,CTCF:induced_pluripotent_stem_cell,0.99,0.98,0.97,0.96,elsewhere\n"
    )
    return tmp_path


def test_the_paper_s_ranks_by_the_other_rule_are_said_to_differ(capsys):
    assert main(["leaderboard", "--paper", "--method", "challenge"]) == 0
    assert "the paper prints 3 1 2 4 5" in capsys.readouterr().out
    assert main(["leaderboard", "--paper", "--method", "log_rank"]) == 2
    assert "the paper gives dataset ranks alone" in capsys.readouterr().err


def test_published_ranks_and_scores_are_never_mixed(tables, capsys):
    assert main(["leaderboard", str(tables / "weak.json"), "--paper"]) == 2
    assert "metric values are not published" in capsys.readouterr().err
    assert main(["leaderboard"]) == 2
    assert "Give tables of scores, or --paper" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["mean_rank", "log_rank", "challenge"])
def test_the_better_model_is_first_by_every_rule(tables, method):
    board = leaderboard([tables / "weak.json", tables / "strong.json"], method=method)
    assert board.models == ("weak", "strong")
    assert board.overall.tolist() == [2, 1]
    assert (board.ranks == [2, 1]).all()
    assert board.notes == []


def test_tables_and_pictures_are_written_whole(tables, capsys):
    words = [
        "leaderboard",
        str(tables / "weak.json"),
        str(tables / "strong.json"),
        "--peers",
        str(tables / "peers.csv"),
    ]
    assert main([*words, "--out", str(tables / "board")]) == 0
    out = capsys.readouterr().out
    assert "peer has no scores for MAX:liver, JUND:liver, E2F1:K562: it counts as last there" in out
    assert "not used: lab" in out
    assert "auPRC (Davis-Goadrich)" in out
    names = {path.name for path in (tables / "board").iterdir()}
    assert names == {
        "leaderboard.json",
        "ranks.tsv",
        "metrics.tsv",
        "ranks.png",
        "auprc.png",
        "gains.png",
        "against.png",
    }
    assert all(
        (tables / "board" / n).read_bytes()[:4] == b"\x89PNG" for n in names if n.endswith("png")
    )
    rows = [line.split("\t") for line in (tables / "board/ranks.tsv").read_text().splitlines()]
    assert rows[0] == ["dataset", "weak", "strong", "peer"]
    assert rows[1] == ["CTCF:induced_pluripotent_stem_cell", "3", "2", "1"]
    assert rows[2] == ["MAX:liver", "2", "1", "–"]
    assert rows[-1] == ["overall", "2", "1", "3"]
    metrics = [line.split("\t") for line in (tables / "board/metrics.tsv").read_text().splitlines()]
    assert metrics[0] == ["dataset", "model", *METRICS, "rank"]
    assert metrics[3][1:] == ["peer", "0.990000", "0.980000", "0.970000", "0.960000", "1"]
    assert main([*words, "--out", str(tables / "board")]) == 1
    assert "the folder exists already" in capsys.readouterr().err
    assert main([*words, "--out", str(tables / "board"), "--overwrite", "--json"]) == 0
    board = json.loads(capsys.readouterr().out)
    assert board["ranks"][1] == [2, 1, None]
    assert board == json.loads((tables / "board/leaderboard.json").read_text())


def test_only_shared_datasets_when_asked(tables):
    board = leaderboard([tables / "weak.json"], peers=tables / "peers.csv", common=True)
    assert board.datasets == ("CTCF:induced_pluripotent_stem_cell",)
    assert board.overall.tolist() == [2, 1]
    assert len(board.notes) == 4


def test_the_paper_s_picture_is_its_ranks(tmp_path):
    leaderboard(paper=True, out=tmp_path / "board")
    assert {p.name for p in (tmp_path / "board").iterdir()} == {
        "leaderboard.json",
        "ranks.tsv",
        "ranks.png",
    }


def test_by_the_challenges_rule_an_undefined_dataset_counts_as_missing(tmp_path):
    """As `evaluate --json` writes a set of one class: no metrics, and so no resamples."""
    undefined = simulated("b", "CTCF", "liver", 1.0, 0)
    undefined |= {"scores": dict.fromkeys(undefined["scores"]), "resamples": []}
    given = [
        simulated("a", "MAX", "liver", 1.0, 0),
        simulated("b", "MAX", "liver", 1.2, 0),
        simulated("a", "CTCF", "liver", 1.0, 1),
    ]
    (tmp_path / "all.json").write_text(json.dumps([*given, undefined]))
    board = leaderboard(tmp_path / "all.json", method="challenge")
    assert board.datasets == ("MAX:liver", "CTCF:liver")
    assert "b has no scores for CTCF:liver: it counts as 0.5 there" in board.notes
    assert np.isnan(board.ranks[1]).tolist() == [False, True]
    (tmp_path / "lost.json").write_text(json.dumps([given[0] | {"resamples": []}]))
    with pytest.raises(InputError, match="needs the scores of its ten resamples"):
        leaderboard(tmp_path / "lost.json", method="challenge")


def test_resamples_in_a_csv_are_those_of_the_json(tmp_path):
    found = [simulated(m, "MAX", "liver", q, 1) for m, q in (("a", 1.0), ("b", 1.2))]
    (tmp_path / "s.json").write_text(json.dumps(found))
    lines = ["model\tfactor\tcell\tresample\t" + "\t".join(METRICS)]
    for table in found:
        for part, row in [("", table["scores"]), *enumerate(table["resamples"])]:
            lines.append(
                "\t".join(
                    [table["model"], "MAX", "liver", str(part), *(repr(row[k]) for k in METRICS)]
                )
            )
    (tmp_path / "s.tsv").write_text("\n".join(lines) + "\n")
    boards = [
        leaderboard(tmp_path / name, method="challenge").as_dict() for name in ("s.json", "s.tsv")
    ]
    assert boards[0] == boards[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the table is empty"),
        (HEADER, "the table has a header and no rows"),
        (
            HEADER.replace("auprc_dg", "auprc"),
            r"line 1: the column auprc_dg is missing.*Did you mean auprc\?",
        ),
        (HEADER.replace("model", "auroc"), "line 1: the column model is missing"),
        (HEADER.replace("\n", ",auroc\n"), "line 1: the column auroc stands twice"),
        (
            HEADER + "m,A:b,.9,.5,.1\n",
            "line 2: the row does not fit the header. Found 5 columns; expected 6",
        ),
        (
            HEADER + "m,A:b,.9,.5,.1,.2\n\nn,A:b,.9,x5,.1,.2\n",
            "line 4, column auprc_dg: auprc_dg is not a number. Found 'x5'",
        ),
        (
            HEADER + "m,A:b,.9,1.5,.1,.2\n",
            "line 2, column auprc_dg: auprc_dg is out of range. Found 1.5; expected 0 to 1",
        ),
        (HEADER + ",A:b,.9,.5,.1,.2\n", "line 2, column model: the column model is empty"),
        (
            HEADER + "m,A:b,.9,.5,.1,.2\nm,A:b,.9,.5,.1,.2\n",
            "line 3: m has scores for A:b already. Found the first in .*line 2",
        ),
        (
            "resample," + HEADER + "10,m,A:b,.9,.5,.1,.2\n",
            "line 2, column resample: no resample. Found '10'; expected 0 to 9",
        ),
        (
            "resample," + HEADER + "1,m,A:b,.9,.5,.1,.2\n",
            "m on A:b has resamples and no scores of the whole set",
        ),
        ("{\n  x", "line 2, column 3: not valid JSON"),
        ("[]", "the list of scores is empty"),
        ("[3]", "entry 1: not a table of binding scores. Found int"),
        ('{"task": "promoter"}', "not a table of binding scores. Found task 'promoter'"),
        ('{"task": "dream", "model": "m", "scores": {}}', "the key 'factor' is missing"),
        (
            '{"task": "dream", "model": "m", "factor": "A", "cell": "b", "scores": 3}',
            "`scores` must be names with numbers",
        ),
        (
            (
                '{"task": "dream", "model": "m", "factor": "A", "cell": "b", "scores": {"auroc":'
                ' "high"}}'
            ),
            "auroc is not a number. Found 'high'",
        ),
        (
            '{"task": "dream", "model": "m", "factor": "A", "cell": "b", "scores": {"auroc": 0.5}}',
            "the metric auprc_dg is missing",
        ),
    ],
)
def test_a_bad_file_is_pointed_at(tmp_path, text, said):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        leaderboard(tmp_path / "bad.csv")
    assert "bad.csv" in str(caught.value)


def test_the_challenge_without_resamples_says_where_they_come_from(tmp_path):
    (tmp_path / "s.csv").write_text(HEADER + "m,A:b,.9,.5,.1,.2\n")
    with pytest.raises(
        InputError, match=r"s.csv, line 2: the challenge's rule needs .* Found 0 for m on A:b"
    ):
        leaderboard(tmp_path / "s.csv", method="challenge")
    with pytest.raises(UsageError, match=r"no method 'mean'\. Did you mean mean_rank"):
        leaderboard(tmp_path / "s.csv", method="mean")
    with pytest.raises(InputError, match="not a folder"):
        leaderboard(tmp_path)
    with pytest.raises(InputError, match="there is no such file"):
        leaderboard(tmp_path / "none.csv")
