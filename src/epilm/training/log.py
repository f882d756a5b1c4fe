"""What a run says while it runs: `metrics.jsonl`, TensorBoard where it is installed, a progress
bar.

One line of JSON a log step. A run that goes on removes the lines after its
last state first, so that no step stands twice. Standard library; rich, tqdm and
tensorboard are used where they are.
"""

import json
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from epilm.atomic import atomic_file, cannot_write, plain
from epilm.objectives.table import OBJECTIVES

METRICS = "metrics.jsonl"


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Read `metrics.jsonl`, oldest line first; a last line cut short by a kill is left out.

    Parameters
    ----------
    path : path
        The file, or the run's folder.
    """
    path = Path(path)
    path = path / METRICS if path.is_dir() else path
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


class MetricLog:
    """Appends lines to RUN/metrics.jsonl and, where installed, to TensorBoard.

    Parameters
    ----------
    run : path
        The run's folder.
    first : int
        Optimiser steps already done; later lines are removed, at 0 all of them.
    tensorboard : bool
        Write events too, if tensorboard is installed.
    """

    def __init__(self, run: Path, first: int = 0, tensorboard: bool = True) -> None:
        self.path = run / METRICS
        if self.path.is_file():
            kept = [row for row in read_metrics(self.path) if 0 < first >= row["step"]]
            with atomic_file(self.path) as new:
                new.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        self.board: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return
            self.board = SummaryWriter(str(run / "tensorboard"), purge_step=first + 1)

    def write(self, step: int, split: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Append one line; return it.

        Parameters
        ----------
        step : int
            Optimiser steps done.
        split : {"train", "valid"}
        values : mapping of str to number
        """
        row = {"step": step, "split": split, **plain(values)}
        try:
            with open(self.path, "a", encoding="utf-8") as handle:
                handle.write(json.dumps(row) + "\n")
            if self.board is not None:
                for key, value in row.items():
                    if isinstance(value, float) or (isinstance(value, int) and key != "step"):
                        self.board.add_scalar(f"{split}/{key}", value, step)
        except OSError as error:
            raise cannot_write(error, self.path) from error
        return row

    def close(self) -> None:
        """Write out what TensorBoard still holds."""
        if self.board is not None:
            self.board.close()


def peak_memory(device: torch.device) -> dict[str, float]:
    """Largest memory of this process so far, and of the GPU, in GB (1e9 bytes).

    Examples
    --------
    >>> peak_memory(torch.device("cpu"))["memory_gb"] > 0
    True
    """
    unit = 1 if sys.platform == "darwin" else 1024
    out = {"memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9}
    if device.type == "cuda":
        out["memory_gpu_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
    return out


class Progress:
    """A bar on a terminal (rich or tqdm, whichever is there); elsewhere a line now and then.

    Parameters
    ----------
    total, done : int
        Steps of the run, and those before this start.
    every : float
        Seconds between lines where there is no terminal.
    quiet : bool
        Say nothing.
    """

    def __init__(self, total: int, done: int = 0, every: float = 20.0, quiet: bool = False) -> None:
        self.total, self.every, self.quiet = total, every, quiet
        self.last = time.monotonic()
        self._rich: Any = None
        self._task: Any = None
        self._tqdm: Any = None
        if quiet or not sys.stderr.isatty():
            return
        try:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._rich = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._rich.start()
            self._task = self._rich.add_task("pre-training", total=total, completed=done)
        except ImportError:
            from tqdm import tqdm

            self._tqdm = tqdm(total=total, initial=done, desc="pre-training", file=sys.stderr)

    def step(self, done: int) -> None:
        """Move the bar."""
        if self._rich is not None:
            self._rich.update(self._task, completed=done)
        elif self._tqdm is not None:
            self._tqdm.update(done - self._tqdm.n)

    def figures(self, row: Mapping[str, Any], always: bool = False) -> None:
        """Show a line of metrics: in the bar, or as text when it is time."""
        if self.quiet:
            return
        shown = _line(row)
        if self._rich is not None and not always:
            self._rich.update(self._task, description=shown)
        elif self._tqdm is not None and not always:
            self._tqdm.set_postfix_str(shown)
        elif always or time.monotonic() - self.last >= self.every:
            self.last = time.monotonic()
            self.say(f"step {row['step']} of {self.total}: {shown}")

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if self.quiet:
            return
        if self._rich is not None:
            self._rich.console.print(text, markup=False, highlight=False)
        elif self._tqdm is not None:
            self._tqdm.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._rich is not None:
            self._rich.stop()
        if self._tqdm is not None:
            self._tqdm.close()


def _line(row: Mapping[str, Any]) -> str:
    objectives = [
        (f"{name}/{metric}", form)
        for name, objective in OBJECTIVES.items()
        for metric, form in objective.line.items()
    ]
    short = (("loss", "loss {:.3f}"), *objectives, ("samples_per_second", "{:.1f} samples/s"))
    parts = [form.format(row[key]) for key, form in short if isinstance(row.get(key), int | float)]
    if row.get("split") == "valid":
        parts += [
            form.format(row[f"{name}/{metric}"])
            for name, objective in OBJECTIVES.items()
            for metric, form in objective.chance_line.items()
            if isinstance(row.get(f"{name}/{metric}"), float)
        ]
        return "validation: " + ", ".join(parts)
    return ", ".join(parts)
