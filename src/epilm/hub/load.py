"""Open a run, a checkpoint or a DNABERT folder, and embed sequences with it.

`epilm.load(path)` finds the model in what a user has at hand; `Loaded` turns
plain sequences into vectors. `initialise` gives a new model's encoder the
weights a recipe names.
"""

import dataclasses
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from epilm.device import found_device
from epilm.errors import CheckpointError, DamagedError, InputError
from epilm.hub.adapters import open_adapter
from epilm.hub.checkpoint import (
    SPEC,
    WEIGHTS,
    damage_of,
    is_adapter,
    load_model,
    read_spec,
    unique_tensors,
)
from epilm.hub.transformers import BertWeights, load_encoder, n_blocks, read_bert
from epilm.models.ebert import EBERT
from epilm.models.ensemble import Ensemble
from epilm.models.grouping import pool_tokens, pooled_places
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.models.sizes import encoder_size
from epilm.nn.encoder import EncoderBlock, SequenceEncoder
from epilm.nn.vocabulary import MaskedHead
from epilm.tensor_files import load_tensors
from epilm.tokens.kmers import kmer_ids, n_tokens, vocab_size, wrap
from epilm.tokens.state_tokens import N_SPECIAL_STATES

log = logging.getLogger(__name__)

Pool = Literal["cls", "mean", "pooler", "max"]  # those of models, and one that no model learns with

# Letters to codes; anything else is no base. genome.sequence has the same table for files.
_CODES = np.full(256, 4, dtype=np.uint8)
for _code, _letters in enumerate((b"Aa", b"Cc", b"Gg", b"TtUu")):
    _CODES[list(_letters)] = _code


@dataclasses.dataclass
class Loaded:
    """A model and what is known of it.

    Attributes
    ----------
    model : nn.Module
        In evaluation mode.
    spec : ModelSpec
    extra : dict
        What the run remembered (fingerprint of the store, held-out chromosomes).
    path : Path
        Where it was read.
    """

    model: nn.Module
    spec: ModelSpec
    extra: dict[str, Any]
    path: Path

    @property
    def encoder(self) -> SequenceEncoder:
        """The sequence encoder."""
        return find_encoder(self.model)

    @property
    def widest(self) -> int:
        """Most bases that are read at once."""
        spec = self.spec
        room = min(spec.max_tokens, self.encoder.max_positions) - 2 * spec.special_tokens
        return (room - 1) * spec.stride + spec.k

    @property
    def no_kmers(self) -> str:
        """Why the model cannot say what a hidden k-mer is; empty where it can.

        A head that was built and never taught (weight 0 in its recipe) says noise.
        """
        if find_masked_head(self.model) is None:
            return "the model has no head of k-mers"
        objectives = self.extra.get("recipe", {}).get("objectives", {})
        if objectives.get("masked_kmers", {}).get("weight") == 0:
            return "the model did not learn hidden k-mers (weight 0)"
        return ""

    def embed(
        self,
        sequences: Iterable[str | np.ndarray],
        *,
        pooling: Pool | None = None,
        batch_size: int = 32,
    ) -> np.ndarray:
        """Turn sequences into vectors.

        A sequence longer than the encoder takes is cut into pieces of equal width, each with its
        own [CLS] and [SEP]; its vector is the mean of theirs. A model with a state stream (EBERT)
        reads every state as unknown here, and says so: sequences alone have no cell type.

        Parameters
        ----------
        sequences : iterable of str or uint8 array
            Letters (either case), or codes A=0 C=1 G=2 T=3; at least k bases each.
        pooling : {"cls", "mean", "pooler", "max"}, optional
            [CLS], the mean or the largest over all tokens ([CLS] and [SEP] among them, as in
            training), or BERT's pooler; `own_pool` where not given.
        batch_size : int
            Pieces encoded at once.

        Returns
        -------
        float32 array (N, H)

        Raises
        ------
        InputError
            If a sequence is shorter than k, or there is no such pooling.
        """
        how = self.own_pool(pooling)
        encoder = self.encoder
        if find_trunk(self.model) is not None and "states" in self.spec.streams:
            log.warning("%s: states are read as unknown: sequences have no cell type", self.path)
        device = encoder.words.weight.device
        pieces, owner = self._pieces(sequences)
        n = owner[-1] + 1 if owner else 0
        total = np.zeros((n, encoder.hidden), dtype=np.float64)
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                for rows in _batches([len(piece) for piece in pieces], batch_size):
                    vectors = self._encode([pieces[row] for row in rows], how, encoder, device)
                    np.add.at(total, [owner[row] for row in rows], vectors.double().cpu().numpy())
        finally:
            self.model.train(was_training)
        counts = np.bincount(owner, minlength=n) if owner else np.ones(0)
        return (total / counts[:, None]).astype(np.float32)

    def own_pool(self, pooling: Pool | None = None) -> Pool:
        """The pool that was asked for; where none was the model's own, the mean where it was
        trained without special tokens.

        Raises
        ------
        InputError
            If there is no such pool.
        """
        if pooling not in (None, *get_args(Pool)):
            raise InputError(
                "unknown pooling", found=str(pooling), expected=" | ".join(get_args(Pool))
            )
        return pooling or (self.spec.pooling if self.spec.special_tokens else "mean")

    @property
    def room(self) -> int:
        """K-mers of the longest input."""
        return min(self.spec.max_tokens, self.encoder.max_positions) - 2

    def _pieces(self, sequences: Iterable[str | np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
        k, stride = self.spec.k, self.spec.stride
        if isinstance(sequences, str):
            raise InputError("one sequence was given", do="Pass a list of sequences.")
        pieces, owner = [], []
        for number, sequence in enumerate(sequences):
            codes = _codes(sequence)
            length = n_tokens(len(codes), k, stride)
            if length == 0:
                raise InputError(
                    "the sequence is too short",
                    where=f"sequence {number + 1}",
                    found=f"{len(codes)} bases",
                    expected=f"at least k = {k}",
                )
            ids = kmer_ids(codes, k, stride)
            for piece in np.array_split(ids, -(-length // self.room)):
                pieces.append(piece)
                owner.append(number)
        return pieces, owner

    def _encode(
        self,
        pieces: Sequence[np.ndarray],
        how: Pool,
        encoder: SequenceEncoder,
        device: torch.device,
    ) -> Tensor:
        lengths = torch.tensor([len(piece) for piece in pieces])
        table = torch.zeros((len(pieces), int(lengths.max())), dtype=torch.int64)
        for row, piece in zip(table, pieces, strict=True):
            row[: len(piece)] = torch.from_numpy(piece)
        special = self.spec.special_tokens
        ids, mask = wrap(table, lengths, cls=special, sep=special)
        trunk = find_trunk(self.model)
        rows = places_of_pool(ids.to(device), how)
        if trunk is not None:
            hidden = trunk.encode(ids.to(device), mask.to(device), rows=rows)
        else:
            hidden, _ = encoder(ids.to(device), None, mask.to(device), rows=rows)
        # As in training: one pool, or the same model would give two vectors.
        return pool_of(hidden, mask.to(device), how, encoder.pooler)


def places_of_pool(ids: Tensor, how: Pool) -> Tensor | None:
    """The tokens that a pool reads, as `models.grouping.pooled_places`; None: all of them."""
    return pooled_places(ids, "mean" if how == "max" else how)


def pool_of(tokens: Tensor, mask: Tensor, how: Pool, pooler: nn.Module) -> Tensor:
    """One vector (N, H) an input of token vectors (N, L, H), as `models.grouping.pool_tokens`.

    Examples
    --------
    >>> tokens = torch.tensor([[[1.0, 5.0], [2.0, 0.0], [9.0, 9.0]]])
    >>> pool_of(tokens, torch.tensor([[True, True, False]]), "max", nn.Identity()).tolist()
    [[2.0, 5.0]]
    """
    if how != "max":
        return pool_tokens(tokens, mask, how, pooler)
    return tokens.masked_fill(~mask[..., None], -torch.inf).amax(1)


def _codes(sequence: str | np.ndarray) -> np.ndarray:
    if isinstance(sequence, str):
        return _CODES[np.frombuffer(sequence.encode("ascii", "replace"), dtype=np.uint8)]
    return np.asarray(sequence, dtype=np.uint8)


def _batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Rows by length, so that a batch holds little padding."""
    order = np.argsort(lengths, kind="stable").tolist()
    for start in range(0, len(order), size):
        yield order[start : start + size]


def find_encoder(model: nn.Module) -> SequenceEncoder:
    """Find the sequence encoder inside a model, whatever its name there.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    _check_one(model)
    encoder = next((part for part in model.modules() if isinstance(part, SequenceEncoder)), None)
    if encoder is None:
        raise CheckpointError("the model has no sequence encoder", found=type(model).__name__)
    return encoder


def _check_one(model: nn.Module) -> None:
    """Refuse an ensemble: the first encoder in it is one of several.

    Raises
    ------
    CheckpointError
    """
    if isinstance(model, Ensemble):
        raise CheckpointError(
            "an ensemble has an encoder a member",
            found=f"{len(model.members)} members",
            expected="one model",
            do="Give one of the runs that it was made of: its spec.json names them.",
        )


def find_masked_head(model: nn.Module) -> MaskedHead | None:
    """Find the head of the k-mer vocabulary inside a model (EBERT has one of states besides); None
    without one.
    """
    _check_one(model)
    words = next(
        (part.words.weight for part in model.modules() if isinstance(part, SequenceEncoder)), None
    )
    heads = (part for part in model.modules() if isinstance(part, MaskedHead))
    return next((head for head in heads if head.weight is words), None)


def find_trunk(model: nn.Module) -> EBERT | None:
    """Find the EBERT or DBERT inside a model; None where there is none."""
    _check_one(model)
    return next((part for part in model.modules() if isinstance(part, EBERT)), None)


def find_checkpoint(path: str | Path) -> Path:
    """Find the model folder in what was named: a checkpoint itself, or a run.

    In a run: `model`, then the newest complete folder of `checkpoints/step_N`. One that is damaged
    (by its checksums) is passed over where there is another, and that is said.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError("there is no such run or checkpoint", where=str(path))
    steps = [p for p in (path / "checkpoints").glob("step_*") if re.fullmatch(r"step_\d+", p.name)]
    steps.sort(key=lambda p: int(p.name.removeprefix("step_")), reverse=True)
    folders = [
        inner
        for folder in [path, path / "model", *steps]
        for inner in (folder, folder / "model")
        if (inner / SPEC).is_file() and (inner / WEIGHTS).is_file()
    ]
    if path in folders or len(folders) == 1:
        return folders[0]  # nothing to choose from; whoever reads it looks at its checksums
    damaged: list[DamagedError] = []
    for folder in folders:
        if (damage := damage_of(folder)) is None:
            for error in damaged:
                log.warning("%s %s is read instead", error, folder)
            return folder
        damaged.append(damage)
    if damaged:
        raise damaged[0]
    raise CheckpointError(
        "there is no checkpoint in it",
        where=str(path),
        expected=f"a folder with {SPEC} and {WEIGHTS}, or a run with checkpoints/",
        do="If the run was stopped before its first checkpoint, start it again; it resumes.",
    )


def unfinished(path: str | Path) -> str:
    """Name the checkpoint that is read of a pre-training that has not ended, as step_00000600; ""
    where it has, or where a model itself was named.

    Examples
    --------
    >>> unfinished("no/such/run")
    ''
    """
    run = Path(path)
    if not (run / "checkpoints").is_dir() or (run / "model" / SPEC).is_file():
        return ""
    folder = find_checkpoint(run)
    return folder.name if folder.parent.name == "checkpoints" else folder.parent.name


def load(run: str | Path, *, device: str | torch.device = "cpu") -> Loaded:
    """Open a trained model.

    Parameters
    ----------
    run : path
        A run folder (its latest checkpoint), a checkpoint, or a folder in DNABERT's layout.
    device : str or torch.device

    Returns
    -------
    Loaded
        With `.model`, `.spec`, `.extra` and `.embed(sequences)`.

    Raises
    ------
    CheckpointError
        If there is no model, or it is damaged.
    """
    path = Path(run)
    if is_bert_folder(path):
        return _load_bert(path, device)
    folder = find_checkpoint(path)
    if is_adapter(folder):  # what was learned beside a base, which lies elsewhere
        model, spec, extra = open_adapter(folder, load, device)
    else:
        model, spec, extra = load_model(folder, device=device)
    return Loaded(model, spec, extra, folder)


def spec_of(path: str | Path) -> ModelSpec:
    """What a model is: of a run, a checkpoint, or a folder in DNABERT's layout.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    path = Path(path)
    if is_bert_folder(path):
        return bert_spec(read_bert(path), str(path))
    return read_spec(find_checkpoint(path))[0]


def is_bert_folder(path: Path) -> bool:
    """Whether a folder (or file) holds weights in the standard BERT layout rather than ours."""
    if path.is_file():
        return path.suffix in (".bin", ".safetensors") and not (path.parent / SPEC).is_file()
    has_weights = any((path / name).is_file() for name in (WEIGHTS, "pytorch_model.bin"))
    return has_weights and not (path / SPEC).is_file() and not (path / "checkpoints").is_dir()


def _load_bert(path: Path, device: str | torch.device) -> Loaded:
    bert = read_bert(path)
    spec = bert_spec(bert, str(path))
    from epilm.models.from_spec import build_model

    model = build_model(spec)
    load_encoder(find_encoder(model), bert.encoder, where=str(path))
    _load_head(model, bert, str(path))
    return Loaded(model.to(found_device(device)).eval(), spec, {"source": "DNABERT layout"}, path)


def bert_spec(bert: BertWeights, where: str = "") -> ModelSpec:
    """Describe weights in BERT's layout as a model of ours.

    Raises
    ------
    CheckpointError
        If the vocabulary is of no k.
    """
    state = bert.encoder
    vocab, hidden = state["words.weight"].shape
    k = next((n for n in range(1, 13) if vocab_size(n) == vocab), None)
    if k is None:
        raise CheckpointError(
            "the vocabulary is not one of k-mers",
            where=where or None,
            found=f"{vocab} ids",
            expected="4**k + 5: 69, 261, 1029, 4101",
        )
    positions = state["positions.weight"].shape[0]
    encoder = EncoderSpec(
        hidden=hidden,
        layers=n_blocks(state),
        heads=bert.heads,
        ffn=state["blocks.0.up.weight"].shape[0],
        max_positions=positions,
    )
    return ModelSpec(
        name="dnabert",
        streams=("dna",),
        k=k,
        encoder=encoder,
        max_tokens=min(positions, 512),
        next_segment="none",
        projection="none",
        projection_dim=hidden,
    )


def _load_head(model: nn.Module, bert: BertWeights, where: str) -> None:
    head = find_masked_head(model)
    if head is None:
        return
    if bert.head is None:
        log.warning("%s: no masked head; it is drawn anew", where)
    else:
        head.load_state_dict(bert.head)


def initialise(model: nn.Module, spec: ModelSpec) -> list[str]:
    """Give a new model's encoder (and masked head) the weights that `spec.encoder.init` names.

    Parameters
    ----------
    model : nn.Module
        Just built.
    spec : ModelSpec
        `spec.encoder.init` is a run, a checkpoint or a DNABERT folder; None changes nothing.

    Returns
    -------
    list of str
        What was not taken over as it was.

    Raises
    ------
    CheckpointError
        If there are no weights there, or they are of another size or vocabulary.
    """
    if spec.encoder.init is None:
        return []
    path = Path(spec.encoder.init)
    where = str(path)
    encoder, how = find_encoder(model), spec.encoder.enlarge_positions
    tensors: dict[str, Tensor] = {}
    if path.exists() and not is_bert_folder(path):
        folder = find_checkpoint(path)
        source, _ = read_spec(folder)
        if source.k != spec.k:
            raise CheckpointError(
                "the checkpoint has another k",
                where=str(folder),
                found=source.k,
                expected=spec.k,
                do=f"Set model.k to {source.k}.",
            )
        if is_adapter(folder):
            tensors = unique_tensors(load(folder).model)
        else:
            tensors = load_tensors(folder / WEIGHTS)
        state = _part(tensors, "words.weight", "positions.weight")
        kmer_head = {name: t for name, t in tensors.items() if not name.startswith("state_head.")}
        head_state = _part(kmer_head, "dense.weight", "norm.weight", "bias")
        bert = BertWeights(state, head_state, encoder_size(source.encoder).heads)
    else:
        bert = read_bert(path, spec.k)
    heads = cast(EncoderBlock, encoder.blocks[0]).heads
    if heads != bert.heads:
        raise CheckpointError(
            "the encoders differ in attention heads",
            where=where,
            found=bert.heads,
            expected=heads,
            do="Set encoder.heads of the recipe to the checkpoint's.",
        )
    notes = load_encoder(encoder, bert.encoder, how, where)
    _load_head(model, bert, where)
    trunk = find_trunk(model)
    return notes if trunk is None else [*notes, *_load_states(trunk, tensors)]


def _load_states(trunk: EBERT, tensors: dict[str, Tensor]) -> list[str]:
    """Take over what belongs to states: their vectors, their head and the layer that joins them."""
    if trunk.states is None:
        return ["the checkpoint's states are not read"] if "states.weight" in tensors else []
    rows = trunk.states.num_embeddings - N_SPECIAL_STATES
    given = tensors.get("states.weight")
    if given is None or given.shape != trunk.states.weight.shape:
        had = "none" if given is None else f"{len(given) - N_SPECIAL_STATES}"
        return [f"the vectors of the {rows} states are drawn anew (the checkpoint has {had})"]
    notes = [
        f"the vectors of {rows} states taken over: number i must mean the same state in both stores"
    ]
    parts: dict[str, nn.Module | None] = {
        "states.": trunk.states,
        "state_table.": trunk.state_table,
        "state_head.": trunk.state_head,
        "join.": trunk.join,
    }
    for prefix, part in parts.items():
        own = {
            name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)
        }
        if part is not None and own:
            part.load_state_dict(own)
        elif part is not None or own:
            notes.append(f"{prefix.rstrip('.')} is not in both models: left as it was")
    return notes


def _part(tensors: dict[str, Tensor], *marks: str) -> dict[str, Tensor]:
    """The tensors of the one part of a model that has these names, without its prefix.

    Examples
    --------
    >>> _part({"a.x": torch.ones(1), "a.y": torch.ones(1), "b.x": torch.ones(1)}, "x", "y").keys()
    dict_keys(['x', 'y'])
    """
    for name in tensors:
        if name.endswith(marks[0]):
            prefix = name.removesuffix(marks[0])
            if all(prefix + mark in tensors for mark in marks):
                return {
                    key.removeprefix(prefix): t
                    for key, t in tensors.items()
                    if key.startswith(prefix)
                }
    raise CheckpointError("the checkpoint has no such part", expected=", ".join(marks))
