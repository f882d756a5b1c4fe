"""The hub: read back by our own reader of hubs, files by that of bigBed and bigWig."""

from dataclasses import replace

import numpy as np
import pytest

from epilm.errors import EpilmError, InputError
from epilm.exploring.explore_page import Browsed
from epilm.exploring.hub import label, write_hub
from epilm.exploring.loci import find_loci
from epilm.exploring.track import Level, Track, TrackSpan
from epilm.genome.bbi import open_bbi
from epilm.genome.signals import open_signal
from epilm.genome.trackhub import read_trackdb

SIZES = {"chr10": 5000, "chr2": 3000}  # not in the order of text: bigBed sorts by name


def browsed(tracks):
    loci = find_loci(["chr10:100-200", "chr2:40-50"], SIZES, flank=0)
    return Browsed("<b>Two loci</b>", "GRCh37", SIZES, loci, ("A" * 100, "C" * 10), tuple(tracks))


GENE = TrackSpan(90, 150, "CTCF 2", "-", exons=((90, 100), (140, 150)), said={"id": "G1"})
SPANS = Track("genes", "genes", ([GENE], []), "45,52,64")
STATES = Track(
    "CD4+: states",
    "states",
    ([TrackSpan(100, 150, "1_TssA", colour="255,0,0")], [TrackSpan(40, 50, "b")]),
)
OTHER = replace(STATES, name="CD4-: states")
EMPTY = Track("nothing", "peaks", ([], []))
LEVELS = Track(
    "binding: TF",
    "predictions",
    (Level(100, 50, np.array([0.25, 0.75], np.float32)), Level(40, 5, np.array([np.nan, 1], "f4"))),
    low=0.0,
    high=1.0,
    about="bins",
)


def test_a_hub_is_read_back_as_it_was_given(tmp_path):
    notes = write_hub(browsed([SPANS, STATES, OTHER, EMPTY, LEVELS]), tmp_path / "hub")
    assert notes == ["nothing holds nothing here: not in the hub"]
    text = (tmp_path / "hub/hub.txt").read_text()
    assert "shortLabel b Two loci /b\n" in text
    assert (tmp_path / "hub/genomes.txt").read_text().startswith("genome hg19\ntrackDb hg19/")
    tracks = {t.track: t for t in read_trackdb(tmp_path / "hub")}
    assert list(tracks) == ["genes", "CD4_states", "CD4_states_2", "binding_TF"]
    assert tracks["CD4_states_2"].short_label == "CD4-: states"
    signal = open_signal(tracks["binding_TF"].url)
    assert signal.read_window("chr10", 99, 201, 5000).tolist()[1:-1] == [0.25] * 50 + [0.75] * 50
    assert np.isnan(signal.read_window("chr2", 40, 45, 3000)).all()
    genes = open_bbi(tracks["genes"].url, "bigBed")
    (row,) = list(genes.records("chr10"))
    assert row[:2] == (90, 150)
    assert row[2:] == ("CTCF_2", "0", "-", "90", "150", "45,52,64", "2", "10,10", "0,50")
    states = open_bbi(tracks["CD4_states"].url, "bigBed")
    assert [r[7] for r in states.records("chr10")] == ["255,0,0"]
    lines = (tmp_path / "hub/loci.bed").read_text().splitlines()
    assert lines[0] == "chr10\t100\t200\tchr10:100-200"


def test_a_folder_that_is_there_is_left_alone_and_an_empty_hub_not_written(tmp_path):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub/mine").write_text("x")
    with pytest.raises(EpilmError, match="hub"):
        write_hub(browsed([SPANS]), tmp_path / "hub")
    assert (tmp_path / "hub/mine").read_text() == "x"
    with pytest.raises(InputError, match="no track holds anything"):
        write_hub(browsed([EMPTY]), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_labels_are_one_line_without_html():
    assert label("a\n<script>\tb", 80) == "a script b"
    assert len(label("x" * 99, 17)) == 17
    assert label("<>", 17) == "track"
