"""Score variants: every ALT of a file, as two whole haplotypes, on both strands.

Reading, scorers, the null and writing meet here. A variant's numbers depend on its two haplotypes
and the model, on nothing else: not on the batch, the order, the neighbours or the shard.
Axes: N alleles.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from epilm.atomic import locked
from epilm.errors import UsageError
from epilm.shards import parse_shard
from epilm.tasks.reference import Reference, StoreReference, open_reference
from epilm.variants.conservation import CONSERVATION, conservation_of
from epilm.variants.haplotypes import REASONS, Change, Checked, check_alleles
from epilm.variants.kept_parts import Parts
from epilm.variants.null import strata_text
from epilm.variants.open_models import open_scorers
from epilm.variants.score_writers import write_scores
from epilm.variants.scorers import ChangeScorer, Values
from epilm.variants.variant_files import (
    TSV_ENDINGS,
    VCF_ENDINGS,
    Allele,
    VariantFile,
    kind_of,
    pysam_module,
    read_variants,
)
from epilm.variants.work import (
    PIECE,
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
    distance: int | None = None,
    genes: str | Path | None = None,
    conservation: str | Path | None = None,
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
        VCF, BCF or a table; see `variants.variant_files.read_variants`.
    model : path, optional
        A pre-trained run (`llr`, `l2`, `cosine`; `sites`, `sites_changed` where it learned motif
        sites) or a fine-tuned one (`logit_NAME`; of splice sites `DS_AG`, `DP_AG` and so on).
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
    distance : int, optional
        Of a model of splice sites: bases on either side of a variant that are compared; 50 where
        not given.
    genes : path, optional
        For such a model, GTF, GFF3, genePred or BED: a variant is read on the strand of the gene
        that holds it. Both strands are read, and the larger counts, where not given.
    conservation : path, optional
        bigWig or bedGraph: its mean over the bases that a variant changes is a column more.
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
        "distance": distance,
        "genes": genes,
        "conservation": conservation,
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
    scorers = open_scorers(
        model,
        motifs,
        store=opened,
        cell=cell,
        scores=scores,
        pooling=pooling,
        motif_columns=motif_columns,
        window=window,
        shifts=shifts,
        grid=grid,
        distance=distance,
        genes=genes,
        device=device,
    )
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


def names_scores(out: Any) -> bool:
    """Whether a name is that of a file of scores.

    Examples
    --------
    >>> names_scores("scored.vcf.gz"), names_scores("parts")
    (True, False)
    """
    return str(out).lower().endswith((*VCF_ENDINGS, *TSV_ENDINGS))


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
            write_scores(out, self.file.path, self.alleles, changes, reasons, columns, sizes)
        ranked = tuple(name for scorer in self.scorers for name in scorer.ranked)
        return VariantScores(
            self.alleles, changes, reasons, columns.values, tuple(notes), ranked, columns.words
        )
