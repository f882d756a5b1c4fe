"""Weights of the sequence encoder, to and from the standard BERT layout.

A public DNABERT checkpoint (k 3 to 6) loads into our encoder, and our encoder
into `transformers.BertForMaskedLM`; both give the same numbers to 1e-5 in fp32.
Files are read as tensors only: a pickle that wants to run code is refused.
Needs torch and safetensors; the folder writer is `epilm.hub.export`.
"""

import json
import logging
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from epilm.errors import CheckpointError, DamagedError
from epilm.nn.encoder import SequenceEncoder, enlarge_positions
from epilm.tensor_files import load_tensors
from epilm.tokens.kmers import vocab_size

log = logging.getLogger(__name__)

State = dict[str, Tensor]

# ours -> BERT's, without the "bert." prefix
_EMBEDDINGS = {
    "words.weight": "embeddings.word_embeddings.weight",
    "positions.weight": "embeddings.position_embeddings.weight",
    "types.weight": "embeddings.token_type_embeddings.weight",
    "norm.weight": "embeddings.LayerNorm.weight",
    "norm.bias": "embeddings.LayerNorm.bias",
}
_BLOCK = {
    "out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "ffn_norm": "output.LayerNorm",
}
_POOLER = {"pooler.weight": "pooler.dense.weight", "pooler.bias": "pooler.dense.bias"}
_HEAD = {
    "dense.weight": "cls.predictions.transform.dense.weight",
    "dense.bias": "cls.predictions.transform.dense.bias",
    "norm.weight": "cls.predictions.transform.LayerNorm.weight",
    "norm.bias": "cls.predictions.transform.LayerNorm.bias",
    "bias": "cls.predictions.bias",
}


def to_bert_state(encoder: Mapping[str, Tensor], head: Mapping[str, Tensor] | None = None) -> State:
    """Name our weights as BERT does.

    Parameters
    ----------
    encoder : state dict of a `SequenceEncoder`
    head : state dict of a `MaskedHead`, optional

    Returns
    -------
    dict
        The keys of `transformers.BertForMaskedLM` ("bert." prefix, "cls.predictions.*" with the
        decoder tied), the pooler included; without a head the "bert.*" keys alone.

    Examples
    --------
    >>> state = SequenceEncoder(69, 8, layers=1, heads=2, ffn=16).state_dict()
    >>> [key for key in to_bert_state(state) if "query" in key]
    ['bert.encoder.layer.0.attention.self.query.weight',
    'bert.encoder.layer.0.attention.self.query.bias']
    """
    out: State = {f"bert.{theirs}": encoder[ours] for ours, theirs in _EMBEDDINGS.items()}
    for n in range(n_blocks(encoder)):
        for kind in ("weight", "bias"):
            parts = encoder[f"blocks.{n}.qkv.{kind}"].chunk(3)
            for name, part in zip(("query", "key", "value"), parts, strict=True):
                out[f"bert.encoder.layer.{n}.attention.self.{name}.{kind}"] = part.contiguous()
            for ours, theirs in _BLOCK.items():
                out[f"bert.encoder.layer.{n}.{theirs}.{kind}"] = encoder[
                    f"blocks.{n}.{ours}.{kind}"
                ]
    out |= {f"bert.{theirs}": encoder[ours] for ours, theirs in _POOLER.items()}
    if head is not None:
        out |= {theirs: head[ours] for ours, theirs in _HEAD.items()}
        out["cls.predictions.decoder.weight"] = encoder["words.weight"]
        out["cls.predictions.decoder.bias"] = head["bias"]
    return out


def n_blocks(encoder: Mapping[str, Tensor]) -> int:
    """Count the blocks in a state dict of our encoder."""
    return sum(bool(re.fullmatch(r"blocks\.\d+\.qkv\.weight", key)) for key in encoder)


@dataclass(frozen=True)
class BertWeights:
    """What a checkpoint in BERT's layout holds, under our names.

    Attributes
    ----------
    encoder : dict
        State of a `SequenceEncoder`; without "pooler.*" where the checkpoint has none.
    head : dict or None
        State of a `MaskedHead`.
    heads : int
        Attention heads, from config.json, or one per 64 hidden.
    other : dict
        Weights of no part of ours: a classifier, an RNN.
    """

    encoder: State
    head: State | None
    heads: int
    other: State = field(default_factory=dict)

    @property
    def has_pooler(self) -> bool:
        """Whether a pooler was there."""
        return "pooler.weight" in self.encoder


def from_bert_state(
    state: Mapping[str, Tensor], heads: int | None = None, where: str = ""
) -> BertWeights:
    """Name weights of BERT's layout as we do.

    Strips the "bert." prefix, ignores position_ids, ties the decoder, accepts the older
    LayerNorm.gamma / beta and a missing pooler.

    Raises
    ------
    CheckpointError
        If an embedding or a part of a layer is missing.
    """
    names = (
        (key.removeprefix("bert.").replace("LayerNorm.gamma", "LayerNorm.weight"), value)
        for key, value in state.items()
    )
    theirs: State = {key.replace("LayerNorm.beta", "LayerNorm.bias"): value for key, value in names}
    theirs.pop("embeddings.position_ids", None)
    layers = sum(
        bool(re.fullmatch(r"encoder\.layer\.\d+\.output\.dense\.weight", key)) for key in theirs
    )

    def take(key: str) -> Tensor:
        if key not in theirs:
            raise CheckpointError(
                "this is no BERT checkpoint, or a part of it is missing",
                where=where or None,
                expected=f"a weight named {key} (with or without bert. before it)",
            )
        return theirs.pop(key)

    encoder = {ours: take(name) for ours, name in _EMBEDDINGS.items()}
    for n in range(max(layers, 1)):
        layer = f"encoder.layer.{n}"
        for kind in ("weight", "bias"):
            parts = [
                take(f"{layer}.attention.self.{name}.{kind}") for name in ("query", "key", "value")
            ]
            encoder[f"blocks.{n}.qkv.{kind}"] = torch.cat(parts)
            for ours, name in _BLOCK.items():
                encoder[f"blocks.{n}.{ours}.{kind}"] = take(f"{layer}.{name}.{kind}")
    if all(name in theirs for name in _POOLER.values()):
        encoder |= {ours: take(name) for ours, name in _POOLER.items()}
    head = None
    decoder = theirs.pop("cls.predictions.decoder.weight", None)
    decoder_bias = theirs.pop("cls.predictions.decoder.bias", None)
    if "cls.predictions.bias" not in theirs and decoder_bias is not None:
        theirs["cls.predictions.bias"] = decoder_bias
    if all(name in theirs for name in _HEAD.values()):
        head = {ours: take(name) for ours, name in _HEAD.items()}
        if decoder is not None and not torch.equal(decoder, encoder["words.weight"]):
            log.warning(
                "%s: the decoder is not tied to the word embeddings; the embeddings are used", where
            )
    hidden = encoder["words.weight"].shape[1]
    return BertWeights(encoder, head, heads or max(hidden // 64, 1), theirs)


def read_bert(path: str | Path, k: int | None = None) -> BertWeights:
    """Read a checkpoint in BERT's layout, DNABERT's above all.

    Parameters
    ----------
    path : path
        A folder with model.safetensors or pytorch_model.bin (and config.json), or one of these
        files.
    k : int, optional
        Refuse a vocabulary that is not that of these k-mers.

    Returns
    -------
    BertWeights

    Raises
    ------
    CheckpointError
        If there are no weights, they cannot be read as plain tensors, a part is missing, the
        vocabulary is another, or config.json names an arithmetic that is not BERT's.
    """
    path = Path(path)
    weights = _weights_file(path)
    config = _read_config(weights.parent / "config.json")
    bert = from_bert_state(_read_tensors(weights), config.get("num_attention_heads"), str(weights))
    rows = bert.encoder["words.weight"].shape[0]
    if k is not None and rows != vocab_size(k):
        other = next((n for n in range(3, 9) if vocab_size(n) == rows), None)
        raise CheckpointError(
            f"the vocabulary is not that of {k}-mers",
            where=str(weights),
            found=f"{rows} ids" + (f", those of {other}-mers" if other else ""),
            expected=f"4**{k} + 5 = {vocab_size(k)}",
            do=(
                f"Set model.k to {other}."
                if other
                else "Take a checkpoint with DNABERT's k-mer vocabulary."
            ),
        )
    if not bert.has_pooler:
        log.warning(
            "%s: no pooler (masked-LM weights alone); it stays as it is initialised", weights
        )
    return bert


def _weights_file(path: Path) -> Path:
    if path.is_file():
        return path
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return path / name
    raise CheckpointError(
        "there are no weights" if path.is_dir() else "there is no such file or folder",
        where=str(path),
        expected="model.safetensors or pytorch_model.bin",
        do="Give a local folder; nothing is downloaded.",
    )


def _read_tensors(path: Path) -> State:
    try:
        if path.suffix == ".safetensors":
            return load_tensors(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except DamagedError as error:
        raise DamagedError(
            "the weights cannot be read as plain tensors",
            where=str(path),
            found=error.what if error.found is None else f"{error.what}: {error.found}",
            do=error.do,
        ) from error
    except (
        OSError,
        RuntimeError,
        EOFError,
        pickle.UnpicklingError,
        ValueError,
    ) as error:
        raise CheckpointError(
            "the weights cannot be read as plain tensors",
            where=str(path),
            found=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
            do="The file is damaged, or a pickle of more than tensors, which is never opened.",
        ) from error
    if not isinstance(state, Mapping):
        raise CheckpointError(
            "the file holds no state dict", where=str(path), found=type(state).__name__
        )
    return {str(key): value for key, value in state.items() if isinstance(value, Tensor)}


def _read_config(path: Path) -> dict[str, Any]:
    """Read config.json where it is there; refuse what changes the arithmetic, ignore foreign
    keys.
    """
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError("not JSON", where=str(path), found=error) from error
    fixed = {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "position_embedding_type": "absolute"}
    for key, value in fixed.items():
        if config.get(key, value) != value:
            raise CheckpointError(
                f"{key} is not BERT's", where=str(path), found=config[key], expected=value
            )
    return config


def _same_stem(encoder: SequenceEncoder, given: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights with a stem for an encoder without one, or with another."""
    theirs = given.get("stem.conv.weight")
    if theirs is None:
        return
    filters, _, width = theirs.shape
    mine = encoder.state_dict().get("stem.conv.weight")
    if mine is None or mine.shape != theirs.shape:
        raise CheckpointError(
            "the encoders read bases differently",
            where=where or None,
            found=f"a stem of {filters} filters of {width} bases",
            expected=(
                "none" if mine is None else f"{mine.shape[0]} filters of {mine.shape[2]} bases"
            ),
            do=f"Set model.stem of the recipe to {{filters: {filters}, width: {width}}}.",
        )


def load_encoder(
    encoder: SequenceEncoder,
    state: Mapping[str, Tensor],
    enlarge: Literal["tile", "interpolate"] = "tile",
    where: str = "",
) -> list[str]:
    """Copy encoder weights into an encoder that stands, which may be longer or know more segments.

    Position rows are enlarged or cut to the encoder's; segment kinds that the weights do
    not have, and a missing pooler, stay as they are.

    Parameters
    ----------
    encoder : SequenceEncoder
    state : mapping
        Under our names.
    enlarge : {"tile", "interpolate"}
        See `epilm.nn.encoder.enlarge_positions`.
    where : str
        Named in messages.

    Returns
    -------
    list of str
        What was not taken over as it was, one sentence each.

    Raises
    ------
    CheckpointError
        If a shape or the depth differs.
    """
    mine = encoder.state_dict()
    given = dict(state)
    notes = []
    if n_blocks(given) != n_blocks(mine):
        raise CheckpointError(
            "the encoders differ in depth",
            where=where or None,
            found=f"{n_blocks(given)} layers",
            expected=f"{n_blocks(mine)}",
            do="Set encoder.size (or encoder.layers) of the recipe to the checkpoint's.",
        )
    rows, wanted = given["positions.weight"].shape[0], encoder.max_positions
    if rows > wanted:
        given["positions.weight"] = given["positions.weight"][:wanted]
        notes.append(f"positions cut from {rows} to {wanted}")
    elif rows < wanted:
        given["positions.weight"] = enlarge_positions(given["positions.weight"], wanted, enlarge)
        notes.append(f"positions enlarged from {rows} to {wanted} ({enlarge})")
    kinds = min(given["types.weight"].shape[0], mine["types.weight"].shape[0])
    if given["types.weight"].shape != mine["types.weight"].shape:
        notes.append(f"{kinds} segment kinds taken over")
        given["types.weight"] = torch.cat(
            [given["types.weight"][:kinds], mine["types.weight"][kinds:].to(given["types.weight"])]
        )
    for key in ("pooler.weight", "pooler.bias"):
        if key not in given:
            given[key] = mine[key]
            notes.append(f"{key} left as it was")
    _same_stem(encoder, given, where)
    if encoder.stem is not None and not any(key.startswith("stem.") for key in given):
        given |= {key: value for key, value in mine.items() if key.startswith("stem.")}
        notes.append("the stem left as it was: the weights have none")
    for key, value in mine.items():
        if key not in given or given[key].shape != value.shape:
            raise CheckpointError(
                "the encoders differ",
                where=f"{where}: {key}" if where else key,
                found=tuple(given[key].shape) if key in given else "no such weight",
                expected=tuple(value.shape),
                do="Set encoder.size of the recipe to the checkpoint's.",
            )
    encoder.load_state_dict({key: given[key] for key in mine})
    for note in notes:
        log.warning("%s: %s", where or "encoder", note)
    return notes
