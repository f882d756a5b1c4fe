"""Which motifs have a site in a window: against the scanner, from either strand, and through a
run.
"""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from epilm.batches import BatchMaker, WindowMaker, site_finder
from epilm.batches.layout import n_bases
from epilm.batches.site_finder import SiteFinder
from epilm.errors import RecipeError, StoreError
from epilm.genome.sequence import encode
from epilm.hub.load import load
from epilm.models.binding_head import binding_from
from epilm.models.from_spec import build_model
from epilm.motifs.clusters import clusters
from epilm.motifs.formats import read_motifs
from epilm.motifs.log_odds import log_odds
from epilm.motifs.pwm import thresholds
from epilm.motifs.scan import scan
from epilm.objectives.motif_sites import motif_sites_loss
from epilm.objectives.table import MotifSitesSpec
from epilm.playground.simulate import simulate
from epilm.pretraining.pretrain import pretrain
from epilm.pretraining.run_plan import for_store, make_plan
from epilm.recipes.recipe import load_recipe
from epilm.store.making.build import build
from epilm.store.motifs import stored_motif
from epilm.store.reader import Store
from epilm.tokens.kmers import decode_ids

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

SHORT = ("objectives.motif_sites.weight=1", *ASKED[3:])
LAYOUTS = [
    ("per_region", "sep", 1),
    ("per_region", "sep", 3),
    ("concat", "sep", 1),
    ("concat", "raw", 2),
    ("concat_budget", "sep", 1),
    ("concat_budget", "raw", 1),
    ("chunk_rnn", "sep", 2),
    ("chunk_rnn", "raw", 1),
]


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
def test_sites_are_those_of_the_scanner_on_either_strand(raw, store, stride, tokens, monkeypatch):
    rng = np.random.default_rng(0)
    starts = np.concatenate([[0, store.sizes[0] - 300], rng.integers(0, store.sizes[0] - 300, 40)])
    codes = np.stack([store.genome[at : at + 300] for at in starts]).copy()
    codes[5, 100:140] = 4  # N: what stands beside it is still found
    codes[6] = 4
    expected = found_by_scan(raw, codes, stride, tokens)
    assert expected.sum() > 50
    finder = SiteFinder(store)
    found = finder(torch.from_numpy(codes), stride, tokens).numpy()
    assert np.array_equal(found, expected)
    # Without numba, or on a device: another road to the same sites.
    monkeypatch.setattr(site_finder, "_scanner", lambda pwms, cuts: None)
    assert np.array_equal(
        SiteFinder(store)(torch.from_numpy(codes), stride, tokens).numpy(), expected
    )
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
    two = SiteFinder(store, MotifSitesSpec(factors=("cebpb", "MA0139.1")))
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
    with pytest.raises(RecipeError, match=r"alike=1.5: the value is out of range"):
        load_recipe("genebert_native", "tiny", ["objectives.motif_sites.alike=1.5"])
    for recipe, size, changes, message in (
        (
            "genebert_native",
            "tiny",
            ["model.max_tokens=12"],
            r"max_tokens: motifs are longer than what the model.*Found 15 bp, and 7 longer: HNF",
        ),
        (
            "ebert_tiny",
            None,
            ["samples.window_bp=15"],
            r"samples.window_bp.*Found 15 bp, and .*expected at least \d+ bp.*factors",
        ),
    ):
        with pytest.raises(RecipeError, match=message):
            pretrain(recipe, store, tmp_path / "run", size=size, set=[*SHORT, *changes])
    assert not (tmp_path / "run").exists()
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
    peaks = build(
        genome=raw / "genome.fa", peaks=raw / "peaks", assembly="toy", out=tmp_path / "peaks"
    )
    with pytest.raises(RecipeError, match=r"the store has no motifs.*--motifs"):
        pretrain("dnabert", peaks.path, tmp_path / "run", size="tiny", set=SHORT)
    with pytest.raises(StoreError, match="no motifs to look for"):
        SiteFinder(Store.open(bare.path))
    many = tmp_path / "many"
    shutil.copytree(store.path, many)
    about = json.loads((many / "store.json").read_text())
    about["factors"]["backgrounds"] *= 2
    (many / "store.json").write_text(json.dumps(about))
    with pytest.raises(StoreError, match="more than one cut"):
        SiteFinder(Store.open(many))


def by_hand(raw, store, spec, budget, regions):
    """Tokens of a sample and the motifs that have a site at each, region by region; None where no
    k-mer stands.
    """
    k, stride = spec.k, spec.stride
    raw_joined = spec.join == "raw" and spec.layout != "per_region"
    pieces = []
    for region in regions:
        row = store.regions[region]
        start = int(store.offsets[row["chrom"]] + row["start"])
        full = int(row["end"] - row["start"])
        bases = min(full, budget if raw_joined else n_bases(budget, k, stride))
        at = start + (full - bases) // 2
        pieces.append(np.array(store.genome[at : at + bases]))
    if raw_joined:
        pieces = [np.concatenate(pieces)]
    rows = []
    for codes in pieces:
        tokens = (len(codes) - k) // stride + 1
        rows.append(
            [set(np.flatnonzero(row)) for row in found_by_scan(raw, codes[None], stride, tokens)[0]]
        )
    if spec.layout == "per_region":
        return rows
    gap = [None] if spec.join == "sep" and spec.layout != "concat_budget" else []
    joined = []
    for row in rows:
        joined += [*row, *gap]
    return [joined[: len(joined) - len(gap)]]


@pytest.mark.parametrize(("layout", "join", "stride"), LAYOUTS)
def test_regions_are_asked_about_what_is_read_of_them(raw, store, layout, join, stride):
    changes = [f"model.layout={layout}", f"model.join={join}", f"model.stride={stride}"]
    changes += ["objectives.next_segment.weight=0", "model.max_tokens=90", "samples.regions=3"]
    recipe = for_store(load_recipe("dnabert", "tiny", [*SHORT, *changes]), store)
    maker = BatchMaker(store, recipe.model, recipe.objectives, recipe.samples, seed=0, subset="all")
    batch = maker(np.arange(0, len(maker), max(1, len(maker) // 9)), 3)
    sites = batch.motif_sites
    assert sites.shape == (*batch.dna.ids.shape, 36)
    room, total = recipe.model.max_tokens - 2, 0
    for sample, regions in enumerate(batch.regions.tolist()):
        rows = by_hand(raw, store, recipe.model, maker._region_budget, regions)
        if layout == "chunk_rnn":
            whole = rows[0]
            rows = [whole[at : at + room] for at in range(0, len(whole), room)]
        strings = (batch.owner == sample).nonzero().flatten().tolist()
        assert len(strings) == len(rows)
        for string, row in zip(strings, rows, strict=True):
            given = [set(one.nonzero().flatten().tolist()) for one in sites[string]]
            expected = [set(), *((one or set()) for one in row[:room])]
            expected += [set()] * (len(given) - len(expected))
            assert given == expected
            total += sum(map(len, expected))
    assert total >= 5


def test_what_is_hidden_does_not_change_where_sites_are(store):
    recipe = for_store(load_recipe("genebert_native", "tiny", SHORT), store)
    maker = BatchMaker(store, recipe.model, recipe.objectives, recipe.samples, seed=0, subset="all")
    one, two = maker(np.arange(4), 0), maker(np.arange(4), 7)
    assert not torch.equal(one.dna.ids, two.dna.ids)
    assert torch.equal(one.motif_sites, two.motif_sites)
    # A sample's sites are its own, whatever stands beside it in the batch.
    alone = maker(np.arange(2, 3), 0).motif_sites
    size = recipe.samples.regions
    assert torch.equal(alone, one.motif_sites[2 * size : 3 * size])


def test_alike_motifs_are_asked_about_as_one(store):
    each = SiteFinder(store)
    some = SiteFinder(store, MotifSitesSpec(alike=0.7))
    one = SiteFinder(store, MotifSitesSpec(alike=0.01))
    assert one.n <= some.n < each.n
    motifs = [stored_motif(row) for row in store.motifs]
    column = clusters(motifs, 0.7)
    codes = torch.from_numpy(np.array(store.genome[:30_000]).reshape(100, 300))
    whole, fewer = each(codes, 5, 60), some(codes, 5, 60)
    for number in range(some.n):
        members = np.flatnonzero(column == number)
        assert torch.equal(fewer[..., number], whole[..., members].any(-1))
    changes = [*SHORT, "objectives.motif_sites.alike=0.7"]
    assert for_store(load_recipe("genebert_native", "tiny", changes), store).model.motif_sites == (
        some.n
    )


@pytest.mark.parametrize("clean", ["masked", "clean"])
def test_genebert_learns_sites_and_its_checkpoint_opens(store, tmp_path, clean):
    run = tmp_path / "run"
    changes = [*SHORT, "train.log_every=1", "samples.holdout_chroms=[chr3]"]
    changes += [f"objectives.matching.input={clean}", "objectives.matching.batch=8"]
    pretrain("genebert_native", store, run, size="tiny", set=changes)
    lines = [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
    assert all("motif_sites/loss" in row for row in lines)
    assert load(run).spec.motif_sites == 36


def test_sites_of_regions_are_those_of_what_is_read_of_them(store):
    """From the other strand and from beside: found again in the bases that the k-mers spell."""
    recipe = load_recipe(
        "dnabert",
        "tiny",
        [
            "objectives.motif_sites.weight=1",
            "objectives.masked_kmers.weight=0",
            "samples.strands=both",
            "samples.region_jitter=40",
            "model.max_tokens=130",
        ],
    )
    maker = make_plan(for_store(recipe, store), store).maker
    batch = maker(np.arange(4), 7)
    asked = maker.finders["motif_sites"]
    k = recipe.model.k
    for ids, sites in zip(batch.dna.ids, batch.motif_sites, strict=True):
        letters = [decode_ids([int(i)], k)[0] for i in ids if i >= 5]
        text = letters[0] + "".join(word[-1] for word in letters[1:])
        codes = torch.from_numpy(encode(text).copy())[None]
        found = asked(codes, 1, len(letters))[0]
        assert torch.equal(sites[1 : 1 + len(letters)], found)
    assert bool(batch.motif_sites.any())


def test_each_column_that_is_asked_about_has_its_names():
    """One name twice is told apart by id; a cluster bears all of its names."""
    from types import SimpleNamespace

    from epilm.batches.site_finder import names_asked
    from epilm.objectives.motif_sites import MotifSitesSpec

    rows = [{"id": "M1", "name": "CTCF"}, {"id": "M2", "name": "CTCF"}, {"id": "M3", "name": ""}]
    store = SimpleNamespace(motifs=rows)
    assert names_asked(store, MotifSitesSpec(weight=1)) == ["CTCF_M1", "CTCF_M2", "M3"]
    assert names_asked(store, MotifSitesSpec(weight=0)) == []


def test_a_clusters_column_bears_the_names_of_its_motifs(store):
    from dataclasses import replace

    from epilm.batches.site_finder import n_asked, names_asked
    from epilm.objectives.motif_sites import MotifSitesSpec

    plain = MotifSitesSpec(weight=1)
    alike = replace(plain, alike=0.8)
    names = names_asked(store, alike)
    assert len(names) == n_asked(store, alike) < len(store.motifs)
    together = sorted(name for column in names for name in column.split("+"))
    assert together == sorted(names_asked(store, plain))
