"""A few real steps, and what is computed from them."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from epilm.device import Place
from epilm.errors import RecipeError, TrainingError
from epilm.planning import probe as plan_probe
from epilm.planning import sizing as plan_sizing
from epilm.planning.cluster import Cluster
from epilm.planning.plan import _counted
from epilm.planning.probe import Calibration, Point, _sizes, calibrate, threads_of
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


@pytest.mark.parametrize(
    ("last", "kind", "said"),
    [
        (
            "epilm.errors.RecipeError: train.x: no. Set it to 1.",
            RecipeError,
            "train.x: no. Set it to 1.",
        ),
        (
            "RuntimeError: broken",
            TrainingError,
            "the calibration failed. Found RuntimeError: broken. Plan with --no-calibrate",
        ),
    ],
)
def test_an_error_inside_the_trial_is_said_as_the_run_says_it(last, kind, said, store, monkeypatch):
    done = SimpleNamespace(returncode=1, stderr=f"Traceback:\n{last}\n", stdout="")
    monkeypatch.setattr(plan_probe.subprocess, "run", lambda *_, **__: done)
    recipe = load_recipe("genebert_native", "tiny")
    with pytest.raises(kind) as refused:
        calibrate(recipe, store, device="cpu", operations=[1.0, 1.0], most=1, seconds=1.0)
    assert said in str(refused.value)
    assert ("--no-calibrate" in str(refused.value)) == ("--no-calibrate" in said)


# -- what is computed from a trial


def asked(recipe, seconds, outside=1e9, layer=1e9):
    return {"operations": [outside, layer], "most": 10**9, "seconds": seconds}


def test_a_trial_takes_the_runs_own_micro_batches_where_there_is_time():
    recipe = load_recipe("ebert_base", "base", EBERT)  # 12 layers, micro-batches of 64
    assert _sizes(recipe, asked(recipe, 1e4), 1e12) == ([(64, 12)], 2, False)
    sizes, micros, _ = _sizes(recipe, asked(recipe, 10), 1e12)
    assert micros == 2
    (few, layers), (more, same) = sizes
    assert 1 <= few < more < 64
    assert layers == same == 12
    assert _sizes(recipe, asked(recipe, 0.01), 1e12)[0] == [(1, 1), (1, 3)]
    # Not half of a micro-batch: as many samples through all layers, one micro-batch a step, as
    # twice the seconds allow.
    one = 13e9 / 5e11 * 3 * 1.2  # half the rate, one step that does not count and two that do
    assert _sizes(recipe, asked(recipe, 2), 1e12) == ([(int(2 * 2 / one), 12)], 1, False)
    # Four are worth three times of it, as the memory of one says little of many; where not even
    # that is there, few layers.
    assert _sizes(recipe, asked(recipe, 4 * one / 5.9), 1e12) == ([(4, 12)], 1, False)
    few = asked(recipe, 4 * one / 6.1)
    assert [layers for _, layers in _sizes(recipe, few, 1e12)[0]] == [1, 3]
    limited = _sizes(recipe, asked(recipe, 1e4) | {"most": 10}, 1e12)[0]
    assert limited == [(5, 12), (10, 12)]
    gene = load_recipe("genebert_native", "tiny")
    assert _sizes(gene, asked(gene, 1e4), 1e12) == ([(4, 2)], 2, True)


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


@pytest.mark.parametrize(
    ("n_cores", "set_threads", "longer"),
    [(1, None, 4), (2, None, 2), (4, None, 1), (16, None, 1), (16, 4, 1), (16, 8, 2), (2, 8, 4)],
)
def test_processes_share_the_cores_that_are_there(
    n_cores, set_threads, longer, tracks, monkeypatch
):
    """Four of them: as a run's, they have cores / 4 threads each, or as many as OMP_NUM_THREADS
    says.
    """
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if set_threads is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", str(set_threads))
        monkeypatch.setattr(torch, "get_num_threads", lambda: set_threads)
    monkeypatch.setattr(plan_probe, "checked_threads", lambda: n_cores)
    monkeypatch.setattr(plan_sizing, "checked_threads", lambda: n_cores)
    found = with_batches(
        sizing("ebert_base", "tiny", EBERT, tracks), batch_size=64, micro_batch=8, devices=4
    )
    trial = linear_machine(found, [(8, 2, 2)])
    alone = 0.5 + 2 * (0.002 + found.costs.at(8).step / 1e11)
    assert found.seconds(trial)[0] == pytest.approx(longer * alone)
    note = f"4 processes of {set_threads or max(1, n_cores // 4)} threads on {n_cores} cores"
    more = f": a step is counted {longer} times as long as the trial's" if longer > 1 else ""
    assert note + more in found.plan(trial).notes


def test_a_trial_has_the_threads_of_one_process_of_the_run(store, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(plan_probe, "checked_threads", lambda: 12)
    done, asked = SimpleNamespace(returncode=1, stderr="", stdout=""), {}

    def run(*_, **words):
        asked.update(json.loads(words["input"]))
        return done

    monkeypatch.setattr(plan_probe.subprocess, "run", run)
    recipe = load_recipe("genebert_native", "tiny")
    for devices, threads in ((1, torch.get_num_threads()), (4, 3), (24, 1)):
        many = replace(recipe, train=replace(recipe.train, devices=devices))
        with pytest.raises(TrainingError):
            calibrate(many, store, device="cpu", operations=[1.0, 1.0], most=1, seconds=1.0)
        assert asked["threads"] == threads_of(devices) == threads
