"""Scores of variants: what must not matter does not, what must negate negates, and effects lie
where they were planted.
"""

import csv
import gzip
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.atomic import locked
from epilm.cli import main
from epilm.errors import EpilmError, InputError, UsageError
from epilm.finetuning.predict import predict
from epilm.genome.sequence import decode, encode
from epilm.hub.checkpoint import save_model
from epilm.hub.load import load
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.tokens.kmers import MASK, kmer_ids
from epilm.variants import pair_scores, work
from epilm.variants.haplotypes import Windowing, reason_of_window
from epilm.variants.null import draw_null, stratum_of
from epilm.variants.score import score_variants
from forked import Command
from toy_binding import QUICK as BINDING
from toy_binding import quick as quick_binding
from toy_binding import toy_store
from toy_sequences import QUICK, planted, quick

SPEC = ModelSpec(
    name="dnabert",
    streams=("dna",),
    k=3,
    encoder=EncoderSpec(hidden=16, layers=2, heads=2, ffn=32, max_positions=64),
    max_tokens=64,
    next_segment="none",
    projection="none",
    projection_dim=16,
)
SITES = replace(SPEC, name="dbert", motif_sites=3)
CPU = {"device": "cpu", "say": lambda line: None}


def write_genome(path, **chroms):
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in chroms.items()))
    return path


def write_table(path, rows, header="chrom\tpos\tid\tref\talt"):
    path.write_text("\n".join([header, *("\t".join(map(str, row)) for row in rows)]) + "\n")
    return path


def some_variants(letters, count, seed=0, chrom="chr1"):
    """SNVs, deletions, insertions and delins inside a sequence, 1-based."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        at = int(rng.integers(80, len(letters) - 80))
        n = int(rng.integers(1, 5))
        ref = letters[at : at + (1 if i % 2 else n)]
        alt = decode(rng.integers(0, 4, 1 if i % 4 < 2 else n).astype(np.uint8))
        if alt != ref:
            rows.append([chrom, at + 1, f"v{i}", ref, alt])
    return rows


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variants")
    letters = decode(np.random.default_rng(1).integers(0, 4, 2000).astype(np.uint8))
    write_genome(folder / "g.fa", chr1=letters, chr2=letters[::-1])
    save_model(folder / "model", build_model(SPEC, seed=1).eval(), SPEC, {})
    network = build_model(SITES, seed=2).eval()
    torch.nn.init.normal_(network.motif_head.weight, std=0.5)  # else all say one in a thousand
    unlearned = {"recipe": {"objectives": {"masked_kmers": {"weight": 0}}}}
    save_model(folder / "sites", network, SITES, unlearned)
    tuned, _ = quick(planted(80), folder / "tuned", settings=replace(QUICK, epochs=1))
    (folder / "m.jaspar").write_text(
        ">M1 AP1\nA [ 0 0 9 0 0 0 9 ]\nC [ 0 0 0 9 0 9 0 ]\n"
        "G [ 0 9 0 0 0 0 0 ]\nT [ 9 0 0 0 9 0 0 ]\n"
    )
    rows = some_variants(letters, 16)
    write_table(folder / "v.tsv", rows)
    return {"folder": folder, "letters": letters, "rows": rows, "tuned": tuned}


def kinds(world):
    folder = world["folder"]
    return {
        "pre-trained": {"model": folder / "model"},
        "sites": {"model": folder / "sites"},
        "fine-tuned": {"model": folder / "tuned", "window": 40},
        "motifs": {"motifs": folder / "m.jaspar", "window": 64},
    }


KINDS = pytest.mark.parametrize("kind", ["pre-trained", "sites", "fine-tuned", "motifs"])


def by_row(done, names=None):
    """Scores of each allele, keyed by how it was written."""
    names = names or list(done.values)
    return {
        (a.chrom, a.start, a.ref, a.alt): [float(done.values[name][i]) for name in names]
        for i, a in enumerate(done.alleles)
    }


@KINDS
def test_neither_order_nor_neighbours_nor_blocks_change_a_bit(world, kind, tmp_path, monkeypatch):
    given = {"genome": world["folder"] / "g.fa", **kinds(world)[kind], **CPU}
    whole = by_row(score_variants(world["folder"] / "v.tsv", **given))
    assert not any(np.isnan(values).any() for values in whole.values())
    shuffled = [world["rows"][i] for i in np.random.default_rng(3).permutation(len(whole))]
    table = write_table(tmp_path / "s.tsv", shuffled)
    assert by_row(score_variants(table, batch_size=1, **given)) == whole
    one = by_row(score_variants(write_table(tmp_path / "1.tsv", shuffled[:1]), **given))
    assert next(iter(one.items())) in whole.items()
    monkeypatch.setattr(work, "PIECE", 5)
    shards = [by_row(score_variants(table, shard=f"{i}/2", batch_size=64, **given)) for i in (1, 2)]
    assert sum(map(len, shards)) == len(whole)
    assert shards[0] | shards[1] == whole


@pytest.mark.parametrize("kind", ["pre-trained", "fine-tuned"])
def test_on_a_grid_as_well(world, kind, tmp_path):
    given = {"genome": world["folder"] / "g.fa", "grid": 8, **kinds(world)[kind], **CPU}
    whole = by_row(score_variants(world["folder"] / "v.tsv", **given))
    for row in (world["rows"][3], world["rows"][8]):
        alone = by_row(score_variants(write_table(tmp_path / "1.tsv", [row]), **given))
        assert next(iter(alone.items())) in whole.items()


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


def test_however_much_is_asked_around_it_a_variant_scores_the_same(world, tmp_path):
    """One base; written with 40 and with the window's 64 bases; amid all within 64 bp."""
    letters, at = world["letters"], 700
    alt = "A" if letters[at] != "A" else "C"
    one = ["chr1", at + 1, "one", letters[at], alt]

    def padded(before, after):
        left, right = letters[at - before : at], letters[at + 1 : at + 1 + after]
        return ["chr1", at - before + 1, "p", left + letters[at] + right, left + alt + right]

    around = [
        ["chr1", p + 1, p, letters[p], "ACGT"[("ACGT".index(letters[p]) + 1) % 4]]
        for p in range(at - 4, at + 5)
        if p != at
    ]
    rows = [one, padded(20, 19), padded(31, 32), *around]
    for given in kinds(world).values():
        genome = world["folder"] / "g.fa"
        alone = score_variants(
            write_table(tmp_path / "1.tsv", rows[:1]), genome=genome, **given, **CPU
        )
        amid = score_variants(write_table(tmp_path / "v.tsv", rows), genome=genome, **given, **CPU)
        assert amid.changes[:3] == alone.changes * 3
        for name, values in amid.values.items():
            assert values[:3].tolist() == alone.values[name].tolist() * 3


@KINDS
def test_ref_and_alt_swapped_negate_every_delta(world, kind, tmp_path):
    """On the genome that has ALT, the variant back to REF."""
    letters, rows = world["letters"], world["rows"][:8]
    given = kinds(world)[kind] | CPU | {"shifts": (0, 3), "grid": 4}
    there = score_variants(
        write_table(tmp_path / "a.tsv", rows), genome=world["folder"] / "g.fa", **given
    )
    others = {  # a chromosome that has the ALT, each
        name: letters[: pos - 1] + alt + letters[pos - 1 + len(ref) :]
        for _, pos, name, ref, alt in rows
    }
    turned = [[name, pos, name, alt, ref] for _, pos, name, ref, alt in rows]
    back = score_variants(
        write_table(tmp_path / "b.tsv", turned),
        genome=write_genome(tmp_path / "g.fa", **others),
        **given,
    )
    assert there.reasons == back.reasons == [""] * len(rows)
    for column, values in there.values.items():
        if column.endswith("_delta"):
            assert back.values[column].tolist() == (-values).tolist()
        elif column.endswith("_ref"):
            opposite = column.removesuffix("_ref") + "_alt"
            assert back.values[opposite].tolist() == values.tolist()
        elif not column.endswith("_alt"):
            assert back.values[column].tolist() == values.tolist()


def test_a_duplication_written_as_an_insertion_scores_the_same(world, tmp_path):
    letters = world["letters"][:197] + "TTTCAGCAGCAG" + "T" + world["letters"][210:]
    genome = write_genome(tmp_path / "g.fa", chr1=letters)
    at = 200
    before = letters[at - 1]
    rows = [
        ["chr1", at, "left", before, before + "CAG"],
        ["chr1", at + 9, "right", "G", "GCAG"],
        ["chr1", at + 1, "dup", "CAG", "CAGCAG"],
        ["chr1", at + 2, "inside", "A", "AGCA"],
        ["chr1", at, "long", before + "CAGCAGCAGT", before + "CAGCAGCAGCAGT"],
    ]
    for given in kinds(world).values():
        done = score_variants(write_table(tmp_path / "d.tsv", rows), genome=genome, **given, **CPU)
        assert len(set(done.changes)) == 1
        for values in done.values.values():
            assert len(set(values.tolist())) == 1


def test_the_llr_of_a_base_is_that_of_the_protocol(world, tmp_path):
    """k tokens that cover it hidden, mean of ln P(alt) / P(ref), one strand after the other."""
    letters, at = world["letters"], 500
    ref, alt = letters[at], "ACGT"[("ACGT".index(letters[at]) + 1) % 4]
    table = write_table(tmp_path / "v.tsv", [["chr1", at + 1, ".", ref, alt]])
    done = score_variants(table, world["folder"] / "model", world["folder"] / "g.fa", **CPU)
    model = load(world["folder"] / "model").model
    width = 64  # 62 tokens of 3 bases beside [CLS] and [SEP]
    start = at - (width - 1) // 2
    deltas = []
    for turned in (False, True):
        codes, centre = [], (width - 1) // 2
        for letter in (ref, alt):
            window = encode(letters[start:at] + letter + letters[at + 1 : start + width])
            codes.append(3 - window[::-1] if turned else window)
        centre = width - 1 - centre if turned else centre
        ids = [torch.from_numpy(kmer_ids(c, 3).astype(np.int64)) for c in codes]
        hidden = ids[0].clone()
        hidden[centre - 2 : centre + 1] = MASK
        tokens = torch.cat([torch.tensor([2]), hidden, torch.tensor([3])])[None]
        with torch.no_grad():
            vectors, _ = model.encoder(tokens)
            odds = model.masked_head(vectors[0, 1 + centre - 2 : 1 + centre + 1]).log_softmax(-1)
        deltas.append(
            sum(
                float(odds[i, ids[1][centre - 2 + i]] - odds[i, ids[0][centre - 2 + i]])
                for i in range(3)
            )
            / 3
        )
    assert done.values["llr_delta"][0] == pytest.approx(sum(deltas) / 2, abs=1e-5)
    assert done.values["llr_strands"][0] == pytest.approx(abs(deltas[0] - deltas[1]), abs=1e-5)


@pytest.mark.parametrize("pooling", [None, "mean", "pooler"])
def test_the_distances_are_those_of_embed(world, tmp_path, pooling):
    done = score_variants(
        world["folder"] / "v.tsv",
        world["folder"] / "model",
        world["folder"] / "g.fa",
        scores=["l2", "cosine"],
        pooling=pooling,
        **CPU,
    )
    model, letters = load(world["folder"] / "model"), world["letters"]
    row = next(i for i, a in enumerate(done.alleles) if len(a.ref) == len(a.alt) == 1)
    at = done.alleles[row].start
    window = encode(letters[at - 31 : at + 33])
    other = window.copy()
    other[31] = "ACGT".index(done.alleles[row].alt)
    distances = []
    for two in ([window, other], [3 - window[::-1], 3 - other[::-1]]):
        a, b = model.embed(two, pooling=pooling).astype(np.float64)
        distances.append([np.linalg.norm(a - b), 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)])
    expected = np.mean(distances, 0)
    assert done.values["l2"][row] == pytest.approx(expected[0], rel=1e-3)
    assert done.values["cosine"][row] == pytest.approx(expected[1], rel=1e-2, abs=1e-6)


def test_sites_are_those_the_model_expects_near_the_allele(world, tmp_path):
    folder, letters, at = world["folder"], world["letters"], 500
    alt = "A" if letters[at] != "A" else "C"
    table = write_table(tmp_path / "v.tsv", [["chr1", at + 1, ".", letters[at], alt]])
    done = score_variants(table, folder / "sites", folder / "g.fa", window=48, **CPU)
    assert "did not learn hidden k-mers" in done.notes[0]
    assert not any(name.startswith("llr") for name in done.values)
    model = load(folder / "sites").model
    net, changed = [], []
    for turned in (False, True):
        numbers = []
        for base in (letters[at], alt):
            window = encode(letters[at - 23 : at] + base + letters[at + 1 : at + 25])
            window = 3 - window[::-1] if turned else window
            tokens = torch.tensor([[2, *kmer_ids(np.ascontiguousarray(window), 3).tolist(), 3]])
            with torch.no_grad():
                hidden = model.encode(tokens, tokens > 0)[0, 1:-1]  # all lie within 30 bp
                numbers.append(model.motif_head(hidden).sigmoid().sum(0).numpy())
        net.append(float((numbers[1] - numbers[0]).sum()))
        changed.append(float(np.abs(numbers[1] - numbers[0]).sum()))
    assert done.values["sites_delta"][0] == pytest.approx(np.mean(net), abs=1e-4)
    assert done.values["sites_changed"][0] == pytest.approx(np.mean(changed), abs=1e-4)
    one = score_variants(
        table, folder / "sites", folder / "g.fa", window=48, scores=["sites_changed"], **CPU
    )
    assert set(one.values) == {"sites_changed", "sites_changed_strands"}
    assert one.values["sites_changed"] == done.values["sites_changed"]
    with pytest.raises(UsageError, match=r"does not give such a score.*llr.*expected sites, l2"):
        score_variants(table, folder / "sites", folder / "g.fa", scores=["llr"], **CPU)


def test_the_largest_change_of_a_motif_is_that_of_one_of_them(world, tmp_path):
    folder = world["folder"]
    motifs = (folder / "m.jaspar").read_text()
    (tmp_path / "two.jaspar").write_text(
        motifs + ">M2 E\nA [ 0 9 0 0 ]\nC [ 9 0 9 0 ]\nG [ 0 0 0 9 ]\nT [ 0 0 0 0 ]\n"
    )
    given = {"genome": folder / "g.fa", "motifs": tmp_path / "two.jaspar", "window": 64, **CPU}
    each = score_variants(folder / "v.tsv", **given)
    largest = score_variants(folder / "v.tsv", motif_columns="largest", **given)
    deltas = np.stack([each.values["motif_AP1_delta"], each.values["motif_E_delta"]])
    most = np.abs(deltas).argmax(0)
    expected = deltas[most, np.arange(len(most))]
    assert largest.values["motif_largest_delta"].tolist() == expected.tolist()
    assert largest.values["motifs_changed"] == pytest.approx(np.abs(deltas).sum(0))


def test_a_tasks_delta_is_that_of_its_predictions(world):
    folder, letters = world["folder"], world["letters"]
    done = score_variants(folder / "v.tsv", folder / "tuned", folder / "g.fa", window=40, **CPU)
    assert set(done.values) == {f"logit_1_{side}" for side in pair_scores.SIDES}
    for row, change in enumerate(done.changes[:6]):
        start = change.start - (40 - max(len(change.ref), len(change.alt))) // 2
        after = change.start + len(change.ref)
        ref = letters[start : start + 40]
        alt = (letters[start : change.start] + change.alt + letters[after : after + 60])[:40]
        turned = [decode(3 - encode(each)[::-1]) for each in (ref, alt)]
        said = predict(folder / "tuned", [ref, alt, *turned], device="cpu", both_strands=False)
        odds = np.log(said.probabilities[:, 1] / said.probabilities[:, 0])
        expected = ((odds[1] - odds[0]) + (odds[3] - odds[2])) / 2
        assert done.values["logit_1_delta"][row] == pytest.approx(expected, abs=1e-5)


def test_a_planted_site_is_hurt_at_its_own_bases_and_nowhere_beside(world, tmp_path):
    """1- against 0-based: the seven positions of TGACTCA, in both directions."""
    letters = "A" * 300 + "TGACTCA" + "A" * 300
    genome = write_genome(tmp_path / "g.fa", chr1=letters)
    rows = [["chr1", at + 1, at, letters[at], "C" if letters[at] == "A" else "A"]
            for at in range(290, 317)]  # fmt: off
    done = score_variants(
        write_table(tmp_path / "v.tsv", rows),
        genome=genome,
        motifs=world["folder"] / "m.jaspar",
        **CPU,
    )
    hurt = [int(rows[i][2]) for i, v in enumerate(done.values["motif_AP1_delta"]) if v < -1]
    assert hurt == list(range(300, 307))


def test_an_effect_of_one_base_peaks_at_that_base(tmp_path):
    """A motif that heeds its middle alone: one C among A, lost by no other substitution."""
    (tmp_path / "m.jaspar").write_text(
        ">M1 one\nA [ 9 0 9 ]\nC [ 9 36 9 ]\nG [ 9 0 9 ]\nT [ 9 0 9 ]\n"
    )
    letters = "A" * 100 + "C" + "A" * 100
    genome = write_genome(tmp_path / "g.fa", chr1=letters)
    rows = [["chr1", at + 1, at, letters[at], "T"] for at in range(90, 111)]
    done = score_variants(
        write_table(tmp_path / "v.tsv", rows),
        genome=genome,
        motifs=tmp_path / "m.jaspar",
        window=40,
        **CPU,
    )
    deltas = done.values["motif_one_delta"]
    assert [rows[i][2] for i in np.flatnonzero(deltas < 0)] == [100]


def test_binding_puts_the_haplotype_into_the_stores_windows(tmp_path):
    """The same as a store whose genome has the ALT, to the bit of a batch of two."""
    store = toy_store(tmp_path / "s")
    quick_binding(store, out=tmp_path / "ft", epochs=1)
    where = int(store.offsets[1]) + 5000
    ref = decode(store.genome[where : where + 1])
    alt = "A" if ref != "A" else "C"
    table = write_table(tmp_path / "v.tsv", [["chr2", 5001, ".", ref, alt]])
    cell = store.cell_types[0]
    given = {"store": store, "cell": cell, **CPU}
    done = score_variants(table, tmp_path / "ft", **given)
    assert done.reasons == [""]
    assert done.values["logit_TF_delta"][0] != 0
    genome = np.array(store.genome)
    genome[where] = "ACGT".index(alt)
    back = score_variants(
        write_table(tmp_path / "b.tsv", [["chr2", 5001, ".", alt, ref]]),
        tmp_path / "ft",
        **given | {"store": replace(store, genome=genome)},
    )
    assert back.values["logit_TF_delta"][0] == -done.values["logit_TF_delta"][0]
    assert back.values["logit_TF_ref"][0] == done.values["logit_TF_alt"][0]
    with pytest.raises(UsageError, match=f"reads windows of one width.*{BINDING.window_bp}"):
        score_variants(table, tmp_path / "ft", window=100, **given)
    with pytest.raises(UsageError, match="Give --store and --cell"):
        score_variants(table, tmp_path / "ft", tmp_path / "g.fa", **CPU)


# -- files


def vcf(path, records, contigs=(("chr1", 2000),), gz=False):
    pytest.importorskip("pysam")
    lines = ["##fileformat=VCFv4.2", *(f"##contig=<ID={c},length={n}>" for c, n in contigs)]
    lines += ['##INFO=<ID=AC,Number=A,Type=Integer,Description="count">']
    lines += ["#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    lines += [
        f"{c}\t{p}\t.\t{r}\t{a}\t.\t.\tAC={','.join('1' * len(a.split(',')))}"
        for c, p, r, a in records
    ]
    text = "\n".join(lines) + "\n"
    if gz:
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def test_every_record_is_scored_or_has_a_reason(world, tmp_path):
    letters = world["letters"][:1000] + "N" * 10 + world["letters"][1010:]
    genome = write_genome(tmp_path / "g.fa", chr1=letters)
    good = [(c, p, r, a) for c, p, _, r, a in some_variants(letters[:900], 220, seed=5)]

    def base(pos, n=1):
        return letters[pos - 1 : pos - 1 + n]

    def other(pos):
        return next(b for b in "ACGT" if b != base(pos))

    swap = next(p for p in range(200, 400) if base(p) != base(p + 1))
    odd = [
        (("chr1", 300, base(300), f"{other(300)},<DEL>,*"), ["", "symbolic", "star"]),
        (("chr1", 301, base(301), f"{base(301)}[chr1:400["), ["breakend"]),
        (("chr1", 302, base(302), "."), ["no_alt"]),
        (("chr1", 303, base(303), f"{base(303)}R"), ["not_acgt"]),
        (("chrUn", 5, "A", "C"), ["contig_unknown"]),
        (("chr1", 10, base(10), other(10)), ["window_past_end"]),
        (("chr1", 1995, base(1995), other(1995)), ["window_past_end"]),
        (("chr1", 990, base(990), other(990)), ["n_in_window"]),
        (("chr1", 1003, "A", "C"), ["n_in_window"]),
        (("chr1", 500, base(500, 60), base(500)), ["too_long"]),
        (("chr1", swap, other(swap), base(swap)), ["ref_swapped"]),
    ]
    source = vcf(tmp_path / "v.vcf.gz", [r for r, _ in odd] + good, gz=True)
    motifs = {"motifs": world["folder"] / "m.jaspar", "window": 64}
    given = [source, "--motifs", motifs["motifs"], "--window", 64, "--genome", genome]
    code = main(["score-variants", *map(str, [*given, "--out", tmp_path / "o.tsv"])])
    assert code == 0
    with open(tmp_path / "o.tsv") as handle:
        table = list(csv.DictReader(handle, delimiter="\t"))
    expected = [reason for _, reasons in odd for reason in reasons]
    assert [row["reason"].strip(".") for row in table][: len(expected)] == expected
    assert {row["reason"] for row in table[len(expected) :]} == {"."}
    for row in table:
        assert (row["motif_AP1_delta"] == ".") == (row["reason"] != ".")

    import pysam

    for name in ("o.vcf", "o.vcf.gz", "o.bcf"):
        main(["score-variants", *map(str, [*given, "--out", tmp_path / name])])
        with pysam.VariantFile(str(tmp_path / name)) as file:
            assert file.header.info["EPILM_motif_AP1_delta"].number == "A"
            records = list(file)
        assert len(records) == len(odd) + len(good)
        assert records[0].info["AC"] == (1, 1, 1)
        delta = records[0].info["EPILM_motif_AP1_delta"]
        assert delta[0] == pytest.approx(float(table[0]["motif_AP1_delta"]), rel=1e-5)
        assert delta[1:] == (None, None)
        assert records[0].info["EPILM_REASON"][1:] == ("symbolic", "star")
    first = (tmp_path / "o.vcf.gz").read_bytes()
    main(["score-variants", *map(str, [*given, "--out", tmp_path / "o.vcf.gz"])])
    assert (tmp_path / "o.vcf.gz").read_bytes() == first
    # What was written is read again, and a table's scores become a VCF.
    again = score_variants(
        tmp_path / "o.vcf.gz", None, genome, tmp_path / "p.vcf.gz", **motifs, **CPU
    )
    assert Counter(again.reasons) == Counter(row["reason"].strip(".") for row in table)
    assert (tmp_path / "p.vcf.gz").read_bytes() == first
    table = world["folder"] / "v.tsv"
    score_variants(table, None, world["folder"] / "g.fa", tmp_path / "t.vcf", **motifs, **CPU)
    with pysam.VariantFile(str(tmp_path / "t.vcf")) as file:
        assert [r.id for r in file] == [row[2] for row in world["rows"]]


def test_wrong_files_are_refused_and_nothing_is_written(world, tmp_path):
    model, genome, letters = world["folder"] / "model", world["folder"] / "g.fa", world["letters"]
    out = tmp_path / "o.tsv"

    def refused(path, kind, match, **options):
        with pytest.raises(kind, match=match):
            score_variants(path, model, genome, out, **options, **CPU)
        assert not out.exists()

    other = [["chr1", p + 1, ".", letters[p + 1], letters[p]] for p in range(100, 200)]
    other = [row for row in other if row[3] != row[4]]
    refused(
        write_table(tmp_path / "a.tsv", other),
        InputError,
        f"line 2: REF is not what the genome has.*{len(other)} of {len(other)} alleles:"
        f" {len(other)} with REF and ALT swapped",
    )
    bare = [["1", *row[1:]] for row in world["rows"]]
    refused(write_table(tmp_path / "b.tsv", bare), InputError, "named differently.*chr1")
    refused(write_table(tmp_path / "c.tsv", []), InputError, "no variants in it")
    refused(write_table(tmp_path / "d.tsv", [["chr1", "x", ".", "A", "C"]]), InputError, "line 2")
    refused(write_table(tmp_path / "e.tsv", [], "chrom\tpos"), InputError, "no column ref, alt")
    refused(tmp_path / "none.tsv", InputError, "no such file")
    refused(tmp_path / "v.bed", UsageError, "told by the name")
    good = write_table(tmp_path / "g.tsv", world["rows"])
    refused(good, UsageError, "--window.*Found 65; expected 16 to 64 bp", window=65)
    refused(good, UsageError, "--shifts.*at most 16 bp", shifts=(0, -30))
    refused(good, UsageError, "--shard.*Found 4/3", shard="4/3")
    refused(good, UsageError, "--grid.*Found 17; expected 1 to 16", grid=17)
    refused(good, UsageError, "--shifts.*at most 12 bp", shifts=(0, 14), grid=8)
    refused(good, UsageError, "--null.*Found -1; expected at least 0", null=-1)
    refused(good, UsageError, "--batch-size.*Found 0; expected at least 1", batch_size=0)
    refused(good, UsageError, "--motif-columns is of motifs", motif_columns="largest")
    with pytest.raises(UsageError, match="--scores and --pooling are of a pre-trained"):
        score_variants(good, world["folder"] / "tuned", genome, out, scores=["llr"], **CPU)
    with pytest.raises(UsageError, match="--scores and --pooling are a model's"):
        score_variants(
            good, None, genome, out, scores=["llr"], motifs=world["folder"] / "m.jaspar", **CPU
        )
    refused(good, UsageError, "do not go together", store=tmp_path)
    lines = vcf(tmp_path / "v.vcf", [("chr1", 300, letters[299], "<DEL>")], [("chr1", 1999)])
    refused(lines, InputError, "shorter than the genome's")
    whole = vcf(tmp_path / "w.vcf.gz", [("chr1", 300, letters[299], "<DEL>")] * 90, gz=True)
    (tmp_path / "cut.vcf.gz").write_bytes(whole.read_bytes()[:150])
    refused(tmp_path / "cut.vcf.gz", InputError, "damaged")


def test_unsorted_and_a_contig_that_the_header_lacks(world, tmp_path):
    """Both are read: a VCF is taken as it lies, its header no more than a claim on lengths."""
    motifs = {"motifs": world["folder"] / "m.jaspar", "window": 64}
    rows = [(c, p, r, a) for c, p, _, r, a in world["rows"][:6]][::-1]
    lines = vcf(tmp_path / "u.vcf", rows, contigs=())
    genome = world["folder"] / "g.fa"
    done = score_variants(lines, None, genome, tmp_path / "o.vcf", **motifs, **CPU)
    assert [a.start + 1 for a in done.alleles] == [row[1] for row in rows]
    assert done.reasons == [""] * len(rows)
    import pysam

    with pysam.VariantFile(str(tmp_path / "o.vcf")) as file:
        assert [record.pos for record in file] == [row[1] for row in rows]


def test_a_table_of_known_effects_is_compared_with_by_the_command(world, tmp_path, capsys):
    rows = [[*row, i % 2, "e1" if i < 8 else "e2"] for i, row in enumerate(world["rows"])]
    header = "chrom\tpos\tid\tref\talt\tlabel\telement"
    table = write_table(tmp_path / "t.tsv", rows, header)
    words = [
        "score-variants",
        table,
        "--motifs",
        world["folder"] / "m.jaspar",
        "--window",
        64,
        "--genome",
        world["folder"] / "g.fa",
        "--out",
        tmp_path / "o.tsv",
    ]
    assert main([*map(str, words), "--truth", "label", "--group", "element"]) == 0
    said = capsys.readouterr().out
    for group in ("all", "e1", "e2"):
        assert f"label, {group}: auroc (" in said
    assert "baseline motif" in said
    assert "baseline gc" in said
    (tmp_path / "o.tsv").unlink()
    assert main([*map(str, words), "--truth", "labels"]) == 1
    assert "no such column" in capsys.readouterr().err
    assert main([*map(str, words), "--group", "element"]) == 2
    assert "Give --truth" in capsys.readouterr().err
    assert not (tmp_path / "o.tsv").exists()
