"""The log of a run: what is written is what is read."""

import json
import math

from epilm.training.log import METRICS, MetricLog, read_metrics


def test_lines_after_the_state_are_removed_and_a_cut_line_is_left_out(tmp_path):
    log = MetricLog(tmp_path, tensorboard=False)
    for step in (1, 2, 3):
        log.write(step, "train", {"loss": float(step)})
    with open(tmp_path / METRICS, "a") as handle:
        handle.write('{"step": 4, "spl')
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3]
    MetricLog(tmp_path, first=2, tensorboard=False).write(3, "train", {"loss": math.nan})
    lines = (tmp_path / METRICS).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
    assert json.loads(lines[-1])["loss"] is None
