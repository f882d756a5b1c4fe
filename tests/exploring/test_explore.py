"""Loci on a page: from files to what a person sees, in a headless Chromium too."""

import json
import re

import pytest

import chromium
from epilm.cli import main
from epilm.errors import InputError, UsageError
from epilm.exploring.explore import explore
from epilm.exploring.explore_choices import Sources, View
from epilm.exploring.table_page import explore_table
from toy_binding import toy_store
from toy_runs import binding_run, sequence_run

EVIL = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
SEEN = pytest.mark.skipif(
    chromium.program() is None, reason="no Chromium here (apt-get install chromium)"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    store = toy_store(folder / "s", cells=("typeA", "typeB"), lonely=(EVIL,), regions=True)
    binding_run(folder / "binding", store)
    sequence_run(folder / "seq")
    (folder / "genes.gtf").write_text(
        'chr1\tx\texon\t1001\t1400\t.\t+\t.\tgene_id "G1"; gene_name "CTCF";\n'
    )
    (folder / "loci.bed").write_text(f"chr2\t5000\t5200\t{EVIL}\nchr3\t900\t1000\tthird\n")
    (folder / "peaks.bed").write_text(f"chr1\t1100\t1300\t{EVIL}\n")
    (folder / "ig.bedGraph").write_text(
        "".join(f"chr1\t{1100 + i}\t{1101 + i}\t{(i % 7) - 3}\n" for i in range(80))
    )
    (folder / "v.tsv").write_text(
        "chrom\tpos\tref\talt\tid\tp_delta\nchr1\t1201\tA\tG\trs1\t0.5\nchr3\t951\tA\tG\t.\t-1\n"
    )
    return folder


def store_of(world):
    return next((world / "s").glob("*/store.json")).parent


def made(world, out, **more):
    sources = Sources(
        store=store_of(world),
        genes=world / "genes.gtf",
        track=[f"{EVIL}={world / 'peaks.bed'}", str(world / "v.tsv")],
        attributions=[str(world / "ig.bedGraph")],
    )
    given = {"sources": sources, "view": View(flank=300, stride=100), "say": lambda line: None}
    runs = (world / "binding", world / "seq")
    loci = ("CTCF", str(world / "loci.bed"))
    return explore(runs, loci, out, **(given | {"device": "cpu"} | more))


@pytest.fixture(scope="module")
def page(world):
    return made(world, world / "page.html", title=f"Title {EVIL}"), world / "page.html"


def test_every_kind_of_track_is_there_in_its_order(page):
    done, path = page
    assert list(done.tracks) == [
        "genes",
        "v",
        "v: p_delta",
        "ig",
        "binding: TF in typeA",
        "binding: TF in typeB",
        "seq: 1",
        EVIL,
        "typeA: accessibility",
        "typeB: accessibility",
        "mappability",
        "typeA: regions",
        "typeB: regions",
        f"{EVIL}: regions",
        "typeA: states",
        "typeB: states",
    ]
    assert done.loci == 3
    assert path.stat().st_size == done.size < 20e6
    assert f"no chromatin states of {EVIL} in the store" in done.notes
    assert EVIL not in path.read_text()


@SEEN
def test_a_browser_shows_all_tracks_asks_for_nothing_and_follows_a_click(page, tmp_path):
    done, path = page
    with chromium.chromium(tmp_path / "profile") as tab:
        tab.open(path)
        views = "window.explorer.browser.trackViews.map(view => view.track.name)"
        names = [name for name in tab.run(views) if name]
        # HTML's signs are shown as signs that look like them.
        assert [re.sub("[‹›＆”’]", "", n) for n in names] == [
            re.sub("[<>&\"']", "", n) for n in done.tracks
        ]
        where = "window.explorer.browser.referenceFrameList[0].getLocusString()"

        def seen():
            chrom, first, last = re.split("[:-]", tab.run(where).replace(",", ""))
            return chrom, round(int(first), -1), round(int(last), -1)  # pixels are not bases

        assert seen() == ("chr1", 700, 1700)
        sequence = "window.explorer.browser.genome.getSequence('chr1', 1000, 1020)"
        data = json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(), re.S)[1])
        (bases,) = [b for c, at, b in data["sequence"] if c == "chr1"]
        assert tab.run(sequence) == bases[300:320]
        tab.run("document.querySelectorAll('#loci tbody tr')[2].click()")
        tab.until("document.documentElement.dataset.moving === 'no'")
        assert seen() == ("chr3", 600, 1300)
        assert tab.run("document.querySelector('tr[aria-selected=true]').innerText").startswith(
            "third"
        )
        tab.run("document.querySelectorAll('#loci thead button')[2].click()")
        first = "document.querySelector('#loci tbody tr').innerText"
        assert tab.run(first).startswith("third")  # sorted by start
        tab.run("document.querySelector('#groups input').click()")
        tab.until(f"!{views}.includes('genes')")
        tab.picture(tmp_path / "seen.png")
        assert (tmp_path / "seen.png").stat().st_size > 20_000
        # Neither the title, the table nor igv's labels ran what a file called a name.
        assert tab.run("document.title") == f"Title {EVIL}"
        assert tab.asked == [f"file://{path}"]
        assert tab.said == []


@SEEN
def test_a_browser_sorts_and_filters_a_table(tmp_path):
    rows = "".join(f"chr{i % 3}\t{(i * 7) % 500}\n" for i in range(500))
    (tmp_path / "a.tsv").write_text("chrom\tscore\n" + rows + "chr9\t.\n")
    explore_table(tmp_path / "a.tsv", tmp_path / "a.html")
    with chromium.chromium(tmp_path / "profile") as tab:
        tab.open(tmp_path / "a.html")
        cells = "[...document.querySelectorAll('tbody tr')].map(row => row.cells[1].textContent)"
        tab.run("document.querySelectorAll('thead button')[1].click()")
        assert tab.run(cells)[:3] == ["499", "498", "497"]
        tab.run("document.querySelectorAll('thead button')[1].click()")
        assert tab.run(cells)[:3] == ["0", "1", "2"]
        tab.run(
            "const f = document.getElementById('filter'); f.value = 'chr1 score>490';"
            "f.dispatchEvent(new Event('input'))"
        )
        expected = sorted((i * 7) % 500 for i in range(500) if i % 3 == 1 and (i * 7) % 500 > 490)
        assert [int(each) for each in tab.run(cells)] == expected
        assert tab.asked == [f"file://{tmp_path / 'a.html'}"]
        assert tab.said == []


def test_the_command_writes_page_and_hub_and_says_it_as_json(world, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "no_browser_here"))  # none is needed to write a page
    words = ["explore", "--loci", "CTCF", "chr2:100-300", "--genes", str(world / "genes.gtf")]
    words += ["--store", str(store_of(world)), "--cells", "typeB", "--flank", "50", "--json"]
    words += ["--out", str(tmp_path / "p.html"), "--hub", str(tmp_path / "hub")]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["loci"] == 2
    assert "typeB: states" in said["tracks"]
    assert not any("typeA" in name for name in said["tracks"])
    assert (tmp_path / "hub/hub.txt").is_file()
    assert (
        main(["explore", "--table", str(world / "v.tsv"), "--out", str(tmp_path / "t.html")]) == 0
    )
    assert "2 rows" in capsys.readouterr().out
    assert main(["explore", "--table", str(world / "v.tsv"), "--loci", "CTCF"]) == 2
    assert "--table makes a page of the table alone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"out": None}, UsageError, "nothing to write.*--out page.html"),
        ({"sources": Sources()}, UsageError, "lie on no genome.*--store, or --genome"),
        ({"sources": "both"}, UsageError, "--genome and --store do not go together"),
        ({"sources": "genome", "cells": True}, UsageError, "--cells: cell types are those of a"),
        ({"view": View(cells=["typeQ"])}, UsageError, "--cells: the store has no such cell type"),
        ({"view": View(max_mb=1.5)}, InputError, "not even the first locus fits"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_leaves_no_page(world, tmp_path, more, error, message):
    (tmp_path / "g.fa").write_text(">chr1\n" + "ACGT" * 500 + "\n")
    genome, out = tmp_path / "g.fa", tmp_path / "p.html"
    if more.get("sources") == "both":
        more = {"sources": Sources(store=store_of(world), genome=genome)}
    if more.get("cells"):
        more = {"sources": Sources(genome=genome), "view": View(cells=["typeA"])}
    given = {"loci": ["chr1:100-200"], "out": out, "sources": Sources(store=store_of(world))}
    with pytest.raises(error, match=message):
        explore(**(given | more), say=lambda line: None)
    assert list(tmp_path.glob("*.html")) == []


def test_a_chromosome_name_that_would_end_a_fasta_head_is_refused(tmp_path):
    (tmp_path / "g.fa").write_text(">HLA*01:01\n" + "ACGT" * 500 + "\n")
    (tmp_path / "a.bed").write_text("HLA*01:01\t10\t20\n")
    with pytest.raises(InputError, match="a name that the browser cannot show"):
        explore(
            loci=[tmp_path / "a.bed"],
            out=tmp_path / "p.html",
            sources=Sources(genome=tmp_path / "g.fa"),
        )
