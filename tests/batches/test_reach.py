"""What of the regions is read, beside a plain search for the best hits."""

from dataclasses import replace

import numpy as np
import pytest

from epilm.batches.layout import RegionTokens
from epilm.batches.reach import Reach, measure, region_reach
from epilm.genome.sequence import decode
from epilm.models.model_spec import ModelSpec
from epilm.motifs.log_odds import UNIFORM, log_odds
from epilm.store.making.writer import write_store
from epilm.store.reader import Store
from epilm.store.schema import REGION_TYPE
from epilm.tokens.kmers import kmer_ids

WORDS = ("ACGTTGCA", "GGATCCAATC")


def motif(word: str) -> dict:
    matrix = [[97.0 if base == letter else 1.0 for base in "ACGT"] for letter in word]
    return {"id": word, "name": word, "family": "", "matrix": matrix, "is_counts": True}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    rng = np.random.default_rng(5)
    genome = {"chr1": rng.integers(0, 4, 12_000).astype(np.uint8)}
    regions = np.zeros(30, REGION_TYPE)
    regions["start"] = np.arange(30) * 400
    regions["end"] = regions["start"] + rng.integers(30, 300, 30)
    path = write_store(
        tmp_path_factory.mktemp("reach") / "s",
        genome=genome,
        regions=regions,
        accessible=np.ones((30, 1), bool),
        cell_types=["a"],
        factors=np.zeros((30, 2)),
        motifs=[motif(word) for word in WORDS],
    )
    return Store.open(path)


def best(text: str, pwm: np.ndarray) -> float:
    """Best score on either strand, position by position."""
    scores = [-np.inf]
    for table in (pwm, pwm[::-1, ::-1]):
        for at in range(len(text) - len(pwm) + 1):
            scores.append(sum(row["ACGT".index(text[at + i])] for i, row in enumerate(table)))
    return max(scores)


@pytest.mark.parametrize("reach", [20, 69, 150])
def test_the_share_of_best_hits_that_are_read_is_that_of_a_plain_search(store, reach):
    read = total = 0
    for region in store.regions:
        start, end = int(region["start"]), int(region["end"])
        text = decode(np.asarray(store.genome[start:end]))
        skip = max(len(text) - reach, 0) // 2
        for word in WORDS:
            pwm = log_odds(np.array(motif(word)["matrix"]), UNIFORM, 1.0)
            read += best(text[skip : skip + reach], pwm) >= best(text, pwm) - 1e-3
            total += 1
    found = measure(store, np.arange(30), reach, seed=0, factors=True)
    widths = store.regions["end"] - store.regions["start"]
    assert found.cropped == found.scored == (widths > reach).sum()
    assert found.widest == widths.max()
    assert found.hits_read == pytest.approx(read / total)


def test_nothing_is_scored_where_all_is_read_or_no_factor_is_learned(store):
    assert measure(store, np.arange(30), 300, 0, factors=True) == Reach(
        300, 30, 0, int((store.regions["end"] - store.regions["start"]).max()), None, 0
    )
    assert measure(store, np.arange(30), 20, 0, factors=False).hits_read is None


@pytest.mark.parametrize("tokens", [20, 66])
@pytest.mark.parametrize("stride", [1, 3])
def test_the_reach_is_what_the_layout_shows(store, tokens, stride):
    spec = ModelSpec(max_tokens=tokens, stride=stride, k=6)
    reach = region_reach(spec)
    shown = RegionTokens(store, 6, stride).tokens(store_rows(store, reach), tokens - 2)
    start = store.flat_starts + (store.regions["end"] - store.regions["start"] - reach) // 2
    for row, (ids, count) in zip(
        store_rows(store, reach).tolist(), zip(*shown, strict=True), strict=True
    ):
        codes = store.windows(start[[row]], reach)
        assert ids[:count].tolist() == kmer_ids(codes_of(codes), 6, stride)[0].tolist()


def store_rows(store, reach):
    import torch

    widths = store.regions["end"] - store.regions["start"]
    return torch.from_numpy(np.flatnonzero(widths >= reach))


def codes_of(codes):
    import torch

    return torch.from_numpy(np.array(codes))


def test_layouts_without_such_a_number():
    assert region_reach(replace(ModelSpec(), layout="chunk_rnn")) is None
    assert region_reach(replace(ModelSpec(), layout="concat_budget", join="raw")) == 51
