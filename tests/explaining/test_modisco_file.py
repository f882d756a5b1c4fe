"""TF-MoDISco's file: its layout, every seqlet back to its place, its own reader where it is."""

import h5py
import numpy as np
import pytest

from epilm.explaining.discovery import call_seqlets, find_patterns
from epilm.explaining.modisco_file import REGIONS, RESULTS, write_modisco
from epilm.explaining.region_map import RegionMap
from toy_patterns import planted


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Maps with worths, a word that holds up and, in others, one that holds down."""
    maps, null, _ = planted()
    down, more, _ = planted(seed=1, word="CCGGAAGTGA")
    rng = np.random.default_rng(2)
    made = []
    for number, each in enumerate([*maps, *down]):
        scores = each.scores if number < len(maps) else -each.scores
        start = each.region.start + (0 if number < len(maps) else 100_000)
        region = each.region._replace(start=start, end=start + len(each))
        worth = rng.normal(size=(4, len(each))) * 0.01
        worth[each.codes, np.arange(len(each))] = scores
        made.append(RegionMap(region, each.codes, scores, worth=worth))
    patterns = find_patterns(made, call_seqlets(made, [*null, *more], 1))
    folder = tmp_path_factory.mktemp("modisco")
    write_modisco(made, patterns, folder)
    return made, patterns, folder


def test_the_layout_is_that_of_modisco_lite(written):
    _, patterns, folder = written
    with h5py.File(folder / RESULTS) as file:
        assert file.attrs["window_size"] == 80
        assert set(file) == {"pos_patterns", "neg_patterns"}
        mine = [p for p in patterns if p.name.startswith("pattern_")]
        assert list(file["pos_patterns"]) == [f"pattern_{n}" for n in range(len(mine))]
        for number, pattern in enumerate(mine):
            group = file[f"pos_patterns/pattern_{number}"]
            assert set(group) == {
                "sequence",
                "contrib_scores",
                "hypothetical_contribs",
                "seqlets",
            }
            known = pattern.counts.sum(1, keepdims=True)
            np.testing.assert_allclose(group["sequence"][:], pattern.counts / known)
            seqlets = group["seqlets"]
            assert seqlets["n_seqlets"][0] == len(pattern.seqlets)
            shape = (len(pattern.seqlets), len(pattern.counts), 4)
            for name in ("sequence", "contrib_scores", "hypothetical_contribs"):
                assert seqlets[name].shape == shape
            np.testing.assert_allclose(
                seqlets["contrib_scores"][:],
                seqlets["sequence"][:] * seqlets["hypothetical_contribs"][:],
            )


def test_every_seqlet_lies_where_its_readers_put_it(written):
    _, patterns, folder = written
    rows = [line.split("\t") for line in (folder / REGIONS).read_text().splitlines()]
    with h5py.File(folder / RESULTS) as file:
        half = file.attrs["window_size"] // 2
        for pattern in patterns:
            kind, number = pattern.name.split("_")
            name = {"pattern": "pos_patterns", "minus": "neg_patterns"}[kind]
            seqlets = file[f"{name}/pattern_{int(number) - 1}/seqlets"]
            assert {member.strand for member in pattern.seqlets} == {1, -1}
            for at, member in enumerate(pattern.seqlets):
                row = rows[seqlets["example_idx"][at]]
                centre = (int(row[1]) + int(row[2])) // 2
                assert row[0] == member.chrom
                assert centre - half + seqlets["start"][at] == member.start
                assert centre - half + seqlets["end"][at] == member.end
                assert seqlets["is_revcomp"][at] == (member.strand < 0)


def test_nothing_is_written_where_there_are_no_patterns(tmp_path, written):
    write_modisco(written[0], [], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_finemo_reads_the_motifs_as_they_are(written):
    """The whole of `finemo call-hits`, which takes half a minute, is in docs/how-to/explain.md."""
    data_io = pytest.importorskip(
        "finemo.data_io", reason="a reader of the file: pip install finemo"
    )
    folder = written[2]
    table, cwms, _, names = data_io.load_modisco_motifs(
        str(folder / RESULTS), None, None, 0.3, "cwm", None, None, None, 0.7, False
    )
    with h5py.File(folder / RESULTS) as file:
        known = [
            f"{kind}.{name}" for kind in ("pos_patterns", "neg_patterns") for name in file[kind]
        ]
        assert list(names) == known
        for row, cwm in zip(table.iter_rows(named=True), cwms, strict=True):
            kind, name = row["motif_name"].split(".")
            scores = file[kind][name]["contrib_scores"][:].T
            read = cwm * row["motif_scale"]
            np.testing.assert_allclose(
                read[:, : scores.shape[1]], scores, rtol=2e-3, atol=1e-3
            )  # float16
