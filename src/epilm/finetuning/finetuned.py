"""A fine-tuned model as one thing: the network, what it reads, and what it must remember.

Written and read as a model folder (safetensors and JSON). Every trunk, head and task shares it;
folders of earlier versions are read and brought into the same form. Axes: B rows, F motifs.
"""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from epilm.batches.reads import Reads, reads_of
from epilm.errors import CheckpointError, UsageError
from epilm.hub.adapters import save_adapter
from epilm.hub.checkpoint import read_spec, save_model
from epilm.hub.load import find_checkpoint, load
from epilm.models.ensemble import first_of
from epilm.models.lora import LoraPair
from epilm.models.model_spec import ModelSpec
from epilm.models.networks import NETWORKS, build_network
from epilm.motifs.motif import Motif
from epilm.tasks.label_kinds import labels_from
from epilm.tasks.labels import Labels
from epilm.tasks.sequence_scores import no_such_run

# Of folders written before all tasks shared one road.
OLD_SETTINGS, OLD_MOTIFS = "classifier.json", "motifs.json"
# A network over bases has no trunk; its folder still says which k-mers a reader would make.
BARE = ModelSpec(name="dnabert", streams=("dna",), next_segment="none")


@dataclass
class Finetuned:
    """A model that answers a task.

    Attributes
    ----------
    network : nn.Module
        Windows to logits (B, outputs).
    spec : ModelSpec
        Of the trunk; the tokens of a window are its own.
    about : dict
        JSON values. task, kind ("trunk", or a key of NETWORKS), labels {kind, names}, head {name,
        options}, streams, signals, motifs (their matrices), window_bp, width, strands, fusion
        (with fusion_motifs, factor_mean, factor_sd), checkpoint, init, pretraining, settings, and
        what the task adds (where it learned).
        With "adapter" it is written as that, beside a base that lies elsewhere. With "members"
        the network is an `Ensemble` of so many.
    path : Path or None
    pairs : dict
        Of an adapter: what was added to the matrices of the base, by the name of their layer.
    """

    network: nn.Module
    spec: ModelSpec
    about: dict[str, Any]
    path: Path | None = None
    pairs: dict[str, LoraPair] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    @property
    def labels(self) -> Labels:
        """What the outputs are."""
        return labels_from(self.about["labels"])

    @property
    def reads(self) -> Reads:
        """What it reads of a store."""
        return reads_of(self.spec, self.about)

    @property
    def bases(self) -> bool:
        """Whether it reads bases and not tokens."""
        return self.about["kind"] in NETWORKS

    @property
    def symmetric(self) -> bool:
        """Whether its network reads both strands by itself: either one of a window says the
        same.
        """
        if not self.bases:
            return False
        usual = NETWORKS[self.about["kind"]].both_strands
        return bool(self.about.get("head", {}).get("both_strands", usual))

    @property
    def both_strands(self) -> bool:
        """Whether its answer is the mean over both strands, read one after the other."""
        return self.about.get("strands") == "both" and not self.symmetric

    @property
    def max_tokens(self) -> int:
        """Longest input of the trunk in tokens, special ones included."""
        network = first_of(self.network)
        trunk: Any = getattr(network, "trunk", network)
        return int(trunk.encoder.max_positions)

    @property
    def widest(self) -> int:
        """Most bases that the trunk reads at once."""
        room = self.max_tokens - 2 * self.spec.special_tokens
        return (room - 1) * self.spec.stride + self.spec.k

    @property
    def fusion_motifs(self) -> list[Motif]:
        """Motifs whose scores of the input itself are read; in the model's order."""
        return [motif_from(values) for values in self.about.get("fusion_motifs", ())]

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write a model folder: safetensors and JSON, whole or absent; of an adapter no base."""
        names = ", ".join(self.about["labels"]["names"][:6])
        seen = self.about.get("pretraining") or {}
        card = f"Task {self.about['task']}: {names}."
        if members := self.about.get("members"):
            card += f" The mean of {len(members)} models: {self.about['checkpoint']}."
        if "adapter" in self.about:
            base = self.about["adapter"]["base"]["path"]
            card += f" What is kept here is added to {base}: it opens where that is."
        extra = {
            "task": self.about,
            "store": self.about.get("store") or seen.get("store"),
            "card": card,
        }
        if "adapter" in self.about:
            self.path = save_adapter(
                folder, self.network, self.spec, extra, self.pairs, overwrite=overwrite
            )
        else:
            self.path = save_model(folder, self.network, self.spec, extra, overwrite=overwrite)
        return self.path


def refuse_pairs(model: Finetuned) -> None:
    """Refuse a model of pairs where one sequence is asked about.

    Raises
    ------
    UsageError
    """
    if model.about.get("loci", 1) != 1:
        raise UsageError(
            "the model reads a pair of loci, and one sequence is asked about",
            where=str(model.path),
            found=f"task {model.about['task']}",
            do="epilm predict scores pairs; take a model of single sequences.",
        )


def refuse_members(model: Finetuned) -> None:
    """Refuse an ensemble where one network is looked into.

    Raises
    ------
    UsageError
    """
    if members := model.about.get("members"):
        raise UsageError(
            "an ensemble is explained one member at a time",
            where=str(model.path),
            found=f"{len(members)} members",
            do=f"Explain one of its runs: {', '.join(each['path'] for each in members)}.",
        )


def motif_json(motif: Motif) -> dict[str, Any]:
    """Give a motif as JSON values."""
    values = {field.name: getattr(motif, field.name) for field in fields(motif)}
    return values | {"matrix": np.asarray(motif.matrix, np.float64).tolist()}


def motif_from(values: dict[str, Any]) -> Motif:
    """Make a motif of what `motif_json` gave."""
    return Motif(**(values | {"matrix": np.array(values["matrix"], np.float64)}))


def load_finetuned(path: str | Path, device: str | torch.device = "cpu") -> Finetuned:
    """Open a run of `epilm finetune`, or its model folder.

    Raises
    ------
    CheckpointError
        If there is none, it is damaged, or it is no fine-tuned model.
    """
    given = Path(path)
    old = next((each for each in (given, given / "model") if (each / OLD_SETTINGS).is_file()), None)
    if old is not None and not (old / "spec.json").is_file():
        return _old_cnn(old, device)
    try:
        folder = find_checkpoint(given)
    except CheckpointError:
        folder = given
    about = about_at(given)
    if about is None:
        raise CheckpointError(
            "no fine-tuned model here",
            where=str(given),
            expected="a run of epilm finetune, or its model folder",
            do=(
                "Run epilm finetune first (a run that was stopped goes on by the same command); a"
                " pre-trained model alone has no labels."
            ),
        )
    loaded = load(folder, device=device)
    # Of an adapter the whole: what its task says is that of an ordinary model then.
    about = dict(loaded.extra["task"]) if "adapter" in about else about
    return Finetuned(loaded.model.eval(), loaded.spec, about, folder)


def about_at(path: str | Path) -> dict[str, Any] | None:
    """Give what a run or model folder remembers, its weights unread; None where there is none."""
    given = Path(path)
    old = next((each for each in (given, given / "model") if (each / OLD_SETTINGS).is_file()), None)
    if old is not None and not (old / "spec.json").is_file():
        return _old_classifier(old, BARE) | {"head": {}}
    if not given.is_dir():
        return None
    try:
        folder = find_checkpoint(given)
    except CheckpointError:
        return None
    return about_of(folder)


def is_finetuned(path: str | Path) -> bool:
    """Say whether a path is a run of `epilm finetune`, or its model folder."""
    return about_at(path) is not None


def task_of(run: str | Path | Finetuned, task: str | None) -> str:
    """Name the task that judges a run or a file of predictions.

    Raises
    ------
    InputError
        If there is no such run or file.
    """
    if isinstance(run, Finetuned):
        return task or str(run.about["task"])
    path = Path(run)
    if not path.exists() and task is None:
        raise no_such_run(path)
    if task is not None:
        return task
    about = about_at(path)
    return "sequences" if about is None else str(about["task"])


def about_of(folder: Path) -> dict[str, Any] | None:
    """Give what a model folder remembers, in today's form; None where it answers no task."""
    spec, extra = read_spec(folder)
    if "task" in extra and isinstance(extra["task"], dict):
        return dict(extra["task"])
    if "binding" in extra:
        return _old_binding(dict(extra["binding"]), spec)
    if "classifier" in extra:
        return _old_classifier(folder, spec)
    return None


def _old_binding(kept: dict[str, Any], spec: ModelSpec) -> dict[str, Any]:
    """Bring what `epilm finetune dream` wrote up to version 0.1.0 into today's form."""
    bare = kept.get("kind") == "factornet"
    head = dict(kept.get("head", {}))
    return kept | {
        "task": "binding",
        "kind": "factornet" if bare else "trunk",
        "labels": {"kind": "factors", "names": list(kept["factors"])},
        "head": head if bare else {"name": "convolutions", **head},
        "streams": ["dna"] if bare else list(spec.streams),
    }


def _old_classifier(folder: Path, spec: ModelSpec) -> dict[str, Any]:
    """Bring what the other tasks wrote up to version 0.1.0 into today's form."""
    settings = _old_settings(folder)
    kept = settings["about"]
    names = list(kept.get("label_names") or ())
    names += [str(c) for c in range(len(names), settings["n_labels"])]
    about = kept | {
        "task": kept.get("task", "sequences"),
        "kind": "cnn" if settings["kind"] == "cnn" else "trunk",
        "labels": {"kind": "classes", "names": names},
        "head": {
            "name": "linear",
            "fusion": settings["fusion"],
            "dropout": settings["dropout"],
        },
        "streams": ["dna"],
        "strands": "both" if settings["both_strands"] else "forward",
        "fusion": settings["fusion"],
    }
    if settings["fusion"] != "none":
        about |= {
            "fusion_motifs": json.loads((folder / OLD_MOTIFS).read_text(encoding="utf-8")),
            "factor_mean": settings["factor_mean"],
            "factor_sd": settings["factor_sd"],
        }
    return about


def _old_settings(folder: Path) -> dict[str, Any]:
    path = folder / OLD_SETTINGS
    try:
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError("not JSON", where=str(path), found=error) from None
    if settings.get("format") != 1:
        raise CheckpointError(
            "unknown format", where=str(path), found=settings.get("format"), expected=1
        )
    return settings


def _old_cnn(folder: Path, device: str | torch.device) -> Finetuned:
    """A small CNN was kept without a spec."""
    from safetensors.torch import load_file

    about = _old_classifier(folder, BARE) | {"head": {}}
    network = build_network(None, about)
    try:
        network.load_state_dict(load_file(folder / "model.safetensors"))
    except Exception as error:  # safetensors has an exception class of its own
        raise CheckpointError(
            "the weights cannot be read", where=str(folder), found=error
        ) from None
    return Finetuned(network.to(device).eval(), BARE, about, folder)
