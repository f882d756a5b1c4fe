"""Tracks of files that a user gives: peaks, signals, attributions, variants with their scores.

`NAME=FILE` names a track; without a name the file's own is taken.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epilm.errors import InputError, UsageError, nearest
from epilm.exploring.loci import Stretch
from epilm.exploring.store_tracks import POINTS, colour_of, rgb
from epilm.exploring.track import Level, Track, TrackSpan, coarse
from epilm.genome.chromosomes import check_names, few
from epilm.genome.genes import Genes
from epilm.genome.peaks import read_peaks
from epilm.genome.signals import open_signal
from epilm.plots.style import COLOURS
from epilm.variants.scored_files import read_scores
from epilm.variants.variant_files import TSV_ENDINGS, VCF_ENDINGS, read_variants

PEAKS = (".bed", ".narrowpeak", ".broadpeak")
SIGNALS = (".bw", ".bigwig", ".bedgraph", ".bdg", ".bg")
EXPLAINED = ("scores.bw", "scores.bedgraph")  # in a folder of `epilm explain`
EXACT_BP = 20_000  # a view up to so wide shows every base of a file's signal
UP, DOWN, QUIET = rgb("#b83232"), rgb(COLOURS[0]), "120,130,145"


def named_file(word: str | Path) -> tuple[str, Path]:
    """Read NAME=FILE, or a file alone.

    Examples
    --------
    >>> named_file("CTCF in liver=a.bed"), named_file("b/liver.narrowPeak.gz")
    (('CTCF in liver', PosixPath('a.bed')), ('liver', PosixPath('b/liver.narrowPeak.gz')))
    """
    text = str(word)
    # Names and folders may hold the sign too: the split whose file is there counts.
    cuts = [i for i, sign in enumerate(text) if sign == "="]
    if cuts and not Path(text).exists():
        cut = next((i for i in cuts if Path(text[i + 1 :]).exists()), cuts[0])
        name, rest = text[:cut], text[cut + 1 :]
        if not name or not rest:
            raise UsageError("not a track", where="--track", found=text, expected="NAME=FILE")
        return name, Path(rest)
    path = Path(text)
    if path.is_dir():
        return path.name, path
    plain = path.name.removesuffix(".gz")
    return plain.rsplit(".", 1)[0] if "." in plain[1:] else plain, path


def file_tracks(
    word: str | Path,
    stretches: Sequence[Stretch],
    sizes: Mapping[str, int],
    *,
    number: int,
    letters: bool,
    column: str | None,
    notes: list[str],
) -> Iterator[Track]:
    """Give the tracks of a file, by its name.

    Parameters
    ----------
    word : str or path
        NAME=FILE or FILE, or a folder of `epilm explain`. BED, narrowPeak, broadPeak: intervals.
        bigWig, bedGraph: numbers. VCF, BCF, or a table with chrom, pos, ref, alt: variants, and
        beside them a track of one score.
    number : int
        Which one of the files it is: its colour.
    letters : bool
        Numbers are attributions: drawn as letters.
    column : str, optional
        Which score of the variants.

    Raises
    ------
    InputError
        If the file is missing, of another format or of another assembly.
    UsageError
        If its name tells no format, or it has no such score.
    """
    name, path = named_file(word)
    if path.is_dir():  # of `epilm explain`
        path = path / next((n for n in EXPLAINED if (path / n).is_file()), EXPLAINED[0])
    lower = path.name.lower().removesuffix(".gz")
    if not path.is_file():
        raise InputError("there is no such file", where=str(path))
    if lower.endswith(SIGNALS):
        yield _numbers(name, path, stretches, sizes, number, letters, notes)
        return
    if letters:
        raise UsageError(
            "attributions are numbers along the genome",
            where=str(path),
            expected=", ".join(SIGNALS),
            do="Give what epilm explain wrote, or this file as --track.",
        )
    if lower.endswith(PEAKS):
        yield _intervals(name, path, stretches, sizes, number, notes)
    elif path.name.lower().endswith((*VCF_ENDINGS, *TSV_ENDINGS)):
        yield from variant_tracks(name, path, stretches, sizes, column, notes)
    else:
        raise UsageError(
            "the format of a track is told by its name, and this one is unknown",
            found=path.name,
            expected=", ".join((*PEAKS, *SIGNALS, *VCF_ENDINGS, *TSV_ENDINGS)),
        )


def gene_track(genes: Genes, stretches: Sequence[Stretch], sizes: Mapping[str, int]) -> Track:
    """Give the genes of the stretches.

    Raises
    ------
    InputError
        If a gene ends past its chromosome: the file is of another assembly.
    """
    check_names({gene.chrom for gene in genes.genes}, sizes, genes.source)
    for gene in genes.genes:
        if gene.end > sizes.get(gene.chrom, gene.end):
            raise _past_end("gene", genes.source, gene.name, gene.place, sizes[gene.chrom])
    parts = []
    for stretch in stretches:
        inside = genes.within(stretch.chrom, stretch.start, stretch.end)
        parts.append(
            [
                TrackSpan(
                    gene.start,
                    gene.end,
                    gene.name,
                    gene.strand,
                    exons=gene.exons,
                    said={"id": gene.ident},
                )
                for gene in inside
            ]
        )
    return Track("genes", "genes", tuple(parts), "45,52,64", about=Path(genes.source).name)


def _past_end(what: str, source: str, name: str, place: str, size: int) -> InputError:
    return InputError(
        f"the {what} ends past its chromosome",
        where=source,
        found=f"{name}, {place}",
        expected=f"an end of at most {size}",
        do="It is of another assembly: give the file of this genome.",
    )


def _numbers(
    name: str,
    path: Path,
    stretches: Sequence[Stretch],
    sizes: Mapping[str, int],
    number: int,
    letters: bool,
    notes: list[str],
) -> Track:
    signal = open_signal(path)
    check_names(signal.chroms, sizes, str(path))
    lacking = sorted({s.chrom for s in stretches} - set(signal.chroms))
    if lacking:
        notes.append(f"{name} says nothing of {few(lacking)}")
    parts = []
    for stretch in stretches:
        step = 1 if stretch.view <= EXACT_BP else stretch.view // POINTS
        if stretch.chrom in lacking:
            values = np.full(0, np.nan, np.float32)
        else:
            chrom, start, end, _ = stretch
            values = signal.read_window(chrom, start, end, sizes[chrom])
        parts.append(Level(stretch.start, step, coarse(values, step)))
    group: Any = "attributions" if letters else "files"
    track = Track(name, group, tuple(parts), colour_of(number), letters=letters, about=path.name)
    if track.empty and not len(lacking):
        notes.append(f"{name} says nothing of any locus")
    return track


def _intervals(
    name: str,
    path: Path,
    stretches: Sequence[Stretch],
    sizes: Mapping[str, int],
    number: int,
    notes: list[str],
) -> Track:
    table = read_peaks(path)
    check_names(table["chrom"], sizes, str(path))
    chrom, end = table["chrom"].astype(str).to_numpy(), table["end"].to_numpy(np.int64)
    size = np.array([sizes.get(c, 2**62) for c in chrom], np.int64)
    if (past := end > size).any():
        row = int(past.argmax())
        position = f"{chrom[row]}:{table['start'].iloc[row]}-{end[row]}"
        where = f"{path}, line {table.index[row]}"
        raise _past_end("interval", where, name, position, int(size[row]))
    start = table["start"].to_numpy(np.int64)
    parts = []
    for stretch in stretches:
        inside = (chrom == stretch.chrom) & (start < stretch.end) & (end > stretch.start)
        parts.append([_peak(row) for row in table[inside].to_dict("records")])
    track = Track(name, "peaks", tuple(parts), colour_of(number), about=path.name)
    if track.empty:
        notes.append(f"{name} has no interval in any locus")
    return track


def _peak(row: Mapping[str, Any]) -> TrackSpan:
    said = {
        key: f"{row[key]:g}"
        for key in ("score", "signal", "p", "q")
        if key in row and np.isfinite(row[key]) and row[key] != -1
    }
    if row.get("summit", -1) >= 0:
        said["summit"] = f"{row['summit'] + 1:,}"
    text = str(row.get("name", "."))
    strand = str(row.get("strand", "."))
    return TrackSpan(
        int(row["start"]), int(row["end"]), "" if text == "." else text, strand, said=said
    )


def variant_tracks(
    name: str,
    path: Path,
    stretches: Sequence[Stretch],
    sizes: Mapping[str, int],
    column: str | None,
    notes: list[str],
) -> Iterator[Track]:
    """Give the variants of a file, and one score of them as points where there is any.

    Parameters
    ----------
    name : str
    path : Path
        VCF, BCF or table.
    column : str, optional
        Which score; the first difference, else the first where not given.
    """
    file = read_variants(path)
    check_names({allele.chrom for allele in file.alleles}, sizes, str(path))
    for allele in file.alleles:
        if allele.start + len(allele.ref) > sizes.get(allele.chrom, 2**62):
            position = f"{allele.chrom}:{allele.start + 1}"
            raise _past_end("variant", allele.where, name, position, sizes[allele.chrom])
    scores = read_scores(path, file)
    chosen = _choose(scores, column, path)
    high = max((abs(v) for v in scores[chosen].values()), default=0.0) if chosen else 0.0
    parts: list[list[TrackSpan]] = []
    bars: list[Level] = []
    for stretch in stretches:
        spans = []
        values = np.full(stretch.end - stretch.start, np.nan, np.float32)
        for row, allele in enumerate(file.alleles):
            end = allele.start + max(len(allele.ref), 1)
            if allele.chrom != stretch.chrom or allele.start >= stretch.end or end <= stretch.start:
                continue
            said = {key: f"{by_row[row]:.4g}" for key, by_row in scores.items() if row in by_row}
            value = scores[chosen].get(row) if chosen else None
            colour = QUIET if value is None else UP if value > 0 else DOWN
            text = f"{allele.ref[:12]}>{allele.alt[:12]}"
            label = text if allele.name == "." else f"{allele.name} {text}"
            spans.append(TrackSpan(allele.start, end, label, colour=colour, said=said))
            at = allele.start - stretch.start
            if value is not None and 0 <= at < len(values):
                before = values[at]
                if np.isnan(before) or abs(value) > abs(before):
                    values[at] = value
        parts.append(spans)
        bars.append(Level(stretch.start, 1, values))
    yield Track(name, "variants", tuple(parts), QUIET, about=path.name)
    if chosen:
        about = f"{chosen} of {path.name}; of several ALTs the one farthest from 0"
        yield Track(
            f"{name}: {chosen}", "variants", tuple(bars), UP, low=-high, high=high, about=about
        )
    else:
        notes.append(f"{name} has no scores: epilm score-variants adds them")


def _choose(scores: Mapping[str, Any], column: str | None, path: Path) -> str | None:
    """Which score is drawn: the one asked for, else the first difference, else the first."""
    if column is not None:
        if column not in scores:
            raise UsageError(
                "the variants have no such score",
                where=str(path),
                found=column,
                do=nearest(column, scores),
            )
        return column
    return next((name for name in scores if name.endswith("_delta")), next(iter(scores), None))
