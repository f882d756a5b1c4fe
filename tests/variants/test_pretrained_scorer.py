"""What a pre-trained model says of a variant, computed by hand from its own layers."""

import numpy as np
import pytest
import torch

from epilm.errors import UsageError
from epilm.genome.sequence import encode
from epilm.hub.load import load
from epilm.tokens.kmers import MASK, kmer_ids
from epilm.variants.score import score_variants
from toy_variants import CPU, write_table


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
