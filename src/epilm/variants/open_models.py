"""Open what scores variants: a pre-trained model, a fine-tuned one, motifs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from epilm.device import choose_place
from epilm.errors import UsageError
from epilm.finetuning.finetuned import is_finetuned, refuse_pairs
from epilm.finetuning.scorer import ModelScorer, open_scorer
from epilm.hub.load import Loaded, load
from epilm.motifs.formats import read_motifs
from epilm.variants.motif_scorer import MotifScorer
from epilm.variants.pair_scores import PairScores, windowing_of
from epilm.variants.pretrained_scorer import PretrainedScorer
from epilm.variants.scorers import ChangeScorer, PairScorer
from epilm.variants.splice_scorer import DISTANCE, SpliceScorer
from epilm.variants.task_scorer import TaskScorer
from epilm.variants.variant_choices import VariantReading

Pretrained = TypeVar("Pretrained", bound=PairScorer)
OfBases = TypeVar("OfBases")


def no_answers_of_bases(score: ModelScorer) -> PairScorer:
    """Refuse a model that answers each base, where an answer a sequence is needed."""
    raise UsageError(
        "the model answers each base, and one answer a sequence is needed",
        where=str(score.model.path),
        found=f"task {score.about['task']}",
        do="epilm score-variants reads it.",
    )


def open_model(
    path: str | Path,
    pretrained: Callable[[Loaded], Pretrained],
    of_bases: Callable[[ModelScorer], OfBases],
    *,
    store: Any = None,
    cell: str | None = None,
    device: Any = "auto",
) -> Pretrained | OfBases | TaskScorer:
    """Open a model that reads haplotypes.

    Parameters
    ----------
    path : path
    pretrained : callable
        Makes the scorer of a pre-trained model.
    of_bases : callable
        Makes that of a fine-tuned model that answers each base.
    store : Store, optional
    cell : str, optional
        Of a fine-tuned model that reads places of a store.
    device : {"auto", "cpu", "cuda", "mps"}

    Raises
    ------
    UsageError, CheckpointError, StoreError
    """
    if is_finetuned(path):
        score = open_scorer(path, both_strands=False, device=device)
        refuse_pairs(score.model)
        if not score.model.labels.per_base:
            return TaskScorer(score, store, cell)
        _refuse_store(path, "a model that answers each base", store, cell)
        return of_bases(score)
    _refuse_store(path, "a pre-trained model", store, cell)
    return pretrained(load(path, device=choose_place(device, "fp32").device))


def _refuse_store(path: str | Path, what: str, store: Any, cell: str | None) -> None:
    if store is not None or cell is not None:
        raise UsageError(
            f"{what} reads bases alone here",
            where=str(path),
            found="--store or --cell",
            do="Give --genome, and leave both out.",
        )


def motifs_from(path: str | Path, largest: bool = False) -> MotifScorer:
    """Read motifs of a file as a scorer."""
    return MotifScorer(read_motifs(path), largest)


def _check_of_model(
    model: str | Path | None, motifs: str | Path | None, reading: VariantReading, placed: bool
) -> None:
    """Refuse options of a model, or of motifs, where there are none."""
    if model is None and (placed or reading.scores or reading.pooling):
        raise UsageError(
            "--store, --cell, --scores and --pooling are a model's", do="Give --model."
        )
    if motifs is None and reading.motif_columns != "each":
        raise UsageError("--motif-columns is of motifs", do="Give --motifs.")
    if model is not None and (reading.scores or reading.pooling) and is_finetuned(model):
        raise UsageError(
            "--scores and --pooling are of a pre-trained model; a fine-tuned one has logits",
            where=str(model),
            found=", ".join(reading.scores or [str(reading.pooling)]),
            do="Leave them out.",
        )


def _check_no_window(model: str | Path | None, reading: VariantReading, splice: bool) -> None:
    """Refuse options of windows where no window has one answer."""
    for option, given in (
        ("--window", reading.window is not None),
        ("--shifts", any(reading.shifts)),
        ("--grid", reading.grid != 1 and not splice),
    ):
        if given:
            raise UsageError(
                f"{option} says nothing here: no window has one answer",
                where=None if model is None else str(model),
                do="Leave it out; of splice sites --distance says which bases are compared.",
            )


def open_scorers(
    model: str | Path | None,
    motifs: str | Path | None,
    reading: VariantReading,
    *,
    store: Any = None,
    cell: str | None = None,
    device: Any = "auto",
) -> list[ChangeScorer]:
    """Open all that `score-variants` was told to score with; see `score.score_variants`.

    Raises
    ------
    UsageError
        If an option says nothing to the model, or does not fit it.
    """
    _check_of_model(model, motifs, reading, store is not None or cell is not None)
    pairs: list[PairScorer] = []
    splice: SpliceScorer | None = None
    if model is not None:
        opened = open_model(
            model,
            lambda loaded: PretrainedScorer(loaded, reading.scores, reading.pooling),
            lambda score: SpliceScorer(
                score,
                reading.genes,
                DISTANCE if reading.distance is None else reading.distance,
                reading.grid,
            ),
            store=store,
            cell=cell,
            device=device,
        )
        if isinstance(opened, SpliceScorer):
            splice = opened
        else:
            pairs.append(opened)
    if splice is None and (reading.distance is not None or reading.genes is not None):
        raise UsageError(
            "--distance and --genes are of a model of splice sites",
            where=None if model is None else str(model),
            do="Leave them out, or give a run of epilm finetune splice.",
        )
    if motifs is not None:
        pairs.append(motifs_from(motifs, reading.motif_columns == "largest"))
    if not pairs:
        _check_no_window(model, reading, splice is not None)
    made: list[ChangeScorer] = []
    if pairs:
        made.append(
            PairScores(
                pairs, windowing_of(pairs, reading.window, reading.shifts, reading.grid, model)
            )
        )
    return made if splice is None else [splice, *made]
