"""Maps of regions as files: tables, arrays, tracks of a genome browser, stretches that stand out.

Coordinates in all files are 0-based and half-open. A folder is written whole or not at all.
Axes: R regions, N their bases in a row, D lengths of deletions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import atomic_folder, write_json
from epilm.explaining.discovery import Pattern, Seqlet
from epilm.explaining.mutagenesis import worth_of_deletions
from epilm.explaining.region_map import RegionMap
from epilm.genome.chromosomes import natural_key
from epilm.genome.sequence import LETTERS, decode
from epilm.genome.signals import write_bigwig

SMOOTH = 5  # bases whose mean makes a peak
KEPT, PATTERNS, COLUMNS, MEMBERS = (
    "explain.json",
    "patterns.tsv",
    "pattern_columns.tsv",
    "pattern_members.tsv",
)
ARRAYS = ("codes", "scores", "changes", "worth", "deletions")
REGION_COLUMNS = ("region", "chrom", "start", "end", "strand", "first", "last")
NOT_ATTRIBUTION = ("attention", "rollout")


@dataclass(frozen=True)
class Explanation:
    """What `explain` found.

    Attributes
    ----------
    maps : list of RegionMap
        In the order of the file.
    about : dict
        JSON values: model, task, method, output, options, version.
    sizes : dict of str to int
        Chromosome lengths; empty where sequences bring their bases.
    seqlets : list of Seqlet
        Stretches that stand out against shuffled copies.
    patterns : list of Pattern
    notes : list of str
        What a reader must know.
    """

    maps: list[RegionMap]
    about: dict[str, Any]
    sizes: Mapping[str, int] = field(default_factory=dict)
    seqlets: list[Seqlet] = field(default_factory=list)
    patterns: list[Pattern] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.maps)

    @property
    def scores(self) -> list[NDArray[np.float64]]:
        """What each base is worth, one array a region."""
        return [each.scores for each in self.maps]

    def summary(self) -> dict[str, Any]:
        """Figures for a printed line or JSON."""
        errors = [each.facts["error"] for each in self.maps if "error" in each.facts]
        spans = [
            abs(each.facts["output"] - each.facts["baseline"])
            for each in self.maps
            if "error" in each.facts
        ]
        out: dict[str, Any] = {
            "method": self.about["method"],
            "output": self.about["output"],
            "regions": len(self.maps),
            "bases": int(sum(map(len, self.maps))),
        }
        if errors:
            out |= {
                "completeness_error": round(float(np.mean(errors)), 6),
                "of_a_difference_of": round(float(np.mean(spans)), 6),
            }
        if self.about["options"].get("null"):
            out |= {"seqlets": len(self.seqlets), "patterns": len(self.patterns)}
        elif self.about["options"].get("against"):
            out["patterns"] = len(self.patterns)
        return out

    def text(self) -> str:
        """Lines to print."""
        said = self.summary()
        lines = [
            f"{said['method']} of {said['output']}: {said['regions']:,} regions,"
            f" {said['bases']:,} bases"
        ]
        if self.about["method"] in NOT_ATTRIBUTION:
            lines.append("not attribution: where attention goes, not what a base is worth")
        if "completeness_error" in said:
            lines.append(
                f"completeness: the sums miss {said['completeness_error']:.4g} of a mean difference"
                f" of {said['of_a_difference_of']:.4g}"
            )
        if "seqlets" in said:
            lines.append(
                f"{said['seqlets']} seqlets at a false discovery rate of 5 %,"
                f" {said['patterns']} patterns"
            )
        elif "patterns" in said:
            lines.append(f"{said['patterns']} motifs of attention")
        lines += [f"  {pattern.text()}" for pattern in self.patterns[:8]]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def write(self, out: str | Path, *, overwrite: bool = False, pictures: int = 12) -> Path:
        """Write a folder: see docs/how-to/explain.md for its files."""
        from epilm.explaining.explain_page import explanation_page
        from epilm.explaining.modisco_file import write_modisco
        from epilm.motifs.formats import write_jaspar
        from epilm.plots.page import write_page

        with atomic_folder(out, overwrite=overwrite) as folder:
            write_json(
                folder / KEPT,
                self.about | {"summary": self.summary(), "notes": self.notes},
            )
            _write_rows(folder / "map.tsv", self._map_rows())
            _write_rows(folder / "bases.tsv", self._base_rows())
            self._write_arrays(folder)
            self._write_tracks(folder)
            if self.seqlets or self.about["options"].get("null"):
                _write_rows(
                    folder / "seqlets.bed", (seqlet.row() for seqlet in sorted_by(self.seqlets))
                )
            if self.patterns:
                write_jaspar(
                    [pattern.motif() for pattern in self.patterns], folder / "patterns.jaspar"
                )
                _write_rows(folder / PATTERNS, _pattern_rows(self.patterns))
                _write_rows(folder / COLUMNS, _column_rows(self.patterns))
                _write_rows(folder / MEMBERS, self._member_rows())
                write_modisco(self.maps, self.patterns, folder)
            write_page(explanation_page(self, pictures, folder), folder / "report.html")
        return Path(out)

    # -- parts of the folder

    def _map_rows(self) -> Iterator[Sequence[Any]]:
        """A row each change: substitutions, then deletions (alt is "-")."""
        exact = any(each.changes is not None for each in self.maps)
        # A gradient says what a base is worth at the margin; only a scored change is a delta.
        value = "delta" if exact or any(m.deletions is not None for m in self.maps) else "worth"
        yield ("region", "chrom", "pos", "ref", "alt", value)
        for each in self.maps:
            name, chrom, start = each.region.name, each.region.chrom, each.region.start
            letters = decode(each.codes)
            table = each.changes if each.changes is not None else each.worth
            if table is not None:
                for at, code in enumerate(each.codes):
                    for base in range(4):
                        if code < 4 and (base != code or each.changes is None):
                            row = (letters[at], LETTERS[base], _said(table[base, at]))
                            yield (name, chrom, start + at, *row)
            if each.deletions is not None:
                for length, values in enumerate(each.deletions, 1):
                    for where in np.flatnonzero(~np.isnan(values)).tolist():
                        row = (letters[where : where + length], "-", _said(values[where]))
                        yield (name, chrom, start + where, *row)

    def _base_rows(self) -> Iterator[Sequence[Any]]:
        yield ("region", "chrom", "pos", "base", "score")
        for each in self.maps:
            for at, (letter, score) in enumerate(zip(decode(each.codes), each.scores)):
                base = (each.region.chrom, each.region.start + at)
                yield (each.region.name, *base, letter, _said(score))

    def _member_rows(self) -> Iterator[Sequence[Any]]:
        """Where the members of each pattern lie; read along their strand they are its columns."""
        yield ("pattern", "region", "number", "chrom", "start", "end", "strand", "score", "q")
        for pattern in self.patterns:
            for member in pattern.seqlets:
                region = self.maps[member.region].region.name
                side = "-" if member.strand < 0 else "+"
                interval = (member.chrom, member.start, member.end, side)
                said = (_said(member.score), f"{member.q:.3g}")
                yield (pattern.name, region, member.region, *interval, *said)

    def _write_arrays(self, folder: Path) -> None:
        """All regions in a row, and a table of which columns are whose."""
        facts = sorted({key for each in self.maps for key in each.facts})
        rows: list[Sequence[Any]] = [(*REGION_COLUMNS, *facts)]
        first = 0
        for each in self.maps:
            region, last = each.region, first + len(each)
            interval = (region.name, region.chrom, region.start, region.end)
            said = (fact_said(each.facts[key]) if key in each.facts else "." for key in facts)
            rows.append((*interval, "-" if region.strand < 0 else "+", first, last, *said))
            first = last
        _write_rows(folder / "regions.tsv", rows)
        for name in ARRAYS:
            parts = [getattr(each, name) for each in self.maps]
            if parts and all(part is not None for part in parts):
                joined = np.concatenate(parts, -1)
                kind = np.uint8 if name == "codes" else np.float32
                np.save(folder / f"{name}.npy", joined.astype(kind), allow_pickle=False)

    def _write_tracks(self, folder: Path) -> None:
        self._write_track(folder / "scores", list(base_tracks(self.maps)))
        # Where both were scored, `scores` are of substitutions: deletions have their own track.
        both = [m for m in self.maps if m.changes is not None and m.deletions is not None]
        if both:
            lost = [
                replace(m, scores=worth_of_deletions(m.deletions))
                for m in both
                if m.deletions is not None
            ]
            self._write_track(folder / "deletions", list(base_tracks(lost)))
        rows = [row for each in self.maps for row in peak_rows(each)]
        _write_rows(
            folder / "peaks.bed", sorted(rows, key=lambda row: (natural_key(row[0]), row[1:3]))
        )

    def _write_track(self, stem: Path, tracks: Sequence[Any]) -> None:
        """A bedGraph, and a bigWig of regions on a genome."""
        _write_rows(
            stem.with_suffix(".bedgraph"),
            (
                (chrom, int(at), int(at) + 1, _said(value))
                for chrom, places, values in tracks
                for at, value in zip(places, values)
            ),
        )
        # Haplotypes of variants lie on no chromosome.
        placed = [track for track in tracks if track[0] in self.sizes]
        if placed:
            write_bigwig(
                stem.with_suffix(".bw"),
                self.sizes,
                ((chrom, places, places + 1, values) for chrom, places, values in placed),
            )


def base_tracks(
    maps: Sequence[RegionMap],
) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.float64]]]:
    """Give chromosome, positions and scores of bases; where regions overlap their mean.

    Yields
    ------
    chrom : str
        Each once, in natural order.
    positions : int64, ascending
    scores : float64
    """
    for chrom in sorted({each.region.chrom for each in maps}, key=natural_key):
        here = [each for each in maps if each.region.chrom == chrom]
        places = np.concatenate([each.region.start + np.arange(len(each)) for each in here])
        values = np.concatenate([each.scores for each in here])
        keep = np.isfinite(values)
        at, back = np.unique(places[keep], return_inverse=True)
        if len(at):
            total = np.bincount(back, weights=values[keep])
            yield chrom, at.astype(np.int64), total / np.bincount(back)


def smoothed(scores: NDArray[np.float64], width: int = SMOOTH) -> NDArray[np.float64]:
    """Take the mean over `width` bases around each; fewer at the ends, N left out.

    Examples
    --------
    >>> smoothed(np.array([0.0, 3.0, 0.0, np.nan, 4.0]), 3).tolist()
    [1.5, 1.0, 1.5, 2.0, 4.0]
    """
    known = np.isfinite(scores)
    ones = np.ones(min(width, len(scores)))
    total = np.convolve(np.where(known, scores, 0), ones, "same")
    count = np.convolve(known.astype(float), ones, "same")
    return total / np.maximum(count, 1)


def peak_rows(each: RegionMap) -> Iterator[tuple[Any, ...]]:
    """Find stretches whose smoothed score lies two deviations or more from the region's mean.

    A look at where the map is high, no test: seqlets have a false discovery rate.

    Yields
    ------
    tuple
        chrom, start, end, region, score 0 to 1000 (share of the region's largest), "."
    """
    even = smoothed(each.scores)
    far = np.abs(even - even.mean())
    high = far > 2 * even.std() + 1e-12
    edges = np.flatnonzero(np.diff(np.concatenate([[False], high, [False]]).astype(np.int8)))
    for a, b in zip(edges[::2].tolist(), edges[1::2].tolist()):
        share = round(1000 * float(far[a:b].max() / far.max()))
        region = each.region
        yield (region.chrom, region.start + a, region.start + b, region.name, share, ".")


def sorted_by(seqlets: Sequence[Seqlet]) -> list[Seqlet]:
    """Put seqlets in the genome's order."""
    return sorted(seqlets, key=lambda seqlet: (natural_key(seqlet.chrom), seqlet.start))


def _pattern_rows(patterns: Sequence[Pattern]) -> Iterator[Sequence[Any]]:
    yield ("pattern", "consensus", "seqlets", "mean_score", "name", "motif", "q")
    for each in patterns:
        match = (".", ".", ".")
        if each.match:
            match = (each.match.name, each.match.id, f"{each.match.q:.3g}")
        yield (each.name, each.consensus, len(each.seqlets), _said(each.mean_score), *match)


def _column_rows(patterns: Sequence[Pattern]) -> Iterator[Sequence[Any]]:
    """What the logos show: counts of bases and mean scores, column by column."""
    bases = LETTERS[:4]
    yield (
        "pattern",
        "column",
        *(f"count_{base}" for base in bases),
        *(f"score_{base}" for base in bases),
    )
    for each in patterns:
        for at, (counts, scores) in enumerate(zip(each.counts, each.scores, strict=True)):
            said = (_said(float(v)) for v in (*counts, *scores))
            yield (each.name, at, *said)


def fact_said(value: float) -> str:
    """Write a fact of a region: a place with all its digits.

    Examples
    --------
    >>> fact_said(45678901.0), fact_said(1 / 3)
    ('45678901', '0.333333')
    """
    return str(int(value)) if float(value).is_integer() else _said(value)


def _said(value: float) -> str:
    return "." if not np.isfinite(value) else f"{value:.6g}"


def _write_rows(path: Path, rows: Any) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        for row in rows:
            out.write("\t".join(map(str, row)) + "\n")
