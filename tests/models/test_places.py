"""The head of places: means by place as a plain loop has them, padding that is not seen, and rows
that differ by place alone.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from epilm.batch import Windows
from epilm.errors import UsageError
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.models.networks import HEADS, Shape
from epilm.models.places import mean_by_place, placed_from

SPEC = ModelSpec(
    name="dbert",
    streams=("dna",),
    k=3,
    encoder=EncoderSpec(size="tiny", dropout=0.0),
    next_segment="none",
)


def windows(rows=3, tokens=40, pad=0):
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 69, (rows, tokens), generator=draw)
    ids = F.pad(F.pad(F.pad(ids, (1, 0), value=2), (0, 1), value=3), (0, pad))
    return Windows(ids, ids > 0)


@given(st.integers(0, 30), st.integers(1, 9), st.integers(0, 3), st.integers(0, 4))
def test_means_by_place_are_those_of_a_plain_loop(tokens, places, before, after):
    draw = torch.Generator().manual_seed(tokens)
    x = torch.rand(1, before + tokens + after, 2, generator=draw)
    real = torch.zeros(1, before + tokens + after, dtype=torch.bool)
    real[0, before : before + tokens] = True
    parts = [[] for _ in range(places)]
    for number in range(tokens):
        parts[number * places // tokens].append(x[0, before + number])
    by_hand = torch.stack([sum(part) / len(part) if part else torch.zeros(2) for part in parts])
    torch.testing.assert_close(mean_by_place(x, real, places)[0], by_hand)


def test_the_head_is_its_layers_on_what_was_cut_out():
    network = placed_from(build_model(SPEC, seed=0), 2, seed=1).eval()
    read = windows()
    hidden = network.trunk.encode_windows(read)
    inner = hidden[:, 1:-1]  # without [CLS] and [SEP]
    numbers = F.gelu(network.narrow(inner))
    cut = torch.tensor([n * 16 // 40 for n in range(40)])
    parts = [numbers[:, cut == place].mean(1) for place in range(16)]
    joined = torch.cat([*parts, inner.mean(1)], 1)
    by_hand = network.out(F.gelu(network.dense(joined)))
    torch.testing.assert_close(network(read), by_hand)
    torch.testing.assert_close(network.head(hidden, read), by_hand)


def test_padding_is_not_seen():
    network = placed_from(build_model(SPEC, seed=0), 2, seed=1).eval()
    torch.testing.assert_close(network(windows(pad=7)), network(windows()))


def test_rows_that_differ_by_the_place_of_their_motif_alone_are_told_apart():
    """A motif in the first or in the last third of a row, on vectors that know no place."""
    draw = torch.Generator().manual_seed(3)
    rows, motif = 240, torch.tensor([17, 33, 8])
    ids = torch.randint(5, 69, (rows, 40), generator=draw)
    late = torch.arange(rows) % 2
    for row, side in enumerate(late.tolist()):
        at = int(torch.randint(0, 10, (1,), generator=draw)) + 27 * side
        ids[row, at : at + 3] = motif
    ids = F.pad(F.pad(ids, (1, 0), value=2), (0, 1), value=3)
    network = placed_from(build_model(SPEC, seed=0), 1, seed=1, dropout=0.0)
    vectors = network.trunk.encoder.words.weight.detach()  # an embedding alone

    def scores(part):
        return network.head(vectors[ids[part]], Windows(ids[part], ids[part] > 0))[:, 0]

    learned, judged = slice(0, 160), slice(160, rows)
    optimizer = torch.optim.AdamW(
        [*network.narrow.parameters(), *network.dense.parameters(), *network.out.parameters()],
        lr=1e-2,
    )
    for _ in range(150):
        loss = F.binary_cross_entropy_with_logits(scores(learned), late[learned].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    said = scores(judged) > 0
    assert (said == late[judged].bool()).float().mean() > 0.9


def test_signals_are_refused_by_name():
    with pytest.raises(UsageError, match="the places head reads token vectors alone"):
        HEADS["places"].build(build_model(SPEC, seed=0), Shape(outputs=1, signals=2), 1)
