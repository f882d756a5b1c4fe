"""Score variants: every ALT of a file, as two whole haplotypes, on both strands.

Reading, windows, scorers, the null and writing meet here. A variant's numbers depend on its two
windows and the model, on nothing else: not on the batch, the order, the neighbours or the shard.
Axes: N alleles, D different haplotypes, S strands and shifts, C columns.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from epilm.atomic import locked
from epilm.errors import UsageError
from epilm.shards import digest, digest_of_weights, parse_shard
from epilm.tasks.reference import Reference, open_reference
from epilm.variants.haplotypes import (
    REASONS,
    Change,
    Checked,
    Windowing,
    check_alleles,
    make_pairs,
    reason_of_window,
)
from epilm.variants.null import Stratum, draw_null, percentile, strata_text, stratum_of
from epilm.variants.parts import Parts, digest_of_bases
from epilm.variants.passes import ON_CPU, ON_GPU
from epilm.variants.scorers import (
    PairScorer,
    PretrainedScorer,
    TaskScorer,
    Values,
    motifs_from,
)
from epilm.variants.variant_files import (
    TSV_ENDINGS,
    VCF_ENDINGS,
    Allele,
    VariantFile,
    kind_of,
    pysam_module,
    read_variants,
)
from epilm.variants.writing import Columns, write_scores

PIECE = 256  # haplotypes whose windows are in memory at a time
PARTS = 200  # at most so many parts of an unfinished run
MOTIF_WINDOW = 200  # bp, where motifs alone are asked for: what no motif reaches is not read
Say = Callable[[str], None]
# What follows the name of a score.
SIDES = {
    "ref": "of REF, mean over strands and shifts",
    "alt": "of ALT, mean over strands and shifts",
    "delta": "ALT less REF",
    "strands": "how far the two strands' deltas are apart",
}
OF_STRANDS = "_strands"


@dataclass(frozen=True)
class VariantScores:
    """What was scored.

    Attributes
    ----------
    alleles : list of Allele, length N
    changes : list of Change or None, length N
        Normalised; None where it could not be.
    reasons : list of str, length N
        "" where scored, else why not.
    values : dict of str to float64 (N,)
        NAME_ref, NAME_alt, NAME_delta and NAME_strands of a score of each haplotype, NAME and
        NAME_strands of a distance; with a null NAME_percentile; NaN where not scored.
    notes : tuple of str
        What a reader must know.
    """

    alleles: list[Allele]
    changes: list[Change | None]
    reasons: list[str]
    values: dict[str, Values]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.alleles)

    def counts(self) -> dict[str, int]:
        """Count alleles by reason; "scored" first."""
        return Checked(self.changes, self.reasons).counts()

    def text(self) -> str:
        """Lines to print."""
        counts = self.counts()
        lines = [f"{counts.pop('scored')} of {len(self)} alleles scored"]
        lines += [f"  {n} not scored, {reason}: {REASONS[reason]}" for reason, n in counts.items()]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


class StoreBases:
    """The genome of an open store.

    Parameters
    ----------
    store : Store
        Not on a GPU.
    """

    def __init__(self, store: Any) -> None:
        self.sizes = {str(c): int(n) for c, n in zip(store.chroms, store.sizes, strict=True)}
        self._first = dict(zip(self.sizes, store.offsets.tolist(), strict=True))
        self._genome = store.genome

    def codes(self, chrom: str) -> NDArray[np.uint8]:
        """Give the bases of a chromosome."""
        first = self._first[chrom]
        return np.asarray(self._genome[first : first + self.sizes[chrom]])


def score_variants(
    variants: str | Path,
    model: str | Path | None = None,
    genome: Any = None,
    out: str | Path | None = None,
    *,
    store: Any = None,
    cell: str | None = None,
    motifs: str | Path | None = None,
    window: int | None = None,
    shifts: Sequence[int] = (0,),
    grid: int = 1,
    scores: Sequence[str] | None = None,
    pooling: Literal["cls", "mean", "pooler"] | None = None,
    motif_columns: Literal["each", "largest"] = "each",
    null: int = 0,
    null_seed: int = 0,
    batch_size: int = PIECE,
    shard: str | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    say: Say | None = None,
) -> Any:
    """Score every ALT of a file of variants.

    Parameters
    ----------
    variants : path
        VCF, BCF or a table; see `variants.records.read_variants`.
    model : path, optional
        A pre-trained run (`llr`, `l2`, `cosine`; `sites`, `sites_changed` where it learned motif
        sites) or a fine-tuned one (`logit_NAME`).
    genome : path, Genome or store, optional
        What REF is checked against and windows are cut from; with `store` its genome.
    out : path, optional
        .tsv, .tsv.gz, .vcf, .vcf.gz or .bcf. What is done of a run that was stopped lies beside it
        until it is whole: the same call goes on from there, and ends with the same bytes.
    store : path or Store, cell : str, optional
        For a model of binding: whose tracks, and in which cell type.
    motifs : path, optional
        Add the difference of each motif's best log-odds at the allele (`motif_NAME`).
    window : int, optional
        Bases of both haplotypes' windows. The widest a pre-trained model reads, and a binding
        model's own, where not given; other fine-tuned models: as wide as what they learned from.
    shifts : sequence of int
        Places of the variant's middle off the window's, in bp; the mean over them counts.
    grid : int
        Windows begin at multiples of so many bases, so that neighbouring variants share the window
        of REF and little of it is computed twice; 1: the variant is in the middle.
    scores : sequence of str, optional
        Which scores of a pre-trained model to compute; all that it gives where not given.
    pooling : {"cls", "mean", "pooler"}, optional
        Which vector of a pre-trained model `l2` and `cosine` are of; its own where not given.
    motif_columns : {"each", "largest"}
        A score a motif, or the motif whose score changes most (`motif_largest`) and the sum of all
        changes (`motifs_changed`).
    null : int
        Add to every delta and distance its percentile among so many matched random variants
        (`variants.null`), by size: 100 is larger than any of them.
    null_seed : int
        Which ones are drawn.
    batch_size : int
        Haplotypes whose windows are in memory at a time; changes no bit.
    shard : str, optional
        "i/N": the i-th of N parts of the work, written into the folder `out` (`epilm.merge` joins
        them). Where `out` is a table's or a VCF's name, or none: every N-th record from the i-th.
    device : {"auto", "cpu", "cuda", "mps"}
    say : callable, optional
        Takes lines of progress; standard error by default.

    Returns
    -------
    VariantScores
        Of a part `shards.PartWritten`.

    Raises
    ------
    InputError
        If a file cannot be read, or REF is not what the genome has in more than 1 % of alleles.
    UsageError, CheckpointError, StoreError

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "g.fa").write_text(">chr1\\n" + "ACGTTGCA" * 50 + "\\n")
    >>> _ = (folder / "v.tsv").write_text("chrom\\tpos\\tref\\talt\\nchr1\\t201\\tA\\tG,<DEL>\\n")
    >>> _ = (folder / "m.jaspar").write_text(
    ...     ">M1 x\\nA [ 9 0 0 0 ]\\nC [ 0 9 0 0 ]\\nG [ 0 0 9 0 ]\\nT [ 0 0 0 9 ]\\n"
    ... )
    >>> done = score_variants(folder / "v.tsv", genome=folder / "g.fa", motifs=folder / "m.jaspar")
    >>> done.reasons, bool(done.values["motif_x_delta"][0] < 0)
    (['', 'symbolic'], True)
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    given = {
        "variants": variants,
        "model": model,
        "genome": genome,
        "store": store,
        "cell": cell,
        "motifs": motifs,
        "window": window,
        "shifts": tuple(shifts),
        "grid": grid,
        "scores": scores,
        "pooling": pooling,
        "motif_columns": motif_columns,
        "null": null,
        "null_seed": null_seed,
        "batch_size": batch_size,
    }
    if shard is not None and out is not None and not names_scores(out):
        from epilm.variants.variant_shards import score_shard

        return score_shard(given, out, shard, device, say)
    scoring = prepare_scoring(**given, out=out, shard=shard, device=device)
    if out is None:
        return scoring.finish(scoring.score(None, say), None)
    with locked(out):
        parts = Parts(Path(out), scoring.asked())
        table = scoring.score(parts, say)
        done = scoring.finish(table, Path(out), parts.notes)
        parts.remove()
    return done


def prepare_scoring(
    *,
    variants: str | Path,
    model: str | Path | None,
    genome: Any,
    store: Any,
    cell: str | None,
    motifs: str | Path | None,
    window: int | None,
    shifts: Sequence[int],
    grid: int,
    scores: Sequence[str] | None,
    pooling: Any,
    motif_columns: str,
    null: int,
    null_seed: int,
    batch_size: int,
    out: Any = None,
    shard: str | None = None,
    device: Any = "auto",
) -> "Scoring":
    """Open and read all that is scored; see `score_variants`. `shard` divides the records of what
    is written at once as a table; parts are of the whole.
    """
    part = None if shard is None else parse_shard(shard)
    if out is not None and kind_of(Path(out), "scores") == "vcf":
        pysam_module()
    if model is None and motifs is None:
        raise UsageError("there is nothing to score with", do="Give --model, --motifs, or both.")
    opened = None
    if store is not None:
        from epilm.store.reader import Store

        if genome is not None:
            raise UsageError(
                "--genome and --store do not go together",
                do="Leave out --genome: the windows are cut from the store's genome.",
            )
        opened = store if isinstance(store, Store) else Store.open(store)
        genome = StoreBases(opened)
    if genome is None:
        raise UsageError("the genome of the variants is needed", do="Give --genome FASTA.")
    scorers = _open_scorers(model, opened, cell, motifs, scores, pooling, device, motif_columns)
    windowing = _windowing(scorers, window, shifts, grid, model)
    for name, value, least in (("null", null, 0), ("batch-size", batch_size, 1)):
        if value < least:
            raise UsageError(
                "impossible value", where=f"--{name}", found=value, expected=f"at least {least}"
            )
    file = read_variants(variants)
    reference = open_reference(genome)
    checked, alleles = check_alleles(file, file.alleles, reference), file.alleles
    if part is not None:
        rows = [n for n, each in enumerate(alleles) if part.has(each.record)]
        alleles = [file.alleles[row] for row in rows]
        checked = Checked(
            [checked.changes[row] for row in rows], [checked.reasons[row] for row in rows]
        )
    work = _plan(checked, reference, windowing, null, null_seed)
    return Scoring(
        scorers, windowing, file, reference, checked, alleles, work, null, opened, cell, batch_size
    )


def names_scores(out: Any) -> bool:
    """Whether a name is that of a file of scores.

    Examples
    --------
    >>> names_scores("scored.vcf.gz"), names_scores("parts")
    (True, False)
    """
    return str(out).lower().endswith((*VCF_ENDINGS, *TSV_ENDINGS))


def _open_scorers(
    model: str | Path | None,
    store: Any,
    cell: str | None,
    motifs: str | Path | None,
    scores: Sequence[str] | None,
    pooling: Any,
    device: Any,
    motif_columns: str,
) -> list[PairScorer]:
    scorers: list[PairScorer] = []
    if model is not None:
        scorers.append(_open_model(model, store, cell, scores, pooling, device))
    elif store is not None or cell is not None or scores or pooling:
        raise UsageError(
            "--store, --cell, --scores and --pooling are a model's", do="Give --model."
        )
    if motifs is not None:
        scorers.append(motifs_from(motifs, motif_columns == "largest"))
    elif motif_columns != "each":
        raise UsageError("--motif-columns is of motifs", do="Give --motifs.")
    return scorers


def _open_model(
    path: str | Path,
    store: Any,
    cell: str | None,
    scores: Sequence[str] | None,
    pooling: Any,
    device: Any,
) -> PairScorer:
    from epilm.device import choose_place
    from epilm.finetuning.finetuned import is_finetuned
    from epilm.finetuning.predict import open_scorer
    from epilm.hub.load import load

    if is_finetuned(path):
        if scores or pooling:
            raise UsageError(
                "--scores and --pooling are of a pre-trained model; a fine-tuned one has logits",
                where=str(path),
                found=", ".join(scores or [pooling]),
                do="Leave them out.",
            )
        return TaskScorer(open_scorer(path, both_strands=False, device=device), store, cell)
    loaded = load(path, device=choose_place(device, "fp32").device)
    if store is not None or cell is not None:
        raise UsageError(
            "a pre-trained model reads bases alone here",
            where=str(path),
            found="--store or --cell",
            do="Give --genome, and leave both out.",
        )
    return PretrainedScorer(loaded, scores, pooling)


def _windowing(
    scorers: Sequence[PairScorer],
    window: int | None,
    shifts: Sequence[int],
    grid: int,
    model: Any,
) -> Windowing:
    """The windows asked for, if a variant stays within them."""
    width = window_width(scorers, window, model)
    shifts = tuple(dict.fromkeys(int(shift) for shift in shifts)) or (0,)
    if not 1 <= grid <= width // 4:
        raise UsageError(
            "impossible value", where="--grid", found=grid, expected=f"1 to {width // 4}"
        )
    most = width // 4 - grid // 2
    if max(map(abs, shifts)) > most:
        raise UsageError(
            "a shift moves the variant to the window's edge",
            where="--shifts",
            found=max(shifts, key=abs),
            expected=f"at most {most} bp of a window of {width} bp",
        )
    return Windowing(width, shifts, grid)


def window_width(scorers: Sequence[PairScorer], window: int | None, model: Any) -> int:
    """Settle the windows' width between the models and the user.

    Parameters
    ----------
    scorers : sequence of PairScorer
    window : int or None
        Asked for, in bp.
    model : path or None
        For messages.

    Raises
    ------
    UsageError
        If the models cannot read it, or none says how wide and nobody asks.
    """
    own = next((scorer.width for scorer in scorers if scorer.width is not None), None)
    widest = min((s.widest for s in scorers if s.widest is not None), default=None)
    if own is not None:
        if window not in (None, own):
            raise UsageError(
                "the model reads windows of one width",
                where="--window",
                found=window,
                expected=own,
            )
        return own
    if window is None and any(isinstance(scorer, TaskScorer) for scorer in scorers):
        raise UsageError(
            "the model does not say how wide a sequence it expects",
            where=str(model),
            do="Give --window: the width of the sequences it learned from.",
        )
    width = window if window is not None else widest or MOTIF_WINDOW
    if width < 16 or (widest is not None and width > widest):
        raise UsageError(
            "impossible value",
            where="--window",
            found=width,
            expected=f"16 to {widest} bp" if widest is not None else "at least 16 bp",
        )
    return width


@dataclass(frozen=True)
class Work:
    """The different haplotypes of a run, in the order they are scored.

    Attributes
    ----------
    changes : list of Change, length D
        Chromosome by chromosome, along it; then what only the null needs.
    asked : int
        How many of them the file asks for.
    null : dict of Stratum to list of Change
        Matched random variants.
    stratum : dict of Change to Stratum
        Of each that the file asks for, where a null is wanted.
    """

    changes: list[Change]
    asked: int
    null: dict[Stratum, list[Change]]
    stratum: dict[Change, Stratum]


@dataclass
class Scoring:
    """What is to be scored, all of it read and checked.

    Attributes
    ----------
    scorers : list of PairScorer
    windowing : Windowing
    file : VariantFile
    reference : Reference
    checked : Checked
        Of `alleles`.
    alleles : list of Allele
    work : Work
    null : int
    store : Store or None
    cell : str or None
    batch_size : int
    """

    scorers: list[PairScorer]
    windowing: Windowing
    file: VariantFile
    reference: Reference
    checked: Checked
    alleles: list[Allele]
    work: Work
    null: int
    store: Any
    cell: str | None
    batch_size: int

    def asked(self) -> dict[str, Any]:
        """All that values depend on."""
        return _asked(
            self.work, self.scorers, self.reference, self.windowing, self.store, self.cell
        )

    def score(self, parts: Parts | None, say: Say) -> Values:
        """Values (D, C) of all haplotypes."""
        return _score_all(
            self.scorers, self.work, self.reference, self.windowing, self.batch_size, parts, say
        )

    def score_block(self, here: slice) -> Values:
        """Values of some haplotypes."""
        return _score_block(
            self.scorers, self.work, self.reference, self.windowing, self.batch_size, here
        )

    def columns(self) -> list[str]:
        """Names of the C columns."""
        return list(_names(self.scorers))

    def finish(self, table: Values, out: Path | None, more: Sequence[str] = ()) -> VariantScores:
        """Give each allele its numbers, and write them."""
        columns = _spread(self.scorers, self.work, table, self.checked, self.null)
        notes = [note for scorer in self.scorers for note in scorer.notes]
        notes += [note for note in more if note not in notes]
        grid = self.windowing.grid
        on_grid = f" on a grid of {grid} bp" if grid > 1 else ""
        notes.append(
            f"{self.windowing.width} bp windows{on_grid}, both strands, shifts"
            f" {' '.join(map(str, self.windowing.shifts))}; {self.work.asked} different haplotypes"
        )
        if self.null:
            notes.append(strata_text(self.work.null.values(), self.null))
        changes, reasons = self.checked.changes, self.checked.reasons
        if out is not None:
            write_scores(
                out, self.file.path, self.alleles, changes, reasons, columns, self.reference.sizes
            )
        return VariantScores(self.alleles, changes, reasons, columns.values, tuple(notes))


def _plan(checked: Checked, genome: Reference, windowing: Windowing, null: int, seed: int) -> Work:
    """List what is to be scored; what windows cannot be read is noted in `checked`."""
    by_chrom: dict[str, dict[Change, list[int]]] = {}
    for row, change in enumerate(checked.changes):
        if change is not None:
            by_chrom.setdefault(change.chrom, {}).setdefault(change, []).append(row)
    asked: list[Change] = []
    drawn: dict[Stratum, list[Change]] = {}
    stratum: dict[Change, Stratum] = {}
    for chrom in genome.sizes:
        if chrom not in by_chrom:
            continue
        bases = genome.codes(chrom)
        for change, rows in sorted(by_chrom[chrom].items()):
            reason = reason_of_window(bases, change, windowing)
            for row in rows if reason is not None else ():
                checked.reasons[row] = reason or ""
            if reason is None:
                asked.append(change)
                if null:
                    stratum[change] = stratum_of(bases, change)
        for each in sorted({s for c, s in stratum.items() if c.chrom == chrom}):
            drawn[each] = draw_null(bases, each, windowing, null, seed)
    more = sorted({change for of in drawn.values() for change in of} - set(asked))
    return Work(asked + more, len(asked), drawn, stratum)


def _asked(
    work: Work,
    scorers: Sequence[PairScorer],
    genome: Reference,
    windowing: Windowing,
    store: Any,
    cell: str | None,
) -> dict[str, Any]:
    """All that values depend on, to be compared with what an unfinished run was asked."""
    chroms = list(dict.fromkeys(change.chrom for change in work.changes))
    asked: dict[str, Any] = {
        "variants": digest("|".join(map(str, change)).encode() for change in work.changes),
        "genome": digest_of_bases(genome, chroms),
        "window": [windowing.width, list(windowing.shifts), windowing.grid],
        "scores": digest(name.encode() for s in scorers for name in (*s.sides, *s.between)),
        "pooling": [getattr(scorer, "pooling", None) for scorer in scorers],
        "model": digest(digest_of_weights(s.network).encode() for s in scorers if s.network),
        "motifs": digest(pwm.tobytes() for s in scorers for pwm in getattr(s, "pwms", ())),
        "store": None if store is None else store.fingerprint,
        "cell": cell,
        "rows": [ON_CPU, ON_GPU],
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": sorted({str(s.device) for s in scorers if s.network}),
    }
    return asked


def _names(scorers: Sequence[PairScorer]) -> dict[str, str]:
    """Columns that `score_changes` gives, each with what it is."""
    texts: dict[str, str] = {}
    for scorer in scorers:
        for name in scorer.sides:
            texts |= {f"{name}_{side}": f"{name} {text}" for side, text in SIDES.items()}
        for name in scorer.between:
            texts[name] = f"{name} distance of REF and ALT, mean over strands and shifts"
            texts[name + OF_STRANDS] = f"{name}: how far the two strands are apart"
    return texts


def _ranked(scorers: Sequence[PairScorer]) -> dict[str, str]:
    """Columns that a null ranks, and the score that each belongs to."""
    deltas = {f"{name}_delta": name for scorer in scorers for name in scorer.sides}
    return deltas | {name: name for scorer in scorers for name in scorer.between}


def _score_all(
    scorers: Sequence[PairScorer],
    work: Work,
    genome: Reference,
    windowing: Windowing,
    batch: int,
    parts: Parts | None,
    say: Say,
) -> Values:
    """Values (D, C) of all haplotypes, part by part; what was scored before is taken over."""
    names, n = list(_names(scorers)), len(work.changes)
    table = np.full((n, len(names)), np.nan)
    # A function of how many there are, so that a run that goes on has the same parts.
    size = PIECE * max(1, -(-n // (PIECE * PARTS)))
    if parts is not None and parts.before:
        say(f"{parts.before} of {-(-n // size)} parts were scored before: going on")
    for number, first in enumerate(range(0, n, size)):
        part = slice(first, min(first + size, n))
        values = None if parts is None else parts.get(number)
        if values is None:
            table[part] = _score_block(scorers, work, genome, windowing, batch, part)
            if parts is not None:
                parts.put(number, table[part])
        else:
            table[part] = values
        if n > 4 * PIECE and number % 16 == 15:
            say(f"{part.stop:,} of {n:,} haplotypes")
    return table


def _score_block(
    scorers: Sequence[PairScorer],
    work: Work,
    genome: Reference,
    windowing: Windowing,
    batch: int,
    block: slice,
) -> Values:
    """Values of haplotypes side by side, `batch` of them in memory at a time."""
    names = list(_names(scorers))
    rows: list[Values] = []
    for at in range(block.start, block.stop, batch):
        here = slice(at, min(at + batch, block.stop))
        said = score_changes(scorers, work.changes[here], genome, windowing)
        rows.append(np.stack([said[name] for name in names], 1))
    return np.concatenate(rows)


def _spread(
    scorers: Sequence[PairScorer], work: Work, table: Values, checked: Checked, null: int
) -> Columns:
    """Give each allele its haplotype's values, and its percentiles."""
    row_of = {change: row for row, change in enumerate(work.changes)}
    scored = [
        (row, row_of[change])
        for row, (change, reason) in enumerate(zip(checked.changes, checked.reasons))
        if change is not None and not reason
    ]
    n, texts = len(checked.changes), _names(scorers)
    values = {name: np.full(n, np.nan) for name in texts}
    to = [row for row, _ in scored]
    taken = [row for _, row in scored]
    for column, name in enumerate(list(texts)):
        values[name][to] = table[taken, column]
    if null:
        numbers = {name: column for column, name in enumerate(texts)}
        null_rows = {each: [row_of[c] for c in of] for each, of in work.null.items()}
        for column_name, name in _ranked(scorers).items():
            size = np.abs(table[:, numbers[column_name]])
            text = f"{name}: percent of {null} matched random variants with a smaller effect"
            texts[f"{name}_percentile"] = text
            values[f"{name}_percentile"] = ranks = np.full(n, np.nan)
            for row, at in scored:
                others = null_rows[work.stratum[work.changes[at]]]
                ranks[row] = percentile(size[at], size[others])
    return Columns(values, texts)


def score_changes(
    scorers: Sequence[PairScorer],
    changes: Sequence[Change],
    genome: Reference,
    windowing: Windowing,
) -> dict[str, Values]:
    """Score normalised changes whose windows can be read.

    Returns
    -------
    dict of str to float64 (N,)
        NAME_ref, NAME_alt, NAME_delta, NAME_strands; NAME and NAME_strands of a distance.
    """
    sides: dict[str, list[Values]] = {}
    between: dict[str, list[Values]] = {}
    for shift in windowing.shifts:
        pairs, alt_first = make_pairs(genome, changes, windowing, shift)
        for read in (pairs, pairs.turned()):
            for scorer in scorers:
                said = scorer(read)
                for name, both in said.sides.items():
                    ordered = np.where(alt_first[:, None], both[:, ::-1], both)  # REF, ALT
                    sides.setdefault(name, []).append(ordered)
                for name, value in said.between.items():
                    between.setdefault(name, []).append(value)
    out: dict[str, Values] = {}
    for name, parts in sides.items():
        stacked = np.stack(parts)  # (S, N, 2): forward and reverse of each shift in turn
        mean = stacked.mean(0)
        out[f"{name}_ref"], out[f"{name}_alt"] = mean[:, 0], mean[:, 1]
        out[f"{name}_delta"] = mean[:, 1] - mean[:, 0]
        deltas = stacked[..., 1] - stacked[..., 0]
        out[f"{name}_strands"] = np.abs(deltas[0::2].mean(0) - deltas[1::2].mean(0))
    for name, parts in between.items():
        distances = np.stack(parts)
        out[name] = distances.mean(0)
        out[f"{name}_strands"] = np.abs(distances[0::2].mean(0) - distances[1::2].mean(0))
    return out
