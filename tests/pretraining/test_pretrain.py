"""From recipe and store to a model that opens again."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import epilm
from epilm.atomic import locked
from epilm.errors import EpilmError, RecipeError, TrainingError
from epilm.playground.simulate import simulate
from epilm.pretraining.loop import PretrainLoop
from epilm.pretraining.pretrain import build_initial, pretrain
from epilm.pretraining.run_plan import for_store, make_plan, row_order
from epilm.recipes.recipe import list_recipes, load_recipe
from epilm.store.making.build import build
from epilm.store.sample_spec import SampleSpec
from epilm.store.samples import make_samples
from epilm.tasks.binding import grid
from epilm.tasks.binding.leak import leak_of
from epilm.training.log import read_metrics
from toy_store import toy_store
from toy_tracks import toy_track_store

SHORT = (
    "samples.holdout_chroms=[chr3]",
    "train.steps=3",
    "train.checkpoint_every=2",
    "train.precision=fp32",
    "model.encoder.layers=1",
    "model.encoder.hidden=32",
    "model.encoder.ffn=64",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), per_chrom=(150, 120, 60), factors=24)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    return toy_track_store(tmp_path_factory.mktemp("tracks"), lonely=("typeD",))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Genome, peaks, states and motifs, from raw files: what the recipes for a lab ask for."""
    folder = tmp_path_factory.mktemp("world")
    simulate(folder / "raw", "tiny", 3)
    return build(
        genome=folder / "raw/genome.fa",
        peaks=folder / "raw/peaks",
        motifs=folder / "raw/motifs.jaspar",
        states=folder / "raw/states",
        region_width=200,
        out=folder / "store",
    )


@pytest.mark.parametrize("name", list(list_recipes()))
def test_every_recipe_trains_at_toy_size_and_opens_again(name, store, tracks, world, tmp_path):
    if load_recipe(name).samples.unit == "windows":
        store = tracks
    if load_recipe(name).objectives.motif_sites.weight > 0:
        store = world
    done = pretrain(name, store.path, tmp_path / "run", "tiny", SHORT, device="cpu")
    assert done.steps == 3
    assert not done.was_complete
    run = done.run
    assert {
        "recipe.json",
        "store.json",
        "versions.json",
        "metrics.jsonl",
        "checkpoints",
        "model",
        "summary.json",
    } <= {path.name for path in run.iterdir()}
    rows = read_metrics(run)
    assert [(row["step"], row["split"]) for row in rows] == [
        (0, "valid"),
        (3, "train"),
        (3, "valid"),
    ]
    assert all(value is not None for row in rows for value in row.values())
    loaded = epilm.load(run)
    assert loaded.embed(["ACGTACGTACGTACG"]).shape == (1, 32)
    assert loaded.extra["store"] == store.fingerprint
    assert loaded.extra["holdout_chroms"] == ["chr3"]
    # A state is a checkpoint too: a run that was stopped can be opened.
    assert epilm.load(run / "checkpoints" / "step_00000002").spec == loaded.spec


def test_the_same_command_again_says_that_it_is_complete(store, tmp_path, capsys, monkeypatch):
    """Also in a process beside the first, which is silent and waits for nobody."""
    first = pretrain("dnabert", store, tmp_path / "run", "tiny", SHORT, device="cpu")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*") if p.is_file()}
    second = pretrain("dnabert", store, tmp_path / "run", "tiny", SHORT, device="cpu")
    assert second.was_complete
    assert second.train == first.train
    assert "the run is complete: 3 steps" in capsys.readouterr().err
    with monkeypatch.context() as launcher:
        launcher.setenv("RANK", "1")
        launcher.setenv("WORLD_SIZE", "2")
        two = (*SHORT, "train.devices=2")
        assert pretrain("dnabert", store, tmp_path / "run", "tiny", two, device="cpu").was_complete
    assert capsys.readouterr().err == ""
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*") if p.is_file()} == before
    with pytest.raises(TrainingError, match=r"Found optim.peak_lr = 0.002; expected 0.001"):
        pretrain(
            "dnabert", store, tmp_path / "run", "tiny", (*SHORT, "optim.peak_lr=2e-3"), device="cpu"
        )


def test_a_checkpoint_over_windows_says_what_its_states_are(tracks, tmp_path, capsys):
    done = pretrain(
        "ebert_tiny",
        tracks,
        tmp_path / "run",
        "tiny",
        [*SHORT, "samples.holdout_cells=[typeC]"],
        device="cpu",
    )
    loaded = epilm.load(done.run)
    assert loaded.extra["state_names"] == [f"{i}_State{i}" for i in range(1, 6)]
    assert loaded.extra["state_bin"] == 200
    assert loaded.extra["window_bp"] == 1000
    assert loaded.spec.states == 5
    assert (
        json.loads((done.run / "store.json").read_text())["state_names"]
        == loaded.extra["state_names"]
    )
    said = capsys.readouterr().err
    assert "in 2 cell types" in said
    assert "1 cell types without a track of states are in no sample: typeD" in said
    # 256 asked for; chr3 in three cell types and all else in one have fewer with a state.
    assert "held-out windows" in said
    valid = done.valid
    for key in (
        "masked_kmers/loss",
        "masked_kmers/accuracy",
        "masked_states/loss",
        "masked_states/accuracy",
    ):
        assert np.isfinite(valid[key])
    assert 0.2 <= valid["masked_states/accuracy_chance"] < 1
    assert valid["loss"] == pytest.approx(
        0.5 * valid["masked_kmers/loss"] + 0.5 * valid["masked_states/loss"]
    )


def test_a_store_without_states_sends_ebert_to_the_build_and_a_store_without_regions_genebert(
    store, tracks, tmp_path
):
    with pytest.raises(
        RecipeError,
        match=(
            r"reads chromatin states, the store has none.*epilm build --states.*or pre-train dbert"
        ),
    ):
        pretrain("ebert_tiny", store, tmp_path / "run")
    with pytest.raises(
        RecipeError, match=r"reads accessible regions, the store has none.*epilm build --peaks"
    ):
        pretrain("dnabert", tracks, tmp_path / "run", "tiny")
    with pytest.raises(TrainingError, match=r"a batch takes more windows than there are"):
        pretrain("dbert_base", tracks, tmp_path / "run", "tiny", ["train.batch_size=32000"])
    with pytest.raises(
        TrainingError,
        match=(
            r"there is no window\. Found subset train, windows of 1000 bp, held out: chr1, chr2,"
            r" chr3"
        ),
    ):
        pretrain(
            "ebert_tiny",
            tracks,
            tmp_path / "run",
            set=["samples.holdout_chroms=[chr1, chr2, chr3]"],
        )
    assert not (tmp_path / "run").exists()


def test_two_runs_into_one_folder(store, tmp_path):
    held = (
        "import sys; from epilm.atomic import locked\nwith locked(sys.argv[1]): print('held',"
        " flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", held, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "held\n"
    with pytest.raises(EpilmError, match="another process is writing this folder"):
        pretrain("dnabert", store, tmp_path / "run", "tiny", SHORT, device="cpu")
    assert not (tmp_path / "run").exists()
    other.communicate("")


def test_a_store_without_what_the_recipe_needs(tmp_path):
    bare = toy_store(tmp_path, per_chrom=(60, 60, 60), factors=0, contacts=False)
    with pytest.raises(RecipeError, match="needs a factor matrix, the store has none"):
        pretrain("genebert_native", bare, tmp_path / "run", "tiny", SHORT)
    with pytest.raises(
        RecipeError,
        match=r"holdout_chroms names what the store has not.*Found chr33\. Did you mean chr3",
    ):
        pretrain("dnabert", bare, tmp_path / "run", "tiny", ["samples.holdout_chroms=[chr33]"])
    assert not (tmp_path / "run").exists()


def test_nothing_is_left_where_a_run_cannot_start(store, tmp_path):
    with pytest.raises(TrainingError, match="more samples than there are"):
        pretrain("dnabert", store, tmp_path / "run", "tiny", [*SHORT, "train.batch_size=4000"])
    with pytest.raises(
        TrainingError, match="no contrastive batch of this size is free of common regions"
    ):
        pretrain(
            "genebert_native",
            store,
            tmp_path / "run",
            "tiny",
            [*SHORT, "train.batch_size=40", "objectives.matching.batch=40"],
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wish", ["train.attention=cudnn", "train.compile=blocks"])
def test_what_the_device_cannot_compute_is_refused_before_the_folder_is_touched(
    store, tmp_path, monkeypatch, wish
):
    def without(_):
        def call(*_):
            raise torch._dynamo.exc.TorchDynamoException("no compiler")

        return call

    monkeypatch.setattr(torch, "compile", without)
    with pytest.raises(TrainingError, match=wish.partition("=")[0]):
        pretrain("dnabert", store, tmp_path / "run", "tiny", [*SHORT, wish], device="cpu")
    assert not (tmp_path / "run").exists()


def test_signals_go_where_they_went_before(store, tmp_path):
    """Lightning's own handler, left behind, swallowed the SIGTERM of everything that followed a
    pre-training.
    """
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    pretrain("dnabert", store, tmp_path / "run", "tiny", SHORT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_launcher_of_another_number_of_processes_is_refused_before_the_folder_is_touched(
    store, tmp_path, monkeypatch
):
    """As torchrun --nproc-per-node 3 says it."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(
        TrainingError, match=r"another number of processes.*Found 3.*Set train.devices to 3"
    ):
        pretrain("dnabert", store, tmp_path / "run", "tiny", SHORT)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_does_not_fit_leaves_nothing_and_sends_to_a_smaller_one(
    store, tmp_path, monkeypatch
):
    def full(*_, **__):
        raise RuntimeError(
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        )

    monkeypatch.setattr("epilm.pretraining.pretrain.build_model", full)
    with pytest.raises(TrainingError, match=r"while the model was built.*take a smaller --size"):
        pretrain("dnabert", store, tmp_path / "run", "tiny", SHORT, device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_another_micro_batch_and_ends_as_it_would_have_but_for_rounding(
    store, tmp_path, capsys
):
    still = [*SHORT, "model.encoder.dropout=0", "train.batch_size=8"]
    first = [*still, "train.micro_batch=8"]
    run = tmp_path / "run"
    pretrain("dnabert", store, run, "tiny", first, device="cpu")
    expected = epilm.load(run).model.state_dict()
    (run / "summary.json").unlink()
    shutil.rmtree(run / "model")
    shutil.rmtree(run / "checkpoints" / "step_00000003")  # as if killed after step 2
    capsys.readouterr()
    done = pretrain("dnabert", store, run, "tiny", [*still, "train.micro_batch=4"], device="cpu")
    assert done.steps == 3
    assert "train.micro_batch is 4, the run began with 8" in capsys.readouterr().err
    found = epilm.load(run)
    for name, weight in found.model.state_dict().items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-3, atol=2e-4, msg=name)
    # What was done is written where it was done.
    assert json.loads((run / "recipe.json").read_text())["train"]["micro_batch"] == 8
    starts = json.loads((run / "versions.json").read_text())
    assert [start["changed"] for start in starts] == [{}, {"train.micro_batch": 4}]
    assert found.extra["recipe"]["train"]["micro_batch"] == 4


OFTEN = (*SHORT, "train.validate_every=1", "train.best_by=masked_kmers/loss", "optim.peak_lr=0.3")


def test_the_model_is_of_the_last_or_of_the_best_step_as_the_recipe_says(store, tmp_path, capsys):
    runs = {
        which: pretrain(
            "dnabert", store, tmp_path / which, "tiny", [*OFTEN, f"train.model={which}"]
        )
        for which in ("last", "best")
    }
    said = capsys.readouterr().err
    step = runs["last"].best["step"]
    assert runs["best"].best == runs["last"].best | {"model": "best"}
    assert step < 3, "a rate of 0.3 makes the loss worse: else this test shows nothing"
    assert f"best held-out: step {step} (validation masked_kmers/loss" in said
    assert f"the model (of step {step}, the best) is in {tmp_path / 'best' / 'model'}" in said
    state = epilm.load(tmp_path / "last" / "checkpoints" / f"step_{step:08d}").model.state_dict()
    last = epilm.load(tmp_path / "last").model.state_dict()
    best = epilm.load(tmp_path / "last" / "best").model.state_dict()
    chosen = epilm.load(tmp_path / "best").model.state_dict()
    assert all(torch.equal(best[name], value) for name, value in state.items())
    assert all(torch.equal(chosen[name], value) for name, value in state.items())
    assert not all(torch.equal(last[name], value) for name, value in state.items())
    # The figures beside the weights are those of its step.
    assert epilm.load(tmp_path / "best").extra["metrics"]["steps"] == step
    again = pretrain("dnabert", store, tmp_path / "best", "tiny", [*OFTEN, "train.model=best"])
    assert again.was_complete
    assert again.best == runs["best"].best


@pytest.mark.parametrize(
    ("key", "without"),
    [
        ("train.patience=2", "samples.holdout_chroms=[]"),
        ("train.patience=2", "train.validate_samples=0"),
        ("train.model=best", "samples.holdout_chroms=[]"),
    ],
)
@pytest.mark.parametrize("recipe", ["dnabert", "dbert_base"])
def test_choosing_by_a_validation_that_never_comes_is_refused(
    store, tracks, tmp_path, key, without, recipe
):
    over = tracks if recipe == "dbert_base" else store
    name, _, value = key.partition("=")
    with pytest.raises(
        RecipeError,
        match=rf"{name}: only held-out samples say .* Found {value}\. Hold out a chromosome",
    ):
        pretrain(recipe, over, tmp_path / "run", "tiny", [*SHORT, key, without])
    assert not (tmp_path / "run").exists()


def test_a_score_that_no_validation_gives_is_refused_before_a_step(store, tmp_path):
    with pytest.raises(RecipeError, match=r"train.best_by: .* Found recall\. Known: loss, masked"):
        pretrain("dnabert", store, tmp_path / "run", "tiny", [*SHORT, "train.best_by=recall"])
    assert not list((tmp_path / "run").glob("checkpoints/*"))


def test_what_cannot_teach_or_stop_is_said(store, tmp_path, capsys):
    more = ["optim.warmup_steps=3", "optim.peak_lr=1e-5", "train.patience=3"]
    done = pretrain("dnabert", store, tmp_path / "run", "tiny", [*SHORT, *more])
    said = capsys.readouterr().err
    for line in (
        "optim.warmup_steps 3 is not shorter than the run of 3 steps",
        "the learning rates of all 3 steps sum up to 2e-05",
        "train.patience 3 x train.validate_every 20 is not shorter than the run of 3 steps",
    ):
        assert f"warning: {line}" in said
        assert any(warning.startswith(line) for warning in done.warnings)


@pytest.mark.parametrize("name", ["genebert_lab", "ebert_lab", "dnabert_lab"])
@pytest.mark.parametrize("size", ["base", "small", "tiny"])
def test_a_recipe_for_a_lab_reads_all_and_asks_of_all(name, size, world):
    recipe = for_store(load_recipe(name, size, ["samples.holdout_chroms=[chr3]"]), world)
    assert recipe.model.motif_sites == len(world.motifs)
    # side by side: an hour of a core, and half of one
    stride = 6 if size == "small" and name in ("genebert_lab", "ebert_lab") else 1
    assert (recipe.model.k, recipe.model.stride, recipe.model.encoder.rotary) == (6, stride, True)
    assert recipe.model.stem is not None
    assert recipe.model.pooling == "mean"  # motif sites teach tokens, and [CLS] nothing
    assert recipe.samples.strands == "both"
    assert max(recipe.samples.window_jitter, recipe.samples.region_jitter) > 0
    assert recipe.train.model == "best"
    if size == "base":  # its batches are larger than this world
        return
    plan = make_plan(recipe, world)
    if name == "genebert_lab":
        read = {"small": 204, "tiny": 200}[size]
        assert plan.said == [
            f"no region is cropped: up to {read} bp are read, the widest has"
            f" {(world.regions['end'] - world.regions['start']).max()}"
        ]
    if size != "tiny":
        assert plan.warnings == []


def test_regions_that_are_cropped_are_said_and_regions_cut_too_wide_are_refused(
    store, tmp_path, capsys
):
    pretrain("dnabert", store, tmp_path / "run", "tiny", SHORT)
    widths = store.regions["end"] - store.regions["start"]
    assert f"regions are cropped to the 69 bp that are read (the widest has {widths.max()})" in (
        capsys.readouterr().err
    )
    cut = toy_store(tmp_path, per_chrom=(60, 60, 60), factors=0, contacts=False)
    cut.info.access["region_width"] = 120
    with pytest.raises(
        RecipeError,
        match=(
            r"cut to more than the model reads of each\. Found 66, which read 69 bp; expected at"
            r" least 120 bp.*--region-width 69, or raise model.max_tokens"
        ),
    ):
        pretrain("dnabert", cut, tmp_path / "other", "tiny", SHORT)
    assert not (tmp_path / "other").exists()


def test_what_decides_which_step_is_best_may_not_change_on_the_way(store, tmp_path):
    chosen = [*SHORT, "train.model=best"]
    pretrain("dnabert", store, tmp_path / "run", "tiny", chosen)
    (tmp_path / "run" / "summary.json").unlink()
    with pytest.raises(TrainingError, match=r"Found train\.validate_every = 2; expected 20"):
        pretrain("dnabert", store, tmp_path / "run", "tiny", [*chosen, "train.validate_every=2"])


def test_samples_of_a_contrast_share_no_region_and_steps_repeat(store):
    recipe = for_store(load_recipe("genebert_native", "tiny"), store)
    samples = make_samples(store, SampleSpec())
    rows = row_order(samples, recipe)
    for step in (0, 3, 11):
        mine = rows(step)
        regions = samples.regions[mine]
        assert len(set(regions.ravel().tolist())) == regions.size
        assert (row_order(samples, recipe)(step) == mine).all()


def test_shared_regions_are_allowed_where_the_recipe_says_so(store):
    samples = make_samples(store, SampleSpec())
    free = load_recipe("genebert_native", "tiny", ["objectives.matching.forbid_shared=false"])
    rows = np.concatenate([row_order(samples, for_store(free, store))(step) for step in range(4)])
    assert len(set(rows.tolist())) == len(rows)  # every sample once an epoch, whatever it shares
    strict = load_recipe("genebert_native", "tiny")
    other = np.concatenate(
        [row_order(samples, for_store(strict, store))(step) for step in range(4)]
    )
    assert rows.tolist() != other.tolist()


def test_another_seed_is_another_order_and_another_start(store):
    one, two = (
        make_plan(for_store(load_recipe("dnabert", "tiny", [f"train.seed={seed}"]), store), store)
        for seed in (0, 1)
    )
    assert one.rows_at(0).tolist() != two.rows_at(0).tolist()
    assert not torch.equal(one.maker(np.arange(4), 0).dna.ids, two.maker(np.arange(4), 0).dna.ids)
    weights = [
        build_initial(plan, Path("nowhere"))[0].encoder.words.weight for plan in (one, one, two)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_weights_of_another_run_start_a_run(store, tmp_path):
    pretrain("dnabert", store, tmp_path / "first", "tiny", SHORT, device="cpu")
    second = pretrain(
        "genebert_native",
        store,
        tmp_path / "second",
        "tiny",
        (*SHORT, f"model.encoder.init={tmp_path / 'first'}", "optim.peak_lr=1e-9"),
        device="cpu",
    )
    a = epilm.load(tmp_path / "first").encoder.state_dict()
    b = epilm.load(second.run).encoder.state_dict()
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)


def test_training_needs_torch_and_numpy_alone(store, tmp_path):
    """Prepared elsewhere, a store trains where no genome reader can be installed."""
    program = f"""
import sys
for name in ("pandas", "sklearn", "numba", "anndata", "bioframe", "Bio", "pyfaidx", "tensorboard",
             "lightning"):  # which starts further processes, and here is one
    sys.modules[name] = None
import epilm.pretraining.pretrain
loaded = {{name for name, module in sys.modules.items() if module is not None}}
heavy = loaded & {{"lightning", "matplotlib", "scipy", "h5py"}}
assert not heavy, heavy
epilm.pretraining.pretrain.pretrain(
    "genebert_native", {str(store.path)!r}, {str(tmp_path / "run")!r}, "tiny", {list(SHORT)!r},
    device="cpu",
)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 3


def test_locked_is_released(tmp_path):
    with locked(Path(tmp_path) / "x"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_remembers_what_the_weights_it_began_with_had_read(tracks, tmp_path):
    """What the second run holds out was read by the first; a leak report has to say so, also after
    a resume (A21).
    """
    first, second = tmp_path / "first", tmp_path / "second"
    pretrain(
        "ebert_tiny",
        tracks,
        first,
        set=[*SHORT, "samples.holdout_chroms=[chr2]", "samples.holdout_cells=[typeC]"],
    )
    chained = [*SHORT, f"model.encoder.init={first}"]  # holds out chr3
    pretrain("ebert_tiny", tracks, second, set=chained)
    (second / "summary.json").unlink()
    shutil.rmtree(second / "model")
    first.rename(tmp_path / "gone")
    pretrain("ebert_tiny", tracks, second, set=chained)  # goes on from its last state
    memory = epilm.load(second).extra
    assert memory["chroms"] == ["chr1", "chr2", "chr3"]
    assert [m["holdout_chroms"] for m in memory["before"]] == [["chr2"]]
    bins = grid({"chr2": 3000, "chr3": 3000, "chr9": 3000})
    told = leak_of({"pretraining": memory}, bins, "typeC", reads_states=True)
    assert told["pretraining"]["chroms_seen"] == [
        "chr2",
        "chr3",
    ]  # never chr9, which the store has not
    assert told["pretraining"]["holdout_chroms"] == []
    assert told["pretraining"]["cell_seen"]
    alone = leak_of(
        {"pretraining": epilm.load(tmp_path / "gone").extra}, bins, "typeC", reads_states=True
    )
    assert alone["pretraining"]["chroms_seen"] == ["chr3"]
    assert not alone["pretraining"]["cell_seen"]


def test_weights_from_elsewhere_have_read_nobody_knows_what(tracks, tmp_path):
    run = tmp_path / "run"
    pretrain("dbert_base", tracks, run, "tiny", SHORT)
    epilm.export(run, tmp_path / "bert")
    pretrain(
        "dbert_base",
        tracks,
        tmp_path / "second",
        "tiny",
        [*SHORT, f"model.encoder.init={tmp_path / 'bert'}"],
    )
    memory = epilm.load(tmp_path / "second").extra
    told = leak_of({"pretraining": memory}, grid({"chr3": 3000}), "typeA", reads_states=False)
    assert told["pretraining"]["unknown"] == ["bert"]
    assert any(
        "not known (bert): they may have seen any of the test bins" in line
        for line in told["warnings"]
    )
    alone = leak_of(
        {"pretraining": {"checkpoint": "bert", "unknown": True}},
        grid({"chr3": 3000}),
        "typeA",
        reads_states=False,
    )
    assert "has seen none" not in alone["said"]  # nobody can say so
    assert alone["said"].startswith("what the weights it began with have read is not known (bert)")


def test_a_store_that_is_replaced_under_a_run_changes_nothing_and_is_refused_later(
    tmp_path, monkeypatch
):
    """The same regions and motifs, other numbers: what the run has opened is the store that was."""
    given = {"per_chrom": (150, 120, 60), "factors": 24}
    opened = toy_store(tmp_path / "s", **given)
    small = [*SHORT, "model.encoder.hidden=16", "model.encoder.heads=2"]
    pretrain("genebert_native", opened.path, tmp_path / "whole", "tiny", small, device="cpu")
    step = PretrainLoop.step

    def replaced(loop, number, stop):
        if number == 1:
            other = toy_store(tmp_path / "s", **given, open_share=0.9)
            assert other.path == opened.path
            assert other.fingerprint == opened.fingerprint
        return step(loop, number, stop)

    monkeypatch.setattr(PretrainLoop, "step", replaced)
    pretrain("genebert_native", opened.path, tmp_path / "run", "tiny", small, device="cpu")
    expected, made = (epilm.load(tmp_path / name).model.state_dict() for name in ("whole", "run"))
    assert all(torch.equal(expected[name], made[name]) for name in expected)
    with pytest.raises(TrainingError, match=r"a run of another store; .* Found files\.\w+ = "):
        pretrain("genebert_native", opened.path, tmp_path / "run", "tiny", small, device="cpu")
