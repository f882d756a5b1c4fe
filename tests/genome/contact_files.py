"""Small contact maps, as text of every layout."""

import gzip

import numpy as np

ROWS = [(0, 0, 8), (0, 100, 2), (100, 200, 4), (200, 200, 6)]


DENSE = np.array([[8, 2, 0], [2, 0, 4], [0, 4, 6]], np.float32)


CENTRES = np.array([50, 150, 250])


def write(folder, how):
    text = {
        "three": "#bin1\tbin2\tcount\n" + "".join(f"{a}\t{b}\t{c}\n" for a, b, c in ROWS),
        "header": "bin1\tbin2\tcount\n" + "".join(f"{a}\t{b}\t{c}\n" for a, b, c in ROWS),
        "four": "".join(f"chr7\t{a}\t{b}\t{c}\n" for a, b, c in ROWS) + "chr8\t0\t300\t5\n",
        "seven": (
            "".join(f"chr7\t{a}\t{a + 100}\tchr7\t{b}\t{b + 100}\t{c}\n" for a, b, c in ROWS)
            + "chr7\t0\t100\tchr8\t0\t100\t9\n"
        ),
        "both-triangles": "".join(f"{a}\t{b}\t{c}\n" for a, b, c in ROWS) + "100\t0\t2\n",
    }
    path = folder / "map.chr7_part.tsv.gz"
    path.write_bytes(gzip.compress(text[how].encode()))
    return path
