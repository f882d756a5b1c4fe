"""Explain what a model says of regions or sequences; the public function behind `epilm explain`.

Opening, reading, mapping and writing meet here.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import epilm
from epilm.errors import UsageError
from epilm.explaining.asked_frames import read_frames, shuffled_frame
from epilm.explaining.discovery import call_seqlets, find_patterns, named, tomtom_module
from epilm.explaining.explain_options import ExplainOptions, options_of
from epilm.explaining.explanation import Explanation
from epilm.explaining.frames import Frame, Region
from epilm.explaining.opening import open_subject
from epilm.explaining.region_map import WAYS, RegionMap, map_region
from epilm.explaining.subject import Subject
from epilm.finetuning.finetuned import Finetuned

Say = Callable[[str], None]


def explain(
    model: str | Path | Finetuned | Subject,
    regions: str | Path | None = None,
    out: str | Path | None = None,
    *,
    shard: str | None = None,
    say: Say | None = None,
    **options: Any,
) -> Any:
    """Explain what a model says, base by base.

    Parameters
    ----------
    model : path, Finetuned or Subject
        A fine-tuned run on sequences or on places of a store; a pre-trained run (`llr`: log-odds
        of hidden k-mers, `site_NAME`: motif sites); or an open subject.
    regions : path, optional
        BED or narrowPeak; with `genome`, or with `store` and `cell`. Or `gene` or `fasta` is given.
    out : path, optional
        Folder to make.
    shard : str, optional
        "i/N": explain every N-th region from the i-th and write that part into the folder `out`;
        `epilm.merge` joins them.
    say : callable, optional
        Takes lines of progress; standard error by default.
    **options
        Fields of `ExplainOptions`: method, output, window, null, motifs, ...

    Returns
    -------
    Explanation
        With `maps` (`RegionMap`), `seqlets`, `patterns`, `write(folder)`. With `score` the table of
        methods (`truth.MethodTable`), with method "inputs" `contributions.Contributions`, of a
        shard `shards.PartWritten`.

    Raises
    ------
    InputError, UsageError, StoreError, CheckpointError

    Examples
    --------
    >>> import numpy as np
    >>> import tempfile
    >>> from epilm.finetuning.finetune import finetune
    >>> from epilm.tasks.base import labelled
    >>> bases = np.random.default_rng(0).integers(0, 4, (24, 16)).astype(np.uint8)
    >>> rows = labelled(list(bases), [0, 1] * 12)
    >>> folder = Path(tempfile.mkdtemp())
    >>> quiet = lambda line: None
    >>> _ = finetune("sequences", rows, folder / "run", checkpoint="cnn", epochs=1, say=quiet)
    >>> _ = (folder / "a.fa").write_text(">one\\nTTGCATTGCATTGCAA\\n")
    >>> done = explain(folder / "run", fasta=folder / "a.fa", say=quiet)
    >>> done.maps[0].changes.shape
    (4, 16)
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    if regions is not None:
        options["regions"] = regions
    asked = options_of(options)
    _check(asked)
    if shard is not None:
        from epilm.explaining.explain_shards import explain_shard

        return explain_shard(model, asked, out, shard, say)
    subject = model if isinstance(model, Subject) else open_asked(model, asked)
    if asked.score is not None:
        from epilm.explaining.truth import score_methods

        return score_methods(subject, asked, out, say)
    if asked.method == "inputs":
        from epilm.explaining.contributions import explain_inputs

        return explain_inputs(subject, asked, out, say)
    return explain_with(subject, asked, out, say)


def _check(asked: ExplainOptions) -> None:
    """Refuse what cannot be read before a model is opened."""
    if asked.motifs is not None:
        if not asked.null:
            raise UsageError(
                "names are given to patterns, and none are looked for",
                where="--motifs",
                do="Add --null 1: shuffled copies that seqlets are called against.",
            )
        tomtom_module()
    if asked.score is None and asked.factor is not None:
        raise UsageError(
            "it says which planted sites count", where="--factor", do="Add --score FOLDER."
        )
    given = [
        f"--{name}" for name in ("regions", "gene", "fasta") if getattr(asked, name) is not None
    ]
    if len(given) != 1 and asked.score is None:
        raise UsageError(
            "give either regions, genes or sequences",
            found=" and ".join(given) or "none of them",
            do="Give --regions BED or --gene NAME with --genome, or --fasta FILE.",
        )
    if asked.gene is None and (asked.genes is not None or asked.flank):
        raise UsageError("--genes and --flank are of --gene", do="Give --gene, or leave them out.")
    if asked.flank < 0:
        raise UsageError(
            "impossible value", where="--flank", found=asked.flank, expected="0 or more"
        )
    if asked.gene is not None and asked.score is not None:
        raise UsageError("--score has regions of its own, or --regions", where="--gene")
    if asked.fasta is not None and (asked.genome or asked.store):
        raise UsageError(
            "sequences bring their bases",
            where="--fasta",
            found="--genome or --store",
            do="Leave these out, or give --regions or --gene.",
        )
    if asked.store is not None and asked.genome:
        raise UsageError(
            "--genome and --store do not go together",
            do="Leave out --genome: the windows are cut from the store's genome.",
        )


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


def explain_with(
    subject: Subject, asked: ExplainOptions, out: str | Path | None = None, say: Say | None = None
) -> Explanation:
    """Explain with a subject that is open; see `explain`."""
    say = say or (lambda line: None)
    told = time.monotonic()
    frames, sizes = read_frames(subject, asked)
    maps: list[RegionMap] = []
    null = []
    for number, (region, windows) in enumerate(frames):
        each, copies = map_with_null(subject, region, windows, asked)
        maps.append(each)
        null += copies
        if time.monotonic() - told > 30:
            told = time.monotonic()
            say(f"{number + 1:,} of {len(frames):,} regions")
    done = explanation_of(subject, asked, frames, sizes, maps, null, about_of(subject, asked))
    if out is not None:
        done.write(out, overwrite=asked.overwrite, pictures=asked.pictures)
    return done


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
        "strands": "both" if subject.both or subject.bases else "the region's own",
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
