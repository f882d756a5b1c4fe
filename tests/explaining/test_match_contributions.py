"""What matching hangs on: every score beside the one of a batch that was changed by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from epilm.batches import BatchMaker, complete_spec
from epilm.cli import main
from epilm.errors import CheckpointError, UsageError
from epilm.explaining.explain import explain
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from epilm.models.model_spec import TowerSpec
from epilm.objectives.table import ObjectivesSpec
from epilm.recipes.recipe import load_recipe, to_dict
from epilm.store.identity import identity_of
from toy_store import toy_store

REGIONS = 4


def saved(folder, store, ids=None):
    """A GeneBERT from random weights that remembers the store it would have learned from."""
    grouped = [f"samples.regions={REGIONS}", f"samples.group_stride={REGIONS}"]
    recipe = load_recipe("genebert_native", "tiny", grouped)
    spec = replace(recipe.model, tower=TowerSpec(embed=8, depths=(1, 1), heads=(1, 2)))
    spec = complete_spec(replace(spec, max_tokens=40), store, recipe.samples)
    ids = ids or [motif["id"] for motif in store.motifs]
    kept = {
        "recipe": to_dict(recipe),
        "factor_ids": ids,
        "factor_statistics": list(store.statistics[:1]),
    }
    save_model(folder, build_model(spec, seed=3), spec, identity_of(store) | kept)
    return recipe, spec


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    home = tmp_path_factory.mktemp("matching")
    store = toy_store(home / "store", contacts=False)
    return home, store, *saved(home / "run", store)


def asked(home, store, **more):
    region = store.regions[5]
    (home / "here.bed").write_text(f"chr1\t{region['start']}\t{region['end']}\tmine\n")
    cell = next(c for c in store.cell_types if store.accessible(store.cell_number(c))[5])
    options = {"store": store.path, "cell": cell, "method": "inputs", "device": "cpu"} | more
    return home / "here.bed", options


def test_each_contribution_is_the_score_less_that_of_a_batch_changed_by_hand(run):
    home, store, recipe, spec = run
    bed, options = asked(home, store)
    done = explain(home / "run", bed, say=lambda line: None, **options)
    model = build_model(spec, seed=3).eval()
    maker = BatchMaker(
        store,
        spec,
        ObjectivesSpec(
            **{name: replace(part, weight=0.0) for name, part in recipe.objectives.parts().items()}
        ),
        recipe.samples,
        seed=0,
        subset="all",
    )
    cell = store.cell_number(options["cell"])
    (row,) = np.flatnonzero((maker.table.cells == cell) & (maker.table.regions == 5).any(1))
    batch = maker(np.array([row]), 0)

    @torch.inference_mode()
    def score(**changes):
        return float(cosine_similarity(*model.encode_matching(replace(batch, **changes))))

    whole = score()
    assert [line[6] for line in done.rows] == pytest.approx([whole] * len(done.rows), abs=1e-6)
    lines = {(line[1], line[2]): line for line in done.rows}
    members = maker.table.regions[row]
    names = [f"chr1:{store.regions[r]['start']}-{store.regions[r]['end']}" for r in members]
    for number, motif in enumerate(store.motifs):
        factors = batch.factors.clone()
        factors[:, :, number] = 0
        line = lines["factors", motif["name"]]
        assert line[7] == pytest.approx(whole - score(factors=factors), abs=1e-5)
        assert line[3:6] == (
            "chr1",
            store.regions[members[0]]["start"],
            store.regions[members[-1]]["end"],
        )
    for at, name in enumerate(names):
        factors = batch.factors.clone()
        factors[:, at] = 0
        assert lines["regions", name][7] == pytest.approx(whole - score(factors=factors), abs=1e-5)
    single = [line for line in done.rows if line[1] == "entries"]
    assert len(single) == REGIONS * min(5, len(store.motifs))
    factors = batch.factors.clone()
    factors[:, 2, 0] = 0
    line = lines["entries", f"{store.motifs[0]['name']} in {names[2]}"]
    assert line[7] == pytest.approx(whole - score(factors=factors), abs=1e-5)
    # Without one sequence: the mean over the other three, beside the same matrix.
    with torch.inference_mode():
        pooled = model.pool(model.read(batch.dna, batch.cells[batch.owner]).tokens, batch.dna.mask)
        other = model.seq_projection(pooled[[0, 1, 3]].mean(0, keepdim=True))
        expected = float(cosine_similarity(other, model.encode_matching(batch)[1]))
    assert lines["sequences", names[2]][7] == pytest.approx(whole - expected, abs=1e-5)


def test_the_command_writes_table_and_page_and_says_what_lies_in_no_sample(run, tmp_path, capsys):
    home, store, *_ = run
    bed, options = asked(home, store)
    end = int(store.sizes[0])
    bed.write_text(bed.read_text() + f"chr1\t{end - 5}\t{end}\tnowhere\n")
    words = ["explain", str(home / "run"), "--regions", str(bed), "--store", str(store.path)]
    words += ["--cell", options["cell"], "--method", "inputs", "--out", str(tmp_path / "why")]
    assert main(words) == 0
    assert "left out: 1 of 2 regions (nowhere)" in capsys.readouterr().err
    lines = (tmp_path / "why/contributions.tsv").read_text().splitlines()
    assert lines[0].startswith("region\tstream\tname")
    assert {line.split("\t")[1] for line in lines[1:]} == {
        "sequences",
        "regions",
        "factors",
        "entries",
    }
    assert "matching (cosine)" in (tmp_path / "why/report.html").read_text()


def test_what_does_not_fit_is_refused(run, tmp_path):
    home, store, *_ = run
    bed, options = asked(home, store)
    with pytest.raises(UsageError, match="open in one cell type. Give --regions BED, --store and"):
        explain(home / "run", bed, store=store.path, method="inputs")
    saved(tmp_path / "other", store, ids=[motif["id"] for motif in store.motifs[::-1]])
    with pytest.raises(CheckpointError, match="has other motifs than the model learned"):
        explain(tmp_path / "other", bed, **options)
    bed.write_text("chr1\t0\t3\tnowhere\n")
    with pytest.raises(UsageError, match="none of the regions lies in a sample"):
        explain(home / "run", bed, say=lambda line: None, **options)
