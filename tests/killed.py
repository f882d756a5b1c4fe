"""Commands that are killed at moments drawn from a number, and started again.

Half of the moments are before the n-th thing that a command does to its files (opened for writing,
renamed, removed, locked): there a half-written state would show. The other half are after some
processor time, wherever that is. Both hang on the number alone, not on the load of the machine.
"""

import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from forked import CONTEXT, Command

WORLD = "in"  # a link to what all runs read
# What no two starts share: times, and what hangs on them.
_TIMES = re.compile(r"second|time|memory|crc32")
_UNLIKE = re.compile(r"versions\.json|tensorboard/|card\.md")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = frozenset(
    {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.truncate"}
)


@dataclass(frozen=True)
class Subject:
    """A command.

    Attributes
    ----------
    name : str
    words : str
        Behind `epilm`, in a folder where the world lies as `in`.
    out : str
        What it makes.
    whole : tuple of str
        What is the final one wherever it stands, also after a kill.
    goes_on : str
        Pattern of what it says where it takes up what lies there; "" where it begins anew.
    before : str
        Of the world: what stands in the place of `out` when it starts.
    small : tuple of (str, int)
        Sizes of a piece of work (module:name), so that little work has several pieces.
    """

    name: str
    words: str
    out: str
    whole: tuple[str, ...]
    goes_on: str = ""
    before: str = ""
    small: tuple[tuple[str, int], ...] = ()


_PRETRAIN = (
    *("train.steps=4", "train.checkpoint_every=2", "train.validate_every=3", "train.log_every=1"),
    *("train.validate_samples=8", "train.batch_size=8", "train.micro_batch=4"),
    *("train.precision=fp32", "model.encoder.dropout=0.2", "model.encoder.hidden=16"),
    *("model.encoder.ffn=16", "model.encoder.heads=2", "model.encoder.layers=1", "model.k=3"),
    "samples.holdout_chroms=[chr3]",
)
SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject(
            "build",
            "build --genome in/g.fa --peaks in/peaks --threads 1 --overwrite --out new.store",
            "new.store",
            ("new.store",),
            before="old.store",
        ),
        Subject(
            "pretrain",
            "pretrain genebert_native --size tiny --device cpu --store in/toy0 --out run "
            + " ".join(f"--set {switch}" for switch in _PRETRAIN),
            "run",
            ("run/model",),
            "going on from step|the run is complete",
        ),
        Subject(
            "finetune",
            "finetune sequences --data in/rows.tsv --checkpoint cnn --epochs 3 --device cpu"
            " --out run",
            "run",
            ("run/model",),
            "going on after epoch|the run is complete",
        ),
        Subject(
            "predict",
            "predict in/run in/s.fa --batch-size 4 --device cpu --out said.tsv",
            "said.tsv",
            ("said.tsv",),
        ),
        Subject(
            "score-variants",
            "score-variants in/v.tsv --model in/model --genome in/g.fa --null 2 --device cpu"
            " --out scored.tsv.gz",
            "scored.tsv.gz",
            ("scored.tsv.gz",),
            "parts were scored before",
            small=(("epilm.variants.work:PIECE", 8),),
        ),
        Subject("merge", "merge in/parts --out joined.tsv", "joined.tsv", ("joined.tsv",)),
    )
}


def make_world(folder: str) -> None:
    """Write what the commands read."""
    import numpy as np

    from epilm.cli import main
    from epilm.genome.sequence import decode
    from epilm.hub.checkpoint import save_model
    from epilm.models.from_spec import build_model
    from epilm.models.model_spec import EncoderSpec, ModelSpec
    from toy_sequences import planted, quick
    from toy_store import toy_store

    os.chdir(folder)
    rows, parts = planted(40, ragged=True), ["train", "train", "valid", "test"]
    quick(rows, Path("run"), checkpoint="cnn", epochs=1)
    texts = [rows.text(n) for n in range(len(rows))]
    Path("s.fa").write_text("".join(f">s{n}\n{text}\n" for n, text in enumerate(texts[:30])))
    lines = [f"{text}\t{n % 2}\t{parts[n // 2 % 4]}" for n, text in enumerate(texts)]
    Path("rows.tsv").write_text("sequence\tlabel\tsplit\n" + "\n".join(lines) + "\n")
    letters = decode(np.random.default_rng(1).integers(0, 4, 1500).astype(np.uint8))
    Path("g.fa").write_text(f">chr1\n{letters}\n")
    Path("peaks").mkdir()
    for name, shift in (("a", 0), ("b", 40)):
        starts = range(100 + shift, 1300, 200)
        text = "".join(f"chr1\t{at}\t{at + 90}\n" for at in starts)
        (Path("peaks") / f"{name}.bed").write_text(text)
    spec = ModelSpec(
        name="dnabert",
        streams=("dna",),
        k=3,
        encoder=EncoderSpec(hidden=16, layers=1, heads=2, ffn=16, max_positions=64),
        max_tokens=64,
        next_segment="none",
        projection="none",
        projection_dim=16,
    )
    save_model(Path("model"), build_model(spec, seed=1).eval(), spec, {})
    table = ["chrom\tpos\tid\tref\talt"]
    for at in range(100, 1400, 90):
        table.append(f"chr1\t{at + 1}\tv{at}\t{letters[at]}\t{'A' if letters[at] != 'A' else 'C'}")
    Path("v.tsv").write_text("\n".join(table) + "\n")
    toy_store(Path(), per_chrom=(100, 70, 50), factors=24)
    build = "build --genome g.fa --peaks peaks/a.bed --threads 1 --quiet --out old.store"
    predict = "predict run s.fa --batch-size 4 --device cpu --out parts --shard"
    for words in (build, *(f"{predict} {i}/3" for i in (1, 2, 3))):
        assert main(words.split()) == 0


def world_in(folder: Path) -> Path:
    """Make the world, in a process of its own."""
    folder.mkdir(parents=True)
    process = CONTEXT.Process(target=make_world, args=(str(folder),))
    process.start()
    process.join()
    assert process.exitcode == 0, "the world cannot be made"
    return folder


_spent = {"events": 0, "from": 0.0}


def begin(folder: str, small: tuple[tuple[str, int], ...], last: int) -> None:
    """Enter a folder, count what is done to its files, and die before number `last` (0: never)."""
    os.chdir(folder)
    for name, value in small:
        module, attribute = name.split(":")
        setattr(import_module(module), attribute, value)
    own = os.getpid()

    def heard(event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(given[2], int) or not given[2] & _WRITING:
                return
        elif event == "fcntl.flock":
            given = (folder,)
        elif event not in _CHANGES:
            return
        if isinstance(given[0], str | bytes | os.PathLike):
            path = os.path.abspath(os.fsdecode(given[0]))
            if not path.startswith(folder):
                return
        _spent["events"] += 1
        if _spent["events"] == last and os.getpid() == own:
            os.kill(own, signal.SIGKILL)

    _spent["from"] = time.process_time()
    sys.addaudithook(heard)


def end(tally: str) -> None:
    """Write how much was done: events, and processor time at the start and at the end."""
    figures = [_spent["events"], _spent["from"], time.process_time()]
    Path(tally).write_text(json.dumps(figures))


class Undisturbed(NamedTuple):
    """A run that nobody killed.

    Attributes
    ----------
    folder : Path
    events : int
    cpu : tuple of float
        Processor time when it began and when it was over.
    """

    folder: Path
    events: int
    cpu: tuple[float, float]


class Killed(NamedTuple):
    """One kill and what came of it.

    Attributes
    ----------
    subject : str
    number : int
    moment : str
        "" where the command was over before.
    went_on : bool
        Whether the next start took up what lay there.
    faults : list of str
        What is not as it would have been without the kill.
    """

    subject: str
    number: int
    moment: str
    went_on: bool
    faults: list[str]


def _start(subject: Subject, world: Path, folder: Path, last: int, fresh: bool) -> Command:
    if fresh:
        folder.mkdir(parents=True)
        (folder / WORLD).symlink_to(world)
        if subject.before:
            shutil.copytree(world / subject.before, folder / subject.out)
    before = partial(begin, str(folder), subject.small, last)
    return Command(subject.words.split(), before, partial(end, f"{folder}.tally"))


def undisturbed(subject: Subject, world: Path, folder: Path) -> Undisturbed:
    """Run a command to its end."""
    command = _start(subject, world, folder, 0, fresh=True)
    assert command.wait(600) == 0, command.said()
    events, first, last = json.loads(Path(f"{folder}.tally").read_text())
    return Undisturbed(folder, events, (first, last))


def kill_once(
    subject: Subject, world: Path, folder: Path, number: int, whole: Undisturbed
) -> Killed:
    """Kill a command at the moment of a number, start it again, and compare."""
    rng = random.Random(f"{subject.name} {number}")
    by_files = rng.random() < 0.5
    event, limit = rng.randint(1, whole.events), rng.uniform(*whole.cpu)
    command = _start(subject, world, folder, event if by_files else 0, fresh=True)
    if not by_files:
        _kill_after(command, limit)
    code = command.wait(600)
    if code != -signal.SIGKILL:
        return Killed(subject.name, number, "", False, [] if code == 0 else [command.said()])
    share = (limit - whole.cpu[0]) / (whole.cpu[1] - whole.cpu[0])
    moment = f"before change {event} of {whole.events}" if by_files else f"after {share:.0%}"
    faults = [f"after the kill: {name}" for name in _half(subject, world, folder, whole)]
    again = _start(subject, world, folder, 0, fresh=False)
    if again.wait(600) != 0:
        faults.append(f"the next start failed: {again.said()[-500:]}")
    faults += unlike(folder, whole.folder)
    went_on = bool(subject.goes_on and re.search(subject.goes_on, again.said()))
    return Killed(subject.name, number, moment, went_on, faults)


def _kill_after(command: Command, limit: float) -> None:
    """Kill a command when it has used so much processor time."""
    clock = ~command.pid << 3 | 2  # the processor clock of another process; see clock_getcpuclockid
    while command.poll() is None:
        with suppress(OSError):
            if time.clock_gettime(clock) >= limit:
                command.send_signal(signal.SIGKILL)
                return
        time.sleep(0.001)


def _half(subject: Subject, world: Path, folder: Path, whole: Undisturbed) -> Iterator[str]:
    """Name what stands under a final name and is not final."""
    for name in subject.whole:
        here = folder / name
        before = world / subject.before if subject.before else None
        if not here.exists():
            if before is not None:
                yield f"{name} is gone"
        elif unlike(here, whole.folder / name) and (before is None or unlike(here, before)):
            yield f"{name} is neither what was nor what should be"


def unlike(folder: Path, whole: Path) -> list[str]:
    """List what is not alike in two folders, besides times."""
    return [name for name in differing(folder, whole) if not _UNLIKE.search(name)]


def differing(one: Path, other: Path) -> list[str]:
    """List the files that are not alike, or are in one of two folders (or files) alone."""
    if one.is_file():
        return [] if _content(one, one.parent) == _content(other, other.parent) else [one.name]
    mine, theirs = (
        {
            str(path.relative_to(root)): path
            for path in sorted(root.rglob("*"))  # a link is not followed: the world stays out
            if path.is_file() and not path.is_symlink()
        }
        for root in (one, other)
    )
    apart = [f"{name}: left over" for name in mine if name not in theirs]
    apart += [f"{name}: missing" for name in theirs if name not in mine]
    both = [name for name in mine if name in theirs]
    return apart + [n for n in both if _content(mine[n], one) != _content(theirs[n], other)]


def _content(path: Path, root: Path) -> Any:
    """Give bytes, or the values of JSON without its times; where a folder lies is no difference."""
    content = path.read_bytes().replace(str(root).encode(), b"HERE")
    if path.suffix not in (".json", ".jsonl"):
        return content
    lines = content.splitlines() if path.suffix == ".jsonl" else [content]
    return [_timeless(json.loads(line)) for line in lines]


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if not _TIMES.search(key)}
    return [_timeless(each) for each in value] if isinstance(value, list) else value
