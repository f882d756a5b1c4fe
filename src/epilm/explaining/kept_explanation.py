"""An explanation read back from the folder that it was written into, so that its page can be drawn
again. Arrays are of float32 there: a picture is the same, the last digits of a number are not.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from epilm.errors import InputError
from epilm.explaining.discovery import Match, Pattern, Seqlet
from epilm.explaining.explanation import (
    ARRAYS,
    COLUMNS,
    KEPT,
    MEMBERS,
    PATTERNS,
    REGION_COLUMNS,
    Explanation,
)
from epilm.explaining.frames import Region
from epilm.explaining.region_map import RegionMap
from epilm.genome.sequence import LETTERS
from epilm.plots.page import load_json


def load_explanation(folder: str | Path) -> Explanation:
    """Read the maps, patterns and notes of an explanation.

    Raises
    ------
    InputError
        If a file of the folder is missing or damaged.
    """
    folder = Path(folder)
    about = load_json(folder / KEPT)
    try:
        if about is None:
            raise ValueError(f"no {KEPT}")
        notes = list(about.pop("notes", []))
        about.pop("summary", None)
        maps = _maps(folder)
        patterns = _patterns(folder, maps)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(
            "the folder is no whole explanation",
            where=str(folder),
            found=str(error),
            expected="what epilm explain --out wrote",
            do="Explain once more, with --overwrite.",
        ) from None
    return Explanation(maps, about, {}, [], patterns, notes)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def _maps(folder: Path) -> list[RegionMap]:
    arrays = {
        name: np.load(folder / f"{name}.npy", allow_pickle=False)
        for name in ARRAYS
        if (folder / f"{name}.npy").is_file()
    }
    for name in ("codes", "scores"):
        if name not in arrays:
            raise ValueError(f"no {name}.npy")
    out = []
    for row in _rows(folder / "regions.tsv"):
        start, end = int(row["start"]), int(row["end"])
        strand = -1 if row["strand"] == "-" else 1
        region = Region(row["chrom"], start, end, row["region"], strand, (start + end) // 2)
        part = slice(int(row["first"]), int(row["last"]))
        facts = {
            key: float(value)
            for key, value in row.items()
            if key not in REGION_COLUMNS and value != "."
        }
        tables: dict[str, Any] = {
            name: array[..., part].astype(np.uint8 if name == "codes" else np.float64)
            for name, array in arrays.items()
        }
        out.append(RegionMap(region, facts=facts, **tables))
    return out


def _patterns(folder: Path, maps: list[RegionMap]) -> list[Pattern]:
    columns = _rows(folder / COLUMNS)
    members = _rows(folder / MEMBERS)
    out = []
    for row in _rows(folder / PATTERNS):
        name = row["pattern"]
        mine = [column for column in columns if column["pattern"] == name]
        counts, scores = (
            np.array([[float(c[f"{of}_{letter}"]) for letter in LETTERS[:4]] for c in mine])
            for of in ("count", "score")
        )
        match = None if row["name"] == "." else Match(row["motif"], row["name"], float(row["q"]))
        seqlets = tuple(_member(m) for m in members if m["pattern"] == name)
        out.append(Pattern(name, counts, scores, seqlets, match))
    return out


def _member(row: dict[str, str]) -> Seqlet:
    strand = -1 if row["strand"] == "-" else 1
    interval = (int(row["number"]), row["chrom"], int(row["start"]), int(row["end"]), strand)
    return Seqlet(*interval, float(row["score"]), float(row["q"]), row["pattern"])
