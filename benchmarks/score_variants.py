"""Variants scored, against one pass a variant over the same model.

Ours: `epilm.variants` as it is: each different window once (variants of a place share the window of
REF, SNVs of a place the one with the hidden k-mers), passes of one shape. Peer: variant by variant,
strand by strand, REF and ALT in one pass of the encoder and in one more with the k-mers hidden.
Dense: every SNV and every deletion of a base over a stretch, as in saturation mutagenesis (and the
SNVs alone). Sparse: an SNV every 34 bp, as in a panel of people. Checked in the same run: the
scores agree, and ours are the same bytes alone, in batches of 64 and shuffled.

    python benchmarks/score_variants.py [--bases 24] [--window 200] [--hidden 128] [--grid 32]
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bases", type=int, default=24, help="of the dense stretch")
    parser.add_argument("--window", type=int, default=200)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--grid", type=int, default=32)
    arguments = parser.parse_args()

    import numpy as np
    import torch
    from harness import compare, write_row

    from epilm.hub.load import Loaded
    from epilm.models.from_spec import build_model
    from epilm.models.model_spec import EncoderSpec, ModelSpec
    from epilm.tokens.kmers import MASK, kmer_ids, wrap
    from epilm.variants.haplotypes import Change, Windowing, make_pairs
    from epilm.variants.pair_scores import score_changes
    from epilm.variants.pretrained_scorer import PretrainedScorer, touched_tokens

    torch.set_num_threads(1)
    width, k = arguments.window, 6
    hidden, heads = arguments.hidden, max(1, arguments.hidden // 32)
    spec = ModelSpec(
        name="dbert",
        streams=("dna",),
        k=k,
        encoder=EncoderSpec(
            hidden=hidden,
            layers=arguments.layers,
            heads=heads,
            ffn=4 * hidden,
            max_positions=width,
        ),
        max_tokens=width - k + 3,
        next_segment="none",
        projection="none",
        projection_dim=hidden,
    )
    loaded = Loaded(build_model(spec, seed=1).eval(), spec, {}, Path("benchmark"))
    bases = np.random.default_rng(0).integers(0, 4, 40 * width).astype(np.uint8)

    class Genome:
        sizes: ClassVar = {"chr1": len(bases)}

        def codes(self, chrom: str) -> np.ndarray:
            return bases

    def snvs(at: int) -> list[Change]:
        ref = "ACGT"[bases[at]]
        return [Change("chr1", at, ref, alt) for alt in "ACGT" if alt != ref]

    stretch = range(2 * width, 2 * width + arguments.bases)
    dense = [
        each for at in stretch for each in (*snvs(at), Change("chr1", at, "ACGT"[bases[at]], ""))
    ]
    dense_snvs = [each for at in stretch for each in snvs(at)]
    sparse = [snvs(2 * width + 34 * i)[0] for i in range(2 * arguments.bases)]

    def one_pass_a_variant(
        changes: list[Change], windowing: Windowing, vectors: bool
    ) -> dict[str, np.ndarray]:
        """The plain way: log-odds, and vectors where asked, of one pair after the other."""
        encoder, head = loaded.encoder, loaded.model.masked_head
        l2, llr = np.zeros(len(changes)), np.zeros(len(changes))
        for row, change in enumerate(changes):
            pairs, alt_first = make_pairs(Genome(), [change], windowing)
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
                llr[row] += (means[1] - means[0]) * (-1 if alt_first[0] else 1) / 2
        return {"llr_delta": llr} | ({"l2": l2} if vectors else {})

    cases = (
        ("dense SNVs", dense_snvs, ["llr"], 1),
        ("dense", dense, ["llr"], 1),
        ("dense", dense, None, 1),
        ("dense", dense, None, arguments.grid),
        ("sparse", sparse, None, 1),
        ("sparse", sparse, None, arguments.grid),
    )
    for number, (title, changes, scores, grid) in enumerate(cases, 1):
        windowing = Windowing(width, grid=grid)
        scorer = PretrainedScorer(loaded, scores)

        def ours(
            changes: list[Change] = changes,
            scorer: PretrainedScorer = scorer,
            windowing: Windowing = windowing,
        ) -> dict[str, np.ndarray]:
            return score_changes([scorer], changes, Genome(), windowing)

        def check(
            mine: dict[str, np.ndarray],
            theirs: dict[str, np.ndarray],
            changes: list[Change] = changes,
            ours: Callable[..., dict[str, np.ndarray]] = ours,
        ) -> str:
            for name in set(mine) & set(theirs):
                assert np.allclose(mine[name], theirs[name], rtol=1e-3, atol=1e-5), name
            order = np.random.default_rng(1).permutation(len(changes))
            shuffled = ours([changes[i] for i in order])
            alone = [ours([changes[i]]) for i in range(0, len(changes), 8)]
            blocks = [ours(changes[at : at + 64]) for at in range(0, len(changes), 64)]
            for name, values in mine.items():
                assert np.array_equal(shuffled[name], values[order]), name
                joined = np.concatenate([block[name] for block in blocks])
                assert np.array_equal(joined, values), name
                assert np.array_equal(np.concatenate([one[name] for one in alone]), values[::8])
            return f"{len(changes)} variants agree; same bytes alone, in 64 and shuffled"

        row = compare(
            f"variants, {title}, {'all scores' if scores is None else 'llr alone'}, grid {grid}",
            ours,
            lambda changes=changes, windowing=windowing, vectors=scores is None: one_pass_a_variant(
                changes, windowing, vectors
            ),
            check=check,
            goal=5,
            peer_name="one pass a variant, of the same scores",
            setup_note=(
                f"{len(changes)} variants, windows of {width} bp, hidden {hidden},"
                f" {arguments.layers} layers, 1 thread"
            ),
        )
        write_row(row, f"score_variants_{number}.json")


if __name__ == "__main__":
    main()
