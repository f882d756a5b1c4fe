"""Part one of the demo on fresh invented genomes: GeneBERT pre-trained against its random twin.

    python -m benchmarks.demo_worlds OUT [--seeds 1 2 3 4 5]

What `epilm demo --seed N` does up to its first two rows of each task, by the same functions: the
demo's settings were chosen on seed 0. A world that is done is not done again. Prints a table and
the mean paired difference with its standard error over the worlds; OUT/worlds.tsv holds the same.
All of it is simulated.
"""

import argparse
import json
from pathlib import Path

import numpy as np

STARTS = ("genebert", "random")
METRICS = ("auroc", "mcc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--size", choices=("small", "tiny"), default="small")
    at = parser.parse_args()

    from epilm.tour.demo import PLANS

    plan = PLANS[at.size]
    scores = {seed: scores_of(plan, at.out / f"world{seed}", seed) for seed in at.seeds}
    lines = [["factor", "metric", "world", *STARTS, "difference"]]
    for factor in plan.factors:
        for metric in METRICS:
            pairs = np.array(
                [[scores[s][factor][start][metric] for start in STARTS] for s in scores]
            )
            difference = pairs[:, 0] - pairs[:, 1]
            for seed, pair, gain in zip(scores, pairs, difference, strict=True):
                lines.append(
                    [factor, metric, str(seed), *(f"{x:.4f}" for x in pair), f"{gain:+.4f}"]
                )
            if len(scores) > 1:
                error = difference.std(ddof=1) / len(scores) ** 0.5
                mean = [f"{x:.4f}" for x in pairs.mean(0)]
                gain = f"{difference.mean():+.4f} (standard error {error:.4f})"
                lines.append([factor, metric, "mean", *mean, gain])
    text = "\n".join("\t".join(line) for line in lines) + "\n"
    (at.out / "worlds.tsv").write_text(text)
    print(text, end="")


def scores_of(plan, folder: Path, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Give factor -> start -> scores of the test part of one world."""
    from epilm.finetuning.finetune import finetune
    from epilm.tasks.splits import split_rows
    from epilm.tour.demo import _Diary, _prepare, _pretrain
    from epilm.tour.tasks import LR, MODELS, binding_rows

    kept = folder / "scores.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    diary = _Diary(folder, lambda line: print(f"seed {seed} {line}", flush=True), 3)
    data, store, run = folder / "data", folder / "store", folder / "runs" / "genebert"
    _prepare(diary, plan, data, store, seed)
    _pretrain(diary, plan, store, run, *MODELS["genebert"], seed)
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for factor in plan.factors:
        rows = split_rows(
            binding_rows(plan, factor, data, seed),
            how="chromosome",
            valid=plan.valid,
            test=plan.test,
        )
        for start in STARTS:
            result = finetune(
                "tfbs",
                rows,
                folder / "tasks" / factor / start,
                checkpoint=run,
                init="random" if start == "random" else "checkpoint",
                preset="none",
                split="given",
                epochs=plan.epochs,
                patience=0,
                both_strands=True,
                lr=LR,
                seed=seed,
                say=lambda line: None,
            )
            (table,) = result.tables["test"].values()
            scores.setdefault(factor, {})[start] = {name: table[name] for name in METRICS}
            print(f"seed {seed} {factor} {start} {scores[factor][start]}", flush=True)
    kept.write_text(json.dumps(scores))
    return scores


if __name__ == "__main__":
    main()
