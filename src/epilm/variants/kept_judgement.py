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
from epilm.finetuning.ensemble import OWN
from epilm.finetuning.finetuned import about_at
from epilm.finetuning.run_folder import alike_settings
from epilm.hub.checkpoint import read_spec
from epilm.hub.load import find_checkpoint, is_bert_folder
from epilm.hub.provenance import made_by
from epilm.plots.page import load_json
from epilm.shards import digest, digest_of_file
from epilm.variants.judging import Judgement, Truth, TruthScores
from epilm.variants.prepared_scoring import VariantScores
from epilm.variants.scored_files import truth_file


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
        `name`; `alike`, the same for models that differ by their seeds alone; `seed`.
    reading : mapping
        How variants were read: window, cell type and so on, where it was said.
    command : str
        What was typed.
    """

    rows: tuple[TruthScores, ...]
    variants: str
    table: str
    model: Mapping[str, Any]
    reading: Mapping[str, Any]
    command: str


def keep_judgement(
    scored: Path,
    judged: Judgement,
    done: VariantScores,
    truth: Truth,
    *,
    table: Path,
    model: str | Path | None = None,
    motifs: str | Path | None = None,
    reading: Mapping[str, Any] | None = None,
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
    model, motifs : path, optional
        What scored: without a model the motifs stand for it.
    reading : mapping, optional
        How variants were read, as far as it was said; part of what makes scores alike.
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
        "model": _motifs_behind(motifs) if model is None else model_behind(model),
        "reading": {k: v for k, v in (reading or {}).items() if v and k not in _SAME_NUMBERS},
        "command": command,
    }
    write_json(path.with_suffix(".json"), json.loads(json.dumps(about, default=str)))


def read_rows(scored: Path) -> list[dict[str, str]]:
    """Read the numbers of a comparison; none where scores were compared with nothing."""
    path = truth_file(scored)
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


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
            expected="both files of a comparison of three variants or more",
            do="Give the command of epilm score-variants again with --truth COLUMN.",
        )
    try:
        kept = json.loads(about.read_text(encoding="utf-8"))
        read = tuple(_row(row) for row in rows)
        model, reading = dict(kept["model"]), dict(kept["reading"])
        return Judged(
            read, str(kept["variants"]), str(kept["table"]), model, reading, str(kept["command"])
        )
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


# Of a fine-tuned model: what its settings say, or what it was fitted; a head is part of what it is.
_OWN = (OWN - {"head"}) | {"members", "named"}
_SAME_NUMBERS = ("scores", "batch_size", "motif_columns")  # which there are, not what they are
_FITTED = ("threshold", "temperature", "mean", "sd")


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
        made = {} if is_bert_folder(path) else made_by(read_spec(find_checkpoint(path))[1], path)
        if not made:
            return {"name": path.name, "alike": str(path), "seed": ""}
        return {"name": made["recipe"], "alike": made["alike"], "seed": str(made["seed"])}
    task = str(taught.get("task"))
    if members := taught.get("members"):
        return {"name": f"{task}, mean of {len(members)}", "alike": _sum(members), "seed": ""}
    settings = alike_settings(taught.get("settings", {}))
    seed = str(taught.get("settings", {}).get("seed", 0))
    made, scratch = dict(taught.get("made_by", {})), taught.get("init") == "random"
    if made and not scratch:
        seed += f" (pre-training {made['seed']})"
    same = {key: value for key, value in taught.items() if key not in _OWN}
    labels = {k: v for k, v in taught.get("labels", {}).items() if k not in _FITTED}
    folder = find_checkpoint(path)
    model = read_spec(folder)[0]
    start = made.get("alike", taught.get("checkpoint"))
    what = [same, labels, settings, taught.get("init"), start, model, _rows_of(folder)]
    of = made.get("recipe", Path(str(taught.get("checkpoint", "?"))).name)
    shape = "random weights, shape of " if scratch and made else ""
    return {"name": f"{task}, {shape}{of}", "alike": _sum(what), "seed": seed}


def _motifs_behind(motifs: str | Path | None) -> dict[str, Any]:
    """What stands for a model where motifs alone were scored."""
    if motifs is None:
        return {"name": "no model", "alike": "", "seed": ""}
    known = digest_of_file(Path(motifs)) if Path(motifs).exists() else str(motifs)
    return {"name": Path(motifs).name, "alike": known, "seed": ""}


def _rows_of(folder: Path) -> str:
    """Which rows a fine-tuned run learned from, where its folder says."""
    kept = load_json(folder.parent / "run.json", {})
    return str(kept.get("examples", "")) if isinstance(kept, dict) else ""


def _sum(value: Any) -> str:
    return digest([json.dumps(value, sort_keys=True, default=str).encode()])


def _summed(done: VariantScores, truth: Truth) -> str:
    """Sum up which variants were judged, and by what."""
    pieces = [f"{a.chrom}:{a.start}:{a.ref}:{a.alt}".encode() for a in done.alleles]
    for name, values in truth.values.items():
        pieces += [name.encode(), values.tobytes()]
    return digest([*pieces, "|".join(truth.groups).encode()])
