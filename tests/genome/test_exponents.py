"""Numbers with an exponent of ten digits: pandas' own reader dies of them, or makes 0.1 of them."""

import numpy as np
import pandas as pd
import pytest

from epilm.errors import InputError
from epilm.genome.annotation import read_gtf
from epilm.genome.checks import whole_numbers
from epilm.genome.contact_maps import read_contacts
from epilm.genome.exponents import precision_for, to_numbers
from epilm.genome.peaks import read_peaks
from epilm.genome.segmentation import read_states
from epilm.genome.signals import open_signal

# Beyond 32 bits in three ways: the counter's end, once around it, and of twenty digits.
HARD = ["1e2147483648", "1e-4294967295", "1E+39999999999999999999"]


@pytest.mark.parametrize(
    ("text", "by_python"),
    [
        (b"", False),
        (b"chr1\t5\t1e-300\n", False),
        (b"chr1\t5\tpeak_1234567890\n", False),
        (b"1e123456789\n", False),  # nine digits: pandas can
        (b"1e1234567890", True),
        (b"1E-1234567890\n", True),
        (b"1e+12345678901234567890\n", True),
        (b"1e123456789", False),
        (b"1e", False),
        (b"e" * 100 + b"1234567890", True),
    ],
)
def test_an_exponent_of_ten_digits_is_seen(text, by_python):
    assert precision_for(text) == ("round_trip" if by_python else None)


def test_numbers_are_those_of_pandas_and_of_python_where_pandas_cannot():
    words = ["1", "-2.5", "1e-5", " 3 ", "", "x", "nan", "inf", "1_0", "0x10", "9" * 30, None, 4]
    asked = pd.to_numeric(pd.Series(words, dtype=object), errors="coerce").to_numpy(float)
    np.testing.assert_array_equal(to_numbers(words), asked)
    np.testing.assert_array_equal(to_numbers([*words, "1e2147483648"]), [*asked, np.inf])
    assert to_numbers(HARD).tolist() == [np.inf, 0.0, np.inf]
    assert to_numbers(["1e21474836480x"])[0] != 0.1  # no number at all
    assert to_numbers(pd.Series([1, 2], dtype="Int64")).tolist() == [1.0, 2.0]


MACS = (
    "chr\tstart\tend\tlength\tabs_summit\tpileup\t-log10(pvalue)\tfold_enrichment"
    "\t-log10(qvalue)\tname\nchr1\t11\t20\t10\t15\t5\t{}\t2\t3\tp\n"
)


PEAK = "chr1\t0\t200\ta\t5\t.\t1.5\t2\t3\t{}\n"
STARTS_IN_MACS = MACS.format(5).replace("\t11", "\t{}")
COORDINATES = {
    "a.narrowPeak": (PEAK, read_peaks, "line 1: the summit offset is not a whole number"),
    "a.bed": ("chr1\t{}\t9\n", read_peaks, "line 1: the start is not a whole number"),
    "a.bedGraph": ("chr1\t0\t{}\t1.5\n", open_signal, "line 1: the end is not a whole number"),
    "states.bed": ("chr1\t{}\t9\tA\n", lambda p: read_states(p, {"chr1": 99}), "line 1: the start"),
    "c.tsv": ("0\t{}\t3\n", lambda p: read_contacts(p, chrom="chr1"), "line 1: a contact is neg"),
    "a_peaks.xls": (STARTS_IN_MACS, read_peaks, "line 2: the start is not a whole number"),
}


@pytest.mark.parametrize("number", [HARD[0], HARD[2]])
@pytest.mark.parametrize("name", COORDINATES)
def test_coordinates_with_such_an_exponent_are_refused(tmp_path, name, number):
    text, read, said = COORDINATES[name]
    path = tmp_path / name
    path.write_text(text.format(number))
    with pytest.raises(InputError) as refusal:
        read(path)
    assert said in str(refusal.value).replace("\n    ", " ")


def test_values_with_such_an_exponent_are_what_python_makes_of_them(tmp_path):
    path = tmp_path / "a_peaks.xls"
    path.write_text(MACS.format("1e-4294967295"))
    assert read_peaks(path)["p"].tolist() == [0.0]
    path = tmp_path / "a.bed"
    path.write_text("chr1\t5\t9\t5\nchr1\t5\t9\t1e2147483648\n")
    assert read_peaks(path)["name"].tolist() == ["5", "1e2147483648"]
    path = tmp_path / "a.bedGraph"
    path.write_text("chr1\t0\t5\t1e-4294967295\nchr1\t7\t9\t2e0\n")
    assert open_signal(path).read("chr1", 9).tolist()[:5] == [0.0] * 5


def test_the_score_of_a_gtf_file_may_have_one(tmp_path):
    """bioframe reads it with pandas; scores are not used."""
    path = tmp_path / "g.gtf"
    path.write_text('chr1\tX\tgene\t5\t9\t1e2147483648\t+\t.\tgene_id "G";\n')
    assert read_gtf(path)["start"].tolist() == [4]


def test_whole_numbers_of_a_table_refuse_one():
    with pytest.raises(InputError, match="the start is not a whole number"):
        whole_numbers(pd.DataFrame({"start": ["5", "1e2147483648"]}), "start", "a.tsv")
