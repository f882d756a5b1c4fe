"""Score variants: every ALT of a file, as two whole haplotypes, on both strands.

Reading, windows, scorers and writing meet here. A variant's numbers depend on its two windows and
the model, on nothing else: not on the batch, the order, the neighbours or the shard.
Axes: N alleles, S strands and shifts.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from epilm.errors import UsageError
from epilm.tasks.reference import Reference, open_reference
from epilm.variants.haplotypes import (
    REASONS,
    Change,
    Checked,
    check_alleles,
    make_pairs,
    reason_of_window,
)
from epilm.variants.scorers import MaskedScorer, PairScorer, TaskScorer, Values, motifs_from
from epilm.variants.variant_files import Allele, kind_of, pysam_module, read_variants
from epilm.variants.writing import Columns, write_scores

PIECE = 256  # variants whose windows are in memory at a time
MOTIF_WINDOW = 200  # bp, where motifs alone are asked for: what no motif reaches is not read
Say = Callable[[str], None]
# What follows the name of a score.
SIDES = {
    "ref": "of REF, mean over strands and shifts",
    "alt": "of ALT, mean over strands and shifts",
    "delta": "ALT less REF",
    "strands": "how far the two strands' deltas are apart",
}


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
        NAME_strands of a distance; NaN where not scored.
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
    shard: str | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    say: Say | None = None,
) -> VariantScores:
    """Score every ALT of a file of variants.

    Parameters
    ----------
    variants : path
        VCF, BCF or a table; see `variants.variant_files.read_variants`.
    model : path, optional
        A pre-trained run (`llr`, `l2`, `cosine`) or a fine-tuned one (`logit_NAME`).
    genome : path, Genome or store, optional
        What REF is checked against and windows are cut from; with `store` its genome.
    out : path, optional
        .tsv, .tsv.gz, .vcf, .vcf.gz or .bcf.
    store : path or Store, cell : str, optional
        For a model of binding: whose tracks, and in which cell type.
    motifs : path, optional
        Add the difference of each motif's best log-odds at the allele (`motif_NAME`).
    window : int, optional
        Bases of both haplotypes' windows. The widest a pre-trained model reads, and a binding
        model's own, where not given; other fine-tuned models: as wide as what they learned from.
    shifts : sequence of int
        Places of the variant's middle off the window's, in bp; the mean over them counts.
    shard : str, optional
        "i/N": every N-th record from the i-th, i from 1.
    device : {"auto", "cpu", "cuda", "mps"}
    say : callable, optional
        Takes lines of progress; standard error by default.

    Returns
    -------
    VariantScores

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
    part = _parse_shard(shard)
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
    scorers: list[PairScorer] = []
    notes: list[str] = []
    if model is not None:
        scorers.append(_open_model(model, opened, cell, device, notes))
    elif store is not None or cell is not None:
        raise UsageError("--store and --cell are a model's", do="Give --model.")
    if motifs is not None:
        scorers.append(motifs_from(motifs))
    width = _window(scorers, window, model)
    shifts = tuple(dict.fromkeys(int(shift) for shift in shifts)) or (0,)
    if max(map(abs, shifts)) > width // 4:
        raise UsageError(
            "a shift moves the variant to the window's edge",
            where="--shifts",
            found=max(shifts, key=abs),
            expected=f"at most {width // 4} bp of a window of {width} bp",
        )
    file = read_variants(variants)
    reference = open_reference(genome)
    checked = check_alleles(file, file.alleles, reference)
    rows = [
        row for row, allele in enumerate(file.alleles) if allele.record % part[1] == part[0] - 1
    ]
    alleles = [file.alleles[row] for row in rows]
    checked = Checked(
        [checked.changes[row] for row in rows], [checked.reasons[row] for row in rows]
    )
    columns = _score(scorers, checked, reference, width, shifts, say)
    notes.append(
        f"{width} bp windows, both strands, shifts {' '.join(map(str, shifts))};"
        f" {len({c for c in checked.changes if c is not None})} different haplotypes"
    )
    done = VariantScores(alleles, checked.changes, checked.reasons, columns.values, tuple(notes))
    if out is not None:
        write_scores(
            Path(out),
            file.path,
            alleles,
            checked.changes,
            checked.reasons,
            columns,
            reference.sizes,
        )
    return done


def _parse_shard(shard: str | None) -> tuple[int, int]:
    """Read "i/N".

    Examples
    --------
    >>> _parse_shard("2/5"), _parse_shard(None)
    ((2, 5), (1, 1))
    """
    if shard is None:
        return 1, 1
    try:
        i, n = map(int, shard.split("/"))
        if not 1 <= i <= n:
            raise ValueError
    except ValueError:
        raise UsageError(
            "not a shard", where="--shard", found=shard, expected="i/N with i from 1 to N"
        ) from None
    return i, n


def _open_model(
    path: str | Path, store: Any, cell: str | None, device: Any, notes: list[str]
) -> PairScorer:
    from epilm.device import choose_place
    from epilm.finetuning.finetuned import is_finetuned
    from epilm.finetuning.predict import open_scorer
    from epilm.hub.load import load

    if is_finetuned(path):
        tuned = TaskScorer(open_scorer(path, both_strands=False, device=device), store, cell)
        reads = tuned.model.reads
        if tuned.haplotypes is not None and (reads.signals or reads.states):
            notes.append("behind an indel the store's tracks stand beside other bases")
        return tuned
    if store is not None or cell is not None:
        raise UsageError(
            "a pre-trained model reads bases alone here",
            where=str(path),
            found="--store or --cell",
            do="Give --genome, and leave both out.",
        )
    masked = MaskedScorer(load(path, device=choose_place(device, "fp32").device))
    if not masked.sides:
        notes.append("the model has no head of k-mers: no llr")
    return masked


def _window(scorers: Sequence[PairScorer], window: int | None, model: Any) -> int:
    """The windows' width, asked of the models and of the user."""
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


def _score(
    scorers: Sequence[PairScorer],
    checked: Checked,
    genome: Reference,
    width: int,
    shifts: Sequence[int],
    say: Say,
) -> Columns:
    """Score each haplotype once; what windows cannot be read is noted in `checked`."""
    n = len(checked.changes)
    values: dict[str, Values] = {}
    texts: dict[str, str] = {}
    for scorer in scorers:
        for name in scorer.sides:
            for side, text in SIDES.items():
                values[f"{name}_{side}"] = np.full(n, np.nan)
                texts[f"{name}_{side}"] = f"{name} {text}"
        for name in scorer.between:
            values[name] = np.full(n, np.nan)
            texts[name] = f"{name} distance of REF and ALT, mean over strands and shifts"
            values[f"{name}_strands"] = np.full(n, np.nan)
            texts[f"{name}_strands"] = f"{name}: how far the two strands are apart"
    done = 0
    for rows in _by_haplotype(checked, genome, width, shifts):
        changes = [checked.changes[same[0]] for same in rows]
        said = score_changes(scorers, [c for c in changes if c is not None], genome, width, shifts)
        for name, column in said.items():
            for value, same in zip(column, rows):
                values[name][same] = value
        done += sum(map(len, rows))
        if n > 4 * PIECE and done // (16 * PIECE) != (done - sum(map(len, rows))) // (16 * PIECE):
            say(f"{done:,} of {n:,} alleles")
    return Columns(values, texts)


def _by_haplotype(
    checked: Checked, genome: Reference, width: int, shifts: Sequence[int]
) -> Iterator[list[list[int]]]:
    """Blocks of PIECE haplotypes, each with the rows that have it; chromosome by chromosome."""
    by_chrom: dict[str, dict[Change, list[int]]] = {}
    for row, change in enumerate(checked.changes):
        if change is not None:
            by_chrom.setdefault(change.chrom, {}).setdefault(change, []).append(row)
    for chrom, haplotypes in by_chrom.items():
        bases = genome.codes(chrom)
        block: list[list[int]] = []
        for change, rows in haplotypes.items():
            reason = reason_of_window(bases, change, width, shifts)
            if reason is not None:
                for row in rows:
                    checked.reasons[row] = reason
                continue
            block.append(rows)
            if len(block) == PIECE:
                yield block
                block = []
        if block:
            yield block


def score_changes(
    scorers: Sequence[PairScorer],
    changes: Sequence[Change],
    genome: Reference,
    width: int,
    shifts: Sequence[int] = (0,),
) -> dict[str, Values]:
    """Score normalised changes whose windows can be read.

    Returns
    -------
    dict of str to float64 (N,)
        NAME_ref, NAME_alt, NAME_delta, NAME_strands; NAME and NAME_strands of a distance.
    """
    sides: dict[str, list[Values]] = {}
    between: dict[str, list[Values]] = {}
    for shift in shifts:
        pairs, alt_first = make_pairs(genome, changes, width, shift)
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
