"""Disease risk of individuals: a model's word on their variants, judged beside what is simple.

Genotypes and phenotypes are matched, variants checked against the genome and read by the model
once; then cross-validation, in which all that is estimated comes from the training people. Beside
the model stand a constant, covariates and principal components alone, and the dosages themselves.
Axes: N people, V variants.
"""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from epilm.cohorts.calls import Members, PeopleCalls, members_of, read_calls, read_spans
from epilm.cohorts.classifiers import (
    CONSTANT,
    OutOfFold,
    check_labels,
    cross_validate,
    folds_of,
)
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
    GenotypeColumns,
    Genotypes,
    counts_text,
    open_genotypes,
    usable_columns,
)
from epilm.cohorts.people import People, read_people
from epilm.cohorts.phased import RegionSpan, check_phase, encode_region
from epilm.cohorts.result import BACKGROUND, DOSAGE, MODEL, RiskResult, write_result
from epilm.cohorts.risk_choices import CohortReading, Judging
from epilm.cohorts.scoring import (
    AT_PREVALENCE,
    SCORES,
    alarm_of,
    fold_scores,
    paired,
    spread_of,
    tenths_of,
)
from epilm.errors import InputError, UsageError
from epilm.plots.page import load_json
from epilm.tasks.reference import Reference, open_reference
from epilm.variants.haplotypes import REASONS

COHORT = "cohort.json"  # beside simulated genotypes
Say = Callable[[str], None]


def _told(**paths: Any) -> dict[str, str | None]:
    """Paths as they were given."""
    return {name: None if path is None else str(path) for name, path in paths.items()}


def _counted(people: People) -> dict[str, int | None]:
    """How many people of which kind."""
    return {
        "people": len(people),
        "cases": people.cases,
        "controls": len(people) - people.cases,
        "groups": None if people.groups is None else len(set(people.groups)),
    }


def risk(
    genotypes: str | Path,
    phenotypes: str | Path,
    genome: Any = None,
    model: str | Path | None = None,
    regions: str | Path | None = None,
    out: str | Path | None = None,
    *,
    reading: CohortReading | None = None,
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
    reading : CohortReading, optional
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
    reading, judging = reading or CohortReading(), judging or Judging()
    _check(reading, judging, regions)
    if like is not None:
        load_design(like)
    if out is not None and Path(out).exists() and not overwrite:
        raise UsageError(
            "the folder exists already", where=str(out), do="Choose another, or pass --overwrite."
        )
    reader, reference = _open(reading, model, genome, device)
    people_of, people, columns = _people(genotypes, phenotypes, reference, judging)
    spans = read_spans(regions, reference)
    notes = [*people_of.notes, *people.notes, *reader.notes]
    for reason, n in columns.left_out.items():
        why = REASONS.get(reason, "the same haplotype stands in the file twice")
        notes.append(f"{n:,} alleles left out, {reason}: {why}")
    members = members_of(columns, spans)
    calls = read_calls(people_of, people, columns, members, judging.components, reading.features)
    keep = None
    if out is not None:
        keep = Path(out).parent / f".{Path(out).name}.variants"
    read = _Read(people_of, columns, spans, members, calls)
    model_columns, used = _model_columns(reader, reading, reference, read, notes, keep, say)
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
    result.about.update(_told(genotypes=genotypes, phenotypes=phenotypes))
    result.about.update(_told(model=model, regions=regions) | _counted(people))
    result.about.update(
        {
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
        write_result(Path(out), result, overwrite)
        if keep is not None:
            shutil.rmtree(keep, ignore_errors=True)
    return result


def _plain_choices(choices: CohortReading | Judging) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(choices), default=str))


def _check(reading: CohortReading, judging: Judging, regions: Any) -> None:
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


def _open(reading: CohortReading, model: Any, genome: Any, device: Any) -> tuple[Reader, Reference]:
    opened = None
    if reading.store is not None:
        from epilm.store.reader import Store
        from epilm.tasks.reference import StoreReference

        if genome is not None:
            raise UsageError(
                "--genome and --store do not go together",
                do="Leave out --genome: the windows are cut from the store's genome.",
            )
        opened = Store.open(reading.store)
        genome = StoreReference(opened)
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
) -> tuple[Genotypes, People, GenotypeColumns]:
    opened = open_genotypes(genotypes, reference)
    people = read_people(
        phenotypes,
        opened.samples,
        covariates=judging.covariates,
        group_by=judging.group_by,
    )
    check_labels(people.labels, judging.folds, str(phenotypes))
    return opened, people, usable_columns(opened, reference)


def _varying(calls: PeopleCalls, genotypes: Genotypes, notes: list[str]) -> NDArray[np.bool_]:
    """Say which of the used variants vary among the people."""
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
    return varies


@dataclass(frozen=True)
class _Read:
    """What was read of a cohort: calls of which variants, in which regions."""

    genotypes: Genotypes
    columns: GenotypeColumns
    spans: list[RegionSpan] | None
    members: Members
    calls: PeopleCalls


def _of_haplotypes(
    reader: Reader,
    genome: Reference,
    read: _Read,
    varies: NDArray[np.bool_],
    notes: list[str],
    say: Say,
) -> PeopleColumns:
    """What the model says of both haplotypes of each region."""
    position = np.full(len(read.columns.changes), -1)
    position[read.members.used] = np.arange(len(read.members.used))
    assert read.spans is not None
    assert read.calls.copies is not None
    where = str(read.genotypes.variants.path)
    if read.calls.unphased:
        check_phase(read.calls.unphased, read.calls.dosages.size, where)
    vectors: list[Floats] = []
    clashes = 0
    for span, rows in zip(read.spans, read.members.of_region):
        at = position[rows]
        at, rows = at[varies[at]], rows[varies[at]]
        if not len(rows):
            continue
        changes = [read.columns.changes[row] for row in rows]
        values, n, lost = encode_region(reader, span, changes, read.calls.copies[:, at], genome)
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
    return Known(np.concatenate(vectors, 1))


def _model_columns(
    reader: Reader,
    reading: CohortReading,
    genome: Reference,
    read: _Read,
    notes: list[str],
    keep: Path | None,
    say: Say,
) -> tuple[PeopleColumns, Rows]:
    """What the model says of people, and which of the used variants vary among them."""
    columns, members, calls = read.columns, read.members, read.calls
    varies = _varying(calls, read.genotypes, notes)
    if reading.features == "haplotypes":
        of_people = _of_haplotypes(reader, genome, read, varies, notes, say)
        return of_people, np.flatnonzero(varies)
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
    """The model and what stands beside it; covariates and components are in all but one."""
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
    table = {arm: {name: spread_of(rows, name) for name in names} for arm, rows in folds.items()}
    one_class = sum(len(np.unique(people.labels[fold == f])) < 2 for f in range(judging.folds))
    if one_class:
        notes.append(
            f"{one_class} of {judging.folds} folds hold one class: no AUROC and no AP there"
        )
    tenth = tenths_of(people.labels, people.groups, judging.seed)
    differences = {
        arm: paired(people.labels, said[MODEL].probabilities, each.probabilities, fold, tenth)
        for arm, each in said.items()
        if arm != MODEL
    }
    alarms = {arm: alarm for arm, each in said.items() if (alarm := alarm_of(each)) is not None}
    return RiskResult(people, fold, said, folds, table, differences, alarms, notes)


def _is_simulated(genotypes: Genotypes, path: Path) -> bool:
    return genotypes.simulated or bool(load_json(path.parent / COHORT, {}).get("simulated"))
