"""Shards as an array of SLURM's jobs, through submitit, which writes the script and waits."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from epilm.errors import EpilmError, InputError, UsageError, nearest
from epilm.sharding.dask_pool import not_here
from epilm.sharding.shard_call import ShardCall

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds between two looks at all jobs
_TEXT = ("partition", "qos", "mem", "account", "constraint")


class RequeuedShard:
    """A part as a job of SLURM: after a time-out or a pre-emption it is queued again.

    Parameters
    ----------
    call : ShardCall
    """

    def __init__(self, call: ShardCall) -> None:
        self.call = call

    def __call__(self, i: int) -> Any:
        """Compute part i; a refusal is given back, as words alone would reach the waiting side."""
        try:
            return self.call(i)
        except EpilmError as error:
            return error

    def checkpoint(self, i: int) -> Any:
        """Say what is to be queued again: the same; a part is whole or absent."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, i)


def settings_of(texts: Sequence[str]) -> dict[str, Any]:
    """Read settings of sbatch, NAME=VALUE, as submitit takes them.

    Raises
    ------
    UsageError
        If there is no "=", or submitit has no such setting.
    InputError
        If it is not installed.

    Examples
    --------
    >>> settings_of(["partition=gpu", "time=120", "mem=16GB", "cpus-per-task=4"])
    {'partition': 'gpu', 'time': 120, 'mem': '16GB', 'cpus_per_task': 4}
    """
    executor = _submitit().SlurmExecutor
    known = set(executor._valid_parameters()) - {"setup", "teardown", "srun_args"}
    known.discard("additional_parameters")  # a table: no word of a command line
    settings: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.replace("-", "_")
        if not equals or not value:
            raise UsageError("a setting of sbatch is NAME=VALUE", where="--slurm", found=text)
        if name not in known:
            raise UsageError(
                "unknown setting of sbatch", where="--slurm", found=name, do=nearest(name, known)
            )
        settings[name] = int(value) if value.isdigit() and name not in _TEXT else value
    if not isinstance(settings.get("time", 1), int):
        raise UsageError(
            "the time of a job is in minutes", where="--slurm time", found=settings["time"]
        )
    return settings


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise InputError(
            "submitit is not installed", where="--executor slurm", do="pip install 'epilm[slurm]'"
        ) from None
    return submitit


def by_slurm(call: ShardCall, texts: Sequence[str]) -> Iterator[Any]:
    """Compute all parts, each a job of one array.

    Parameters
    ----------
    call : ShardCall
    texts : sequence of str
        See `settings_of`.

    Yields
    ------
    What the command returns of each part, as they become whole.

    Raises
    ------
    UsageError, InputError
        If a setting is wrong, submitit is not installed, or there is no SLURM.
    EpilmError
        If a job ends without its part; and what a part raises.
    """
    settings = settings_of(texts)
    logs = call.parts / "jobs"
    try:
        executor = _submitit().SlurmExecutor(folder=logs)
    except RuntimeError:
        raise InputError(
            "there is no SLURM here",
            where="--executor slurm",
            found="no srun on the PATH",
            do="Run the command where jobs are submitted, or take --executor local.",
        ) from None
    executor.update_parameters(job_name="epilm", **settings)
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        waiting = executor.map_array(RequeuedShard(call), range(1, call.n + 1))
    except (FailedJobError, FailedSubmissionError) as error:
        raise InputError(
            "SLURM did not take the jobs",
            where="--executor slurm",
            found=" ".join(str(error).split()),
            do="Its settings are those of --slurm and of sbatch's own environment.",
        ) from None
    pause = FIRST_PAUSE
    try:
        while waiting:
            for job in [each for each in waiting if each.done()]:
                waiting.remove(job)
                done = _result_of(job)
                if not done.out.exists():
                    raise not_here(str(done.out))
                yield done
            time.sleep(pause if waiting else 0)
            pause = min(1.5 * pause, LONGEST_PAUSE)
    except BaseException:
        for job in waiting:
            job.cancel(check=False)
        raise


def _result_of(job: Any) -> Any:
    """What a job gave back."""
    if job.exception() is not None:
        raise EpilmError(
            "a job ended without its part",
            where=f"job {job.job_id}",
            found=f"state {job.state}",
            do=f"What it said is in {job.paths.stderr}. The same command goes on from the parts"
            " that are whole. For memory or time: --slurm mem=... time=..., or more --jobs.",
        )
    done = job.result()
    if isinstance(done, EpilmError):
        raise done
    return done
