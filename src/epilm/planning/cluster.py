"""What a run on many devices sends, waits for and loses: arithmetic, and a seeded simulation.

Once a step the processes sum their gradients, and each contrast gathers the embeddings of all. Both
come after or between computing, never beside it, so their time is added to the step's. Failures
come at random, each device as often as any other; what is lost is the work since the last
checkpoint and the time to start again. Seconds and bytes throughout. Needs numpy only.
"""

import math
from dataclasses import dataclass

import numpy as np

from epilm.errors import UsageError

# One GPU and all that it hangs on fails once in so many hours: 419 unexpected interruptions of a
# job of 16,384 H100 in 54 days ("The Llama 3 Herd of Models", 2024, section 3.3.4). A cluster of a
# lab may be far worse: give its own with --failure-hours.
FAILURE_HOURS = 16_384 * 54 * 24 / 419
# Between machines, where nothing is said: one adapter of 200 Gbit/s a machine.
LINK_GBIT = 200.0
RESTART = 300.0  # seconds from a failure to the first new step, assumed: queue, start, reading


@dataclass(frozen=True)
class Cluster:
    """Devices over machines.

    Attributes
    ----------
    devices : int
        Processes or GPUs, over all machines.
    nodes : int
        Machines; each has as many of the devices.
    link_gbit : float
        What a machine sends to others at a time, Gbit/s, over all its adapters.
    failure_hours : float
        A device, with its part of the machine, fails once in so many hours.

    Examples
    --------
    >>> round(Cluster(512, 64).failure_hours / 512)  # the job fails once in so many hours
    99
    """

    devices: int
    nodes: int = 1
    link_gbit: float = LINK_GBIT
    failure_hours: float = FAILURE_HOURS

    @property
    def between_failures(self) -> float:
        """Seconds between failures of a job that has all devices."""
        return self.failure_hours * 3600 / self.devices


def check_cluster(cluster: Cluster) -> None:
    """Refuse a cluster that cannot be.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> check_cluster(Cluster(12, 8))
    Traceback (most recent call last):
    epilm.errors.UsageError: --nodes: each machine has as many devices. Found 8; expected a divisor
        of the 12 devices. Give --devices over all machines.
    """
    devices, nodes = cluster.devices, cluster.nodes
    if nodes < 1 or devices % nodes:
        raise UsageError(
            "each machine has as many devices",
            where="--nodes",
            found=nodes,
            expected=f"a divisor of the {devices} devices",
            do="Give --devices over all machines.",
        )
    for option, value in (
        ("--link", cluster.link_gbit),
        ("--failure-hours", cluster.failure_hours),
    ):
        if not (value > 0 and math.isfinite(value)):
            raise UsageError("impossible value", where=option, found=value, expected="above 0")


def sent(bytes_summed: float, bytes_gathered: float, processes: int) -> float:
    """Bytes that each process sends, and takes, in rings.

    A sum goes round twice, what is gathered once, all but a process's own part.

    Examples
    --------
    >>> sent(100.0, 0.0, 2), sent(100.0, 0.0, 4), sent(0.0, 100.0, 4), sent(100.0, 100.0, 1)
    (100.0, 150.0, 75.0, 0.0)
    """
    return (2 * bytes_summed + bytes_gathered) * (processes - 1) / processes


def exchange(bytes_sent: float, cluster: Cluster, inside: float | None) -> float | None:
    """Seconds that a step waits for what is sent: the slowest link carries all of it.

    Parameters
    ----------
    bytes_sent : float
        `sent`.
    cluster : Cluster
    inside : float or None
        Bytes a second between devices of a machine; None: not known.

    Returns
    -------
    float or None
        None where the slowest link is not known.

    Examples
    --------
    >>> exchange(1e9, Cluster(16, 2, link_gbit=80), 450e9), exchange(1e9, Cluster(2), None)
    (0.1, None)
    """
    rates = [] if cluster.devices == cluster.nodes else [inside]
    rates += [cluster.link_gbit * 1e9 / 8] if cluster.nodes > 1 else []
    known = [rate for rate in rates if rate is not None]
    if cluster.devices == 1:
        return 0.0
    return bytes_sent / min(known) if len(known) == len(rates) else None


def best_interval(write: float, between_failures: float) -> float:
    """Seconds of work between two checkpoints that lose least.

    Parameters
    ----------
    write : float
        Seconds that all wait for a checkpoint.
    between_failures : float
        Seconds, of the whole job.

    References
    ----------
    Young 1974, "A first order approximation to the optimum checkpoint interval": sqrt(2 C M);
    Daly 2006, "A higher order estimate of the optimum checkpoint interval for restart dumps", eq.
    37.

    Examples
    --------
    >>> round(math.sqrt(2 * 10 * 36_000)), round(best_interval(10, 36_000))  # Young, Daly
    (849, 842)
    >>> best_interval(10, 4)  # nothing can be saved
    4
    """
    if write >= 2 * between_failures:
        return between_failures
    part = write / (2 * between_failures)
    young = math.sqrt(2 * write * between_failures)
    return young * (1 + math.sqrt(part) / 3 + part / 9) - write


def lost_share(interval: float, write: float, between_failures: float, restart: float) -> float:
    """Share of a job's time that is not work of its own: checkpoints, work done again, starts.

    Failures come at random at one rate (Daly's exact expectation of the time of a stretch).

    Examples
    --------
    >>> best = best_interval(10, 36_000)
    >>> [round(lost_share(each, 10, 36_000, 300), 3) for each in (best / 4, best, best * 4)]
    [0.056, 0.031, 0.057]
    """
    rate = 1 / between_failures
    stretch = math.exp(rate * restart) * math.expm1(rate * (interval + write)) / rate
    return 1 - interval / stretch


@dataclass(frozen=True)
class Lived:
    """A job that was simulated to its end, in seconds.

    Attributes
    ----------
    total : float
        From the first start to the last step.
    failures : int
    again : float
        Work that was lost and done again.
    writing, starting : float
        Spent on checkpoints and on starts after failures.
    """

    total: float
    failures: int
    again: float
    writing: float
    starting: float


def live(
    work: float,
    interval: float,
    write: float,
    between_failures: float,
    *,
    restart: float = RESTART,
    seed: int = 0,
) -> Lived:
    """Simulate one job: it works, saves, fails at random, and starts again from what was saved.

    Parameters
    ----------
    work : float
        Seconds of steps to do, without failures and checkpoints.
    interval, write, between_failures, restart : float
        As above. A failure may come while a checkpoint is written, or while the job starts.
    seed : int

    Examples
    --------
    >>> live(1000, 100, 5, 1e12)
    Lived(total=1045.0, failures=0, again=0.0, writing=45.0, starting=0.0)
    """
    draws = np.random.default_rng(seed)
    now = done = again = writing = starting = 0.0
    failures, fails_at = 0, float(draws.exponential(between_failures))
    while done < work:
        stretch = min(interval, work - done)
        saves = write if done + stretch < work else 0.0
        if now + stretch + saves <= fails_at:
            now, done, writing = now + stretch + saves, done + stretch, writing + saves
            continue
        again += min(fails_at - now, stretch)
        writing += max(fails_at - now - stretch, 0.0)
        now = fails_at
        while True:  # until a start succeeds
            failures += 1
            fails_at = now + float(draws.exponential(between_failures))
            if now + restart <= fails_at:
                starting, now = starting + restart, now + restart
                break
            starting, now = starting + fails_at - now, fails_at
    return Lived(now, failures, again, writing, starting)


def slowest(processes: int, spread: float, *, steps: int = 2000, seed: int = 0) -> float:
    """How many times longer a step takes that waits for the slowest of its processes.

    Each process's step is drawn anew around one mean (normal; `spread`: standard deviation as a
    share of it), so that no machine is always the slow one; one that is makes every step as long
    as its own.

    Examples
    --------
    >>> [round(slowest(n, 0.05), 2) for n in (1, 8, 64, 512)]
    [1.0, 1.07, 1.12, 1.15]
    """
    if processes == 1:
        return 1.0
    draws = np.random.default_rng(seed)
    worst = np.full(steps, -math.inf)
    for _ in range(processes):
        np.maximum(worst, draws.standard_normal(steps), out=worst)
    return float(np.maximum(1 + spread * worst, 0.0).mean())
