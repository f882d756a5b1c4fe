"""What a build was asked for, and whether any store can hold it.

Every argument of `build` under its own name, as given. The checks read no large file: a mistake in
an option costs no time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from epilm.errors import InputError
from epilm.genome.chromosomes import PastEnd
from epilm.motifs.matrix import Background, Statistic
from epilm.motifs.pwm import Short
from epilm.store.making.inputs import Peaks
from epilm.store.making.regions import as_option, check_choice, check_thresholds
from epilm.store.making.track_inputs import CellMap

Files = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Asked:
    """The arguments of `build`, which explains each."""

    genome: Files
    out: str | Path
    peaks: Peaks | None
    counts: str | Path | None
    counts_peaks: str | Path | None
    counts_cells: str | Path | None
    label: str
    unlabelled: Literal["error", "drop"]
    layer: str | None
    motifs: str | Path | None
    contacts: Files | None
    contacts_resolution: int | None
    sizes: str | Path | None
    assembly: str | None
    blacklist: str | Path | None
    overlaps: Literal["merge", "keep"]
    region_width: int | None
    max_n_fraction: float
    min_count: float
    min_cpm: float | None
    top_n: int | None
    statistic: Statistic
    more_statistics: Sequence[Statistic]
    p: float
    pseudocount: float
    background: Background
    short: Short
    states: Peaks | None
    state_bin: int | None
    cell_map: CellMap | None
    accessibility: Peaks | None
    mappability: str | Path | None
    signal: Mapping[str, Any] | Sequence[str] | str | None
    signal_resolution: int
    signal_pool: str | Mapping[str, str] | Sequence[str]
    signal_scale: str | Mapping[str, str] | Sequence[str]
    past_end: PastEnd
    strict: bool
    threads: int | None
    from_parts: Sequence[str | Path] | None
    overwrite: bool
    progress: bool

    @property
    def regions_from(self) -> Literal["peaks", "counts", "none"]:
        """What says where regions are."""
        if self.peaks is not None:
            return "peaks"
        return "none" if self.counts is None else "counts"

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """Those of all factor matrices: that of `factors.f16.npy` first."""
        return (self.statistic, *self.more_statistics)


def listed(files: Files) -> list[str | Path]:
    """One file or several, as a list."""
    return [files] if isinstance(files, str | Path) else list(files)


def check(asked: Asked) -> None:
    """Refuse what cannot be made, before a file is read.

    Raises
    ------
    InputError
        Naming the option.
    """
    _check_regions(asked)
    if asked.layer is not None and asked.counts is None:
        raise InputError("--layer is about counts, and none are given", do="Give --counts.")
    _check_motifs(asked)
    check_choice("overlaps", asked.overlaps, ("merge", "keep"))
    check_choice("statistic", asked.statistic, get_args(Statistic))
    _check_more_statistics(asked)
    check_choice("background", asked.background, get_args(Background))
    check_choice("short", asked.short, get_args(Short))
    check_thresholds(asked.min_count, asked.min_cpm, asked.top_n, asked.counts is not None)
    _check_range("max_n_fraction", asked.max_n_fraction, "between 0 and 1", 0, 1)
    _check_range("p", asked.p, "between 0 and 1", 0, 1, ends=False)
    _check_range("pseudocount", asked.pseudocount, ">= 0", 0)
    check_choice("past_end", asked.past_end, get_args(PastEnd))
    _check_range("state_bin", asked.state_bin, "at least 1", 1)
    _check_range("signal_resolution", asked.signal_resolution, "at least 1", 1)


def _check_regions(asked: Asked) -> None:
    """Regions come from one side, or nothing that is about regions is asked for."""
    if asked.peaks is not None and asked.counts is not None:
        raise InputError(
            "regions come from peaks or from counts",
            found="both",
            expected="one of --peaks and --counts",
        )
    needing = ("contacts", "blacklist", "region_width")
    given = [as_option(name) for name in needing if getattr(asked, name) is not None]
    if asked.regions_from == "none" and given:
        raise InputError(
            f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} about accessible regions,"
            " and there are none",
            found="neither peaks nor counts",
            expected="one of --peaks and --counts",
            do="Give one; a store without regions holds a genome, states, signals and motifs.",
        )


def check_scan(asked: Asked, option: str) -> None:
    """Refuse parts of a scan where nothing is scanned.

    Raises
    ------
    InputError
        Naming the option that asks for them.
    """
    if asked.motifs is None or asked.regions_from == "none":
        raise InputError(
            "the parts are of the scan of regions with motifs, and nothing is scanned",
            where=option,
            found="no motifs" if asked.motifs is None else "neither peaks nor counts",
            do=f"Leave {option} out, or give --motifs and one of --peaks and --counts.",
        )


def _check_motifs(asked: Asked) -> None:
    """Without regions there is no matrix to be made from motifs, nor a composition of regions."""
    if asked.from_parts is not None:
        check_scan(asked, "--from-parts")
    needing = (
        ("--background gc_bins", asked.background == "gc_bins"),
        ("--more-statistics", bool(asked.more_statistics)),
    )
    for name, given in needing:
        if asked.motifs is not None and asked.regions_from == "none" and given:
            raise InputError(
                f"{name} is about accessible regions, and there are none",
                found="neither peaks nor counts",
                expected="one of --peaks and --counts",
                do="Give one, or leave the option out: the store then keeps the motifs alone.",
            )


def _check_range(
    name: str,
    value: float | None,
    expected: str,
    low: float,
    high: float = math.inf,
    *,
    ends: bool = True,
) -> None:
    """Refuse a number outside of `low` to `high`; with `ends` false, those themselves too."""
    if value is None or (low <= value <= high and (ends or value not in (low, high))):
        return
    raise InputError(
        "the value is out of range", where=as_option(name), found=value, expected=expected
    )


def _check_more_statistics(asked: Asked) -> None:
    for name in asked.more_statistics:
        check_choice("more_statistics", name, get_args(Statistic))
    if len(set(asked.statistics)) < len(asked.statistics):
        raise InputError(
            "a statistic stands twice",
            where="--more-statistics",
            found=", ".join(asked.statistics),
            do="Name in --more-statistics only what is wanted beside --statistic.",
        )
    if asked.more_statistics and asked.motifs is None:
        raise InputError(
            "factor matrices need motifs",
            where="--more-statistics",
            found=", ".join(asked.more_statistics),
            do="Give --motifs.",
        )
