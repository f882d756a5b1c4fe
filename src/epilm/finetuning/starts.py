"""What fine-tuning starts from: a pre-trained run, its random twin, DNABERT's weights, nothing, or
the CNN.
"""

from pathlib import Path
from typing import Any, Literal, get_args

import torch

from epilm.errors import CheckpointError, UsageError, nearest
from epilm.finetuning.classifier import Classifier, Fusion, new_classifier
from epilm.finetuning.fitting import FinetuneSpec
from epilm.hub.provenance import memory
from epilm.models.build import build_model
from epilm.models.ebert import EBERT
from epilm.models.genebert import GeneBERT
from epilm.models.model_spec import EncoderSpec, ModelSpec
from epilm.nn.encoder import enlarge_positions


def prepare_classifier(
    checkpoint: str | Path,
    n_labels: int,
    *,
    init: str = "checkpoint",
    size: Literal["tiny", "small", "base"] = "small",
    k: int = 6,
    fusion: Fusion = "none",
    motifs: Any = None,
    settings: FinetuneSpec | None = None,
) -> tuple[Classifier, list[str]]:
    """Build the classifier that fine-tuning starts from, and lines on where it comes from.

    Raises
    ------
    CheckpointError
        If the checkpoint is none, or fits not the motifs.
    """
    settings = settings or FinetuneSpec()
    if init not in ("checkpoint", "random"):
        raise UsageError("unknown init", found=init, do=nearest(init, ("checkpoint", "random")))
    if fusion not in get_args(Fusion):
        raise UsageError("unknown fusion", found=fusion, do=nearest(fusion, get_args(Fusion)))
    seed = settings.seed
    if checkpoint == "cnn":
        if fusion != "none":
            raise UsageError(
                "the CNN reads bases alone", found=f"fusion={fusion}", expected="fusion=none"
            )
        made = new_classifier("cnn", None, n_labels, dropout=max(settings.dropout, 0.3), seed=seed)
        made.about = {"checkpoint": "cnn"}
        return made, ["model: small CNN, from scratch"]
    collection = []
    if motifs is not None:
        from epilm.motifs.formats import read_collection

        collection = read_collection(motifs)
    extra: dict[str, Any] = {}
    if checkpoint == "random":
        streams: tuple[Any, ...] = ("dna",) if fusion == "none" else ("dna", "factors")
        spec = ModelSpec(
            name="dnabert" if fusion == "none" else "genebert",
            streams=streams,
            k=k,
            encoder=EncoderSpec(size=size),
            factors=len(collection),
            next_segment="none",
        )
        model, where = build_model(spec, seed=seed), f"a random {size} encoder, k={k}"
    else:
        model, spec, extra, where = load_pretrained(checkpoint)
        if init == "random":
            model, where = build_model(spec, seed=seed), f"random weights in the shape of {where}"
    told = _tile_positions(model, spec) if checkpoint != "random" and init == "checkpoint" else []
    used, notes = _order_motifs(collection, spec, extra, fusion)
    made = new_classifier(
        model,
        spec,
        n_labels,
        fusion=fusion,
        dropout=settings.dropout,
        both_strands=settings.both_strands,
        motifs=used,
        seed=seed,
    )
    count = sum(p.numel() for p in made.module.parameters())
    # A random start and weights without a past have seen nothing.
    seen = (
        None if init == "random" or checkpoint == "random" else memory(extra, Path(checkpoint).name)
    )
    made.about = {"checkpoint": str(checkpoint), "init": init, "pretraining": seen}
    return made, [f"model: {where}; {count:,} weights", *told, *notes]


def load_pretrained(
    checkpoint: str | Path,
) -> tuple[GeneBERT | EBERT, ModelSpec, dict[str, Any], str]:
    """Open what a user calls a checkpoint: a run, a model folder, a DNABERT folder.

    Returns
    -------
    model, spec, extra, where
        `extra` is what the checkpoint keeps about its pre-training.

    Raises
    ------
    CheckpointError
    """
    from epilm.hub.load import load

    path = Path(checkpoint)
    if not path.exists():
        raise CheckpointError(
            "there is no such checkpoint",
            where=str(path),
            expected="the folder of a run or model, 'random' or 'cnn'",
        )
    loaded = load(path)
    if not isinstance(loaded.model, GeneBERT | EBERT):
        raise CheckpointError(
            "this is no pre-trained model",
            where=str(path),
            found=type(loaded.model).__name__,
            expected="a run of epilm pretrain, or weights in BERT's layout",
            do="Give the checkpoint that the classifier was made from.",
        )
    return loaded.model, loaded.spec, dict(loaded.extra or {}), str(path)


def _tile_positions(model: GeneBERT | EBERT, spec: ModelSpec) -> list[str]:
    """Fill the rows of the position table that pre-training never used, from those it did (A1)."""
    trained, table = spec.max_tokens, model.encoder.positions.weight
    if trained >= len(table):
        return []
    with torch.no_grad():
        # Tiled whatever the spec says: stretching 60 rows to 512 would move the positions that were
        # learned.
        table.copy_(enlarge_positions(table[:trained], len(table), "tile"))
    return [f"pre-training used {trained} of {len(table)} positions: the others repeat them"]


def _order_motifs(
    collection: list[Any], spec: ModelSpec, extra: dict[str, Any], fusion: str
) -> tuple[list[Any], list[str]]:
    """The motifs in the order of the model's factors, where the checkpoint says it."""
    if fusion == "none":
        return [], []
    ids = [str(i) for i in extra.get("factor_ids") or []]
    if not ids or not collection:
        return collection, []
    have = {m.id: m for m in collection}
    missing = [i for i in ids if i not in have]
    if missing:
        raise CheckpointError(
            "the motif collection lacks factors of the model",
            found=f"{len(missing)} missing, {', '.join(missing[:4])}",
            expected=f"the {len(ids)} motifs of the store it was trained on",
            do="Pass that collection with --motifs.",
        )
    return [have[i] for i in ids], []
