"""What fine-tuning starts from: a pre-trained model, its random twin, foreign weights, or nothing.

One road for every task and head: which trunk, what it reads of the examples, a new head.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from epilm.batches.motif_signals import choose_motifs, is_motif
from epilm.batches.reads import parse_signal
from epilm.device import Place
from epilm.errors import CheckpointError, UsageError, nearest
from epilm.finetuning.finetuned import BARE, Finetuned, motif_json
from epilm.finetuning.kept_head import KEPT, keep_head, taught_with
from epilm.finetuning.trunk import (
    RANDOM,
    Size,
    Trunk,
    begin_trunk,
    check_states_of,
    fit_longest,
    fit_window,
    seed_of,
)
from epilm.models.binding_head import BIN_POOLS
from epilm.models.model_spec import ModelSpec
from epilm.models.networks import HEADS, NETWORKS, Head, Network, Shape, find_head
from epilm.models.per_base import chunks_for
from epilm.motifs.formats import read_collection
from epilm.store.motifs import motifs_of_store
from epilm.tasks.contract import Task
from epilm.tasks.lesson import TaskLesson

AROUND = 20  # bases beside a bin that the pools of the bin see: half a long motif


def prepare(
    task: Task,
    lesson: TaskLesson,
    options: Any,
    checkpoint: str | Path,
    *,
    init: str = "checkpoint",
    size: Size = "small",
    k: int | None = None,
    head: str | None = None,
) -> tuple[Finetuned, list[str]]:
    """Build the model that fine-tuning starts from, and lines on where it comes from.

    Parameters
    ----------
    task : Task
    lesson : TaskLesson
    options : dataclass
        The task's, checked.
    checkpoint : path or name
        A pre-training run, a model folder, a DNABERT folder; random, ebert or dbert for a trunk of
        `size` and `k` without a past; cnn or factornet for a network over bases.
    init : {"checkpoint", "random"}
        "random" takes the architecture of `checkpoint` and not its weights.
    head : str, optional
        The task's own where not given; "kept": that of the checkpoint, with its weights.

    Raises
    ------
    CheckpointError, StoreError, UsageError, InputError
    """
    if init not in ("checkpoint", "random"):
        raise UsageError("unknown init", found=init, do=nearest(init, ("checkpoint", "random")))
    name = str(checkpoint)
    about: dict[str, Any] = {
        "task": task.name,
        "labels": lesson.labels.described(),
        "window_bp": lesson.window_bp,
        "width": lesson.width,
        "strands": "both" if options.both_strands else "forward",
        "checkpoint": name,
        "init": "random" if name in (*RANDOM, *NETWORKS) else init,
        "pretraining": None,
        "fusion": getattr(options, "fusion", "none"),
        **({"loci": lesson.loci} if lesson.loci != 1 else {}),
        **lesson.about,
    }
    told = _signals(about, lesson, options)
    taught = taught_with(name, init, lesson, about) if head == KEPT else None
    if taught is not None:
        head = str(taught.about["head"]["name"])
    if name in NETWORKS:
        model, where = _bare_network(name, about, lesson, options, head)
    else:
        collection = _fusion_motifs(about, options)
        trunk, more = begin_trunk(
            lesson, options, about, len(collection), name, init, size, k or task.k
        )
        model, later = _on_trunk(task, lesson, options, about, trunk, collection, head)
        where = trunk.where
        told += [*more, *later]
        if taught is not None:
            told.append(keep_head(model.network, about, taught))
    if lesson.store is not None:
        model.reads.check(lesson.store, about.get("used_cells", ()))
    count = sum(weight.numel() for weight in model.network.parameters())
    used = ", ".join(":".join(signal) for signal in about["signals"])
    shown = f"; signals {used}" if used else ""
    if (fused := about["fusion"]) != "none":
        shown += f"; fusion {fused} of {len(about['fusion_motifs'])} motifs"
    return model, [f"model: {where}; {count:,} weights{shown}", *told]


def _signals(about: dict[str, Any], lesson: TaskLesson, options: Any) -> list[str]:
    """Put signals and the matrices of motif signals into what the model remembers."""
    names, told = list(lesson.signals), list[str]()
    if any(map(is_motif, names)):
        given = getattr(options, "motifs", None)
        collection = motifs_of_store(lesson.store) if given is None else read_collection(given)
        names, about["motifs"], told = choose_motifs(names, lesson.labels.names, collection)
    about["signals"] = [list(parse_signal(text)) for text in names]
    return told


def _bare_network(
    name: str, about: dict[str, Any], lesson: TaskLesson, options: Any, head: str | None
) -> tuple[Finetuned, str]:
    """A network over bases: trunk and head in one."""
    if head is not None:
        raise UsageError(
            f"{name} brings a head of its own", where="--head", found=head, do="Leave it out."
        )
    _check_answers(name, NETWORKS[name], lesson, "--checkpoint", NETWORKS)
    _refuse_pool(options, name, "Leave --pool out, or take a checkpoint with a trunk.")
    if about["fusion"] != "none":
        raise UsageError(
            f"{name} reads bases alone",
            found=f"fusion={about['fusion']}",
            expected="fusion=none",
        )
    if (longer := getattr(options, "longer", "cut")) != "cut":
        raise UsageError(
            f"{name} has no positions and reads sequences of any length",
            where="--longer",
            found=longer,
            expected="cut, which cuts nothing here",
        )
    width = lesson.window_bp or _one_width(lesson)
    own: dict[str, Any] = {"window_bp": width}
    if name == "cnn":
        own = {"dropout": max(options.dropout, 0.3)}
        own |= {"combine": options.combine} if lesson.loci == 2 else {}
        if lesson.direction and not options.both_strands:
            own["both_strands"] = False
    elif NETWORKS[name].per_base:
        own = {}
    about |= {"kind": name, "head": own, "streams": ["dna"]}
    shape = Shape(
        len(lesson.labels.names), len(about["signals"]), width, width=lesson.width, loci=lesson.loci
    )
    if name == "cnn" and about["signals"]:
        raise UsageError(
            "the small CNN reads bases alone",
            where="--signals",
            found=", ".join(signal[0] for signal in about["signals"]),
            do="Leave the signals out, or take --checkpoint factornet.",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(options))
        network = NETWORKS[name].build(shape, **own)
    spec = replace(BARE, max_tokens=max(width, BARE.max_tokens))
    return Finetuned(network, spec, about), NETWORKS[name].about


def _one_width(lesson: TaskLesson) -> int:
    """Bases of a row, where all rows have as many; else 0."""
    lengths = lesson.examples.lengths
    return int(lengths[0]) if lengths.min() == lengths.max() else 0


def _on_trunk(
    task: Task,
    lesson: TaskLesson,
    options: Any,
    about: dict[str, Any],
    trunk: Trunk,
    collection: list[Any],
    head: str | None,
) -> tuple[Finetuned, list[str]]:
    """A head on a trunk."""
    store, told = lesson.store, list[str]()
    source, spec, extra, where = trunk
    reads_states = store is not None and "states" in spec.streams
    if reads_states and store.states is not None:
        check_states_of(spec, extra, store, where)
        about |= {"state_names": list(store.states.names), "state_bin": int(store.states.bin)}
    elif "states" in spec.streams and store is None:
        told.append(
            f"{where} reads chromatin states and sequences have none: every state is unknown"
        )
    about["streams"] = ["dna", "states"] if reads_states else ["dna"]
    spec = fit_window(lesson, spec, source, where)
    about |= _of_longer(options)
    if about.get("longer") == "positions":
        spec, more = fit_longest(lesson, spec, source)
        told += more
    if about["fusion"] != "none":
        about["fusion_motifs"] = [motif_json(motif) for motif in _in_order(collection, spec, extra)]
    chosen = head or (task.head if about["fusion"] == "none" else "linear")
    _check_answers(f"the head {chosen}", find_head(chosen), lesson, "--head", HEADS)
    about |= {
        "kind": "trunk",
        "head": {
            "name": chosen,
            **_head_options(chosen, options, about, lesson, spec, source.encoder.max_positions),
        },
    }
    if (needed := about["head"].get("positions", 0)) > source.encoder.max_positions:
        told.append(
            f"a context of {lesson.window_bp - lesson.width} bp needs chunks of {needed} tokens:"
            f" the {source.encoder.max_positions} positions of {where} are repeated"
        )
    outputs, signals = len(lesson.labels.names), len(about["signals"])
    shape = Shape(outputs, signals, lesson.window_bp, reads_states, lesson.width, lesson.loci)
    own = {key: value for key, value in about["head"].items() if key != "name"}
    network = HEADS[chosen].build(source, shape, seed_of(options) + 1, **own)
    _set_dropout(network, options.dropout)
    return Finetuned(network, spec, about), told


def _of_longer(options: Any) -> dict[str, Any]:
    """What a model remembers of sequences longer than it reads; JSON values."""
    longer = getattr(options, "longer", "cut")
    kept = {} if longer == "cut" else {"longer": longer}
    return kept | ({"overlap": options.overlap} if longer == "chunks" else {})


def _check_answers(
    what: str, answers: Head | Network, lesson: TaskLesson, option: str, table: Mapping[str, Any]
) -> None:
    """Refuse a network or head that answers rows where bases are asked about, or the other way; or
    reads one locus where rows are pairs, or the other way.

    Raises
    ------
    UsageError
    """
    per_base, loci = answers.per_base, lesson.loci
    if per_base == lesson.labels.per_base and loci in answers.loci:
        return
    fit = [
        name
        for name, one in table.items()
        if one.per_base == lesson.labels.per_base and loci in one.loci
    ]
    each = ("a row", "a base")
    met, wanted = f"gives one answer {each[per_base]}", f"one {each[not per_base]}"
    if loci not in answers.loci:
        read = ("one locus", "a pair of loci")
        met, wanted = f"reads {read[max(answers.loci) == 2]}", f"{read[loci == 2]} a row"
    raise UsageError(
        "the task asks another kind of question",
        where=option,
        found=f"{what} {met}",
        expected=wanted,
        do=f"Take {option} {' or '.join(fit)}.",
    )


def _fusion_motifs(about: dict[str, Any], options: Any) -> list[Any]:
    """The collection whose scores of the input are read, where there is a fusion."""
    if about["fusion"] == "none":
        return []
    given = getattr(options, "motifs", None)
    if given is None:
        raise UsageError(
            "fusion reads the motif scores of the input, in the order of the model's factors",
            where="--motifs",
            found="no motifs",
            do="Pass --motifs with the collection of the store the model was trained on.",
        )
    return read_collection(given)


def _in_order(collection: list[Any], spec: ModelSpec, extra: dict[str, Any]) -> list[Any]:
    """The motifs in the order of the model's factors, where the checkpoint says it."""
    statistics = [str(name) for name in extra.get("factor_statistics") or ["best"]]
    if statistics != ["best"]:
        raise CheckpointError(
            "fusion reads the best score of each motif, and the model learned another statistic",
            found=", ".join(statistics),
            expected="best",
            do="Set fusion to none, or pre-train on a store built with --statistic best.",
        )
    ids = [str(i) for i in extra.get("factor_ids") or []]
    if ids:
        have = {motif.id: motif for motif in collection}
        missing = [i for i in ids if i not in have]
        if missing:
            raise CheckpointError(
                "the motif collection lacks factors of the model",
                found=f"{len(missing)} missing, {', '.join(missing[:4])}",
                expected=f"the {len(ids)} motifs of the store it was trained on",
                do="Pass that collection with --motifs.",
            )
        collection = [have[i] for i in ids]
    if len(collection) != spec.factors:
        raise UsageError(
            "fusion reads the motif scores of the input, in the order of the model's factors",
            found=f"{len(collection)} motifs",
            expected=f"{spec.factors}",
            do="Pass --motifs with the collection of the store the model was trained on.",
        )
    return collection


def _refuse_pool(options: Any, reader: str, where: str) -> None:
    """Refuse a pool where the head has none to choose.

    Raises
    ------
    UsageError
    """
    default = next((each.default for each in fields(options) if each.name == "pool"), None)
    if (pool := getattr(options, "pool", default)) != default:
        raise UsageError(
            f"{reader} pools in its own way",
            where="--pool",
            found=pool,
            expected=f"{default}",
            do=where,
        )


def _head_options(
    head: str,
    options: Any,
    about: dict[str, Any],
    lesson: TaskLesson,
    spec: ModelSpec,
    positions: int,
) -> dict[str, Any]:
    """What a head is told: the task's options that it reads, and how windows are cut for it."""
    wanted = HEADS[head].options
    if "pool" not in wanted:
        _refuse_pool(options, f"the head {head}", "Leave --pool out, or take --head convolutions.")
    cut = getattr(options, "longer", "cut") == "chunks"
    if cut and "join" not in wanted:
        raise UsageError(
            f"the head {head} cannot join the chunks of a sequence",
            where="--longer",
            found="chunks",
            do="Take --longer positions or cut, or --head linear.",
        )
    out: dict[str, Any] = {}
    for name in wanted:
        if name != "shortcut" and hasattr(options, name) and (cut or name != "join"):
            value = getattr(options, name)
            out[name] = list(value) if isinstance(value, tuple) else value
    if HEADS[head].per_base:
        context = lesson.window_bp - lesson.width
        special, rotary = spec.special_tokens, spec.encoder.rotary
        cut = chunks_for(context, spec.stride, special, positions, lesson.width, rotary)
        out |= {"k": spec.k, "stride": spec.stride, "special": spec.special_tokens}
        out |= cut._asdict()
    if out.get("pool") in BIN_POOLS:
        # Beyond the window there is nothing to see.
        seen = min(lesson.width + 2 * AROUND, lesson.window_bp)
        out["around"] = bin_tokens(lesson.window_bp, seen, spec.stride, special=spec.special_tokens)
    how = getattr(options, "shortcut", "none")
    if "shortcut" not in wanted or how == "none":
        return out
    names = [signal[0] for signal in about["signals"]]
    short = [n for n, name in enumerate(names) if how == "signals" or is_motif(name)]
    if short:
        out |= {
            "shortcut": short,
            # A site is a maximum; openness is a level.
            "means": [n for n in short if not is_motif(names[n])],
            "middle": bin_tokens(
                lesson.window_bp, lesson.width, spec.stride, special=spec.special_tokens
            ),
        }
    return out


def start_at_prior(network: torch.nn.Module, labels: NDArray[np.int8]) -> None:
    """Let a model with a shortcut begin at the log-odds of the labels it will see.

    A shortcut's values are at or above 0. From an output bias of 0, which is far above the log-odds
    of one bound bin in eleven, its weights would first turn negative, as a second bias, and rank
    bins the wrong way round for tens of steps.

    Parameters
    ----------
    network : BindingModel
    labels : int8 (n, F)
        Of an epoch: 1 bound, 0 unbound, -1 not known. A factor that has one of the two alone counts
        as having half of the other.

    Examples
    --------
    >>> from epilm.models.binding_head import BindingModel
    >>> from epilm.models.ebert import EBERT
    >>> from epilm.nn.encoder import SequenceEncoder
    >>> encoder = SequenceEncoder(vocab=69, hidden=8, layers=1, heads=2, ffn=16, max_positions=16)
    >>> network = BindingModel(EBERT(encoder), signals=1, shortcut=(0,), middle=(2, 4))
    >>> start_at_prior(network, np.array([[1], [0], [0], [0], [-1]], np.int8))
    >>> round(float(network.out.bias.detach()[0]), 4)  # ln(1/3)
    -1.0986
    """
    bound = np.maximum((labels == 1).sum(0), 0.5)
    unbound = np.maximum((labels == 0).sum(0), 0.5)
    with torch.no_grad():
        cast(torch.nn.Linear, network.out).bias.copy_(torch.from_numpy(np.log(bound / unbound)))


def start_at_shares(network: torch.nn.Module, labels: NDArray[np.int8], classes: int) -> None:
    """Let a network that answers each base begin at the shares of the classes.

    Parameters
    ----------
    network : PerBaseModel or DilatedCNN
    labels : int8 (n, W)
        Of some training rows; below 0 where not known.
    classes : int
        One more of each is counted.

    Examples
    --------
    >>> from epilm.models.dilated import DilatedCNN
    >>> network = DilatedCNN(3, 80)
    >>> start_at_shares(network, np.array([[0, 0, 0, 1, -1]], np.int8), 3)
    >>> [round(share, 4) for share in network.out.bias.exp().tolist()]  # 4, 2 and 1 of 7
    [0.5714, 0.2857, 0.1429]
    """
    counts = np.bincount(labels[labels >= 0], minlength=classes) + 1.0
    cast(Any, network).start_at(torch.from_numpy(counts / counts.sum()).float())


def bin_tokens(window_bp: int, width: int, stride: int, *, special: bool) -> tuple[int, int]:
    """Number the first token that begins in the bin in the middle of a window, or holds its first
    base, and the one after its last.

    Examples
    --------
    Bases 400 to 600; token 57 holds base 400, token 85 base 599.

    >>> bin_tokens(1000, 200, 7, special=True)
    (58, 87)
    """
    first = (window_bp - width) // 2
    return first // stride + special, -(-(first + width) // stride) + special


def _set_dropout(network: torch.nn.Module, dropout: float) -> None:
    """One dropout for trunk and head, whatever pre-training used."""
    for module in network.modules():
        part = cast(Any, module)
        if isinstance(part, torch.nn.Dropout):
            part.p = dropout
        if hasattr(part, "attention_dropout"):
            part.attention_dropout = dropout


def in_fp32_on_cpu(model: Finetuned, place: Place, asked: str) -> Place:
    """A network over bases is faster in fp32 on a CPU, where nothing else was asked for."""
    if model.bases and place.bf16 and place.device.type == "cpu" and asked == "auto":
        return Place(place.device, False, (f"device {place.device.type}; precision fp32",))
    return place
