"""When pre-training pays: yeast, 10 to 300 labelled sites a protein. Writes the inputs, prints the
commands, and draws what came out.

    python -m benchmarks.few_labels DATA OUT
    python -m benchmarks.few_labels DATA OUT --draw

DATA holds sacCer3.2bit, the fungi of JASPAR 2018 and chipexo_chexmix/PROTEIN.bed.gz (sites of one
base). Pre-training never sees TEST; the motifs of half of the proteins, and all that are alike
(cosine of at least 0.8), are left out of the collection it learns from. Of the training sites of a
protein the first N of one shuffled order are kept, and as many of the validation's; all of its
sites keep negatives away. The test part is whole whatever N. A second manifest holds proteins with
all their labels: of those with 200 sites and more, ten that have a motif and ten that have
none, evenly spaced from the most sites to the fewest.
"""

import argparse
import csv
import gzip
import json
from pathlib import Path

import numpy as np

from epilm.motifs.clusters import similarity
from epilm.motifs.formats import read_motifs, write_jaspar

TEST = ("chrII", "chrIV", "chrXVI")
VALID = ("chrVII",)
ASKED = ("Abf1", "Rap1", "Mcm1", "Fkh1")
LEFT_OUT = ("Reb1", "Cin5", "Tbf1", "Cbf1")
LABELS = (10, 30, 100, 300)
TARGETS, FEWEST_SITES = 10, 200  # proteins with a motif, and as many without; sites of each
HEADER = "name\ttask\tdata\texclude\tnegatives\tvalid\ttest\tfactor"
MOTIFS = "JASPAR2018_CORE_fungi_non-redundant.counts.jaspar.gz"
ARMS = {
    "lab": "pre-trained",
    "frozen": "pre-trained, frozen",
    "random": "the same network, random start",
    "cnn": "small CNN",
    "kmer": "6-mers, regression",
    "motif": "the protein's own motif",
}
COMMANDS = """\
epilm build --genome {data}/sacCer3.2bit --sizes {data}/sacCer3.chrom.sizes --motifs \\
      {out}/reduced.jaspar --assembly sacCer3 --out {out}/store
for seed in 1 2 3; do epilm pretrain dnabert_lab --size small --store {out}/store \\
      --out {out}/lab$seed --set 'samples.holdout_chroms=[{held}]' --set samples.window_bp=101 \\
      --set train.seed=$seed {shape}; done
epilm compare --manifest {out}/sets.tsv --genome {data}/sacCer3.2bit --models {models} \\
      {frozen} --motifs {data}/{motifs} --baselines random,kmer,motif --both-strands --lr 1e-3 \\
      --batch-size 16 --epochs 30 --patience 6 --seeds 1 --out {out}/few_labels
epilm compare --manifest {out}/targets.tsv --genome {data}/sacCer3.2bit --models {models} \\
      --motifs {data}/{motifs} --baselines random,cnn,kmer,motif,motifs --both-strands --lr 1e-3 \\
      --epochs 8 --patience 3 --seeds 1 --out {out}/targets"""
SHAPE = "--set model.k=5 --set model.stride=5 --set train.steps=2000"


def main() -> None:
    """Write everything below OUT, or draw OUT/compared."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--draw", action="store_true", help="the curve of OUT/few_labels")
    at = parser.parse_args()
    if at.draw:
        print(draw(at.out / "few_labels", at.out / "curve"))
        return
    at.out.mkdir(parents=True, exist_ok=True)
    motifs = read_motifs(at.data / MOTIFS)
    left_out = np.array([motif.name.upper() in {n.upper() for n in LEFT_OUT} for motif in motifs])
    gone = similarity(motifs)[:, left_out].max(1) >= 0.8
    kept = [motif for motif, is_gone in zip(motifs, gone, strict=True) if not is_gone]
    write_jaspar(kept, at.out / "reduced.jaspar")
    alike = ", ".join(m.name for m, is_gone in zip(motifs, gone, strict=True) if is_gone)
    print(f"left out {gone.sum()} of {len(motifs)} motifs: {alike}")
    write_sets(at.data / "chipexo_chexmix", at.out)
    write_targets(at.data / "chipexo_chexmix", {m.name.upper() for m in motifs}, at.out)
    models = " ".join(f"lab={at.out}/lab{seed}" for seed in (1, 2, 3))
    frozen = models.replace("lab=", "frozen=").replace(" ", "@frozen ") + "@frozen"
    named = {"motifs": MOTIFS, "held": ",".join(TEST + VALID), "shape": SHAPE}
    named |= {"models": models, "frozen": frozen}
    print(COMMANDS.format(data=at.data, out=at.out, **named))


def write_sets(sites: Path, out: Path) -> None:
    """Write a BED file for each protein and number of labels, and the manifest of all."""
    rows = [HEADER]
    (out / "sites").mkdir(exist_ok=True)
    for protein in ASKED + LEFT_OUT:
        path = sites / f"{protein}.bed.gz"
        lines = read_sites(path)
        shuffled = [lines[row] for row in np.random.default_rng(0).permutation(len(lines))]
        part = {line: line.split("\t")[0] for line in shuffled}
        test = [line for line in shuffled if part[line] in TEST]
        valid = [line for line in shuffled if part[line] in VALID]
        train = [line for line in shuffled if part[line] not in TEST + VALID]
        for number in LABELS:
            if len(train) < number:
                print(f"{protein}: {len(train)} sites to learn from, so not {number}")
                continue
            few = out / "sites" / f"{protein}.{number}.bed"
            few.write_text("".join(train[:number] + valid[:number] + test))
            chosen = ",".join(VALID), ",".join(TEST)
            cells = (f"{protein}_{number}", "tfbs", few.resolve(), path.resolve(), "gc", *chosen)
            rows.append("\t".join(map(str, (*cells, protein))))
    (out / "sets.tsv").write_text("\n".join(rows) + "\n")


def read_sites(path: Path) -> list[str]:
    """Lines of a BED file but those of mitochondria."""
    with gzip.open(path, "rt") as handle:
        return [line for line in handle if not line.startswith(("chrM", "#"))]


def write_targets(sites: Path, named: set[str], out: Path) -> None:
    """Write targets.tsv: proteins with and without a motif, evenly spaced by their sites."""
    counts = {path: len(read_sites(path)) for path in sorted(sites.glob("*.bed.gz"))}
    order = sorted(counts, key=lambda path: -counts[path])
    has = {path: path.name.removesuffix(".bed.gz").upper() in named for path in order}
    rows = [HEADER]
    for known in (True, False):
        those = [path for path in order if has[path] == known and counts[path] >= FEWEST_SITES]
        for at in np.linspace(0, len(those) - 1, TARGETS).round().astype(int):
            path = those[at]
            name, chosen = path.name.removesuffix(".bed.gz"), (",".join(VALID), ",".join(TEST))
            few = out / "sites" / f"{name}.all.bed"
            few.write_text("".join(read_sites(path)))
            words = "motif" if known else "no_motif"
            cells = f"{name}_{words}", "tfbs", few.resolve(), path.resolve(), "gc", *chosen
            rows.append("\t".join(map(str, (*cells, name))))
    (out / "targets.tsv").write_text("\n".join(rows) + "\n")


def draw(compared: Path, out: Path) -> str:
    """Draw the AUROC of each arm against the number of labels; write OUT.png and OUT.tsv.

    A point is the mean over the proteins that have every number of labels, each of them the mean
    over seeds and pre-trainings (lab.1, lab.2, ...). The last columns are of all proteins that have
    this number: what pre-training adds, and its standard error over them. Arms that a set lacks are
    left out.
    """
    import matplotlib.pyplot as plt

    runs = [json.loads(line) for line in (compared / "runs.jsonl").read_text().splitlines()]
    scores: dict[tuple[str, int, str], list[float]] = {}
    for run in runs:
        protein, number = run["set"].split("_")
        arm, _, pretraining = run["competitor"].partition(".")
        if pretraining.isdigit() or not pretraining:  # an ensemble is another thing
            scores.setdefault((protein, int(number), arm), []).append(run["auroc"])
    mean = {key: float(np.mean(values)) for key, values in scores.items()}
    proteins = {
        number: [n for n in ASKED + LEFT_OUT if (n, number, "lab") in mean] for number in LABELS
    }
    everywhere = [name for name in ASKED + LEFT_OUT if all(name in proteins[n] for n in LABELS)]
    arms = [
        arm
        for arm in ARMS
        if all((n, number, arm) in mean for number in LABELS for n in proteins[number])
    ]
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    rows = [
        [
            "labels",
            *(ARMS[arm] for arm in arms),
            "gain",
            "standard error",
            "proteins",
            "above random start",
        ]
    ]
    curves: dict[str, list[float]] = {
        arm: [float(np.mean([mean[name, n, arm] for name in everywhere])) for n in LABELS]
        for arm in arms
    }
    for at, number in enumerate(LABELS):
        gain = np.array(
            [mean[n, number, "lab"] - mean[n, number, "random"] for n in proteins[number]]
        )
        error = gain.std(ddof=1) / len(gain) ** 0.5
        cells = [f"{curves[arm][at]:.3f}" for arm in arms]
        cells += [f"{gain.mean():+.3f}", f"{error:.3f}", str(len(gain)), str((gain > 0).sum())]
        rows.append([str(number), *cells])
    for arm in arms:
        axes.plot(LABELS, curves[arm], marker="o", label=ARMS[arm])
    axes.set(xscale="log", xlabel="labelled sites to learn from", ylabel="AUROC, three chromosomes")
    axes.set_xticks(LABELS, [str(n) for n in LABELS])
    axes.legend(frameon=False)
    figure.savefig(out.with_suffix(".png"), dpi=150)
    with out.with_suffix(".tsv").open("w") as handle:
        csv.writer(handle, delimiter="\t", lineterminator="\n").writerows(rows)
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"{table}\ncurves: {', '.join(everywhere)}"


if __name__ == "__main__":
    main()
