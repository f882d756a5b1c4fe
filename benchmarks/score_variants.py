"""Variants scored, against one pass a variant over the same model.

Ours: `epilm.variants` as it is: each different window once (variants of a place share the window of
REF, SNVs of a place the one with the hidden k-mers), tokens that are not read ask nothing in the
last attention, passes of one shape; on a grid, of a small CNN or FactorNet's kind, what the cell
reaches in copies of one window. Peer: variant by variant, REF and ALT in one pass; strand by strand
where the network does not read both by itself, and in one pass more with the k-mers hidden.
Dense: every SNV (and every deletion of a base) over a stretch, as in saturation mutagenesis.
Sparse: an SNV every 34 bp, as in a panel of people. Checked in the same run: the scores agree, and
ours are the same bytes alone, in batches of 64 and shuffled.

    python benchmarks/score_variants.py [--models pretrained cnn factornet dilated] [--grid 32]

Writes score_variants_N.json of the pre-trained model, and score_variants_MODEL_N.json.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402

# Bases of the dense stretch: as many as let the peer end in a second or two.
BASES = {"pretrained": 24, "cnn": 32, "factornet": 32, "dilated": 8}
APART = 34  # bp between sparse SNVs
TASK_WINDOW = 1000  # bp of the task models
CONTEXT = 2000  # bp that the dilated network sees beside a base
SPARSE_GRID = 128  # holds four of the sparse SNVs, and few enough bases to compute anew


class Case(NamedTuple):
    """One comparison: what is scored, both ways."""

    title: str
    changes: list[Any]
    ours: Callable[[list[Any]], dict[str, np.ndarray]]
    peer: Callable[[list[Any]], dict[str, np.ndarray]]
    setup: str
    bound: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--bases", type=int, help="of the dense stretch")
    parser.add_argument("--window", type=int, default=200, help="of the pre-trained model")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--grid", type=int, default=32)
    arguments = parser.parse_args()
    import torch
    from harness import write_row

    from epilm.training.heap import kept_heap

    torch.set_num_threads(1)
    for model in arguments.models:
        world = World(arguments.bases or BASES[model])
        for number, case in enumerate(MODELS[model](world, arguments), 1):
            with kept_heap(torch.device("cpu")):  # both sides, as `work.score_block`
                row = measured(case)
            suffix = "" if model == "pretrained" else f"{model}_"
            write_row(row, f"score_variants_{suffix}{number}.json")


def measured(case: Case) -> dict[str, Any]:
    """Time one comparison."""
    from harness import compare

    return compare(
        f"variants, {case.title}",
        lambda: case.ours(case.changes),
        lambda: case.peer(case.changes),
        check=lambda mine, theirs: agree(case, mine, theirs),
        goal=5,
        peer_name="one pass a variant, of the same scores",
        setup_note=f"{len(case.changes)} variants, {case.setup}, 1 thread, processor time",
        threads=1,
        bound=case.bound,
        clock=time.process_time,
    )


def agree(case: Case, mine: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> str:
    """Check that both ways say the same, and ours whatever stands beside a variant."""
    changes, ours = case.changes, case.ours
    for name in theirs:
        assert np.allclose(mine[name], theirs[name], rtol=1e-3, atol=1e-5), name
    order = np.random.default_rng(1).permutation(len(changes))
    shuffled = ours([changes[i] for i in order])
    alone = [ours([changes[i]]) for i in range(0, len(changes), 8)]
    blocks = [ours(changes[at : at + 64]) for at in range(0, len(changes), 64)]
    same: dict[str, Any] = {"equal_nan": True}
    for name, values in mine.items():
        assert np.array_equal(shuffled[name], values[order], **same), name
        joined = np.concatenate([block[name] for block in blocks])
        assert np.array_equal(joined, values, **same), name
        assert np.array_equal(np.concatenate([one[name] for one in alone]), values[::8], **same)
    return f"{len(changes)} variants agree; same bytes alone, in 64 and shuffled"


class World:
    """A genome of random bases, and variants in its middle."""

    sizes: ClassVar = {"chr1": 12_000}

    def __init__(self, bases: int) -> None:
        self._codes = np.random.default_rng(0).integers(0, 4, 12_000).astype(np.uint8)
        stretch = range(5000, 5000 + bases)
        self.dense_snvs = [each for at in stretch for each in self._snvs(at)]
        self.dense = [each for at in stretch for each in (*self._snvs(at), self._change(at, ""))]
        self.sparse = [self._snvs(5000 + APART * i)[0] for i in range(2 * bases)]

    def codes(self, chrom: str) -> np.ndarray:
        """As `tasks.reference.Reference`."""
        return self._codes

    def _change(self, at: int, alt: str) -> Any:
        from epilm.variants.haplotypes import Change

        return Change("chr1", at, "ACGT"[self._codes[at]], alt)

    def _snvs(self, at: int) -> list[Any]:
        return [self._change(at, alt) for alt in "ACGT" if alt != "ACGT"[self._codes[at]]]

    def pairs(self, change: Any, windowing: Any) -> tuple[Any, bool]:
        """Windows of one change, and whether ALT is the first of the two."""
        from epilm.variants.haplotypes import make_pairs

        pairs, alt_first = make_pairs(self, [change], windowing)
        return pairs, bool(alt_first[0])


def pretrained(world: World, arguments: argparse.Namespace) -> Iterator[Case]:
    """Masked log-odds, and all scores, of a transformer."""
    import torch

    from epilm.hub.load import Loaded
    from epilm.models.from_spec import build_model
    from epilm.models.model_spec import EncoderSpec, ModelSpec
    from epilm.tokens.kmers import MASK, kmer_ids, wrap
    from epilm.variants.haplotypes import Windowing
    from epilm.variants.pair_scores import score_changes
    from epilm.variants.pretrained_scorer import PretrainedScorer, touched_tokens

    width, k, hidden = arguments.window, 6, arguments.hidden
    encoder = EncoderSpec(
        hidden=hidden,
        layers=arguments.layers,
        heads=max(1, hidden // 32),
        ffn=4 * hidden,
        max_positions=width,
    )
    spec = ModelSpec(
        name="dbert",
        streams=("dna",),
        k=k,
        encoder=encoder,
        max_tokens=width - k + 3,
        next_segment="none",
        projection="none",
        projection_dim=hidden,
    )
    loaded = Loaded(build_model(spec, seed=1).eval(), spec, {}, Path("benchmark"))

    def one_pass_a_variant(
        changes: list[Any], windowing: Windowing, vectors: bool
    ) -> dict[str, np.ndarray]:
        """The plain way: log-odds, and vectors where asked, of one pair after the other."""
        encoder, head = loaded.encoder, loaded.model.masked_head
        l2, llr = np.zeros(len(changes)), np.zeros(len(changes))
        for row, change in enumerate(changes):
            pairs, alt_first = world.pairs(change, windowing)
            for read in (pairs, pairs.turned()):
                if vectors:
                    first, second = loaded.embed(list(read.codes[0]), batch_size=2)
                    l2[row] += np.linalg.norm(first.astype(float) - second) / 2
                bare = torch.from_numpy(kmer_ids(read.codes[0], k).astype(np.int64))
                ids, mask = wrap(bare)
                masked, at = ids.clone(), []
                for side in range(2):
                    touched = touched_tokens(
                        int(read.begin[0, side]), int(read.ends[0, side]), bare.shape[1], k
                    )
                    masked[side, touched + 1] = MASK
                    at.append(torch.from_numpy(touched + 1))
                asked = torch.cat([at[0], at[1] + ids.shape[1]])
                with torch.inference_mode():
                    hidden_states, _ = encoder(masked, None, mask, rows=asked)
                    odds = head(hidden_states).double().log_softmax(-1)
                own = odds.gather(1, ids.flatten()[asked][:, None])[:, 0]
                means = [float(part.mean()) for part in own.split([len(one) for one in at])]
                llr[row] += (means[1] - means[0]) * (-1 if alt_first else 1) / 2
        return {"llr_delta": llr} | ({"l2": l2} if vectors else {})

    for title, changes, scores, grid in (
        ("dense SNVs", world.dense_snvs, ["llr"], 1),
        ("dense", world.dense, ["llr"], 1),
        ("dense", world.dense, None, 1),
        ("dense", world.dense, None, arguments.grid),
        ("sparse", world.sparse, None, 1),
        ("sparse", world.sparse, None, arguments.grid),
    ):
        windowing = Windowing(width, grid=grid)
        scorer = PretrainedScorer(loaded, scores)
        yield Case(
            f"{title}, {'all scores' if scores is None else 'llr alone'}, grid {grid}",
            changes,
            lambda some, scorer=scorer, windowing=windowing: score_changes(
                [scorer], some, world, windowing
            ),
            lambda some, windowing=windowing, vectors=scores is None: one_pass_a_variant(
                some, windowing, vectors
            ),
            f"windows of {width} bp, hidden {hidden}, {arguments.layers} layers",
            None if scores else "an ALT's vector needs a pass of its own on each strand",
        )


def over_bases(kind: str, world: World, arguments: argparse.Namespace) -> Iterator[Case]:
    """The log-odds of a task model that reads bases, and both strands by itself."""
    import torch

    from epilm.batch import Windows
    from epilm.device import choose_place
    from epilm.finetuning.finetuned import BARE, Finetuned
    from epilm.finetuning.scorer import ModelScorer
    from epilm.models.networks import build_network
    from epilm.variants.haplotypes import Windowing
    from epilm.variants.pair_scores import score_changes
    from epilm.variants.task_scorer import TaskScorer

    about = {
        "task": "sequences",
        "kind": kind,
        "labels": {"kind": "classes", "names": ["0", "1"]},
        "head": {"window_bp": TASK_WINDOW} if kind == "factornet" else {},
        "strands": "both",
    }
    network = build_network(None, about, seed=1).eval()
    score = ModelScorer(Finetuned(network, BARE, about), choose_place("cpu", "fp32"))
    ids = torch.zeros(2, 1, dtype=torch.int64)

    def one_pass_a_variant(changes: list[Any], windowing: Windowing) -> dict[str, np.ndarray]:
        out = np.zeros(len(changes))
        for row, change in enumerate(changes):
            pairs, alt_first = world.pairs(change, windowing)
            with torch.inference_mode():
                windows = Windows(ids, ids == 0, codes=torch.from_numpy(pairs.codes[0]))
                first, second = (row[1] - row[0] for row in network(windows).double())
            out[row] = float(first - second if alt_first else second - first)
        return {"logit_1_delta": out}

    for title, changes, grid in (
        ("dense SNVs", world.dense_snvs, 1),
        ("dense SNVs", world.dense_snvs, arguments.grid),
        ("dense", world.dense, arguments.grid),
        ("sparse", world.sparse, 1),
        ("sparse", world.sparse, SPARSE_GRID),
    ):
        windowing, scorer = Windowing(TASK_WINDOW, grid=grid), TaskScorer(score)
        yield Case(
            f"{NAMES[kind]}, {title}, grid {grid}",
            changes,
            lambda some, scorer=scorer, windowing=windowing: score_changes(
                [scorer], some, world, windowing
            ),
            lambda some, windowing=windowing: one_pass_a_variant(some, windowing),
            f"windows of {TASK_WINDOW} bp, as fine-tuning builds it, both strands",
            WINDOW_EACH if grid == 1 else FEW_IN_A_CELL if title == "sparse" else None,
        )


def dilated(world: World, arguments: argparse.Namespace) -> Iterator[Case]:
    """Splice sites gained and lost of SpliceAI's network, on both strands."""
    import torch

    from epilm.batch import Windows
    from epilm.device import choose_place
    from epilm.finetuning.finetuned import BARE, Finetuned
    from epilm.finetuning.scorer import ModelScorer
    from epilm.genome.sequence import encode, reverse_complement
    from epilm.models.networks import build_network
    from epilm.variants.splice_scorer import DISTANCE, SpliceScorer

    about = {
        "task": "splice",
        "kind": "dilated",
        "labels": {
            "kind": "bases",
            "names": ["neither", "acceptor", "donor"],
            "temperature": 1.0,
            "site_weight": 1.0,
        },
        "head": {},
        "window_bp": 100 + CONTEXT,
        "width": 100,
    }
    network = build_network(None, about, seed=1).eval()
    score = ModelScorer(Finetuned(network, BARE, about), choose_place("cpu", "fp32"))
    reach = DISTANCE + CONTEXT // 2
    ids = torch.zeros(2, 1, dtype=torch.int64)

    def one_pass_a_variant(changes: list[Any]) -> dict[str, np.ndarray]:
        bases, out = world.codes("chr1"), np.zeros(len(changes))
        for row, (_, at, _, alt) in enumerate(changes):
            ref = bases[at - reach : at + reach + 1]
            other = ref.copy()
            other[reach] = encode(alt)[0]
            two = np.stack([ref, other])
            for read in (two, reverse_complement(two)):
                windows = Windows(ids, ids == 0, codes=torch.from_numpy(read))
                with torch.inference_mode():
                    chances = network(windows).double().softmax(-1)[..., 1:].numpy()
                out[row] = max(out[row], float(np.abs(chances[1] - chances[0]).max()))
        return {"DS_max": out}

    for title, changes, grid in (
        ("dense SNVs", world.dense_snvs, 1),
        ("dense SNVs", world.dense_snvs, arguments.grid),
        ("sparse", world.sparse, 1),
    ):
        scorer = SpliceScorer(score, grid=grid)
        yield Case(
            f"{NAMES['dilated']}, {title}, grid {grid}",
            changes,
            lambda some, scorer=scorer: scorer(some, world),
            one_pass_a_variant,
            f"32 channels, context {CONTEXT:,}, both strands",
            "an ALT needs a window of its own on each strand, and a base reaches all that is asked",
        )


WINDOW_EACH = "a window of its own for each place: what neighbours share begins with a grid"
FEW_IN_A_CELL = "four variants a cell share its window"
NAMES = {
    "cnn": "small CNN",
    "factornet": "FactorNet's kind",
    "dilated": f"SpliceAI's network, context {CONTEXT:,}",
}
MODELS: dict[str, Callable[[World, argparse.Namespace], Iterator[Case]]] = {
    "pretrained": pretrained,
    "cnn": lambda world, arguments: over_bases("cnn", world, arguments),
    "factornet": lambda world, arguments: over_bases("factornet", world, arguments),
    "dilated": dilated,
}


if __name__ == "__main__":
    main()
