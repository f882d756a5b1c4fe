"""Files of a user as tracks: what they say at each place, and what is refused."""

import gzip

import numpy as np
import pytest

from epilm.errors import InputError, UsageError
from epilm.exploring.file_tracks import file_tracks, gene_track
from epilm.exploring.loci import Stretch
from epilm.genome.genes import Gene, Genes
from epilm.genome.signals import write_bigwig

SIZES = {"chr1": 1000, "chr2": 500}
STRETCHES = [Stretch("chr1", 100, 160, 60), Stretch("chr2", 0, 50, 50)]


def file(folder, name, text):
    path = folder / name
    raw = text.replace(" ", "\t").encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def tracks(word, letters=False, column=None):
    notes = []
    made = file_tracks(
        word, STRETCHES, SIZES, number=0, letters=letters, column=column, notes=notes
    )
    return list(made), notes


def test_peaks_that_touch_a_stretch_with_what_they_say(tmp_path):
    text = "chr1 90 101 a 5 + 1.5 2 3 4\nchr1 160 170 b 5 . 1 1 1 1\nchr2 49 60 . 0 - 9 -1 -1 -1\n"
    path = file(tmp_path, "ctcf.narrowPeak.gz", text)
    (track,), notes = tracks(f"CTCF in liver={path}")
    assert (track.name, track.group, notes) == ("CTCF in liver", "peaks", [])
    (one,), (two,) = track.parts
    assert (one.start, one.end, one.name, one.strand) == (90, 101, "a", "+")
    assert one.said == {"score": "5", "signal": "1.5", "p": "2", "q": "3", "summit": "95"}
    assert (two.name, two.said) == ("", {"score": "0", "signal": "9"})


@pytest.mark.parametrize("name", ["a.bw", "a.bedGraph", "a.bdg.gz"])
def test_numbers_are_exact_to_the_base(tmp_path, name):
    if name == "a.bw":
        path = tmp_path / name
        write_bigwig(path, SIZES, [("chr1", 98, 103, 2.5), ("chr1", 159, 161, -1.0)])
    else:
        path = file(tmp_path, name, "chr1 98 103 2.5\nchr1 159 161 -1\n")
    (track,), notes = tracks(path, letters=True)
    assert (track.group, track.letters) == ("attributions", True)
    expected = np.full(60, np.nan)
    expected[:3], expected[59] = 2.5, -1
    np.testing.assert_array_equal(track.parts[0].values, expected)
    assert notes == ["a says nothing of chr2"]


def test_the_folder_of_explain_is_its_scores(tmp_path):
    (tmp_path / "why").mkdir()
    with pytest.raises(InputError, match=r"why/scores.bw: there is no such file"):
        tracks(tmp_path / "why", letters=True)
    file(tmp_path, "why/scores.bedgraph", "chr1 101 102 0.5\n")
    (track,), _ = tracks(f"CTCF={tmp_path / 'why'}", letters=True)
    assert track.name == "CTCF"
    assert track.parts[0].values[1] == 0.5
    assert tracks(tmp_path / "why", letters=True)[0][0].name == "why"


TSV = (
    "chrom pos id ref alt norm_pos norm_ref norm_alt reason p_ref p_delta word\n"
    "chr1 101 rs1 A G 101 A G . 0.5 -0.25 yes\n"
    "chr1 101 rs1 A T 101 A T . 0.5 0.75 yes\n"
    "chr1 160 . C CA 160 - A symbolic . . no\n"
)


def test_variants_of_a_table_with_their_scores(tmp_path):
    (spans, bars), _ = tracks(file(tmp_path, "v.tsv", TSV))
    assert [(s.start, s.end, s.name) for s in spans.parts[0]] == [
        (100, 101, "rs1 A>G"),
        (100, 101, "rs1 A>T"),
        (159, 160, "C>CA"),
    ]
    assert spans.parts[0][0].said == {"p_ref": "0.5", "p_delta": "-0.25"}
    assert len({s.colour for s in spans.parts[0]}) == 3  # lower, higher, not scored
    assert bars.name == "v: p_delta"
    assert bars.parts[0].values[0] == 0.75  # of two ALTs the one farther from 0
    assert np.isfinite(bars.parts[0].values).sum() == 1
    assert (bars.low, bars.high) == (-0.75, 0.75)
    (_, other), _ = tracks(tmp_path / "v.tsv", column="p_ref")
    assert other.parts[0].values[0] == 0.5
    with pytest.raises(UsageError, match="no such score. Found p_dleta. Did you mean p_delta"):
        tracks(tmp_path / "v.tsv", column="p_dleta")


def test_variants_of_a_vcf_and_one_without_scores(tmp_path):
    pytest.importorskip("pysam")
    head = "##fileformat=VCFv4.2\n##contig=<ID=chr1>\n"
    info = '##INFO=<ID=EPILM_p_delta,Number=A,Type=Float,Description="x">\n'
    info += '##INFO=<ID=AF,Number=A,Type=Float,Description="x">\n'
    columns = "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]) + "\n"
    rows = "chr1\t101\trs1\tA\tG,T\t.\t.\tEPILM_p_delta=-1.5,0.5;AF=0.1,0.2\n"
    path = tmp_path / "v.vcf"
    path.write_text(head + info + columns + rows)
    (spans, bars), _ = tracks(path)
    assert [s.said for s in spans.parts[0]] == [{"p_delta": "-1.5"}, {"p_delta": "0.5"}]
    assert bars.parts[0].values[0] == -1.5
    path.write_text(head + columns + "chr1\t101\trs1\tA\tG\t.\t.\t.\n")
    (alone,), notes = tracks(path)
    assert len(alone.parts[0]) == 1
    assert "has no scores: epilm score-variants adds them" in notes[0]


def test_genes_that_touch_a_stretch():
    gene = Gene("CTCF", "G1", "chr1", 50, 101, "-", ((50, 60), (90, 101)))
    far = Gene("MYC", "G2", "chr1", 300, 400, "-", ((300, 400),))
    track = gene_track(Genes((far, gene), "g.gtf"), STRETCHES, SIZES)
    assert [span.name for span in track.parts[0]] == ["CTCF"]
    assert track.parts[0][0].exons == gene.exons
    past = Gene("X", "G3", "chr2", 300, 501, "-", ())
    with pytest.raises(InputError, match="g.gtf: the gene ends past its chromosome.*another ass"):
        gene_track(Genes((gene, past), "g.gtf"), STRETCHES, SIZES)


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        ("a.bed", "chr1 990 1001\n", InputError, "line 1: the interval ends past its chrom"),
        ("a.bed", "1 90 100\n", InputError, "named differently"),
        ("a.bedGraph", "chr1 990 1001 2\n", InputError, "is longer than the genome's"),
        ("v.tsv", "chrom pos ref alt\nchr1 1001 A G\n", InputError, "variant ends past its"),
        ("a.xyz", "chr1 1 2\n", UsageError, "told by its name, and this one is unknown"),
    ],
)
def test_another_assembly_or_format_is_refused(tmp_path, name, text, error, message):
    with pytest.raises(error, match=message):
        tracks(file(tmp_path, name, text))


def test_no_file_and_letters_of_no_numbers(tmp_path):
    with pytest.raises(InputError, match="gone.bed: there is no such file"):
        tracks("gone.bed")
    with pytest.raises(UsageError, match="attributions are numbers along the genome"):
        tracks(file(tmp_path, "a.bed", "chr1 1 2\n"), letters=True)
