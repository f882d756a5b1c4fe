"""Sequences longer than a model in chunks: every base is read, one that fits is answered as before,
and what is learned from many chunks is one gradient.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch

import epilm.models.classifier as classifier
import epilm.models.ebert as ebert
from epilm.errors import UsageError
from epilm.finetuning.finetune import finetune
from epilm.finetuning.finetuned import load_finetuned
from epilm.finetuning.scorer import open_scorer
from epilm.finetuning.windows import OwnBases, blocks_of_pieces, chunks_of, reading_of
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.tasks.base import labelled

CPU = torch.device("cpu")
WIDEST, OVERLAP = 30, 10  # 30 positions: 28 3-mers and two ends


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    encoder = EncoderSpec(size="tiny", hidden=16, layers=1, heads=2, ffn=16, max_positions=30)
    spec = ModelSpec(
        name="dnabert", streams=("dna",), k=3, max_tokens=30, encoder=encoder, next_segment="none"
    )
    folder = tmp_path_factory.mktemp("trunk") / "model"
    save_model(folder, build_model(spec, seed=1), spec, {})
    return str(folder)


def rows_of(lengths, seed=0):
    rng = np.random.default_rng(seed)
    codes = [rng.integers(0, 4, length).astype(np.uint8) for length in lengths]
    split = np.resize(["train", "train", "valid", "test"], len(codes))
    return labelled(codes, np.arange(len(codes)) // 4 % 2, split=split)


def learn(trunk, rows, out=None, **more):
    given = {"longer": "chunks", "overlap": OVERLAP, "epochs": 1, "split": "given"} | more
    return finetune(
        "sequences",
        rows,
        out,
        checkpoint=trunk,
        device="cpu",
        precision="fp32",
        say=lambda line: None,
        **given,
    )


@pytest.mark.parametrize(("width", "overlap"), [(30, 10), (7, 0), (12, 11)])
def test_every_base_is_read_and_neighbours_share_what_was_asked(width, overlap):
    rows = rows_of([5, width, width + 1, 80, 61])
    codes, lengths, counts = chunks_of(rows.codes, rows.lengths, width, overlap)
    assert codes.shape == (counts.sum(), width)
    at = 0
    for n, count in enumerate(counts):
        whole, length = rows.codes[n, : rows.lengths[n]], int(rows.lengths[n])
        assert count == max(1, -(-(length - overlap) // (width - overlap)))
        starts = [i * (max(length - width, 0)) // max(count - 1, 1) for i in range(count)]
        for piece, size, start in zip(codes[at : at + count], lengths[at : at + count], starts):
            np.testing.assert_array_equal(piece[:size], whole[start : start + size])
            assert (piece[size:] == 4).all()
        assert starts[-1] + lengths[at + count - 1] == length
        assert all(a + width - b >= overlap for a, b in pairwise(starts))
        at += count


def test_an_overlap_of_a_whole_chunk_is_refused(trunk):
    with pytest.raises(UsageError, match="--overlap: a chunk must reach beyond.*below the 30 bp"):
        learn(trunk, rows_of([40] * 8), overlap=30)


@pytest.mark.parametrize("head", ["linear", "convolutions"])
@pytest.mark.parametrize("join", ["mean", "max"])
def test_what_fits_is_answered_as_without_chunks(tmp_path, trunk, head, join):
    rows = rows_of([70, 45, 30, 12] * 4)
    result = learn(trunk, rows, tmp_path / "run", head=head, join=join)
    assert any("are longer than the 30 bp" in note and "3 at most" in note for note in result.notes)
    opened = load_finetuned(tmp_path / "run")
    assert opened.about["head"]["join"] == join
    said = np.concatenate(list(open_scorer(opened, batch_size=3, device="cpu")(rows)))
    for part, numbers in result.lesson.parts.items():
        np.testing.assert_allclose(said[numbers], result.said[part], atol=1e-6)
    short = rows.take(rows.lengths <= WIDEST)
    opened.about["longer"] = "refuse"
    plain = np.concatenate(list(open_scorer(opened, device="cpu")(short)))
    np.testing.assert_allclose(plain, said[rows.lengths <= WIDEST], atol=1e-6)


def test_pieces_of_the_other_strand_are_its_pieces_from_the_end(trunk):
    rows = rows_of([70, 20, 50, 50])
    model = learn(trunk, rows_of([40] * 8)).model
    turned = labelled([3 - row[:n][::-1] for row, n in zip(rows.codes, rows.lengths)], rows.labels)
    here, there = (OwnBases(model, each, CPU) for each in (rows, turned))
    every = np.arange(4)
    one, other = here.windows(every, np.array([True, False, True, False])), there.windows(every)
    assert one.owner.tolist() == other.owner.tolist() == [0, 0, 0, 1, 2, 2, 3, 3]
    mine = one.owner % 2 == 0
    assert torch.equal(one.ids[mine], other.ids[mine])
    assert torch.equal(one.ids[~mine], here.windows(every).ids[~mine])
    assert here.windows(np.array([1])).owner is None  # one piece a row


@pytest.mark.parametrize("head", ["linear", "convolutions"])
def test_groups_of_chunks_make_one_gradient(trunk, head, monkeypatch):
    model = learn(trunk, rows_of([40] * 8), head=head).model
    network = model.network.eval()
    windows = reading_of(model, rows_of([90, 60, 20, 75]), None, CPU, None).windows(np.arange(4))
    assert len(windows) == 4 + 3 + 1 + 4
    grads = []
    for most in (99, 2):
        for module in (classifier, ebert):
            monkeypatch.setattr(module, "AT_ONCE", most)
        network.zero_grad()
        said = network(windows)
        assert said.shape == (4, 2)
        said.square().sum().backward()
        grads.append(
            {name: w.grad.clone() for name, w in network.named_parameters() if w.grad is not None}
        )
    assert len(grads[0]) > 5
    for name, grad in grads[0].items():
        assert torch.allclose(grad, grads[1][name], atol=1e-5), name


def test_a_block_has_so_many_pieces_and_every_row_once(trunk):
    model = learn(trunk, rows_of([40] * 8)).model
    rows = rows_of([70, 20, 90, 50, 30, 80, 40, 60])
    reading = OwnBases(model, rows, CPU)
    blocks = list(reading.blocks(np.arange(8), 5))
    assert sorted(np.concatenate(blocks).tolist()) == list(range(8))
    assert all(reading.pieces[block].sum() <= 5 for block in blocks)
    big = list(blocks_of_pieces(np.arange(3), np.array([9, 1, 9]), 2))
    assert [block.tolist() for block in big] == [[0], [1], [2]]


def test_chunks_are_not_asked_for_where_there_are_none(trunk):
    rows = rows_of([20] * 8)
    for option, value in (("overlap", 5), ("join", "max")):
        with pytest.raises(UsageError, match=f"--{option}: there are no chunks. Found {value}"):
            finetune("sequences", rows, checkpoint=trunk, **{option: value})
    with pytest.raises(UsageError, match="--longer: unknown value. Found 'chunk'. Did you mean"):
        learn(trunk, rows, longer="chunk")
    with pytest.raises(UsageError, match="--join: impossible value. Found sum"):
        learn(trunk, rows, join="sum")
    with pytest.raises(UsageError, match="cnn has no positions.*Found chunks"):
        learn("cnn", rows)
    with pytest.raises(UsageError, match="finetune splice: no such option. Found --longer"):
        finetune("splice", "genes.gtf", longer="chunks")  # each base is answered


def test_a_head_that_cannot_join_chunks_is_refused(trunk, tmp_path):
    with pytest.raises(UsageError, match="the head places cannot join the chunks of a sequence"):
        learn(trunk, rows_of([20] * 8 + [60]), tmp_path / "ft", head="places")
    assert not (tmp_path / "ft").exists()
