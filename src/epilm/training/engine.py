"""The one file that imports Lightning, and `fit` is all we take of it.

Lightning finds the cluster, starts several processes and puts the model on their devices.
Row order, accumulation, exact contrasts, state and metrics are ours: its loader
resumes wrongly in the middle of an epoch, and its gradient hooks know nothing of a
contrast over many micro-batches. So a step is one call of `Loop.step`, and the
gradients of several processes are summed there, once a step.
"""

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import nn

from epilm.training.lifeline import Lifeline
from epilm.training.ranks import Ranks

# Who has asked a run to end; of several the highest counts.
GO_ON, USER, SCHEDULER = 0, 1, 2
_ASKS = {
    getattr(signal, name): who
    for name, who in (("SIGINT", USER), ("SIGTERM", SCHEDULER), ("SIGUSR1", SCHEDULER))
    if hasattr(signal, name)
}


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


def machines() -> int:
    """Count the machines of this run, as torchrun or SLURM says; 1 where neither started it."""
    for name in ("GROUP_WORLD_SIZE", "SLURM_NNODES"):
        if os.environ.get(name, "").isdigit() and (
            "RANK" in os.environ or "SLURM_PROCID" in os.environ
        ):
            return int(os.environ[name])
    return 1


def fit(loop: Loop, device: torch.device, devices: int = 1, *, move: bool = True) -> None:
    """Run a loop to its end, in as many processes as asked.

    With `devices` above 1, Lightning starts this program again for each further process,
    unless torchrun or SLURM did so already. One process needs no engine, and importing Lightning
    takes some eight seconds of a core: it is left alone then. Ctrl-C, SIGTERM and SIGUSR1 are
    passed to the loop as a wish to end after the step, never acted on inside of the handler; a
    second Ctrl-C ends at once. Where one process is lost the others end within a minute, and say
    which (`lifeline`).

    Parameters
    ----------
    loop : Loop
    device : torch.device
        Its kind; every process takes the one of its number.
    devices : int
        Processes, over all machines.
    move : bool
        Put the model on the device of each process; False where the loop does, cut up.

    Raises
    ------
    TrainingError
        Whatever the loop raises, or that a process is lost.
    """
    if devices > 1:
        _fit_in_processes(loop, device, devices, move)
    else:
        _fit_here(loop, device)


def _fit_here(loop: Loop, device: torch.device) -> None:
    device = torch.device("cuda", 0) if device.type == "cuda" else torch.device(device.type)
    loop.model.to(device)
    steps, listener = _Steps(loop), _Listener()
    try:
        listener.listen()  # `begin` may take long
        steps.first = loop.begin(device, Ranks())
        for step in steps:
            steps.going = loop.step(step, listener.asked)
    finally:
        listener.restore()
    loop.end(steps.going)


class _Steps:
    """The numbers of the steps to do; ends when the loop does."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.first, self.going = loop, 0, True

    def __len__(self) -> int:
        return max(self.loop.steps - self.first, 0)

    def __iter__(self) -> Iterator[int]:
        for step in range(self.first, self.loop.steps):  # which `begin` may have lowered
            if not self.going:
                return
            yield step


def _fit_in_processes(loop: Loop, device: torch.device, devices: int, move: bool) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        from lightning.pytorch import LightningModule, Trainer

        for name in ("lightning.pytorch", "lightning.fabric"):  # importing them sets their level
            logging.getLogger(name).setLevel(logging.ERROR)

        steps, listener = _Steps(loop), _Listener()
        lines: list[Lifeline] = []

        class Module(LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.automatic_optimization = False
                self.network = loop.model

            def configure_optimizers(self) -> None:
                return None

            def train_dataloader(self) -> Any:
                return steps

            def on_fit_start(self) -> None:
                listener.listen()  # `begin` may take long
                ranks = Ranks(self.global_rank, self.trainer.world_size)
                lines.append(Lifeline(ranks, self.device))
                steps.first = loop.begin(self.device, ranks)

            def on_train_start(self) -> None:
                listener.listen()  # after Lightning's own handlers

            def training_step(self, step: int, index: int) -> None:
                steps.going = loop.step(int(step), listener.asked)

        nodes = machines()
        trainer = Trainer(
            accelerator={"cuda": "gpu"}.get(device.type, device.type),
            strategy=_strategy(device, move),
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
        except RuntimeError as error:  # of a collective, where its partner is gone
            reason = lines[0].explained(error) if lines else error
            if reason is error:
                raise
            raise reason from None
        finally:
            listener.restore()
            for line in lines:
                line.close(done)
        loop.end(steps.going)


def _strategy(device: torch.device, move: bool) -> Any:
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

        def model_to_device(self) -> None:
            if move:
                super().model_to_device()

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
