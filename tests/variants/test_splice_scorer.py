"""Sites gained and lost: SpliceAI's own comparison, planted sites, gain and loss exchanged."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from epilm.device import choose_place
from epilm.errors import UsageError
from epilm.finetuning.finetuned import BARE, Finetuned
from epilm.finetuning.scorer import ModelScorer
from epilm.genome.sequence import decode, encode
from epilm.variants import open_models
from epilm.variants.haplotypes import Change, normalise
from epilm.variants.score import score_variants
from epilm.variants.splice_scorer import SpliceScorer, aligned, sites_changed
from toy_splice import Genome, short_run
from toy_splice import world as spliced_world

CONTEXT = 12
CPU = {"device": "cpu", "say": lambda line: None}
RNG = np.random.default_rng(5)


class GTAG(nn.Module):
    """A donor before GT, an acceptor after AG, weaker where the bases around hold few T."""

    def forward(self, windows):
        codes, half = windows.codes.long(), CONTEXT // 2
        is_t = (codes == 3).float().unfold(1, CONTEXT + 1, 1).mean(2)  # (B, block)
        block = is_t.shape[1]

        def base(offset):
            return codes[:, half + offset : half + offset + block]

        donor = ((base(1) == 2) & (base(2) == 3)).float()
        acceptor = ((base(-2) == 0) & (base(-1) == 2)).float()
        logits = torch.stack([6 - 6 * is_t, 9 * acceptor - 1, 9 * donor - 1], 2)
        return logits.float()


def scorer(genes=None, distance=9, network=None, **about):
    said = {
        "task": "splice",
        "kind": "dilated",
        "labels": {
            "kind": "bases",
            "names": ["neither", "acceptor", "donor"],
            "temperature": 1.0,
            "site_weight": 1.0,
        },
        "window_bp": 20 + CONTEXT,
        "width": 20,
    } | about
    model = Finetuned((network or GTAG()).eval(), BARE, said)
    return SpliceScorer(ModelScorer(model, choose_place("cpu", "fp32")), genes, distance)


def probabilities(codes):
    """Of each base of a sequence (n, 2), what lies beyond it unknown."""
    padded = np.pad(codes, CONTEXT // 2, constant_values=4)[None]
    windows = type("Windows", (), {"codes": torch.from_numpy(padded)})
    return GTAG()(windows)[0].double().softmax(-1).numpy()[:, 1:]


def spliceai(bases, change, distance):
    """The published script (get_delta_scores) on the forward strand: each score and where, over the
    bases within a distance of the change's own (the script's are those around its anchor base).
    """
    _, start, ref, alt = change
    if len(ref) != len(alt):  # with the base before, as a VCF writes it
        before = decode(bases[start - 1 : start])
        start, ref, alt = start - 1, before + ref, before + alt
    other = np.concatenate([bases[:start], encode(alt), bases[start + len(ref) :]])
    of_ref, of_alt = probabilities(bases), probabilities(other)
    if len(ref) > 1 and len(alt) == 1:
        missing = np.zeros((len(ref) - 1, 2))
        of_alt = np.concatenate([of_alt[: start + 1], missing, of_alt[start + 1 :]])
    elif len(ref) == 1 and len(alt) > 1:
        largest = of_alt[start : start + len(alt)].max(0)[None]
        of_alt = np.concatenate([of_alt[:start], largest, of_alt[start + len(alt) :]])
    low, high = change.start - distance, change.start + len(change.ref) + distance
    delta = (of_alt - of_ref)[low:high]
    return {
        f"DS_{name}{of}": (float(part.max()), int(part.argmax()) - distance)
        for name, column in (("A", delta[:, 0]), ("D", delta[:, 1]))
        for of, part in (("G", column), ("L", -column))
    }


def changes_of(bases, count, kinds=((1, 1), (3, 0), (0, 2), (2, 2), (1, 4))):
    out = []
    for i in range(count):
        lengths, at = kinds[i % len(kinds)], int(RNG.integers(60, len(bases) - 60))
        ref = decode(bases[at : at + lengths[0]])
        alt = decode(RNG.integers(0, 4, lengths[1]).astype(np.uint8))
        if ref != alt:
            out.append(normalise(bases, Change("chr1", at, ref, alt)))
    return out


def both_strands(bases, count=60):
    return Genome({"chr1": bases}), changes_of(bases, count)


def test_snvs_and_deletions_are_the_published_scripts_on_the_forward_strand(tmp_path):
    """And insertions, where the base before them is no site."""
    bases = RNG.integers(0, 4, 900).astype(np.uint8)
    genes = tmp_path / "genes.bed"
    genes.write_text("chr1\t0\t900\tONE\t0\t+\n")
    changes = [c for c in changes_of(bases, 90) if min(len(c.ref), len(c.alt)) < 2]
    changes = [c for c in changes if len(c.ref) == len(c.alt) or not (c.ref and c.alt)]
    said = scorer(genes, distance=12, flank="n")(changes, Genome({"chr1": bases}))
    compared = dict.fromkeys(((1, 1), (0, 2), (3, 0)), 0)
    for row, change in enumerate(changes):
        lengths = len(change.ref), len(change.alt)
        inserted = lengths[0] < lengths[1]
        if inserted and probabilities(bases)[change.start - 1].max() > 0.01:
            continue
        for name, (size, where) in spliceai(bases, change, 12).items():
            if size > 0.05:
                # Beside an insertion the script takes off the REF value of the base before it.
                near = 0.01 if inserted and where == -1 else 1e-6
                assert said[name][row] == pytest.approx(size, abs=near), (change, name)
                assert said[name.replace("DS", "DP")][row] == where, (change, name)
                compared[lengths] = compared.get(lengths, 0) + 1
    assert min(compared.values()) >= 3


def test_a_base_that_makes_a_gt_peaks_before_it_on_either_strand():
    """1- against 0-based, and which strand."""
    letters = "A" * 60 + "GA" + "A" * 60
    bases = encode(letters)
    for strand in "+-":
        genome = Genome({"chr1": bases if strand == "+" else 3 - bases[::-1]})
        at, ref, alt = (61, "A", "T") if strand == "+" else (len(letters) - 62, "T", "A")
        said = scorer()([Change("chr1", at, ref, alt)], genome)
        assert said["DS_DG"][0] == said["DS_max"][0] > 0.9
        assert said["splice_strand"][0] == "+-".index(strand)
        # The donor is the base before G: two to the left of T along the transcript.
        assert said["DP_DG"][0] == (-2 if strand == "+" else 2)
        assert said["DS_DG_alt"][0] - said["DS_DG_ref"][0] == said["DS_DG"][0]
        assert said["DS_AL"][0] < 0.01


def test_ref_and_alt_swapped_exchange_gain_and_loss():
    bases = RNG.integers(0, 4, 700).astype(np.uint8)
    genome, changes = both_strands(bases, 40)
    tested = scorer()
    there = tested(changes, genome)
    assert (there["DS_max"] > 0.1).sum() > 5
    for row, (chrom, start, ref, alt) in enumerate(changes):
        other = np.concatenate([bases[:start], encode(alt), bases[start + len(ref) :]])
        back = tested([Change(chrom, start, alt, ref)], Genome({"chr1": other}))
        for kind, opposite in (("AG", "AL"), ("DG", "DL"), ("AL", "AG"), ("DL", "DG")):
            assert back[f"DS_{kind}"][0] == there[f"DS_{opposite}"][row]
            sides = back[f"DS_{kind}_ref"][0], back[f"DS_{kind}_alt"][0]
            expected = there[f"DS_{opposite}_alt"][row], there[f"DS_{opposite}_ref"][row]
            np.testing.assert_array_equal(sides, expected)
        assert back["splice_strand"][0] == there["splice_strand"][row]


def test_bases_are_put_side_by_side_and_the_first_of_equal_changes_counts():
    change = Change("chr1", 0, "AC", "GTT")
    ref, alt = np.arange(8.0)[:, None], np.arange(10.0, 19)[:, None]
    left, right, at = aligned(ref, alt, 2, change, 2)
    assert left.ravel().tolist() == [0, 1, 2, 3, 0, 4, 5]
    assert right.ravel().tolist() == [10, 11, 12, 13, 14, 15, 16]
    assert at.tolist() == [-2, -1, 0, 1, 1, 2, 3]
    said = sites_changed(np.array([[0.5], [0.5], [0.5]]), np.array([[0.0], [0.0], [0.5]]), at[:3])
    assert (said.loss[0], said.loss_at[0], said.gain[0]) == (0.5, -2, 0)
    assert np.isnan(said.gain_at[0])
    assert np.isnan(said.gain_pair[0]).all()


def test_a_gene_gives_the_strand_and_hides_what_lies_beside_it(tmp_path):
    letters = "A" * 60 + "GA" + "A" * 60
    genome = Genome({"chr1": encode(letters)})
    (tmp_path / "g.bed").write_text(
        "chr1\t40\t80\tPLUS\t0\t+\nchr1\t30\t90\tMINUS\t0\t-\nchr1\t0\t20\tNONE\t0\t.\n"
        "chr1\t61\t90\tEDGE\t0\t+\n"
    )
    tested = scorer(tmp_path / "g.bed")
    change = Change("chr1", 61, "A", "T")
    said = tested([change], genome)
    assert tested.words["splice_gene"][int(said["splice_gene"][0])] == "PLUS"
    assert said["DS_DG"][0] > 0.9
    assert tested.notes[0] == "1 genes without a strand left out"
    # Beside its gene the G is not known; with the genome's bases it is.
    (tmp_path / "e.bed").write_text("chr1\t61\t90\tEDGE\t0\t+\n")
    assert scorer(tmp_path / "e.bed")([change], genome)["DS_max"][0] < 0.5
    real = scorer(tmp_path / "e.bed", flank="real")([change], genome)
    assert real["DS_DG"][0] > 0.9
    bases = genome.codes("chr1")
    assert tested.reason(bases, Change("chr1", 10, "A", "C")) == "no_gene"
    assert tested.reason(bases, Change("chr1", 90, "", "C")) == "no_gene"
    assert tested.reason(bases, Change("chr1", 89, "A", "C")) is None
    assert tested.reason(bases, Change("chr1", 45, "", "A" * 19)) == "too_long"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("splice")
    short_run(folder, folder / "run", epochs=1)
    genome, _ = spliced_world()
    bases = genome.chroms["chr1"]
    lines = []
    for number, at in enumerate((100, 190, 260, 300, 500, 600)):  # three SNVs, three deletions
        ref = decode(bases[at : at + 2])
        alt = ref[0] if number % 2 else "ACGT"[(bases[at] + 1) % 4] + ref[1]
        lines.append(f"chr1\t{at + 1}\t{ref}\t{alt}")
    return folder, lines


def written(folder, lines):
    (folder / "v.tsv").write_text("\n".join(["chrom\tpos\tref\talt", *lines]) + "\n")
    return folder / "v.tsv"


def test_a_trained_runs_scores_depend_on_the_variant_alone(run, tmp_path):
    folder, lines = run
    given = {"model": folder / "run", "genome": folder / "genome.fa", "distance": 8, **CPU}
    whole = score_variants(written(tmp_path, lines), out=tmp_path / "a.tsv", **given)
    assert whole.reasons == [""] * len(lines)
    assert "context 80 bp; both strands" in whole.notes[-2]
    rows = (tmp_path / "a.tsv").read_text().splitlines()
    assert rows[1].split("\t")[-1] in "+-"
    for order, size, grid in (([3, 2, 0], 2, 1), ([1], 256, 1), (range(len(lines)), 2, 16)):
        some = written(tmp_path, [lines[i] for i in order])
        score_variants(some, out=tmp_path / "b.tsv", batch_size=size, grid=grid, **given)
        again = (tmp_path / "b.tsv").read_text().splitlines()[1:]
        if grid == 1:
            assert again == [rows[1 + i] for i in order]
        else:  # other windows: the same function of the bases, other last bits
            for one, two in zip(again, rows[1:], strict=True):
                for a, b in zip(one.split("\t")[9:13], two.split("\t")[9:13], strict=True):
                    assert float(a) == pytest.approx(float(b), abs=1e-4)


def test_the_answers_are_those_of_predict_on_the_haplotypes(run):
    """One SNV, the probabilities of the whole chromosome, once with REF and once with ALT."""
    from epilm.finetuning.finetuned import load_finetuned
    from epilm.finetuning.scorer import open_scorer
    from epilm.tasks.splice.genome import ChromosomeBlocks
    from epilm.tasks.splits import Interval

    folder, _ = run
    score = open_scorer(load_finetuned(folder / "run"), device="cpu")
    genome, _ = spliced_world()
    bases = genome.chroms["chr1"]
    at = 150
    other = bases.copy()
    other[at] = (bases[at] + 1) % 4
    tested = SpliceScorer(score, distance=8)
    change = Change("chr1", at, decode(bases[at : at + 1]), decode(other[at : at + 1]))
    said = tested([change], genome)
    strand = int(said["splice_strand"][0])
    sides = []
    for codes in (bases, other):
        blocks = ChromosomeBlocks(Interval("chr1", at - 8, at + 9), codes, context=80, block=17)
        sides.append(blocks.along_genome(strand, next(score(blocks))[strand])[1][:, 1:])
    delta = sides[1] - sides[0]
    assert said["DS_AG"][0] == pytest.approx(max(delta[:, 0].max(), 0), abs=1e-5)
    assert said["DS_DL"][0] == pytest.approx(max(-delta[:, 1].min(), 0), abs=1e-5)


def test_words_and_numbers_in_a_vcf(run, tmp_path):
    pysam = pytest.importorskip("pysam")
    folder, lines = run
    genes = tmp_path / "genes.bed"
    genes.write_text("chr1\t0\t420\tA gene; it\t0\t-\n")
    score_variants(
        written(tmp_path, lines),
        folder / "run",
        folder / "genome.fa",
        tmp_path / "o.vcf",
        distance=8,
        genes=genes,
        null=1,
        **CPU,
    )
    with pysam.VariantFile(str(tmp_path / "o.vcf")) as file:
        assert file.header.info["EPILM_DS_AG"].number == "A"
        assert file.header.info["EPILM_splice_gene"].type == "String"
        records = list(file)
    inside = [r for r in records if "EPILM_DS_AG" in r.info]
    assert inside
    assert len(inside) < len(records)
    assert inside[0].info["EPILM_splice_gene"] == ("A_gene__it",)
    assert inside[0].info["EPILM_splice_strand"] == ("-",)
    assert 0 <= inside[0].info["EPILM_DS_max_percentile"][0] <= 100
    other = next(r for r in records if "EPILM_DS_AG" not in r.info)
    assert other.info["EPILM_REASON"] == ("no_gene",)


def test_options_that_say_nothing_are_refused(run, tmp_path):
    folder, lines = run
    table = written(tmp_path, lines)
    given = {"genome": folder / "genome.fa", "distance": 8, **CPU}
    for options, message in (
        ({"window": 90}, "--window says nothing here"),
        ({"shifts": (3,)}, "--shifts says nothing here"),
        ({"distance": 0}, "--distance.*Found 0; expected at least 1"),
        ({"scores": ["llr"]}, "--scores and --pooling are of a pre-trained"),
    ):
        with pytest.raises(UsageError, match=message):
            score_variants(table, folder / "run", **given | options)
    (tmp_path / "m.jaspar").write_text(">M1 x\nA [ 9 0 ]\nC [ 0 9 ]\nG [ 0 0 ]\nT [ 0 0 ]\n")
    with pytest.raises(UsageError, match="--distance and --genes are of a model of splice sites"):
        score_variants(table, motifs=tmp_path / "m.jaspar", **given)
    with pytest.raises(UsageError, match="one answer a sequence is needed.*task splice"):
        open_models.open_model(
            folder / "run", lambda loaded: None, open_models.no_answers_of_bases, device="cpu"
        )
    both = score_variants(table, folder / "run", motifs=tmp_path / "m.jaspar", window=40, **given)
    assert {"DS_max", "motif_x_delta"} <= set(both.values)
    assert both.effects == ("DS_max", "motif_x_delta")
    assert replace(both, notes=()).words["splice_strand"] == ("+", "-")
