"""The whole road in minutes: an invented genome, a store, two pre-trained models, two tasks, a
locus explained, variants scored, one page.

Part two is the ablation of EBERT at one seed and toy size: where do factors bind in a cell type
whose binding nobody measured. Where a second core is there it runs beside part one, in a process of
its own: networks of this size gain more from that than from two threads, and their losses stay what
they are on one.

Every step is the public function that a user would call, at toy size; the command
lines are kept beside the results. A step whose output is there already is not done
again, so an interrupted demo goes on. All of it is simulated and says so.
"""

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from epilm.atomic import atomic_folder, write_json
from epilm.errors import EpilmError
from epilm.motifs.scan import checked_threads
from epilm.plots.page import write_page
from epilm.processes import Beside, one_thread
from epilm.tour.demo_page import demo_page
from epilm.tour.tasks import DEMO, MODELS, PART_TWO

ABLATION = "playground_ebert"


@dataclass(frozen=True)
class DemoPlan:
    """What a size of the demo does.

    Attributes
    ----------
    world : str
        Size of the playground.
    recipe : tuple of str
        What is laid over the recipes' size tiny.
    factors : tuple of str
    cell : str
        The tasks: which accessible regions of this cell type a factor binds.
    others : tuple of str
        Peak files (in the playground) that the negatives come from.
    valid, test : tuple of str
        Chromosomes of the tasks; their few labels are those of the others.
    alone : int
        Steps of the model that sees the sequence alone.
    epochs : int
        Of fine-tuning.
    embedded : int
        Held-out regions in the picture of embeddings.
    ablation : str
        Size of the ablation in part two.
    """

    world: Literal["tiny", "small"]
    recipe: tuple[str, ...]
    factors: tuple[str, ...]
    cell: str
    others: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    alone: int
    epochs: int
    embedded: int
    ablation: str


# What the lab's recipes are made of, small enough for a minute: 5-mers side by side, and beside
# them a stem that reads single bases, so that no phase of a motif is lost. Regions are cut to the
# 130 bp that 26 tokens read: the factor matrix is of those very bases.
WIDTH = 130
_READING = (
    "model.k=5",
    "model.stride=5",
    "model.max_tokens=28",
    "model.stem={filters: 64, width: 15}",
    "model.encoder.rotary=true",
    "model.pooling=mean",
    "samples.regions=5",
    "samples.group_stride=1",
)
PLANS = {
    "small": DemoPlan(
        "small",
        (
            *_READING,
            "samples.holdout_chroms=[chr3,chr4]",
            "train.steps=400",
            "train.batch_size=32",
            "train.micro_batch=32",
            "train.validate_every=100",
            "train.validate_samples=96",
            "train.log_every=5",
            "train.checkpoint_every=100",
            "optim.warmup_steps=20",
            "optim.peak_lr=3e-3",
            "model.encoder.dropout=0",
        ),
        ("CTCF", "SPI1"),
        "typeA",
        ("peaks/typeA.narrowPeak.gz",),
        ("chr2",),
        ("chr3", "chr4"),
        200,
        20,
        500,
        "toy",
    ),
    "tiny": DemoPlan(
        "tiny",
        (
            *_READING,
            "samples.holdout_chroms=[chr2,chr3]",
            "train.steps=4",
            "train.validate_every=2",
        ),
        ("CTCF", "JUND"),
        "typeA",
        ("peaks/typeA.narrowPeak.gz",),
        ("chr3",),
        ("chr2",),
        4,
        1,
        30,
        "tiny",
    ),
}
# What GeneBERT learns from besides; the sequence-only twin has none of it.
_MATCHING = ("objectives.matching.batch=32", "objectives.motif_sites.weight=1")


@dataclass
class _Diary:
    """Stages done, their time and command lines; kept in demo.json."""

    folder: Path
    say: Callable[[str], None]
    total: int
    stages: list[dict[str, Any]] = field(default_factory=list)

    def stage(self, name: str, command: str, target: Path, do: Callable[[], object]) -> None:
        """Do one stage unless its output is there; say what happens and how long it took."""
        number = len(self.stages) + 1
        if target.exists():
            took = self._times().get(name, {"seconds": None})
            self.say(f"[{number}/{self.total}] {name}: there already")
        else:
            self.say(f"[{number}/{self.total}] {name} ...")
            started = time.monotonic()
            do()
            took = {"seconds": round(time.monotonic() - started, 2)}
            self.say(f"[{number}/{self.total}] {name}: {took['seconds']:.1f} s")
        self._keep(name, command, took)

    def beside(self, name: str, command: str, running: Beside) -> None:
        """Wait for a stage that runs in a process of its own."""
        number = len(self.stages) + 1
        self.say(
            f"[{number}/{self.total}] {name}: beside the others since the start; waiting for it ..."
        )
        took = {"seconds": round(running.wait(), 2), "beside": True}
        self.say(f"[{number}/{self.total}] {name}: {took['seconds']:.1f} s")
        self._keep(name, command, took)

    def wall(self) -> float:
        """Seconds of the stages, where those that ran beside the others count as much as they took
        longer.
        """
        spent = [(bool(stage.get("beside")), stage["seconds"] or 0.0) for stage in self.stages]
        return round(
            max(sum(s for beside, s in spent if beside is which) for which in (False, True)), 1
        )

    def _times(self) -> dict[str, dict[str, Any]]:
        path = self.folder / "times.json"
        return json.loads(path.read_text()) if path.is_file() else {}

    def _keep(self, name: str, command: str, took: dict[str, Any]) -> None:
        self.stages.append({"name": name, "command": command} | took)
        write_json(self.folder / "times.json", self._times() | {name: took})


def demo(
    out: str | Path = "demo",
    seed: int = 0,
    size: Literal["small", "tiny"] = "small",
    say: Callable[[str], None] | None = None,
) -> Path:
    """Simulate, build, pre-train, fine-tune, evaluate and write one page about it.

    Parameters
    ----------
    out : path
        Folder. One that holds this demo, unfinished, is gone on with.
    seed : int
        Of the invented genome and of training.
    size : {"small", "tiny"}
        "small" takes minutes on two cores and learns; "tiny" takes seconds and shows that all parts
        run.
    say : callable, optional
        Takes lines of progress; standard output by default.

    Returns
    -------
    Path
        `report.html` in the folder.

    Raises
    ------
    EpilmError
        If the folder holds something else.
    """
    from epilm.tour.ending import end_all
    from epilm.tour.tasks import finetune_all

    say = say or (lambda line: print(line, flush=True))
    folder, plan = Path(out), PLANS[size]
    _claim(folder, {"seed": seed, "size": size})
    started = time.monotonic()
    diary = _Diary(folder, say, total=2 + len(MODELS) + len(plan.factors) + 2 + 1 + 1)
    data, store = folder / "data", folder / "store"
    second = _part_two_words(plan, folder / PART_TWO, seed)
    running: Beside | nullcontext[None] = nullcontext()
    if checked_threads() > 1 and not (folder / PART_TWO / "report.html").exists():
        say("part two runs beside the others on the second core: " + " ".join(["epilm", *second]))
        running = Beside(second, folder / f"{PART_TWO}.log")
    with running as beside:
        _prepare(diary, plan, data, store, seed)
        with one_thread():
            for name, (recipe, title) in MODELS.items():
                _pretrain(diary, plan, store, folder / "runs" / name, recipe, title, seed)
            finetune_all(diary.stage, plan, data, folder, seed)
            end_all(diary.stage, plan, data, store, folder, seed)
            diary.stage(
                "pictures of the embedding and of retrieval on held-out regions",
                "",
                folder / "pictures",
                lambda: _pictures(plan, data, store, folder),
            )
        _part_two(diary, plan, folder / PART_TWO, seed, beside)
    done = {
        "seed": seed,
        "size": size,
        "simulated": True,
        "factors": plan.factors,
        "cell": plan.cell,
        "valid": plan.valid,
        "test": plan.test,
    }
    write_json(folder / DEMO, done | {"seconds": diary.wall(), "stages": diary.stages})

    page = write_page(demo_page(folder), folder / "report.html")
    say(f"done in {time.monotonic() - started:.0f} s. Open {page}")
    return page


def _claim(folder: Path, mark: dict[str, Any]) -> None:
    """Take a new folder, or one that holds this very demo."""
    path = folder / "plan.json"
    if folder.exists() and not path.is_file() and any(folder.iterdir()):
        raise EpilmError(
            "the folder holds something that is not a demo",
            where=str(folder),
            do="Choose another name with --out.",
        )
    if path.is_file() and (marked := json.loads(path.read_text())) != mark:
        raise EpilmError(
            "the folder holds a demo of another seed or size",
            where=str(folder),
            found=marked,
            expected=mark,
            do="Choose another name with --out, or remove the folder.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, mark)


def _prepare(diary: _Diary, plan: DemoPlan, data: Path, store: Path, seed: int) -> None:
    from epilm.playground.simulate import simulate
    from epilm.store.making.build import build

    diary.stage(
        f"an invented genome ({plan.world}), raw files in real formats",
        f"epilm simulate {data} --size {plan.world} --seed {seed}",
        data,
        lambda: simulate(data, plan.world, seed),
    )
    diary.stage(
        "the store: regions, cell types, motif scores",
        f"epilm build --genome {data}/genome.fa --peaks {data}/peaks --motifs {data}/motifs.jaspar "
        f"--blacklist {data}/blacklist.bed --region-width {WIDTH} --assembly simulated"
        f" --out {store}",
        store,
        lambda: build(
            genome=data / "genome.fa",
            peaks=data / "peaks",
            motifs=data / "motifs.jaspar",
            blacklist=data / "blacklist.bed",
            region_width=WIDTH,
            assembly="simulated",
            out=store,
        ),
    )


def _pretrain(
    diary: _Diary, plan: DemoPlan, store: Path, run: Path, recipe: str, title: str, seed: int
) -> None:
    from epilm.pretraining.pretrain import pretrain

    changes = [*plan.recipe, f"train.seed={seed}"]
    if recipe == "dnabert":
        changes += [f"train.steps={plan.alone}"]
    elif plan.world == "small":
        changes += _MATCHING
    words = " ".join(f"--set '{change}'" for change in changes)
    diary.stage(
        f"pre-training: {title}",
        f"epilm pretrain {recipe} --store {store} --out {run} --size tiny {words}",
        run / "summary.json",
        lambda: pretrain(recipe, store, run, size="tiny", set=changes),
    )


def _part_two_words(plan: DemoPlan, folder: Path, seed: int) -> list[str]:
    from epilm.trials.trial import FIRST_SEED

    return [
        "ablate",
        ABLATION,
        "--out",
        str(folder),
        "--size",
        plan.ablation,
        "--seeds",
        "1",
        "--first-seed",
        str(FIRST_SEED + seed),
    ]


def _part_two(
    diary: _Diary, plan: DemoPlan, folder: Path, seed: int, beside: Beside | None
) -> None:
    """DBERT, EBERT, EBERT+, random starts and shuffled states in a cell type without binding data,
    one seed.
    """
    from epilm.trials.ablate import ablate
    from epilm.trials.trial import FIRST_SEED

    name = f"part two, EBERT: binding in an unseen cell type, one seed, size {plan.ablation}"
    command = " ".join(["epilm", *_part_two_words(plan, folder, seed)])
    if beside is not None:
        diary.beside(name, command, beside)
        return
    first = FIRST_SEED + seed
    diary.stage(
        name,
        command,
        folder / "report.html",
        lambda: ablate(ABLATION, folder, seeds=[first], size=plan.ablation, say=lambda line: None),
    )


def _pictures(plan: DemoPlan, data: Path, store: Path, folder: Path) -> None:
    """Embeddings of held-out regions, and where the true partner of each held-out sample ranks."""
    import csv
    import gzip

    from epilm.hub.load import load
    from epilm.playground.simulate import read_truth
    from epilm.plots.pictures import project
    from epilm.store.reader import Store

    opened = Store.open(store)
    test_chroms = read_truth(data)["splits"]["test"]
    with gzip.open(data / "truth_regions.tsv.gz", "rt") as handle:
        rows = [
            row for row in csv.DictReader(handle, delimiter="\t") if row["chrom"] in test_chroms
        ]
    rows = [row for row in rows if row["programme"] != "."][: plan.embedded]
    sequences = []
    for row in rows:
        number = opened.chroms.index(row["chrom"])
        middle = (int(row["start"]) + int(row["end"])) // 2
        start = int(opened.offsets[number]) + max(0, middle - WIDTH // 2)
        sequences.append(np.asarray(opened.genome[start : start + WIDTH], np.uint8))
    with atomic_folder(folder / "pictures") as home:
        for name in MODELS:
            vectors = load(folder / "runs" / name).embed(sequences, batch_size=64)
            points = project(vectors, "tsne")
            with open(home / f"embedding.{name}.tsv", "w", newline="\n", encoding="utf-8") as out:
                out.write("x\ty\tprogramme\n")
                for (x, y), row in zip(points, rows):
                    out.write(f"{x:.4f}\t{y:.4f}\t{row['programme']}\n")
        ranks, pool = retrieval_ranks(folder / "runs/genebert", opened)
        write_json(home / "retrieval.json", {"pool": pool, "ranks": ranks})


def retrieval_ranks(run: Path, store: Any, limit: int = 96) -> tuple[list[int], int]:
    """Rank of the right factor matrix for each held-out sample's sequence, among all of them (1 =
    first).
    """
    import torch

    from epilm.batches import BatchMaker
    from epilm.hub.load import load
    from epilm.pretraining.validate import pick_rows
    from epilm.recipes.recipe import from_dict
    from epilm.store.sampling import make_samples, order

    loaded = load(run)
    recipe = from_dict(loaded.extra["recipe"])
    holdout = make_samples(store, recipe.samples, "holdout")
    rows = pick_rows(holdout.regions, limit, order(len(holdout), recipe.train.seed, 0))
    maker = BatchMaker(
        store, loaded.spec, recipe.objectives, recipe.samples, seed=0, subset="holdout"
    )
    loaded.model.eval()
    encode: Any = loaded.model.encode_matching
    seq, region = [], []
    with torch.no_grad():
        for at in range(0, len(rows), 32):
            one, two = encode(maker(rows[at : at + 32], 0))
            seq.append(one.float())
            region.append(two.float())
    left = torch.nn.functional.normalize(torch.cat(seq), dim=1)
    right = torch.nn.functional.normalize(torch.cat(region), dim=1)
    scores = left @ right.T
    better = (scores > scores.diagonal()[:, None]).sum(1) + 1
    return better.tolist(), len(rows)
