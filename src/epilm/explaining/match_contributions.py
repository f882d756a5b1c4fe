"""What GeneBERT's matching of sequences with their factor matrix hangs on.

A sample is ten regions of one cell type; its score is the cosine of the two projected embeddings.
Put out in turn: a region's sequence, a region's row of the matrix, a factor's column, and of the
strongest factors each single entry. An entry that is put out is 0, the factor's mean.
Axes: C changed matrices, R regions, F factors, D of the projection.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from epilm.batch import Batch
from epilm.batches import BatchMaker
from epilm.device import choose_place
from epilm.errors import CheckpointError, UsageError
from epilm.explaining.contributions import Contributions
from epilm.explaining.explain_options import ExplainOptions
from epilm.explaining.frames import Region, read_regions
from epilm.hub.load import Loaded, load
from epilm.models.genebert import GeneBERT
from epilm.objectives.table import ObjectivesSpec
from epilm.recipes.recipe import from_dict
from epilm.store.identity import check_assembly
from epilm.store.reader import Store
from epilm.tasks.reference import StoreReference

STRONGEST = 5  # factors whose single entries are put out
OUTPUT = "matching (cosine)"


class Removed(NamedTuple):
    """Something that is put out.

    Attributes
    ----------
    stream : {"sequences", "regions", "factors", "entries"}
    name : str
    first, last : int
        The regions of the sample that it lies in.
    """

    stream: str
    name: str
    first: int
    last: int


def explain_matching(
    path: str | Path, asked: ExplainOptions, out: str | Path | None, say: Callable[[str], None]
) -> Contributions:
    """Say which regions and factors a pre-trained GeneBERT's matching hangs on.

    Parameters
    ----------
    path : path
        A pre-trained run with a region tower.
    asked : ExplainOptions
        `store`, `cell` and `regions`; `batch_size` is the number of changed matrices at a time.
    out : path, optional
        Folder to make.
    say : callable

    Returns
    -------
    Contributions
        For each asked region that lies in a sample of the cell type, of that sample.

    Raises
    ------
    UsageError, CheckpointError, StoreError, InputError
    """
    where = str(path)
    loaded = load(path)
    model = loaded.model
    if not isinstance(model, GeneBERT) or model.tower is None or model.seq_projection is None:
        raise UsageError(
            "the model matches no factor matrix: it reads sequences alone",
            where=where,
            found="--method inputs with --store",
            do="Give a run of GeneBERT, a fine-tuned model that reads states or signals, or"
            " --method ism with --genome.",
        )
    if asked.regions is None or asked.store is None or asked.cell is None:
        raise UsageError(
            "a sample is ten neighbouring regions of a store that are open in one cell type",
            where=where,
            do="Give --regions BED, --store and --cell.",
        )
    store = Store.open(asked.store)
    maker = _maker(loaded, store, where)
    model = model.to(choose_place(asked.device, "fp32").device).eval()
    cell = store.cell_number(asked.cell)
    regions = read_regions(asked.regions, StoreReference(store))
    rows: list[tuple[Any, ...]] = []
    without: list[str] = []
    for region in regions:
        row = _sample_of(region, maker, store, cell)
        if row is None:
            without.append(region.name)
            continue
        rows += _rows_of(region, model, maker, row, asked.batch_size)
    notes = []
    if without:
        notes.append(
            f"in no sample of {asked.cell} and left out: {len(without)} of {len(regions)} regions"
            f" ({', '.join(without[:5])})"
        )
        say(notes[-1])
    if not rows:
        raise UsageError(
            f"none of the regions lies in a sample of {asked.cell}",
            where=str(asked.regions),
            found=f"{len(regions)} regions, {len(maker)} samples in all cell types",
            do="Give places that are open in that cell type (`epilm inspect STORE`).",
        )
    about = {"model": where, "output": OUTPUT, "regions": len(regions) - len(without)}
    done = Contributions(rows, about, notes)
    if out is not None:
        done.write(out, overwrite=asked.overwrite)
    return done


def _maker(loaded: Loaded, store: Store, where: str) -> BatchMaker:
    """Samples as the model learned from them, nothing masked, nothing held out."""
    check_assembly(store, loaded.extra, where)
    recipe = from_dict(loaded.extra["recipe"])
    off = {name: replace(spec, weight=0.0) for name, spec in recipe.objectives.parts().items()}
    samples = replace(recipe.samples, holdout_chroms=(), holdout_cells=())
    maker = BatchMaker(store, loaded.spec, ObjectivesSpec(**off), samples, seed=0, subset="all")
    known = list(loaded.extra.get("factor_ids") or maker.factor_ids)
    statistics = tuple(loaded.extra.get("factor_statistics") or maker.statistics)
    for what, mine, theirs in (
        ("motifs", list(maker.factor_ids), known),
        ("statistics", list(maker.statistics), list(statistics)),
    ):
        if mine != theirs:
            raise CheckpointError(
                f"the factor matrix of the store has other {what} than the model learned",
                where=where,
                found=f"{len(mine)} ({', '.join(mine[:3])}, ...) in {store.path}",
                expected=f"{len(theirs)} ({', '.join(theirs[:3])}, ...), in that order",
                do="Give the store that the model was trained on, or one built as it was.",
            )
    return maker


def _sample_of(region: Region, maker: BatchMaker, store: Store, cell: int) -> int | None:
    """Row of the sample that shares most bases with a region; of equal ones the first."""
    chrom = store.chroms.index(region.chrom)
    rows = np.flatnonzero(maker.table.cells == cell)
    members = maker.table.regions[rows]  # (samples, R)
    spots = store.regions[members.clip(min=0)]
    shared = np.minimum(spots["end"].astype(np.int64), region.end) - np.maximum(
        spots["start"].astype(np.int64), region.start
    )
    shared[(spots["chrom"] != chrom) | (members < 0)] = 0
    total = shared.clip(min=0).sum(1)
    return int(rows[total.argmax()]) if len(rows) and total.max() > 0 else None


@torch.inference_mode()
def _rows_of(
    region: Region, model: GeneBERT, maker: BatchMaker, row: int, size: int
) -> Iterator[tuple[Any, ...]]:
    """Lines of one sample."""
    store = maker.store
    device = next(model.parameters()).device
    batch = maker(np.array([row]), 0).to(device)
    assert batch.factors is not None
    there = [int(r) for r in maker.table.regions[row] if r >= 0]
    spots = [store.regions[r] for r in there]
    chrom = store.chroms[int(spots[0]["chrom"])]
    spans = [(int(spot["start"]), int(spot["end"])) for spot in spots]
    names = [f"{chrom}:{start}-{end}" for start, end in spans]
    sequence, matrix = model.encode_matching(batch)  # (1, D) each
    whole = float(cosine_similarity(sequence, matrix))

    lines = []
    if model.layout == "per_region" and len(there) > 1:
        for at, name in enumerate(names):
            value = _without_sequence(model, batch, matrix, at)
            lines.append((Removed("sequences", name, at, at), value))
    known = {str(motif["id"]): str(motif.get("name") or motif["id"]) for motif in store.motifs}
    columns = [known[str(factor)] for factor in maker.factor_ids]
    parts = [Removed("regions", name, at, at) for at, name in enumerate(names)]
    entries: list[tuple[int | None, int | None]] = [(at, None) for at in range(len(names))]
    last = len(names) - 1
    parts += [Removed("factors", name, 0, last) for name in columns]
    entries += [(None, number) for number in range(len(columns))]
    said = _without_entries(model, batch, sequence, entries, size)
    lines += list(zip(parts, said, strict=True))
    of_factors = [whole - value for value in said[len(names) :]]
    strongest = sorted(range(len(columns)), key=lambda n: -abs(of_factors[n]))[:STRONGEST]
    some = [(at, number) for number in strongest for at in range(len(names))]
    single = _without_entries(model, batch, sequence, some, size)
    for (at, number), value in zip(some, single, strict=True):
        lines.append((Removed("entries", f"{columns[number]} in {names[at]}", at, at), value))
    for removed, value in lines:
        interval = (chrom, spans[removed.first][0], spans[removed.last][1])
        yield (region.name, removed.stream, removed.name, *interval, whole, whole - value)


def _without_sequence(model: GeneBERT, batch: Batch, matrix: Tensor, at: int) -> float:
    """The score where the mean over sequences leaves one out, and the matrix stays whole."""
    regions = batch.regions.clone()
    regions[:, at] = -1
    sequence = model.encode_contrasts(replace(batch, regions=regions)).seq_embedding
    assert sequence is not None
    return float(cosine_similarity(sequence, matrix))


def _without_entries(
    model: GeneBERT,
    batch: Batch,
    sequence: Tensor,
    entries: Sequence[tuple[int | None, int | None]],
    size: int,
) -> list[float]:
    """Scores with rows, columns or single entries of the matrix at 0, `size` at a time."""
    assert batch.factors is not None
    assert model.tower is not None
    assert model.region_projection is not None
    out: list[float] = []
    for begin in range(0, len(entries), size):
        chunk = entries[begin : begin + size]
        factors = batch.factors.expand(len(chunk), *batch.factors.shape[1:]).clone()  # (C, R, F)
        for changed, (at, number) in zip(factors, chunk, strict=True):
            rows = slice(None) if at is None else at
            changed[rows, slice(None) if number is None else number] = 0
        regions = batch.regions.expand(len(chunk), -1)
        many = replace(batch, factors=factors, regions=regions)
        matrix = model.region_projection(model.tower(model.matrix(many), regions >= 0))  # (C, D)
        out += cosine_similarity(sequence.expand(len(chunk), -1), matrix).tolist()
    return out
