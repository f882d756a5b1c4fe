"""Is this sequence a promoter: the labelled files that exist, and sets made from TSS.

Offsets count from the transcription start (TSS = 0, no gap): prom-300 is -249..+50,
prom-core its 70 bp -34..+35, on the strand of the gene. Negatives of promoters without
TATA box are the promoter with 12 of its 20 parts replaced (DeePromoter); those of TATA
promoters are genomic windows that hold a TATA box and lie outside promoters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError, UsageError, nearest
from epilm.tasks import sequences
from epilm.tasks.base import LabelledSequences, check_classes, concatenate, labelled
from epilm.tasks.reference import open_reference
from epilm.tasks.sequence_task import SequenceEvaluateOptions, SequenceOptions, SequenceTask

Codes = NDArray[np.uint8]
Window = Literal["core", "300"]
Negatives = Literal["auto", "deepromoter", "tata", "genomic"]

# First and last base of a window, counted from the TSS.
WINDOWS: dict[str, tuple[int, int]] = {"core": (-34, 35), "300": (-249, 50)}
# TATAWA, W = A or T, in codes: the box that starts 20 to 40 bp upstream of the TSS.
_TATA = [(3,), (0,), (3,), (0,), (0, 3), (0,)]
_TATA_FROM, _TATA_TO = -40, -20


@dataclass(frozen=True)
class PromoterData:
    """How promoters and their negatives are made."""

    negatives: Negatives = field(default="auto", metadata={"data": True})
    """How negatives are made: tata, deepromoter, genomic, or auto (A22)."""
    window: Window = field(default="core", metadata={"data": True})
    """core (70 bp) or 300."""
    kind: Literal["all", "tata", "notata"] = field(default="all", metadata={"data": True})
    """Which promoters are kept, by their TATA box."""


@dataclass(frozen=True)
class PromoterOptions(PromoterData, SequenceOptions):
    """All that `epilm finetune promoter` can be told."""

    both_strands: bool = field(default=False, metadata={"stranded": True})
    """Learn from either strand and answer with the mean of both; a promoter lies on one."""


@dataclass(frozen=True)
class PromoterEvaluateOptions(PromoterData, SequenceEvaluateOptions):
    """Which promoters are scored."""


def core_of_300(codes: Codes) -> Codes:
    """Cut prom-core, -34..+35, from prom-300, -249..+50.

    Parameters
    ----------
    codes : (..., 300)

    Returns
    -------
    (..., 70)
        Bases 215 to 284 (0-based); the TSS, base 249, is base 34 of it.

    Examples
    --------
    >>> core = core_of_300(np.arange(300))
    >>> len(core), int(core[0]) - 249, int(core[-1]) - 249, int(core[34])
    (70, -34, 35, 249)
    """
    return codes[..., 215:285]


def window_of(tss: int, strand: str, first: int, last: int) -> tuple[int, int]:
    """Give the genomic interval of offsets first..last around a TSS.

    Parameters
    ----------
    tss : int
        0-based position.
    strand : {"+", "-"}
    first, last : int
        Offsets of the first and the last base, counted along the gene.

    Returns
    -------
    start, end : int
        0-based, half-open, on the forward strand.

    Examples
    --------
    >>> window_of(1000, "+", -34, 35), window_of(1000, "-", -34, 35)
    ((966, 1036), (965, 1035))
    """
    return (tss + first, tss + last + 1) if strand == "+" else (tss - last, tss - first + 1)


def substitute_parts(codes: Codes, seed: int, parts: int = 20, replaced: int = 12) -> Codes:
    """Make DeePromoter's negative: replace 12 of 20 equal parts by random bases.

    Parameters
    ----------
    codes : uint8 (N, W)
        W a multiple of `parts` (prom-core, 70 bp, is cut afterwards).
    seed : int
        Row r draws from (seed, r) alone.
    parts, replaced : int

    Returns
    -------
    uint8 (N, W)
        The parts kept stay in their place; on average 45 % of bases change.

    References
    ----------
    Oubounyt M et al. DeePromoter. Front Genet 2019; 10:286.

    Examples
    --------
    >>> out = substitute_parts(np.full((1, 300), 4, np.uint8), seed=0)
    >>> int((out == 4).sum())
    120
    """
    rows, width = codes.shape
    if width % parts:
        raise ValueError(f"{width} bases cannot be cut in {parts} equal parts")
    out = codes.reshape(rows, parts, width // parts).copy()
    for row in range(rows):
        generator = np.random.default_rng([seed, 0xDEE9, row])
        chosen = generator.permutation(parts)[:replaced]
        out[row, chosen] = generator.integers(0, 4, (replaced, width // parts), dtype=np.uint8)
    return out.reshape(rows, width)


def tata_starts(codes: Codes) -> NDArray[np.int64]:
    """Find where TATAWA starts.

    Examples
    --------
    >>> from epilm.tasks.base import encode_text
    >>> tata_starts(encode_text("GGTATAAAGG", "here")).tolist()
    [2]
    """
    width = len(codes) - len(_TATA) + 1
    if width < 1:
        return np.zeros(0, np.int64)
    hit = np.ones(width, bool)
    for offset, letters in enumerate(_TATA):
        hit &= np.isin(codes[offset : offset + width], letters)
    return np.flatnonzero(hit)


def has_tata(promoters: Codes, tss_at: int) -> NDArray[np.bool_]:
    """Say which promoters have TATAWA starting 40 to 20 bp upstream of base `tss_at`."""
    out = np.zeros(len(promoters), bool)
    for row, codes in enumerate(promoters):
        at = tata_starts(codes) - tss_at
        out[row] = bool(((at >= _TATA_FROM) & (at <= _TATA_TO)).any())
    return out


def load(
    data: str | Path,
    *,
    genome: Any = None,
    negative: str | Path | None = None,
    negatives: Negatives = "auto",
    window: Window = "core",
    kind: Literal["all", "tata", "notata"] = "all",
    seed: int = 0,
) -> LabelledSequences:
    """Read or make a promoter set.

    Parameters
    ----------
    data : path
        One of: a DNABERT table or folder of tables; FASTA of promoters (with `negative`);
        EPD TSS as BED (with `genome`); prom-300 sequences, one a line or FASTA, without
        `negative` (negatives are made by substitution).
    genome : path or Genome, optional
        For TSS in BED.
    negative : path, optional
        FASTA of non-promoters.
    negatives : {"auto", "deepromoter", "tata", "genomic"}
        How negatives are made: "auto" takes "tata" for promoters with a TATA box and "deepromoter"
        for the others; "genomic" draws random windows outside promoters.
    window : {"core", "300"}
        70 or 300 bp.
    kind : {"all", "tata", "notata"}
        Which promoters are kept, by TATAWA starting 40 to 20 bp upstream (EPD's own flag is not in
        its BED).
    seed : int

    Returns
    -------
    LabelledSequences
        One negative a promoter; label 1 = promoter.

    Raises
    ------
    InputError
        Naming file and line.
    """
    if window not in WINDOWS:
        raise UsageError("unknown window", found=window, do=nearest(window, WINDOWS))
    if negatives not in get_args(Negatives):
        raise UsageError(
            "unknown negatives", found=negatives, do=nearest(negatives, get_args(Negatives))
        )
    path = Path(data)
    name = path.name.removesuffix(".gz")
    if name.endswith((".bed", ".narrowPeak")):
        if genome is None:
            raise InputError(
                "TSS need the genome they lie on", where=str(path), do="Pass --genome FASTA."
            )
        return check_classes(_from_tss(path, genome, negatives, window, kind, seed), str(path))
    if path.is_dir() or negative is not None or sequences.looks_like_table(path):
        return sequences.load(data, negative=negative)
    return check_classes(_from_300(path, negatives, window, kind, seed), str(path))


def _from_300(path: Path, negatives: str, window: str, kind: str, seed: int) -> LabelledSequences:
    """Promoters of 300 bp as sequences: negatives can only be made of themselves."""
    if negatives in ("tata", "genomic"):
        raise UsageError(
            f"negatives {negatives!r} are cut from a genome",
            where=str(path),
            do="Give TSS as BED with --genome, or --negatives deepromoter.",
        )
    rows = sequences.records_to_rows(sequences.read_records(path), path, 1)
    if (rows.lengths != 300).any():
        at = int(np.flatnonzero(rows.lengths != 300)[0])
        raise InputError(
            "the promoter is not 300 bp (-249..+50) long",
            where=str(rows.origin[at]),
            found=f"{rows.lengths[at]} bp",
            expected="300 bp",
            do="Give the non-promoters too with --negative FASTA, then any length is read.",
        )
    chosen = _of_kind(rows.codes, 249, kind)
    if not chosen.any():
        raise InputError("no promoter of this kind", where=str(path), found=kind)
    rows = rows.take(chosen)
    made = substitute_parts(rows.codes, seed)
    twins = np.arange(len(rows))  # a negative keeps 8 of the 20 parts of its promoter
    cut = core_of_300 if window == "core" else (lambda codes: codes)
    return concatenate(
        [
            labelled(list(cut(rows.codes)), np.ones(len(rows)), origin=rows.origin, family=twins),
            labelled(
                list(cut(made)),
                np.zeros(len(rows)),
                origin=[f"substituted {o}" for o in rows.origin],
                family=twins,
            ),
        ],
        name=rows.name,
    )


def _from_tss(
    path: Path, genome: Any, negatives: str, window: str, kind: str, seed: int
) -> LabelledSequences:
    from epilm.genome.annotation import read_tss
    from epilm.genome.intervals import check_names

    genome = open_reference(genome)
    table = read_tss(path)
    unknown = check_names(table["chrom"], genome.sizes, str(path))
    tss_at = table["start"].to_numpy(np.int64)
    chrom, strand = table["chrom"].astype(str).to_numpy(), table["strand"].astype(str).to_numpy()
    kept, windows, notes = [], [], []
    lost = {"on a chromosome the genome lacks": 0, "over the end of the chromosome": 0, "with N": 0}
    for name in dict.fromkeys(chrom.tolist()):
        here = np.flatnonzero(chrom == name)
        if name in unknown:
            lost["on a chromosome the genome lacks"] += len(here)
            continue
        codes = genome.codes(name)
        for row in here:
            start, end = window_of(int(tss_at[row]), strand[row], *WINDOWS["300"])
            if start < 0 or end > len(codes):
                lost["over the end of the chromosome"] += 1
            elif (piece := codes[start:end]).max() > 3:
                lost["with N"] += 1
            else:
                kept.append(row)
                windows.append(piece if strand[row] == "+" else _reverse(piece))
    notes += [f"{count} TSS {why} left out" for why, count in lost.items() if count]
    if not kept:
        raise InputError(
            "no TSS has a usable window",
            where=str(path),
            found="; ".join(notes) or "0 TSS",
            do="Check that TSS and genome are of one assembly.",
        )
    promoters, rows = np.stack(windows), np.array(kept)
    chosen = _of_kind(promoters, 249, kind)
    if not chosen.any():
        raise InputError("no promoter of this kind", where=str(path), found=kind)
    promoters, rows = promoters[chosen], rows[chosen]
    boxed = has_tata(promoters, 249)
    way = (
        np.where(boxed, "tata", "deepromoter")
        if negatives == "auto"
        else np.full(len(rows), negatives)
    )

    first, last = WINDOWS[window]
    cut = core_of_300 if window == "core" else (lambda codes: codes)
    starts = [window_of(int(tss_at[r]), strand[r], first, last)[0] for r in rows]
    places = [f"TSS {chrom[r]}:{tss_at[r]}{strand[r]} ({path.name})" for r in rows]
    made = way == "deepromoter"
    parts = [
        labelled(
            list(cut(promoters)),
            np.ones(len(rows)),
            chrom=chrom[rows],
            start=starts,
            origin=places,
            family=np.where(made, np.arange(len(rows)), -1),
        )
    ]
    if made.any():
        parts.append(
            labelled(
                list(cut(substitute_parts(promoters, seed)[made])),
                np.zeros(int(made.sum())),
                chrom=chrom[rows][made],
                start=np.array(starts)[made],
                origin=[f"substituted {p}" for p in np.array(places)[made]],
                family=np.flatnonzero(made),
            )
        )
    for each in ("tata", "genomic"):
        if (way == each).any():
            wanted = chrom[rows][way == each]
            parts.append(
                _genomic(
                    genome,
                    wanted,
                    tss_at,
                    strand,
                    chrom,
                    first,
                    last,
                    each == "tata",
                    seed,
                    str(path),
                )
            )
    notes.append(
        f"{int(boxed.sum())} of {len(rows)} promoters have a TATA box (TATAWA 40 to 20 bp upstream)"
    )
    return concatenate(
        [
            labelled(
                list(p.codes[:, : last - first + 1]),
                p.labels,
                chrom=p.chrom,
                start=p.start,
                origin=p.origin,
                notes=notes,
                family=p.family,
            )
            for p in parts
        ],
        name=path.name.removesuffix(".gz").rsplit(".", 1)[0],
    )


def _genomic(
    genome: Any,
    wanted: Sequence[str],
    tss: NDArray[np.int64],
    strand: NDArray[Any],
    chrom: NDArray[Any],
    first: int,
    last: int,
    box: bool,
    seed: int,
    where: str,
) -> LabelledSequences:
    """Windows outside promoters, as many on each chromosome as wanted; with a TATA box near -25 if
    `box`.

    Outside: no base between 250 bp before and 50 bp after any TSS, and not in a gap of
    500 bp or less between two promoters. The box starts at -34..-15: -25 shifted by 0 to 19 bp.
    """
    width = last - first + 1
    pieces, chroms, starts, origins = [], [], [], []
    for name in dict.fromkeys(wanted):
        codes = genome.codes(name)
        need = int(np.sum(np.asarray(wanted) == name))
        free = np.zeros(len(codes) + 1, bool)
        free[:-1] = codes < 4
        here = chrom == name
        spans = sorted(window_of(int(t), s, -250, 50) for t, s in zip(tss[here], strand[here]))
        reach = -(10**9)
        for a, b in spans:
            free[max(0, reach if a - reach <= 500 else a) : b] = False
            reach = max(reach, b)
        blocked = np.concatenate([[0], np.cumsum(~free[:-1])])
        generator = np.random.default_rng([seed, 0x6E0E, *name.encode()])
        for way in ("+", "-"):
            if box:
                sought = codes if way == "+" else _reverse(codes)
                at = tata_starts(sought)
                shift = generator.integers(-34, -14, len(at))
                begin = at - shift + first  # the window along its own strand
                begin = begin if way == "+" else len(codes) - begin - width
            else:
                begin = generator.integers(0, max(1, len(codes) - width), 40 * need + 1000)
            begin = begin[(begin >= 0) & (begin + width <= len(codes))]
            begin = np.unique(begin[blocked[begin + width] == blocked[begin]])
            share = need // 2 if way == "+" else need - need // 2
            if len(begin) < share:
                raise InputError(
                    "too few genomic windows for negatives",
                    where=where,
                    found=f"{len(begin)} on the {way} strand of {name}",
                    expected=f"{share}",
                    do="Use --negatives deepromoter.",
                )
            for start in generator.choice(begin, share, replace=False):
                piece = codes[start : start + width]
                pieces.append(piece if way == "+" else _reverse(piece))
                chroms.append(name)
                starts.append(int(start))
                origins.append(
                    f"{'TATA window' if box else 'window'} {name}:{start}-{start + width}{way}"
                )
    return labelled(pieces, np.zeros(len(pieces)), chrom=chroms, start=starts, origin=origins)


def _of_kind(promoters: Codes, tss_at: int, kind: str) -> NDArray[np.bool_]:
    if kind not in ("all", "tata", "notata"):
        raise UsageError("unknown kind", found=kind, do=nearest(kind, ("all", "tata", "notata")))
    if kind == "all":
        return np.ones(len(promoters), bool)
    boxed = has_tata(promoters, tss_at)
    return boxed if kind == "tata" else ~boxed


def _reverse(codes: Codes) -> Codes:
    return np.array([3, 2, 1, 0, 4], np.uint8)[codes[::-1]]


TASK = SequenceTask(
    "promoter",
    load,
    ("other", "promoter"),
    "Promoter or not, 70 bp around the TSS (or 300).",
    "DNABERT table or folder, FASTA with --negative, EPD BED with --genome, 300 bp sequences",
    options=PromoterOptions,
    evaluating=PromoterEvaluateOptions,
    audited=True,
)
