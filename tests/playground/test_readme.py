"""The folder says that it is simulated."""

import json


def test_it_says_that_it_is_simulated(tiny):
    assert json.loads((tiny / "truth.json").read_text())["simulated"] is True
    assert "SIMULATED" in (tiny / "README.md").read_text().split("\n")[0]
    for name in ("genes.gtf", "blacklist.bed"):
        assert "simulated" in (tiny / name).read_text()
