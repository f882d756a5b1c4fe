"""The work of a run: its parts are those of one that was stopped, its null the variants' own."""

import numpy as np
import pytest

from epilm.atomic import locked
from epilm.errors import EpilmError, UsageError
from epilm.genome.sequence import encode
from epilm.variants import pair_scores, work
from epilm.variants.haplotypes import Windowing, reason_of_window
from epilm.variants.null import draw_null, stratum_of
from epilm.variants.score import score_variants
from forked import Command
from toy_variants import CPU, by_row, write_table


def test_another_process_and_an_interrupted_run_write_the_same_bytes(world, tmp_path, monkeypatch):
    folder = world["folder"]
    options = {"null": 2, "shifts": (3,)}
    out = tmp_path / "scored.tsv.gz"
    table = write_table(tmp_path / "v.tsv", world["rows"][:9])

    def run(to=out, **more):
        given = options | CPU | more
        return score_variants(table, folder / "model", folder / "g.fa", to, **given)

    whole = run(tmp_path / "whole.tsv.gz")
    expected = (tmp_path / "whole.tsv.gz").read_bytes()
    words = [
        "score-variants",
        table,
        "--model",
        folder / "model",
        "--genome",
        folder / "g.fa",
        "--null",
        2,
        "--shifts",
        3,
        "--device",
        "cpu",
        "--out",
        tmp_path / "other.tsv.gz",
    ]
    command = Command([str(word) for word in words])
    assert command.wait(120) == 0, command.said()
    assert (tmp_path / "other.tsv.gz").read_bytes() == expected

    monkeypatch.setattr(work, "PIECE", 8)
    done = pair_scores.score_changes
    calls = []

    def stopped(*given):
        calls.append(len(given[1]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return done(*given)

    monkeypatch.setattr(pair_scores, "score_changes", stopped)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert not out.exists()
    parts = tmp_path / ".scored.tsv.gz.parts"
    assert sorted(path.name for path in parts.iterdir()) == [
        "000000.safetensors",
        "000001.safetensors",
        "asked.json",
    ]
    with pytest.raises(
        UsageError, match=r"unfinished run of another request.*window \[64, \[3\], 1"
    ):
        run(shifts=(0,), null=0)
    with locked(out), pytest.raises(EpilmError, match="another process is writing"):
        run()
    calls[:] = [0] * 3
    # Another size of batches goes on all the same.
    lines = []
    again = run(batch_size=5, say=lines.append)
    assert "2 of" in lines[0]
    assert "going on" in lines[0]
    assert out.read_bytes() == expected
    assert not parts.exists()
    assert by_row(again).keys() == by_row(whole).keys()


def test_percentiles_are_among_matched_variants_of_the_own_chromosome(world, tmp_path):
    """A alone and A beside others; by hand from the null's own scores."""
    folder = world["folder"]
    given = {"motifs": folder / "m.jaspar", "window": 64, "null": 8, **CPU}
    whole = score_variants(folder / "v.tsv", genome=folder / "g.fa", **given)
    assert "8 random ones each" in whole.notes[-1]
    row = world["rows"][5]
    alone = score_variants(write_table(tmp_path / "1.tsv", [row]), genome=folder / "g.fa", **given)
    assert next(iter(by_row(alone).items())) in by_row(whole).items()
    other = score_variants(
        write_table(tmp_path / "1.tsv", [row]), genome=folder / "g.fa", **given | {"null_seed": 7}
    )
    assert other.values["motif_AP1_delta"] == alone.values["motif_AP1_delta"]
    for done in (alone, other):
        assert 0 <= done.values["motif_AP1_percentile"][0] <= 100
    bases = encode(world["letters"])
    windowing = Windowing(64)
    (change,) = alone.changes

    def reason_of(codes, drawn):
        return reason_of_window(codes, drawn, windowing)

    drawn = draw_null(bases, stratum_of(bases, change), reason_of, 8)
    rows = [
        [
            c.chrom,
            c.start,
            ".",
            world["letters"][c.start - 1] + c.ref,
            world["letters"][c.start - 1] + c.alt,
        ]
        for c in drawn
    ]
    null = score_variants(
        write_table(tmp_path / "n.tsv", rows), genome=folder / "g.fa", **given | {"null": 0}
    )
    sizes = np.abs(null.values["motif_AP1_delta"])
    size = abs(alone.values["motif_AP1_delta"][0])
    expected = 100 * ((sizes < size).mean() + (sizes == size).mean() / 2)
    assert alone.values["motif_AP1_percentile"][0] == pytest.approx(expected)
