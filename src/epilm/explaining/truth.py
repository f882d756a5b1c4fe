"""Are explanations right? Scored where the planted sites are known: on a simulated genome.

Every method that a model takes, beside random scores and the motif scanner's hits, on the same
windows. Axes: n bases of a region, R regions.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import atomic_folder, write_json
from epilm.errors import InputError, UsageError
from epilm.explaining.asked_frames import read_frames, shuffled_frame
from epilm.explaining.attribution import shuffled_copies
from epilm.explaining.discovery import call_seqlets, find_patterns, named
from epilm.explaining.explain_options import ExplainOptions, Method
from epilm.explaining.frames import Frame, Region
from epilm.explaining.region_map import RegionMap, map_region
from epilm.explaining.subject import PlacedSubject, Subject
from epilm.metrics.curves import ap
from epilm.motifs.formats import read_motifs
from epilm.motifs.log_odds import log_odds
from epilm.motifs.motif import Motif
from epilm.motifs.scan import scan
from epilm.plots.page import (
    SIMULATED,
    Page,
    Picture,
    PictureNumbers,
    Section,
    Table,
    footer,
    load_json,
)

Values = NDArray[np.float64]
METHODS: tuple[Method, ...] = (
    *("ism", "deletions", "gradients", "integrated", "deeplift", "occlusion"),
    *("attention", "rollout"),
)
DISCOVERED: tuple[Method, ...] = (
    "ism",
    "integrated",
)  # methods whose patterns are named, with --null and --motifs
Yardstick = Literal["random", "motif hits"]
RANDOM: Literal["random"] = "random"
HITS: Literal["motif hits"] = "motif hits"
SHARES = (0.05, 0.1, 0.2, 0.4)  # of the bases, taken away or put back
COPIES = 4
MOST = 60  # regions where none are given
KEPT = "table.json"
COLUMNS = {
    "method": "method",
    "auprc": "auPRC of bases",
    "auprc_se": "standard error",
    "causal_rank": "rank of causal bases",
    "deletion": "lost without the best bases",
    "insertion": "won with the best bases",
    "seconds": "s a region",
    "patterns": "patterns",
    "right_name": "named right",
}


class PlantedSite(NamedTuple):
    """A planted site; `causal` is the base whose best substitution loses the most log-odds."""

    chrom: str
    start: int
    end: int
    causal: int


@dataclass(frozen=True)
class MethodTable:
    """How well each method finds what was planted.

    Attributes
    ----------
    rows : list of dict
        method, auprc (mean over regions) and its standard error, causal_rank (share of the other
        bases that score less), deletion and insertion (share of the output's difference to a
        shuffled sequence), seconds a region; with --null and --motifs patterns and right_name.
    about : dict
    notes : list of str
    """

    rows: list[dict[str, Any]]
    about: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Figures for JSON."""
        return self.about | {"rows": self.rows, "notes": self.notes}

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Header and rows for people."""
        keys = [key for key in COLUMNS if any(key in row for row in self.rows)]
        return [COLUMNS[key] for key in keys], [[row.get(key) for key in keys] for row in self.rows]

    def text(self) -> str:
        """Lines to print."""
        from epilm.plots.page import show

        header, rows = self.table()
        cells = [header, *([show(value) for value in row] for row in rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
        lines = [
            f"SIMULATED: {self.about['regions']} regions, {self.about['sites']} planted sites,"
            f" {self.about['planted_share']:.1%} of the bases"
        ]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
            for row in cells
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def write(self, out: str | Path, *, overwrite: bool = False) -> Path:
        """Write table.tsv, table.json and report.html."""
        from epilm.plots.page import show, write_page

        header, rows = self.table()
        with atomic_folder(out, overwrite=overwrite) as folder:
            write_json(folder / KEPT, self.summary())
            text = ["\t".join(header), *("\t".join(show(value) for value in row) for row in rows)]
            (folder / "table.tsv").write_text("\n".join(text) + "\n", encoding="utf-8")
            write_page(methods_page(folder), folder / "report.html")
        return Path(out)


def methods_page(folder: Path) -> Page:
    """Make the page of a folder of scored methods: auPRC as bars, and the table."""
    from epilm.plots.pictures import metric_bars
    from epilm.plots.style import as_image, figure

    about = load_json(folder / KEPT, {})
    done = MethodTable(about.pop("rows"), about, about.pop("notes", []))
    header, rows = done.table()
    bars = {row["method"]: [row["auprc"]] for row in done.rows}
    with figure(5.6, 0.7 + 0.3 * len(bars)) as (fig, (ax,)):
        metric_bars(ax, bars, title="auPRC of planted bases", chance=about["planted_share"])
        numbers = PictureNumbers("methods", header, rows)
        text = "Dashed: the share of planted bases."
        picture = Picture(as_image(fig), text, alt="auPRC of each method", numbers=(numbers,))
    return Page(
        "Explanations against the planted truth",
        f"{about['output']} of {about['model']}",
        banner=SIMULATED,
        sections=[
            Section(
                "Methods",
                text=[*done.notes],
                facts=[(key, str(value)) for key, value in about.items()],
                tables=[Table(header, rows)],
                pictures=[picture],
            )
        ],
        footer=footer(),
    )


def read_sites(world: Path, factor: str | None) -> tuple[list[PlantedSite], list[Motif]]:
    """Read planted sites: those of a factor, or all that are bound somewhere.

    Returns
    -------
    sites : list of PlantedSite
    motifs : list of Motif
        Those that the sites are of.

    Raises
    ------
    InputError
        If the folder is no playground, or the factor was not planted.
    """
    import pandas as pd

    truth, collection = world / "truth_sites.tsv.gz", world / "motifs.jaspar"
    for path in (truth, collection):
        if not path.is_file():
            raise InputError(
                "the folder holds no planted sites",
                where=str(world),
                found=f"no {path.name}",
                expected="a folder that epilm simulate wrote",
            )
    table = pd.read_csv(
        truth, sep="\t", dtype={"bound": str}, keep_default_na=False, float_precision="round_trip"
    )
    if factor is None:
        table = table[(table["bound"] != ".") & (table["region"] >= 0)]
    else:
        known = sorted(set(table["factor"]))
        if factor not in known:
            raise InputError(
                "the factor was not planted",
                where="--factor",
                found=factor,
                expected=f"one of {', '.join(known)}",
            )
        table = table[table["factor"] == factor]
    used = set(table["motif"])
    motifs = [motif for motif in read_motifs(collection) if motif.id in used]
    worst = {}
    for motif in motifs:
        odds = log_odds(motif)
        worst[motif.id] = int((odds.max(1) - odds.min(1)).argmax()), motif.width
    sites = []
    columns = (table[name] for name in ("chrom", "start", "end", "strand", "motif"))
    for chrom, start, end, strand, motif_id in zip(*columns):
        column, width = worst[motif_id]
        at = int(start) + (column if strand == "+" else width - 1 - column)
        sites.append(PlantedSite(str(chrom), int(start), int(end), at))
    return sites, motifs


def hit_scores(codes: NDArray[np.uint8], motifs: Sequence[Motif]) -> Values:
    """Give each base the log-odds of the best site that covers it, 0 where none is above 0."""
    pwms = [log_odds(motif) for motif in motifs]
    hits = scan(codes, pwms, np.zeros(len(pwms)), threads=1)
    out = np.zeros(len(codes))
    for motif, start, score in zip(hits.motif, hits.start, hits.score):
        part = slice(int(start), int(start) + motifs[motif].width)
        out[part] = np.maximum(out[part], score)
    return out


def curves(
    subject: Subject, frame: Frame, scores: Values, seed: int, shares: Sequence[float] = SHARES
) -> tuple[float, float, float]:
    """Take the best bases out, and put them back into a shuffled sequence.

    Parameters
    ----------
    scores : float64 (n,)
        Of the explained bases; NaN comes last.

    Returns
    -------
    lost, won : float
        Output of the window less that with shuffled bases in place of the best; output of the
        shuffled window with the best bases put in, less that without; means over `shares` of the
        bases and shuffled copies.
    span : float
        Output of the window less that of the shuffled ones.
    """
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable") + frame.first
    inside = slice(frame.first, frame.last)
    windows = [frame.codes]
    for copy in shuffled_copies(frame.codes, COPIES, seed):
        other = frame.codes.copy()
        other[inside] = copy[inside]
        windows.append(other)
        for share in shares:
            best = order[: max(1, round(share * len(order)))]
            without, put_in = frame.codes.copy(), other.copy()
            without[best], put_in[best] = other[best], frame.codes[best]
            windows += [without, put_in]
    said = subject.score(np.stack(windows), frame)
    whole, rest = said[0], said[1:].reshape(COPIES, 1 + 2 * len(shares))
    base, pairs = rest[:, :1], rest[:, 1:].reshape(COPIES, -1, 2)
    lost = float((whole - pairs[..., 0]).mean())
    won = float((pairs[..., 1] - base).mean())
    return lost, won, float(whole - base.mean())


def share_below(scores: Values, at: int) -> float:
    """Give the share of the other bases that score less than one; ties count half.

    Examples
    --------
    >>> share_below(np.array([1.0, 5.0, 3.0, 3.0]), 2)
    0.5
    """
    known = np.nan_to_num(scores, nan=-np.inf)
    others = np.delete(known, at)
    return float(((others < known[at]).sum() + 0.5 * (others == known[at]).sum()) / len(others))


def score_methods(
    subject: Subject, asked: ExplainOptions, out: str | Path | None, say: Callable[[str], None]
) -> MethodTable:
    """Score all methods of a model on a playground; see `explain` with `score`.

    Raises
    ------
    InputError, UsageError
    """
    assert asked.score is not None
    world = Path(asked.score)
    sites, motifs = read_sites(world, asked.factor)
    if asked.genome is None and not isinstance(subject, PlacedSubject):
        asked = replace(asked, genome=[world / "genome.fa"])
    frames = list(_planted_frames(subject, asked, world, sites))
    if not frames:
        raise InputError(
            "no region holds a planted site",
            where=str(asked.regions or world),
            found=f"{len(sites)} sites of {asked.factor or 'all factors'}",
            do="Give --regions that hold some.",
        )
    notes: list[str] = []
    rows = []
    for method in (RANDOM, HITS, *METHODS):
        began = time.process_time()
        try:
            maps = [
                _map(subject, region, frame, method, asked, motifs) for region, frame, _ in frames
            ]
        except UsageError as error:
            notes.append(f"{method} left out: {error.what}")
            continue
        seconds = (time.process_time() - began) / len(frames)
        row = _judged(subject, maps, frames, asked.seed) | {"seconds": seconds}
        if asked.null and asked.motifs is not None:
            for known in DISCOVERED:
                if known == method:
                    row |= _discovered(subject, maps, frames, known, asked)
        rows.append({"method": method} | row)
        say(f"{method}: auPRC {row['auprc']:.3f}")
    covered = np.concatenate([planted for *_, planted in _masks(frames)])
    notes.append(
        "auPRC, rank and curves are means over regions; deletion and insertion are shares of the"
        f" output's difference to a shuffled window, at {', '.join(f'{s:.0%}' for s in SHARES)} of"
        " the bases"
    )
    about = {
        "model": subject.where,
        "output": subject.names[subject.output],
        "world": str(world),
        "factor": asked.factor or "all bound sites",
        "regions": len(frames),
        "sites": int(sum(len(here) for *_, here in frames)),
        "planted_share": float(covered.mean()),
        "seed": asked.seed,
    }
    done = MethodTable(rows, about, [*notes, *subject.notes])
    if out is not None:
        done.write(out, overwrite=asked.overwrite)
    return done


Planted = tuple[Region, Frame, list[PlantedSite]]


def _planted_frames(
    subject: Subject, asked: ExplainOptions, world: Path, sites: Sequence[PlantedSite]
) -> Iterator[Planted]:
    """Regions of one window each that hold planted sites."""
    given = asked.regions is not None
    if not given:
        if asked.factor is None:
            raise UsageError(
                "which regions are explained?",
                where="--score",
                do="Give --regions BED, or --factor NAME: its ChIP peaks on the test chromosomes.",
            )
        asked = replace(asked, regions=_chip(world, asked.factor, asked.cell))
    test = None if given else _test_chroms(world)
    frames, _ = read_frames(subject, asked)
    taken = 0
    for region, windows in frames:
        if len(windows) != 1 or (test is not None and region.chrom not in test):
            continue
        here = [
            site
            for site in sites
            if site.chrom == region.chrom and region.start <= site.start and site.end <= region.end
        ]
        if here and (given or taken < MOST):
            taken += 1
            yield region, windows[0], here


def _test_chroms(world: Path) -> set[str]:
    from epilm.playground.simulate import read_truth

    return {str(name) for name in read_truth(world)["splits"]["test"]}


def _chip(world: Path, factor: str, cell: str | None) -> Path:
    pattern = f"{cell or '*'}.{factor}.conservative.narrowPeak.gz"
    files = sorted((world / "chip").glob(pattern))
    if not files:
        raise InputError(
            "the playground has no ChIP peaks of the factor",
            where=str(world / "chip"),
            found=f"no {pattern}",
            do="Give --regions BED.",
        )
    return files[0]


def _map(
    subject: Subject,
    region: Region,
    frame: Frame,
    method: Method | Yardstick,
    asked: ExplainOptions,
    motifs: Sequence[Motif],
) -> RegionMap:
    part = slice(frame.first, frame.last)
    if method == RANDOM:
        key = [asked.seed, abs(frame.start), *frame.chrom.encode()]
        scores = np.random.default_rng(key).normal(size=frame.last - frame.first)
        return RegionMap(region, frame.codes[part], scores)
    if method == HITS:
        return RegionMap(region, frame.codes[part], hit_scores(frame.codes, motifs)[part])
    return map_region(subject, region, [frame], replace(asked, method=method))


def _masks(frames: Sequence[Planted]) -> Iterator[tuple[Region, NDArray[np.bool_]]]:
    """Which explained bases lie in a planted site."""
    for region, frame, here in frames:
        start = frame.start + frame.first
        mask = np.zeros(frame.last - frame.first, bool)
        for site in here:
            mask[site.start - start : site.end - start] = True
        yield region, mask


def _judged(
    subject: Subject, maps: Sequence[RegionMap], frames: Sequence[Planted], seed: int
) -> dict[str, float]:
    precision, rank, lost, won, spans = [], [], 0.0, 0.0, 0.0
    for each, (_, frame, here), (_, mask) in zip(maps, frames, _masks(frames)):
        known = np.isfinite(each.scores)
        if mask[known].any() and not mask[known].all():
            precision.append(ap(mask[known].astype(int), each.scores[known]))
        start = frame.start + frame.first
        rank += [share_below(each.scores, site.causal - start) for site in here]
        a, b, span = curves(subject, frame, each.scores, seed)
        lost, won, spans = lost + a, won + b, spans + span
    return {
        "auprc": float(np.mean(precision)),
        "auprc_se": float(np.std(precision) / max(len(precision) - 1, 1) ** 0.5),
        "causal_rank": float(np.mean(rank)),
        "deletion": lost / spans if spans else float("nan"),
        "insertion": won / spans if spans else float("nan"),
    }


def _discovered(
    subject: Subject,
    maps: Sequence[RegionMap],
    frames: Sequence[Planted],
    method: Method,
    asked: ExplainOptions,
) -> dict[str, Any]:
    """How many patterns there are, and how many bear the name of what was planted."""
    told = replace(asked, method=method)
    null = [
        map_region(subject, region, [shuffled_frame(frame, asked.seed, copy)], told).scores
        for region, frame, _ in frames
        for copy in range(asked.null)
    ]
    patterns = find_patterns(maps, call_seqlets(maps, null, asked.null))
    patterns = named(patterns, read_motifs(str(asked.motifs)))
    right = sum(
        each.match is not None and asked.factor in (None, each.match.name) for each in patterns
    )
    return {"patterns": len(patterns), "right_name": int(right)}
