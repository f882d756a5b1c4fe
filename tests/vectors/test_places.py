"""Vectors of places: the plain way, one window at a time, and what a cell type changes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from epilm.batches.window_reader import WindowReader
from epilm.hub.load import Loaded
from epilm.models.from_spec import build_model
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.vectors.places import PlaceVectors, pieces_of, reads_of_cell
from toy_tracks import toy_track_store

SMALL = EncoderSpec(size="tiny", hidden=16, layers=1, heads=2, ffn=16, max_positions=64)
EB = ModelSpec(
    name="ebert",
    streams=("dna", "states"),
    k=3,
    stride=3,
    states=5,
    cells=3,
    encoder=SMALL,
    max_tokens=40,
    next_segment="none",
)
PLACES = np.array([0, 0, 1]), np.array([300, 1000, 77]), np.array([390, 1101, 500])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_track_store(tmp_path_factory.mktemp("s"), n_share=0.0)


def loaded(spec=EB, seed=3):
    model = build_model(spec, seed=seed).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=torch.manual_seed(1)))
    return Loaded(model, spec, {}, Path("toy"))


def plainly(model, store, chrom, start, end, cell):
    """Mean of the [CLS] vectors of pieces of equally many k-mers, a window a piece."""
    vectors = []
    tokens = np.arange((end - start) // 3)
    for part in np.array_split(tokens, -(-len(tokens) // 38)):
        reader = WindowReader(store, model.spec, 3 * len(part))
        window = reader(np.array([cell]), np.array([chrom]), np.array([start + 3 * part[0]]))
        with torch.inference_mode():
            vectors.append(model.model.encode_windows(window)[0, 0].numpy())
    return np.mean(vectors, 0)


def test_a_place_in_a_cell_type_is_the_mean_of_its_windows(store):
    model, cells = loaded(), np.array([0, 1, 2])
    read = PlaceVectors(model, store, "cls", 2)
    got = read(*PLACES, cells)
    want = [plainly(model, store, *place) for place in zip(*PLACES, cells)]
    np.testing.assert_allclose(got, want, atol=2e-6)
    assert pieces_of(model, PLACES[2] - PLACES[1]).tolist() == [1, 1, 4]


def test_the_batch_and_the_neighbours_change_nothing(store):
    model, cells = loaded(), np.array([0, 1, 2])
    got = PlaceVectors(model, store, "mean", 64)(*PLACES, cells)
    for row in range(3):
        place = [column[row : row + 1] for column in (*PLACES, cells)]
        alone = PlaceVectors(model, store, "mean", 1)(*place)
        np.testing.assert_allclose(alone[0], got[row], atol=2e-6)


def test_another_cell_type_gives_another_vector_and_a_model_of_dna_has_none(store):
    chrom, start, end = (column[:1] for column in PLACES)
    read = PlaceVectors(loaded(), store, "cls", 8)
    by_cell = [read(chrom, start, end, np.array([cell])) for cell in range(3)]
    track = [np.asarray(store.states.of(cell))[1] for cell in range(3)]
    other = next(cell for cell in (1, 2) if track[cell] != track[0])
    assert np.abs(by_cell[0] - by_cell[other]).max() > 1e-3
    dna = loaded(replace(EB, name="dbert", streams=("dna",), states=0))
    assert reads_of_cell(dna) == ""
    got = PlaceVectors(dna, store, "cls", 8)(chrom, start, end, np.array([1]))
    codes = np.asarray(store.bases(chrom, start, int(end[0] - start[0])))
    np.testing.assert_allclose(got, dna.embed([codes[0]], pooling="cls"), atol=1e-6)


def test_a_cell_types_own_vector_is_read_by_the_first_token(store):
    spec = ModelSpec(
        name="genebert",
        streams=("dna",),
        k=3,
        cells=3,
        cell_embedding=True,
        encoder=SMALL,
        max_tokens=64,
        next_segment="none",
    )
    model = loaded(spec)
    assert reads_of_cell(model) == "vector"
    chrom, start, end = (column[:1] for column in PLACES)
    read = PlaceVectors(model, store, "cls", 8)
    first, second = (read(chrom, start, end, np.array([cell])) for cell in (0, 1))
    assert np.abs(first - second).max() > 1e-4
    with torch.no_grad():
        model.model.cells.weight.zero_()
    codes = np.asarray(store.bases(chrom, start, int(end[0] - start[0])))
    plain = model.embed([codes[0]], pooling="cls")
    np.testing.assert_allclose(read(chrom, start, end, np.array([0])), plain, atol=2e-6)
