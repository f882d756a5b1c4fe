"""The bases around the start of each gene of a table, along its strand.

A start belongs to the row of the table that has one of the gene's names: exactly, else without the
version of an Ensembl id, else in another case. Rows that must not be parted (one gene, one family,
windows that overlap) are one family of `LabelledSequences`. Axes: N rows, G genes of the table.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.chromosomes import check_names, few
from epilm.genome.start_sites import StartSite, plain_id, read_starts
from epilm.tasks.base import LabelledSequences, labelled
from epilm.tasks.expression.expression_options import ExpressionData
from epilm.tasks.expression.gene_table import GeneTable, read_gene_table
from epilm.tasks.promoter import window_of
from epilm.tasks.reference import cut_stranded, open_reference
from epilm.tasks.sequences import read_lines

HOW = ("exactly", "without the version of their id", "in another case")


class GeneWindow(NamedTuple):
    """A start, the gene it is of, and the bases around it.

    Attributes
    ----------
    site : StartSite
    gene : int
        Row of the table, or number of the gene in the order of the file.
    start : int
        Of the window on the forward strand.
    codes : uint8 (W,)
        Along the gene.
    """

    site: StartSite
    gene: int
    start: int
    codes: NDArray[np.uint8]


def gene_rows(data: str | Path, options: ExpressionData, genome: Any) -> LabelledSequences:
    """Give the windows of genes with their levels; not yet split.

    Raises
    ------
    InputError
        Naming file and line; if no gene of the table has a start.
    """
    for value, option, what in (
        (options.tss, "--tss", "where the genes begin: GTF, GFF3, genePred or BED with a strand"),
        (genome, "--genome", "the genome that they lie on: FASTA, .2bit or a store"),
    ):
        if value is None:
            raise InputError(
                "levels alone have no bases", where=str(data), expected=what, do=f"Pass {option}."
            )
    table = read_gene_table(
        data, cells=options.cells, gene_column=options.gene_column, values=options.values
    )
    sites = read_starts(options.tss)
    of_row, notes = matched(table, sites)
    chosen = [
        (sites[n], row) for row, ns in of_row.items() for n in best(sites, ns, options.starts)
    ]
    rule = {"first": "the most upstream start", "main": "the start of its main transcript"}
    notes.append(f"of a gene {rule.get(options.starts, 'each of its starts')}, {len(chosen)} rows")
    windows, lost = cut_windows(chosen, genome, options, str(options.tss))
    notes += [f"{count} starts {why} left out" for why, count in lost.items() if count]
    known = np.asarray(np.isfinite(table.values).any(1))
    if empty := sum(not known[w.gene] for w in windows):
        notes.append(f"{empty} starts of genes without a known level left out")
        windows = [w for w in windows if known[w.gene]]
    if not windows:
        raise InputError(
            "no gene has a usable window",
            where=str(data),
            found="; ".join(notes),
            do="Check that start sites and genome are of one assembly.",
        )
    if unknown := sum(bool((w.codes > 3).any()) for w in windows):
        notes.append(f"{unknown} windows hold N: a k-mer with N is read as unknown")
    given = None if options.families is None else read_families(options.families)
    families = families_of(windows, [_family(table.genes[w.gene], given) for w in windows])
    return labelled(
        [w.codes for w in windows],
        table.values[[w.gene for w in windows]],
        chrom=[w.site.chrom for w in windows],
        start=[w.start for w in windows],
        origin=[
            f"{table.genes[w.gene]} {w.site.chrom}:{w.site.site}{w.site.strand}"
            f" ({table.origins[w.gene]})"
            for w in windows
        ],
        name=Path(table.path).name.removesuffix(".gz").rsplit(".", 1)[0],
        notes=[*table.notes, *notes],
        kind="numbers",
        label_names=table.cells,
        family=families,
    )


def matched(table: GeneTable, sites: Sequence[StartSite]) -> tuple[dict[int, list[int]], list[str]]:
    """Give the starts of each row of a table, by number, and lines on what has no partner.

    Raises
    ------
    InputError
        If no name of the table is that of a gene with a start.
    """
    exact = {name: row for row, name in enumerate(table.genes)}
    looked: tuple[Mapping[str, int], ...] = (
        exact,
        _unique((plain_id(name), row) for name, row in exact.items()),
        _unique((plain_id(name).upper(), row) for name, row in exact.items()),
    )
    spelled = (lambda name: name, plain_id, lambda name: plain_id(name).upper())
    of_row: dict[int, list[int]] = defaultdict(list)
    how: dict[int, int] = {}
    for number, site in enumerate(sites):
        for n, (rows, spell) in enumerate(zip(looked, spelled, strict=True)):
            row = next((rows[spell(name)] for name in site.names if spell(name) in rows), None)
            if row is not None:
                of_row[row].append(number)
                how[row] = min(n, how.get(row, n))
                break
    if not of_row:
        raise InputError(
            "no gene of the table has a start",
            where=table.path,
            found=f"names such as {few(table.genes, 3)}",
            expected=f"names such as {few([' or '.join(site.names[:2]) for site in sites[:3]], 3)}",
            do="Give the annotation that the table was made with, or --gene-column.",
        )
    used = {n for ns in of_row.values() for n in ns}
    several = {row for row, ns in of_row.items() if len({_own(sites[n]) for n in ns}) > 1}
    for row in several:
        del of_row[row]
    counts = Counter(how[row] for row in of_row)
    other = len({_own(site) for n, site in enumerate(sites) if n not in used})
    notes = [
        f"{len(of_row)} of {len(table.genes)} genes of the table have a start ("
        + ", ".join(f"{counts[n]} {HOW[n]}" for n in sorted(counts))
        + ")"
    ]
    if other:
        notes.append(f"{other} genes with a start have no row in the table")
    if several:
        notes.append(f"{len(several)} genes whose name lies at several places left out")
    return dict(of_row), notes


def _own(site: StartSite) -> tuple[str, str, str]:
    """A gene at a place; in a file of sites alone its name says less than where it is."""
    name = site.names[0] if site.bases > 1 else site.names[-1]
    return name, site.chrom, site.strand


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Names that only one row has."""
    rows: dict[str, set[int]] = defaultdict(set)
    for name, row in pairs:
        rows[name].add(row)
    return {name: next(iter(own)) for name, own in rows.items() if len(own) == 1}


def best(sites: Sequence[StartSite], numbers: Sequence[int], rule: str) -> list[int]:
    """Choose among the starts of a gene.

    Examples
    --------
    >>> a = StartSite(("G",), "chr1", 90, "-", 3, 50, 1)
    >>> b = StartSite(("G",), "chr1", 70, "-", 0, 30, 2)
    >>> [best([a, b, b], [0, 1, 2], rule) for rule in ("first", "main", "each")]
    [[0], [1], [0, 1]]
    """
    if rule == "main":
        return [min(numbers, key=lambda n: (sites[n].rank, -sites[n].bases, sites[n].line))]
    if rule == "first":
        sign = 1 if sites[numbers[0]].strand == "+" else -1
        return [min(numbers, key=lambda n: (sign * sites[n].site, sites[n].line))]
    at = {sites[n].site: n for n in reversed(numbers)}
    return sorted(at.values())


def cut_windows(
    chosen: Sequence[tuple[StartSite, int]], genome: Any, options: Any, where: str
) -> tuple[list[GeneWindow], dict[str, int]]:
    """Cut the bases around starts, and count those that have none.

    Parameters
    ----------
    chosen : sequence of (site, gene)
    genome : path, paths, store or Reference
    options
        With upstream and downstream.
    where : str
        File of the starts, for a message.
    """
    reference = open_reference(genome)
    lost = {
        "on a chromosome the genome lacks": 0,
        "whose window reaches over the end of the chromosome": 0,
        "whose window holds N alone": 0,
    }
    lacks, beyond, empty = lost
    unknown = set(check_names({site.chrom for site, _ in chosen}, reference.sizes, where))
    windows = []
    for chrom in dict.fromkeys(site.chrom for site, _ in chosen):
        here = [(site, gene) for site, gene in chosen if site.chrom == chrom]
        if chrom in unknown:
            lost[lacks] += len(here)
            continue
        bases = reference.codes(chrom)
        for site, gene in here:
            first, last = -options.upstream, options.downstream - 1
            start, end = window_of(site.site, site.strand, first, last)
            if start < 0 or end > len(bases):
                lost[beyond] += 1
                continue
            codes = cut_stranded(bases, start, end, site.strand)
            if codes.min() > 3:
                lost[empty] += 1
            else:
                windows.append(GeneWindow(site, gene, start, codes))
    return windows, lost


def read_families(path: str | Path) -> dict[str, str]:
    """Read a table of gene and family; a gene with and without the version of its id.

    Raises
    ------
    InputError
        If a line has not two columns.
    """
    families = {}
    for number, line in read_lines(path):
        cells = line.split("\t")
        if not line.strip() or line.startswith("#"):
            continue
        if len(cells) < 2 or not all(cell.strip() for cell in cells[:2]):
            raise InputError(
                "the line names no family",
                where=f"{path}, line {number}",
                found=repr(line[:60]),
                expected="gene and family, separated by a tab",
            )
        families[plain_id(cells[0].strip()).upper()] = cells[1].strip()
    return families


def _family(gene: str, given: Mapping[str, str] | None) -> str:
    return "" if given is None else given.get(plain_id(gene).upper(), "")


def families_of(windows: Sequence[GeneWindow], named: Sequence[str]) -> NDArray[np.int64]:
    """Number what must not be parted, (N,): rows of one gene or family, and windows that overlap;
    -1 where a row stands alone.

    Parameters
    ----------
    windows : sequence of GeneWindow
    named : sequence of str
        Family of each; "" where none is known.
    """
    above = list(range(len(windows)))

    def root(n: int) -> int:
        while above[n] != n:
            above[n] = above[above[n]]
            n = above[n]
        return n

    seen: dict[Hashable, int] = {}
    for n, (window, name) in enumerate(zip(windows, named, strict=True)):
        for key in (window.gene, name):
            if key != "":
                above[root(n)] = root(seen.setdefault(key, n))
    order = sorted(range(len(windows)), key=lambda n: (windows[n].site.chrom, windows[n].start))
    for a, b in pairwise(order):
        near = windows[b].start < windows[a].start + len(windows[a].codes)
        if near and windows[a].site.chrom == windows[b].site.chrom:
            above[root(b)] = root(a)
    roots = np.array([root(n) for n in range(len(windows))], np.int64)
    _, inverse, counts = np.unique(roots, return_inverse=True, return_counts=True)
    return np.where(counts[inverse] > 1, inverse, -1).astype(np.int64)
