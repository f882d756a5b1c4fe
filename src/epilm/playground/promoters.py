"""Promoter sequences in DNABERT's layout, with negatives of two kinds.

A core is the 70 bp from -34 to +35 around the start of transcription (protocols 9).
Half of the negatives are cores of promoters in which 12 of 20 pieces of the
300 bp were replaced (DeePromoter), half are genomic windows away from promoters.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epilm.playground.bases import PlantedGene
from epilm.playground.ground_plan import DISTAL, Size, Slots
from epilm.playground.programmes import reverse_complement

K = 6  # k-mers of the DNABERT tables
_BASES = np.frombuffer(b"ACGTN", np.uint8)


def around_start(
    codes: NDArray[np.uint8], gene: PlantedGene, before: int, after: int
) -> NDArray[np.uint8]:
    """The bases from `before` upstream to `after` downstream (both included) of a start, read along
    its strand.
    """
    if gene.strand > 0:
        return codes[gene.tss - before : gene.tss + after + 1]
    return reverse_complement(codes[gene.tss - after : gene.tss + before + 1])


def promoter_rows(
    chrom: str,
    genes: list[PlantedGene],
    codes: NDArray[np.uint8],
    slots: Slots,
    size: Size,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Cores and as many negatives of one chromosome: chrom, tss (or start), sequence (letters),
    label.
    """
    rows = []
    free = np.flatnonzero(slots.kind == DISTAL)
    for number, gene in enumerate(genes):
        long = around_start(codes, gene, 249, 50)
        rows.append((chrom, gene.tss, _text(long[215:285]), 1))
        if number % 2 or not len(free):
            pieces = long.copy().reshape(20, 15)
            swapped = rng.permutation(20)[:12]
            pieces[swapped] = rng.integers(0, 4, (12, 15))
            rows.append((chrom, gene.tss, _text(pieces.reshape(-1)[215:285]), 0))
        else:
            at = int(free[rng.integers(len(free))]) * size.slot + int(
                rng.integers(0, size.slot - 70)
            )
            window = codes[at : at + 70]
            word = _text(window if rng.random() < 0.5 else reverse_complement(window))
            rows.append((chrom, at, word, 0))
    return pd.DataFrame(rows, columns=["chrom", "tss", "sequence", "label"])


def _text(codes: NDArray[np.uint8]) -> str:
    return _BASES[codes].tobytes().decode()


def core_sequences(chrom: str, genes: Iterable[PlantedGene]) -> Iterator[str]:
    """Lines of a BED of transcription starts, as EPD gives them: one base, name, 1, strand."""
    for gene in genes:
        strand = "+" if gene.strand > 0 else "-"
        yield f"{chrom}\t{gene.tss}\t{gene.tss + 1}\t{gene.name}_1\t1\t{strand}\n"


def kmers(sequence: str, k: int = K) -> str:
    """A sequence as overlapping k-mers separated by spaces.

    Examples
    --------
    >>> kmers("ACGTAC", 3)
    'ACG CGT GTA TAC'
    """
    return " ".join(sequence[i : i + k] for i in range(len(sequence) - k + 1))


def write_promoter_tables(folder: Path, tables: list[pd.DataFrame], size: Size) -> None:
    """promoters.tsv (all), and promoters/{train,dev,test}.tsv, split as `Size.splits` says."""
    rows = pd.concat(tables, ignore_index=True)
    rows = rows[~rows["sequence"].str.contains("N")]
    plain = pd.DataFrame({"sequence": rows["sequence"].map(kmers), "label": rows["label"]})
    plain.to_csv(folder / "promoters.tsv", sep="\t", index=False, lineterminator="\n")
    names = size.chrom_names
    late = (rows["chrom"] == names[-3]) & (rows["tss"] >= size.validation_from)
    part = np.where(rows["chrom"].isin(names[-2:]), "test", np.where(late, "dev", "train"))
    for name in ("train", "dev", "test"):
        plain[part == name].to_csv(
            folder / f"promoters/{name}.tsv", sep="\t", index=False, lineterminator="\n"
        )
