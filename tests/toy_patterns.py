"""Maps of regions with a word planted at known places of both strands, scored where it lies."""

import numpy as np

from epilm.explaining.frames import Region
from epilm.explaining.region_map import RegionMap
from epilm.genome.sequence import encode, reverse_complement

WORD = "TGACTCAGCA"


def planted(count=40, width=80, seed=0, word=WORD):
    """Maps with the word at known places of both strands, scored where it lies."""
    rng = np.random.default_rng(seed)
    maps, null, sites = [], [], []
    for number in range(count):
        codes = rng.integers(0, 4, width).astype(np.uint8)
        scores, at = 0.05 * rng.normal(size=width), int(rng.integers(12, width - 24))
        strand = 1 if number % 2 else -1
        site = encode(word)
        codes[at : at + len(word)] = site if strand > 0 else reverse_complement(site)
        scores[at : at + len(word)] += 1
        start = 1000 * number
        maps.append(RegionMap(Region("chr1", start, start + width, f"r{number}"), codes, scores))
        null.append(0.05 * rng.normal(size=width))
        sites.append((start + at, strand))
    return maps, null, sites
