"""A plan before the run: counted operations and bytes, what is computed from a trial, what is
refused.
"""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import epilm
from epilm.batches.placement import batch_bytes
from epilm.device import Place, choose_place
from epilm.errors import CheckpointError, RecipeError, TrainingError, UsageError
from epilm.models.from_spec import build_model
from epilm.planning.answer import Plan
from epilm.planning.chips import CHIPS, DRAW, REACHED, SHARE
from epilm.planning.cluster import Cluster
from epilm.planning.plan import DoesNotFit, _counted, _where
from epilm.planning.sizing import Sizing
from epilm.pretraining.run_plan import for_store, make_plan
from epilm.pretraining.step import hidden_counts
from epilm.recipes.recipe import load_recipe
from toy_store import toy_store
from toy_tracks import toy_track_store

FP32 = Place(torch.device("cpu"), False, ())
MANY = ("samples.holdout_chroms=[]", "samples.window_stride=5")  # windows for a batch of 8,192
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


def test_operations_of_an_ebert_are_those_of_the_textbook(tracks):
    found = sizing("ebert_base", "tiny", EBERT, tracks)
    few = found.data.maker(found.data.rows_at(0)[:32], 0)
    kmers, states = (hidden_counts(few) / 32).tolist()
    tokens, hidden, ffn, layers = few.dna.ids.shape[1], 64, 256, 2
    dense = 2 * tokens * layers * (4 * hidden**2 + 2 * hidden * ffn)
    # After the last attention a token is worked on once for each head that asks for it.
    dense -= 2 * (tokens - kmers - states) * (hidden**2 + 2 * hidden * ffn)
    attention = 2 * 2 * tokens**2 * hidden * layers
    heads = 2 * kmers * (hidden**2 + hidden * (4**7 + 5)) + 2 * states * (
        hidden**2 + hidden * (5 + 3)
    )
    assert found.costs.at(1).forward == pytest.approx(dense + attention + heads, rel=0.01)
    assert found.costs.at(1).backward == pytest.approx(2 * (dense + attention + heads), rel=0.01)
    assert found.costs.at(6).forward == 6 * found.costs.at(1).forward


@pytest.mark.parametrize("attention", ["auto", "plain"])
def test_bytes_kept_are_those_that_autograd_keeps(attention, tracks):
    """Counted without computing, against the model really run."""
    found = sizing("ebert_base", "tiny", (*EBERT, f"train.attention={attention}"), tracks)
    model = build_model(found.recipe.model, seed=0).train()
    model.encoder.compute(attention)
    batch = found.data.maker(found.data.rows_at(0), 0)
    kept, weights = {}, {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(x):
        if x.untyped_storage().data_ptr() not in weights:
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        out = model(batch)
        loss = torch.nn.functional.cross_entropy(out.masked_logits, out.masked_labels)
        loss = loss + torch.nn.functional.cross_entropy(out.state_logits, out.state_labels)
    assert found.costs.at(len(batch)).kept == pytest.approx(sum(kept.values()), rel=0.05)


def test_dropout_of_attention_takes_the_time_that_was_measured(tracks):
    """../docs/performance.md, H5: 144 tables of 5,111 tokens a sample, drawn 2.5 times (half of
    them are embedded twice).
    """
    more = 1 / 44.1 - 1 / 58.6
    assert 2.5 * 144 * 5111**2 * DRAW / CHIPS["h200"].fp32 == pytest.approx(more, rel=0.02)
    keys = (*MANY, "train.micro_batch=2048", "model.max_tokens=512")
    with_it, without = (
        epilm.plan(
            "ebert_base", tracks, set=(*keys, f"model.encoder.attention_dropout={p}"), device="h200"
        )
        for p in (0.1, 0)
    )
    assert (
        1.01 < with_it.step_seconds / without.step_seconds < 1.036
    )  # 4,880 to 4,709 windows/s measured
    assert with_it.flops == without.flops


@pytest.mark.parametrize(
    ("recipe", "keys"),
    [
        ("genebert_paper", ("model.layout=chunk_rnn",)),
        ("genebert_summary", ()),
    ],
)
def test_every_kind_of_model_is_counted(recipe, keys, store):
    found = sizing(recipe, "tiny", keys, store)
    assert found.costs.at(2).forward > found.costs.at(2).embed > 0
    assert found.costs.at(2).kept > 0


def test_a_stem_is_counted(store):
    bare = sizing("dnabert", "tiny", (), store)
    found = sizing("dnabert", "tiny", ("model.stem={filters: 8, width: 5}",), store)
    few = found.data.maker(found.data.rows_at(0)[:1], 0)
    grown = found.costs.at(1).forward - bare.costs.at(1).forward
    read = sum(part.ids.numel() for part in (few.dna, few.pairs) if part is not None)
    bases = read + 5 * sum(
        len(part.ids) for part in (few.dna, few.pairs) if part is not None
    )  # stride 1, k 6: five steps more a sequence
    assert grown == pytest.approx(2 * (bases * 8 * 4 * 5 + read * 8 * 64), rel=0.01)


def test_checkpointed_activations_take_less_memory_and_more_operations(tracks):
    plain = sizing("ebert_base", "small", EBERT, tracks)
    light = sizing(
        "ebert_base", "small", (*EBERT, "model.encoder.checkpoint_activations=true"), tracks
    )
    assert light.costs.at(1).kept < 0.5 * plain.costs.at(1).kept
    assert light.costs.at(1).step == plain.costs.at(1).step  # MFU does not count it
    assert 0 < light.costs.at(1).again < light.costs.at(1).forward
    assert plain.costs.at(1).again == 0


def test_an_ebert_on_an_h200_is_planned_at_the_goal_of_45_percent(tracks):
    """goals.md, H1 and H2: 4,400 windows a second, 36 hours."""
    found = epilm.plan("ebert_base", tracks, set=MANY, device="h200")
    assert isinstance(found, Plan)
    assert not found.here
    assert found.samples_per_second == pytest.approx(4400, rel=0.1)
    assert found.hours == pytest.approx(36, rel=0.1)
    assert found.fits
    assert found.run["micro_batches"] == 128
    text = found.text()
    assert "device    H200; precision bf16; not here, not measured" in text
    assert "790 TFLOP/s measured on one" in text
    two = epilm.plan("ebert_base", tracks, set=MANY, device="h200", devices=2)
    assert two.step_seconds - two.network["seconds"] == pytest.approx(found.step_seconds / 2)
    assert two.flops == pytest.approx(found.flops)
    gradients = 4.0 * two.parameters["total"]
    assert two.network["sent"] == two.network["summed"] == gradients  # of two, half of it twice
    assert two.network["seconds"] == pytest.approx(gradients / 450e9)
    spread = epilm.plan("ebert_base", tracks, set=MANY, device="h200", devices=Cluster(64, 8, 100))
    assert spread.network["seconds"] == pytest.approx(2 * 63 / 64 * gradients / 12.5e9)
    assert spread.failures["hours_between"] == pytest.approx(50_677 / 64, rel=1e-3)
    assert f"{spread.network['seconds'] * 1e3:.0f} ms of the step" in spread.text()
    assert "failures  one in 792 h assumed; a checkpoint every" in spread.text()
    assert found.network == found.failures == {}
    with pytest.raises(UsageError, match=r"--nodes: each machine has as many devices\. Found 3"):
        epilm.plan("ebert_base", tracks, set=MANY, device="h200", devices=Cluster(64, 3))


@pytest.mark.parametrize(("device", "peak"), [("h200", 67e12), ("a100", 19.5e12)])
def test_fp32_on_a_gpu_is_planned_at_its_rate_without_tf32(device, peak, tracks):
    keys = (*MANY, "train.precision=fp32", "model.encoder.attention_dropout=0")
    found = epilm.plan("ebert_base", tracks, set=keys, device=device)
    assert found.flops["total"] / found.step_seconds == pytest.approx(peak * REACHED * SHARE)
    assert (
        f"{peak * REACHED / 1e12:.0f} TFLOP/s in fp32 (vendor's {peak / 1e12:g} TFLOP/s"
        in found.text()
    )


def test_the_plain_attention_of_a_recipe_is_counted_with_its_tables(tracks):
    def planned(attention, device):
        # Without dropout: with it torch's own way on a CPU keeps the tables as well.
        keys = (*EBERT, "model.encoder.attention_dropout=0", f"train.attention={attention}")
        return epilm.plan("ebert_base", tracks, "tiny", set=keys, device=device, calibrated=False)

    kept = {
        wish: planned(wish, "h200").memory["activations"]
        for wish in ("auto", "sdpa", "flash", "plain")
    }
    assert kept["auto"] == kept["sdpa"] == kept["flash"] < kept["plain"]
    note = "train.attention=plain: its tables are in the memory; moving them is not in the time"
    assert note in planned("plain", "h200").text()
    assert note not in planned("plain", "cpu").text()
    assert (
        planned("plain", "cpu").memory["activations"] > planned("sdpa", "cpu").memory["activations"]
    )


def test_a_plan_that_is_not_calibrated_knows_memory_but_no_time_of_a_cpu(store):
    found = epilm.plan("genebert_native", store, "tiny", device="cpu", calibrated=False)
    parts = [value for name, value in found.memory.items() if name not in ("total", "available")]
    assert sum(parts) == pytest.approx(found.memory["total"])
    assert found.step_seconds is None
    assert found.hours is None
    assert "time not known" in found.text()
    assert (
        json.loads(json.dumps(found.as_dict()))["parameters"]["total"] == found.parameters["total"]
    )
    assert found.largest_micro_batch == 8  # the whole batch: nothing larger divides it


def test_a_run_that_cannot_fit_is_refused_and_the_cures_work(store, monkeypatch):
    words = {
        "size": "tiny",
        "set": ["train.batch_size=16", "train.micro_batch=16"],
    }
    whole = epilm.plan("dnabert", store, device="h200", **words)
    memory = whole.memory
    room = memory["total"] - 0.7 * memory["activations"]
    monkeypatch.setitem(CHIPS, "toy", replace(CHIPS["l4"], name="Toy", memory=room))
    with pytest.raises(DoesNotFit, match="does not fit into the memory of Toy") as refused:
        epilm.plan("dnabert", store, device="toy", **words)
    assert isinstance(refused.value, TrainingError)
    assert not refused.value.plan.fits
    cure = refused.value.plan.largest_micro_batch
    assert 0 < cure < 16
    assert f"Set train.micro_batch={cure}, the largest that fits" in str(refused.value)
    assert "DOES NOT FIT" in refused.value.plan.text()
    words["set"][1] = f"train.micro_batch={cure}"
    assert epilm.plan("dnabert", store, device="toy", **words).fits
    words["set"][1] = f"train.micro_batch={2 * cure}"
    with pytest.raises(DoesNotFit):
        epilm.plan("dnabert", store, device="toy", **words)


def test_what_cannot_fit_at_all_says_so(store, monkeypatch):
    monkeypatch.setitem(CHIPS, "toy", replace(CHIPS["l4"], name="Toy", memory=1e8))
    with pytest.raises(DoesNotFit, match="Take a smaller --size, or a device with more memory"):
        epilm.plan("genebert_native", store, "tiny", device="toy")


@pytest.mark.parametrize("device", ["cpu", "h200"])
def test_weights_to_start_from_are_refused_as_pretrain_refuses_them(device, store, tmp_path):
    def said(call, *more, **words):
        with pytest.raises(CheckpointError) as refused:
            call("genebert_native", store, *more, size="tiny", **words)
        return str(refused.value)

    for key in ("model.encoder.init=/nosuch", f"model.encoder.init={tmp_path}"):
        planned = said(epilm.plan, set=[key], device=device, calibrated=False)
        assert planned == said(
            epilm.pretrain, tmp_path.parent / f"run_{device}", set=[key], device="cpu"
        )
    tower = ["model.tower.name=swin_t_224", "model.tower.prepare=resize", "model.tower.patch=[4,4]"]
    shape = [
        "model.tower.depths=[1,1,1,1]",
        "model.tower.heads=[1,1,2,2]",
        "model.tower.weights=/nosuch",
    ]
    assert "/nosuch: no folder of tower weights" in said(
        epilm.plan, set=[*tower, *shape], device=device
    )


def test_wrong_words_are_refused_as_pretrain_refuses_them(store, tracks):
    with pytest.raises(
        UsageError, match=r"--device: unknown device. Found h20. Did you mean h200\?"
    ):
        epilm.plan("genebert_native", store, "tiny", device="h20")
    with pytest.raises(UsageError, match=r"Found gpu\. Did you mean cuda\?"):
        epilm.plan("genebert_native", store, "tiny", device="gpu")
    with pytest.raises(RecipeError, match="the recipe reads chromatin states, the store has none"):
        epilm.plan("ebert_tiny", store)
    with pytest.raises(RecipeError, match="the recipe needs a factor matrix, the store has none"):
        epilm.plan("genebert_native", tracks, "tiny")
    with pytest.raises(RecipeError, match="a process would have nothing to do.*at most the"):
        epilm.plan("genebert_native", store, "tiny", devices=3)
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="the run asks for cuda, which is not here"):
            epilm.plan("genebert_native", store, "tiny", device="cuda")


def test_the_device_is_said_as_the_run_says_it():
    recipe = load_recipe("ebert_tiny")
    chip, _, place = _where("auto", recipe)
    assert place.said == choose_place("auto").said
    if place.device.type == "cpu":
        assert chip is None
    chip, _, place = _where("a100", recipe)
    assert "A100 80 GB" in place.said[0]
    assert place.bf16


@pytest.mark.parametrize(
    ("asked", "here"), [("a100", True), ("a100-40", False), ("a10", False), ("auto", True)]
)
def test_a_device_of_the_table_is_here_only_where_it_is_this_gpu(asked, here, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "NVIDIA A100-SXM4-80GB")
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda *_: SimpleNamespace(total_memory=85_100_000_000)
    )
    gpu = Place(torch.device("cuda"), True, ("device cuda",))
    monkeypatch.setattr("epilm.planning.plan.choose_place", lambda *_: gpu)
    chip, _, place = _where(asked, load_recipe("ebert_tiny"))
    assert chip is CHIPS["a100" if asked == "auto" else asked]
    assert (place is gpu) == here


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_trial_of_no_time_is_refused(seconds, store):
    with pytest.raises(
        UsageError, match=r"--seconds: the trial steps cannot take so long. Found .* above 0"
    ):
        epilm.plan("genebert_native", store, "tiny", device="cpu", seconds=seconds)


@pytest.mark.parametrize("kernel", ["flash", "cudnn"])
def test_a_kernel_that_this_device_has_not_is_refused_without_a_trial(kernel, store):
    words = {"size": "tiny", "set": [f"train.attention={kernel}"], "calibrated": False}
    with pytest.raises(TrainingError, match=f"the {kernel} kernel runs on CUDA devices alone"):
        epilm.plan("genebert_native", store, device="cpu", **words)
    assert epilm.plan("genebert_native", store, device="h200", **words).fits


def test_a_compiler_that_is_not_here_is_refused_without_a_trial(store, monkeypatch):
    def none_here(device):
        raise TrainingError("the model cannot be compiled here", where="train.compile")

    monkeypatch.setattr("epilm.planning.plan.check_compiler", none_here)
    words = {"size": "tiny", "set": ["train.compile=blocks"], "calibrated": False}
    with pytest.raises(TrainingError, match=r"train\.compile: the model cannot be compiled here"):
        epilm.plan("genebert_native", store, device="cpu", **words)
    assert epilm.plan(
        "genebert_native", store, device="h200", **words
    ).fits  # another machine's compiler


@pytest.mark.parametrize(
    ("size", "micro", "noted"), [("base", 2048, False), ("base", 256, True), ("small", 2048, True)]
)
def test_small_models_and_micro_batches_are_said_to_be_slower_than_planned(
    size, micro, noted, tracks
):
    batches = [f"train.micro_batch={micro}", "train.batch_size=2048"]
    found = epilm.plan("ebert_base", tracks, size, set=(*MANY, *batches), device="h200")
    assert any("bound by starting kernels" in note for note in found.notes) == noted


# -- what is computed from a trial


def asked(recipe, seconds, outside=1e9, layer=1e9):
    return {"operations": [outside, layer], "most": 10**9, "seconds": seconds}


def test_a_batch_is_counted_with_all_its_tensors(store):
    data = sizing("genebert_native", "tiny", (), store).data
    one, two = (data.maker(data.rows_at(0)[:n], 0) for n in (1, 2))
    assert batch_bytes(two) == 2 * batch_bytes(one) > 0


@pytest.mark.slow
def test_a_calibrated_plan_comes_from_real_steps(tracks):
    found = epilm.plan(
        "ebert_tiny",
        tracks,
        set=("train.batch_size=8", "train.micro_batch=4"),
        device="cpu",
        seconds=2,
    )
    assert found.calibrated.startswith("real steps of 2 x 4 samples, ")
    assert found.step_seconds > 0
    assert found.samples_per_second == pytest.approx(8 / found.step_seconds)
    assert found.memory["total"] > found.memory["libraries"] > 1e8
    assert found.memory["activations"] > 0
    assert f"measured  {found.calibrated}" in found.text()
