"""One HTML file of loci and tracks: opens offline, loads nothing, runs no script but its own.

The genome browser is igv.js (MIT), shipped in `igv/` with its version and SHA-256. What files call
things goes into the page as JSON, never as HTML; a content policy in the page lets only the
scripts run whose digests it names, and nothing be fetched. Numbers are written short, equal
neighbours once.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from epilm.atomic import atomic_file, size_of
from epilm.errors import InputError
from epilm.exploring.loci import Loci, Stretch, kept_loci
from epilm.exploring.track import Level, Part, Track, in_order
from epilm.plots.page import footer

ROOM = 64 * 1024  # for the words of the page itself, about


@dataclass(frozen=True)
class Browsed:
    """All that a page or a hub shows.

    Attributes
    ----------
    title : str
    assembly : str
    sizes : dict of str to int
        Chromosomes of the genome.
    loci : Loci
    bases : tuple of str
        Of each stretch, as letters.
    tracks : tuple of Track
    notes : tuple of str
        What a reader must know; what was left out.
    """

    title: str
    assembly: str
    sizes: Mapping[str, int]
    loci: Loci
    bases: tuple[str, ...]
    tracks: tuple[Track, ...]
    notes: tuple[str, ...] = ()


def igv_script() -> str:
    """The text of igv.js; what was shipped, or an error that says it was changed.

    Raises
    ------
    InputError
        If the file's digest is not the pinned one.
    """
    folder = files("epilm.exploring") / "igv"
    pinned = json.loads((folder / "pinned.json").read_text(encoding="utf-8"))
    raw = (folder / pinned["file"]).read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    if digest != pinned["sha256"]:
        raise InputError(
            "the genome browser in the package is not the one that was pinned",
            where=f"{pinned['package']} {pinned['version']}, {pinned['file']}",
            found=digest,
            expected=pinned["sha256"],
            do="Install epilm again.",
        )
    # Its last line names a map of the source beside it, which a page of one file has not.
    return raw.decode("utf-8").split("\n//# sourceMappingURL=")[0]


def safe_json(value: Any) -> str:
    """JSON that may stand in a script element: no character that ends it or begins a comment.

    Examples
    --------
    >>> safe_json({"name": "</script><b>"})
    '{"name":"\\\\u003c/script\\\\u003e\\\\u003cb\\\\u003e"}'
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def render_page(title: str, value: Mapping[str, Any], template: str, scripts: Sequence[str]) -> str:
    """Make a page of a template, its data and its scripts, with the policy that lets these run.

    Parameters
    ----------
    title : str
    value : mapping
        JSON values, found by the script in the element `data`.
    template : str
        Name of a template in this folder.
    scripts : sequence of str
        In the order in which they run.
    """
    import jinja2
    from markupsafe import Markup

    folder = files("epilm.exploring")
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
    )
    digests = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:;"
        " connect-src data: blob:; base-uri 'none'; form-action 'none'; script-src "
        + " ".join(f"'sha256-{digest}'" for digest in digests)
    )
    return environment.get_template(template).render(
        title=title,
        policy=policy,
        data=Markup(safe_json(value)),
        scripts=[Markup(script) for script in scripts],
        footer=footer(),
    )


def page_data(browsed: Browsed) -> dict[str, Any]:
    """Give all that the page shows as JSON values.

    Keys: title, assembly, sizes, loci (name, chrom, start, end, first, last, origin), sequence
    (chrom, start, bases), tracks (name, group, kind, colour, low, high, letters, axis, about,
    parts), notes. A part of kind "levels" is [chrom, start, step, [count, value, ...]] with null
    where nothing is known; of kind "spans" the chromosome and a list of [start, end, name, strand,
    colour, exons, said] whose empty ends are left out.
    """
    stretches = browsed.loci.stretches
    chroms = {stretch.chrom for stretch in stretches}
    return {
        "title": browsed.title,
        "assembly": browsed.assembly,
        "sizes": {chrom: size for chrom, size in browsed.sizes.items() if chrom in chroms},
        "loci": [locus._asdict() for locus in browsed.loci.loci],
        "sequence": [
            [stretch.chrom, stretch.start, bases]
            for stretch, bases in zip(stretches, browsed.bases, strict=True)
        ],
        "tracks": [
            {
                "name": track.name,
                "group": track.group,
                "kind": "levels" if track.numeric else "spans",
                "colour": track.colour,
                "low": track.low,
                "high": track.high,
                "letters": track.letters,
                "axis": track.axis,
                "about": track.about,
                "parts": [
                    part_data(part, stretch)
                    for part, stretch in zip(track.parts, stretches, strict=True)
                ],
            }
            for track in in_order(browsed.tracks)
        ],
        "notes": list(browsed.notes),
    }


def part_data(part: Part, stretch: Stretch) -> list[Any]:
    """Give what is drawn on one stretch as JSON values; see `page_data`.

    Examples
    --------
    >>> import numpy as np
    >>> part_data(Level(5, 10, np.array([1, 1, np.nan], np.float32)), Stretch("chr1", 0, 40, 40))
    ['chr1', 5, 10, [2, 1, 1, None]]
    """
    if isinstance(part, Level):
        return [stretch.chrom, part.start, part.step, _short_runs(part)]
    rows = []
    for span in part:
        row: list[Any] = [
            span.start,
            span.end,
            span.name,
            "" if span.strand == "." else span.strand,
            span.colour,
            [list(pair) for pair in span.exons] if len(span.exons) > 1 else [],
            dict(span.said),
        ]
        while not row[-1]:
            row.pop()
        rows.append(row)
    return [stretch.chrom, rows]


def _short_runs(part: Level) -> list[Any]:
    """Counts and values in turn, values with four digits."""
    out: list[Any] = []
    whole = Level(0, 1, part.values)
    at = 0
    for start, end, value in whole.runs(len(part.values)):
        if start > at:
            out += [start - at, None]
        short = float(f"{value:.4g}")
        out += [end - start, int(short) if short.is_integer() else short]
        at = end
    if at < len(part.values):
        out += [len(part.values) - at, None]
    return out


def fit(browsed: Browsed, most_mb: float) -> Browsed:
    """Leave out the last loci, so that the page is no larger than so many MB; and say so.

    Raises
    ------
    InputError
        If not even the first locus has room.
    """
    room = most_mb * 1e6 - len(igv_script()) - ROOM
    loci = browsed.loci
    cost = [len(bases) for bases in browsed.bases]
    for track in browsed.tracks:
        for s, (part, stretch) in enumerate(zip(track.parts, loci.stretches, strict=True)):
            cost[s] += len(safe_json(part_data(part, stretch)))
    words = sum(len(safe_json([t.name, t.about])) + 160 for t in browsed.tracks)
    words += sum(len(safe_json(note)) for note in browsed.notes)
    room -= words
    kept: list[int] = []
    counted: set[int] = set()
    used = 0
    for i, locus in enumerate(loci.loci):
        s = loci.of[i]
        more = len(safe_json(locus._asdict())) + (0 if s in counted else cost[s])
        if used + more > room:
            break
        used += more
        counted.add(s)
        kept.append(i)
    if not kept:
        raise InputError(
            "not even the first locus fits on the page",
            found=f"{size_of(used + cost[loci.of[0]])} of {loci.loci[0].name}",
            expected=f"a page of at most {most_mb:g} MB",
            do="Show less of it (--flank), fewer tracks (--cells), or raise --max-mb.",
        )
    if len(kept) == len(loci.loci):
        return browsed
    left = len(loci.loci) - len(kept)
    first = loci.loci[len(kept)].name
    stretches = sorted(counted)
    note = (
        f"{left:,} of {len(loci.loci):,} loci are left out, from {first} on: the page would be"
        f" larger than {most_mb:g} MB (--max-mb)"
    )
    return Browsed(
        browsed.title,
        browsed.assembly,
        browsed.sizes,
        kept_loci(loci, kept),
        tuple(browsed.bases[s] for s in stretches),
        tuple(track.take(stretches) for track in browsed.tracks),
        (*browsed.notes, note),
    )


def write_explorer(browsed: Browsed, out: str | Path) -> int:
    """Write the page, whole or not at all; give its bytes."""
    own = (files("epilm.exploring") / "explorer.js").read_text(encoding="utf-8")
    text = render_page(browsed.title, page_data(browsed), "explorer.html.j2", [igv_script(), own])
    raw = text.encode("utf-8")
    with atomic_file(out, wants=len(raw)) as temporary:
        temporary.write_bytes(raw)
    return len(raw)
