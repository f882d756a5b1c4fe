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
from epilm.cli import main
from epilm.device import Place, choose_place
from epilm.errors import CheckpointError, RecipeError, TrainingError, UsageError
from epilm.models.build import build_model
from epilm.planning import probe as plan_probe
from epilm.planning import sizing as plan_sizing
from epilm.planning.answer import Plan
from epilm.planning.chips import CHIPS, DRAW, REACHED, SHARE, chip_of
from epilm.planning.cost import Cost, _count, _How, count, without_initialising
from epilm.planning.plan import DoesNotFit, _counted, _where
from epilm.planning.probe import Calibration, Point, _sizes, calibrate, threads_of
from epilm.planning.sizing import Sizing
from epilm.pretraining.pretrain import for_store, make_plan
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
        COUNTED[key] = Sizing(recipe, data, store, place, None, True, costs, numbers, moments)
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


def test_compiled_blocks_are_counted_with_every_token(tracks):
    """Programs keep one shape: in the last block too."""
    recipe = for_store(load_recipe("ebert_base", "tiny", EBERT), tracks)
    data = make_plan(recipe, tracks)
    model, batch = build_model(recipe.model, seed=0), data.maker(data.rows_at(0)[:4], 0)
    cut, whole = (
        count(model, batch, (3, 1), FP32, exact=False, fused=False, compiled=compiled).at(1)
        for compiled in (False, True)
    )
    left_out = 2 * (batch.dna.ids.shape[1] - 3 - 1) * (64**2 + 2 * 64 * 256)
    assert whole.forward - cut.forward == pytest.approx(left_out, rel=1e-6)
    assert whole.kept > cut.kept


@pytest.mark.parametrize("checkpointed", [False, True])
def test_two_small_counts_are_the_count_of_all_layers(checkpointed, tracks):
    """Six blocks counted as they are: what is kept adds up, the largest temporaries are those of
    one block.
    """
    recipe = for_store(
        load_recipe(
            "ebert_base",
            "tiny",
            (
                *EBERT,
                "model.k=3",
                "model.stride=3",
                "model.max_tokens=350",
                "model.encoder.layers=6",
            ),
        ),
        tracks,
    )
    batch = (data := make_plan(recipe, tracks)).maker(data.rows_at(0)[:4], 0)
    model = build_model(recipe.model, seed=0).train()
    model.encoder.checkpoint_activations = checkpointed
    found = count(model, batch, (3, 1), FP32, exact=False, fused=False).at(4)
    whole = _count(model, batch, (12, 4), _How(FP32, False, False, False))
    for name in ("forward", "backward", "again", "kept", "working"):
        assert getattr(found, name) == pytest.approx(getattr(whole, name), rel=1e-3), name


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


@pytest.mark.parametrize("attention", ["auto", "plain"])
def test_a_gpus_kernels_keep_sixteen_vectors_a_token_and_layer(attention, tracks):
    """In bf16, by hand: what is read (1), queries, keys, values (3), mixed (1), sums before both
    norms (2), what the feed-forward reads (1), its inner vectors before and after gelu (4 + 4); and
    a number a row and head, two a row and norm.
    """
    recipe = for_store(load_recipe("ebert_base", "tiny", EBERT), tracks)
    data = make_plan(recipe, tracks)
    model, batch = build_model(recipe.model, seed=0), data.maker(data.rows_at(0)[:4], 0)
    model.encoder.compute(attention)
    place = Place(torch.device("cpu"), True, ())
    costs = count(model, batch, (3, 1), place, exact=False, fused=True)
    tokens, hidden, heads = batch.dna.ids.shape[1], 64, 2
    # The plain way keeps tables in place of the number a row and head: softmax in fp32, what
    # dropout left (a byte), and the product of both in bf16.
    mixing = {"auto": heads * 4, "plain": heads * tokens * (4 + 1 + 2)}[attention]
    layer = costs.at(1, 2).kept - costs.at(1, 1).kept
    assert layer == pytest.approx(tokens * (16 * hidden * 2 + 4 * 4 + mixing), rel=1e-6)


def test_numbers_for_dropout_of_attention_are_counted_where_a_gpu_draws_them(store):
    """One for each pair of tokens, head and layer: on the way there and, without a table, again on
    the way back.
    """
    recipe = for_store(load_recipe("genebert_native", "tiny", ("model.layout=concat",)), store)
    data = make_plan(recipe, store)
    batch = data.maker(data.rows_at(0)[:2], 0)
    parts = (batch.dna, batch.clean, batch.pairs)
    tables = (
        2
        * 2
        * sum(p.ids.shape[0] * p.ids.shape[1] ** 2 for p in parts if p is not None)
        / len(batch)
    )

    def draws(attention="auto", fused=True, **encoder):
        spec = replace(recipe.model, encoder=replace(recipe.model.encoder, **encoder))
        model = build_model(spec, seed=0)
        model.encoder.compute(attention)
        one = count(model, batch, (3, 0), FP32, exact=True, fused=fused).at(1)
        return one.draws / tables, one.embed_draws > 0

    assert draws() == (2, True)
    assert draws("plain") == (1, True)
    assert draws(checkpoint_activations=True) == (3, True)
    assert draws(attention_dropout=0.0) == (0, False)
    assert draws(fused=False) == (0, False)


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


def test_counting_leaves_the_model_as_it_was(store):
    recipe = for_store(load_recipe("genebert_native", "tiny"), store)
    data = make_plan(recipe, store)
    model = build_model(recipe.model, seed=0).eval()
    blocks, before = model.encoder.blocks, [p.clone() for p in model.parameters()]
    count(model, data.maker(data.rows_at(0)[:2], 0), (3, 0), FP32, exact=True, fused=True)
    assert not model.training
    assert model.encoder.blocks is blocks
    assert "forward" not in vars(model.encoder)
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert blocks[0].attention_dropout > 0


def test_weights_that_are_not_drawn_have_the_same_shapes():
    spec = load_recipe("dnabert", "tiny").model
    with without_initialising():
        empty = build_model(spec, seed=0)
    drawn = build_model(spec, seed=0)
    assert [p.shape for p in empty.parameters()] == [p.shape for p in drawn.parameters()]
    assert float(drawn.encoder.words.weight.detach().std()) > 0  # and drawing works again


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


def test_the_second_pass_of_an_exact_contrast_is_counted(store):
    """Of g micro-batches in a contrast, g - 1 are embedded twice."""
    found = sizing("genebert_native", "tiny", (), store)
    for micro, batch, twice in ((8, 8, 0), (4, 8, 1), (2, 8, 3), (2, 16, 6)):
        at = with_batches(found, micro_batch=micro, batch_size=batch)
        assert at.plan(None).flops["contrast"] == pytest.approx(twice * at.costs.at(micro).embed)


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
    assert two.step_seconds == pytest.approx(found.step_seconds / 2)
    assert two.flops == pytest.approx(found.flops)


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
        "set": ["train.batch_size=16", "train.micro_batch=16", "objectives.matching.batch=16"],
    }
    whole = epilm.plan("genebert_native", store, device="h200", **words)
    memory = whole.memory
    room = memory["total"] - 0.7 * memory["activations"]
    monkeypatch.setitem(CHIPS, "toy", replace(CHIPS["l4"], name="Toy", memory=room))
    with pytest.raises(DoesNotFit, match="does not fit into the memory of Toy") as refused:
        epilm.plan("genebert_native", store, device="toy", **words)
    assert isinstance(refused.value, TrainingError)
    assert not refused.value.plan.fits
    cure = refused.value.plan.largest_micro_batch
    assert 0 < cure < 16
    assert f"Set train.micro_batch={cure}, the largest that fits" in str(refused.value)
    assert "DOES NOT FIT" in refused.value.plan.text()
    words["set"][1] = f"train.micro_batch={cure}"
    assert epilm.plan("genebert_native", store, device="toy", **words).fits
    words["set"][1] = f"train.micro_batch={2 * cure}"
    with pytest.raises(DoesNotFit):
        epilm.plan("genebert_native", store, device="toy", **words)


def test_what_cannot_fit_at_all_says_so(store, monkeypatch):
    monkeypatch.setitem(CHIPS, "toy", replace(CHIPS["l4"], name="Toy", memory=1e8))
    with pytest.raises(DoesNotFit, match="Take a smaller --size, or a device with more memory"):
        epilm.plan("genebert_native", store, "tiny", device="toy")


def test_a_cpu_with_too_many_processes_is_told_how_many_fit(store, monkeypatch):
    words = {
        "size": "tiny",
        "device": "cpu",
        "calibrated": False,
        "set": ["train.batch_size=16", "train.micro_batch=2", "objectives.matching.batch=16"],
    }
    memory = epilm.plan("genebert_native", store, devices=4, **words).memory
    monkeypatch.setattr(plan_sizing, "free_memory", lambda: 1.01 * memory["total"])
    with pytest.raises(DoesNotFit, match=r"Set train\.devices=4, the most processes that fit"):
        epilm.plan("genebert_native", store, devices=8, **words)
    assert epilm.plan("genebert_native", store, devices=4, **words).fits


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
    with pytest.raises(RecipeError, match="multiple of micro_batch x devices"):
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


NAMES = [
    ("NVIDIA A100-SXM4-80GB", 85.1e9, "a100"),
    ("NVIDIA A100 80GB PCIe", 85.0e9, "a100"),
    ("NVIDIA A100-SXM4-40GB", 42.4e9, "a100-40"),
    ("A100-PCIE-40GB", 42.3e9, "a100-40"),
    ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", 10.2e9, None),
    ("NVIDIA H200", 150.1e9, "h200"),
    ("NVIDIA GH200 480GB", 102.0e9, None),
    ("NVIDIA H100 80GB HBM3", 85.0e9, "h100"),
    ("NVIDIA H100 PCIe", 85.0e9, "h100-pcie"),
    ("NVIDIA H100 NVL", 99.9e9, None),
    ("NVIDIA L40S", 47.7e9, "l40s"),
    ("NVIDIA L40", 47.7e9, None),
    ("NVIDIA L4", 23.7e9, "l4"),
    ("NVIDIA A10", 24.1e9, "a10"),
    ("NVIDIA A10G", 24.1e9, None),
    ("NVIDIA GeForce RTX 4090", 25.4e9, "rtx4090"),
    ("NVIDIA GeForce RTX 4090 Laptop GPU", 17.2e9, None),
    ("NVIDIA GeForce RTX 3090", 25.4e9, "rtx3090"),
    ("NVIDIA GeForce RTX 3090 Ti", 25.4e9, None),
]


@pytest.mark.parametrize(("name", "memory", "key"), NAMES)
def test_a_gpu_is_found_by_the_words_of_its_name_and_its_memory(name, memory, key):
    assert chip_of(name, memory) is (None if key is None else CHIPS[key])


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


@pytest.mark.parametrize("points", [[(8, 2, 2)], [(2, 2, 2), (4, 2, 2)]])
def test_time_of_a_run_follows_from_its_trial(points, tracks):
    found = with_batches(sizing("ebert_base", "tiny", EBERT, tracks), batch_size=64, micro_batch=8)
    step, _ = found.seconds(linear_machine(found, points))
    assert step == pytest.approx(0.5 + 8 * (0.002 + found.costs.at(8).step / 1e11))


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


def test_a_batch_is_counted_with_all_its_tensors(store):
    data = sizing("genebert_native", "tiny", (), store).data
    one, two = (data.maker(data.rows_at(0)[:n], 0) for n in (1, 2))
    assert batch_bytes(two) == 2 * batch_bytes(one) > 0


def test_free_memory_is_at_most_the_machines():
    assert 0 < plan_sizing.free_memory() < 1e15


def test_costs_add_up():
    assert Cost(1, 2, 3) + Cost(1, 1, 1) * 2 == Cost(3, 4, 5)
    assert Cost(1, 2, 3).step == 3


# -- the command


def test_the_command_prints_the_plan_and_refuses_with_code_1(store, capsys, monkeypatch):
    words = ["plan", "genebert_native", "--store", str(store.path), "--size", "tiny"]
    assert main([*words, "--no-calibrate", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    for line in (
        "model     genebert_native (tiny)",
        "largest micro-batch that fits: 8",
        "note      not calibrated",
    ):
        assert line in text
    assert main([*words, "--device", "a100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["device"] == "A100 80 GB"
    monkeypatch.setitem(CHIPS, "toy", replace(CHIPS["l4"], name="Toy", memory=1e8))
    assert main([*words, "--device", "toy"]) == 1
    shown = capsys.readouterr()
    assert "DOES NOT FIT" in shown.out
    assert "epilm: DoesNotFit: genebert_native (tiny): the run does not fit" in shown.err


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
