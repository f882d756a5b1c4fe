"""The one file that imports Lightning, and the meeting of processes is all we take of it.

Lightning finds the cluster, starts several processes and gives each its device. What they do
together is ours: `together` runs a piece of work in each of them and hands it its `Team`; `fit` is
the work of a pre-training, step after step. Row order, accumulation, exact contrasts, state and
metrics are ours too: Lightning's loader resumes wrongly in the middle of an epoch, and its gradient
hooks know nothing of a contrast over many micro-batches. So the gradients of several processes are
summed once a step, by the loop that made them.
"""

import logging
import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from epilm.errors import AskedToStop, EpilmError, UsageError
from epilm.training.lifeline import Lifeline
from epilm.training.ranks import Ranks

BEHIND = 1.0  # seconds that a process without a message of its own ends behind the first
Work = TypeVar("Work")
# Who has asked a run to end; of several the highest counts.
GO_ON, USER, SCHEDULER = 0, 1, 2
_ASKS = {
    getattr(signal, name): who
    for name, who in (("SIGINT", USER), ("SIGTERM", SCHEDULER), ("SIGUSR1", SCHEDULER))
    if hasattr(signal, name)
}


def machines() -> int:
    """Count the machines of this run, as torchrun or SLURM says; 1 where neither started it."""
    for name in ("GROUP_WORLD_SIZE", "SLURM_STEP_NUM_NODES", "SLURM_NNODES"):
        if os.environ.get(name, "").isdigit() and (
            "RANK" in os.environ or "SLURM_PROCID" in os.environ
        ):
            return int(os.environ[name])
    return 1


def say_tasks_a_machine() -> None:
    """Give Lightning the number of tasks on each machine, which it wants of `srun --ntasks` too.

    SLURM writes it in its own words, "2" or "4(x2)"; in SLURM_NTASKS_PER_NODE only where it was
    asked for by that name.

    Raises
    ------
    UsageError
        If machines have different numbers of tasks.
    """
    tasks = os.environ.get("SLURM_STEP_TASKS_PER_NODE")
    if tasks is None or "RANK" in os.environ or "SLURM_NTASKS_PER_NODE" in os.environ:
        return
    if (alike := re.fullmatch(r"(\d+)(\(x\d+\))?", tasks)) is None:
        raise UsageError(
            "machines have different numbers of tasks",
            where="SLURM_STEP_TASKS_PER_NODE",
            found=tasks,
            expected="the same number on each",
            do="Start it with --nodes and --ntasks-per-node.",
        )
    os.environ["SLURM_NTASKS_PER_NODE"] = alike[1]


class Stopped(Exception):
    """Every process ends its work here, since someone asked for it; what was learned is saved."""

    def __init__(self, who: int) -> None:
        super().__init__(who)
        self.who = who

    @property
    def exit_code(self) -> int:
        """That of the process."""
        return AskedToStop.exit_code if self.who == SCHEDULER else 128 + signal.SIGINT


@dataclass(frozen=True)
class Team:
    """The processes of a run, as the work in one of them sees them; by default one, alone.

    Attributes
    ----------
    ranks : Ranks
    device : torch.device
        Of this process, and of its messages.
    listener : _Listener or None
        Of signals; None where nobody listens.

    Examples
    --------
    >>> Team().first_does(lambda: 7)
    7
    """

    ranks: Ranks = field(default_factory=Ranks)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    listener: "_Listener | None" = None

    def asked(self) -> int:
        """Say who has asked this process to end, or GO_ON."""
        return GO_ON if self.listener is None else self.listener.asked

    def stop_if_asked(self, save: Callable[[], Any] = lambda: None) -> None:
        """End all processes where one of them was asked to, after `save`.

        Raises
        ------
        Stopped
        """
        if who := self.ranks.most(self.asked(), self.device):
            save()
            raise Stopped(who)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take Ctrl-C, SIGTERM and SIGUSR1 as a wish, which `stop_if_asked` heeds. Several
        processes listen from their meeting to their parting.
        """
        if self.listener is None or self.ranks.world > 1:
            yield
            return
        self.listener.listen()
        try:
            yield
        finally:
            self.listener.restore()

    def first_does(self, do: Callable[[], Any]) -> Any:
        """Let the first process do something, and give every process what it gave: JSON values.

        An error ends all of them, and the first says it.
        """
        if self.ranks.first:
            try:
                value = do()
            except Exception as error:
                self.ranks.told({"ends": getattr(error, "exit_code", 1)}, self.device)
                raise
            self.ranks.told({"gave": value}, self.device)
            return value
        said = self.ranks.told(None, self.device)
        if "ends" in said:
            raise _without_a_word(said["ends"])
        return said["gave"]

    def alike(self, error: EpilmError) -> BaseException:
        """Give what to raise where all processes meet the same error at once: one says it."""
        return error if self.ranks.first else _without_a_word(error.exit_code)


def _without_a_word(code: int) -> SystemExit:
    """A launcher ends all processes as soon as one is gone: let the first speak before that."""
    time.sleep(BEHIND)
    return SystemExit(code)


def together(
    work: Callable[[Team], Work],
    device: torch.device,
    devices: int = 1,
    *,
    model: nn.Module | None = None,
) -> Work:
    """Do a piece of work in so many processes, and give what it gives in this one.

    With `devices` above 1, Lightning starts this program again for each further process,
    unless torchrun or SLURM did so already. One process needs no engine, and importing Lightning
    takes some eight seconds of a core: it is left alone then. Ctrl-C, SIGTERM and SIGUSR1 are
    passed on as a wish to end, never acted on inside of the handler; a second Ctrl-C ends at once.
    Where one process is lost the others end within a minute, and say which (`lifeline`).

    Parameters
    ----------
    work : function of a Team
    device : torch.device
        Its kind; of several processes each takes the one of its number.
    devices : int
        Processes, over all machines.
    model : nn.Module, optional
        Put on the device of each process before the work, and back after it.

    Raises
    ------
    TrainingError
        That a process is lost; else whatever the work raises.
    KeyboardInterrupt
        Where the work raised `Stopped`; `AskedToStop` where a scheduler had asked.
    """
    try:
        if devices > 1:
            return _in_processes(work, device, devices, model)
        return work(Team(Ranks(), device, _Listener()))
    except Stopped as stopped:
        raise (AskedToStop if stopped.who == SCHEDULER else KeyboardInterrupt) from None


def _in_processes(
    work: Callable[[Team], Work], device: torch.device, devices: int, model: nn.Module | None
) -> Work:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        from lightning.pytorch import LightningModule, Trainer

        for name in ("lightning.pytorch", "lightning.fabric"):  # importing them sets their level
            logging.getLogger(name).setLevel(logging.ERROR)

        listener = _Listener()
        lines: list[Lifeline] = []
        gave: list[Work] = []
        stopped: list[Stopped] = []

        class Module(LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.automatic_optimization = False
                self.network = model

            def configure_optimizers(self) -> None:
                return None

            def train_dataloader(self) -> Any:
                return [0]  # one step of Lightning's is all of the work

            def on_fit_start(self) -> None:
                listener.listen()  # the work may begin slowly

            def training_step(self, step: int, index: int) -> None:
                listener.listen()  # after Lightning's own handlers
                ranks = Ranks(self.global_rank, self.trainer.world_size)
                lines.append(Lifeline(ranks, self.device))
                try:
                    gave.append(work(Team(ranks, self.device, listener)))
                except Stopped as each:  # of all at once: they part in peace
                    stopped.append(each)

        nodes = machines()
        say_tasks_a_machine()
        trainer = Trainer(
            accelerator={"cuda": "gpu"}.get(device.type, device.type),
            strategy=_strategy(device),
            devices=devices // nodes,
            num_nodes=nodes,
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        done = False
        try:
            trainer.fit(Module())
            done = True
        except SystemExit:  # `_without_a_word`: the first knows
            done = True
            raise
        except RuntimeError as error:  # of a collective, where its partner is gone
            reason = lines[0].explained(error) if lines else error
            if reason is error:
                raise
            raise reason from None
        finally:
            listener.restore()
            for line in lines:
                line.close(done)
        for each in stopped:
            raise each if lines[0].ranks.first else _without_a_word(each.exit_code)
        return gave[0]


class Loop(Protocol):
    """What the engine runs."""

    model: nn.Module
    steps: int

    def begin(self, device: torch.device, ranks: Ranks) -> int:
        """Prepare, with the model on its device; return the first step to do."""

    def step(self, step: int, stop: int) -> bool:
        """Do one step; `stop`: GO_ON, or who has asked to end. Return False to end after it."""

    def end(self, completed: bool) -> None:
        """Finish, after the last step; not called after an error."""


def fit(loop: Loop, device: torch.device, devices: int = 1, *, move: bool = True) -> None:
    """Run a loop to its end, in as many processes as asked: see `together`.

    Parameters
    ----------
    loop : Loop
    device, devices
        As `together` takes them.
    move : bool
        Put the model on the device of each process; False where the loop does, cut up.

    Raises
    ------
    TrainingError
        Whatever the loop raises, or that a process is lost.
    """
    if devices == 1:
        device = torch.device("cuda", 0) if device.type == "cuda" else torch.device(device.type)
        loop.model.to(device)

    def steps(team: Team) -> bool:
        going = True
        with team.listening():  # `begin` may take long
            # `begin` may lower the number of steps.
            for step in range(loop.begin(team.device, team.ranks), loop.steps):
                going = loop.step(step, team.asked())
                if not going:
                    break
        return going

    loop.end(together(steps, device, devices, model=loop.model if move else None))


def _strategy(device: torch.device) -> Any:
    """How processes are started and meet."""
    from lightning.fabric.utilities.distributed import _set_num_threads_if_needed
    from lightning.pytorch.strategies import DDPStrategy
    from lightning.pytorch.strategies.launchers.subprocess_script import (
        _SubprocessScriptLauncher as ScriptLauncher,
    )

    class Launcher(ScriptLauncher):
        """Without the observer that kills this process, wordless, when another is lost."""

        def launch(self, function: Any, *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
            self.cluster_environment.validate_settings(self.num_processes, self.num_nodes)
            if not self.cluster_environment.creates_processes_externally:
                self._call_children_scripts()
            _set_num_threads_if_needed(num_processes=self.num_processes)
            return function(*args, **kwargs)

    class PlainProcesses(DDPStrategy):
        """Process group and placement, without the wrapper that would sum gradients by
        itself.
        """

        def configure_ddp(self) -> None:
            pass

        def _configure_launcher(self) -> None:
            assert self.cluster_environment is not None
            self._launcher = Launcher(self.cluster_environment, self.num_processes, self.num_nodes)

    return PlainProcesses(process_group_backend="nccl" if device.type == "cuda" else "gloo")


class _Listener:
    """Signals as a wish; a second Ctrl-C as an interrupt. Made before Lightning puts its own
    handlers there.
    """

    def __init__(self) -> None:
        self.asked = GO_ON
        # Python delivers signals to the main thread alone.
        here = threading.current_thread() is threading.main_thread()
        self._before = {number: signal.getsignal(number) for number in _ASKS if here}

    def listen(self) -> None:
        for number in self._before:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: Any) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = max(self.asked, _ASKS[number])

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
