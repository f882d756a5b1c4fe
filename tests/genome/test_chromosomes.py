"""Names and lengths of chromosomes."""

import pytest

from epilm.errors import InputError
from epilm.genome.chromosomes import check_names


@pytest.mark.parametrize(
    ("names", "known", "cure"),
    [
        (["chr3"], ["1", "3"], "sed 's/^chr//'"),
        (["3"], ["chr3"], "sed 's/^/chr/'"),
        (["MT", "1"], ["chrM", "chr1"], ""),
    ],
)
def test_other_spellings_are_refused_with_the_command_that_cures(names, known, cure):
    with pytest.raises(InputError, match="named differently") as error:
        check_names(names, known, "a.bed")
    assert cure in str(error.value)


def test_only_the_mitochondrion_spelled_otherwise_is_no_reason_to_stop():
    assert check_names(["chr1", "chrMT"], ["chr1", "chrM"], "a.bed") == ["chrMT"]
