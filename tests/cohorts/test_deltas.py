"""What a model says of each variant: the difference of two vectors, made once."""

import numpy as np
import pytest

from epilm.cohorts import deltas as module
from epilm.cohorts.deltas import open_reader, score_deltas
from epilm.errors import UsageError
from epilm.genome.sequence import reverse_complement
from epilm.hub.checkpoint import save_model
from epilm.hub.load import load
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.tasks.reference import open_reference
from epilm.variants.haplotypes import Change
from toy_cohort import BASES, LETTERS, OTHER, write_genome

SPEC = ModelSpec(
    name="dnabert",
    streams=("dna",),
    k=3,
    encoder=EncoderSpec(hidden=8, layers=1, heads=2, ffn=16, max_positions=64),
    max_tokens=64,
    next_segment="none",
    projection="none",
    projection_dim=16,
)
CHANGES = [Change("chr1", p, LETTERS[p], OTHER[LETTERS[p]]) for p in (900, 100, 1500, 700, 300, 5)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deltas")
    save_model(folder / "model", build_model(SPEC, seed=1).eval(), SPEC, {})
    return folder / "model", open_reference(write_genome(folder))


def test_an_embedding_delta_is_alt_less_ref_over_both_strands(world):
    model, genome = world
    reader = open_reader(model, None, window=31, device="cpu")
    said = score_deltas(reader, CHANGES[:1], genome).values[0]
    ref = BASES[885:916].copy()
    alt = ref.copy()
    alt[15] = "ACGT".index(CHANGES[0].alt)
    forward = load(model).embed([ref, alt])
    turned = load(model).embed([reverse_complement(ref), reverse_complement(alt)])
    plain = (forward[1] - forward[0] + turned[1] - turned[0]) / 2
    np.testing.assert_allclose(said, plain, atol=1e-6)
    assert len(reader.names) == 8


def test_blocks_that_were_made_are_not_made_again(world, tmp_path, monkeypatch):
    model, genome = world
    monkeypatch.setattr(module, "BLOCK", 2)
    reader = open_reader(model, None, window=31, device="cpu")
    whole = score_deltas(reader, CHANGES, genome)
    assert np.isnan(whole.values[5]).all()
    assert whole.left_out == {"window_past_end": 1}
    kept, calls = tmp_path / "kept", []
    real = module.score_changes

    def stopped(*given):
        calls.append(given[1])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(module, "score_changes", stopped)
    with pytest.raises(KeyboardInterrupt):
        score_deltas(reader, CHANGES, genome, keep=kept)
    lines = []
    again = score_deltas(reader, CHANGES, genome, keep=kept, say=lines.append)
    np.testing.assert_array_equal(again.values, whole.values)
    assert len(calls) == 4  # one made, one stopped, two left of three
    assert lines == ["2 of 5 variants had been read before"]
    # Another window is another score.
    other = open_reader(model, None, window=41, device="cpu")
    score_deltas(other, CHANGES, genome, keep=kept)
    assert len(calls) == 7


def test_what_does_not_fit_the_model_is_refused(world):
    model, _ = world
    with pytest.raises(UsageError, match="nothing to read variants with. Give --model or --motifs"):
        open_reader(None, None)
    with pytest.raises(
        UsageError, match="--window: impossible value. Found 500; expected 16 to 64"
    ):
        open_reader(model, None, window=500, device="cpu")
    with pytest.raises(
        UsageError, match="a pre-trained model reads bases alone here. Found --store"
    ):
        open_reader(model, None, cell="liver", device="cpu")


def test_blocks_of_another_genome_are_made_anew(world, tmp_path):
    """The bases beside the variant count too, and no path or date tells that they changed."""
    model, genome = world
    reader = open_reader(model, None, window=31, device="cpu")
    first = score_deltas(reader, CHANGES[:1], genome, keep=tmp_path / "kept")
    (tmp_path / "other").mkdir()
    path = write_genome(tmp_path / "other")
    head, bases, *rest = path.read_text().splitlines()
    at = CHANGES[0].start - 3
    bases = bases[:at] + OTHER[bases[at].upper()] + bases[at + 1 :]
    path.write_text("\n".join([head, bases, *rest]) + "\n")
    lines = []
    again = score_deltas(
        reader, CHANGES[:1], open_reference(path), keep=tmp_path / "kept", say=lines.append
    )
    assert lines == []
    assert not np.array_equal(first.values, again.values)
