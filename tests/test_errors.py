"""Messages carry what was found, what was expected, where and what to do."""

from epilm.errors import EpilmError, UsageError, nearest


def test_a_message_reads_as_sentences_in_order():
    error = EpilmError(
        "start is not below end",
        where="a.bed, line 3",
        found="9-9",
        expected="start < end",
        do="Fix it",
    )
    assert (
        str(error)
        == "a.bed, line 3: start is not below end. Found 9-9; expected start < end. Fix it."
    )


def test_a_zero_that_was_found_is_said():
    assert "Found 0" in str(EpilmError("no regions", found=0))


def test_wrong_use_leaves_with_code_two():
    assert (EpilmError("x").exit_code, UsageError("x").exit_code) == (1, 2)


def test_the_nearest_name_is_offered_only_when_one_is_near():
    assert nearest("warmup", ["warmup_steps", "peak_lr"]).startswith("Did you mean warmup_steps?")
    assert "Did you mean" not in nearest("qqqq", ["warmup_steps"])
