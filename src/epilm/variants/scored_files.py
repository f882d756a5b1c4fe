"""Scores of variants read back from what `epilm score-variants` wrote: a table or a VCF."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from epilm.errors import InputError
from epilm.genome.limits import open_text
from epilm.variants.score_writers import FIXED, PREFIX
from epilm.variants.variant_files import COLUMNS, TSV_ENDINGS, VCF_ENDINGS, VariantFile, open_vcf

# Columns that say less than the effect beside them: each haplotype's own, the strands', the rank.
ASIDE = ("_ref", "_alt", "_strands", "_percentile")
POSITIONS = "DP_"  # of splice sites: where, not how much
REASON = "reason"


def read_scores(path: Path, file: VariantFile) -> dict[str, dict[int, float]]:
    """Give score -> row of the alleles -> value; columns of words are left out.

    Parameters
    ----------
    path : Path
    file : VariantFile
        The same file, read.
    """
    if path.name.lower().endswith(VCF_ENDINGS):
        return _vcf_scores(path)
    return _tsv_scores(path, file)


def effects_among(names: Sequence[str]) -> list[str]:
    """Choose the scores that say how large an effect is: differences, distances, gains, losses.

    Examples
    --------
    >>> effects_among(["x_ref", "x_alt", "x_delta", "x_strands", "l2", "DS_AG", "DP_AG"])
    ['x_delta', 'l2', 'DS_AG']
    """
    return [n for n in names if not n.endswith(ASIDE) and not n.startswith(POSITIONS)]


def count_reasons(path: Path) -> dict[str, int]:
    """Count alleles by why they were not scored."""
    counts: Counter[str] = Counter()
    if path.name.lower().endswith(VCF_ENDINGS):
        with open_vcf(path) as opened:
            for record in opened:
                said = record.info.get(f"{PREFIX}REASON") or ()
                counts.update(text for text in said if text)
        return dict(counts)
    with open_text(path, path.suffix == ".gz") as text:
        for row in csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE):
            if (reason := row.get(REASON) or ".") != ".":
                counts[reason] += 1
    return dict(counts)


def is_scored(path: Path) -> bool:
    """Say whether a file is one that `epilm score-variants` wrote.

    Examples
    --------
    >>> is_scored(Path("nowhere.tsv"))
    False
    """
    name = path.name.lower()
    if not path.is_file() or not name.endswith((*TSV_ENDINGS, *VCF_ENDINGS)):
        return False
    if name.endswith(VCF_ENDINGS):
        with open_vcf(path) as opened:
            return f"{PREFIX}REASON" in opened.header.info
    try:
        with open_text(path, path.suffix == ".gz") as text:
            return text.readline().startswith("\t".join(FIXED))
    except (OSError, EOFError, UnicodeDecodeError):
        return False


def scored_in(folder: Path) -> Path | None:
    """Find the table of scores in a folder; None where there is none.

    Raises
    ------
    InputError
        If there are several.
    """
    tables = [path for path in sorted(folder.iterdir()) if is_scored(path)]
    if len(tables) > 1:
        raise InputError(
            "the folder holds several tables of scored variants",
            where=str(folder),
            found=", ".join(path.name for path in tables[:6]),
            do=f"Name one: epilm report {tables[0]}.",
        )
    return tables[0] if tables else None


def truth_file(scored: Path) -> Path:
    """Where the comparison of a file of scores lies; what was compared lies beside it, as .json.

    Examples
    --------
    >>> truth_file(Path("a/scored.tsv.gz")).name
    'scored.truth.tsv'
    """
    return scored.with_name(f"{plain_name(scored)}.truth.tsv")


def forget_comparison(scored: Path) -> None:
    """Remove the comparison of scores that were there before."""
    for path in (truth_file(scored), truth_file(scored).with_suffix(".json")):
        path.unlink(missing_ok=True)


def plain_name(path: Path) -> str:
    """Name of a file without its ending.

    Examples
    --------
    >>> plain_name(Path("a/cohort.1.vcf.gz"))
    'cohort.1'
    """
    name = path.name
    ends = sorted((*VCF_ENDINGS, *TSV_ENDINGS), key=len, reverse=True)
    end = next((end for end in ends if name.lower().endswith(end)), "")
    return name[: len(name) - len(end)]


def _vcf_scores(path: Path) -> dict[str, dict[int, float]]:
    scores: dict[str, dict[int, float]] = {}
    with open_vcf(path) as opened:
        keys = [key for key, entry in opened.header.info.items() if entry.type == "Float"]
        # Ours where there are any; else whatever number the file says of its variants.
        keys = [key for key in keys if key.startswith(PREFIX)] or keys
        row = 0
        for record in opened:
            n = len(record.alts or (".",))
            for key in keys:
                said = record.info.get(key)
                several = said if isinstance(said, tuple) else (said,) * n
                for number, value in enumerate(several[:n]):
                    if value is not None and np.isfinite(value):
                        scores.setdefault(key.removeprefix(PREFIX), {})[row + number] = value
            row += n
    return scores


def _tsv_scores(path: Path, file: VariantFile) -> dict[str, dict[int, float]]:
    with open_text(path, path.suffix == ".gz") as text:
        lines = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
        header = next(lines)
        rows = [line for line in lines if line]
    places = {*FIXED, *(alias for known in COLUMNS.values() for alias in known)}
    columns = {name: i for i, name in enumerate(header) if name.strip().lower() not in places}
    by_record: dict[int, list[int]] = {}
    for row, allele in enumerate(file.alleles):
        by_record.setdefault(allele.record, []).append(row)
    scores: dict[str, dict[int, float]] = {}
    for name, column in columns.items():
        values: dict[int, float] = {}
        for record, line in enumerate(rows):
            text_of = line[column] if column < len(line) else "."
            try:
                value = float(text_of)
            except ValueError:
                if text_of not in ("", ".", "NA"):
                    values = {}
                    break  # a column of words
                continue
            if np.isfinite(value):
                values |= dict.fromkeys(by_record[record], value)
        if values:
            scores[name] = values
    return scores
