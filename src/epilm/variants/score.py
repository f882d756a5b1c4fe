"""Score variants: every ALT of a file, as two whole haplotypes, on both strands.

Reading, scorers, the null and writing meet here. A variant's numbers depend on its two haplotypes
and the model, on nothing else: not on the batch, the order, the neighbours or the shard.
Axes: N alleles.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from epilm.atomic import locked
from epilm.variants.kept_parts import Parts
from epilm.variants.prepared_scoring import Say, prepare_scoring
from epilm.variants.variant_files import TSV_ENDINGS, VCF_ENDINGS
from epilm.variants.variant_shards import score_shard
from epilm.variants.work import PIECE


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
    genome : path, paths, Genome or store, optional
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


def names_scores(out: Any) -> bool:
    """Whether a name is that of a file of scores.

    Examples
    --------
    >>> names_scores("scored.vcf.gz"), names_scores("parts")
    (True, False)
    """
    return str(out).lower().endswith((*VCF_ENDINGS, *TSV_ENDINGS))
