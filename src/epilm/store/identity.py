"""Is this the genome, and are these the states, that a model was made with? Asked on every road.

A model knows chromosomes, regions, motifs and states by number; in another store the same numbers
mean other things. What a checkpoint or a run keeps of its store (`identity_of`) is held against the
store that is given.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from epilm.errors import CheckpointError
from epilm.store.reader import Store

MOST = 512  # chromosomes that are kept, the longest ones
# Names of one genome.
SAME = (
    {"hg19", "grch37", "b37", "hs37d5"},
    {"hg38", "grch38"},
    {"mm10", "grcm38"},
    {"mm39", "grcm39"},
)


def identity_of(store: Store) -> dict[str, Any]:
    """Give what a model keeps of the store it was made with; JSON values."""
    longest = sorted(zip(store.sizes, store.chroms, strict=True), reverse=True)[:MOST]
    return {
        "store": store.fingerprint,
        "assembly": store.info.assembly,
        "chrom_sizes": {name: int(size) for size, name in longest},
        "signal_scales": _scales(store),
    }


def _scales(store: Store) -> dict[str, str]:
    """Signals with a track of each cell type, and what their values were divided by."""
    signals = store.info.signals.items()
    return {n: one.get("scale", "none") for n, one in signals if one["cell_types"] is not None}


def check_assembly(
    store: Store, kept: Mapping[str, Any], where: str, *, meant: bool = False
) -> None:
    """Refuse a store of another genome than the one a model was made on.

    Parameters
    ----------
    store : Store
    kept : mapping
        What a checkpoint or run keeps (`identity_of`). One that keeps nothing passes.
    where : str
        Names the checkpoint or run.
    meant : bool
        The other genome is meant: nothing is refused.

    Raises
    ------
    CheckpointError
        If a chromosome of one name has two lengths; or, where lengths were not kept, the two names
        are those of different genomes.
    """
    if meant:
        return
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    known = dict(kept.get("chrom_sizes") or {})
    other = [name for name in known if name in sizes and int(sizes[name]) != int(known[name])]
    mine, theirs = str(store.info.assembly), str(kept.get("assembly") or "")
    differ = bool(other) or (not known and _two_genomes(mine, theirs))
    if not differ:
        return
    shown = f", {other[0]} of {int(sizes[other[0]]):,} bp" if other else ""
    wanted = f", {other[0]} of {int(known[other[0]]):,} bp" if other else ""
    raise CheckpointError(
        "the store is of another assembly than the one the model was made on",
        where=where,
        found=f"{mine}{shown} ({store.path})",
        expected=f"{theirs or 'that of its own store'}{wanted}",
        do=(
            "Give a store of that assembly. Where another genome is meant (another species),"
            " --other-assembly says so."
        ),
    )


def check_states(
    names: Any, width: Any, store: Store, where: str, what: str = "the model was made with"
) -> None:
    """Refuse a store whose chromatin states are others: number i must mean the same state.

    Parameters
    ----------
    names : sequence of str, width : int
        Of the model's segmentation; without names nothing is known, and nothing refused.

    Raises
    ------
    CheckpointError
    """
    if store.states is None or not names:
        return
    mine = tuple(store.states.names), int(store.states.bin)
    theirs = tuple(names), None if width is None else int(width)
    if mine != theirs:
        raise CheckpointError(
            f"the states of the store are not those {what}",
            where=where,
            found=(
                f"{len(mine[0])} states ({', '.join(mine[0][:3])}, ...) in bins of {mine[1]} bp"
                f" ({store.path})"
            ),
            expected=(
                f"{len(theirs[0])} ({', '.join(theirs[0][:3])}, ...) in bins of {theirs[1]} bp"
            ),
            do="Build the store with the same segmentation (--states).",
        )


def check_scales(kept: Mapping[str, Any], signals: Iterable[str], store: Store, where: str) -> None:
    """Refuse a store whose signals were scaled in another way than those a model was made with.

    Parameters
    ----------
    kept : mapping
        What a checkpoint or run keeps (`identity_of`). One that keeps nothing passes.
    signals : iterable of str
        Those that the model reads.

    Raises
    ------
    CheckpointError
    """
    known, here = kept.get("signal_scales") or {}, _scales(store)
    for name in signals:
        if name in known and name in here and known[name] != here[name]:
            raise CheckpointError(
                f"the values of {name} are not scaled as those the model was made with",
                where=where,
                found=f"{here[name]} ({store.path})",
                expected=str(known[name]),
                do=f"Build the store with --signal-scale {name}={known[name]}.",
            )


def _two_genomes(one: str, other: str) -> bool:
    """Whether two names are known to be those of different genomes.

    Examples
    --------
    >>> _two_genomes("hg19", "GRCh37"), _two_genomes("hg19", "hg38"), _two_genomes("mine", "hg38")
    (False, True, False)
    """
    families = [
        next((n for n, names in enumerate(SAME) if name.lower() in names), None)
        for name in (one, other)
    ]
    return None not in families and families[0] != families[1]
