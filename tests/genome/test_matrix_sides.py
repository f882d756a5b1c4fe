"""Labels of regions and cells, as their files have them."""

import pytest

from epilm.errors import InputError
from epilm.genome.matrix_sides import read_regions
from epilm.genome.peaks import read_peaks

GRANGES = "seqnames\tstart\tend\twidth\tstrand\nchr1\t101\t400\t300\t*\nchr2\t901\t1200\t300\t-\n"


def rows(table):
    return table[["chrom", "start", "end"]].values.tolist()


@pytest.mark.parametrize(
    "text",
    [
        GRANGES,
        GRANGES.replace("\t", ","),
        GRANGES.replace("\t", " "),
        # write.table and write.csv of R with their defaults
        '"seqnames" "start" "end" "width" "strand"\n"1" "chr1" 101 400 300 "*"\n'
        '"2" "chr2" 901 1200 300 "-"\n',
        '"","seqnames","start","end","width","strand"\n"1","chr1",101,400,300,"*"\n'
        '"2","chr2",901,1200,300,"-"\n',
        "seqnames\tstart\tend\nchr1\t101\t400\nchr2\t901\t1200\n",
        "chr\tstart\tend\twidth\nchr1\t101\t400\t300\nchr2\t901\t1200\t300\n",
        "chrom\tstart\tend\twidth\nchr1\t100\t400\t300\nchr2\t900\t1200\t300\n",
        "track name=a\n" + GRANGES,
    ],
)
@pytest.mark.parametrize("read", [read_peaks, lambda path: read_regions(path).table])
def test_granges_and_tables_with_widths_are_the_same_peaks(tmp_path, text, read):
    (tmp_path / "a.tsv").write_text(text)
    assert rows(read(tmp_path / "a.tsv")) == [["chr1", 100, 400], ["chr2", 900, 1200]]


@pytest.mark.parametrize("read", [read_peaks, read_regions])
def test_a_width_that_contradicts_is_refused_by_line(tmp_path, read):
    (tmp_path / "a.tsv").write_text(GRANGES.replace("901", "900"))
    with pytest.raises(InputError) as error:
        read(tmp_path / "a.tsv")
    for word in ["a.tsv, line 3", "the width contradicts start and end", "900 to 1200", "301"]:
        assert word in str(error.value)
