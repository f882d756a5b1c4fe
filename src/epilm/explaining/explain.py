"""Explain what a model says of regions or sequences; the public function behind `epilm explain`.

Opening, reading, mapping and writing meet here.
"""

import sys
import time
from pathlib import Path
from typing import Any, TypeGuard

from epilm.errors import UsageError
from epilm.explaining.asked_frames import read_frames
from epilm.explaining.discovery import tomtom_module
from epilm.explaining.explain_options import ExplainOptions, options_of
from epilm.explaining.explain_shards import explain_shard
from epilm.explaining.explain_steps import Say, about_of, explanation_of, map_with_null, open_asked
from epilm.explaining.explanation import Explanation
from epilm.explaining.region_map import RegionMap
from epilm.explaining.subject import Subject
from epilm.finetuning.finetuned import Finetuned, is_finetuned
from epilm.training.heap import kept_heap


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
        BED or narrowPeak; with `genome`, or with `store` and `cell`. Or `gene`, `fasta` or
        `variants` is given.
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
        return explain_shard(model, asked, out, shard, say)
    if asked.method == "inputs" and asked.store is not None and _is_pretrained(model):
        from epilm.explaining.match_contributions import explain_matching

        return explain_matching(model, asked, out, say)
    subject = model if isinstance(model, Subject) else open_asked(model, asked)
    if asked.score is not None:
        from epilm.explaining.truth import score_methods

        return score_methods(subject, asked, out, say)
    if asked.method == "inputs":
        from epilm.explaining.contributions import explain_inputs

        return explain_inputs(subject, asked, out, say)
    return explain_with(subject, asked, out, say)


def _is_pretrained(model: Any) -> TypeGuard[str | Path]:
    return isinstance(model, str | Path) and not is_finetuned(model)


def _check(asked: ExplainOptions) -> None:
    """Refuse what cannot be read before a model is opened."""
    if asked.motifs is not None:
        if not asked.null and asked.against is None:
            raise UsageError(
                "names are given to patterns, and none are looked for",
                where="--motifs",
                do="Add --null 1: shuffled copies that seqlets are called against.",
            )
        tomtom_module()
    if asked.against is not None and (asked.null or asked.score is not None):
        raise UsageError(
            "--against is another way to find motifs",
            found="--null" if asked.null else "--score",
            do="Give one of them.",
        )
    if asked.score is None and asked.factor is not None:
        raise UsageError(
            "it says which planted sites count", where="--factor", do="Add --score FOLDER."
        )
    given = [
        f"--{name}"
        for name in ("regions", "gene", "fasta", "variants")
        if getattr(asked, name) is not None
    ]
    if len(given) != 1 and asked.score is None:
        raise UsageError(
            "give either regions, genes, sequences or variants",
            found=" and ".join(given) or "none of them",
            do="Give --regions BED, --gene NAME or --variants VCF with --genome, or --fasta FILE.",
        )
    if asked.gene is None and asked.genes is not None:
        raise UsageError("--genes is of --gene", do="Give --gene, or leave it out.")
    if asked.gene is None and asked.variants is None and asked.flank:
        raise UsageError(
            "--flank is of --gene and --variants", do="Give one of them, or leave it out."
        )
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


def explain_with(
    subject: Subject, asked: ExplainOptions, out: str | Path | None = None, say: Say | None = None
) -> Explanation:
    """Explain with a subject that is open; see `explain`."""
    say = say or (lambda line: None)
    told = time.monotonic()
    frames, sizes = read_frames(subject, asked)
    maps: list[RegionMap] = []
    null = []
    with kept_heap(subject.place.device):
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
