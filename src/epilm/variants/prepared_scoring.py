"""What is to be scored of a file of variants, read and checked, and what comes out.

Axes: N alleles, D different haplotypes, C columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from epilm.errors import UsageError
from epilm.shards import parse_shard
from epilm.tasks.reference import Reference, StoreReference, open_reference
from epilm.variants.conservation import CONSERVATION, conservation_of
from epilm.variants.haplotypes import REASONS, Change, Checked, check_alleles
from epilm.variants.kept_parts import Parts
from epilm.variants.null import strata_text
from epilm.variants.open_models import open_scorers
from epilm.variants.score_writers import write_scores
from epilm.variants.scored_files import forget_comparison
from epilm.variants.scorers import ChangeScorer, Values
from epilm.variants.variant_choices import VariantReading
from epilm.variants.variant_files import (
    Allele,
    VariantFile,
    kind_of,
    pysam_module,
    read_variants,
)
from epilm.variants.work import (
    Work,
    columns_of,
    identity_of,
    plan_work,
    score_block,
    score_work,
    spread,
)

Say = Callable[[str], None]


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
        NAME_strands of a distance; DS_... and DP_... of splice sites; with a null NAME_percentile;
        NaN where not scored.
    notes : tuple of str
        What a reader must know.
    effects : tuple of str
        Of the values those that say how large an effect is: deltas, distances, DS.
    words : dict of str to tuple of str
        Of the values those that are numbers of words, and the words.
    """

    alleles: list[Allele]
    changes: list[Change | None]
    reasons: list[str]
    values: dict[str, Values]
    notes: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)

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


def _ground(store: Any, genome: Any) -> tuple[Any, Any]:
    """Open the store, if there is one, and settle the genome that windows are cut from."""
    opened = None
    if store is not None:
        from epilm.store.reader import Store

        if genome is not None:
            raise UsageError(
                "--genome and --store do not go together",
                do="Leave out --genome: the windows are cut from the store's genome.",
            )
        opened = store if isinstance(store, Store) else Store.open(store)
        genome = StoreReference(opened)
    if genome is None:
        raise UsageError("the genome of the variants is needed", do="Give --genome FASTA.")
    return opened, genome


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
    motif_columns: Any,
    distance: int | None,
    genes: str | Path | None,
    conservation: str | Path | None,
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
    if model is None and motifs is None and conservation is None:
        raise UsageError("there is nothing to score with", do="Give --model, --motifs, or both.")
    opened, genome = _ground(store, genome)
    reading = VariantReading(
        scores=None if scores is None else list(scores),
        pooling=pooling,
        motif_columns=motif_columns,
        window=window,
        shifts=tuple(shifts),
        grid=grid,
        distance=distance,
        genes=None if genes is None else Path(genes),
        batch_size=batch_size,
    )
    scorers = open_scorers(model, motifs, reading, store=opened, cell=cell, device=device)
    if null and not scorers:
        raise UsageError("--null ranks scores", do="Give --model or --motifs.")
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
    work = plan_work(checked, reference, scorers, null, null_seed)
    return Scoring(
        scorers,
        file,
        reference,
        checked,
        alleles,
        work,
        conservation,
        null,
        opened,
        cell,
        batch_size,
    )


@dataclass
class Scoring:
    """What is to be scored, all of it read and checked.

    Attributes
    ----------
    scorers : list of ChangeScorer
    file : VariantFile
    reference : Reference
    checked : Checked
        Of `alleles`.
    alleles : list of Allele
    work : Work
    conservation : path or None
    null : int
    store : Store or None
    cell : str or None
    batch_size : int
    """

    scorers: list[ChangeScorer]
    file: VariantFile
    reference: Reference
    checked: Checked
    alleles: list[Allele]
    work: Work
    conservation: str | Path | None
    null: int
    store: Any
    cell: str | None
    batch_size: int

    def asked(self) -> dict[str, Any]:
        """All that values depend on."""
        return identity_of(self.work, self.scorers, self.reference, self.store, self.cell)

    def score(self, parts: Parts | None, say: Say) -> Values:
        """Values (D, C) of all haplotypes."""
        return score_work(self.scorers, self.work, self.reference, self.batch_size, parts, say)

    def score_block(self, here: slice) -> Values:
        """Values of some haplotypes."""
        return score_block(self.scorers, self.work, self.reference, self.batch_size, here)

    def columns(self) -> list[str]:
        """Names of the C columns."""
        return list(columns_of(self.scorers))

    def finish(self, table: Values, out: Path | None, more: Sequence[str] = ()) -> VariantScores:
        """Give each allele its numbers, and write them."""
        columns = spread(self.scorers, self.work, table, self.checked, self.null)
        notes = [note for scorer in self.scorers for note in scorer.notes]
        notes += [note for note in more if note not in notes]
        if self.conservation is not None:
            conserved, said = conservation_of(
                self.conservation, self.checked.scored(), self.reference
            )
            columns.values[CONSERVATION] = conserved
            name = Path(self.conservation).name
            columns.texts[CONSERVATION] = f"mean of {name} over the bases changed"
            notes += said
        notes += [scorer.windows for scorer in self.scorers]
        notes.append(f"{self.work.asked} different haplotypes")
        if self.null:
            notes.append(strata_text(self.work.null.values(), self.null))
        changes, reasons = self.checked.changes, self.checked.reasons
        if out is not None:
            sizes = self.reference.sizes
            forget_comparison(out)  # of other scores that had this name
            write_scores(out, self.file.path, self.alleles, changes, reasons, columns, sizes)
        ranked = tuple(name for scorer in self.scorers for name in scorer.ranked)
        return VariantScores(
            self.alleles, changes, reasons, columns.values, tuple(notes), ranked, columns.words
        )
