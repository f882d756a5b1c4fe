"""Frozen embeddings on GUE's sets: what the vectors of a pre-trained model say with no weight of it
changed.

    python -m benchmarks.frozen_embeddings GUE OUT RUN [RUN ...] [--random]

GUE holds SET.train.csv.gz, SET.dev.csv.gz and SET.test.csv.gz (sequence, label). Each sequence is
embedded once, as `epilm embed` does it (mean of the tokens), and a logistic regression over scaled
vectors is fitted on train, its penalty chosen by the AUROC of dev. `--random` adds the first run's
network with new weights. Writes OUT/frozen.tsv (set, run, penalty, AUROC and MCC of test) and
prints a table.
"""

import argparse
import csv
import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from epilm.hub.load import Loaded, load
from epilm.models.from_spec import build_model
from epilm.vectors.embed import embed

PENALTIES = (0.001, 0.01, 0.1, 1.0)
Labels = NDArray[np.int64]


def read(path: Path) -> tuple[list[str], Labels]:
    """Sequences and labels of a file."""
    with gzip.open(path, "rt") as handle:
        rows = list(csv.DictReader(handle))
    return [row["sequence"] for row in rows], np.array([int(row["label"]) for row in rows])


def vectors(model: Loaded, sequences: list[str]) -> NDArray[np.float32]:
    """A vector a sequence, (N, H)."""
    made = embed(model, sequences, pool="mean", batch_size=256, say=lambda line: None).vectors
    assert made is not None
    return np.asarray(made)


def scores(model: Loaded, folder: Path, name: str) -> tuple[float, float, float]:
    """Penalty that dev chooses; AUROC and MCC of test."""
    parts = {part: read(folder / f"{name}.{part}.csv.gz") for part in ("train", "dev", "test")}
    x = {part: vectors(model, sequences) for part, (sequences, _) in parts.items()}
    y = {part: labels for part, (_, labels) in parts.items()}

    def fit(penalty: float) -> Pipeline:
        made = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=2000))
        return made.fit(x["train"], y["train"])

    fitted = {penalty: fit(penalty) for penalty in PENALTIES}
    dev = {c: roc_auc_score(y["dev"], m.predict_proba(x["dev"])[:, 1]) for c, m in fitted.items()}
    best = max(dev, key=dev.__getitem__)
    answers = fitted[best].predict_proba(x["test"])[:, 1]
    mcc = matthews_corrcoef(y["test"], fitted[best].predict(x["test"]))
    return best, float(roc_auc_score(y["test"], answers)), float(mcc)


def main() -> None:
    """Embed, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gue", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--random", action="store_true", help="the first network, new weights")
    at = parser.parse_args()
    models = {Path(run).name: load(run) for run in at.runs}
    if at.random:
        first = next(iter(models.values()))
        fresh = build_model(first.spec, seed=0).eval()
        models["random"] = Loaded(fresh, first.spec, first.extra, first.path)
    names = sorted(path.name.removesuffix(".test.csv.gz") for path in at.gue.glob("*.test.csv.gz"))
    names = [name for name in names if (at.gue / f"{name}.train.csv.gz").is_file()]
    at.out.mkdir(parents=True, exist_ok=True)
    print("| set | " + " | ".join(f"{name}, AUROC / MCC" for name in models) + " |")
    print("|---|" + "---|" * len(models))
    with (at.out / "frozen.tsv").open("w") as handle:
        handle.write("set\trun\tpenalty\tauroc\tmcc\n")
        for name in names:
            made = {run: scores(model, at.gue, name) for run, model in models.items()}
            for run, (penalty, auroc, mcc) in made.items():
                handle.write(f"{name}\t{run}\t{penalty}\t{auroc:.4f}\t{mcc:.4f}\n")
            cells = " | ".join(f"{auroc:.3f} / {mcc:.3f}" for _, auroc, mcc in made.values())
            print(f"| {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
