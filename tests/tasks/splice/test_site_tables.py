"""Sites as a table and probabilities as tracks: what is read back is what was said."""

import gzip

import numpy as np
import pytest

from epilm.errors import UsageError
from epilm.genome.signals import open_signal
from epilm.tasks.splice.site_tables import COLUMNS, SiteTable, SiteTracks

SAID = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5], [0.9995, 0.0005, 0.0], [0.1, 0.0, 0.9]])


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_sites_from_the_threshold_on_are_written_in_order(tmp_path, name):
    with SiteTable(tmp_path / name, 0.5) as table:
        table.add("chr1", 100, "-", SAID, "G")
        table.add("chr2", 0, "+", SAID[:1])
    raw = (tmp_path / name).read_bytes()
    text = (gzip.decompress(raw) if name.endswith("gz") else raw).decode()
    assert [line.split("\t") for line in text.splitlines()] == [
        list(COLUMNS),
        ["chr1", "100", "101", "-", "acceptor", "0.5", "G"],
        ["chr1", "101", "102", "-", "donor", "0.5", "G"],
        ["chr1", "103", "104", "-", "donor", "0.9", "G"],
        ["chr2", "0", "1", "+", "acceptor", "0.5", "."],
    ]
    assert table.counts == {"acceptor": 2, "donor": 2}


def test_nothing_is_left_behind_where_writing_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), SiteTable(tmp_path / "a.tsv", 0.5):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="--out: sites are written as a table. Found a.bw"):
        SiteTable(tmp_path / "a.bw", 0.5)


def test_tracks_hold_each_class_and_strand_from_a_thousandth_on(tmp_path):
    prefix = str(tmp_path / "p")
    with SiteTracks(prefix, {"chr1": 10, "chr2": 5}) as tracks:
        tracks.add("chr1", 2, "+", SAID[:2])
        tracks.add("chr1", 2, "-", SAID[2:])
        tracks.add("chr1", 4, "+", SAID[2:])
        tracks.add("chr2", 0, "+", SAID[:2])
    plus = open_signal(f"{prefix}.acceptor.plus.bw")
    for chrom, size, first in (("chr1", 10, 2), ("chr2", 5, 0)):
        values = np.nan_to_num(plus.read(chrom, size))
        np.testing.assert_allclose(values[first : first + 3], [0.5, 0.3, 0.0])
    donors = np.nan_to_num(open_signal(f"{prefix}.donor.plus.bw").read("chr1", 10))
    np.testing.assert_allclose(donors[2:6], [0.0, 0.5, 0.0, 0.9])
    # of the acceptors of the minus strand none is shown: the track says 0 once
    empty = open_signal(f"{prefix}.acceptor.minus.bw").read("chr1", 10)
    assert np.nansum(empty) == 0
