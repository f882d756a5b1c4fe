"""`epilm.embed`: a vector for every sequence of a file, interval on a genome, or region of a store.

Streamed: neither sequences nor vectors are all in memory. What a sequence's vector is depends on
no other sequence and not on the batch, to rounding.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.device import choose_place
from epilm.errors import CheckpointError, InputError, UsageError, nearest
from epilm.hub.checkpoint import unique_tensors
from epilm.hub.load import Loaded, Pool, load
from epilm.metrics.neighbours import Neighbours, neighbours
from epilm.store.identity import check_assembly, check_states
from epilm.store.reader import Store
from epilm.tasks.lesson import same_sample
from epilm.tasks.sequence_predictions import pieces as sequence_blocks
from epilm.vectors.places import Ints, PlaceVectors, pieces_of, reads_of_cell, tokens_of
from epilm.vectors.vector_files import Spool, check_ending, write_vectors

Say = Callable[[str], None]
BLOCK = 4096  # places in memory at a time
MOST_COMPARED = 5000  # vectors whose neighbours are looked for
NEAREST = 10
_SAMPLE = 0xE3


@dataclass
class Embedding:
    """What came out.

    Attributes
    ----------
    columns : dict of str to list of length N
        What each vector is of: name, chrom, start, end, pieces; of a store cell_type and cells.
    about : dict
        model (path, fingerprint, name, k), pool, source, notes, and neighbours where there were
        labels; JSON values.
    vectors : float32 (N, H) or None
        None where they were written.
    files : list of Path
    neighbours : Neighbours or None
        Of the labels (`by`).
    """

    columns: dict[str, list[Any]]
    about: dict[str, Any]
    vectors: NDArray[np.float32] | None = None
    files: list[Path] = field(default_factory=list)
    neighbours: Neighbours | None = None

    def __len__(self) -> int:
        return len(self.columns["name"])


class Block(NamedTuple):
    """Some vectors and what they are of."""

    vectors: NDArray[np.float32]
    columns: dict[str, list[Any]]


def embed(
    model: str | Path | Loaded,
    sequences: Any = None,
    out: str | Path | None = None,
    *,
    genome: Any = None,
    store: str | Path | Store | None = None,
    cells: Sequence[str] = (),
    specific: bool = False,
    window: int | None = None,
    pool: Pool | None = None,
    by: str | None = None,
    batch_size: int = 64,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    say: Say | None = None,
) -> Embedding:
    """Give every sequence, interval or region a vector of a model.

    Parameters
    ----------
    model : path or Loaded
        A pre-training or fine-tuning run, a model folder, a DNABERT folder.
    sequences : path or iterable of str, optional
        FASTA or one sequence a line (.gz too), BED or narrowPeak with `genome`, or letters.
    out : path, optional
        .h5ad (AnnData: X, obs, var, uns), .parquet, or .npy with OUT.obs.tsv beside; None: the
        vectors are given back.
    genome : path, paths or store, optional
        For intervals.
    store : path or Store, optional
        In place of `sequences`: its regions. A model that reads a cell type (EBERT's states,
        GeneBERT's cell_embedding) gives a vector for each region and each cell type in which it is
        accessible; another one a vector a region.
    cells : sequence of str
        Cell types of the store; all where none is named.
    specific : bool
        Only regions that are accessible in one of these cell types alone.
    window : int, optional
        bp around the centre of each interval or region; their own bases where not given.
    pool : {"cls", "mean", "pooler", "max"}, optional
        As `Loaded.embed`; the model's own where not given.
    by : str, optional
        Column whose labels are compared: cell_type, name, chrom. Of a store cell_type where not
        given; rows without a label are left out of the numbers.
    batch_size : int
        Sequences (pieces of long ones) of a forward pass.
    device : {"auto", "cpu", "cuda", "mps"}
    say : callable, optional
        Takes lines of progress; standard error by default.

    Returns
    -------
    Embedding

    Raises
    ------
    InputError, StoreError, CheckpointError, UsageError
        What is wrong with the sequences, the store, the model or the call; nothing is written then.

    Examples
    --------
    >>> from epilm.models.from_spec import build_model
    >>> from epilm.models.model_spec import EncoderSpec, ModelSpec
    >>> spec = ModelSpec(
    ...     name="dnabert",
    ...     streams=("dna",),
    ...     k=3,
    ...     encoder=EncoderSpec(size="tiny", layers=1),
    ...     next_segment="none",
    ... )
    >>> tiny = Loaded(build_model(spec, seed=0), spec, {}, Path("tiny"))
    >>> made = embed(tiny, ["ACGTACGT", "TTTTA"], say=lambda line: None)
    >>> made.vectors.shape[0], made.columns["name"]
    (2, ['sequence 1', 'sequence 2'])
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    _check_call(sequences, out, store, cells, specific, by, batch_size)
    machine = choose_place(device, "fp32")
    loaded = model if isinstance(model, Loaded) else load(model)
    loaded.model.to(machine.device)
    how = loaded.own_pool(pool)
    notes: list[str] = []
    if store is not None:
        opened = store if isinstance(store, Store) else Store.open(store)
        source = str(opened.path)
        blocks = _of_store(loaded, opened, tuple(cells), specific, window, how, batch_size, notes)
        by = by or "cell_type"
    else:
        source = str(sequences) if isinstance(sequences, str | Path) else "sequences"
        blocks = _of_sequences(loaded, sequences, genome, window, how, batch_size, notes)
    target = None if out is None else Path(out)
    columns: dict[str, list[Any]] = {}
    with Spool(None if target is None else target.parent) as spool:
        for block in blocks:
            spool.add(block.vectors)
            for name, values in block.columns.items():
                columns.setdefault(name, []).extend(values)
        if not spool.count:
            raise InputError("there is nothing to embed", where=source)
        vectors = spool.vectors()
        notes = list(dict.fromkeys(notes))
        compared = _compare(vectors, columns, by, notes)
        if cut := int((np.array(columns["pieces"]) > 1).sum()):
            notes.append(
                f"{cut} of {len(vectors)} are longer than the model reads ({loaded.room} k-mers):"
                " theirs is the mean of pieces of equal length"
            )
        about: dict[str, Any] = {
            "model": {
                "path": str(loaded.path),
                "fingerprint": fingerprint_of(loaded),
                "name": loaded.spec.name,
                "k": loaded.spec.k,
            },
            "pool": how,
            "source": source,
            "window": window,
            "notes": notes,
        }
        if store is not None:
            about |= {"store": opened.fingerprint, "assembly": str(opened.info.assembly)}
        if compared is not None:
            about["neighbours"] = {"by": by, "k": NEAREST, **compared._asdict()}
        for note in notes:
            say(note)
        if target is None:
            return Embedding(columns, about, vectors, neighbours=compared)
        files = write_vectors(target, vectors, columns, about)
    return Embedding(columns, about, files=files, neighbours=compared)


def fingerprint_of(model: Loaded) -> str:
    """Digest of a model's weights by name, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(unique_tensors(model.model).items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:16]


def _check_call(
    sequences: Any,
    out: str | Path | None,
    store: Any,
    cells: Sequence[str],
    specific: bool,
    by: str | None,
    batch_size: int,
) -> None:
    if (sequences is None) == (store is None):
        raise UsageError(
            "one thing is embedded at a time",
            found="nothing" if store is None else "sequences and a store",
            expected="--fasta, --bed with --genome, or --store",
        )
    if store is None and (cells or specific):
        raise UsageError(
            "cell types are those of a store",
            where="--cells" if cells else "--specific",
            do="Pass --store, or leave it out.",
        )
    if batch_size < 1:
        raise UsageError("impossible value", where="--batch-size", found=batch_size, expected="1")
    labels = ("name", "chrom") if store is None else ("cell_type", "chrom")
    if by not in (None, *labels):
        raise UsageError("no such column", where="--by", found=by, do=nearest(str(by), labels))
    if out is not None:
        check_ending(out)


def _of_sequences(
    model: Loaded,
    sequences: Any,
    genome: Any,
    window: int | None,
    how: Pool,
    batch_size: int,
    notes: list[str],
) -> Iterator[Block]:
    """Blocks of sequences in the order they come."""
    k = model.spec.k
    if reads_of_cell(model) == "states":
        notes.append("the model reads chromatin states and sequences have none: all are unknown")
    for rows, names in sequence_blocks(sequences, genome, window, notes):
        if rows.lengths.min() < k:
            row = int(rows.lengths.argmin())
            raise InputError(
                "the sequence is shorter than one k-mer",
                where=str(rows.origin[row]),
                found=f"{rows.lengths[row]} bp",
                expected=f"at least {k} bp",
            )
        codes = [line[:n] for line, n in zip(rows.codes, rows.lengths)]
        tokens = (rows.lengths - k) // model.spec.stride + 1
        yield Block(
            model.embed(codes, pooling=how, batch_size=batch_size),
            {
                "name": list(names),
                "chrom": rows.chrom.tolist(),
                "start": rows.start.tolist(),
                "end": np.where(rows.start >= 0, rows.start + rows.lengths, -1).tolist(),
                "pieces": (-(-tokens // model.room)).tolist(),
            },
        )


def _of_store(
    model: Loaded,
    store: Store,
    cells: tuple[str, ...],
    specific: bool,
    window: int | None,
    how: Pool,
    batch_size: int,
    notes: list[str],
) -> Iterator[Block]:
    """Blocks of a store's regions: cell type after cell type where the model reads them."""
    reads = reads_of_cell(model)
    _check_store(model, store, reads)
    wanted = [store.cell_number(cell) for cell in cells] or list(range(len(store.cell_types)))
    if reads == "states":
        assert store.states is not None
        have = [cell for cell in wanted if store.states.rows[cell] >= 0]
        if without := [store.cell_types[cell] for cell in wanted if cell not in have]:
            notes.append(f"no track of states, left out: {', '.join(without)}")
        if not have:
            raise InputError("none of the cell types has a track of states", where=str(store.path))
        wanted = have
    access = np.stack([store.accessible(cell) for cell in wanted], 1)  # (R, cells)
    count = access.sum(1)
    kept = (count == 1) if specific else (count > 0 if cells else np.ones(len(count), bool))
    chroms = store.regions["chrom"].astype(np.int64)
    starts = store.regions["start"].astype(np.int64)
    ends = store.regions["end"].astype(np.int64)
    if window is not None:
        if window < 1:
            raise UsageError("impossible value", where="--window", found=window, expected="1 bp")
        starts = (starts + ends) // 2 - window // 2
        ends = starts + window
    if short := int((kept & (tokens_of(model, ends - starts) < 1)).sum()):
        notes.append(f"{short} regions are shorter than one k-mer of {model.spec.k}: left out")
        kept &= tokens_of(model, ends - starts) > 0
    pieces = pieces_of(model, ends - starts)
    vectors = PlaceVectors(model, store, how, batch_size)
    names = np.array(store.cell_types)
    only = np.where(count == 1, names[np.array(wanted)][access.argmax(1)], "")
    if not reads:
        notes.append(
            "the model reads no cell type: a vector a region, whose cell_type is named where it is"
            " accessible in one alone"
        )

    def blocks(rows: Ints, cell: int | None) -> Iterator[Block]:
        for at in range(0, len(rows), BLOCK):
            here = rows[at : at + BLOCK]
            numbers = np.full(len(here), 0 if cell is None else cell, np.int64)
            label = only[here].tolist() if cell is None else [store.cell_types[cell]] * len(here)
            yield Block(
                vectors(chroms[here], starts[here], ends[here], numbers),
                {
                    "name": [f"region {row}" for row in here.tolist()],
                    "chrom": [store.chroms[c] for c in chroms[here]],
                    "start": starts[here].tolist(),
                    "end": ends[here].tolist(),
                    "pieces": pieces[here].tolist(),
                    "cell_type": label,
                    "cells": count[here].tolist(),
                },
            )

    if not reads:
        yield from blocks(np.flatnonzero(kept), None)
        return
    for column, cell in enumerate(wanted):
        yield from blocks(np.flatnonzero(kept & access[:, column]), cell)


def _check_store(model: Loaded, store: Store, reads: str) -> None:
    """Refuse a store of another genome, other states or other cell types.

    Raises
    ------
    CheckpointError, StoreError
    """
    where, extra = str(model.path), model.extra
    check_assembly(store, extra, where)
    if reads == "states":
        if store.states is None:
            raise InputError(
                "the model reads chromatin states and the store has none",
                where=str(store.path),
                do="Build it with --states, or take a model of DNA alone.",
            )
        check_states(extra.get("state_names"), extra.get("state_bin"), store, where, "of the model")
    known = list(extra.get("cell_types") or store.cell_types)
    if reads == "vector" and known != list(store.cell_types):
        raise CheckpointError(
            "the model has vectors of other cell types than the store's",
            where=where,
            found=", ".join(store.cell_types[:5]),
            expected=", ".join(known[:5]),
            do="Embed the store that it was trained on.",
        )


def _compare(
    vectors: NDArray[np.float32],
    columns: dict[str, list[Any]],
    by: str | None,
    notes: list[str],
) -> Neighbours | None:
    """Neighbours by the labels of a column; None where there are none to compare."""
    if by is None:
        return None
    labels = np.array(columns[by]).astype(str)
    rows = np.flatnonzero((labels != "") & (labels != "."))
    if len(rows) > MOST_COMPARED:
        notes.append(f"neighbours are those of {MOST_COMPARED} of {len(rows)} labelled vectors")
        rows = same_sample(rows, MOST_COMPARED, 0, _SAMPLE)
    if len(rows) < 3 or len(np.unique(labels[rows])) < 2:
        notes.append(f"fewer than two labels of {by}: no neighbours are compared")
        return None
    return neighbours(vectors[rows], labels[rows], NEAREST)
