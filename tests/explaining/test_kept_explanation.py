"""An explanation that was written is read back the same, and its page drawn again."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.explaining.discovery import Match, call_seqlets, find_patterns
from epilm.explaining.explain import explain
from epilm.explaining.explain_page import explain_page
from epilm.explaining.explanation import Explanation
from epilm.explaining.kept_explanation import load_explanation
from epilm.explaining.truth import MethodTable
from epilm.plots.page import render
from epilm.reporting import report
from toy_explained import frame, subject
from toy_patterns import planted

LETTERS = "ACGTN"


def why(tmp_path, **options):
    text = "".join(LETTERS[code] for code in frame(20, n_at=(4,)).codes)
    (tmp_path / "a.fa").write_text(f">one\n{text}\n>two\n{text[::-1]}\n")
    return explain(subject("dna"), fasta=tmp_path / "a.fa", out=tmp_path / "why", **options)


def test_maps_and_facts_come_back(tmp_path):
    done = why(tmp_path, method="integrated", steps=2)
    again = load_explanation(tmp_path / "why")
    asked = [each.region._replace(where="") for each in done.maps]
    assert [each.region for each in again.maps] == asked
    for ours, theirs in zip(done.maps, again.maps):
        np.testing.assert_array_equal(theirs.codes, ours.codes)
        np.testing.assert_allclose(theirs.scores, ours.scores, rtol=1e-6)
        np.testing.assert_allclose(theirs.worth, ours.worth, rtol=1e-6)
        assert theirs.facts == pytest.approx(ours.facts, rel=1e-4)
        assert theirs.changes is None


def test_the_page_is_drawn_again_with_the_numbers_of_each_picture(tmp_path):
    done = why(tmp_path)
    numbers = tmp_path / "why/report.numbers"
    first = {path.name: path.read_text() for path in numbers.iterdir()}
    assert sorted(first) == ["one.tsv", "two.tsv"]
    (tmp_path / "why/report.html").unlink()
    assert report(tmp_path / "why").is_file()
    with open(numbers / "one.tsv", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    assert [row["base"] for row in rows] == [LETTERS[c] for c in done.maps[0].codes]
    assert rows[4]["change_A"] == ""  # an N
    assert float(rows[7]["change_C"]) == pytest.approx(done.maps[0].changes[1, 7], rel=1e-5)


def test_patterns_come_back_with_their_members_and_names(tmp_path):
    maps, null, _ = planted()
    seqlets = call_seqlets(maps, null, 1)
    patterns = find_patterns(maps, seqlets)
    patterns[0] = replace(patterns[0], match=Match("MA1", "X", 0.001))
    about = {"method": "ism", "what": "w", "output": "o", "model": "m", "strands": "both"}
    done = Explanation(maps, about | {"options": {}}, {}, seqlets, patterns, ["a note"])
    done.write(tmp_path / "why", pictures=1)
    again = load_explanation(tmp_path / "why")
    assert again.notes == ["a note"]
    for ours, theirs in zip(done.patterns, again.patterns, strict=True):
        assert (theirs.consensus, theirs.match) == (ours.consensus, ours.match)
        np.testing.assert_array_equal(theirs.counts, ours.counts)
        places = [(s.region, s.chrom, s.start, s.end, s.strand) for s in theirs.seqlets]
        assert places == [(s.region, s.chrom, s.start, s.end, s.strand) for s in ours.seqlets]
    # Of six digits: the same page but for the last ones of a picture.
    pages = [re.sub('data:[^"]*', "", render(explain_page(each, []))) for each in (again, done)]
    assert pages[0] == pages[1]


def test_a_folder_that_lacks_an_array_is_refused(tmp_path):
    why(tmp_path)
    (tmp_path / "why/codes.npy").unlink()
    with pytest.raises(InputError, match=r"no whole explanation.*no codes\.npy"):
        report(tmp_path / "why")


def test_scored_methods_have_their_page_again(tmp_path):
    rows = [{"method": "ism", "auprc": 0.8}, {"method": "random", "auprc": 0.1}]
    about = {"planted_share": 0.1, "regions": 3, "sites": 4, "output": "o", "model": "m"}
    MethodTable(rows, about, ["a note"]).write(tmp_path / "table")
    before = (tmp_path / "table/report.html").read_text()
    assert report(tmp_path / "table").read_text() == before
    assert (tmp_path / "table/report.numbers/methods.tsv").is_file()
    assert json.loads((tmp_path / "table/table.json").read_text())["rows"] == rows
