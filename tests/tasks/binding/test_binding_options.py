"""What a binding task can be told, and what is refused."""

from dataclasses import replace

import pytest

from epilm.errors import UsageError
from epilm.tasks.binding.binding_options import BindingOptions, check_binding, with_pair


def test_a_pair_fills_factor_cell_types_and_chromosomes():
    """REST in liver: the table of protocols 6.1."""
    filled = with_pair(BindingOptions(pair="REST:liver", epochs=3))
    assert filled.factor == ("REST",)
    assert filled.train_cells == ("H1-hESC", "HeLa-S3", "HepG2", "MCF-7", "Panc1", "SK-N-SH")
    assert (filled.test_cells, filled.valid_chroms) == (("liver",), ("chr11",))
    assert filled.test_chroms == ("chr1", "chr8", "chr21")
    assert filled.epochs == 3
    assert with_pair(BindingOptions()) == BindingOptions()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("factor", ("CTCF",)),
        ("test_cells", ("liver",)),
        ("test_chroms", ("chr2",)),
        ("train_chroms", ("chr2",)),
        ("valid_chroms", ("chr2",)),
    ],
)
def test_a_pair_and_what_it_says_do_not_go_together(option, value):
    asked = replace(BindingOptions(pair="REST:liver"), **{option: value})
    name = "--" + option.replace("_chroms", "").replace("_", "-")
    with pytest.raises(UsageError, match=f"--pair says it already. Found {name}"):
        with_pair(asked)


def test_an_unknown_pair_names_the_nearest():
    with pytest.raises(UsageError, match="Did you mean CTCF:PC-3"):
        with_pair(BindingOptions(pair="CTCF:PC-4"))


def test_the_defaults_are_possible():
    check_binding(BindingOptions())
