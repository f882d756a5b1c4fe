"""Explanations are scored on planted sites: what knows them all scores 1, chance its share."""

import numpy as np
import pytest

from epilm.explaining.explain import explain
from epilm.playground.simulate import simulate
from toy_explained import subject


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "data"
    simulate(folder, "tiny", 0)
    return folder


def test_methods_stand_beside_random_scores_and_the_scanner(world, tmp_path):
    """Regions of one planted site each: the scanner finds it, an untrained model does not."""
    import gzip

    with gzip.open(world / "truth_sites.tsv.gz", "rt") as handle:
        head = handle.readline().rstrip("\n").split("\t")
        rows = [dict(zip(head, line.rstrip("\n").split("\t"))) for line in handle]
    sites = [row for row in rows if row["factor"] == "CTCF" and row.get("bound", "x") != "."][:4]
    regions = tmp_path / "r.bed"
    lines = [f"{s['chrom']}\t{int(s['start']) - 20}\t{int(s['start']) + 40}" for s in sites]
    regions.write_text("\n".join(lines) + "\n")
    table = explain(
        subject("dna"),
        regions=regions,
        genome=(world / "genome.fa",),
        score=world,
        factor="CTCF",
        out=tmp_path / "scored",
    )
    scores = {row["method"]: row for row in table.rows}
    assert {"random", "motif hits", "ism", "integrated", "deeplift", "occlusion"} <= set(scores)
    assert scores["motif hits"]["auprc"] > 0.8
    assert scores["random"]["auprc"] < 0.7
    assert np.isfinite(scores["ism"]["auprc"])
    assert (tmp_path / "scored" / "table.tsv").is_file()
