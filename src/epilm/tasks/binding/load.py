"""From what a user has to labels of bins: a label file, a folder of peaks, or a dict.

Which cell types are there, what is missing (relaxed peaks, chromosomes without a peak)
and what was left out is said in the notes. Neighbours: `labels` and `bins`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epilm.errors import InputError, UsageError, nearest
from epilm.genome.chromosomes import check_names, few
from epilm.tasks.binding.bins import MARGIN, WIDTH, Bins, grid, read_bins, read_intervals
from epilm.tasks.binding.dream.challenge import PAIRS, names_cell, read_name
from epilm.tasks.binding.dream.wilds import PLACES, find_wilds, read_wilds
from epilm.tasks.binding.labels import BinLabels, Rule, labels_from_peaks, read_labels
from epilm.tasks.binding.lines import iter_lines

_PEAKS = re.compile(
    r"^(?:ChIPseq\.)?(?P<cell>.+)\.(?P<factor>[^.]+)\.(?P<kind>conservative|relaxed)(?:\.train)?\.(?:narrowPeak|bed)(?:\.gz)?$"
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
        found = _PEAKS.match(path.name)
        if found:
            kinds = out.setdefault(found["factor"], {}).setdefault(found["cell"], {})
            if found["kind"] in kinds:
                raise InputError(
                    "two files hold the same peaks",
                    where=str(folder),
                    found=f"{kinds[found['kind']].name}, {path.name}",
                    expected=f"one {found['kind']} file of {found['factor']} in {found['cell']}",
                )
            kinds[found["kind"]] = path
    return out


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
    found = _LABELS.match(path.name)
    return found["factor"] if found else None


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
    held = isinstance(data, BinLabels)
    raise InputError(
        "the labels are of another factor",
        where=None if held else str(data),
        found=f"{named} in {'BinLabels.factor' if held else 'the name'}",
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
    rule: Rule = "challenge",
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
        past them are refused.
    chroms : sequence of str, optional
        Keep bins inside these chromosomes or parts of them.
    regions : path, DataFrame or sequence of places, optional
        Where there are bins: a file with one bin a line (the challenge's region files), or regions
        to lay bins over. With a label file: only its bins that are among these.
    blacklist : path or DataFrame, optional
        Bins that touch it are left out.
    rule : {"challenge", "bin_half"}
        See `labels_from_peaks`.
    margin : int
        See `grid`.

    Returns
    -------
    BinLabels

    Raises
    ------
    InputError
        Naming what is missing and what there is; if the labels are named as those of another
        factor, or a peak ends past its chromosome.
    """
    check_factor(data, factor)
    if isinstance(data, BinLabels):
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
            rule,
            margin,
            "the peaks given",
        )
    path = Path(data)
    if path.is_dir():
        if (subset := find_wilds(path, factor)) is not None:
            labels = read_wilds(subset, factor=factor, cells=cells, chroms=chroms)
            return _narrowed(labels, None, regions, blacklist)
        files = {m["factor"]: p for p in sorted(path.iterdir()) if (m := _LABELS.match(p.name))}
        found = {} if files else find_peaks(path)
        name = _factor(factor, list(files or found), path)
        if files:
            path = files[name]
        else:
            pairs = {
                cell: (kinds.get("conservative"), kinds.get("relaxed"))
                for cell, kinds in found[name].items()
            }
            return _rebuilt(
                pairs, name, cells, sizes, chroms, regions, blacklist, rule, margin, str(path)
            )
    elif _PEAKS.match(path.name):
        raise UsageError(
            "this is the peak file of one cell type",
            where=str(path),
            expected="a label file, or the folder of peak files",
            do=f"Give {path.parent} and name the factor.",
        )
    return _narrowed(
        read_labels(path, chroms=chroms, cells=cells, factor=factor or ""), None, regions, blacklist
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
    blacklisted = None if blacklist is None else read_intervals(blacklist)
    bins = _bins(sizes, chroms, regions, margin, where)
    notes = []
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
        met = set(np.unique(np.asarray(core["chrom"]).astype(str)).tolist())
        check_names(sorted(met), list(sizes) if sizes else named, origin, other="the bins")
        if silent := [name for name in named if name not in met]:
            notes.append(
                f"{cell}: no conservative peak on {few(silent, 24)}; all bins there count as not"
                " bound"
            )
        if wide is None:
            notes.append(
                f"{cell}: no relaxed peaks, so only the edges of conservative peaks are ambiguous"
            )
        for peaks_of in (core, wide):
            if sizes and peaks_of is not None:
                # Here alone: a label file is learned from without what reads peaks (pandas).
                from epilm.genome.checks import check_ends

                check_ends(peaks_of, sizes, peaks_of.attrs.get("source", cell), "peak")
        values[:, c] = labels_from_peaks(bins, core, wide, rule=rule)
    notes.append(f"labels rebuilt from peaks by the rule {rule!r}")
    return BinLabels(bins, tuple(wanted), values, factor, tuple(notes))


def _bins(
    sizes: Mapping[str, int] | None,
    chroms: Sequence[str] | None,
    regions: Any,
    margin: int,
    where: str,
) -> Bins:
    if regions is None:
        if sizes is None:
            raise UsageError(
                "labels are rebuilt on bins, and nothing says where those lie",
                where=where,
                do=(
                    "Give the store, whose genome they lie on (--store), or regions (--regions"
                    " FILE)."
                ),
            )
        return grid(sizes, chroms=chroms, margin=margin)
    if isinstance(regions, Bins):
        return regions if chroms is None else regions.take(regions.inside(chroms))
    if isinstance(regions, str | Path):
        block = next(iter(iter_lines(regions, "a file of regions or bins", size=1 << 14)))
        width = block.integers(2) - block.integers(1) if block.columns >= 3 else np.zeros(1)
        if (width == WIDTH).all():
            return read_bins(regions, chroms=chroms)
        regions = read_intervals(regions)
    return grid(regions, chroms=chroms, margin=margin)


def _narrowed(
    labels: BinLabels, chroms: Sequence[str] | None, regions: Any, blacklist: Any
) -> BinLabels:
    notes = list(labels.notes)
    if chroms is not None:
        labels = labels.take(labels.bins.inside(chroms))
    if regions is not None:
        allowed = (
            regions
            if isinstance(regions, Bins)
            else _bins(None, None, regions, MARGIN, labels.factor)
        )
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


def among(bins: Bins, others: Bins) -> np.ndarray:
    """Say which bins are among others, (n,) bool."""
    out = np.zeros(len(bins), bool)
    place = {name: (low, high) for name, low, high in others.runs()}
    for name, low, high in bins.runs():
        if name in place:
            known = others.start[place[name][0] : place[name][1]]
            at = np.minimum(np.searchsorted(known, bins.start[low:high]), len(known) - 1)
            out[low:high] = known[at] == bins.start[low:high]
    return out
