"""Which motifs have a site in a window: against the scanner, from either strand, and through a
run.
"""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from epilm.batches import WindowMaker
from epilm.batches.motif_sites import SiteFinder
from epilm.errors import RecipeError, StoreError
from epilm.hub.load import load
from epilm.models.binding import binding_from
from epilm.models.build import build_model
from epilm.motifs.formats import read_motifs
from epilm.motifs.pwm import thresholds
from epilm.motifs.scan import scan
from epilm.motifs.scores import log_odds
from epilm.objectives.motif_sites import motif_sites_loss
from epilm.objectives.spec import MotifSitesSpec
from epilm.playground.simulate import simulate
from epilm.pretraining.pretrain import for_store, pretrain
from epilm.recipes.recipe import load_recipe
from epilm.store.making.build import build
from epilm.store.reader import Store

ASKED = (
    "objectives.motif_sites.weight=1",
    "samples.window_bp=300",
    "model.max_tokens=64",
    "train.steps=3",
    "train.batch_size=8",
    "train.micro_batch=4",
    "optim.warmup_steps=1",
    "train.validate_samples=8",
)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    simulate(folder / "raw", "tiny", 3)
    return folder / "raw"


@pytest.fixture(scope="module")
def store(raw):
    return Store.open(
        build(
            genome=raw / "genome.fa",
            peaks=raw / "peaks",
            motifs=raw / "motifs.jaspar",
            states=raw / "states",
            assembly="toy",
            out=raw.parent / "store",
        ).path
    )


def found_by_scan(raw, codes, stride, tokens):
    """The slow way: every hit of every motif with the scanner of the command line, put where its
    middle base is.
    """
    motifs = read_motifs(raw / "motifs.jaspar")
    pwms = [log_odds(motif) for motif in motifs]
    cuts = thresholds(pwms, 1e-4).scores
    there = np.zeros((len(codes), tokens, len(pwms)), bool)
    for row, bases in enumerate(codes):
        hits = scan(bases, pwms, cuts, dedup=False)
        for motif, start in zip(hits.motif, hits.start, strict=True):
            token = (start + motifs[motif].width // 2) // stride
            if token < tokens:
                there[row, token, motif] = True
    return there


@pytest.mark.parametrize(("stride", "tokens"), [(5, 60), (7, 42), (3, 99), (1, 300)])
def test_sites_are_those_of_the_scanner_on_either_strand(raw, store, stride, tokens):
    rng = np.random.default_rng(0)
    starts = np.concatenate([[0, store.sizes[0] - 300], rng.integers(0, store.sizes[0] - 300, 40)])
    codes = np.stack([store.genome[at : at + 300] for at in starts]).copy()
    codes[5, 100:140] = 4  # N: what stands beside it is still found
    codes[6] = 4
    expected = found_by_scan(raw, codes, stride, tokens)
    assert expected.sum() > 50
    finder = SiteFinder(store)
    found = finder(torch.from_numpy(codes), stride, tokens).numpy()
    # fp32 against fp64: a score may differ where it is the cut itself.
    assert (found != expected).sum() <= 1
    assert not found[6].any()
    if stride == 1:  # every base is a token: the other strand has the same sites
        turned = np.where(codes[:, ::-1] > 3, 4, 3 - codes[:, ::-1]).astype(np.uint8)
        other = finder(torch.from_numpy(turned), stride, tokens).numpy()
        assert np.array_equal(other.any(1), found.any(1))


def test_a_batch_says_what_stands_in_its_own_windows_hidden_or_not(raw, store):
    recipe = for_store(load_recipe("ebert_tiny", None, ASKED), store)
    maker = WindowMaker(store, recipe.model, recipe.objectives, recipe.samples, seed=1)
    rows = np.arange(0, len(maker), len(maker) // 12)
    batch = maker(rows, 5)
    starts = [
        int(store.offsets[c]) + s
        for c, s in zip(batch.chroms.tolist(), batch.starts.tolist(), strict=True)
    ]
    codes = np.stack([store.genome[at : at + 300] for at in starts])
    forward = found_by_scan(raw, codes, 7, 42).any(1)
    found = batch.motif_sites.numpy()
    assert found.shape == (len(rows), 44, 36)
    assert not found[:, [0, -1]].any()  # [CLS] and [SEP]
    # Half of the windows are read from the other strand; 300 bp are 42 tokens and 6 bases, whose
    # sites no token holds.
    differ = found.any(1) != forward
    assert differ.sum() <= 0.05 * max(forward.sum(), 1) + 2
    assert recipe.model.motif_sites == maker.spec.motif_sites == 36
    out = build_model(maker.spec, seed=0).eval()(batch)
    assert out.motif_logits.shape == batch.motif_sites.shape


def test_motifs_are_chosen_by_name_or_id(store):
    whole = SiteFinder(store)
    two = SiteFinder(store, ["cebpb", "MA0139.1"])
    names = [motif["name"] for motif in store.motifs]
    codes = torch.from_numpy(np.array(store.genome[:30_000]).reshape(100, 300))
    columns = sorted([names.index("CEBPB"), names.index("CTCF")])
    assert torch.equal(two(codes, 5, 60), whole(codes, 5, 60)[..., columns])


def test_padding_does_not_change_what_a_window_says(store):
    recipe = for_store(load_recipe("ebert_tiny", None, ASKED), store)
    model = build_model(recipe.model, seed=0).eval()
    rows = np.arange(6)
    short = WindowMaker(store, recipe.model, recipe.objectives, recipe.samples, seed=1)(rows, 0)
    padded = dataclasses.replace(recipe.model, pad_to_max=True)
    long = WindowMaker(store, padded, recipe.objectives, recipe.samples, seed=1)(rows, 0)
    assert long.dna.ids.shape[1] > short.dna.ids.shape[1]
    with torch.no_grad():
        few, many = model(short), model(long)
    n = short.dna.ids.shape[1]
    assert torch.allclose(few.motif_logits, many.motif_logits[:, :n], atol=1e-5)
    losses = [
        motif_sites_loss(*pair, MotifSitesSpec())["loss"] for pair in ((few, short), (many, long))
    ]
    assert torch.allclose(*losses, rtol=1e-5)


def test_a_run_reports_it_and_fine_tuning_drops_the_head(store, tmp_path):
    run = tmp_path / "run"
    pretrain(
        "ebert_tiny", store, run, set=[*ASKED, "train.log_every=1", "samples.holdout_chroms=[chr3]"]
    )
    lines = [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("motif_sites/loss" in row for row in lines if row["split"] == "train")
    assert any("motif_sites/recall" in row for row in lines if row["split"] == "valid")
    network = binding_from(load(run).model, outputs=1)
    assert not any("motif_head" in name for name, _ in network.named_parameters())


def test_what_cannot_be_asked_is_refused_with_the_key(raw, store, tmp_path):
    with pytest.raises(RecipeError, match="motif sites are asked of windows"):
        load_recipe("genebert_native", "tiny", ["objectives.motif_sites.weight=1"])
    with pytest.raises(RecipeError, match="no motif of that name"):
        pretrain(
            "ebert_tiny",
            store,
            tmp_path / "run",
            set=[*ASKED, "objectives.motif_sites.factors=[CEBPC]"],
        )
    bare = build(
        genome=raw / "genome.fa", states=raw / "states", assembly="toy", out=tmp_path / "bare"
    )
    with pytest.raises(RecipeError, match="the store has no motifs"):
        pretrain("ebert_tiny", bare.path, tmp_path / "run", set=ASKED)
    with pytest.raises(StoreError, match="no motifs to look for"):
        SiteFinder(Store.open(bare.path))
    many = tmp_path / "many"
    shutil.copytree(store.path, many)
    about = json.loads((many / "store.json").read_text())
    about["factors"]["backgrounds"] *= 2
    (many / "store.json").write_text(json.dumps(about))
    with pytest.raises(StoreError, match="more than one cut"):
        SiteFinder(Store.open(many))
