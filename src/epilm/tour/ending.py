"""The end of the demo: a locus explained base by base, and single changes whose effect is known.

What is asked of the fine-tuned model here, nobody told it: which bases of a site count, and which
change of a base breaks it. The playground knows both.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from epilm.atomic import write_json

if TYPE_CHECKING:
    from epilm.tour.demo import DemoPlan

EXPLAINED, VARIANTS = "explained", "variants"
LOCUS, SITES, WHY, EXPLORER, TRUTH = "locus.bed", "planted.bed", "why", "locus.html", "truth.json"
CHANGES, TABLE = "planted.tsv", "table.tsv"
MOST_SITES = 60  # each is broken once, and has one neutral change beside it
BESIDE = 45  # bp on either side of a site in which its neutral change lies
FLANK, STRIDE = 300, 10  # of the explorer
Stage = Callable[[str, str, Path, Callable[[], object]], None]


class Site(NamedTuple):
    """A planted site; `strand` is 1 or -1."""

    chrom: str
    start: int
    end: int
    strand: int
    motif: str


class KnownChange(NamedTuple):
    """A substitution of one base, 0-based; `causal` is 1 where it breaks a planted site."""

    chrom: str
    start: int
    ref: str
    alt: str
    causal: int


def planted_sites(data: Path, factor: str | None, cell: str | None) -> list[Site]:
    """Read the planted sites of a factor that are bound in a cell type; of all where None."""
    import pandas as pd

    path = data / "truth_sites.tsv.gz"
    table = pd.read_csv(
        path, sep="\t", dtype={"bound": str}, keep_default_na=False, float_precision="round_trip"
    )
    if factor is not None:
        table = table[table["factor"] == factor]
    if cell is not None:
        table = table[[cell in bound.split("|") for bound in table["bound"]]]
    columns = (table[name].tolist() for name in ("chrom", "start", "end", "strand", "motif"))
    return [
        Site(str(chrom), int(start), int(end), -1 if strand == "-" else 1, str(motif))
        for chrom, start, end, strand, motif in zip(*columns, strict=True)
    ]


def planted_changes(
    data: Path, factor: str, cell: str, chroms: Sequence[str], seed: int, most: int = MOST_SITES
) -> list[KnownChange]:
    """Break each bound site of a factor by the one base that costs its motif most, and make the
    same change of letters beside it, where no planted site lies.

    Parameters
    ----------
    data : path
        The playground.
    factor, cell : str
    chroms : sequence of str
        Sites of these alone; of all chromosomes where these have none.
    seed : int
    most : int
        Sites.
    """
    from epilm.genome.sequence import LETTERS
    from epilm.motifs.formats import read_motifs
    from epilm.motifs.log_odds import log_odds
    from epilm.tasks.reference import open_reference

    genome = open_reference(data / "genome.fa")
    tables = {motif.id: log_odds(motif) for motif in read_motifs(data / "motifs.jaspar")}
    sites = planted_sites(data, factor, cell)
    sites = [site for site in sites if site.chrom in chroms] or sites
    everywhere = planted_sites(data, None, None)
    out: list[KnownChange] = []
    for site in sites[:most]:
        codes = genome.codes(site.chrom)
        here = codes[site.start : site.end].astype(np.int64)
        if (here > 3).any():
            continue
        read = here if site.strand > 0 else 3 - here[::-1]
        table = tables[site.motif]
        loss = table[np.arange(len(read)), read][:, None] - table
        column, base = divmod(int(loss.argmax()), loss.shape[1])
        at = site.start + column if site.strand > 0 else site.end - 1 - column
        alt = base if site.strand > 0 else 3 - base
        out.append(KnownChange(site.chrom, at, LETTERS[codes[at]], LETTERS[alt], 1))
        first, last = max(site.start - BESIDE, 0), min(site.end + BESIDE, len(codes))
        free = codes[first:last] == codes[at]  # the same letters: G+C content cannot tell them
        for other in everywhere:
            if other.chrom == site.chrom and other.start < last and other.end > first:
                free[max(other.start - first, 0) : other.end - first] = False
        if not free.any():
            continue
        rng = np.random.default_rng([seed, site.start])
        at = first + int(rng.choice(np.flatnonzero(free)))
        out.append(KnownChange(site.chrom, at, LETTERS[codes[at]], LETTERS[alt], 0))
    kept = {(each.chrom, each.start): each for each in reversed(out)}  # the first of one base
    return sorted(kept.values())


def surest_site(run: Path, sites: Sequence[Site]) -> tuple[str, int, int]:
    """Choose the window of the test rows that the model is surest of, among bound ones that hold a
    planted site whole; of all bound ones where none does.
    """
    from epilm.tasks.sequence_scores import read_predictions

    told = read_predictions(run / "predictions.tsv")
    bound = np.flatnonzero((told.split == "test") & (told.labels == 1))
    if not len(bound):
        bound = np.flatnonzero(told.labels == told.labels.max())
    holds = [
        any(
            site.chrom == told.chrom[row]
            and told.start[row] <= site.start
            and site.end <= told.end[row]
            for site in sites
        )
        for row in bound
    ]
    among = bound[holds] if any(holds) else bound
    row = int(among[told.said[among, 1].argmax()])
    return str(told.chrom[row]), int(told.start[row]), int(told.end[row])


def end_all(
    stage: Stage, plan: "DemoPlan", data: Path, store: Path, folder: Path, seed: int
) -> None:
    """Run the two stages that end part one.

    Parameters
    ----------
    stage : callable
        (name, command, target, do): does it unless the target is there.
    plan : DemoPlan
    data, store, folder : path
        The playground, its store, and the demo.
    seed : int
    """
    factor = plan.factors[0]
    run, twin = (folder / "tasks" / factor / start for start in ("genebert", "random"))
    home = folder / EXPLAINED
    stage(
        f"a locus of {factor}, every change of a base scored, and all that is known of it",
        f"epilm explain {run} --regions {home / LOCUS} --genome {data}/genome.fa --out {home / WHY}"
        f"\nepilm explore {run} {twin} --loci {home / LOCUS} --flank {FLANK} --stride {STRIDE}"
        f" --store {store} --cells {plan.cell} --genes {data}/genes.gtf --attributions"
        f" {home / WHY} --track 'planted sites={home / SITES}' --out {home / EXPLORER}",
        home / TRUTH,
        lambda: _explain(plan, factor, data, store, (run, twin), home),
    )
    home = folder / VARIANTS
    words = f"--genome {data}/genome.fa --window 101 --truth causal"
    stage(
        f"single changes: {factor}'s planted sites broken, and neutral ones beside them",
        f"epilm score-variants {home / CHANGES} --model {run} {words} --motifs {data}/motifs.jaspar"
        f" --motif-columns largest --out {home}/pretrained.tsv\n"
        f"epilm score-variants {home / CHANGES} --model {twin} {words} --out {home}/random.tsv\n"
        f"epilm report {home}/pretrained.tsv",
        home / TABLE,
        lambda: _score(plan, factor, data, (run, twin), home, seed),
    )


def _explain(
    plan: "DemoPlan",
    factor: str,
    data: Path,
    store: Path,
    runs: tuple[Path, Path],
    home: Path,
) -> None:
    from epilm.explaining.explain import explain
    from epilm.exploring.explore import explore
    from epilm.exploring.explore_choices import Sources, View

    sites = planted_sites(data, factor, plan.cell)
    chrom, start, end = surest_site(runs[0], sites)
    near = [
        site
        for site in planted_sites(data, None, None)
        if site.chrom == chrom and site.start < end + FLANK and site.end > start - FLANK
    ]
    names = dict(_names(data))
    home.mkdir(parents=True, exist_ok=True)
    (home / LOCUS).write_text(f"{chrom}\t{start}\t{end}\t{factor}_site\n", encoding="utf-8")
    lines = [
        f"{s.chrom}\t{s.start}\t{s.end}\t{names[s.motif]}\t0\t{'-' if s.strand < 0 else '+'}\n"
        for s in near
    ]
    (home / SITES).write_text("".join(lines), encoding="utf-8")
    done = explain(
        runs[0],
        home / LOCUS,
        home / WHY,
        genome=[data / "genome.fa"],
        overwrite=True,
        say=lambda line: None,
    )
    explore(
        list(runs),
        [home / LOCUS],
        home / EXPLORER,
        sources=Sources(
            store=store,
            genes=data / "genes.gtf",
            attributions=[str(home / WHY)],
            track=[f"planted sites={home / SITES}"],
        ),
        view=View(cells=[plan.cell], flank=FLANK, stride=STRIDE),
        title=f"A site of {factor}, explained (simulated)",
        say=lambda line: None,
    )
    mine = [site for site in sites if site.chrom == chrom]
    write_json(home / TRUTH, _against_sites(done.maps[0], mine))


def _names(data: Path) -> list[tuple[str, str]]:
    from epilm.motifs.formats import read_motifs

    return [(motif.id, motif.name) for motif in read_motifs(data / "motifs.jaspar")]


def _against_sites(each: Any, sites: Sequence[Site]) -> dict[str, Any]:
    """How well the scores of bases find those of planted sites; JSON values."""
    from epilm.metrics.curves import ap

    planted = np.zeros(len(each), bool)
    for site in sites:
        first = max(site.start - each.region.start, 0)
        planted[first : max(site.end - each.region.start, 0)] = True
    scores = np.nan_to_num(each.scores)
    best = np.argsort(-scores, kind="stable")[: int(planted.sum())]
    both = bool(planted.any() and not planted.all())
    return {
        "bases": len(each),
        "planted": int(planted.sum()),
        "auprc": float(ap(planted.astype(np.int8), scores)) if both else None,
        "best_in_site": int(planted[best].sum()),
    }


def _score(
    plan: "DemoPlan",
    factor: str,
    data: Path,
    runs: tuple[Path, Path],
    home: Path,
    seed: int,
) -> None:
    from epilm.plots.page import write_page
    from epilm.variants.judging import judge, read_truth
    from epilm.variants.kept_judgement import keep_judgement
    from epilm.variants.score import score_variants
    from epilm.variants.scores_page import variants_page

    changes = planted_changes(data, factor, plan.cell, plan.test, seed)
    home.mkdir(parents=True, exist_ok=True)
    lines = ["chrom\tpos\tref\talt\tid\tcausal\n"]
    lines += [
        f"{c.chrom}\t{c.start + 1}\t{c.ref}\t{c.alt}\t{factor}_{n}\t{c.causal}\n"
        for n, c in enumerate(changes)
    ]
    (home / CHANGES).write_text("".join(lines), encoding="utf-8")
    truth = read_truth(home / CHANGES, ["causal"])
    rows = ["row\tscore\tauroc\tse\tn\tpositives\n"]
    for name, run, more in (
        ("pretrained", runs[0], {"motifs": data / "motifs.jaspar"}),
        ("random", runs[1], {}),
    ):
        out = home / f"{name}.tsv"
        done = score_variants(
            home / CHANGES,
            run,
            data / "genome.fa",
            out,
            window=101,
            motif_columns="largest" if more else "each",
            say=lambda line: None,
            **more,  # type: ignore[arg-type]
        )
        judged = judge(done, truth)
        keep_judgement(out, judged, done, truth, table=home / CHANGES, model=run)
        for each in judged.rows:
            own = name if each.score.startswith("logit") else each.score
            if own == name or more:  # baselines once
                said = f"{own}\t{each.score}\t{each.of_size:.6g}\t{each.se:.6g}"
                rows.append(f"{said}\t{each.n}\t{each.positives}\n")
    write_page(variants_page(home / "pretrained.tsv"), home / "pretrained.html")
    (home / TABLE).write_text("".join(rows), encoding="utf-8")
