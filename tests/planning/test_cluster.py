"""Bytes, links and failures of many devices: against formulas by hand, and a simulation."""

import math

import numpy as np
import pytest

from epilm.errors import UsageError
from epilm.planning.cluster import (
    Cluster,
    best_interval,
    check_cluster,
    exchange,
    live,
    lost_share,
    sent,
)


def ring_sum(n_bytes: float, processes: int) -> float:
    """Pass the parts of a vector round a ring as a sum does it, and count what one sends."""
    part, sends = n_bytes / processes, 0.0
    for _ in range(2):  # first every part is added up on its way, then every sum passed on
        for _ in range(processes - 1):
            sends += part
    return sends


@pytest.mark.parametrize("processes", [1, 2, 3, 512])
def test_a_sum_sends_what_a_ring_passes_on(processes):
    assert sent(400.0, 0.0, processes) == pytest.approx(ring_sum(400.0, processes))


def test_the_slowest_link_carries_everything():
    # 1 GB over one adapter of 100 Gbit/s: 80 ms, however fast the machine is inside.
    assert exchange(1e9, Cluster(16, 2, link_gbit=100), 450e9) == pytest.approx(0.08)
    assert exchange(1e9, Cluster(8, 1), 50e9) == pytest.approx(0.02)
    assert exchange(1e9, Cluster(16, 2, link_gbit=8000), 50e9) == pytest.approx(0.02)
    assert exchange(1e9, Cluster(2, 2, link_gbit=100), None) == pytest.approx(0.08)
    assert exchange(1e9, Cluster(4, 2), None) is None  # inside of a machine: not known
    assert exchange(0.0, Cluster(1), None) == 0.0


def test_daly_s_interval_loses_least():
    write, apart = 20.0, 36_000.0
    best = best_interval(write, apart)
    assert best == pytest.approx(math.sqrt(2 * write * apart), rel=0.03)
    lost = {factor: lost_share(factor * best, write, apart, 0.0) for factor in (0.9, 1.0, 1.1)}
    assert lost[1.0] < min(lost[0.9], lost[1.1])
    assert lost[1.0] == pytest.approx(math.sqrt(2 * write / apart), rel=0.05)


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_simulated_jobs_lose_what_is_expected(factor):
    write, apart, restart, work = 20.0, 3_600.0, 300.0, 50_000.0
    interval = factor * best_interval(write, apart)
    lives = [live(work, interval, write, apart, restart=restart, seed=seed) for seed in range(400)]
    for each in lives:
        parts = work + each.again + each.writing + each.starting
        assert each.total == pytest.approx(parts)
    lost = [1 - work / each.total for each in lives]
    error = float(np.std(lost)) / math.sqrt(len(lost))
    expected = lost_share(interval, write, apart, restart)
    assert (
        abs(float(np.mean(lost)) - expected) < 4 * error + 0.005
    )  # the last stretch saves nothing
    failures = float(np.mean([each.failures * apart / each.total for each in lives]))
    assert failures == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        (
            Cluster(12, 8),
            r"--nodes: each machine has as many devices\. Found 8; expected a divisor",
        ),
        (Cluster(4, 0), r"--nodes"),
        (Cluster(4, 2, link_gbit=0.0), r"--link: impossible value\. Found 0\.0; expected above 0"),
        (Cluster(4, 2, failure_hours=math.nan), r"--failure-hours: impossible value"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(cluster, said):
    with pytest.raises(UsageError, match=said):
        check_cluster(cluster)
