"""From costs to times and bytes of any batch."""

from dataclasses import replace

import pytest
import torch

import epilm
from epilm.device import Place
from epilm.planning import sizing as plan_sizing
from epilm.planning.cluster import Cluster
from epilm.planning.plan import DoesNotFit, _counted
from epilm.planning.probe import Calibration, Point
from epilm.planning.sizing import Sizing
from epilm.pretraining.run_plan import for_store, make_plan
from epilm.recipes.recipe import load_recipe
from toy_store import toy_store
from toy_tracks import toy_track_store

FP32 = Place(torch.device("cpu"), False, ())
EBERT = ("samples.holdout_chroms=[]", "train.precision=fp32")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), per_chrom=(150, 120, 60), factors=24)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    return toy_track_store(tmp_path_factory.mktemp("tracks"))


COUNTED = {}


def sizing(name, size, keys, store, place=FP32):
    """What a plan is computed from; counted once, because fake tensors take a second or two."""
    key = (name, size, keys, store.path)
    if key not in COUNTED:
        recipe = for_store(load_recipe(name, size, keys), store)
        data = make_plan(recipe, store)
        costs, numbers, moments = _counted(recipe, data, place, fused=False)
        cluster = Cluster(recipe.train.devices)
        COUNTED[key] = Sizing(
            recipe, data, store, place, None, True, costs, numbers, moments, cluster
        )
    return COUNTED[key]


def with_batches(found, **train):
    """The same model in other batches; `contrast` is objectives.matching.batch."""
    recipe, contrast = found.recipe, train.pop("contrast", None)
    objectives = recipe.objectives
    if contrast is not None:
        objectives = replace(objectives, matching=replace(objectives.matching, batch=contrast))
    return replace(
        found, recipe=replace(recipe, train=replace(recipe.train, **train), objectives=objectives)
    )


def test_the_second_pass_of_an_exact_contrast_is_counted(store):
    """Of g micro-batches in a contrast, g - 1 are embedded twice."""
    found = sizing("genebert_native", "tiny", (), store)
    for micro, batch, twice in ((8, 8, 0), (4, 8, 1), (2, 8, 3), (2, 16, 6)):
        at = with_batches(found, micro_batch=micro, batch_size=batch)
        assert at.plan(None).flops["contrast"] == pytest.approx(twice * at.costs.at(micro).embed)


def test_a_cpu_with_too_many_processes_is_told_how_many_fit(store, monkeypatch):
    words = {
        "size": "tiny",
        "device": "cpu",
        "calibrated": False,
        "set": ["train.batch_size=16", "train.micro_batch=2", "objectives.matching.batch=16"],
    }
    # What this process holds already grows while it plans.
    monkeypatch.setattr(plan_sizing, "resident", lambda: 600 << 20)
    memory = epilm.plan("genebert_native", store, devices=4, **words).memory
    monkeypatch.setattr(plan_sizing, "free_memory", lambda: 1.01 * memory["total"])
    with pytest.raises(DoesNotFit, match=r"Set train\.devices=4, the most processes that fit"):
        epilm.plan("genebert_native", store, devices=8, **words)
    assert epilm.plan("genebert_native", store, devices=4, **words).fits


def test_weights_that_are_cut_up_take_less_memory_and_more_messages(store):
    words = {"size": "tiny", "device": "a100", "devices": 2, "calibrated": False}
    batches = ("train.batch_size=16", "train.micro_batch=2", "objectives.matching.batch=16")
    whole, cut = (
        epilm.plan("genebert_native", store, set=(*batches, f"train.strategy={how}"), **words)
        for how in ("ddp", "fsdp")
    )
    for kind in ("weights", "gradients", "optimiser"):
        assert cut.memory[kind] == whole.memory[kind] / 2
    total = whole.parameters["total"]
    assert cut.memory["gathered"] == 8 * total  # of two blocks, both may be there
    assert "weights and gradients that are whole for a while" in cut.text()
    # Eight micro-batches, four a process: three embedded twice; weights go there and back.
    embeddings = whole.network["gathered"]
    assert whole.network["sent"] == pytest.approx(4 * total + 1.5 * embeddings)
    assert cut.network["sent"] == pytest.approx((4 * total * (3 * 4 + 3) + 3 * embeddings) / 2)


def test_a_limit_of_the_address_space_is_a_limit_of_memory(store, monkeypatch):
    monkeypatch.setattr(plan_sizing.resource, "getrlimit", lambda _: (12_000_000_000, -1))
    monkeypatch.setattr(plan_sizing, "reserved", lambda: 2e9)
    monkeypatch.setattr(plan_sizing, "free_memory", lambda: 1e12)
    found = epilm.plan("genebert_native", store, "tiny", device="cpu", calibrated=False)
    assert found.memory["available"] == 10e9
    assert "ulimit -v leaves a process room for 10 GB" in found.text()
    two = epilm.plan("genebert_native", store, "tiny", device="cpu", devices=2, calibrated=False)
    assert two.memory["available"] == 20e9  # each process has a limit of its own
    on_gpu = epilm.plan("genebert_native", store, "tiny", device="h200")
    assert on_gpu.memory["available"] == 141e9


def test_a_store_too_large_for_the_gpu_stays_on_the_host_and_the_plan_says_so(store, monkeypatch):
    whole = epilm.plan("genebert_native", store, "tiny", device="h200")
    assert whole.memory["store"] > 0
    assert not any("memory maps" in note for note in whole.notes)
    monkeypatch.setattr(plan_sizing.Sizing, "_files", lambda _: 100e9)
    found = epilm.plan("genebert_native", store, "tiny", device="h200")
    assert found.memory["store"] == 0
    (note,) = (note for note in found.notes if "memory maps" in note)
    assert "the store's 100 GB do not fit into 50% of the 141 GB of the device" in note
    assert f"each micro-batch of {found.run['micro_batch']} samples costs" in note
    assert "over the bus" in note


def linear_machine(found, points, *, rate=1e11, fixed=0.002, move=0.5, libraries=4e8):
    """A machine whose time and memory are what the plan assumes: the trial must give the run
    exactly.
    """
    made = []
    for samples, layers, micros in points:
        cost = found.costs.at(samples, layers)
        embed = cost.embed / rate
        step = move + micros * (fixed + cost.step / rate) + (micros - 1) * embed
        weights = found.numbers["total"]
        peak = (
            libraries
            + (8 + found.moments / weights) * weights
            + cost.kept
            + cost.working
            + found.costs.casts
        )
        made.append(Point(samples, layers, micros, step, embed, move, 0.0, peak, weights))
    return Calibration(tuple(made), libraries, rate, 1.0)


@pytest.mark.parametrize("points", [[(8, 2, 2)], [(2, 2, 2), (4, 2, 2)]])
def test_time_of_a_run_follows_from_its_trial(points, tracks):
    found = with_batches(sizing("ebert_base", "tiny", EBERT, tracks), batch_size=64, micro_batch=8)
    step, _ = found.seconds(linear_machine(found, points))
    assert step == pytest.approx(0.5 + 8 * (0.002 + found.costs.at(8).step / 1e11))


@pytest.mark.parametrize(
    "points", [[(1, 1, 2), (1, 2, 2)], [(2, 1, 2), (2, 3, 2)], [(8, 1, 2), (8, 3, 2)]]
)
def test_time_and_memory_through_all_layers_follow_from_two_depths(points, tracks):
    found = with_batches(sizing("ebert_base", "small", EBERT, tracks), micro_batch=8)
    trial = linear_machine(found, points, fixed=0.0)
    cost = found.costs.at(8)
    assert found.memory(8, trial)["activations"] == pytest.approx(cost.kept + cost.working, rel=0.1)
    step, _ = found.seconds(trial)
    assert step == pytest.approx(0.5 + found.costs.at(32).step / 1e11, rel=0.01)


def test_a_trial_of_one_micro_batch_has_not_seen_the_gradients_beside_the_activations(tracks):
    found = with_batches(sizing("ebert_base", "tiny", EBERT, tracks), batch_size=64, micro_batch=8)
    two, one = (linear_machine(found, [(4, 2, micros)]) for micros in (2, 1))
    lower = replace(one.points[0], peak=one.points[0].peak - 4 * found.numbers["total"])
    told, expected = (found.memory(8, trial) for trial in (replace(one, points=(lower,)), two))
    here = {"available": 0.0}  # what the machine has free may change between two looks
    assert told | here == expected | here


def test_the_contrasts_second_pass_is_in_the_time(store):
    found = with_batches(
        sizing("genebert_native", "tiny", (), store), batch_size=16, micro_batch=2, contrast=8
    )
    step, _ = found.seconds(linear_machine(found, [(2, 2, 2)]))
    one = found.costs.at(2)
    assert step == pytest.approx(0.5 + 8 * (0.002 + one.step / 1e11) + 6 * one.embed / 1e11)


@pytest.mark.parametrize("points", [[(8, 2, 2)], [(2, 2, 2), (4, 2, 2)], [(2, 2, 2)]])
def test_memory_of_a_run_follows_from_its_trial(points, tracks):
    found = with_batches(sizing("ebert_base", "tiny", EBERT, tracks), micro_batch=8)
    memory = found.memory(8, linear_machine(found, points))
    cost = found.costs.at(8)
    assert memory["activations"] == pytest.approx(cost.kept + cost.working, rel=0.25)
    assert memory["libraries"] == 4e8
    assert memory["optimiser"] == 2 * memory["weights"] == 8 * found.numbers["total"]


def test_free_memory_is_at_most_the_machines():
    assert 0 < plan_sizing.free_memory() < 1e15
