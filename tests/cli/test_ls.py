"""`epilm ls`: what it lists can be typed."""

from epilm.cli import main


def test_the_challenges_pairs_are_listed_and_fill_the_options(capsys, tmp_path):
    assert main(["ls", "pairs"]) == 0
    listed = capsys.readouterr().out
    assert listed.count("learned in") == 13
    assert "CTCF:PC-3" in listed
    words = ["finetune", "dream", "--data", "d", "--store", "s", "--out", str(tmp_path / "x")]
    assert main([*words, "--pair", "CTCF:PC-3", "--test-cells", "liver"]) == 2
    assert "--pair says it already. Found --test-cells" in one_line(capsys)
    assert main([*words, "--pair", "CTCF:PC-4"]) == 2
    assert "Did you mean CTCF:PC-3" in one_line(capsys)


def one_line(capsys):
    return " ".join(capsys.readouterr().err.split())
