"""A toy genome with genes on both strands, a table of their levels, and the files of both."""

import numpy as np

LETTERS = np.array(list("ACGT"))
WIDTH = 40  # bases from start to start


def write_expression(folder, genes=36, chroms=("chr1", "chr2", "chr3"), seed=0):
    """genome.fa, starts.bed and levels.tsv: level of `warm` is the share of G and C around the
    start, of `cold` its opposite, so that bases say all of it.

    Returns
    -------
    dict of path, by option's name: data, tss, genome
    """
    rng = np.random.default_rng(seed)
    fasta, bed, table = [], [], ["gene\tname\twarm\tcold"]
    for number, chrom in enumerate(chroms):
        each = genes // len(chroms)
        bases = []
        for n in range(each + 2):
            rich = rng.random()
            bases.append(rng.choice(4, WIDTH, p=np.array([1 - rich, rich, rich, 1 - rich]) / 2))
            if 0 < n <= each:
                name, strand = f"ENSG{number}{n:02d}", "+-"[n % 2]
                middle = n * WIDTH + WIDTH // 2
                # On the minus strand the base at the start is the one before the middle.
                site = middle if strand == "+" else middle - 1
                bed.append(f"{chrom}\t{site}\t{site + 1}\t{name}\t1\t{strand}")
                table.append(
                    f"{name}.1\ttext\t{np.expm1(4 * rich):.4f}\t{np.expm1(4 - 4 * rich):.4f}"
                )
        fasta.append(f">{chrom}\n{''.join(LETTERS[np.concatenate(bases)])}")
    files = {"genome": "genome.fa", "tss": "starts.bed", "data": "levels.tsv"}
    for name, lines in (("genome", fasta), ("tss", bed), ("data", table)):
        (folder / files[name]).write_text("\n".join(lines) + "\n")
    return {name: folder / file for name, file in files.items()}
