"""Row 2: 6-mer ids, stride 1, against `tokenizers` WordLevel with the join it needs.

Ours reads base codes, the peer letters: its k-mers are joined with spaces, split again and looked
up in DNABERT's vocabulary. Same windows, no special tokens, one thread each.

    python benchmarks/row02_kmer_ids.py [--plain]

`--plain` measures our numpy path, as on a machine without numba.
"""

import argparse
import os
import time

for _name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"

WIDTH, K, N = 515, 6, 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plain", action="store_true", help="our path without numba")
    arguments = parser.parse_args()
    if arguments.plain:
        os.environ["EPILM_NO_NUMBA"] = "1"

    import numpy as np
    from harness import compare, write_row
    from row01_masked_sample import peer_tokenizer

    from epilm.tokens.kmers import kmer_ids

    generator = np.random.default_rng(0)
    codes = generator.integers(0, 4, (N, WIDTH), dtype=np.uint8)
    codes[3, 100:103] = 4
    sequences = [np.frombuffer(b"ACGTN", dtype=np.uint8)[row].tobytes().decode() for row in codes]
    tokenizer = peer_tokenizer()

    # As in a loader that runs for days, the result goes where the last batch was; a fresh array a
    # call, in a loop of its own, is measured too (ours_fresh_s).
    out = np.empty((N, WIDTH - K + 1), dtype=np.int64)

    def ours():
        return kmer_ids(codes, K, out=out)

    def peer():
        texts = [" ".join([s[i : i + K] for i in range(len(s) - K + 1)]) for s in sequences]
        # The faster of its calls: no offsets.
        return [
            encoded.ids for encoded in tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ]

    def check(a, b):
        assert a.tolist() == b
        return f"{a.size:,} ids equal, {int((a == 1).sum())} of them [UNK]"

    row = compare(
        "row 2: 6-mer ids, stride 1" + (" (numpy, no numba)" if arguments.plain else ""),
        ours,
        peer,
        check=check,
        rounds=25,
        goal=100,
        stretch=500,
        peer_name="tokenizers WordLevel, with the join",
        setup_note=f"{N} windows of {WIDTH} bp into a reused array, 1 thread",
        threads=1,
    )
    fresh = []
    for _ in range(11):
        start = time.perf_counter()
        kept = kmer_ids(codes, K)
        fresh.append(time.perf_counter() - start)
        del kept
    row["ours_fresh_s"] = min(fresh)
    filling = []
    for _ in range(51):
        start = time.perf_counter()
        out.fill(7)
        filling.append(time.perf_counter() - start)
    what = (
        "passes over the bases, one a letter of the k-mer"
        if arguments.plain
        else "a look-up a base"
    )
    row["bound"] = (
        f"writing 8 bytes a token, {min(filling) / row['ours_s']:.0%} of the time (a bare fill of"
        f" the array), and {what}"
    )
    row["ours_ns_per_token"] = row["ours_s"] / (N * (WIDTH - K + 1)) * 1e9
    row["peer_ns_per_token"] = row["peer_s"] / (N * (WIDTH - K + 1)) * 1e9
    row["command"] += " --plain" if arguments.plain else ""
    write_row(row, "row02_plain.json" if arguments.plain else "row02.json")


if __name__ == "__main__":
    main()
