"""Risk on simulated cohorts at three heritabilities, beside dosages alone and a constant.

    python -m benchmarks.risk_simulated OUT [--seeds 5] [--people 431 487] [--variants 250]

All is simulated: genome, variants, people. A playground (small) is written, a small CNN learns from
its ChIP peaks which of seven factors binds a window (`epilm finetune sequences --checkpoint cnn`),
and cohorts of its variants are drawn: liability is the sum over broken motifs of the change of
log-odds times a weight of the factor that is drawn anew for each seed. Three arms read the same
people in the same folds: what the CNN says of each variant, the best log-odds of the playground's
36 motifs (what the truth is made of: as good as a model of sequence could be), copies of each ALT.
Prints the table of docs/results-simulated.md and writes OUT/risk_simulated.json.

    python -m benchmarks.risk_simulated OUT --element TABLES --run RUN [--name RET]

The same with a real element in place of the playground: its variants and their measured effects
(saturation mutagenesis, `benchmarks/variant_tables.py` writes TABLES), people invented as before,
and a pre-trained RUN in place of the CNN.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from epilm.cohorts.classifiers import cross_validate, folds_of
from epilm.cohorts.columns import Dosages, Together, WeightedDeltas
from epilm.cohorts.deltas import open_reader, score_deltas
from epilm.cohorts.genotypes import open_genotypes, usable_columns
from epilm.cohorts.people import read_people
from epilm.cohorts.risk_choices import Illness, Population
from epilm.cohorts.scoring import fold_scores, spread_of
from epilm.cohorts.simulate_cohort import simulate_cohort
from epilm.finetuning.finetune import finetune
from epilm.genome.fasta import open_genome
from epilm.genome.peaks import read_peaks
from epilm.playground.simulate import simulate
from epilm.tasks.base import labelled
from epilm.tasks.sequence_task import SequenceOptions

HERITABILITIES = (0.1, 0.3, 0.5)
BESIDE = {"dosage": "dosages", "constant": "constant"}
WINDOW = 101
MOST = 300  # windows of a factor
WORLD_SEED = 7
SHOWN = ("macro_precision", "macro_recall", "auroc", "liability_r2")
PREVALENCE = 0.01


def windows(world: Path):
    """Windows around summits, one class a factor, and as many elsewhere."""
    genome = open_genome(world / "genome.fa")
    factors = sorted({path.name.split(".")[1] for path in (world / "chip").glob("*.gz")})
    rng = np.random.default_rng(WORLD_SEED)
    sequences, labels = [], []
    covered = {chrom: np.zeros(size, bool) for chrom, size in genome.sizes.items()}
    for number, factor in enumerate(factors, 1):
        places: set[tuple[str, int]] = set()
        for path in sorted((world / "chip").glob(f"*.{factor}.conservative.*")):
            table = read_peaks(path)
            for chrom, start, end, summit in table[["chrom", "start", "end", "summit"]].values:
                covered[chrom][start:end] = True
                places.add((chrom, int(summit)))
        chosen = sorted(places)
        for i in rng.permutation(len(chosen))[:MOST].tolist():
            chrom, summit = chosen[i]
            sequences.append(genome.codes(chrom)[summit - WINDOW // 2 :][:WINDOW])
            labels.append(number)
    chroms = sorted(covered)
    while labels.count(0) < 2 * MOST:
        chrom = chroms[int(rng.integers(len(chroms)))]
        at = int(rng.integers(0, len(covered[chrom]) - WINDOW))
        codes = genome.codes(chrom)[at : at + WINDOW]
        if not covered[chrom][at : at + WINDOW].any() and (codes < 4).all():
            sequences.append(codes)
            labels.append(0)
    fit = [i for i, codes in enumerate(sequences) if len(codes) == WINDOW and (codes < 4).all()]
    print(f"{len(fit)} windows of {', '.join(factors)} and none")
    return labelled([sequences[i] for i in fit], [labels[i] for i in fit], name="simulated chip")


@dataclass(frozen=True)
class Variants:
    """Variants with an effect each, and what reads them.

    Attributes
    ----------
    genome : object
        As `epilm.genome.fasta.open_genome` gives it.
    table : Path
        VCF or table.
    illness : callable
        A heritability to the `Illness` whose effects are those of the table.
    readers : dict
        Title of an arm to what says the deltas.
    """

    genome: Any
    table: Path
    illness: Callable[[float], Illness]
    readers: dict[str, Any]


def playground(out: Path, epochs: int) -> Variants:
    """A simulated genome, and a CNN that learned from its peaks."""
    world = simulate(out / "world", "small", WORLD_SEED, overwrite=True)
    settings = SequenceOptions(
        epochs=epochs, lr=2e-3, batch_size=32, device="cpu", precision="fp32"
    )
    finetune(
        "sequences",
        windows(world),
        out / "cnn",
        checkpoint="cnn",
        settings=settings,
        overwrite=True,
        say=print,
    )
    return Variants(
        open_genome(world / "genome.fa"),
        world / "variants.vcf.gz",
        lambda h2: Illness(h2, PREVALENCE, effect="DELTA", effect_by="FACTOR"),
        {
            "known motifs": open_reader(None, world / "motifs.jaspar"),
            "CNN of 7 factors": open_reader(out / "cnn", None, window=WINDOW, device="cpu"),
        },
    )


def element(out: Path, tables: Path, name: str, run: Path, motifs: Path) -> Variants:
    """Measured variants of one element whose window lies within it."""
    genome = open_genome(tables / "mpra.fa")
    size, half = genome.sizes[name], WINDOW // 2
    chosen = out / f"{name}.tsv"
    with open(tables / "mpra.tsv") as lines, open(chosen, "w") as file:
        head = next(lines)
        file.write(head)
        for line in lines:
            chrom, pos = line.split("\t")[:2]
            if chrom == name and half < int(pos) <= size - half - 1:
                file.write(line)
    return Variants(
        genome,
        chosen,
        lambda h2: Illness(h2, PREVALENCE, effect="effect"),
        {
            "JASPAR motifs": open_reader(None, motifs),
            "pre-trained": open_reader(run, None, window=WINDOW, device="cpu"),
        },
    )


def main() -> None:
    """Simulate, learn, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--people", type=int, nargs=2, default=(431, 487))
    parser.add_argument("--variants", type=int, default=250)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--element", type=Path, help="folder of benchmarks/variant_tables.py")
    parser.add_argument("--name", default="RET")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--motifs", type=Path)
    given = parser.parse_args()
    began = time.process_time()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.element is None:
        variants = playground(given.out, given.epochs)
    else:
        variants = element(given.out, given.element, given.name, given.run, given.motifs)
    rows = []
    for heritability in HERITABILITIES:
        for seed in range(1, given.seeds + 1):
            rows.append(one(given, variants, heritability, seed))
            print(json.dumps(rows[-1]["auroc"]), flush=True)
    (given.out / "risk_simulated.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(table_of(rows, {**{title: title for title in variants.readers}, **BESIDE}))
    print(f"{time.process_time() - began:.0f} s of processor time")


def one(given, variants: Variants, heritability, seed):
    """Scores of all arms on one cohort, means over folds."""
    genome = variants.genome
    cohort = simulate_cohort(
        given.out / "cohort",
        variants.table,
        illness=variants.illness(heritability),
        population=Population(*given.people, variants_used=given.variants),
        seed=seed,
        overwrite=True,
    )
    opened = open_genotypes(cohort / "genotypes.vcf.gz", genome)
    people = read_people(cohort / "phenotypes.tsv", opened.samples)
    columns = usable_columns(opened, genome)
    dosages = np.concatenate([calls.dosages for calls in opened.blocks(columns.numbers)], 1)
    arms = {}
    for name, reader in variants.readers.items():
        deltas = np.nan_to_num(score_deltas(reader, columns.changes, genome).values)
        everything = [np.arange(len(columns.changes))]
        arms[name] = Together([WeightedDeltas(dosages[people.rows], deltas, everything)])
    arms |= {"dosage": Together([Dosages(dosages[people.rows])]), "constant": None}
    fold = folds_of(people.labels, 5, seed)
    said = cross_validate(arms, people.labels, fold, seed=seed)
    row = {"heritability": heritability, "seed": seed}
    for name in SHOWN:
        row[name] = {
            arm: spread_of(fold_scores(people.labels, each, fold, PREVALENCE), name).mean
            for arm, each in said.items()
        }
    return row


def table_of(rows, arms) -> str:
    """Markdown: mean ± sample sd over seeds, and the paired difference from dosages ± its error."""
    heads = ["h2", "arm", "macro precision", "macro recall", "AUROC", "R2 of liability"]
    lines = ["| " + " | ".join([*heads, "AUROC above dosages (se)"]) + " |", "|---" * 7 + "|"]
    for heritability in HERITABILITIES:
        of = [row for row in rows if row["heritability"] == heritability]
        for arm, title in arms.items():
            cells = [f"{heritability}", title]
            for name in SHOWN:
                values = np.array([row[name][arm] for row in of])
                cells.append(f"{values.mean():.3f} ± {values.std(ddof=1):.3f}")
            apart = np.array([row["auroc"][arm] - row["auroc"]["dosage"] for row in of])
            error = apart.std(ddof=1) / np.sqrt(len(apart))
            level = "" if abs(apart.mean()) > 2 * error else ", level"
            cells.append("" if arm == "dosage" else f"{apart.mean():+.3f} ± {error:.3f}{level}")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
