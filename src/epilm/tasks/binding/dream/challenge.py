"""What the ENCODE-DREAM challenge asked for: pairs of factor and cell type, chromosomes, file
names.

The thirteen pairs of its final round, with the cell types and chromosomes to learn from.
Validation on chr11 is FactorNet's and DeepGRN's choice, not the challenge's. Plain data.
"""

import re
from typing import Literal, NamedTuple

from epilm.errors import UsageError, nearest

IPSC = "induced_pluripotent_stem_cell"
TEST_CHROMS = ("chr1", "chr8", "chr21")
VALID_CHROMS = ("chr11",)
TRAIN_CHROMS = (
    "chr2",
    "chr3",
    "chr4",
    "chr5",
    "chr6",
    "chr7",
    "chr9",
    "chr10",
    "chr12",
    "chr13",
    "chr14",
    "chr15",
    "chr16",
    "chr17",
    "chr18",
    "chr19",
    "chr20",
    "chr22",
    "chrX",
)
N_TRAIN_BINS, N_LADDER_BINS, N_TEST_BINS = 51_676_736, 8_843_011, 60_519_747
ROUNDS = {"F": "final, across cell types", "B": "within-cell-type benchmark", "L": "ladder"}

# "F.CTCF.tab.gz" is no such name: what stands third is its ending.
_NAME = re.compile(r"^[FBL]\.(?P<factor>[^.]+)\.(?!(?:tab|tsv)\.gz$)(?P<cell>[^.]+)\.")


class Pair(NamedTuple):
    """One of the thirteen data sets.

    Attributes
    ----------
    factor, cell : str
        What binds, and the cell type to predict.
    train_cells, ladder_cells : tuple of str
        Cell types with training labels; those of the ladder board.
    train_chroms, valid_chroms, test_chroms : tuple of str
    """

    factor: str
    cell: str
    train_cells: tuple[str, ...]
    ladder_cells: tuple[str, ...]
    train_chroms: tuple[str, ...] = TRAIN_CHROMS
    valid_chroms: tuple[str, ...] = VALID_CHROMS
    test_chroms: tuple[str, ...] = TEST_CHROMS

    @property
    def name(self) -> str:
        """As the paper's tables call it, "CTCF:PC-3"."""
        return f"{self.factor}:{'iPSC' if self.cell == IPSC else self.cell}"


# Training and ladder cell types of the challenge's table of factors (final round only).
_CTCF = (("A549", "H1-hESC", "HeLa-S3", "HepG2", "IMR-90", "K562", "MCF-7"), ("GM12878",))
PAIRS: tuple[Pair, ...] = (
    Pair("CTCF", "PC-3", *_CTCF),
    Pair("CTCF", IPSC, *_CTCF),
    Pair("E2F1", "K562", ("GM12878", "HeLa-S3"), ()),
    Pair("EGR1", "liver", ("GM12878", "H1-hESC", "HCT116", "MCF-7"), ("K562",)),
    Pair("FOXA1", "liver", ("HepG2",), ("MCF-7",)),
    Pair("FOXA2", "liver", ("HepG2",), ()),
    Pair(
        "GABPA", "liver", ("GM12878", "H1-hESC", "HeLa-S3", "HepG2", "MCF-7", "SK-N-SH"), ("K562",)
    ),
    Pair("HNF4A", "liver", ("HepG2",), ()),
    Pair("JUND", "liver", ("HCT116", "HeLa-S3", "HepG2", "K562", "MCF-7", "SK-N-SH"), ("H1-hESC",)),
    Pair(
        "MAX",
        "liver",
        ("A549", "GM12878", "H1-hESC", "HCT116", "HeLa-S3", "HepG2", "K562", "SK-N-SH"),
        ("MCF-7",),
    ),
    Pair("NANOG", IPSC, ("H1-hESC",), ()),
    Pair("REST", "liver", ("H1-hESC", "HeLa-S3", "HepG2", "MCF-7", "Panc1", "SK-N-SH"), ("K562",)),
    Pair("TAF1", "liver", ("GM12878", "H1-hESC", "HeLa-S3", "K562", "SK-N-SH"), ("HepG2",)),
)


def find_pair(name: str) -> Pair:
    """Look a pair up: "CTCF:PC-3", "CTCF:iPSC", or a factor that has only one.

    Raises
    ------
    UsageError
        Naming the nearest known one.

    Examples
    --------
    >>> find_pair("JUND").cell, find_pair("CTCF:iPSC").cell
    ('liver', 'induced_pluripotent_stem_cell')
    >>> find_pair("CTCF")
    Traceback (most recent call last):
    ...
    epilm.errors.UsageError: the factor has several pairs. Found CTCF; expected one of CTCF:PC-3,
        CTCF:iPSC.
    """
    pairs = [p for p in PAIRS if name in (p.name, f"{p.factor}:{p.cell}", p.factor)]
    if len(pairs) > 1:
        names = ", ".join(p.name for p in pairs)
        raise UsageError("the factor has several pairs", found=name, expected=f"one of {names}")
    if not pairs:
        raise UsageError(
            "the challenge has no such pair", found=name, do=nearest(name, [p.name for p in PAIRS])
        )
    return pairs[0]


def file_name(factor: str, cell: str, kind: Literal["F", "B", "L"] = "F") -> str:
    """Name a prediction file as the challenge does.

    Parameters
    ----------
    factor, cell : str
    kind : {"F", "B", "L"}
        Final (another cell type), benchmark within the cell type, ladder.

    Examples
    --------
    >>> file_name("MAX", "liver")
    'F.MAX.liver.tab.gz'
    """
    if kind not in ROUNDS:
        raise UsageError("unknown round", found=kind, do=nearest(kind, ROUNDS))
    return f"{kind}.{factor}.{cell}.tab.gz"


def read_name(name: str) -> tuple[str, str] | None:
    """Give factor and cell type from the name of a prediction file; None where it has not the
    challenge's form.

    Examples
    --------
    >>> read_name("F.MAX.liver.tab.gz"), read_name("my.run.v2.tab.gz"), read_name("F.MAX.tab.gz")
    (('MAX', 'liver'), None, None)
    """
    parts = _NAME.match(name)
    return (parts["factor"], parts["cell"]) if parts else None


def names_cell(name: str, cell: str) -> bool:
    """Say whether the name of a prediction file, in the challenge's form, names this cell type.

    Upper and lower case are one, so are the two names of the iPS cells; a cell type may have dots
    itself.

    Examples
    --------
    >>> names_cell("F.MAX.liver.seed1.tab.gz", "Liver"), names_cell("F.MAX.liver_2.tab.gz", "liver")
    (True, False)
    >>> names_cell("F.CTCF.iPSC.tab.gz", "induced_pluripotent_stem_cell")
    True
    """
    said = name.split(".", 2)[2].lower()
    known = (IPSC, "iPSC") if cell in (IPSC, "iPSC") else (cell,)
    return any(said.startswith(f"{each.lower()}.") for each in known)
