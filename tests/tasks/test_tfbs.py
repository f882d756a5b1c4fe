"""Binding-site sets: where windows lie, what each kind of negative promises, what is refused."""

import numpy as np
import pytest

from epilm.errors import InputError, UsageError
from epilm.finetuning.ensemble import ensemble
from epilm.finetuning.evaluate import evaluate
from epilm.finetuning.finetune import finetune
from epilm.tasks import tfbs
from epilm.tasks.base import LETTERS
from epilm.tasks.shuffle import dinucleotide_counts
from epilm.tasks.splits import chromosome_split


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two chromosomes of 60 kb, 40 peaks on each, 20 of another cell."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    with open(folder / "g.fa", "w") as out:
        for name in ("chr1", "chr2"):
            codes = rng.choice(4, 60_000, p=[0.3, 0.2, 0.2, 0.3])
            codes[30_000:30_200] = 4
            out.write(f">{name}\n{LETTERS[codes].tobytes().decode()}\n")
    rows, other = [], []
    for name in ("chr1", "chr2"):
        for i in range(40):
            start = 600 + i * 700
            rows.append(
                f"{name}\t{start}\t{start + 150}\t.\t0\t.\t5\t-1\t-1\t{60 if i % 2 else -1}"
            )
        for i in range(10):
            other.append(f"{name}\t{32_000 + i * 2000}\t{32_200 + i * 2000}")
        other.append(f"{name}\t620\t700")
    (folder / "p.narrowPeak").write_text("\n".join(rows) + "\n")
    (folder / "o.bed").write_text("\n".join(other) + "\n")
    return folder


def test_windows_follow_the_midpoint_rule(world):
    rows = tfbs.load(world / "p.narrowPeak", genome=world / "g.fa")
    bound = rows.take(rows.labels == 1)
    # No summit: mid = (600 + 750) // 2 = 675, [625, 726). Summit 60: 1300 + 60 = 1360, [1310,
    # 1411).
    assert bound.start[:2].tolist() == [625, 1310]
    assert set(bound.lengths.tolist()) == {101}
    middle = tfbs.load(world / "p.narrowPeak", genome=world / "g.fa", centre="midpoint")
    assert middle.take(middle.labels == 1).start[:2].tolist() == [625, 1325]


def test_shuffled_negatives_keep_dinucleotides_and_place(world):
    rows = tfbs.load(world / "p.narrowPeak", genome=world / "g.fa")
    assert rows.counts() == {"all": [80, 80]}
    for i in (0, 1, 79):
        assert (dinucleotide_counts(rows.codes[i]) == dinucleotide_counts(rows.codes[80 + i])).all()
        assert (rows.chrom[i], rows.start[i]) == (rows.chrom[80 + i], rows.start[80 + i])
        assert rows.origin[80 + i] == f"shuffle of {rows.origin[i]}"
    again = tfbs.load(world / "p.narrowPeak", genome=world / "g.fa")
    assert again.fingerprint() == rows.fingerprint()
    other = tfbs.load(world / "p.narrowPeak", genome=world / "g.fa", seed=1)
    assert other.fingerprint() != rows.fingerprint()
    assert tfbs.load(world / "p.narrowPeak", genome=world / "g.fa", ratio=2).counts() == {
        "all": [160, 80]
    }
    assert tfbs.load(world / "p.narrowPeak", genome=world / "g.fa", ratio=0.5).counts() == {
        "all": [40, 80]
    }


def test_gc_matched_negatives_lie_away_from_peaks_and_match(world):
    rows = tfbs.load(world / "p.narrowPeak", genome=world / "g.fa", negatives="gc", margin_bp=40)
    assert rows.counts() == {"all": [80, 80]}
    gc = ((rows.codes == 1) | (rows.codes == 2)).mean(1)
    assert abs(np.sort(gc[rows.labels == 1]) - np.sort(gc[rows.labels == 0])).max() <= 0.02
    unbound = rows.take(rows.labels == 0)
    assert (unbound.codes < 4).all()
    for chrom, start in zip(unbound.chrom, unbound.start):
        for i in range(40):
            peak = 600 + i * 700
            assert start + 101 <= peak - 40 or start >= peak + 150 + 40, (chrom, start)
    assert (unbound.chrom == "chr1").sum() == 40


def test_flanks_and_other_peaks(world):
    flank = tfbs.load(
        world / "p.narrowPeak", genome=world / "g.fa", negatives="flank", flank_bp=300
    )
    bound, unbound = flank.take(flank.labels == 1), flank.take(flank.labels == 0)
    assert len(unbound) == 80
    near = abs(unbound.start[:, None] - bound.start[None]).min(1)
    assert (near == 300).all()
    other = tfbs.load(
        world / "p.narrowPeak",
        genome=world / "g.fa",
        negatives="other_peaks",
        other_peaks=world / "o.bed",
    )
    assert other.counts() == {"all": [20, 80]}
    assert "2 of 22 other peaks touch a peak of this set: left out" in other.notes
    assert "only 20 negatives from other peaks, 80 wanted" in other.notes


def test_excluded_peaks_are_avoided(world):
    with pytest.raises(
        InputError, match=r"no negatives could be made with negatives='other_peaks'.*22 of 22"
    ):
        tfbs.load(
            world / "p.narrowPeak",
            genome=world / "g.fa",
            negatives="other_peaks",
            other_peaks=world / "o.bed",
            exclude=world / "o.bed",
        )


def test_pairs_stay_in_one_split(world):
    rows = tfbs.load(world / "p.narrowPeak", genome=world / "g.fa")
    split = chromosome_split(rows, test=["chr2"], valid=["chr1:20000-60000"])
    assert (split.counts()["test"], split.counts()["train"][0]) == (
        [40, 40],
        split.counts()["train"][1],
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"genome": None}, InputError, "peaks need the genome they lie on.*--genome"),
        (
            {"negatives": "shufle"},
            UsageError,
            "unknown negatives. Found shufle. Did you mean shuffle",
        ),
        ({"negatives": "other_peaks"}, InputError, "need those peaks.*--other-peaks FILE"),
        ({"length": 0}, UsageError, "length and ratio must be positive"),
        (
            {"negatives": "flank", "flank_bp": 10},
            InputError,
            "80 flanks that touch a peak left out",
        ),
    ],
)
def test_what_cannot_be_made_says_why(world, options, error, message):
    with pytest.raises(error, match=message):
        tfbs.load(world / "p.narrowPeak", **{"genome": world / "g.fa", **options})


def test_other_names_and_other_assemblies_are_refused(world, tmp_path):
    (tmp_path / "a.bed").write_text("1\t600\t700\n")
    with pytest.raises(
        InputError, match=r"named differently than in the genome. Found 1; expected chr1"
    ):
        tfbs.load(tmp_path / "a.bed", genome=world / "g.fa")
    (tmp_path / "b.bed").write_text("chr1\t60000\t60700\n")
    with pytest.raises(InputError, match="ends past its chromosome"):
        tfbs.load(tmp_path / "b.bed", genome=world / "g.fa")
    (tmp_path / "c.bed").write_text("chr1\t30050\t30100\n")
    with pytest.raises(
        InputError, match=r"no peak has a usable window. Found c.bed: 1 windows with N left out"
    ):
        tfbs.load(tmp_path / "c.bed", genome=world / "g.fa")


def test_fasta_of_positives_alone_is_shuffled(tmp_path):
    (tmp_path / "p.fa").write_text(">chr1:5-17\nACGATCGATCGA\n>b\nTTAGCATTAGGCAT\n")
    rows = tfbs.load(tmp_path / "p.fa")
    assert rows.counts() == {"all": [2, 2]}
    assert rows.lengths.tolist() == [12, 14, 12, 14]


def test_rows_that_are_made_in_another_way_than_those_of_the_run_are_said(world, tmp_path):
    data = {"genome": world / "g.fa", "negatives": "gc", "margin_bp": 40}
    options = {"epochs": 1, "batch_size": 32, "device": "cpu", "test": ("chr2",)}
    finetune(
        "tfbs",
        world / "p.narrowPeak",
        tmp_path / "ft",
        checkpoint="cnn",
        say=lambda line: None,
        **data | options,
    )
    said = []
    how = {"device": "cpu", "genome": world / "g.fa", "say": said.append}
    evaluate(tmp_path / "ft", data=world / "p.narrowPeak", **how)
    notes = [line for line in said if line.startswith("note: the run learned from rows of")]
    assert len(notes) == 2
    assert "--negatives gc, these are of --negatives shuffle; say --negatives gc" in notes[0]
    # Likewise of the model folder, and of an ensemble, which has no run of its own.
    finetune(
        "tfbs",
        world / "p.narrowPeak",
        tmp_path / "ft2",
        checkpoint="cnn",
        say=lambda line: None,
        seed=1,
        **data | options,
    )
    ensemble([tmp_path / "ft", tmp_path / "ft2"], tmp_path / "all")
    for model in (tmp_path / "ft/model", tmp_path / "all"):
        said.clear()
        evaluate(model, data=world / "p.narrowPeak", **how)
        assert [line for line in said if line in notes] == notes
    said.clear()
    evaluate(tmp_path / "ft", data=world / "p.narrowPeak", **how | data)
    assert not [line for line in said if line.startswith("note: the run learned")]


def test_real_peaks(real_data):
    folder = real_data / "reference_hg19"
    genome = f"{folder}/hg19_chr20_to_11095000.fa.gz,{folder}/hg19_chr22_to_22000000.fa.gz"
    rows = tfbs.load(
        real_data / "encode_dream_chip_hg19" / "K562.CTCF.conservative.narrowPeak.gz",
        genome=genome,
        negatives="gc",
    )
    split = chromosome_split(rows, test=["chr22"])
    assert split.counts() == {"train": [266, 266], "test": [330, 330]}
