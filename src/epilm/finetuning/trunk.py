"""The trunk that fine-tuning starts from: a pre-trained model, its random twin, or one without a
past; and how far it reads.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import nn

from epilm.errors import CheckpointError, InputError, UsageError
from epilm.finetuning.finetuned import about_of
from epilm.hub.adapters import tile_positions
from epilm.hub.load import find_trunk, load, unfinished
from epilm.hub.provenance import KEPT, made_by, memories, memory
from epilm.models.classifier import SequenceClassifier
from epilm.models.ebert import EBERT
from epilm.models.from_spec import build_model
from epilm.models.genebert import GeneBERT
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.models.networks import NETWORKS
from epilm.store.identity import check_assembly, check_states
from epilm.store.reader import Store
from epilm.tasks.lesson import TaskLesson
from epilm.tokens.kmers import n_window_tokens

RANDOM = ("random", "ebert", "dbert")  # trunks without a past; NETWORKS have no trunk at all
Size = Literal["tiny", "small", "base", "large"]


class Trunk(NamedTuple):
    """What a head is put on.

    Attributes
    ----------
    source : GeneBERT or EBERT
    spec : ModelSpec
    extra : dict
        What its checkpoint keeps; empty where it is new.
    where : str
        What it is, for lines and messages.
    """

    source: Any
    spec: ModelSpec
    extra: dict[str, Any]
    where: str


def begin_trunk(
    lesson: TaskLesson,
    options: Any,
    about: dict[str, Any],
    motifs: int,
    name: str,
    init: str,
    size: Size,
    k: int,
) -> tuple[Trunk, list[str]]:
    """A trunk, pre-trained or not, and what is to be said of it."""
    if name in RANDOM:
        spec = _new_spec(name, lesson, about["fusion"], motifs, size, k)
        where = f"a random {size} {spec.name}, k={spec.k}"
        return Trunk(random_twin(spec, options), spec, {}, where), []
    loaded, spec, extra, where = load_pretrained(name)
    if lesson.store is not None and init == "checkpoint":
        check_assembly(lesson.store, extra, where, meant=getattr(options, "other_assembly", False))
    if made := made_by(extra, name):  # of a random twin whose shape it has
        about["made_by"] = made
    if init == "random":
        source = random_twin(spec, options)
        return Trunk(source, spec, extra, f"random weights in the shape of {where}"), []
    told = tile_positions(loaded, spec)
    if step := unfinished(name):
        told.append(f"WARNING: {where} has not ended its pre-training: {step} is taken")
    about["pretraining"] = memory(extra, where)
    if "task" in extra:
        told.append(
            f"{where} was fine-tuned on {extra['task']['task']}: its trunk is taken and its head"
            " left (--head kept takes both); what it learned from is no test any more"
        )
    return Trunk(loaded, spec, extra, where), told


def load_pretrained(
    checkpoint: str | Path,
) -> tuple[GeneBERT | EBERT, ModelSpec, dict[str, Any], str]:
    """Open what a user calls a checkpoint: a run, a model folder, a DNABERT folder; of a run of
    fine-tuning the trunk.

    Returns
    -------
    model, spec, extra, where
        `extra` is what the checkpoint keeps about its pre-training; of a fine-tuned one "task" says
        what it was taught.

    Raises
    ------
    CheckpointError
    """
    path = Path(checkpoint)
    if not path.exists():
        named = (*RANDOM, *sorted(NETWORKS))
        raise CheckpointError(
            "there is no such checkpoint",
            where=str(path),
            expected=f"the folder of a run or model, or one of {', '.join(named)}",
        )
    loaded = load(path)
    if isinstance(loaded.model, GeneBERT | EBERT):
        return loaded.model, loaded.spec, dict(loaded.extra or {}), str(path)
    trunk, spec = _taught_trunk(loaded.model, loaded.spec, str(path))
    # A long context may have made the table of positions grow, which the spec does not say.
    encoder = replace(spec.encoder, max_positions=trunk.encoder.max_positions)
    return trunk, replace(spec, encoder=encoder), _of_taught(about_of(loaded.path)), str(path)


def _taught_trunk(network: nn.Module, spec: ModelSpec, where: str) -> tuple[EBERT, ModelSpec]:
    """The trunk of a fine-tuned model.

    Raises
    ------
    CheckpointError
        If it has none, or one that reads more than sequence and states.
    """
    if (trunk := find_trunk(network)) is not None:
        return trunk, spec
    if not isinstance(network, SequenceClassifier):
        raise CheckpointError(
            "this is no pre-trained model, and has no trunk that was one",
            where=where,
            found=type(network).__name__,
            expected="a run of epilm pretrain or finetune, or weights in BERT's layout",
        )
    if network.fusion is not None or network.chunks is not None:
        raise CheckpointError(
            "of this fine-tuned model the encoder alone would be taken, and it has learned beside"
            " other parts",
            where=where,
            found="a fusion with motif scores" if network.fusion else "a layer that joins chunks",
            do="Give the checkpoint that it was made from.",
        )
    # What states add is in the words already: this encoder reads sequence alone.
    alone = replace(spec, name="dbert", streams=("dna",), states=0, factors=0, motif_sites=0)
    return EBERT(network.encoder, pooling=network.pooling), alone


def _of_taught(task: dict[str, Any] | None) -> dict[str, Any]:
    """What a fine-tuned model keeps of its store and of the pre-training before it."""
    assert task is not None, "a model with a head answers a task"
    kept = {key: task[key] for key in KEPT if task.get(key) is not None}
    if seen := task.get("pretraining"):
        kept = {key: seen[key] for key in KEPT if key in seen} | kept
        kept["before"] = memories(seen)
    kept.pop("holdout_chroms", None)  # what it was taught from may lie there
    return kept | {"task": task}


def seed_of(options: Any) -> int:
    """Seed of trunk and head, which are functions of it."""
    return int(options.seed) * 7919 + 31


def random_twin(spec: ModelSpec, options: Any) -> GeneBERT | EBERT:
    """A model of that shape without a past: not even the weights its recipe started from."""
    bare = replace(
        spec,
        encoder=replace(spec.encoder, init=None),
        tower=replace(spec.tower, weights=None),
    )
    return build_model(bare, seed=seed_of(options))


def _new_spec(
    name: str, lesson: TaskLesson, fusion: str, factors: int, size: Size, k: int
) -> ModelSpec:
    """A trunk without a past: for places EBERT's kind, for sequences BERT's."""
    store = lesson.store
    if store is None and name == "random":
        return ModelSpec(
            name="dnabert" if fusion == "none" else "genebert",
            streams=("dna",) if fusion == "none" else ("dna", "factors"),
            k=k,
            encoder=EncoderSpec(size=size),
            factors=factors,
            next_segment="none",
        )
    states = store is not None and store.states is not None and name != "dbert"
    if name == "ebert" and not states:
        raise UsageError(
            "EBERT reads states and the store has none",
            where=None if store is None else str(store.path),
            do="Build the store with --states, or take --checkpoint dbert.",
        )
    width = lesson.window_bp or int(lesson.examples.lengths.max())
    if lesson.labels.per_base:  # read by chunks, as many tokens as such a trunk has positions
        width = min(width, 510 * k)
    tokens = n_window_tokens(width, k, k) + 2
    return ModelSpec(
        name="ebert" if states else "dbert",
        streams=("dna", "states") if states else ("dna",),
        k=k,
        stride=k,
        max_tokens=max(tokens, 150),
        cells=0 if store is None else len(store.cell_types),
        states=store.states.n_states if states else 0,
        encoder=EncoderSpec(size=size, max_positions=max(512, tokens)),
        next_segment="none",
    )


def fit_window(
    lesson: TaskLesson, spec: ModelSpec, model: GeneBERT | EBERT, where: str
) -> ModelSpec:
    """Let a trunk read the task's windows, as far as its position table reaches.

    Raises
    ------
    InputError
        If a window has more tokens than there are positions.
    """
    if not lesson.window_bp or lesson.labels.per_base:  # which are read by chunks
        return spec
    tokens = n_window_tokens(lesson.window_bp, spec.k, spec.stride, spec.tail)
    tokens += 2 * spec.special_tokens
    if tokens > model.encoder.max_positions:
        reach = (model.encoder.max_positions - 2 * spec.special_tokens - 1) * spec.stride + spec.k
        raise InputError(
            "the window is longer than the model reads",
            where=where,
            found=f"{tokens} tokens ({lesson.window_bp} bp)",
            expected=f"at most {model.encoder.max_positions} ({reach} bp)",
            do="Lower --window-bp.",
        )
    return replace(spec, max_tokens=max(spec.max_tokens, tokens))


def fit_longest(
    lesson: TaskLesson, spec: ModelSpec, model: GeneBERT | EBERT
) -> tuple[ModelSpec, list[str]]:
    """Enlarge a trunk's position table until the longest sequence fits; a line where it grew."""
    longest, had = int(lesson.examples.lengths.max()), model.encoder.max_positions
    tokens = (longest - spec.k) // spec.stride + 1 + 2 * spec.special_tokens
    if tokens <= had:
        return spec, []
    model.encoder.enlarge(tokens, "tile")
    encoder = replace(spec.encoder, max_positions=tokens)
    return replace(spec, max_tokens=tokens, encoder=encoder), [
        f"the longest sequence has {tokens:,} tokens ({longest:,} bp): the {had} positions of the"
        " model are repeated"
    ]


def check_states_of(spec: ModelSpec, extra: dict[str, Any], store: Store, where: str) -> None:
    """Refuse a store of other states than the pre-training's."""
    assert store.states is not None
    check_states(
        extra.get("state_names"), extra.get("state_bin"), store, where, "of the pre-training"
    )
    if spec.states not in (0, store.states.n_states):
        raise CheckpointError(
            "the states of the store are not those of the pre-training",
            where=where,
            found=f"{store.states.n_states} states ({store.path})",
            expected=f"{spec.states}",
            do="Build the store with the same segmentation (--states).",
        )
