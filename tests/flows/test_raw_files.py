"""Raw files of the playground to a training step: from peaks, from counts, and with three
statistics a motif.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import epilm
from epilm.cli import main
from epilm.errors import RecipeError, StoreError
from epilm.models.from_spec import build_model
from epilm.playground.simulate import simulate
from epilm.pretraining.pretrain import pretrain
from epilm.pretraining.run_plan import for_store
from epilm.recipes.recipe import load_recipe
from epilm.store.making.build import build
from epilm.store.reader import Store

SHORT = (
    "samples.holdout_chroms=[chr3]",
    "train.precision=fp32",
    "model.encoder.layers=1",
    "model.encoder.hidden=32",
    "model.encoder.ffn=64",
    "train.steps=1",
    "train.validate_samples=4",
    "train.batch_size=4",
    "train.micro_batch=4",
    "objectives.matching.batch=4",
    "model.max_tokens=34",
)
CHANNELS = "model.tower.prepare=channels"


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return Path(simulate(tmp_path_factory.mktemp("playground") / "raw", "tiny", 0))


@pytest.fixture(scope="module")
def three(raw, tmp_path_factory) -> Store:
    """The command that the refusal of a store names, as a user types it."""
    out = tmp_path_factory.mktemp("three") / "s"
    words = [
        "build",
        "--genome",
        raw / "genome.fa",
        "--peaks",
        raw / "peaks",
        "--motifs",
        raw / "motifs.jaspar",
        "--statistic",
        "best",
        "--more-statistics",
        "count",
        "--more-statistics",
        "sum",
        "--out",
        out,
        "--quiet",
    ]
    assert main([str(word) for word in words]) == 0
    return Store.open(out)


@pytest.mark.parametrize("source", ["peaks", "counts.h5ad", "counts/matrix.mtx.gz"])
def test_peaks_and_counts_reach_a_training_step(raw, source, tmp_path):
    given = {"peaks" if source == "peaks" else "counts": raw / source}
    store = build(
        genome=raw / "genome.fa",
        motifs=raw / "motifs.jaspar",
        out=tmp_path / "s",
        threads=1,
        **given,
    )
    assert store.info.access["from"] == ("peaks" if source == "peaks" else "counts")
    # Accessibility as a weight is what counts alone can give.
    more = () if source == "peaks" else ("samples.matrix_weight=accessibility",)
    done = pretrain(
        "genebert_native", store, tmp_path / "run", "tiny", (*SHORT, *more), device="cpu"
    )
    assert done.steps == 1
    assert np.isfinite([done.train["loss"], done.valid["loss"]]).all()
    loaded = epilm.load(done.run)
    assert loaded.extra["factor_statistics"] == ["best"]
    assert torch.isfinite(loaded.model.encoder.words.weight).all()


def test_channels_from_raw_files_to_a_training_step(three, tmp_path):
    done = pretrain(
        "genebert_paper", three, tmp_path / "run", "tiny", (*SHORT, CHANNELS), device="cpu"
    )
    assert done.steps == 1
    assert np.isfinite([done.train["loss"], done.valid["loss"]]).all()
    loaded = epilm.load(done.run)
    assert loaded.extra["factor_statistics"] == ["best", "count", "sum"]
    assert loaded.model.tower.channels == 3
    assert (
        json.loads((done.run / "recipe.json").read_text())["model"]["tower"]["prepare"]
        == "channels"
    )


def images(store, monkeypatch, *switches):
    """What the tower's network is shown of the first samples."""
    from epilm.batches import BatchMaker
    from epilm.nn import region

    recipe = for_store(load_recipe("genebert_paper", "tiny", (*SHORT, *switches)), store)
    maker = BatchMaker(store, recipe.model, recipe.objectives, recipe.samples, seed=0)
    model = build_model(maker.spec, seed=0).eval()
    seen, plain = [], region.to_image
    with monkeypatch.context() as patch:
        patch.setattr(region, "to_image", lambda *args: seen.append(plain(*args)) or seen[-1])
        outputs = model(maker(np.arange(3), 0))
    return seen[0], outputs.region_embedding


def test_the_tower_sees_three_colours_where_it_saw_one(three, monkeypatch):
    colour, embedding = images(three, monkeypatch, CHANNELS)
    grey, before = images(three, monkeypatch)
    assert colour.shape == grey.shape == (3, 3, 224, 224)
    assert torch.equal(grey[:, 0], grey[:, 1])
    assert torch.allclose(colour[:, 0], grey[:, 0], atol=1e-5)  # the best score, as with resize
    assert not torch.allclose(colour[:, 1], colour[:, 0])
    assert not torch.allclose(colour[:, 2], colour[:, 1])
    assert not torch.allclose(embedding, before)


def test_a_store_of_one_statistic_is_refused_with_the_command_that_cures_it(raw, tmp_path):
    store = build(
        genome=raw / "genome.fa",
        peaks=raw / "peaks",
        motifs=raw / "motifs.jaspar",
        out=tmp_path / "s",
    )
    cure = "epilm build --statistic best --more-statistics count --more-statistics sum"
    with pytest.raises(
        StoreError, match=f"the store has fewer. Found best; expected three.*{cure}"
    ):
        pretrain(
            "genebert_paper", store, tmp_path / "run", "tiny", (*SHORT, CHANNELS), device="cpu"
        )
    assert not (tmp_path / "run").exists()


def test_channels_and_masked_factors_exclude_each_other():
    with pytest.raises(
        RecipeError, match="masked factors hide one score an entry, channels shows three"
    ):
        load_recipe("genebert_summary", "tiny", (CHANNELS, "model.tower.name=swin_t_224"))
