"""Promoter sets: the windows, DeePromoter's negatives, the TATA rule."""

import numpy as np
import pytest

from epilm.errors import InputError, UsageError
from epilm.tasks import promoter
from epilm.tasks.base import LETTERS, encode_text
from epilm.tasks.splits import split_rows


def test_core_is_cut_from_300_as_worked():
    offsets = np.arange(300) - 249
    core = promoter.core_of_300(offsets)
    assert len(core) == 70
    assert (core[0], core[34], core[-1]) == (-34, 0, 35)


@pytest.mark.parametrize(
    ("strand", "core", "wide"), [("+", (966, 1036), (751, 1051)), ("-", (965, 1035), (950, 1250))]
)
def test_windows_know_the_strand(strand, core, wide):
    assert promoter.window_of(1000, strand, -34, 35) == core
    assert promoter.window_of(1000, strand, -249, 50) == wide


def test_substitution_keeps_8_parts_and_changes_45_percent():
    codes = np.random.default_rng(0).integers(0, 4, (200, 300)).astype(np.uint8)
    made = promoter.substitute_parts(codes, seed=3)
    parts = (made == codes).reshape(200, 20, 15).all(2)
    assert (parts.sum(1) >= 8).all()
    assert (parts.sum(1) <= 9).all()
    assert (made != codes).mean() == pytest.approx(0.45, abs=0.01)
    assert (promoter.substitute_parts(codes[:5], seed=3) == made[:5]).all()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A chromosome with 8 TSS, four of them with a TATA box, on both strands."""
    folder = tmp_path_factory.mktemp("world")
    codes = np.random.default_rng(1).integers(0, 4, 40_000).astype(np.uint8)
    box = encode_text("TATAAA", "box")
    lines = []
    for i in range(8):
        tss, strand = 2000 + 4000 * i, "+-"[i % 2]
        if i < 4:
            start = tss - 28 if strand == "+" else tss + 28 - 5
            codes[start : start + 6] = box if strand == "+" else (3 - box[::-1])
        else:  # no box of chance
            where = slice(tss - 60, tss + 60)
            codes[where] = np.random.default_rng(i).integers(1, 3, 120)
        lines.append(f"chr1\t{tss}\t{tss + 1}\tG{i}_1\t1\t{strand}")
    (folder / "g.fa").write_text(f">chr1\n{LETTERS[codes].tobytes().decode()}\n")
    (folder / "tss.bed").write_text("\n".join(lines) + "\n")
    return folder, codes


def test_tss_and_genome_become_a_set(world):
    folder, codes = world
    rows = promoter.load(folder / "tss.bed", genome=folder / "g.fa")
    assert rows.counts() == {"all": [8, 8]}
    assert set(rows.lengths.tolist()) == {70}
    positive = rows.take(rows.labels == 1)
    assert (positive.codes[0] == codes[1966:2036]).all()
    assert (positive.codes[1] == 3 - codes[5965:6035][::-1]).all()
    assert "4 of 8 promoters have a TATA box (TATAWA 40 to 20 bp upstream)" in rows.notes
    kinds = [o.split()[0] for o in rows.take(rows.labels == 0).origin]
    assert sorted(set(kinds)) == ["TATA", "substituted"]
    assert kinds.count("TATA") == 4


def test_tata_negatives_hold_the_box_near_25_and_lie_outside_promoters(world):
    folder, _ = world
    rows = promoter.load(folder / "tss.bed", genome=folder / "g.fa", negatives="tata", kind="tata")
    negative = rows.take(rows.labels == 0)
    assert len(negative) == 4
    for i in range(4):
        at = promoter.tata_starts(negative.codes[i]) - 34
        assert ((at >= -34) & (at <= -15)).any()
        for tss in 2000 + 4000 * np.arange(8):
            assert negative.start[i] + 70 <= tss - 250 or negative.start[i] >= tss + 50


def test_kinds_and_windows(world):
    folder, _ = world
    wide = promoter.load(
        folder / "tss.bed", genome=folder / "g.fa", window="300", negatives="deepromoter"
    )
    assert set(wide.lengths.tolist()) == {300}
    assert promoter.load(folder / "tss.bed", genome=folder / "g.fa", kind="notata").counts() == {
        "all": [4, 4]
    }
    plain = promoter.load(folder / "tss.bed", genome=folder / "g.fa", negatives="genomic")
    assert plain.counts() == {"all": [8, 8]}


def test_300_bp_sequences_make_their_own_negatives(tmp_path, world):
    lines = [
        LETTERS[row].tobytes().decode() for row in np.random.default_rng(0).integers(0, 4, (6, 300))
    ]
    (tmp_path / "p.txt").write_text("\r\n".join(lines) + "\r\n")
    rows = promoter.load(tmp_path / "p.txt")
    assert rows.counts() == {"all": [6, 6]}
    assert rows.text(0) == lines[0][215:285]
    (tmp_path / "q.txt").write_text(lines[0][:100] + "\n")
    with pytest.raises(InputError, match=r"not 300 bp \(-249..\+50\) long. Found 100 bp"):
        promoter.load(tmp_path / "q.txt")
    with pytest.raises(UsageError, match="'tata' are cut from a genome"):
        promoter.load(tmp_path / "p.txt", negatives="tata")
    with pytest.raises(UsageError, match="Did you mean deepromoter"):
        promoter.load(tmp_path / "p.txt", negatives="deepromotor")


def test_tss_without_a_genome_or_on_another(world, tmp_path):
    folder, _ = world
    with pytest.raises(InputError, match=r"TSS need the genome they lie on.*--genome"):
        promoter.load(folder / "tss.bed")
    (tmp_path / "x.bed").write_text("1\t5000\t5001\tG_1\t1\t+\n")
    with pytest.raises(InputError, match="named differently"):
        promoter.load(tmp_path / "x.bed", genome=folder / "g.fa")


def test_real_promoters(real_data):
    genome = [
        real_data / "reference_hg19" / f"hg19_{c}.fa.gz"
        for c in ("chr20_to_11095000", "chr22_to_22000000")
    ]
    rows = promoter.load(real_data / "promoters" / "EPDnew_human_TSS.hg19.bed", genome=genome)
    assert rows.counts()["all"] == [281, 281]
    positive = rows.take(rows.labels == 1)
    gc = ((positive.codes == 1) | (positive.codes == 2)).mean()
    assert gc > 0.55  # promoters of the slices: 0.63 in the wider window
    tata = promoter.load(real_data / "promoters" / "DeePromoter_human_TATA_300bp.txt.gz")
    assert tata.counts() == {"all": [2929, 2929]}


def test_a_substituted_negative_stays_in_its_positives_split(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["".join(rng.choice(list("ACGT"), 300)) for _ in range(20)]
    (tmp_path / "p.txt").write_text("\n".join(lines) + "\n")
    rows = split_rows(promoter.load(tmp_path / "p.txt", window="300"))
    sides = {}
    for origin, side in zip(rows.origin.tolist(), rows.split.tolist()):
        sides.setdefault(origin.removeprefix("substituted "), set()).add(side)
    assert len(sides) == 20
    assert all(len(side) == 1 for side in sides.values())
    assert set(rows.split.tolist()) == {"train", "valid", "test"}
