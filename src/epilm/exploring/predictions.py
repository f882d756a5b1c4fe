"""What fine-tuned models say along a stretch: windows side by side, one number each.

A model that reads places of a store is asked of each cell type; one that reads sequences slides
over the bases. Any task whose answer is a number or a class of a window can be shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.errors import StoreError, UsageError
from epilm.exploring.loci import Stretch
from epilm.exploring.store_tracks import colour_of
from epilm.exploring.track import Level, Track
from epilm.finetuning.finetuned import Finetuned
from epilm.genome.chromosomes import few
from epilm.plots.page import load_json
from epilm.store.reader import Store
from epilm.tasks.base import labelled
from epilm.tasks.reference import Reference

STEP = 50  # bp between windows, as between the challenge's bins


class _Places(NamedTuple):
    cells: NDArray[np.int64]
    chroms: NDArray[np.int64]
    starts: NDArray[np.int64]


@dataclass(frozen=True)
class _Windows:
    """Windows of one cell type of a store, as `finetuning.windows.AroundPlaces` reads them."""

    cell: int
    chroms: NDArray[np.int64]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def groups(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """All are of one cell type, in the genome's order."""
        return [np.arange(len(rows))]

    def take(self, rows: Any) -> _Places:
        """Where rows lie."""
        starts = self.starts[rows]
        return _Places(np.full(len(starts), self.cell, np.int64), self.chroms[rows], starts)


def name_runs(paths: Sequence[str | Path]) -> dict[str, Path]:
    """Give each run a name: its folder's, with the folder above where two are alike.

    Examples
    --------
    >>> list(name_runs(["a/binding", "b/binding", "cnn"]))
    ['a/binding', 'b/binding', 'cnn']
    """
    given = [Path(path) for path in paths]
    ends = [path.resolve().name for path in given]
    named: dict[str, Path] = {}
    for path, end in zip(given, ends, strict=True):
        name = end if ends.count(end) == 1 else "/".join(path.resolve().parts[-2:])
        if name in named:
            raise UsageError("the run is named twice", found=str(path), do="Name it once.")
        named[name] = path
    return named


def prediction_tracks(
    runs: dict[str, Path],
    stretches: Sequence[Stretch],
    reference: Reference,
    *,
    store: Store | None,
    cells: Sequence[str],
    asked: bool,
    stride: int | None,
    window: int | None,
    batch_size: int,
    device: Any,
    notes: list[str],
    say: Any,
) -> Iterator[Track]:
    """Give one track a run, output and cell type.

    Parameters
    ----------
    runs : dict of str to Path
        Fine-tuned runs by name (`name_runs`).
    stretches : sequence of Stretch
    reference : Reference
        The genome: windows reach beyond a stretch.
    store : Store, optional
        For models that read places; with `cells`, its cell types to ask of.
    asked : bool
        The user named these cell types: one that a model cannot read is refused, not left out.
    stride, window : int, optional
        bp between windows, and of a window of sequence models.
    notes : list of str
        Takes what was left out or doubted.

    Raises
    ------
    UsageError, StoreError, CheckpointError
        If a run is no fine-tuned model, needs a store that is not given or is another one, or no
        window's width is known.
    """
    from epilm.finetuning.finetuned import load_finetuned
    from epilm.finetuning.scorer import open_scorer

    if stride is not None and stride < 1:
        raise UsageError("impossible value", where="--stride", found=stride, expected="at least 1")
    for name, path in runs.items():
        model = load_finetuned(path)
        score = open_scorer(model, batch_size=batch_size, device=device)
        step = stride or STEP
        if model.reads.window_bp:
            yield from _in_store(name, model, score, stretches, store, cells, asked, step, notes)
        else:
            width = _width(name, path, model, window)
            yield from _of_bases(name, model, score, stretches, reference, width, step, notes)
        if say is not None:
            say(f"{name}: {model.about['task']}, predicted")


def _outputs(model: Finetuned) -> list[tuple[int, str]]:
    """Columns that are drawn: of two classes the second."""
    labels = model.about["labels"]
    names = [str(name) for name in labels["names"]]
    columns = list(enumerate(names))
    return columns[1:] if labels["kind"] == "classes" and len(names) == 2 else columns


def _tracks(
    name: str,
    cell: str | None,
    model: Finetuned,
    said: NDArray[Any],
    ends: Sequence[tuple[int, int]],
    stretches: Sequence[Stretch],
    step: int,
    about: str,
) -> Iterator[Track]:
    """Cut rows of predictions into the stretches; `ends`: first base and number of each."""
    bounded = model.about["labels"]["kind"] not in ("numbers", "counts")
    for column, output in _outputs(model):
        parts, row = [], 0
        for (first, n), _ in zip(ends, stretches, strict=True):
            parts.append(Level(first, step, np.asarray(said[row : row + n, column], np.float32)))
            row += n
        yield Track(
            f"{name}: {output}" + (f" in {cell}" if cell else ""),
            "predictions",
            tuple(parts),
            colour_of(column),
            low=0.0 if bounded else None,
            high=1.0 if bounded else None,
            about=about,
        )


def _in_store(
    name: str,
    model: Finetuned,
    score: Any,
    stretches: Sequence[Stretch],
    store: Store | None,
    cells: Sequence[str],
    asked: bool,
    step: int,
    notes: list[str],
) -> Iterator[Track]:
    reads = model.reads
    if store is None:
        raise UsageError(
            "the model reads places of a store, in a cell type",
            where=name,
            do="Give --store: the one it learned from, or another of the same genome.",
        )
    made_on = str(model.about.get("store") or "")
    if made_on and made_on != store.fingerprint:
        notes.append(
            f"{name} learned from another store ({made_on[:12]}) than the one given"
            f" ({store.fingerprint[:12]}, {store.path.name}): regions, motifs or states may differ"
        )
    step = min(step, reads.width)
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    starts = [_starts(stretch, reads.width, step, sizes) for stretch in stretches]
    ends = _ends(starts, reads.width, step)
    chroms = [
        np.full(len(here), store.chrom_number(stretch.chrom), np.int64)
        for here, stretch in zip(starts, stretches, strict=True)
    ]
    left = []
    for cell in cells:
        try:
            reads.check(store, [cell])
        except StoreError:
            if asked:
                raise
            left.append(cell)
            continue
        windows = _Windows(store.cell_number(cell), np.concatenate(chroms), np.concatenate(starts))
        said = np.concatenate(list(score(windows, store))) if len(windows) else np.zeros((0, 9))
        about = f"{model.about['task']}, bins of {reads.width} bp every {step} bp"
        yield from _tracks(name, cell, model, said, ends, stretches, step, about)
    if left and len(left) == len(cells):
        reads.check(store, [left[0]])  # nothing can be shown: says why
    if left:
        notes.append(f"{name} reads tracks that {few(left, 8)} lack: not predicted there")


def _width(name: str, path: Path, model: Finetuned, window: int | None) -> int:
    """Bases of a window: as told, else as wide as the longest sequence it learned from."""
    if window is None:
        learned = load_json(path / "task.json", {}).get("set") or {}
        lengths = learned.get("length_bp") or model.about.get("length_bp")  # of an ensemble
        window = int(lengths[1]) if lengths else None
    if window is None:
        raise UsageError(
            "the run does not say how wide a sequence it expects",
            where=name,
            do="Give --window: the width of the sequences it learned from.",
        )
    if window < max(model.spec.k, 1):
        raise UsageError(
            "the window is shorter than one k-mer",
            where="--window",
            found=f"{window} bp",
            expected=f"at least {model.spec.k} bp",
        )
    return window


def _of_bases(
    name: str,
    model: Finetuned,
    score: Any,
    stretches: Sequence[Stretch],
    reference: Reference,
    width: int,
    step: int,
    notes: list[str],
) -> Iterator[Track]:
    step = min(step, width)
    starts = [_starts(stretch, width, step, reference.sizes) for stretch in stretches]
    rows: list[NDArray[np.uint8]] = []
    for here, stretch in zip(starts, stretches, strict=True):
        bases = reference.codes(stretch.chrom)
        rows += [np.array(bases[at : at + width], np.uint8) for at in here.tolist()]
    if not rows:
        notes.append(f"{name} reads {width} bp, more than the chromosomes have: not predicted")
        return
    said = np.concatenate(list(score(labelled(rows, np.zeros(len(rows))))))
    notes += [f"{name}: {note}" for note in score.about["read_notes"]]
    about = f"{model.about['task']}, windows of {width} bp every {step} bp"
    ends = _ends(starts, width, step)
    yield from _tracks(name, None, model, said, ends, stretches, step, about)


def _starts(stretch: Stretch, width: int, step: int, sizes: Mapping[str, int]) -> NDArray[np.int64]:
    """First bases of the windows whose middle `step` bases lie in a stretch; starts are multiples
    of `step`, windows lie within the chromosome.

    Examples
    --------
    >>> _starts(Stretch("chr1", 0, 400, 400), 200, 50, {"chr1": 420}).tolist()
    [0, 50, 100, 150, 200]
    """
    aside = (width - step) // 2
    first = -(-max(stretch.start - aside, 0) // step) * step
    last = min(stretch.end - aside - step, sizes[stretch.chrom] - width)
    return np.arange(first, last + 1, step, dtype=np.int64)


def _ends(starts: Sequence[NDArray[np.int64]], width: int, step: int) -> list[tuple[int, int]]:
    """Of each stretch the first base that has a number, and how many numbers there are."""
    aside = (width - step) // 2
    return [(int(here[0]) + aside if len(here) else 0, len(here)) for here in starts]
