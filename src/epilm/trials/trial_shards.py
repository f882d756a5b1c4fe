"""A trial in shards: a unit is a row, or the rows of one set of a manifest.

A part holds its rows, and the files that the page reads beside them. While a shard is at it, its
rows, and what it trains, lie in the folder `work` beside the parts, so that a stopped one goes on.
Shards that see the same disk share that folder: a pre-training that several rows start from is made
by the first shard that needs it, and the others wait for it. Shards without a common disk each make
what they need; it is the same, as it hangs on the seed alone.
"""

import json
import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import atomic_folder, link_folder, locked, write_json
from epilm.device import choose_place
from epilm.errors import InputError
from epilm.hub.load import find_checkpoint, is_bert_folder
from epilm.plots.page import Page, load_json, write_page
from epilm.recipes.recipe import flat
from epilm.shards import (
    Arrays,
    JoinedParts,
    PartWritten,
    digest,
    digest_of_file,
    machine_of,
    parse_shard,
    write_part,
    written_before,
)
from epilm.trials.ablate import plan_trial
from epilm.trials.bench import LAB, WORLDS
from epilm.trials.choices import SetFiles
from epilm.trials.compare import rows_for
from epilm.trials.descriptions import kept_design
from epilm.trials.manifest import sets_of
from epilm.trials.row_files import Row, append_row
from epilm.trials.study import STUDY_PLAN, kept_study
from epilm.trials.study_page import study_page
from epilm.trials.trial import (
    PAGE,
    Key,
    Maker,
    Say,
    TrialResult,
    claim_folder,
    key_of,
    named_row,
    rows_in_order,
    rows_of,
    told_of,
)
from epilm.trials.trial_page import (
    COMPARISON,
    ablation_page,
    compared_of,
    comparison_page,
    design_of,
)
from epilm.trials.trial_table import Design, scored
from epilm.trials.trial_text import write_tables

WORK = "work"
_DATA = ("given", "sets")  # keys of a plan that hold fingerprints of data
_FILE = "file:"  # marks the bytes of a file among the arrays of a unit
# Plan of a folder -> its page.
_PAGES: dict[str, Callable[[Path], Page]] = {
    COMPARISON.plan: comparison_page,
    WORLDS.plan: ablation_page,
    LAB.plan: ablation_page,
    STUDY_PLAN: study_page,
}


def trial_shard(
    maker: Maker, out: str | Path, seeds: Sequence[int], shard: str, verb: str, say: Say
) -> PartWritten:
    """Make the rows of one of N shards.

    Parameters
    ----------
    maker : Maker
    out : path
        Folder of the parts.
    seeds : sequence of int
    shard : str
        i/N.
    verb : str
        The command.
    say : callable
        Takes lines of progress.

    Raises
    ------
    UsageError, InputError
        If the shard is none, or another request's part lies there.
    TrainingError
        If shards of another trial were at work there.
    EpilmError
        If another process is at this shard.
    """
    mine = parse_shard(shard)
    wanted = [key for key in maker.keys(seeds) if key[1:] not in maker.left_out]
    units: dict[Hashable, list[Key]] = {}
    for key in wanted:
        units.setdefault(maker.piece(key), []).append(key)
    asked = _asked(maker, list(seeds), verb)
    if (before := written_before(out, mine, asked)) is not None:
        return before
    own = {piece for number, piece in enumerate(units) if mine.has(number)}
    work = Path(out) / WORK
    words = maker.design.words
    rows_file = f"{Path(words.rows).stem}-{mine.i}-of-{mine.n}.jsonl"
    design = replace(maker.design, words=replace(words, rows=rows_file))
    work.mkdir(parents=True, exist_ok=True)
    with locked(work / rows_file), maker.around():
        claim_folder(work, maker, design)
        for missing, why in maker.left_out.items():
            say(f"left out: {', '.join(filter(None, missing))}: {why}")
        before_rows = rows_of(work, design)
        done = {key_of(design, row) for row in scored(before_rows)}
        missing_keys = [key for key in wanted if maker.piece(key) in own and key not in done]
        say(f"shard {shard}: {len(missing_keys)} of {len(wanted)} rows to do")
        maker.check_first(work, before_rows, missing_keys, say)
        try:
            for key, made in maker.make_all(missing_keys, work, say):
                row = append_row(work / rows_file, named_row(design, key) | dict(made))
                say(told_of(design, row))
        except KeyboardInterrupt:
            say("stopped: the same command goes on with the rows that are missing")
            raise
        rows: dict[Hashable, list[Row]] = {}
        for row in rows_of(work, design):
            key = key_of(design, row)
            if key in wanted or row.get("failed"):  # an earlier call may have had more seeds
                rows.setdefault(maker.piece(key), []).append(row)
        with write_part(out, mine, asked) as part:
            part.units = len(units)
            files = _page_files(work, maker.page_reads)
            for number, piece in enumerate(units):
                if piece in own:
                    part.put(number, {"rows": _bytes(json.dumps(rows[piece]).encode())} | files)
                    files = {}  # with the first of them
            count = len(part.done)
    return PartWritten(Path(out) / mine.name, count, len(units))


def compare_shard(
    files: SetFiles, out: str | Path, *, shard: str, seeds: Sequence[int], **how: Any
) -> PartWritten:
    """Make the rows of one of N shards of a comparison.

    Parameters
    ----------
    files : SetFiles
        The sets, as a user names them.
    out : path
        Folder of the parts.
    shard : str
        i/N.
    seeds : sequence of int
    **how
        What `compare.rows_for` takes.

    Raises
    ------
    UsageError, InputError, CheckpointError, TrainingError, EpilmError
        As `trial_shard` and `rows_for`.
    """
    return trial_shard(rows_for(sets_of(files), **how), out, seeds, shard, "compare", _say)


def ablate_shard(name: str | Path, out: str | Path, *, shard: str, **how: Any) -> PartWritten:
    """Make the rows of one of N shards of an ablation.

    Parameters
    ----------
    name : str or path
        The description.
    out : path
        Folder of the parts.
    shard : str
        i/N.
    **how
        What `ablate.plan_trial` takes.

    Raises
    ------
    UsageError, InputError, RecipeError, TrainingError, EpilmError
        As `trial_shard` and `plan_trial`.
    """
    maker, seeds = plan_trial(name, **how, say=_say)
    return trial_shard(maker, out, seeds, shard, "ablate", _say)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _asked(maker: Maker, seeds: list[int], verb: str) -> dict[str, Any]:
    """All that a part remembers of its request."""
    plan = json.loads(json.dumps(maker.plan()))
    # Where files lie and what the page is called changes no row.
    named = flat({key: value for key, value in plan.items() if key not in ("about", "title")})
    data = {key: value for key, value in named.items() if key.split(".")[0] in _DATA}
    call = {key: value for key, value in named.items() if key not in data}
    left_out = [f"{', '.join(filter(None, key))}: {why}" for key, why in maker.left_out.items()]
    return {
        "verb": verb,
        "call": call | {"seeds": seeds, "left_out": left_out},
        "files": {},
        "model": digest(_sum_of_start(path).encode() for path in maker.starts(seeds)),
        "data": data,
        "machine": machine_of(choose_place("auto", "fp32").device),
        "shown": {"plan": plan, "file": maker.design.words.plan},
    }


def _sum_of_start(path: str) -> str:
    start = Path(path)
    return digest_of_file(start if is_bert_folder(start) else find_checkpoint(start))


def _bytes(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8)


def _page_files(work: Path, patterns: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
    """Files that the page reads, of runs that are complete."""
    files: dict[str, NDArray[np.uint8]] = {}
    for path in sorted({path for pattern in patterns for path in work.glob(pattern)}):
        if path.parent.parent.name == "runs" and not (path.parent / "summary.json").is_file():
            continue  # another shard is at it
        files[_FILE + path.relative_to(work).as_posix()] = _bytes(path.read_bytes())
    return files


def design_in(folder: Path) -> Design:
    """Give what the table of a folder is made of, from its plan."""
    if (folder / COMPARISON.plan).is_file():
        return compared_of(load_json(folder / COMPARISON.plan, {}))
    if (folder / STUDY_PLAN).is_file():
        study, kept = kept_study(folder)
        return study.design(kept["names"])
    return design_of(kept_design(folder)[0])


def _write_files(unit: Arrays, folder: Path) -> None:
    """Write the files that a unit brings, inside of the folder alone; the first of a name stays."""
    for name, content in unit.items():
        path = folder / name.removeprefix(_FILE)
        if folder.resolve() not in path.resolve().parents or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.tobytes())


def _link_trained(work: Path, folder: Path) -> None:
    """Bring along what shards made and trained: folders of their common work, without a copy where
    the disk can.
    """

    for made in sorted(path for path in work.iterdir() if path.is_dir() and path.name[0] != "."):
        link_folder(made, folder / made.name)


def merge_rows(
    joined: JoinedParts,
    out: str | Path,
    say: Say,
    *,
    overwrite: bool = False,
    trained: bool = False,
) -> TrialResult:
    """Write the folder of a trial from the rows of its shards: tables and page as one process gives
    them, but for the seconds that a row took; `trained`: with what the shards trained on the way.

    Raises
    ------
    InputError
        If what a part holds is no trial.
    EpilmError
        If the folder exists.
    """
    shown, out = joined.about["shown"], Path(out)
    if shown.get("file") not in _PAGES:
        raise InputError(
            "the parts are of a trial that this version does not join",
            where=str(joined.parts[0][0]),
            found=shown.get("file"),
            expected=f"one of {', '.join(_PAGES)}",
        )
    with atomic_folder(out, overwrite=overwrite) as folder:
        write_json(folder / shown["file"], dict(shown["plan"]))
        work = joined.parts[0][0].parent / WORK
        if trained and work.is_dir():
            _link_trained(work, folder)
        design, page = design_in(folder), _PAGES[shown["file"]]
        made: list[Row] = []
        for unit in joined.units():
            made += json.loads(unit.pop("rows").tobytes())
            _write_files(unit, folder)
        for row in rows_in_order(design, made):
            append_row(folder / design.words.rows, row)
        rows = rows_of(folder, design)
        write_tables(folder, design, rows)
        write_page(page(folder), folder / PAGE)
    write_page(page(out), out / PAGE)  # it names its own folder
    return TrialResult(design, rows, out / PAGE, list(joined.about["call"]["left_out"]))
