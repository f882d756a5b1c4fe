"""Files of tracks from lines with blanks for tabs; .gz by their name."""

import gzip
from pathlib import Path

SIZES = {"chr1": 2100, "chr2": 1000}
GOOD = ("chr1 0 400 1_TssA", "chr1 400 600 2_Tx", "chr1 1000 2100 1_TssA", "chr2 200 400 10_Quies")


def bed(folder: Path, *lines: str, name: str = "liver.bed") -> Path:
    path = folder / name
    text = "".join(line.replace(" ", "\t") + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


def bedgraph(folder: Path, *lines: str, name: str = "a.bedGraph") -> Path:
    return bed(folder, *lines, name=name)
