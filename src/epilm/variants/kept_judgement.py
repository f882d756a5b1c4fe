"""The comparison of scored variants with what is known, kept beside them: its numbers as a table,
and what was compared as JSON, so that several models' become one page (`epilm report --results`).
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epilm.atomic import atomic_file, write_json
from epilm.errors import InputError
from epilm.finetuning.finetuned import about_at
from epilm.hub.checkpoint import read_spec
from epilm.hub.load import find_checkpoint, is_bert_folder
from epilm.hub.provenance import made_by
from epilm.shards import digest
from epilm.variants.judging import Judgement, Truth, TruthScores
from epilm.variants.prepared_scoring import VariantScores
from epilm.variants.scored_files import plain_name


@dataclass(frozen=True)
class Judged:
    """A comparison read back.

    Attributes
    ----------
    rows : tuple of TruthScores
    variants : str
        Sums up the variants and what is known of them: the same for what can be compared.
    table : str
        Name of the table of variants.
    model : mapping
        `name`; `alike`, the same for models that differ by their seeds alone; `seed`. Empty where
        there was none.
    command : str
        What was typed.
    """

    rows: tuple[TruthScores, ...]
    variants: str
    table: str
    model: Mapping[str, Any]
    command: str


def truth_file(scored: Path) -> Path:
    """Where the comparison of a file of scores lies.

    Examples
    --------
    >>> truth_file(Path("a/scored.tsv.gz")).name
    'scored.truth.tsv'
    """
    return scored.with_name(f"{plain_name(scored)}.truth.tsv")


def keep_judgement(
    scored: Path,
    judged: Judgement,
    done: VariantScores,
    truth: Truth,
    *,
    table: Path,
    model: str | Path | None = None,
    command: str = "",
) -> None:
    """Write a comparison beside the scores.

    Parameters
    ----------
    scored : path
        The file of scores.
    judged : Judgement
    done : VariantScores
    truth : Truth
    table : path
        The table of variants that `truth` was read from.
    model : path, optional
    command : str
        What was typed, for the reader of a page.
    """
    path = truth_file(scored)
    with atomic_file(path) as new, open(new, "w", encoding="utf-8", newline="\n") as out:
        out.write("\t".join(TruthScores._fields) + "\n")
        for row in judged.rows:
            out.write("\t".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in row))
            out.write("\n")
    about = {
        "variants": _summed(done, truth),
        "table": table.name,
        "model": {} if model is None else model_behind(model),
        "command": command,
    }
    write_json(path.with_suffix(".json"), about)


def read_rows(scored: Path) -> list[dict[str, str]]:
    """Read the numbers of a comparison; none where scores were compared with nothing."""
    path = truth_file(scored)
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def read_judgement(scored: Path) -> Judged:
    """Read a comparison with what it was of.

    Parameters
    ----------
    scored : path
        A file of scores.

    Raises
    ------
    InputError
        If it was compared with nothing, or by a version that did not keep with what.
    """
    rows, about = read_rows(scored), truth_file(scored).with_suffix(".json")
    if not rows or not about.is_file():
        raise InputError(
            "these variants were scored and compared with nothing",
            where=str(scored),
            found=f"no {truth_file(scored).name if not rows else about.name} beside it",
            do="Give the command of epilm score-variants again with --truth COLUMN.",
        )
    try:
        kept = json.loads(about.read_text(encoding="utf-8"))
        read = tuple(_row(row) for row in rows)
        return Judged(read, kept["variants"], kept["table"], kept["model"], kept["command"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            "the comparison beside scored variants cannot be read",
            where=str(about),
            found=str(error),
            do="Give the command of epilm score-variants again.",
        ) from None


def _row(row: Mapping[str, str]) -> TruthScores:
    kinds = {"n": int, "positives": int, "signed": float, "of_size": float, "se": float}
    return TruthScores._make(kinds.get(name, str)(row[name]) for name in TruthScores._fields)


def model_behind(path: str | Path) -> dict[str, Any]:
    """Name a model by its recipe or task, and tell those that differ by their seeds alone.

    Parameters
    ----------
    path : path
        A pre-trained run, a fine-tuned one, or weights of another program.

    Returns
    -------
    dict
        `name`, `alike`, `seed`: see `Judged`.
    """
    path = Path(path)
    taught = about_at(path)
    if taught is None:
        made = {} if is_bert_folder(path) else made_by(read_spec(find_checkpoint(path))[1])
        if not made:
            return {"name": path.name, "alike": str(path), "seed": ""}
        return {"name": made["recipe"], "alike": made["alike"], "seed": str(made["seed"])}
    settings = dict(taught.get("settings", {}))
    made, scratch = dict(taught.get("made_by", {})), taught.get("init") == "random"
    seeds = [settings.pop("seed", 0), *([] if scratch or not made else [made["seed"]])]
    settings.pop("device", None)
    task = taught.get("task")
    what = [task, taught.get("init"), made.get("alike", taught.get("checkpoint")), settings]
    start = made.get("recipe", Path(str(taught.get("checkpoint", "?"))).name)
    return {
        "name": f"{task}, {'random weights, shape of ' * bool(scratch and made)}{start}",
        "alike": digest([json.dumps(what, sort_keys=True, default=str).encode()]),
        "seed": ", ".join(map(str, seeds)),
    }


def _summed(done: VariantScores, truth: Truth) -> str:
    """Sum up which variants were judged, and by what."""
    pieces = [f"{a.chrom}:{a.start}:{a.ref}:{a.alt}".encode() for a in done.alleles]
    for name, values in truth.values.items():
        pieces += [name.encode(), values.tobytes()]
    return digest([*pieces, "|".join(truth.groups).encode()])
