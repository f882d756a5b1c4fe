"""Genome-wide prediction of bins on the CPU, against the same model fed window by window by a
PyTorch DataLoader.

Ours: the one predictor over successive bins (200 bp every 50, windows of 1,000 bp, states and two
signals), tokenised once a stretch. Peer: a Dataset whose __getitem__ cuts the window out of a
string, makes its 7-mers in a Python loop over a dict, takes the majority state and the pooled
signals of each token, and a DataLoader without workers; the same model, batch, number format and
thread. Checked: the probabilities of all bins agree. The encoder's share is said: it is the same on
both sides.

    python benchmarks/predict_bins.py [--bins 1500] [--size tiny] [--batch 256]
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bins", type=int, default=1500, help="bins predicted a round")
    parser.add_argument("--size", default="tiny", help="of the encoder")
    parser.add_argument("--batch", type=int, default=256, help="bins of a forward pass")
    arguments = parser.parse_args()

    import time

    import numpy as np
    import torch
    from ebert_plus import blocks_of, ebert_plus
    from harness import compare, write_row
    from torch.utils.data import DataLoader, Dataset

    from epilm.batch import Windows
    from epilm.device import choose_place
    from epilm.tasks.binding import grid
    from epilm.tokens.kmers import CLS, SEP, UNK, vocabulary
    from toy_tracks import toy_track_store

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = toy_track_store(folder, chroms={"chr1": 50 * arguments.bins + 3000}, n_states=15)
        model = ebert_plus(store, size=arguments.size, signals=("accessibility", "mappability"))
        place = choose_place("cpu", "fp32")
        bins = grid({"chr1": store.sizes[0]}).take(slice(0, arguments.bins))
        k, width, tokens = model.spec.k, model.reads.window_bp, 142
        letters = "".join("ACGTN"[c] for c in np.asarray(store.genome))
        words = {word: number for number, word in enumerate(vocabulary(k))}
        states = np.asarray(store.states.of(0)).repeat(store.states.bin)
        signals = [
            store.signals[name].windows([0], [0], [0], len(letters))[0]
            for name in ("accessibility", "mappability")
        ]

        class OneByOne(Dataset):
            """A window at a time, as a first version would have it."""

            def __len__(self):
                return len(bins)

            def __getitem__(self, row):
                start = int(bins.start[row]) - 400
                text = letters[start : start + width]
                ids, codes, open_, mappable = [CLS], [0], [0.0], [0.0]
                for t in range(tokens):
                    a, b = start + k * t, start + k * t + k
                    ids.append(words.get(text[k * t : k * t + k], UNK))
                    state = Counter(states[a:b].tolist()).most_common(1)[0][0]
                    codes.append(2 if state == 255 else 3 + state)
                    open_.append(float(np.log1p(signals[0][a:b].max())))
                    mappable.append(float(signals[1][a:b].min()))
                ids.append(SEP)
                for values in (codes, open_, mappable):
                    values.append(0)
                return torch.tensor(ids), torch.tensor(codes), torch.tensor([open_, mappable]).T

        def windows_of(batch):
            ids, codes, values = batch
            return Windows(ids, ids > 0, states=codes, signals=values)

        def ours():
            blocks = blocks_of(model, store, "typeA", bins, place, arguments.batch)
            return np.concatenate(list(blocks))

        def peer():
            with torch.inference_mode():
                loader = DataLoader(OneByOne(), batch_size=arguments.batch)
                return np.concatenate(
                    [model.network(windows_of(batch)).sigmoid().numpy() for batch in loader]
                )

        def check(mine, theirs):
            gap = float(np.abs(mine - theirs).max())
            assert mine.shape == theirs.shape
            assert gap < 1e-4, gap
            return f"probabilities of {len(mine):,} bins agree, largest difference {gap:.1e}"

        row = compare(
            "prediction of bins on the CPU",
            ours,
            peer,
            check=check,
            goal=1.0,
            peer_name="DataLoader, window by window",
            setup_note=(
                f"EBERT+ {arguments.size}, {arguments.bins} bins, batch {arguments.batch}, fp32, 1"
                " thread"
            ),
            threads=1,
        )
        reader, starts = model.reads.reader(store), bins.start.astype(np.int64) - 400
        began = time.perf_counter()
        for at in range(0, len(bins), arguments.batch):
            reader(
                0,
                np.zeros(len(starts[at : at + arguments.batch]), np.int64),
                starts[at : at + arguments.batch],
            )
        reading = time.perf_counter() - began
        row["bins_per_second"] = {
            "ours": arguments.bins / row["ours_s"],
            "peer": arguments.bins / row["peer_s"],
        }
        row["reading_alone_bins_per_second"] = arguments.bins / reading
        print(
            f"ours {row['bins_per_second']['ours']:,.0f} bins/s, peer"
            f" {row['bins_per_second']['peer']:,.0f}; reading alone"
            f" {row['reading_alone_bins_per_second']:,.0f} bins/s, the rest is the encoder"
        )
        write_row(row, Path(__file__).parent / "results" / f"predict_bins_{arguments.size}.json")


if __name__ == "__main__":
    main()
