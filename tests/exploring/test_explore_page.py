"""The page without a browser: its data read back, nothing of a file is HTML, its size is kept."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from epilm.errors import InputError
from epilm.exploring import explore_page as pages
from epilm.exploring.explore_page import Browsed, fit, igv_script, write_explorer
from epilm.exploring.loci import find_loci
from epilm.exploring.track import Level, Track, TrackSpan

SIZES = {"chr1": 100_000}
EVIL = "</script><script>document.title='run'</script><img src=x onerror=alert(1)>"


def browsed(n=3, name="typeA: states", values=20):
    loci = find_loci([f"chr1:{1000 * i}-{1000 * i + 100}" for i in range(n)], SIZES, flank=0)
    rng = np.random.default_rng(0)
    level = Track(
        "signal",
        "signals",
        tuple(Level(s.start, 5, rng.random(values).astype(np.float32)) for s in loci.stretches),
        low=0.0,
        axis="dnase",
    )
    spans = Track(
        name,
        "states",
        tuple(
            [TrackSpan(s.start, s.end, name, "+", "1,2,3", said={name: name})]
            for s in loci.stretches
        ),
    )
    bases = tuple("ACGTN" * 20 for _ in loci.stretches)
    return Browsed("A title", "hg19", SIZES, loci, bases, (spans, level), ("a note",))


def data_of(path):
    text = path.read_text()
    inside = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert len(inside) == 1
    return json.loads(inside[0]), text


def test_the_page_says_all_that_was_given(tmp_path):
    made = browsed()
    assert write_explorer(made, tmp_path / "p.html") == (tmp_path / "p.html").stat().st_size
    data, text = data_of(tmp_path / "p.html")
    assert [locus["name"] for locus in data["loci"]] == [x.name for x in made.loci.loci]
    assert [track["name"] for track in data["tracks"]] == ["signal", "typeA: states"]  # by group
    assert data["sequence"][1] == ["chr1", 1000, "ACGTN" * 20]
    levels, spans = data["tracks"]
    assert (levels["low"], levels["high"], levels["axis"]) == (0.0, None, "dnase")
    chrom, start, step, runs = levels["parts"][2]
    assert (chrom, start, step) == ("chr1", 2000, 5)
    assert runs[::2] == [1] * 20
    np.testing.assert_allclose(runs[1::2], made.tracks[1].parts[2].values, rtol=1e-3)
    assert spans["parts"][0][1][0] == [
        0,
        100,
        "typeA: states",
        "+",
        "1,2,3",
        [],
        {"typeA: states": "typeA: states"},
    ]
    assert data["notes"] == ["a note"]
    assert "loadDefaultGenomes: false" in text


def test_runs_are_written_once_and_gaps_as_null():
    values = np.array([np.nan, 1, 1, 0, np.nan, np.nan, 2.34567], np.float32)
    assert pages._short_runs(Level(0, 1, values)) == [1, None, 2, 1, 1, 0, 2, None, 1, 2.346]


def test_names_of_files_are_never_html(tmp_path):
    made = replace(browsed(name=EVIL), title=EVIL, assembly=EVIL, notes=(EVIL,))
    write_explorer(made, tmp_path / "p.html")
    data, text = data_of(tmp_path / "p.html")
    assert data["tracks"][1]["name"] == data["title"] == data["notes"][0] == EVIL
    assert EVIL not in text
    assert "<img src=x" not in text
    # Two scripts of ours and one element of data, no more.
    outside = text.replace(igv_script(), "")
    assert outside.count("<script") == 3


def test_only_the_pages_own_scripts_may_run_and_nothing_be_fetched(tmp_path):
    write_explorer(browsed(), tmp_path / "p.html")
    text = (tmp_path / "p.html").read_bytes().decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    policy = policy.replace("&#39;", "'")
    assert "default-src 'none'" in policy
    assert "connect-src data: blob:" in policy
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "unsafe-eval" not in policy
    assert not re.search(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="http', text)


def test_igv_is_the_pinned_file_with_its_licence(monkeypatch):
    folder = files("epilm.exploring") / "igv"
    pinned = json.loads((folder / "pinned.json").read_text())
    raw = (folder / pinned["file"]).read_bytes()
    assert hashlib.sha256(raw).hexdigest() == pinned["sha256"]
    assert pinned["version"].encode() in raw
    assert "MIT" in (folder / "LICENSE").read_text()
    assert "</script" not in igv_script()
    assert "\n//# sourceMappingURL" not in igv_script()
    monkeypatch.setattr(pages.json, "loads", lambda text: pinned | {"sha256": "0" * 64})
    with pytest.raises(InputError, match="not the one that was pinned"):
        igv_script()


def test_a_page_stays_below_its_size_and_what_has_no_room_is_said(tmp_path):
    made = browsed(20, values=4000)
    fitted = fit(made, 2.0)
    kept = len(fitted.loci.loci)
    assert 0 < kept < 20
    assert len(fitted.bases) == len(fitted.tracks[0].parts) == len(fitted.loci.stretches) == kept
    assert fitted.notes[-1] == (
        f"{20 - kept} of 20 loci are left out, from {made.loci.loci[kept].name} on: the page"
        " would be larger than 2 MB (--max-mb)"
    )
    size = write_explorer(fitted, tmp_path / "p.html")
    assert 1.9e6 < size < 2e6
    assert fit(browsed(), 20.0).notes == ("a note",)
    with pytest.raises(InputError, match="not even the first locus fits.*--flank"):
        fit(made, 1.57)
