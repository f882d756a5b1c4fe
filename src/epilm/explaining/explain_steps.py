"""The steps of explaining: a run opened, a region mapped with its null, the explanation of all."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import epilm
from epilm.explaining.asked_frames import read_against, shuffled_frame
from epilm.explaining.attention_motifs import attention_patterns
from epilm.explaining.discovery import call_seqlets, find_patterns, named
from epilm.explaining.explain_options import ExplainOptions
from epilm.explaining.explanation import Explanation
from epilm.explaining.frames import Frame, Region
from epilm.explaining.opening import open_subject
from epilm.explaining.region_map import WAYS, RegionMap, map_region
from epilm.explaining.subject import Subject

Say = Callable[[str], None]


def open_asked(model: Any, asked: ExplainOptions) -> Subject:
    """Open the subject that options ask for."""
    return open_subject(
        model,
        store=asked.store,
        cell=asked.cell,
        output=asked.output,
        both_strands=asked.both_strands,
        batch=asked.batch_size,
        device=asked.device,
    )


def map_with_null(
    subject: Subject, region: Region, windows: list[Frame], asked: ExplainOptions
) -> tuple[RegionMap, list[Any]]:
    """Explain a region, and give the scores of its shuffled copies."""
    each, copies = map_region(subject, region, windows, asked), []
    for copy in range(asked.null):
        mixed = [shuffled_frame(frame, asked.seed, copy) for frame in windows]
        copies.append(map_region(subject, region, mixed, asked).scores)
    return each, copies


def explanation_of(
    subject: Subject,
    asked: ExplainOptions,
    frames: Sequence[tuple[Region, list[Frame]]],
    sizes: dict[str, int],
    maps: list[RegionMap],
    null: list[Any],
    about: dict[str, Any],
) -> Explanation:
    """Call seqlets and patterns of maps, and say what a reader must know."""
    notes = list(subject.notes)
    unknown = int(sum((each.codes > 3).sum() for each in maps))
    if unknown:
        notes.append(f"{unknown:,} bases are N: they are not changed and have no score")
    if len(frames) > sum(len(windows) == 1 for _, windows in frames):
        notes.append(
            "regions longer than a window are read in windows on a grid of the genome, each base in"
            " the middle of one"
        )
    seqlets = call_seqlets(maps, null, asked.null) if asked.null else []
    patterns = find_patterns(maps, seqlets)
    if asked.against is not None:
        others = read_against(subject, asked)
        patterns = attention_patterns(maps, others)
        notes.append(
            f"motifs are of attention, after DNABERT-viz: stretches enriched among {len(maps):,}"
            f" sequences against {len(others):,} others; not of what bases are worth"
        )
    if asked.motifs is not None:
        from epilm.motifs.formats import read_motifs

        motifs = read_motifs(asked.motifs)
        patterns = named(patterns, motifs)
        if len(motifs) < 50:
            notes.append(
                f"TOMTOM's q is of {len(motifs)} motifs: below 50 it depends on which these are"
            )
    return Explanation(maps, about, sizes, seqlets, patterns, notes)


def about_of(subject: Subject, asked: ExplainOptions) -> dict[str, Any]:
    """What the folder says of model, method and options; JSON values."""
    return {
        "format": 1,
        "epilm": epilm.__version__,
        "model": subject.where,
        "method": asked.method,
        "what": WAYS[asked.method].about,
        "output": subject.names[subject.output],
        "strands": "both" if subject.two_strands else "the region's own",
        "options": {
            key: str(value) if isinstance(value, Path) else value
            for key, value in asdict(replace(asked, genome=None)).items()
            if value is not None
        },
        "genome": [str(path) for path in _listed(asked.genome)],
    }


def _listed(paths: Any) -> Sequence[Any]:
    if paths is None:
        return ()
    return paths if isinstance(paths, list | tuple) else (paths,)
