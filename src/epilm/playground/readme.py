"""The README.md that lies beside the simulated files."""

from epilm.playground.ground_plan import Size

# File or files -> what they hold; {...} is filled in from the size.
_FILES = (
    ("`genome.fa`, `genome.fa.fai`, `chrom.sizes`", "bases; repeats in lower case; gaps as N"),
    (
        "`peaks/<cell>.narrowPeak.gz`",
        "accessible regions of each cell type, ends up to 15 bp off the truth",
    ),
    (
        "`counts.h5ad`, `counts/matrix.mtx.gz` + `peaks.tsv` + `cells.tsv`",
        "reads of single cells: cells x regions, and regions x cells (label column `cell_type`)",
    ),
    ("`motifs.jaspar`", "the 36 planted motifs, counts"),
    (
        "`states/<cell>.bed.gz`",
        "chromatin states, 200 bp bins, 15 states `i_Name`, runs merged; gaps missing",
    ),
    (
        "`signals/<cell>.accessibility.bw`",
        "accessibility, reads per base; nothing where closed",
    ),
    ("`signals/mappability.bw`", "mappability 0 to 1; nothing in gaps"),
    (
        "`chip/<cell>.<factor>.conservative.narrowPeak.gz`, `... relaxed ...`",
        "binding of {chip}",
    ),
    (
        "`promoters.bed`, `promoters.tsv`, `promoters/{{train,dev,test}}.tsv`",
        "transcription starts; 70 bp cores and negatives as 6-mers with labels (DNABERT layout),"
        " all, and split by place as truth.json says",
    ),
    (
        "`genes.gtf`, `splice.tsv`",
        "transcripts; splice junctions in SpliceAI's canonical layout (1-based)",
    ),
    (
        "`expression.tsv`",
        "transcripts per million, genes x cell types: of the open promoter, bound sites and open"
        " distal regions near it",
    ),
    ("`variants.vcf.gz`", "variants with their planted effect in INFO (bgzip)"),
    (
        "`contacts.cool`, `contacts/<chrom>.tsv.gz`",
        "raw contacts, {contact_bin:,} bp bins; three columns, upper triangle (the .cool needs the"
        " package cooler)",
    ),
    ("`blacklist.bed`", "assembly gaps and the copies of one repeat family"),
    ("`truth.json`", "programmes, grammar, rules, splits"),
    (
        "`truth_sites.tsv.gz`",
        "every planted site: place, strand, factor, kind, region, cell types in which it is bound",
    ),
    (
        "`truth_regions.tsv.gz`",
        "every region: kind, programme, domain, cell types in which it is open or primed",
    ),
)

_TEXT = """# SIMULATED data: an invented genome

Made by `epilm simulate --size {name} --seed {seed}`. **Nothing here is a measurement.**
{bases:,} bp in {chroms} chromosomes, cell types {cells}. The motifs are real (JASPAR 2018,
CC BY 4.0, Khan et al. 2018, Nucleic Acids Research 46: D260-D266); where they stand and what they
do is invented. Coordinates in BED files are 0-based and half-open.

| file | what |
|---|---|
{files}

Kinds of site: `programme` (a lead factor), `pair` (two factors at their preferred spacing),
`apart` (the same two at a wrong spacing: hardly bound), `promoter`, `core` (TATA box), `extra` (a
factor without a role), `decoy` (closed ground: never bound).
"""


def readme_text(size: Size, seed: int) -> str:
    """What each file of a playground is, and that all of it is simulated."""
    files = "\n".join(f"| {name} | {what} |" for name, what in _FILES)
    files = files.format(chip=", ".join(size.chip), contact_bin=size.contact_bin)
    return _TEXT.format(
        name=size.name,
        seed=seed,
        bases=sum(size.chroms),
        chroms=len(size.chroms),
        cells=", ".join(size.cell_types),
        files=files,
    )
