"""From what a user has to labels of bins: a label file, a folder of peaks, or a dict.

Which cell types are there, what is missing (relaxed peaks, chromosomes without a peak)
and what was left out is said in the notes. Neighbours: `labels` and `bins`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from epilm.errors import InputError, UsageError, nearest
from epilm.genome.chromosomes import check_names, few
from epilm.tasks.binding.bins import MARGIN, Bins, grid, read_intervals
from epilm.tasks.binding.dream.challenge import PAIRS, names_cell, read_name
from epilm.tasks.binding.dream.wilds import PLACES, read_wilds, wilds_cells
from epilm.tasks.binding.labels import (
    AMBIGUOUS,
    BinLabels,
    Rule,
    label_cells,
    labels_from_peaks,
    read_labels,
)
from epilm.tasks.binding.regions import among, bins_among

# Bins of a chromosome without any peak of a cell type: the challenge keeps chr1, chr8 and chr21 out
# of its peak files, so that "no peak" there says nothing.
WithoutPeaks = Literal["unknown", "unbound"]
_PEAKS = re.compile(
    r"^(?:ChIPseq\.)?(?P<cell>.+)\.(?P<factor>[^.]+)\.(?P<kind>conservative|relaxed)"
    r"(?:\.train)?\.(?:narrowPeak|bed)(?:\.gz)?$"
)
_LABELS = re.compile(r"^(?P<factor>[^.]+)(?:\..+)?\.labels\.tsv(?:\.gz)?$")


def find_peaks(folder: str | Path) -> dict[str, dict[str, dict[str, Path]]]:
    """List the peak files of a folder: {factor: {cell type: {"conservative": .., "relaxed": ..}}}.

    Names are [ChIPseq.]CELL.FACTOR.conservative[.train].narrowPeak[.gz], and relaxed likewise.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "K562.CTCF.conservative.narrowPeak.gz").touch()
    >>> {f: {c: sorted(k) for c, k in cells.items()} for f, cells in find_peaks(folder).items()}
    {'CTCF': {'K562': ['conservative']}}
    """
    out: dict[str, dict[str, dict[str, Path]]] = {}
    for path in sorted(Path(folder).iterdir()):
        parts = _PEAKS.match(path.name)
        if parts:
            kinds = out.setdefault(parts["factor"], {}).setdefault(parts["cell"], {})
            if parts["kind"] in kinds:
                raise InputError(
                    "two files hold the same peaks",
                    where=str(folder),
                    found=f"{kinds[parts['kind']].name}, {path.name}",
                    expected=f"one {parts['kind']} file of {parts['factor']} in {parts['cell']}",
                )
            kinds[parts["kind"]] = path
    return out


def find_wilds(folder: str | Path, factor: str | None = None) -> Path | None:
    """Give the folder that holds a factor's two files of WILDS (`dream.wilds`): the one given,
    labels/FACTOR or FACTOR in it.
    """
    root = Path(folder)
    names = [factor] if factor else ["MAX", "JUND"]
    for subset in (root, *(root / "labels" / n for n in names), *(root / n for n in names)):
        if (subset / PLACES).is_file():
            return subset
    return None


def factor_named(data: Any) -> str | None:
    """Give the factor that labels say they are of, by their own name; None where they do not say.

    Examples
    --------
    >>> factor_named("chip/CTCF.train.labels.tsv.gz"), factor_named("chip/of_today.tsv")
    ('CTCF', None)
    """
    if isinstance(data, BinLabels):
        return data.factor or None
    if not isinstance(data, str | Path):
        return None
    path = Path(data)
    if path.is_dir():
        # A WILDS subset has its factor in the folder's name alone; any other name of a folder means
        # nothing.
        known = path.name.upper() in {pair.factor for pair in PAIRS}
        return path.name if known and (path / PLACES).is_file() else None
    parts = _LABELS.match(path.name)
    return parts["factor"] if parts else None


def check_factor(data: Any, factor: str | None) -> None:
    """Refuse labels whose name says another factor than the one asked for; upper and lower case are
    one.

    Raises
    ------
    InputError
    """
    named = factor_named(data)
    if factor is None or named is None or named.lower() == factor.lower():
        return
    in_memory = isinstance(data, BinLabels)
    raise InputError(
        "the labels are of another factor",
        where=None if in_memory else str(data),
        found=f"{named} in {'BinLabels.factor' if in_memory else 'the name'}",
        expected=factor,
        do=(
            f"Give the labels of {factor} (--data), or ask for {named} (--factor {named}); if the"
            f" name alone is wrong, call them {factor}.train.labels.tsv.gz."
        ),
    )


def factor_of_predictions(path: Path, data: Any, factor: str | None, cell: str) -> str | None:
    """Give the factor of a file of predictions: as asked for, else by its name; refused where the
    two or the labels differ.

    Only a name of the challenge's own form says anything: the second word of my.run.v2.tab.gz is no
    factor.

    Raises
    ------
    InputError

    Examples
    --------
    >>> factor_of_predictions(Path("F.CTCF.liver.tab.gz"), "labels.tsv", None, "liver")
    'CTCF'
    """
    named = read_name(path.name)
    if named is None:
        return factor
    rename = "rename a file that is named wrongly"
    if not names_cell(path.name, cell):
        raise InputError(
            "the predictions are of another cell type",
            where=str(path),
            found=f"{named[1]} in the file's name",
            expected=f"{cell}, as --cell says",
            do=f"Give the predictions of {cell}, or --cell {named[1]}; {rename}.",
        )
    for other, who in (
        (factor, "as --factor says"),
        (factor_named(data), "as the labels are named"),
    ):
        if other is not None and other.lower() != named[0].lower():
            raise InputError(
                "the predictions are of another factor",
                where=str(path),
                found=f"{named[0]} in the file's name",
                expected=f"{other}, {who}{'' if isinstance(data, BinLabels) else f' ({data})'}",
                do=(
                    f"Give the predictions of {other}, or the labels of {named[0]} (--data);"
                    f" {rename}."
                ),
            )
    return factor or named[0]


def load_bins(
    data: Any,
    *,
    factor: str | None = None,
    cells: Sequence[str] | None = None,
    sizes: Mapping[str, int] | None = None,
    chroms: Sequence[str] | None = None,
    regions: Any = None,
    blacklist: Any = None,
    rule: Rule | None = None,
    without_peaks: WithoutPeaks | None = None,
    margin: int = MARGIN,
) -> BinLabels:
    """Give the labels of a factor, from whatever holds them.

    Parameters
    ----------
    data : path or dict
        The challenge's label file; a folder of label files, of peak files (`find_peaks`)
        or of the WILDS subset (`wilds`); or
        {cell type: conservative peaks, or (conservative, relaxed)}, as paths or tables.
    factor : str, optional
        Needed where a folder holds several. Labels whose name says another one are refused.
    cells : sequence of str, optional
        Which cell types, in which order; by default all.
    sizes : dict of chromosome to bp
        The genome's; needed to lay bins when labels are rebuilt without `regions`. Peaks that end
        a little past them are cut there and counted, others refused.
    chroms : sequence of str, optional
        Keep bins inside these chromosomes or parts of them.
    regions : path, DataFrame or sequence of places, optional
        Where there are bins: a file with one bin a line (the challenge's region files), or regions
        to lay bins over. With a label file: only its bins that are among these.
    blacklist : path or DataFrame, optional
        Bins that touch it are left out.
    rule : {"challenge", "bin_half"}, optional
        See `labels_from_peaks`; "challenge" where not given. For peaks alone.
    without_peaks : {"unknown", "unbound"}, optional
        What the bins of a chromosome are where a cell type has no peak at all: not known (-1, as
        ambiguous ones; where not given) or not bound. For peaks alone.
    margin : int
        See `grid`.

    Returns
    -------
    BinLabels

    Raises
    ------
    InputError
        Naming what is missing and what there is; if the labels are named as those of another
        factor, or a peak ends far past its chromosome.
    UsageError
        If how peaks become labels is said of a file of labels.
    """
    check_factor(data, factor)
    if isinstance(data, BinLabels):
        _check_peaks_alone(data.factor or "the labels", rule, without_peaks)
        labels = data if cells is None else data.select(cells)
        return _narrowed(labels, chroms, regions, blacklist)
    if isinstance(data, Mapping):
        peaks = {cell: _pair(value) for cell, value in data.items()}
        return _rebuilt(
            peaks,
            factor or "",
            cells,
            sizes,
            chroms,
            regions,
            blacklist,
            rule or "challenge",
            without_peaks or "unknown",
            margin,
            "the peaks given",
        )
    path = Path(data)
    if path.is_dir():
        if (subset := find_wilds(path, factor)) is not None:
            _check_peaks_alone(str(subset), rule, without_peaks)
            labels = read_wilds(subset, factor=factor, cells=cells, chroms=chroms)
            return _narrowed(labels, None, regions, blacklist)
        files = {m["factor"]: p for p in sorted(path.iterdir()) if (m := _LABELS.match(p.name))}
        peak_files = {} if files else find_peaks(path)
        name = _factor(factor, list(files or peak_files), path)
        if files:
            path = files[name]
        else:
            pairs = {
                cell: (kinds.get("conservative"), kinds.get("relaxed"))
                for cell, kinds in peak_files[name].items()
            }
            return _rebuilt(
                pairs,
                name,
                cells,
                sizes,
                chroms,
                regions,
                blacklist,
                rule or "challenge",
                without_peaks or "unknown",
                margin,
                str(path),
            )
    elif _PEAKS.match(path.name):
        raise UsageError(
            "this is the peak file of one cell type",
            where=str(path),
            expected="a label file, or the folder of peak files",
            do=f"Give {path.parent} and name the factor.",
        )
    _check_peaks_alone(str(path), rule, without_peaks)
    return _narrowed(
        read_labels(path, chroms=chroms, cells=cells, factor=factor or ""), None, regions, blacklist
    )


def cells_of(data: Any, factor: str | None = None) -> tuple[str, ...]:
    """Name the cell types that labels have, without reading them.

    Parameters
    ----------
    data : path or BinLabels
        As in `load_bins`.
    factor : str, optional
        Which one, where a folder holds several.

    Raises
    ------
    InputError, UsageError

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "K562.CTCF.conservative.narrowPeak.gz").touch()
    >>> cells_of(folder)
    ('K562',)
    """
    if isinstance(data, BinLabels):
        return data.cells
    path = Path(data)
    if not path.is_dir():
        return label_cells(path)
    if (subset := find_wilds(path, factor)) is not None:
        return wilds_cells(subset)
    files = {m["factor"]: p for p in sorted(path.iterdir()) if (m := _LABELS.match(p.name))}
    peaks = {} if files else find_peaks(path)
    name = _factor(factor, list(files or peaks), path)
    if files:
        return label_cells(files[name])
    return tuple(cell for cell, kinds in peaks[name].items() if "conservative" in kinds)


def _check_peaks_alone(where: str, rule: Any, without_peaks: Any) -> None:
    """Refuse what says how peaks become labels where there are labels already: those of the
    challenge's own rule are what they are.
    """
    given = {"--rule": None if rule == "challenge" else rule, "--without-peaks": without_peaks}
    if asked := [f"{option} {value}" for option, value in given.items() if value is not None]:
        raise UsageError(
            "the labels are given: no peaks are read",
            where=where,
            found=", ".join(asked),
            do="Leave it out, or give the folder of peak files (--data).",
        )


def _factor(factor: str | None, there: list[str], path: Path) -> str:
    if not there:
        raise InputError(
            "the folder holds neither labels nor peaks of a factor",
            where=str(path),
            expected=(
                "FACTOR.train.labels.tsv.gz, or CELL.FACTOR.conservative.narrowPeak.gz (and"
                " .relaxed.)"
            ),
        )
    if factor is None:
        if len(there) == 1:
            return there[0]
        raise UsageError(
            "the folder holds several factors",
            where=str(path),
            found=few(sorted(there), 30),
            do="Name one with --factor.",
        )
    if factor not in there:
        raise InputError(
            "the folder holds no labels of this factor",
            where=str(path),
            found=factor,
            do=nearest(factor, there),
        )
    return factor


def _pair(value: Any) -> tuple[Any, Any]:
    if isinstance(value, tuple | list):
        return value[0], value[1] if len(value) > 1 else None
    if isinstance(value, Mapping):
        return value.get("conservative"), value.get("relaxed")
    return value, None


def _rebuilt(
    peaks: Mapping[str, tuple[Any, Any]],
    factor: str,
    cells: Sequence[str] | None,
    sizes: Mapping[str, int] | None,
    chroms: Sequence[str] | None,
    regions: Any,
    blacklist: Any,
    rule: Rule,
    without_peaks: WithoutPeaks,
    margin: int,
    where: str,
) -> BinLabels:
    wanted = (
        [cell for cell, (core, _) in peaks.items() if core is not None]
        if cells is None
        else list(cells)
    )
    for cell in wanted:
        if cell not in peaks or peaks[cell][0] is None:
            there = sorted(cell for cell, (core, _) in peaks.items() if core is not None)
            raise InputError(
                f"there are no conservative peaks of {factor or 'the factor'} in this cell type",
                where=where,
                found=cell,
                do=(
                    nearest(cell, there)
                    if there
                    else "There are relaxed peaks alone: they cannot say what is bound."
                ),
            )
    notes = _near_names(list(peaks))
    blacklisted = None if blacklist is None else read_intervals(blacklist)
    bins = _bins(sizes, chroms, regions, margin, where)
    if blacklisted is not None:
        clear = ~bins.overlaps(blacklisted)
        if not clear.all():
            notes.append(
                f"{int((~clear).sum())} of {len(bins)} bins touch the blacklist and were left out"
            )
            bins = bins.take(clear)
    values = np.empty((len(bins), len(wanted)), np.int8, order="F")
    named = [name for name, _, _ in bins.runs()]
    for c, cell in enumerate(wanted):
        core = read_intervals(peaks[cell][0])
        wide = None if peaks[cell][1] is None else read_intervals(peaks[cell][1])
        origin = str(getattr(core, "attrs", {}).get("source", cell))
        met = _chroms_of(core)
        check_names(sorted(met), list(sizes) if sizes else named, origin, other="the bins")
        if wide is None:
            notes.append(
                f"{cell}: no relaxed peaks, so only the edges of conservative peaks are ambiguous"
            )
        else:
            met |= _chroms_of(wide)
        if sizes:
            core, wide = (
                table if table is None else _within(table, sizes, cell, notes)
                for table in (core, wide)
            )
        values[:, c] = labels_from_peaks(bins, core, wide, rule=rule)
        silent = [(name, low, high) for name, low, high in bins.runs() if name not in met]
        if silent:
            names = few([name for name, _, _ in silent], 24)
            if without_peaks == "unbound":
                notes.append(f"{cell}: no peak on {names}; all bins there count as not bound")
            else:
                for _, low, high in silent:
                    values[low:high, c] = AMBIGUOUS
                notes.append(
                    f"{cell}: no peak on {names}; the {sum(h - lo for _, lo, h in silent):,} bins"
                    " there are not known, neither learned from nor scored (if it was looked"
                    " there: --without-peaks unbound)"
                )
    notes.append(f"labels rebuilt from peaks by the rule {rule!r}")
    return BinLabels(bins, tuple(wanted), values, factor, tuple(notes))


def _near_names(cells: Sequence[str]) -> list[str]:
    """Hint at cell types whose names differ in case and punctuation alone."""
    groups: dict[str, list[str]] = {}
    for cell in cells:
        plain = "".join(letter for letter in cell.lower() if letter.isalnum())
        groups.setdefault(plain, []).append(cell)
    return [
        f"{' and '.join(group)} differ in case and punctuation alone: if they are one cell type,"
        " name their files alike"
        for group in groups.values()
        if len(group) > 1
    ]


def _chroms_of(peaks: Any) -> set[str]:
    """Chromosomes that a table of peaks has any of."""
    return set(np.unique(np.asarray(peaks["chrom"]).astype(str)).tolist())


def _within(peaks: Any, sizes: Mapping[str, int], cell: str, notes: list[str]) -> Any:
    """Peaks cut at the ends of their chromosomes, which is counted; refused are those of another
    assembly.
    """
    # Here alone: a label file is learned from without what reads peaks (pandas).
    from epilm.genome.checks import cut_ends

    table, cut = cut_ends(
        peaks,
        sizes,
        peaks.attrs.get("source", cell),
        "peak",
        "The peaks belong to another assembly: give the store of the genome they were called on"
        " (--store), or lift them over.",
    )
    if cut:
        notes.append(f"{cell}: {cut:,} peaks end past their chromosome and are cut there")
    return table


def _bins(
    sizes: Mapping[str, int] | None,
    chroms: Sequence[str] | None,
    regions: Any,
    margin: int,
    where: str,
) -> Bins:
    if regions is not None:
        return bins_among(regions, chroms, margin)
    if sizes is None:
        raise UsageError(
            "labels are rebuilt on bins, and nothing says where those lie",
            where=where,
            do="Give the store, whose genome they lie on (--store), or regions (--regions FILE).",
        )
    return grid(sizes, chroms=chroms, margin=margin)


def _narrowed(
    labels: BinLabels, chroms: Sequence[str] | None, regions: Any, blacklist: Any
) -> BinLabels:
    notes = list(labels.notes)
    if chroms is not None:
        labels = labels.take(labels.bins.inside(chroms))
    if regions is not None:
        allowed = bins_among(regions)
        keep = among(labels.bins, allowed)
        if not keep.any():
            raise InputError(
                "no bin of the labels is among the regions",
                where=labels.factor or None,
                found=labels.bins.place(0),
                expected=f"bins such as {allowed.place(0)}",
                do="Are both of one assembly?",
            )
        if not keep.all():
            notes.append(
                f"{int((~keep).sum())} of {len(keep)} bins are not in the region file and were"
                " left out"
            )
            labels = labels.take(keep)
    if blacklist is not None:
        clear = ~labels.bins.overlaps(read_intervals(blacklist))
        if not clear.all():
            notes.append(
                f"{int((~clear).sum())} of {len(clear)} bins touch the blacklist and were left out"
            )
            labels = labels.take(clear)
    return BinLabels(labels.bins, labels.cells, labels.values, labels.factor, tuple(notes))
