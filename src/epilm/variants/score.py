"""Score variants: every ALT of a file, as two whole haplotypes, on both strands.

Reading, scorers, the null and writing meet here. A variant's numbers depend on its two haplotypes
and the model, on nothing else: not on the batch, the order, the neighbours or the shard.
Axes: N alleles.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from epilm.atomic import locked
from epilm.errors import UsageError
from epilm.tasks.reference import StoreReference, open_reference
from epilm.variants.conservation import CONSERVATION, conservation_of
from epilm.variants.haplotypes import REASONS, Change, Checked, check_alleles
from epilm.variants.kept_parts import Parts
from epilm.variants.null import strata_text
from epilm.variants.open_models import open_scorers
from epilm.variants.score_writers import write_scores
from epilm.variants.scorers import Values
from epilm.variants.variant_files import Allele, kind_of, pysam_module, read_variants
from epilm.variants.work import PIECE, identity_of, plan_work, score_work, spread

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
) -> VariantScores:
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
    checked = check_alleles(file, file.alleles, reference)
    rows = [
        row for row, allele in enumerate(file.alleles) if allele.record % part[1] == part[0] - 1
    ]
    alleles = [file.alleles[row] for row in rows]
    checked = Checked(
        [checked.changes[row] for row in rows], [checked.reasons[row] for row in rows]
    )
    work = plan_work(checked, reference, scorers, null, null_seed)
    with nullcontext() if out is None else locked(out):
        parts = None
        if out is not None:
            parts = Parts(Path(out), identity_of(work, scorers, reference, opened, cell))
        table = score_work(scorers, work, reference, batch_size, parts, say)
        columns = spread(scorers, work, table, checked, null)
        notes = [note for scorer in scorers for note in scorer.notes]
        notes += [] if parts is None else parts.notes
        if conservation is not None:
            conserved, more = conservation_of(conservation, checked.scored(), reference)
            columns.values[CONSERVATION] = conserved
            columns.texts[CONSERVATION] = (
                f"mean of {Path(conservation).name} over the bases changed"
            )
            notes += more
        notes += [scorer.windows for scorer in scorers]
        notes.append(f"{work.asked} different haplotypes")
        if null:
            notes.append(strata_text(work.null.values(), null))
        done = VariantScores(
            alleles,
            checked.changes,
            checked.reasons,
            columns.values,
            tuple(notes),
            tuple(name for scorer in scorers for name in scorer.ranked),
            columns.words,
        )
        if out is not None and parts is not None:
            write_scores(
                Path(out),
                file.path,
                alleles,
                checked.changes,
                checked.reasons,
                columns,
                reference.sizes,
            )
            parts.remove()
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
