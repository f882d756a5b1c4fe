"""What of a test a model has met before it: chromosomes and cell types of pre-training and of
training (protocols A21).

And how many of its bins hold no sequence, which flatters as well. Read from what a run keeps about
itself. Used by the evaluation and by ablations. Axes: n bins.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.hub.provenance import cell_seen as has_read
from epilm.hub.provenance import chroms_seen, held_out, unknown_starts
from epilm.store.arrays import unknown_runs
from epilm.store.reader import Store
from epilm.tasks.binding.bins import Bins


def leak_of(
    about: Mapping[str, Any],
    bins: Bins,
    cell: str,
    *,
    reads_states: bool,
    same_track: Sequence[str] = (),
) -> dict[str, Any]:
    """Say what of the test pre-training, training and the choice of the best epoch have met.

    Parameters
    ----------
    about : mapping
        What a fine-tuned model keeps about itself (`BindingRun.about`).
    bins : Bins
        Those of the test.
    cell : str
        The test's cell type.
    reads_states : bool
        Whether pre-training could read anything of a cell type.
    same_track : sequence of str
        Other cell types whose states are the very track of this one's (a proxy): who has read
        theirs has read its.

    Returns
    -------
    dict
        pretraining: {chroms_seen, bins_seen (a share), cell_seen, unknown, holdout_chroms,
        holdout_cells} or None where there was none; training: {bins_seen, bins_choosing, cell_seen,
        chroms, cells}; said: a line; warnings.

    Examples
    --------
    >>> from epilm.tasks.binding.bins import grid
    >>> about = {
    ...     "pretraining": {"holdout_chroms": ["chr8"]},
    ...     "train_chroms": ["chr2"],
    ...     "cells": ["K562"],
    ... }
    >>> leak_of(about, grid({"chr1": 4000, "chr8": 4000}), "HepG2", reads_states=False)["said"]
    'pre-training has seen chr1 of the test chromosomes (50.0% of the bins; no label of them);
    training has not met HepG2, and 0.0% of the test bins'
    """
    there = [name for name, _, _ in bins.runs()]
    counts, warnings = bins.counts(), []
    said = []
    called = cell
    if same_track and reads_states:
        # Whichever of them is the proxy: who has read one has read all.
        called = f"{' or '.join([cell, *same_track])} (one track of states)"
    before = about.get("pretraining")
    pretraining = None
    if before:
        seen = chroms_seen(before, there)
        share = sum(counts[name] for name in seen) / max(len(bins), 1)
        cell_seen = has_read(before, (cell, *same_track)) if reads_states else None
        unknown = unknown_starts(before)
        pretraining = {
            "chroms_seen": seen,
            "bins_seen": share,
            "cell_seen": cell_seen,
            "unknown": unknown,
            "holdout_chroms": held_out(before),
            "holdout_cells": held_out(before, "cells"),
        }
        text = (
            f"pre-training has seen {', '.join(seen) if seen else 'none'} of the test chromosomes"
            f" ({share:.1%} of the bins; no label of them)"
        )
        if cell_seen is not None:
            text += f" and {'has' if cell_seen else 'has not'} seen {called}"
        if not before.get("unknown"):
            said.append(text)
        if seen:
            warnings.append(
                f"pre-training has seen the bases{' and states' if reads_states else ''} of"
                f" {share:.1%} of the test bins ({', '.join(seen)})"
            )
        if unknown:
            said.append(
                f"what the weights it began with have read is not known ({', '.join(unknown)})"
            )
            warnings.append(f"{said[-1]}: they may have seen any of the test bins")
    else:
        said.append("no pre-training")
    training = _met_in_training(about, bins, (cell, *(same_track if reads_states else ())), there)
    if training["bins_seen"] > 0:
        same = f"in {cell} itself" if training["cell_seen"] else "in other cell types"
        warnings.append(
            f"LEAK: {training['bins_seen']:.1%} of the test bins lie where training learned, {same}"
        )
    if training["bins_choosing"] > 0:
        warnings.append(
            f"LEAK: {training['bins_choosing']:.1%} of the test bins chose the best epoch"
        )
    said.append(
        f"training has {'met' if training['cell_seen'] else 'not met'} {called}, and"
        f" {training['bins_seen']:.1%} of the test bins"
    )
    return {
        "pretraining": pretraining,
        "training": training,
        "said": "; ".join(said),
        "warnings": warnings,
    }


def _met_in_training(
    about: Mapping[str, Any], bins: Bins, same: Sequence[str], there: list[str]
) -> dict[str, Any]:
    def inside(texts: Sequence[str]) -> NDArray[np.bool_]:
        known = [text for text in texts if text.split(":")[0] in there]
        return bins.inside(known) if known else np.zeros(len(bins), bool)

    chose = inside(about.get("valid_chroms", ()))
    learned = inside(about.get("train_chroms", ())) & ~chose & ~inside(about.get("test_chroms", ()))
    cells = list(about.get("cells", ()))
    return {
        "bins_seen": float(learned.mean()),
        "bins_choosing": float(chose.mean()),
        "cell_seen": any(cell in cells for cell in same),
        "chroms": list(about.get("train_chroms", ())),
        "cells": cells,
    }


def share_of_n(store: Store, bins: Bins) -> float:
    """Count the bins that hold N alone, as a share of all."""
    bare = 0
    for name, low, high in bins.runs():
        if name not in store.chroms:
            continue
        number = store.chroms.index(name)
        first = int(store.offsets[number])
        runs = unknown_runs(store.genome[first : first + store.sizes[number]])
        if len(runs):
            start = bins.start[low:high].astype(np.int64)
            run = np.searchsorted(runs[:, 0], start, "right") - 1
            bare += int(((run >= 0) & (start + bins.width <= runs[run, 1])).sum())
    return bare / max(len(bins), 1)
