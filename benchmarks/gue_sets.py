"""GUE's sets as folders and manifests, with what was published beside.

    python -m benchmarks.gue_sets GUE OUT

GUE holds SET.train.csv.gz, SET.dev.csv.gz and SET.test.csv.gz. Writes OUT/SET/{train,dev,test}.csv
and OUT/gue.tsv, its windows around peaks in OUT/gue_peaks.tsv and its promoters, which lie on one
strand, in OUT/gue_promoters.tsv, and prints the commands of docs/results.md. Sets without one of
the parts are left out and named.
"""

import argparse
import gzip
from pathlib import Path

# MCC as tabulated in the DNABERT-2 paper; AUROC of frozen vectors, Nature Communications 2025,
# s41467-025-65823-8.
PUBLISHED = {
    "prom_core_all": {"mcc:DNABERT-2": 0.694, "mcc:DNABERT-3": 0.709, "mcc:NT-2.5B": 0.703},
}
FROZEN = {
    "tf_0": (0.838, 0.880),
    "tf_2": (0.790, 0.825),
    "tf_3": (0.726, 0.773),
    "prom_core_all": (0.831, 0.875),
    "prom_core_tata": (0.778, 0.810),
    "prom_300_tata": (0.765, 0.760),
    "mouse_0": (0.711, None),
    "mouse_3": (0.762, None),
}
MODELS = ("auroc:DNABERT-2, frozen", "auroc:Caduceus-Ph, frozen")
PARTS = ("train", "dev", "test")
COMMANDS = """\
epilm compare --manifest {out}/gue_peaks.tsv --models lab=RUN --baselines kmer,cnn,random \\
      --both-strands --lr 1e-3 --batch-size 64 --epochs 8 --patience 3 --seeds 1 \\
      --out {out}/compared_peaks
epilm compare --manifest {out}/gue_promoters.tsv --models lab=RUN@places \\
      --baselines kmer,cnn,random --lr 1e-3 --batch-size 64 --epochs 8 --patience 3 --seeds 1 \\
      --out {out}/compared_promoters"""


def main() -> None:
    """Write everything below OUT."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gue", type=Path)
    parser.add_argument("out", type=Path)
    at = parser.parse_args()
    columns = [*next(iter(PUBLISHED.values())), *MODELS]
    header, lines = "\t".join(("name", "task", "data", *columns)), dict[str, str]()
    for name in sorted({path.name.split(".")[0] for path in at.gue.glob("*.csv.gz")}):
        files = {part: at.gue / f"{name}.{part}.csv.gz" for part in PARTS}
        if missing := [part for part, path in files.items() if not path.is_file()]:
            print(f"{name}: no {', '.join(missing)}; left out")
            continue
        (at.out / name).mkdir(parents=True, exist_ok=True)
        for part, path in files.items():
            with gzip.open(path, "rt") as handle:
                (at.out / name / f"{part}.csv").write_text(handle.read())
        beside = PUBLISHED.get(name, {}) | dict(zip(MODELS, FROZEN.get(name, ()), strict=False))
        cells = [str(beside.get(column) or "") for column in columns]
        lines[name] = "\t".join((name, "sequences", name, *cells))
    promoters = {name for name in lines if name.startswith("prom_")}
    for manifest, names in (
        ("gue", set(lines)),
        ("gue_peaks", set(lines) - promoters),
        ("gue_promoters", promoters),
    ):
        mine = [line for name, line in lines.items() if name in names]
        (at.out / f"{manifest}.tsv").write_text("\n".join([header, *mine]) + "\n")
    print(COMMANDS.format(out=at.out))


if __name__ == "__main__":
    main()
