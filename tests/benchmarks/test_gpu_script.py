"""The script for one GPU, all of it, at tiny size on the CPU, with nothing installed but what a
card's machine has.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from benchmarks.gpu_profile import kind_of
from benchmarks.gpu_subjects import model_to_train

from benchmarks import gpu, gpu_page
from epilm.errors import UsageError

ROOT = Path(__file__).parents[2]
# What only the preparation of data needs. Packages that lightning looks for in the list of
# installed ones stay.
ABSENT = (
    "numba",
    "anndata",
    "bioframe",
    "Bio",
    "pyfaidx",
    "pybigtools",
    "pyjaspar",
    "jsonargparse",
)

REFUSE = """
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def elsewhere(name, path=None, target=None):
    return None if name.split(".")[0] in {absent!r} else find(name, path, target)
PathFinder.find_spec = staticmethod(elsewhere)
import torch
torch.set_num_threads(1)
from benchmarks.gpu import main
sys.exit(main({words!r}))
"""


def run(words):
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "HF_HUB_OFFLINE": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", REFUSE.format(absent=ABSENT, words=words)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        timeout=600,
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    out = tmp_path_factory.mktemp("card") / "out"
    done = run(["--minutes", "8", "--tiny", "--device", "cpu", "--out", str(out)])
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-2000:]
    return out, json.loads((out / "results.json").read_text()), done.stdout


@pytest.mark.twin  # half a minute: what a card will be asked, rehearsed
def test_every_part_runs(ran):
    _, results, _ = ran
    parts = dict(results["parts"])
    slices = parts.pop("slices")
    assert slices["status"] == "skipped"
    assert slices["error"] == "no --labels given"
    assert {name: part["status"] for name, part in parts.items()} == dict.fromkeys(
        (
            "ceilings",
            "parity",
            "H1",
            "H2",
            "plan",
            "H3",
            "H4",
            "H5",
            "H6",
            "predict",
            "waits",
            "profile",
            "H7",
            "shapes",
            "train small",
            "train base",
        ),
        "ok",
    )


@pytest.mark.twin  # half a minute: what a card will be asked, rehearsed
def test_every_fast_path_agrees_or_is_absent_for_a_reason(ran):
    checks = ran[1]["parts"]["parity"]["values"]["checks"]
    assert {row["verdict"] for row in checks} <= {"agrees", "absent"}, checks
    assert all(row["note"] for row in checks)
    assert sum(row["verdict"] == "agrees" for row in checks) >= 8


@pytest.mark.twin  # half a minute: what a card will be asked, rehearsed
def test_a_rehearsal_is_never_read_as_a_result(ran):
    out, _, said = ran
    page = (out / "results.md").read_text()
    assert "No figure below is a result of the H rows" in page
    assert "No figure below is a result of the H rows" in said
    # The table of rows has seven columns; that of the parts, further down, four.
    rows = [line for line in page.splitlines() if line.startswith("| H") and line.count("|") == 8]
    assert len(rows) == 7
    assert all("not comparable" in row for row in rows)


@pytest.mark.twin  # half a minute: what a card will be asked, rehearsed
def test_what_comes_back_is_small_and_opens(ran):
    import epilm

    out, results, _ = ran
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) <= 8
    assert all(path.stat().st_size <= 16 << 20 for path in files)
    assert {path.name for path in files} >= {
        "results.json",
        "results.md",
        "curves.json",
        "curves.svg",
    }
    assert all(len(path.relative_to(out).parts) <= 2 for path in files)
    assert epilm.load(out / "model").embed(["ACGTACGTACGTACGTACGT"]).shape[0] == 1
    assert str(out) not in json.dumps(results["command"])
    curves = json.loads((out / "curves.json").read_text())
    assert all(rows[-1]["step"] == 3 for rows in curves.values())


def test_a_device_that_is_not_there_is_an_error_with_a_cure(tmp_path, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert gpu.main(["--minutes", "1", "--tiny", "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "benchmarks.gpu: TrainingError: train.device: the run asks for cuda, which is not here"
    )
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    """Stores with states alone, with regions and motifs alone, with the genome alone."""
    import dataclasses

    from toy_store import toy_store
    from toy_tracks import toy_track_store

    states = toy_track_store(tmp_path_factory.mktemp("states"))
    return {
        "states": states,
        "regions": toy_store(tmp_path_factory.mktemp("regions")),
        "genome": dataclasses.replace(states, states=None),
    }


@pytest.mark.parametrize(
    ("name", "asked", "model"),
    [("states", None, "ebert"), ("regions", None, "genebert"), ("regions", "genebert", "genebert")],
)
def test_the_model_follows_from_the_store_where_none_is_asked_for(carried, name, asked, model):
    assert model_to_train(carried[name], asked) == model


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        (
            "states",
            "genebert",
            (
                r"not what the model reads\. Found a store for ebert; expected regions with motif"
                r" scores\. Pass --model ebert"
            ),
        ),
        (
            "regions",
            "ebert",
            r"Found a store for genebert; expected chromatin states\. Pass --model genebert",
        ),
        (
            "genome",
            None,
            r"serves no model\. Found neither states nor regions.*Build the store with --states",
        ),
        ("genome", "ebert", r"Found neither states nor regions.*expected chromatin states"),
    ],
)
def test_a_store_that_lacks_what_the_model_reads_is_refused(carried, name, asked, said):
    with pytest.raises(UsageError, match=said):
        model_to_train(carried[name], asked)


def test_a_wrong_store_is_one_message_before_anything_is_made(carried, tmp_path, capsys):
    words = ["--minutes", "1", "--tiny", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert gpu.main([*words, "--store", str(tmp_path / "nowhere.store")]) == 1
    assert "benchmarks.gpu: StoreError: " in capsys.readouterr().err
    assert gpu.main([*words, "--store", str(carried["states"].path), "--model", "genebert"]) == 2
    assert "Pass --model ebert" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


class Bare:
    """As much of a session as `run_parts` reads."""

    def __init__(self, out):
        from epilm.device import choose_place

        self.out, self.place, self.tiny, self.store = out, choose_place("cpu", "fp32"), False, None
        self.subjects, self.ceiling, self.ceiling_from = {}, 1.0, "given"


def test_a_part_that_fails_or_runs_too_long_is_written_and_the_next_runs(tmp_path):
    def broken(session, limit):
        raise RuntimeError("no such kernel\nmore")

    def slow(session, limit):
        for _ in range(400):
            time.sleep(0.05)

    chosen = [
        gpu.Part("broken", broken, 0.5),
        gpu.Part("ends", lambda s, t: sys.exit(4), 0.5),
        gpu.Part("slow", slow, 0.02),
        gpu.Part("good", lambda s, t: {"x": float("nan"), "y": 1.5}, 0.5),
    ]
    results = {"parts": {}}
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("alarms ring in the main thread alone")
    gpu.run_parts(Bare(tmp_path), results, chosen, 1.0, time.monotonic() + 60)
    kept = json.loads((tmp_path / "results.json").read_text())["parts"]
    assert [part["status"] for part in kept.values()] == ["failed", "failed", "failed", "ok"]
    assert kept["broken"]["error"] == "RuntimeError: no such kernel"
    assert kept["slow"]["error"].startswith("OutOfTime: stopped after")
    assert kept["good"]["values"] == {"x": None, "y": 1.5}


def test_parts_without_time_are_said(tmp_path):
    results = {"parts": {}}
    gpu.run_parts(
        Bare(tmp_path), results, [gpu.Part("late", lambda s, t: {}, 1.0)], 1.0, time.monotonic() + 1
    )
    assert results["parts"]["late"] == {
        "status": "skipped",
        "seconds": 0.0,
        "error": "no time left",
    }


@pytest.mark.parametrize(
    ("row", "values", "verdict"),
    [
        ("H1", {"mfu": 0.56}, "stretch"),
        ("H1", {"mfu": 0.46}, "goal"),
        ("H1", {"mfu": 0.44}, "below"),
        ("H2", {"hours_ebert": 35.0, "hours_dbert": 31.5}, "below"),
        ("H2", {"hours_ebert": 35.0, "hours_dbert": 30.0}, "goal"),
        ("H3", {"ratio": 1.81}, "stretch"),
        ("H6", {"ratio": 1.011}, "below"),
        ("H7", {"per_second": 0.4e12}, "goal"),
    ],
)
def test_goals_are_those_of_the_table(row, values, verdict):
    assert gpu_page.reached(row, values) == verdict


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("nvjet_tst_128x256_64x4_bz_coopA_NNT", "matrix products"),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_bprop", "attention"),
        ("pytorch_flash::flash_fwd_kernel", "attention"),
        ("multi_tensor_apply_kernel<FusedAdamMathFunctor>", "optimiser"),
        ("vectorized_layer_norm_kernel", "elementwise and norms"),
        ("Memcpy HtoD", "copies"),
    ],
)
def test_a_kernel_is_counted_where_it_belongs(kernel, kind):
    assert kind_of(kernel) == kind
