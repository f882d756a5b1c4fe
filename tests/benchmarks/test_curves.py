"""The benchmarks' own arithmetic: exponents of made-up numbers, the table and its bounds, which
rows there are.
"""

import gc
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(HERE))  # as the scripts themselves, which run from their folder

import curve_points  # noqa: E402
import curves  # noqa: E402
import harness  # noqa: E402
import profile_step  # noqa: E402


@pytest.fixture(autouse=True)
def nothing_to_collect():
    """Each timed call collects garbage first: seconds of looking through torch's objects where
    nothing is timed.
    """
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def runner():
    spec = importlib.util.spec_from_file_location("benchmarks_runner", HERE / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# ---- exponents


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_an_exact_power_law_is_found_without_error(power):
    xs = [1, 2, 5, 10, 40]
    found = curves.fit(xs, [7 * x**power for x in xs])
    assert found.exponent == pytest.approx(power, abs=1e-4)
    assert found.error == pytest.approx(0, abs=1e-4)
    assert found.last == pytest.approx(power, abs=1e-4)


def test_a_fixed_part_pulls_the_exponent_down_and_is_found():
    # 6 + 2 x at 1, 2, 4, 8: 8, 10, 14, 22; three quarters of the first point do not grow.
    found = curves.fit([1, 2, 4, 8], [8, 10, 14, 22])
    assert found.exponent < 0.6
    assert found.fixed == pytest.approx(0.75)
    assert found.last == pytest.approx(0.652, abs=1e-3)  # log2(22 / 14)
    assert (
        curves.verdict(found, 1.0) == "below 1: 75% of the smallest point is fixed, 0.65 at the end"
    )


def test_the_error_is_that_of_the_slope():
    # log2 y = 0, 2, 1, 3 at log2 x = 0, 1, 2, 3: slope 0.8, residuals -.3, .9, -.9, .3, squares
    # 1.8; error = sqrt(1.8 / 2 / 5) = 0.4243
    found = curves.fit([1, 2, 4, 8], [1, 4, 2, 8])
    assert found.exponent == pytest.approx(0.8)
    assert found.error == pytest.approx(0.4243, abs=1e-4)


def test_constant_cost_is_all_fixed():
    assert curves.fit([1, 2, 4], [5, 5, 5]) == curves.Fit(0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("xs", "ys", "message"),
    [
        ([1], [1], "at least two points"),
        ([1, 2], [1], "as many x as y"),
        ([1, 2], [0, 1], "positive"),
        ([2, 1], [1, 1], "rise in x"),
    ],
)
def test_what_is_no_power_law_is_refused(xs, ys, message):
    with pytest.raises(ValueError, match=message):
        curves.fit(xs, ys)


@pytest.mark.parametrize(
    ("exponent", "error", "expected", "said"),
    [
        (1.1, 0.01, 1.0, "as expected"),
        (1.3, 0.2, 1.0, "as expected"),  # within two errors
        (1.3, 0.01, 1.0, "above 1"),
        (0.5, 0.01, 1.0, "below 1"),
        (0.5, 0.01, None, ""),
    ],
)
def test_verdicts(exponent, error, expected, said):
    assert curves.verdict(curves.Fit(exponent, error, exponent, 0.0), expected) == said


# ---- curves


def test_every_curve_has_at_least_four_rising_points_and_its_reasons():
    keys = [curve.key for curve in curves.CURVES]
    assert len(set(keys)) == len(keys)
    varied = " ".join(curve.title for curve in curves.CURVES)
    for what in ("genome size", "regions", "motifs", "cell types", "window", "model size"):
        assert what in varied
    for curve in curves.CURVES:
        assert len(curve.values) >= 4
        assert list(curve.values) == sorted(set(curve.values))
        assert list(curve.quick) == sorted(set(curve.quick))
        assert curve.setup
        assert curve.why


def test_the_last_shape_is_base():
    from epilm.models.sizes import ENCODER_SIZES

    assert curve_points.SHAPES[5] == tuple(ENCODER_SIZES["base"])
    assert curve_points.in_blocks(5) == 12 * 12 * 768**2  # 12 layers of 4 h^2 + 2 h 4h


def made_up(key="build_regions", memory=(10.0, 20.0, 40.0, 80.0)):
    points = [
        {"x": x, "seconds": 0.5 * x, "cpu_seconds": 0.1, "memory_mb": mb}
        for x, mb in zip((1, 2, 4, 8), memory)
    ]
    return curves.with_fits(next(curve for curve in curves.CURVES if curve.key == key), points)


def test_the_table_of_curves_has_times_memory_exponents_and_reasons():
    lines = curves.table([made_up()]).splitlines()
    assert (
        lines[2]
        == "| build: regions | 4, 1 to 8 thousand regions | 500.0 ms to 4.00 s | **1.00** ± 0.00"
        " (as expected) | 10 MB to 80 MB | **1.00** ± 0.00 (as expected) |"
    )
    assert lines[4].startswith("- **build: regions** (64 motifs,")


def test_memory_too_small_to_be_told_has_no_exponent():
    row = made_up(memory=(0.5, 3.0, 5.0, 9.0))
    assert row["memory"] is None
    assert "under 2 MB to 9 MB | (under 2 MB at the smallest) |" in curves.table([row])


def test_the_picture_is_small_and_has_every_curve(tmp_path):
    path = tmp_path / "curves.svg"
    assert curves.draw([made_up(curve.key) for curve in curves.CURVES], path) < 100_000
    assert path.read_text().lstrip().startswith("<?xml")


def test_a_point_is_measured_in_a_process_of_its_own(monkeypatch):
    def start(x, folder):
        assert (folder / "ready").read_text() == str(x)
        held = bytearray(b"1") * (x * 1_000_000)  # what start allocates counts
        return lambda: held

    def prepare(x, folder):
        (folder / "ready").write_text(str(x))

    curve = curve_points.Curve(
        "made_up", "made up", "MB", (300,), (300,), prepare, start, (1.0, 1.0), "-", "-"
    )
    monkeypatch.setattr(curves, "CURVES", (curve,))
    if sys.platform != "linux":
        pytest.skip("memory of a process and fork are read as Linux has them")
    monkeypatch.setattr(curves, "warm", lambda: None)
    point = curves.measure(curve, 300, 0.0, 1)
    assert point["rounds"] >= 2
    # 286 MiB. The child is a fork of the test process, whose own garbage (some MB) may go
    # meanwhile.
    assert 250 < point["memory_mb"] < 330


@pytest.mark.skipif(sys.platform != "linux", reason="fork")
def test_a_point_that_fails_says_why(monkeypatch):
    def start(x, folder):
        raise ValueError("no such thing")

    curve = curve_points.Curve(
        "bad", "bad", "-", (1,), (1,), lambda x, f: None, start, (1.0, 1.0), "-", "-"
    )
    monkeypatch.setattr(curves, "CURVES", (curve,))
    monkeypatch.setattr(curves, "warm", lambda: None)
    with pytest.raises(RuntimeError, match="ValueError: no such thing"):
        curves.measure(curve, 1, 0.0, 1)


def test_inputs_of_a_build_are_what_they_say(tmp_path):
    from epilm.store.making.build import build

    curve_points.write_raw(tmp_path, genome_bp=80_000, regions=40, cells=3, motifs=4)
    store = build(
        genome=tmp_path / "genome.fa",
        peaks=tmp_path / "peaks",
        motifs=tmp_path / "motifs.jaspar",
        out=tmp_path / "store",
        threads=1,
    )
    assert store.n_regions == 40
    assert store.n_factors == 4
    assert len(store.cell_types) == 3


# ---- profile


def test_own_time_is_added_up_by_place_first_and_by_operation_next():
    def event(name, micros, parent=None):
        return SimpleNamespace(name=name, self_cpu_time_total=micros, cpu_parent=parent)

    step = event(profile_step.STEP, 100)
    data = event(profile_step.DATA, 30, step)
    move = event(profile_step.OPTIMISER, 5, step)
    sdpa = event("aten::_scaled_dot_product_attention_math", 1, step)
    events = [
        step,
        data,
        move,
        sdpa,
        event("aten::index", 7, data),
        event("aten::mul", 20, move),
        event("aten::mul", 4, sdpa),
        event("aten::addmm", 200, step),
        event("aten::gelu", 50, step),
        event("ProfilerStart", 999),
    ]
    kinds, operations = profile_step.shares(events)
    told = {kind: round(seconds * 1e6) for kind, seconds in kinds.items() if seconds}
    assert told == {
        "matrix products": 200,
        "attention": 5,
        "elementwise and norms": 50,
        "optimiser": 25,
        "data": 37,
        profile_step.REST: 100,
    }
    assert round(operations["aten::mul"] * 1e6) == 24


def test_a_real_step_is_told_apart_and_nothing_is_lost(tmp_path):
    from training_step import Steps, invented_store

    store = invented_store(tmp_path / "store", genome_bp=60_000)
    run = Steps("ebert_base", "tiny", store, ("train.batch_size=2", "train.micro_batch=2"))
    found = profile_step.profile_of(run, 1)
    assert sum(found["shares"].values()) == pytest.approx(1)
    for kind in ("matrix products", "attention", "elementwise and norms", "optimiser", "data"):
        assert found["shares"][kind] > 0, kind


# ---- rows


def compared(**more):
    return harness.compare(
        "row 0: nothing",
        lambda: 1,
        lambda: 1,
        check=lambda a, b: "equal",
        goal=0.0,
        peer_name="itself",
        setup_note="none",
        quiet=True,
        **more,
    )


def test_a_row_keeps_what_bounds_it():
    assert compared()["bound"] is None
    assert compared(bound="matrix products")["bound"] == "matrix products"


@pytest.mark.parametrize(
    ("goal", "stretch", "shown"),
    [(False, False, True), (True, False, True), (True, True, False), (True, None, False)],
)
def test_the_table_names_the_bound_of_a_row_that_falls_short(runner, goal, stretch, shown):
    row = compared(bound="matrix products, 71% of the step") | {
        "goal_reached": goal,
        "stretch_reached": stretch,
    }
    assert ("; **bound by** matrix products, 71% of the step |" in runner.table([row])) is shown


def test_a_row_from_before_there_was_a_bound_is_printed(runner):
    row = compared()
    del row["bound"]
    assert "| 0: nothing |" in runner.table([row])


def test_rows_of_two_machines_say_which(runner):
    one, other = compared(), compared()
    other["machine"] = other["machine"] | {"simd": ["none"]}
    assert "machine A" not in runner.table([one, one])
    text = runner.table([one, other])
    assert text.count("; none, machine A |") == text.count("; none, machine B |") == 1
    assert "Machines: A = " in text
    assert "; B = " in text


def test_a_row_about_bf16_is_skipped_where_it_would_be_emulated(runner, monkeypatch):
    row = runner.Row(10, "row10_bert_step_bf16.py", bf16=True)
    monkeypatch.setattr("epilm.device.cpu_bf16", lambda: None)
    assert runner.skipped(row).startswith("skipped: this processor has no bf16 instructions")
    monkeypatch.setattr("epilm.device.cpu_bf16", lambda: "avx512_bf16")
    assert runner.skipped(row) is None


def test_results_are_read_in_order_and_only_where_they_have_two_sides(runner, tmp_path):
    for name, content in {
        "metrics.json": compared() | {"name": "named"},
        "row02.json": compared() | {"name": "two"},
        "row01.json": compared() | {"name": "one"},
        "curves.json": {"curves": []},
    }.items():
        (tmp_path / name).write_text(json.dumps(content))
    assert [row["name"] for row in runner.read_results(tmp_path)] == ["one", "two", "named"]


def test_rows_are_chosen_by_number_and_by_name(runner):
    assert [row.script for row in runner.chosen(["curves", "2"])] == [
        "row02_kmer_ids.py",
        "row02_kmer_ids.py",
        "curves.py",
    ]
    assert runner.chosen([]) == list(runner.ROWS)
    assert {row.number for row in runner.chosen([], numbered=True)} == set(range(1, 18))
    with pytest.raises(SystemExit, match=r"no such row: 99; known: 1, 2, .*plan_check"):
        runner.chosen(["99"])


def test_every_script_that_is_here_belongs_to_the_list(runner):
    scripts = {path.name for path in HERE.glob("row*.py")}
    assert scripts <= {row.script for row in runner.ROWS}


def test_the_list_is_printed_without_running_anything():
    words = [sys.executable, "-m", "benchmarks", "--list", "1", "profile_step"]
    done = subprocess.run(words, cwd=HERE.parent, capture_output=True, text=True, check=True)
    lines = [line.split()[:2] for line in done.stdout.splitlines()]
    assert lines == [["1", "row01_masked_sample.py"]] * 2 + [["profile_step", "profile_step.py"]]
