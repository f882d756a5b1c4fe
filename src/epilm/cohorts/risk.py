"""Disease risk of individuals: a model's word on their variants, judged beside what is simple.

Genotypes and phenotypes are matched, variants checked against the genome and read by the model once;
then cross-validation, in which everything that is estimated comes from the training people. Beside
the model stand a constant, covariates and principal components alone, and the dosages themselves.
Axes: N people, V variants.
"""

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from epilm.atomic import atomic_folder, write_json
from epilm.cohorts.choices import Judging, Reading
from epilm.cohorts.columns import (
    Components,
    Dosages,
    Floats,
    Known,
    PeopleColumns,
    Rows,
    Together,
    WeightedDeltas,
)
from epilm.cohorts.deltas import Reader, open_reader, score_deltas
from epilm.cohorts.designs import compare_sizes, load_design
from epilm.cohorts.genotypes import (
    Columns,
    Genotypes,
    counts_text,
    open_genotypes,
    usable_columns,
)
from epilm.cohorts.haplotypes import RegionSpan, check_phase, encode_region
from epilm.cohorts.learning import (
    CONSTANT,
    OutOfFold,
    check_labels,
    cross_validate,
    folds_of,
)
from epilm.cohorts.people import People, read_people
from epilm.cohorts.scoring import (
    AT_PREVALENCE,
    SCORES,
    Spread,
    alarm_of,
    fold_scores,
    paired,
    spread_of,
    tenths_of,
)
from epilm.errors import InputError, UsageError
from epilm.genome.checks import check_intervals
from epilm.genome.peaks import read_peaks
from epilm.metrics.level import Difference
from epilm.metrics.prevalence import at_prevalence
from epilm.plots.page import load_json, write_page
from epilm.tasks.reference import Reference, open_reference
from epilm.variants.haplotypes import REASONS

MODEL, DOSAGE, BACKGROUND = "model", "dosage", "background"
ARMS = {
    MODEL: "what the model says of a person's variants",
    DOSAGE: "copies of each ALT: a polygenic score",
    BACKGROUND: "covariates and principal components alone",
    CONSTANT: "the share of cases",
}
FOR_COMPONENTS = 4000  # variants, evenly over the file, from which components are made
WHOLE = "all"  # the group of all variants, where no regions are given
COHORT = "cohort.json"  # beside simulated genotypes
RESULT = "risk.json"
Say = Callable[[str], None]


@dataclass(frozen=True)
class RiskResult:
    """What came of it.

    Attributes
    ----------
    people : People
    fold : int64 (N,)
        The fold in which a person was tested.
    said : dict of str to OutOfFold
        By arm.
    folds : dict of str to list of dict
        Scores of each fold.
    table : dict of str to dict of str to Spread
        Scores over folds.
    differences : dict of str to Difference
        AUROC of the model less that of each other arm.
    alarms : dict of str to str
        Arms that call everybody the same.
    notes : list of str
    about : dict
        What was asked, and counts.
    """

    people: People
    fold: NDArray[np.int64]
    said: dict[str, OutOfFold]
    folds: dict[str, list[dict[str, Any]]]
    table: dict[str, dict[str, Spread]]
    differences: dict[str, Difference]
    alarms: dict[str, str]
    notes: list[str]
    about: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """Lines to print."""
        shown = [name for name in (*SCORES, *AT_PREVALENCE) if name in self.table[CONSTANT]]
        lines = ["\t".join(["", *((SCORES | AT_PREVALENCE)[name] for name in shown)])]
        for arm, scores in self.table.items():
            cells = [f"{scores[name].mean:.3f} ± {scores[name].sd:.3f}" for name in shown]
            lines.append("\t".join([arm, *cells]))
        lines += verdicts(self.differences)
        lines += [f"{arm}: {alarm}" for arm, alarm in self.alarms.items()]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def as_json(self) -> dict[str, Any]:
        """Everything but the people, for a file."""
        return {
            "about": self.about,
            "scores": {
                arm: {name: plain(spread._asdict()) for name, spread in scores.items()}
                for arm, scores in self.table.items()
            },
            "folds": {arm: [plain(table) for table in rows] for arm, rows in self.folds.items()},
            "differences": {
                arm: plain({"auroc": value.value, "error": value.error}) | {"level": value.level}
                for arm, value in self.differences.items()
            },
            "penalties": {arm: [clean(c) for c in said.chosen] for arm, said in self.said.items()},
            "columns": {arm: said.columns for arm, said in self.said.items()},
            "alarms": self.alarms,
            "notes": self.notes,
        }


def clean(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def plain(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table with None where a value is undefined."""
    return {name: clean(value) for name, value in table.items()}


def verdicts(differences: Mapping[str, Difference]) -> list[str]:
    """Say of each baseline whether the model is above it.

    Examples
    --------
    >>> verdicts({"dosage": Difference(0.01, 0.02), "constant": Difference(0.2, 0.03)})[0]
    'level with dosage: AUROC +0.010 ± 0.020 (standard error)'
    """
    lines = []
    for arm, value in differences.items():
        below = value.value < -2 * value.error
        word = "below" if below else "level with" if value.level else "above"
        lines.append(f"{word} {arm}: AUROC {value.value:+.3f} ± {value.error:.3f} (standard error)")
    return lines


def risk(
    genotypes: str | Path,
    phenotypes: str | Path,
    genome: Any = None,
    model: str | Path | None = None,
    regions: str | Path | None = None,
    out: str | Path | None = None,
    *,
    reading: Reading | None = None,
    judging: Judging | None = None,
    like: str | None = None,
    overwrite: bool = False,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    say: Say | None = None,
) -> RiskResult:
    """Predict who is ill from genotypes, by a model's word on each variant, beside baselines.

    Parameters
    ----------
    genotypes : path
        VCF, BCF, or PLINK .bed with .bim and .fam; see `cohorts.genotypes`.
    phenotypes : path
        Table with sample, phenotype and others; see `cohorts.people`.
    genome : path, Genome or Reference
        What REF is checked against and windows are cut from; a store's where `reading.store` is.
    model : path, optional
        A pre-trained run (vectors) or a fine-tuned one (logits).
    regions : path, optional
        BED; variants inside one are summed over regions of the same name (a gene). Without it all
        variants are summed.
    out : path, optional
        Folder for risk.json, scores.tsv, folds.tsv, predictions.tsv and report.html.
    reading : Reading, optional
        How variants become numbers.
    judging : Judging, optional
        Folds, groups, covariates, components, classifier, prevalence.
    like : str, optional
        A set of the paper (`hscr_ret`): its published rows stand beside, and how sizes differ.
    overwrite : bool
    device : {"auto", "cpu", "cuda", "mps"}
    say : callable, optional
        Takes lines of progress; standard error by default.

    Returns
    -------
    RiskResult

    Raises
    ------
    InputError, UsageError, CheckpointError, StoreError
    """
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    reading, judging = reading or Reading(), judging or Judging()
    _check(reading, judging, regions)
    if like is not None:
        load_design(like)
    if out is not None and Path(out).exists() and not overwrite:
        raise UsageError(
            "the folder exists already", where=str(out), do="Choose another, or pass --overwrite."
        )
    reader, reference = _open(reading, model, genome, device)
    people_of, people, columns = _people(genotypes, phenotypes, reference, judging)
    spans = _regions(regions, reference)
    notes = [*people_of.notes, *people.notes, *reader.notes]
    for reason, n in columns.left_out.items():
        why = REASONS.get(reason, "the same haplotype stands in the file twice")
        notes.append(f"{n:,} alleles left out, {reason}: {why}")
    members = _members(columns, spans)
    calls = _read(people_of, people, columns, members, judging.components, reading.features)
    keep = None
    if out is not None:
        keep = Path(out).parent / f".{Path(out).name}.variants"
    model_columns, used = _model_columns(
        reader, reading, reference, columns, spans, members, calls, people_of, notes, keep, say
    )
    notes.append("genotypes: " + counts_text(people_of.counts))
    arms = _arms(model_columns, calls, used, people, judging, notes)
    fold = folds_of(people.labels, judging.folds, judging.seed, people.groups)
    said = cross_validate(
        arms,
        people.labels,
        fold,
        classifier=judging.classifier,
        groups=people.groups,
        seed=judging.seed,
        say=say,
    )
    result = _judged(people, fold, said, judging, notes)
    result.about.update(
        {
            "genotypes": str(genotypes),
            "phenotypes": str(phenotypes),
            "model": None if model is None else str(model),
            "regions": None if regions is None else str(regions),
            "people": len(people),
            "cases": people.cases,
            "controls": len(people) - people.cases,
            "groups": None if people.groups is None else len(set(people.groups)),
            "variants": len(used),
            "window_bp": reader.width,
            "scores": len(reader.names),
            "simulated": _is_simulated(people_of, Path(genotypes)),
            "calls": dict(people_of.counts),
            "reading": _plain_choices(reading),
            "judging": _plain_choices(judging),
        }
    )
    if like is not None:
        result.about["like"] = like
        result.notes.extend(compare_sizes(like, people.cases, len(people) - people.cases))
    if out is not None:
        _write(Path(out), result, overwrite)
        if keep is not None:
            shutil.rmtree(keep, ignore_errors=True)
    return result


def _plain_choices(choices: Reading | Judging) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(choices), default=str))


def _check(reading: Reading, judging: Judging, regions: Any) -> None:
    if judging.components < 0:
        raise UsageError(
            "impossible value", where="--components", found=judging.components, expected="0 or more"
        )
    if judging.prevalence is not None and not 0 < judging.prevalence < 1:
        raise UsageError(
            "impossible value",
            where="--prevalence",
            found=judging.prevalence,
            expected="a share between 0 and 1",
        )
    if judging.group_by in judging.covariates:
        raise UsageError(
            "a column cannot both be read and keep people apart",
            where="--covariates",
            found=judging.group_by,
        )
    if reading.features == "haplotypes":
        if regions is None:
            raise UsageError(
                "haplotypes are those of regions", do="Give --regions BED, or --features deltas."
            )
        given = {
            "--motifs": reading.motifs,
            "--window": reading.window,
            "--shifts": None if reading.shifts == (0,) else reading.shifts,
        }
        for option, value in given.items():
            if value is not None:
                raise UsageError(
                    "the option is of windows around single variants",
                    where="--features haplotypes",
                    found=option,
                    do="Leave it out: a region is read whole.",
                )


def _open(
    reading: Reading, model: Any, genome: Any, device: Any
) -> tuple[Reader, Reference]:
    opened = None
    if reading.store is not None:
        from epilm.store.reader import Store
        from epilm.variants.score import StoreBases

        if genome is not None:
            raise UsageError(
                "--genome and --store do not go together",
                do="Leave out --genome: the windows are cut from the store's genome.",
            )
        opened = Store.open(reading.store)
        genome = StoreBases(opened)
    if genome is None:
        raise UsageError("the genome of the variants is needed", do="Give --genome FASTA.")
    reader = open_reader(
        model,
        reading.motifs,
        store=opened,
        cell=reading.cell,
        window=reading.window,
        device=device,
    )
    if reading.shifts and max(map(abs, reading.shifts)) > reader.width // 4:
        raise UsageError(
            "a shift moves the variant to the window's edge",
            where="--shifts",
            found=max(reading.shifts, key=abs),
            expected=f"at most {reader.width // 4} bp of a window of {reader.width} bp",
        )
    if reading.features == "haplotypes" and reader.loaded is None:
        raise UsageError(
            "haplotypes are read by a pre-trained model",
            where="--features haplotypes",
            found=str(model),
            do="Give --model with a pre-trained run, or --features deltas.",
        )
    return reader, open_reference(genome)


def _people(
    genotypes: Any, phenotypes: Any, reference: Reference, judging: Judging
) -> tuple[Genotypes, People, Columns]:
    opened = open_genotypes(genotypes, reference)
    people = read_people(
        phenotypes,
        opened.samples,
        covariates=judging.covariates,
        group_by=judging.group_by,
    )
    check_labels(people.labels, judging.folds, str(phenotypes))
    return opened, people, usable_columns(opened, reference)


def _regions(path: Any, genome: Reference) -> list[RegionSpan] | None:
    if path is None:
        return None
    table = check_intervals(read_peaks(path, "bed"), genome.sizes).table
    names = table["name"] if "name" in table else [None] * len(table)
    return [
        RegionSpan(c, int(s), int(e), str(n) if n and n != "." else f"{c}:{s}-{e}")
        for c, s, e, n in zip(table["chrom"], table["start"], table["end"], names)
    ]


@dataclass(frozen=True)
class Members:
    """Which variants lie in which regions.

    Attributes
    ----------
    of_region : list of int64 arrays
        Numbers among the usable columns, one array a region; one array in all without regions.
    groups : dict of str to int64 array
        The same by region name.
    used : int64 (U,)
        All of them, ascending.
    """

    of_region: list[Rows]
    groups: dict[str, Rows]
    used: Rows


def _members(columns: Columns, spans: list[RegionSpan] | None) -> Members:
    everything = np.arange(len(columns.changes))
    if spans is None:
        return Members([everything], {WHOLE: everything}, everything)
    chrom = np.array([change.chrom for change in columns.changes])
    start = np.array([change.start for change in columns.changes])
    end = start + np.array([len(change.ref) for change in columns.changes])
    of_region = [
        np.flatnonzero((chrom == span.chrom) & (start >= span.start) & (end <= span.end))
        for span in spans
    ]
    groups: dict[str, Rows] = {}
    for span, rows in zip(spans, of_region):
        if len(rows):
            before = groups.get(span.name, np.zeros(0, np.int64))
            groups[span.name] = np.union1d(before, rows)
    if not groups:
        raise InputError(
            "no variant lies in a region",
            found=f"{len(everything)} variants, {len(spans)} regions",
            do="Give --regions of the same assembly that cover them.",
        )
    return Members(of_region, groups, np.unique(np.concatenate(list(groups.values()))))


@dataclass
class PeopleCalls:
    """Calls of the people with a phenotype.

    Attributes
    ----------
    dosages : float32 (N, U)
        Of the variants in regions, in the order of `Members.used`.
    copies : int8 (N, U, 2) or None
        Where haplotypes are read.
    spread : float32 (N, S)
        Of some variants of the whole file, for components.
    unphased : int
        Calls in regions whose copies cannot be told apart.
    """

    dosages: NDArray[np.float32]
    copies: NDArray[np.int8] | None
    spread: NDArray[np.float32]
    unphased: int


def _read(
    genotypes: Genotypes,
    people: People,
    columns: Columns,
    members: Members,
    components: int,
    features: str,
) -> PeopleCalls:
    """Read what is needed once, block by block."""
    v = len(columns.numbers)
    step = max(1, -(-v // FOR_COMPONENTS))
    for_axes = np.arange(0, v, step) if components else np.zeros(0, np.int64)
    needed = np.union1d(members.used, for_axes)
    at_used, at_axes = np.full(v, -1), np.full(v, -1)
    at_used[members.used] = np.arange(len(members.used))
    at_axes[for_axes] = np.arange(len(for_axes))
    n = len(people)
    dosages = np.empty((n, len(members.used)), np.float32)
    spread = np.empty((n, len(for_axes)), np.float32)
    copies = np.empty((n, len(members.used), 2), np.int8) if features == "haplotypes" else None
    usable = np.full(len(genotypes.variants.alleles), -1)
    usable[columns.numbers] = np.arange(v)
    unphased = 0
    for calls in genotypes.blocks(columns.numbers[needed]):
        mine = calls.dosages[people.rows]
        number = usable[calls.columns]
        here = at_used[number] >= 0
        dosages[:, at_used[number[here]]] = mine[:, here]
        if copies is not None:
            copies[:, at_used[number[here]]] = calls.copies[people.rows][:, here]
            unphased += int(calls.unphased[people.rows][:, here].sum())
        here = at_axes[number] >= 0
        spread[:, at_axes[number[here]]] = mine[:, here]
    return PeopleCalls(dosages, copies, spread, unphased)


def _model_columns(
    reader: Reader,
    reading: Reading,
    genome: Reference,
    columns: Columns,
    spans: list[RegionSpan] | None,
    members: Members,
    calls: PeopleCalls,
    genotypes: Genotypes,
    notes: list[str],
    keep: Path | None,
    say: Say,
) -> tuple[PeopleColumns, Rows]:
    """What the model says of people, and which of the used variants vary among them."""
    with np.errstate(invalid="ignore"):
        least = np.nanmin(np.where(np.isnan(calls.dosages), np.inf, calls.dosages), 0)
        most = np.nanmax(np.where(np.isnan(calls.dosages), -np.inf, calls.dosages), 0)
    varies = most > least
    if not varies.all():
        notes.append(f"{int((~varies).sum()):,} variants are the same in all people: not read")
    if not varies.any():
        raise InputError(
            "all people have the same calls",
            where=str(genotypes.variants.path),
            found=f"{len(varies)} variants in the regions",
        )
    position = np.full(len(columns.changes), -1)
    position[members.used] = np.arange(len(members.used))
    if reading.features == "haplotypes":
        assert spans is not None
        assert calls.copies is not None
        where = str(genotypes.variants.path)
        if calls.unphased:
            check_phase(calls.unphased, calls.dosages.size, where)
        vectors: list[Floats] = []
        clashes = 0
        for span, rows in zip(spans, members.of_region):
            at = position[rows]
            at, rows = at[varies[at]], rows[varies[at]]
            if not len(rows):
                continue
            changes = [columns.changes[row] for row in rows]
            values, n, lost = encode_region(reader, span, changes, calls.copies[:, at], genome)
            clashes += lost
            lacking = int(np.isnan(values).any(1).sum())
            say(f"{span.name}: {n:,} haplotypes of {len(rows):,} variants read")
            if lacking:
                notes.append(
                    f"{span.name}: {lacking:,} people with a missing call, the training folds'"
                    " mean instead"
                )
            vectors.append(values)
        if clashes:
            notes.append(
                f"{clashes:,} haplotypes have two variants of the same bases: the first was put in"
            )
        return Known(np.concatenate(vectors, 1)), np.flatnonzero(varies)
    rows = members.used[varies]
    scored = score_deltas(
        reader,
        [columns.changes[row] for row in rows],
        genome,
        shifts=reading.shifts,
        keep=keep,
        say=say,
    )
    for reason, n in scored.left_out.items():
        notes.append(f"{n:,} variants not read by the model, {reason}: {REASONS[reason]}")
    deltas = np.nan_to_num(scored.values)
    within = np.full(len(columns.changes), -1)
    within[rows] = np.arange(len(rows))
    groups = [within[each][within[each] >= 0] for each in members.groups.values()]
    groups = [each for each in groups if len(each)]
    notes.append(f"{len(groups):,} sums over {len(rows):,} variants, {deltas.shape[1]} scores each")
    return WeightedDeltas(calls.dosages[:, varies], deltas, groups), np.flatnonzero(varies)


def _arms(
    of_model: PeopleColumns,
    calls: PeopleCalls,
    used: Rows,
    people: People,
    judging: Judging,
    notes: list[str],
) -> dict[str, PeopleColumns | None]:
    """The model and what stands beside it; covariates and components are in all but the constant."""
    beside: list[PeopleColumns] = []
    if people.covariates.names:
        beside.append(Known(people.covariates.values))
    if judging.components:
        beside.append(Components(calls.spread, judging.components))
        notes.append(
            f"{judging.components} principal components of {calls.spread.shape[1]:,} variants,"
            " from the training people of each fold"
        )
    dosages = calls.dosages[:, used]
    arms: dict[str, PeopleColumns | None] = {
        MODEL: Together([*beside, of_model]),
        DOSAGE: Together([*beside, Dosages(dosages)]),
    }
    if beside:
        arms[BACKGROUND] = Together(beside)
    else:
        notes.append("no covariates and no components: no arm of these alone")
    arms[CONSTANT] = None
    return arms


def _judged(
    people: People,
    fold: NDArray[np.int64],
    said: dict[str, OutOfFold],
    judging: Judging,
    notes: list[str],
) -> RiskResult:
    names = [*SCORES, *(AT_PREVALENCE if judging.prevalence is not None else ())]
    folds = {
        arm: fold_scores(people.labels, each, fold, judging.prevalence)
        for arm, each in said.items()
    }
    table = {
        arm: {name: spread_of(rows, name) for name in names} for arm, rows in folds.items()
    }
    one_class = sum(len(np.unique(people.labels[fold == f])) < 2 for f in range(judging.folds))
    if one_class:
        notes.append(
            f"{one_class} of {judging.folds} folds hold one class: no AUROC and no AP there"
        )
    tenth = tenths_of(people.labels, people.groups, judging.seed)
    differences = {
        arm: paired(
            people.labels, said[MODEL].probabilities, each.probabilities, fold, tenth
        )
        for arm, each in said.items()
        if arm != MODEL
    }
    alarms = {arm: alarm for arm, each in said.items() if (alarm := alarm_of(each)) is not None}
    return RiskResult(people, fold, said, folds, table, differences, alarms, notes)


def _is_simulated(genotypes: Genotypes, path: Path) -> bool:
    return genotypes.simulated or bool(load_json(path.parent / COHORT, {}).get("simulated"))


def _write(out: Path, result: RiskResult, overwrite: bool) -> None:
    from epilm.cohorts.page import risk_page

    with atomic_folder(out, overwrite=overwrite) as folder:
        write_json(folder / RESULT, result.as_json())
        _tsv(folder / "scores.tsv", *_score_rows(result))
        _tsv(folder / "folds.tsv", *_fold_rows(result))
        _tsv(folder / "predictions.tsv", *_prediction_rows(result))
        write_page(risk_page(folder), folder / "report.html")


def _tsv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    def said(value: Any) -> str:
        if isinstance(value, float):
            return "." if not np.isfinite(value) else f"{value:.6g}"
        return "." if value is None else str(value)

    lines = ["\t".join(header), *("\t".join(map(said, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _score_rows(result: RiskResult) -> tuple[list[str], list[list[Any]]]:
    names = list(result.table[CONSTANT])
    header = ["arm", "score", "mean", "sd", "folds", "model_above", "error", "level"]
    rows: list[list[Any]] = []
    for arm, scores in result.table.items():
        for name in names:
            apart = result.differences.get(arm) if name == "auroc" else None
            ends = [None] * 3 if apart is None else [apart.value, apart.error, int(apart.level)]
            rows.append([arm, name, *scores[name], *ends])
    return header, rows


def _fold_rows(result: RiskResult) -> tuple[list[str], list[list[Any]]]:
    names = list(result.table[CONSTANT])
    rows = [
        [arm, number + 1, table["n"], *(float(table.get(name, np.nan)) for name in names)]
        for arm, tables in result.folds.items()
        for number, table in enumerate(tables)
    ]
    return ["arm", "fold", "n", *names], rows


def _prediction_rows(result: RiskResult) -> tuple[list[str], list[list[Any]]]:
    people, prevalence = result.people, result.about["judging"]["prevalence"]
    header = ["sample", "phenotype", "fold", *(f"p_{arm}" for arm in result.said)]
    values = [each.probabilities for each in result.said.values()]
    if prevalence is not None:
        shares = np.array(
            [people.labels[result.fold != f].mean() for f in range(int(result.fold.max()) + 1)]
        )
        header.append(f"p_{MODEL}_population")
        learned = shares[result.fold]
        values.append(at_prevalence(result.said[MODEL].probabilities, learned, prevalence))
    rows = [
        [name, "case" if label else "control", int(fold) + 1, *(float(v[i]) for v in values)]
        for i, (name, label, fold) in enumerate(
            zip(people.samples, people.labels.tolist(), result.fold.tolist())
        )
    ]
    return header, rows
