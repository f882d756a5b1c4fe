"""A disk without room for the bytes, or for one more file, at each kind of writer: one message, and
nothing is left behind.

One process mounts a tiny file system that nobody else sees and lets all of them write there.
"""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from forked import CONTEXT, mount_small

# Size, and how many files it takes (0: any number).
LIMITS = {"bytes": ("64k", 0), "files": ("8m", 6)}


def _table(n=20_000):
    from epilm.genome.intervals import make_table

    starts = np.sort(np.random.default_rng(0).choice(10**8, n, replace=False))
    return make_table(["chr1"] * n, starts, starts + 1)


def bed(folder):
    from epilm.genome.peaks import write_bed

    write_bed(folder / "a.bed.gz", _table())


def bigwig(folder):
    from epilm.genome.signals import write_bigwig

    values = np.random.default_rng(0).random(40_000)
    rows = (("chr1", at, at + 1, value) for at, value in enumerate(values))
    write_bigwig(folder / "a.bw", {"chr1": 10**6}, rows)


def vectors(ending):
    def write(folder):
        from epilm.vectors.vector_files import write_vectors

        table = np.random.default_rng(0).random((500, 200), np.float32)
        names = {"name": [f"row {n}" for n in range(500)]}
        write_vectors(folder / f"v{ending}", table, names, {"model": "m"})

    return write


def bins(ending):
    def write(folder):
        from epilm.tasks.binding.bins import grid
        from epilm.tasks.binding.dream.track_writers import open_predictions

        sizes = {"chr1": 2_000_000}
        rows = grid(sizes)
        with open_predictions(folder / f"F{ending}", rows, sizes=sizes) as out:
            out.write(np.random.default_rng(0).random(len(rows)))

    return write


def scores(ending):
    def write(folder):
        from epilm.variants.score_writers import Columns, write_scores
        from epilm.variants.variant_files import Allele

        n = 30_000
        alleles = [Allele(i, 0, "chr1", 7 * i, "A", "C", f"rs{i}", "v.tsv") for i in range(n)]
        values = {"delta": np.random.default_rng(0).random(n)}
        columns = Columns(values, {"delta": "a number"})
        out, source = folder / f"s{ending}", Path("v.tsv")
        write_scores(out, source, alleles, [None] * n, [""] * n, columns, {"chr1": 10**6})

    return write


def state(folder):
    import torch

    from epilm.training.optim import Optimiser
    from epilm.training.optim_spec import OptimSpec
    from epilm.training.state import save_state

    model = torch.nn.Linear(200, 200)
    save_state(folder / "checkpoints", 1, model, Optimiser(model, OptimSpec()), {}, 2)


def part(folder):
    from epilm.shards import Shard, write_part

    asked = {"verb": "x", "call": {}, "files": {}, "model": "m", "data": {}, "machine": {}}
    with write_part(folder / "parts", Shard(1, 1), asked) as written:
        written.units = 1
        written.put(0, {"values": np.zeros(50_000)})


def store(folder):
    from toy_store import toy_store

    toy_store(folder, per_chrom=(400, 300))


def page(folder):
    from epilm.plots.page import Page, Section, Table, write_page

    rows = [(n, n + 0.5) for n in range(5000)]
    write_page(Page("p", sections=[Section("s", tables=[Table(("a", "b"), rows)])]), folder / "p")


def log(folder):
    from epilm.training.log import MetricLog

    lines = MetricLog(folder, tensorboard=False)
    for step in range(5000):
        lines.write(step, "train", {"loss": 0.123456})


WRITERS = {
    "BED": bed,
    "bigWig": bigwig,
    "vectors, .npy": vectors(".npy"),
    "vectors, .parquet": vectors(".parquet"),
    "vectors, .h5ad": vectors(".h5ad"),
    "bins, .tab.gz": bins(".tab.gz"),
    "bins, .bw": bins(".bw"),
    "bins, .parquet": bins(".parquet"),
    "scores, .tsv.gz": scores(".tsv.gz"),
    "scores, .vcf": scores(".vcf"),
    "scores, .vcf.gz": scores(".vcf.gz"),
    "state of a run": state,
    "part of a shard": part,
    "store": store,
    "page": page,
    "log of a run": log,
}


def write_all(disks: list[str], report: str) -> None:
    """Let every writer write where it cannot; what it says, and what it leaves."""
    for folder, limits in zip(disks, LIMITS.values(), strict=True):
        mount_small(folder, *limits)
    said = {what: try_all(Path(disk), LIMITS[what][1]) for what, disk in zip(LIMITS, disks)}
    Path(report).write_text(json.dumps(said))


def try_all(disk: Path, files: int) -> dict[str, list]:
    from epilm.errors import EpilmError

    said = {}
    for number in range(files - 1):
        (disk / f"filler{number}").touch()
    full = {path.name for path in disk.iterdir()}
    for name, write in WRITERS.items():
        try:
            write(disk)
            said[name] = ["nothing", []]
        except EpilmError as error:
            left = sorted(path.name for path in disk.rglob("*") if path.is_file())
            said[name] = [str(error), [path for path in left if path not in full]]
        except BaseException as error:
            said[name] = [repr(error), []]
        for path in disk.iterdir():
            if path.name not in full:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return said


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """What each writer said on a disk of 64 kB, and on one without room for a file."""
    if (
        not shutil.which("unshare")
        or subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
        ).returncode
    ):
        pytest.skip("no small file system can be mounted here")
    disks = [str(tmp_path_factory.mktemp(what)) for what in LIMITS]
    report = tmp_path_factory.mktemp("heard") / "report.json"
    process = CONTEXT.Process(target=write_all, args=(disks, str(report)))
    process.start()
    process.join(240)
    assert process.exitcode == 0
    return json.loads(report.read_text())


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_said_and_nothing_is_left(heard, name):
    said, left = heard["bytes"][name]
    assert "the disk is full; nothing was left half-written. Found " in said
    assert " free" in said
    assert left == (["metrics.jsonl"] if name == "log of a run" else [])  # its lines so far


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_takes_no_more_files_is_said(heard, name):
    said, left = heard["files"][name]
    assert "the disk takes no more files; nothing was left half-written. Found all 6 " in said
    assert "entries for files (inodes) used up, " in said
    assert left == []
