"""The same tracks as a UCSC track hub: a folder of text files, bigBed and bigWig.

https://genome.ucsc.edu/goldenPath/help/hgTrackHubHelp.html. The folder is put on a web server and
its hub.txt given to a genome browser; `genome.trackhub` reads it here. What hubs demand of names
(letters, digits, `_`; 17 and 80 signs of a label) is done here; each name stays unlike the others.
"""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epilm.atomic import atomic_folder
from epilm.errors import InputError
from epilm.exploring.explore_page import Browsed
from epilm.exploring.loci import Stretch
from epilm.exploring.track import Level, Track, TrackSpan
from epilm.genome.bbi import open_bbi
from epilm.genome.signals import write_bigwig

SHORT, LONG = 17, 80
# Names of one assembly at UCSC.
UCSC = {"grch37": "hg19", "b37": "hg19", "hs37d5": "hg19", "grch38": "hg38", "grcm38": "mm10"}
AUTOSQL = """table region
"A region of a track"
(
string chrom; "Chromosome"
uint chromStart; "First base, from 0"
uint chromEnd; "Behind the last base"
string name; "Name"
uint score; "Unused"
char[1] strand; "+ or -"
uint thickStart; "As chromStart"
uint thickEnd; "As chromEnd"
uint reserved; "Colour"
int blockCount; "Exons"
int[blockCount] blockSizes; "Their widths"
int[blockCount] chromStarts; "Their places"
)
"""


def write_hub(browsed: Browsed, out: str | Path) -> list[str]:
    """Write a hub, whole or not at all.

    Parameters
    ----------
    browsed : Browsed
    out : path
        A folder that does not exist yet.

    Returns
    -------
    list of str
        Which tracks hold nothing and are left out.

    Raises
    ------
    InputError
        If no track holds anything, or a file was not written whole.
    """
    notes = []
    genome = ucsc_name(browsed.assembly)
    with atomic_folder(out) as folder:
        inside = folder / genome
        inside.mkdir()
        stanzas, taken = [], set[str]()
        for number, track in enumerate(browsed.tracks, 1):
            if track.empty:
                notes.append(f"{track.name} holds nothing here: not in the hub")
                continue
            name = track_name(track.name, taken)
            stanzas.append(_write_track(track, name, number, browsed, inside))
        if not stanzas:
            raise InputError(
                "no track holds anything", where=str(out), do="Give --store, --track or --genes."
            )
        (inside / "trackDb.txt").write_text("\n\n".join(stanzas) + "\n", encoding="utf-8")
        (folder / "genomes.txt").write_text(
            f"genome {genome}\ntrackDb {genome}/trackDb.txt\n", encoding="utf-8"
        )
        first = browsed.loci.loci[0]
        (folder / "hub.txt").write_text(
            "hub epilm\n"
            f"shortLabel {label(browsed.title, SHORT)}\n"
            f"longLabel {label(browsed.title, LONG)}\n"
            "genomesFile genomes.txt\n"
            "email nobody@example.org\n"
            f"# Begin at {first.chrom}:{first.first + 1}-{first.last}\n",
            encoding="utf-8",
        )
        lines = [f"{x.chrom}\t{x.start}\t{x.end}\t{label(x.name, LONG)}" for x in browsed.loci.loci]
        (folder / "loci.bed").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return notes


def ucsc_name(assembly: str) -> str:
    """Give an assembly as UCSC calls it: hg19 for GRCh37; a name of its own with plain letters.

    Examples
    --------
    >>> ucsc_name("GRCh37"), ucsc_name("hg38"), ucsc_name("my genome.fa")
    ('hg19', 'hg38', 'my_genome_fa')
    """
    known = UCSC.get(assembly.lower())
    return known or re.sub(r"[^A-Za-z0-9]+", "_", assembly).strip("_") or "genome"


def track_name(name: str, taken: set[str]) -> str:
    """Give a name of letters, digits and `_` that begins with a letter and is not taken yet.

    Examples
    --------
    >>> taken = set()
    >>> track_name("CD4+: states", taken), track_name("CD4-: states", taken)
    ('CD4_states', 'CD4_states_2')
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "track"
    plain = plain if plain[0].isalpha() else f"t_{plain}"
    made, n = plain, 1
    while made.lower() in taken:
        n += 1
        made = f"{plain}_{n}"
    taken.add(made.lower())
    return made


def label(text: str, most: int) -> str:
    """A label of a hub: one line, so many signs, none of HTML.

    Examples
    --------
    >>> label("<b>CD4+</b> T cells, regions", 17)
    'b CD4+ /b T cells'
    """
    plain = " ".join(re.sub(r"""[<>&"'\s]+""", " ", text).split())
    return plain[:most].strip(" ,") or "track"


def _write_track(track: Track, name: str, number: int, browsed: Browsed, folder: Path) -> str:
    """Write the file of a track; give its stanza."""
    lines = {
        "track": name,
        "shortLabel": label(track.name, SHORT),
        "longLabel": label(f"{track.name} ({track.about})" if track.about else track.name, LONG),
        "visibility": "full" if track.numeric else "pack",
        "priority": str(number),
    }
    if track.numeric:
        file = f"{name}.bw"
        low, high = _write_numbers(track, browsed, folder / file)
        low, high = (
            given if given is not None else own
            for given, own in zip((track.low, track.high), (min(low, 0.0), high))
        )
        lines |= {
            "type": f"bigWig {low:g} {high:g}",
            "color": track.colour,
            "viewLimits": f"{low:g}:{high:g}",
            "maxHeightPixels": "100:40:16",
        }
        if track.letters:
            lines["logo"] = "on"
    else:
        file = f"{name}.bb"
        _write_spans(track, browsed, folder / file)
        lines |= {"type": "bigBed 12", "itemRgb": "on"}
    lines["bigDataUrl"] = file
    return "\n".join(f"{key} {value}" for key, value in lines.items())


def _by_stretch(browsed: Browsed, track: Track) -> list[tuple[Stretch, Any]]:
    """Stretches with their parts, chromosomes as text is sorted: bigWig and bigBed want that."""
    pairs = zip(browsed.loci.stretches, track.parts, strict=True)
    return sorted(pairs, key=lambda pair: (pair[0].chrom, pair[0].start))


def _write_numbers(track: Track, browsed: Browsed, path: Path) -> tuple[float, float]:
    import numpy as np

    runs: dict[str, list[tuple[int, int, float]]] = {}
    for stretch, part in _by_stretch(browsed, track):
        assert isinstance(part, Level)
        size = browsed.sizes[stretch.chrom]
        before = runs.setdefault(stretch.chrom, [])
        # A coarse value may reach over the end of its stretch.
        here = [run for run in part.runs(size) if not before or run[0] >= before[-1][1]]
        before += here
    blocks = [
        (chrom, *(np.array(column) for column in zip(*rows, strict=True)))
        for chrom, rows in runs.items()
        if rows
    ]
    write_bigwig(path, browsed.sizes, blocks)  # type: ignore[arg-type]
    values = [value for rows in runs.values() for _, _, value in rows]
    return min(values), max(values)


def _write_spans(track: Track, browsed: Browsed, path: Path) -> None:
    """Write bigBed 12; intervals that two stretches show are one."""
    import pybigtools

    rows: dict[str, dict[tuple[int, int, str], str]] = {}
    for stretch, part in _by_stretch(browsed, track):
        here = rows.setdefault(stretch.chrom, {})
        for span in part:
            text = _rest(span, track)
            here.setdefault((span.start, span.end, text), text)
    ordered = [
        (chrom, start, end, text)
        for chrom in sorted(rows)
        for start, end, text in sorted(rows[chrom])
    ]
    failed: list[BaseException] = []

    def feed() -> Any:
        try:
            yield from ordered
        except BaseException as error:
            failed.append(error)
            raise

    sizes: Mapping[str, int] = {chrom: browsed.sizes[chrom] for chrom in sorted(rows)}
    # As in `write_bigwig`: pybigtools prints what goes wrong and returns as if all were well.
    with contextlib.suppress(Exception):
        pybigtools.open(str(path), "w").write(dict(sizes), feed(), AUTOSQL)
    if failed:
        raise failed[0]
    file = open_bbi(path, "bigBed")
    written = sum(sum(1 for _ in file.records(chrom)) for chrom, here in rows.items() if here)
    if written != len(ordered):
        raise InputError(
            "the bigBed was not written whole",
            where=path.name,
            found=f"{written} intervals",
            expected=str(len(ordered)),
            do="Is the disk full?",
        )


def _rest(span: TrackSpan, track: Track) -> str:
    """Columns 4 to 12 of a BED line."""
    exons = span.exons or ((span.start, span.end),)
    # Readers of BED split at blanks.
    name = label(span.name or track.name, 255).replace(" ", "_")
    widths = ",".join(str(end - start) for start, end in exons)
    offsets = ",".join(str(start - span.start) for start, _ in exons)
    strand = span.strand if span.strand in "+-" else "."
    columns = (
        name,
        0,
        strand,
        span.start,
        span.end,
        span.colour or track.colour,
        len(exons),
        widths,
        offsets,
    )
    return "\t".join(map(str, columns))
