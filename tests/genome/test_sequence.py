"""Letters and codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epilm.errors import InputError
from epilm.genome.sequence import decode, encode, reverse_complement

DNA = st.text(alphabet="ACGTN", max_size=60)


@given(DNA)
def test_decode_undoes_encode(sequence):
    assert decode(encode(sequence)) == sequence
    assert decode(encode(sequence.lower())) == sequence


@given(DNA)
def test_reverse_complement_twice_is_the_sequence(sequence):
    codes = encode(sequence)
    assert (reverse_complement(reverse_complement(codes)) == codes).all()


def test_each_letter_has_its_code_and_u_is_t():
    assert encode("ACGTNUacgtnu").tolist() == [0, 1, 2, 3, 4, 3] * 2
    assert encode(b"RYKMSWBDHVX-.").tolist() == [4] * 13


def test_the_other_strand_by_hand_also_for_many_rows():
    assert decode(reverse_complement(encode("AAACGTN"))) == "NACGTTT"
    rows = np.stack([encode("AACG"), encode("TTTN")])
    assert [decode(row) for row in reverse_complement(rows)] == ["CGTT", "NAAA"]


@pytest.mark.parametrize(
    ("bad", "found"),
    [("ACGE", "'E' at position 4"), ("AC1", "'1' at position 3"), ("Aé", "'é' at position 2")],
)
def test_a_foreign_letter_is_named_with_its_position(bad, found):
    with pytest.raises(InputError, match="not a DNA sequence") as error:
        encode(bad)
    assert found in str(error.value)


def test_the_codes_can_be_written_to():
    codes = encode("ACGT")
    codes[0] = 4
    assert decode(codes) == "NCGT"
