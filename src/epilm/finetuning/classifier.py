"""A classifier as one thing: network, tokeniser settings, motifs, what it was trained on.

Fine-tuning, prediction and evaluation share it. On disk it is a folder of plain
files: a checkpoint, `classifier.json`, and `motifs.json` where the
factor scores of the input itself are read. A language model and the small CNN
stand behind the same face. Axes: N sequences, L tokens, F factors.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from epilm.atomic import write_json
from epilm.batch import Sequences
from epilm.device import batch_fits
from epilm.errors import CheckpointError, InputError, UsageError
from epilm.models.baselines import SmallCNN, reverse_complement_codes
from epilm.models.classifier import SequenceClassifier, classifier_from
from epilm.models.ebert import EBERT
from epilm.models.genebert import GeneBERT
from epilm.models.model_spec import ModelSpec
from epilm.tasks.base import LabelledSequences
from epilm.tokens import kmers

Fusion = Literal["none", "concat", "cross_attention"]
SETTINGS, WEIGHTS, MOTIFS = "classifier.json", "model.safetensors", "motifs.json"
FORMAT = 1


@dataclass(frozen=True)
class Inputs:
    """Sequences ready for a network, made once for all epochs.

    Attributes
    ----------
    ids : int32 (S, N, L)
        Token ids with [CLS] and [SEP] (bases for the CNN); S = 2 where both strands are read.
    lengths : int64 (N,)
        Tokens of each row.
    factors : float32 (N, F) or None
    cropped : int
        Rows that were longer than the network reads; their centre was kept.
    """

    ids: Tensor
    lengths: Tensor
    factors: Tensor | None
    cropped: int = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device) -> "Inputs":
        factors = None if self.factors is None else self.factors.to(device)
        return Inputs(self.ids.to(device), self.lengths.to(device), factors, self.cropped)


@dataclass
class Classifier:
    """A network that gives labels to sequences, with all it needs to read them.

    Attributes
    ----------
    module : nn.Module
        `SequenceClassifier`, or `SmallCNN`.
    kind : {"language_model", "cnn"}
    n_labels : int
    spec : ModelSpec or None
        Of the pre-trained model; None for the CNN.
    fusion : {"none", "concat", "cross_attention"}
    dropout : float
    both_strands : bool
        Logits are the mean over both strands (the CNN does so by itself).
    motifs : list of Motif
        In the order of the model's factors; empty without fusion.
    factor_mean, factor_sd : float32 (F,)
        Normalisation of the scores.
    about : dict
        JSON values: task, label names, where it came from, what pre-training saw.
    """

    module: nn.Module
    kind: Literal["language_model", "cnn"]
    n_labels: int
    spec: ModelSpec | None = None
    fusion: Fusion = "none"
    dropout: float = 0.1
    both_strands: bool = False
    motifs: list[Any] = field(default_factory=list)
    factor_mean: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    factor_sd: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens, special ones included: what the position table holds."""
        assert isinstance(self.module, SequenceClassifier)
        return self.module.encoder.max_positions

    def scores(self, rows: LabelledSequences) -> NDArray[np.float32]:
        """Give the raw best motif scores (N, F) of the inputs themselves."""
        from epilm.baselines.sequences import best_motif_scores

        return best_motif_scores(rows, self.motifs)

    def inputs(self, rows: LabelledSequences) -> Inputs:
        """Tokenise a set once.

        Raises
        ------
        InputError
            If a sequence is shorter than one k-mer.
        """
        codes, lengths = rows.codes, rows.lengths
        factors = None
        if self.fusion != "none":
            scores = (self.scores(rows) - self.factor_mean) / np.maximum(self.factor_sd, 1e-6)
            factors = torch.from_numpy(scores.astype(np.float32))
        if self.kind == "cnn":
            return Inputs(
                torch.from_numpy(np.ascontiguousarray(codes)).int()[None],
                torch.from_numpy(lengths),
                factors,
            )
        assert self.spec is not None
        k, stride = self.spec.k, self.spec.stride
        if lengths.min() < k:
            row = int(lengths.argmin())
            raise InputError(
                "the sequence is shorter than one k-mer",
                where=str(rows.origin[row]),
                found=f"{lengths[row]} bp",
                expected=f"at least {k} bp",
            )
        widest = (self.max_tokens - 2 - 1) * stride + k  # bases of the longest input
        cropped = int((lengths > widest).sum())
        if cropped:
            codes, lengths = _centre(codes, lengths, widest)
        strands = [torch.from_numpy(np.ascontiguousarray(codes))]
        if self.both_strands:
            strands.append(reverse_complement_codes(strands[0], torch.from_numpy(lengths)))
        tokens = torch.from_numpy((lengths - k) // stride + 1)
        ids = torch.stack([_wrapped(kmers.kmer_ids(c, k, stride), tokens) for c in strands])
        return Inputs(ids, tokens + 2, factors, cropped)

    def logits(self, inputs: Inputs, at: Tensor, strand: int = 0) -> Tensor:
        """Score the rows `at` (int64 (B,)) of prepared inputs: (B, n_labels)."""
        lengths = inputs.lengths[at]
        ids = inputs.ids[strand, at, : int(lengths.max())].long()
        if self.kind == "cnn":
            return self.module(ids, lengths)
        mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        factors = None if inputs.factors is None else inputs.factors[at][:, None]
        return self.module(Sequences(ids, torch.zeros_like(ids), mask), factors)

    @torch.no_grad()
    def probabilities(
        self, rows: LabelledSequences | Inputs, batch_size: int = 256, autocast: Any = None
    ) -> NDArray[np.float64]:
        """Give (N, n_labels) probabilities; rows of like length share a batch, order is kept.

        Parameters
        ----------
        rows : LabelledSequences or Inputs
        batch_size : int
        autocast : callable, optional
            Gives the context of the forward pass.
        """
        inputs = (rows if isinstance(rows, Inputs) else self.inputs(rows)).to(self.device)
        order = torch.argsort(inputs.lengths, stable=True)
        out = np.zeros((len(inputs), self.n_labels), np.float64)
        was_training = self.module.training
        self.module.eval()
        try:
            for at in order.split(batch_size):

                def scored(rows: int, at: Tensor = at) -> Tensor:
                    several = range(len(inputs.ids))
                    logits = [
                        self._scored(inputs, at[:rows], strand, autocast) for strand in several
                    ]
                    return torch.stack(logits).double().mean(0).softmax(-1).cpu()

                with batch_fits(
                    len(at),
                    scored,
                    option="--batch-size",
                    where="prediction",
                    device=self.device,
                    kind=UsageError,
                ):
                    out[at.cpu().numpy()] = scored(len(at)).numpy()
        finally:
            self.module.train(was_training)
        return out

    def _scored(self, inputs: Inputs, at: Tensor, strand: int, autocast: Any) -> Tensor:
        if autocast is None:
            return self.logits(inputs, at, strand)
        with autocast():
            return self.logits(inputs, at, strand)

    def save(self, folder: Path) -> None:
        """Write the classifier's files to a folder that does not exist yet.

        A language model is a checkpoint that `epilm.load` opens too.
        """
        from safetensors.torch import save_file

        from epilm.hub.checkpoint import save_model

        if self.spec is not None:
            head = {"n_labels": self.n_labels, "fusion": self.fusion, "dropout": self.dropout}
            store = (self.about.get("pretraining") or {}).get("store")
            extra = {"classifier": head, **self.about} | ({"store": store} if store else {})
            save_model(folder, self.module, self.spec, extra)
        else:
            folder.mkdir(parents=True)
            state = {n: t.detach().cpu().contiguous() for n, t in self.module.state_dict().items()}
            save_file(state, folder / WEIGHTS)
        if self.motifs:
            write_json(folder / MOTIFS, [_motif_json(m) for m in self.motifs])
        settings = {
            "format": FORMAT,
            "kind": self.kind,
            "n_labels": self.n_labels,
            "fusion": self.fusion,
            "dropout": self.dropout,
            "both_strands": self.both_strands,
            "factor_mean": [float(v) for v in self.factor_mean],
            "factor_sd": [float(v) for v in self.factor_sd],
            "about": self.about,
        }
        write_json(folder / SETTINGS, settings)


def new_classifier(
    source: GeneBERT | EBERT | Literal["cnn"],
    spec: ModelSpec | None,
    n_labels: int,
    *,
    fusion: Fusion = "none",
    dropout: float = 0.1,
    both_strands: bool = False,
    motifs: Sequence[Any] = (),
    seed: int = 0,
) -> Classifier:
    """Put a fresh head of labels on a model (copied), or build the CNN.

    Parameters
    ----------
    source : GeneBERT, EBERT or "cnn"
    spec : ModelSpec or None
        Of `source`.
    n_labels : int
    fusion, dropout, both_strands
        See `Classifier`.
    motifs : sequence of Motif
        With a fusion: the model's factors, in its order.
    seed : int
        Of the new weights; torch's own state is left as it was.

    Raises
    ------
    UsageError
        If a fusion lacks motifs, or their number is not the model's.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if not isinstance(source, GeneBERT | EBERT):
            module: nn.Module = SmallCNN(n_labels, both_strands=True)
            return Classifier(module, "cnn", n_labels, dropout=dropout)
        assert spec is not None
        if fusion != "none" and len(motifs) != spec.factors:
            raise UsageError(
                "fusion reads the motif scores of the input, in the order of the model's factors",
                found=f"{len(motifs)} motifs",
                expected=f"{spec.factors}",
                do="Pass --motifs with the collection of the store the model was trained on.",
            )
        module = classifier_from(source, n_labels, fusion=fusion, dropout=dropout)
    _set_dropout(module, dropout)
    used = list(motifs) if fusion != "none" else []
    return Classifier(module, "language_model", n_labels, spec, fusion, dropout, both_strands, used)


def load_classifier(folder: str | Path, device: torch.device | str = "cpu") -> Classifier:
    """Read a classifier from its folder, or from a fine-tuning run.

    Raises
    ------
    CheckpointError
        If there is none, or files do not fit each other.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    folder = folder / "model" if (folder / "model" / SETTINGS).is_file() else folder
    if not (folder / SETTINGS).is_file():
        raise CheckpointError(
            "no fine-tuned classifier here",
            where=str(folder),
            expected=f"{SETTINGS}, or a run of epilm finetune",
            do="Run epilm finetune first; a pre-trained model alone has no labels.",
        )
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError("not JSON", where=str(folder / SETTINGS), found=error) from None
    if settings.get("format") != FORMAT:
        raise CheckpointError(
            "unknown format",
            where=str(folder / SETTINGS),
            found=settings.get("format"),
            expected=FORMAT,
        )
    rest = {
        key: settings[key] for key in ("n_labels", "fusion", "dropout", "both_strands", "about")
    }
    if settings["kind"] == "cnn":
        module: nn.Module = SmallCNN(settings["n_labels"])
        try:
            module.load_state_dict(load_file(folder / WEIGHTS))
        except Exception as error:  # safetensors has an exception class of its own
            raise CheckpointError(
                "the weights cannot be read", where=str(folder), found=error
            ) from None
        out = Classifier(module, "cnn", **rest)
    else:
        from epilm.hub.checkpoint import load_model

        module, spec, _ = load_model(folder)
        out = Classifier(module, "language_model", spec=spec, **rest)
        if out.fusion != "none":
            out.motifs = _motifs_from(folder / MOTIFS)
        out.factor_mean = np.array(settings["factor_mean"], np.float32)
        out.factor_sd = np.array(settings["factor_sd"], np.float32)
    out.module.to(device).eval()
    return out


def _wrapped(ids: Tensor, tokens: Tensor) -> Tensor:
    """[CLS] tokens [SEP] [PAD]...: (N, L) to int32 (N, L + 2)."""
    rows, length = ids.shape
    out = torch.full((rows, length + 2), kmers.PAD, dtype=torch.int32)
    keep = torch.arange(length) < tokens[:, None]
    out[:, 1 : length + 1] = torch.where(keep, ids, kmers.PAD)
    out[:, 0] = kmers.CLS
    out[torch.arange(rows), tokens + 1] = kmers.SEP
    return out


def _centre(
    codes: NDArray[np.uint8], lengths: NDArray[np.int64], widest: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    start = np.maximum(lengths - widest, 0) // 2
    at = start[:, None] + np.arange(min(widest, codes.shape[1]))
    inside = at < lengths[:, None]
    cut = np.where(inside, np.take_along_axis(codes, np.minimum(at, codes.shape[1] - 1), 1), 4)
    return cut.astype(np.uint8), np.minimum(lengths, widest)


def _set_dropout(module: nn.Module, dropout: float) -> None:
    if isinstance(module, SequenceClassifier):
        for part in module.encoder.modules():
            if isinstance(part, nn.Dropout):
                part.p = dropout
            elif hasattr(part, "attention_dropout"):
                part.attention_dropout = dropout  # type: ignore[assignment]


def _motif_json(motif: Any) -> dict[str, Any]:
    values = {f.name: getattr(motif, f.name) for f in fields(motif)}
    return values | {"matrix": np.asarray(motif.matrix, np.float64).tolist()}


def _motifs_from(path: Path) -> list[Any]:
    from epilm.motifs.formats import Motif

    rows = json.loads(path.read_text(encoding="utf-8"))
    return [Motif(**(row | {"matrix": np.array(row["matrix"], np.float64)})) for row in rows]
