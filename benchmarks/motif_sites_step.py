"""What `objectives.motif_sites` costs a pre-training step, with all motifs of a store, on one core.

    python benchmarks/motif_sites_step.py --store STORE [--recipe genebert_native] [--size tiny]
        [--steps 8] [--alike 0.8]

Steps with and without it are timed in turn, each with the batch it makes; the hits of the first
batch are then checked against `motifs.scan` of the same bases. Prints medians, the ratio and the
largest memory. Without --store a made-up store of 579 motifs over 2 Mb is built in a temporary
folder.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from epilm.batches import make_batches
from epilm.batches.site_finder import SiteFinder
from epilm.device import Place
from epilm.models.from_spec import build_model
from epilm.motifs.log_odds import log_odds
from epilm.motifs.scan import scan
from epilm.pretraining.run_plan import for_store, row_order
from epilm.pretraining.step import optimiser_step
from epilm.recipes.recipe import load_recipe
from epilm.store.making.build import build
from epilm.store.motifs import stored_motif
from epilm.store.reader import Store
from epilm.training.optim import Optimiser
from epilm.training.ranks import Ranks

MOTIFS = 579


def made_up(folder: Path) -> Store:
    """A store of random bases, regions of 150 to 600 bp and motifs of 6 to 22 bp."""
    rng = np.random.default_rng(0)
    with open(folder / "genome.fa", "w", encoding="utf-8") as fasta:
        for name in ("chr1", "chr2"):
            fasta.write(f">{name}\n{''.join(rng.choice(list('ACGT'), 1_000_000))}\n")
    (folder / "peaks").mkdir()
    for cell in ("A", "B"):
        starts = np.sort(rng.choice(1600, 1200, replace=False)) * 600
        lines = [
            f"{chrom}\t{at}\t{at + int(rng.integers(150, 600))}\n"
            for chrom in ("chr1", "chr2")
            for at in starts
        ]
        (folder / "peaks" / f"{cell}.bed").write_text("".join(lines))
    with open(folder / "motifs.jaspar", "w", encoding="utf-8") as out:
        for number in range(MOTIFS):
            counts = rng.dirichlet(np.full(4, 0.25), int(rng.integers(6, 23))).T * 100
            out.write(f">M{number}\tF{number}\n")
            for base, row in zip("ACGT", counts, strict=True):
                out.write(f"{base} [ {' '.join(str(round(x)) for x in row)} ]\n")
    return Store.open(
        build(
            genome=folder / "genome.fa",
            peaks=folder / "peaks",
            motifs=folder / "motifs.jaspar",
            assembly="made up",
            out=folder / "store",
        ).path
    )


def check(store: Store, codes: torch.Tensor) -> int:
    """Compare the finder's sites with the scanner's hits; give their number."""
    about = store.info.factors
    pwms = [
        log_odds(stored_motif(row), about["backgrounds"][0], about["pseudocount"])
        for row in store.motifs
    ]
    cuts = [np.inf if row["threshold"] is None else row["threshold"] for row in store.motifs]
    finder = SiteFinder(store)
    seen = finder.sites(codes)
    mine = set(zip(seen.row.tolist(), seen.middle.tolist(), seen.column.tolist(), strict=True))
    theirs = set()
    for row, bases in enumerate(codes.numpy()):
        hits = scan(bases, pwms, cuts, dedup=False, threads=1)
        for motif, start in zip(hits.motif.tolist(), hits.start.tolist(), strict=True):
            theirs.add((row, start + len(pwms[motif]) // 2, motif))
    assert mine == theirs, f"{len(mine ^ theirs)} of {len(theirs)} differ"
    return len(theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path)
    parser.add_argument("--recipe", default="genebert_native")
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--alike", type=float)
    parser.add_argument("--set", action="append", default=[])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(chosen.store) if chosen.store else made_up(Path(folder))
        runs = {}
        for weight in (0, 1):
            changes = [*chosen.set, f"objectives.motif_sites.weight={weight}"]
            if chosen.alike:
                changes.append(f"objectives.motif_sites.alike={chosen.alike}")
            recipe = for_store(load_recipe(chosen.recipe, chosen.size, changes), store)
            maker = make_batches(
                store, recipe.model, recipe.objectives, recipe.samples, seed=0, subset="all"
            )
            model = build_model(recipe.model, seed=0).train()
            runs[weight] = (recipe, maker, model, Optimiser(model, recipe.optim))
        times: dict[int, list[float]] = {0: [], 1: []}
        making: list[float] = []
        for step in range(chosen.steps + 2):
            for weight, (recipe, maker, model, optimiser) in runs.items():
                rows = row_order(maker.table, recipe)(step)
                begin = time.process_time()
                optimiser_step(
                    model,
                    maker,
                    optimiser,
                    rows,
                    step=step,
                    lr=1e-4,
                    objectives=recipe.objectives,
                    train=recipe.train,
                    clip=1.0,
                    place=Place(torch.device("cpu"), False, ()),
                    ranks=Ranks(),
                )
                times[weight].append(time.process_time() - begin)
            begin = time.process_time()
            runs[1][1](rows, step)
            making.append(time.process_time() - begin)
        without, with_it = (statistics.median(times[weight][2:]) for weight in (0, 1))
        recipe, maker = runs[1][:2]
        sites = maker(rows, 0).motif_sites
        codes = torch.from_numpy(np.array(store.genome[: 200 * 300]).reshape(200, 300).copy())
        codes[3, 100:120] = 4
        print(
            f"{chosen.recipe} {chosen.size}, {recipe.model.motif_sites} columns of"
            f" {len(store.motifs)} motifs, batch {len(rows)}, sites {int(sites.sum()):,} of"
            f" {sites.numel():,} entries"
        )
        print(f"step without {without * 1e3:.1f} ms, with {with_it * 1e3:.1f} ms CPU time")
        a_batch = statistics.median(making) * 1e3
        print(f"ratio {with_it / without:.3f}; making a batch {a_batch:.1f} ms")
        print(f"largest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
        print(f"{check(store, codes):,} sites of 60,000 bases: the same as motifs.scan")


if __name__ == "__main__":
    main()
