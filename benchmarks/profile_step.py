# ruff: noqa: E402 (threads are set before anything that reads them)
"""Where the time of one training step on the CPU goes: products, attention, elementwise work,
optimiser, data.

GeneBERT small and EBERT base as `epilm pretrain` runs them on this machine (number format, fused
optimiser, batches from a memory-mapped store), a few steps under torch.profiler. Every moment of a
step belongs to one kind: first by where it happened (making a batch, moving the weights, inside
attention), then by what the operation is (`RULES`); what no operation covers is Python and
autograd. The step's time is measured without the profiler.

    python benchmarks/profile_step.py [--threads 1] [--steps 3] [--quick]
"""

import argparse
import datetime
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from harness import machine, versions, write_row
from training_step import Steps, invented_store

STEP, DATA, OPTIMISER = "epilm: step", "epilm: data", "epilm: optimiser"
REST = "Python and autograd"
# The first word found in an operation's name decides. Products of batches occur in attention alone:
# its backward pass is made of them where the chip has no attention of its own.
RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("optimiser", ("_fused_adam", "_foreach", "vector_norm", "muon")),
    ("attention", ("attention", "::bmm", "::baddbmm", "::_softmax", "bmmbackward")),
    ("matrix products", ("::mm", "::addmm", "linear", "matmul", "conv", "mkldnn")),
    (
        "gather and index",
        (
            "index",
            "gather",
            "embedding",
            "scatter",
            "nonzero",
            "masked_select",
            "::sort",
            "::unique",
        ),
    ),
    (
        "copies and casts",
        (
            "copy",
            "::to",
            "::cat",
            "::stack",
            "::clone",
            "zero",
            "::fill_",
            "empty",
            "contiguous",
            "::full",
        ),
    ),
)
KINDS = (
    "matrix products",
    "attention",
    "elementwise and norms",
    "gather and index",
    "copies and casts",
    "optimiser",
    "data",
    REST,
)
CASES = (
    ("GeneBERT small", "genebert_native", "small", ("samples.holdout_chroms=[]",)),
    (
        "EBERT base",
        "ebert_base",
        "base",
        ("samples.holdout_chroms=[]", "train.batch_size=8", "train.micro_batch=8"),
    ),
)
QUICK = (
    ("EBERT tiny", "ebert_base", "tiny", ("train.batch_size=8", "train.micro_batch=8")),
    (
        "GeneBERT tiny",
        "genebert_native",
        "tiny",
        ("samples.holdout_chroms=[]", "samples.regions=2"),
    ),
)


def kind_of(name: str, within: Iterable[str] = ()) -> str:
    """Say what an operation is for.

    Parameters
    ----------
    name : str
        As torch.profiler calls it.
    within : iterable of str
        Names of the operations around it, innermost first.

    Examples
    --------
    >>> (
    ...     kind_of("aten::addmm"),
    ...     kind_of("aten::gelu"),
    ...     kind_of("aten::addmm", ["epilm: optimiser", "epilm: step"]),
    ... )
    ('matrix products', 'elementwise and norms', 'optimiser')
    >>> kind_of("aten::mul", ["aten::_scaled_dot_product_attention_math"]), kind_of("epilm: step")
    ('attention', 'Python and autograd')
    """
    around = list(within)
    for scope, kind in ((DATA, "data"), (OPTIMISER, "optimiser")):
        if scope == name or scope in around:
            return kind
    if any("scaled_dot_product" in one for one in around):
        return "attention"
    lowered = name.lower()
    if not lowered.startswith("aten::"):
        found = [kind for kind, words in RULES if any(word in lowered for word in words)]
        # autograd's own bookkeeping around an operation, not the operation
        return REST if lowered.startswith(("autograd::", "epilm")) or not found else found[0]
    return next(
        (kind for kind, words in RULES if any(word in lowered for word in words)),
        "elementwise and norms",
    )


def shares(events: Iterable[Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Add up own time by kind and by operation; seconds.

    Parameters
    ----------
    events : iterable of FunctionEvent
        Of torch.profiler: `name`, `self_cpu_time_total` in microseconds, `cpu_parent`.
    """
    kinds, operations = dict.fromkeys(KINDS, 0.0), {}
    for event in events:
        around, parent = [], event.cpu_parent
        while parent is not None:
            around.append(parent.name)
            parent = parent.cpu_parent
        if event.name != STEP and STEP not in around:
            continue  # the profiler's own
        seconds = event.self_cpu_time_total / 1e6
        kinds[kind_of(event.name, around)] += seconds
        operations[event.name] = operations.get(event.name, 0.0) + seconds
    return kinds, operations


def profile_of(run: Steps, steps: int) -> dict[str, Any]:
    """Profile some steps of a run, after two; the plain step's time too."""
    from torch.profiler import ProfilerActivity, profile, record_function

    for _ in range(2):
        run.step()
    plain = []
    for _ in range(max(steps, 3)):
        begin = time.perf_counter()
        run.step()
        plain.append(time.perf_counter() - begin)
    make, move = run.make, run.optimiser.step

    def making(rows: Any, step: int) -> Any:
        with record_function(DATA):
            return make(rows, step)

    def moving(lr: float) -> None:
        with record_function(OPTIMISER):
            move(lr)

    run.make, run.optimiser.step = making, moving
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            with record_function(STEP):
                run.step()
    kinds, operations = shares(found.events())
    whole = sum(kinds.values())
    largest = sorted(operations.items(), key=lambda item: -item[1])[:8]
    return {
        "step_s": min(plain),
        "profiled_step_s": whole / steps,
        "shares": {kind: seconds / whole for kind, seconds in kinds.items()},
        "largest": {name: seconds / whole for name, seconds in largest},
    }


def bound_of(step: Callable[[], Any], steps: int = 2) -> str:
    """Say what a step's time goes to, largest first: what bounds a row that falls short."""
    from torch.profiler import ProfilerActivity, profile, record_function

    step()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            with record_function(STEP):
                step()
    kinds, _ = shares(found.events())
    whole = sum(kinds.values())
    largest = sorted(kinds.items(), key=lambda item: -item[1])[:4]
    return ", ".join(f"{kind} {seconds / whole:.0%}" for kind, seconds in largest) + " of our step"


def table(rows: list[dict[str, Any]]) -> str:
    """Render the shares as Markdown, a column a model."""
    lines = [
        "| share of a step | " + " | ".join(row["case"] for row in rows) + " |",
        "|---|" + "---|" * len(rows),
    ]
    for kind in KINDS:
        lines.append(
            f"| {kind} | " + " | ".join(f"{row['shares'][kind]:.1%}" for row in rows) + " |"
        )
    lines.append(
        "| one step | " + " | ".join(f"{row['step_s'] * 1e3:.0f} ms" for row in rows) + " |"
    )
    lines.append(
        "| | "
        + " | ".join(f"{row['weights'] / 1e6:.1f} M weights, {row['setup']}" for row in rows)
        + " |"
    )
    return "\n".join(lines)


def main() -> int:
    """Profile the cases, print the table, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny models, nothing written")
    given = parser.parse_args()
    import torch

    from epilm.models.from_spec import parameter_table

    torch.set_num_threads(given.threads)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        store = invented_store(
            Path(name) / "store", regions=800, factors=24 if given.quick else 579
        )
        for case, recipe, size, keys in QUICK if given.quick else CASES:
            run = Steps(recipe, size, store, keys)
            found = profile_of(run, given.steps)
            samples, number = run.recipe.train.batch_size, "bf16" if run.place.bf16 else "fp32"
            rows.append(
                {
                    "case": case,
                    "weights": parameter_table(run.model)["total"],
                    "setup": (
                        f"{samples} samples a step, micro-batch {run.recipe.train.micro_batch},"
                        f" {number}"
                    ),
                    **found,
                }
            )
            shown = ", ".join(f"{kind} {share:.0%}" for kind, share in found["shares"].items())
            print(f"{case}: {found['step_s'] * 1e3:.1f} ms a step; {shown}", flush=True)
            print(
                f"  largest: {', '.join(f'{n} {s:.1%}' for n, s in found['largest'].items())}",
                flush=True,
            )
            del run
    print(table(rows))
    if not given.quick:
        row = {
            "name": "where a step's time goes",
            "rows": rows,
            "threads": given.threads,
            "machine": machine(),
            "versions": versions(),
            "command": f"python benchmarks/profile_step.py --threads {given.threads}",
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        }
        write_row(row, "profile_step.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
