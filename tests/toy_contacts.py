"""A toy genome whose loci are of two kinds, and contacts between those of one kind."""

import numpy as np

LETTERS = np.array(list("ACGT"))
STEP = 100  # bases of a bin


def write_contacts(folder, bins=24, chroms=("chr1", "chr2", "chr3"), seed=0):
    """genome.fa and map.tsv (chrom, bin starts, count): bins rich in G and C touch each other.

    Returns
    -------
    dict of path, by option's name: data, genome; and kinds, bool (chromosomes, bins)
    """
    rng = np.random.default_rng(seed)
    fasta, lines = [], []
    kinds = rng.random((len(chroms), bins)) < 0.5
    for name, rich in zip(chroms, kinds, strict=True):
        share = np.where(rich, 0.8, 0.2)
        bases = [rng.choice(4, STEP, p=np.array([1 - s, s, s, 1 - s]) / 2) for s in share]
        fasta.append(f">{name}\n{''.join(LETTERS[np.concatenate(bases)])}")
        for i in range(bins):
            for j in range(i, bins):
                alike = rich[i] == rich[j]
                count = 1 + int(40 / (1 + j - i)) * (3 if alike else 1)
                lines.append(f"{name}\t{i * STEP}\t{j * STEP}\t{count}")
    files = {"genome": folder / "genome.fa", "data": folder / "map_100bp.tsv"}
    files["genome"].write_text("\n".join(fasta) + "\n")
    files["data"].write_text("\n".join(lines) + "\n")
    return files, kinds
