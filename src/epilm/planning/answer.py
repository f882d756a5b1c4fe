"""What a plan says: the numbers, and the lines a person reads."""

from dataclasses import asdict, dataclass, field
from typing import Any

from epilm.errors import TrainingError

_KINDS = {
    "context": "CUDA itself",
    "libraries": "interpreter and libraries",
    "weights": "weights",
    "gradients": "gradients",
    "optimiser": "optimiser",
    "gathered": "weights and gradients that are whole for a while",
    "activations": "activations of one micro-batch",
    "batches": "batches of one step",
    "store": "store",
    "allocator": "allocator",
}


@dataclass(frozen=True)
class Plan:
    """What a run needs.

    Attributes
    ----------
    name, size : str
        Of the recipe.
    device : str
        Where it will run.
    said : list of str
        Device and number format, as the run itself will say.
    here : bool
        False where the device is not in this machine and its numbers come from a table.
    calibrated : str
        What was measured, in words; "" where nothing was.
    parameters : dict of str to int
        Of each part, and "total".
    run : dict
        steps, batch_size, micro_batch, micro_batches (of the device that has most of them), pieces
        (micro-batches of all devices), devices, samples, available, passes.
    memory : dict of str to float
        Bytes by kind, "total" and "available". Per device on GPUs, of all processes on a CPU.
    flops : dict of str to float
        Of one optimiser step, over all devices: "model" (forward and backward, heads on hidden
        tokens alone), "contrast" (embeddings taken twice), "recomputed", "total".
    step_seconds, samples_per_second, tokens_per_second, hours : float or None
        None where no rate is known. Tokens are those the encoder reads, padding left out.
    seconds_of : dict of str to float
        What of the hours goes to "steps", "validation", "checkpoints".
    disk : dict of str to float
        Bytes: "checkpoint", "run" (the most at any time), "store".
    largest_micro_batch : int
        The largest that fits and divides the batch; 0 where not even 1 does.
    fits : bool
    notes : list of str
    network : dict of str to float
        Of a step on several devices, bytes: "summed" over all, "gathered" from all, "sent" by each;
        "seconds", where the slowest link is known: they are in `step_seconds`.
    failures : dict of str to float
        Of a run on several devices: "hours_between" failures of the job; "best_every", steps
        between checkpoints that lose least, and "lost_at_best"; "lost", the share of the time that
        goes to checkpoints, work done again and starts with the recipe's.
    """

    name: str
    size: str
    device: str
    said: list[str]
    here: bool
    calibrated: str
    parameters: dict[str, int]
    run: dict[str, Any]
    memory: dict[str, float]
    flops: dict[str, float]
    step_seconds: float | None
    samples_per_second: float | None
    tokens_per_second: float | None
    hours: float | None
    seconds_of: dict[str, float]
    disk: dict[str, float]
    largest_micro_batch: int
    fits: bool
    notes: list[str] = field(default_factory=list)
    network: dict[str, float] = field(default_factory=dict)
    failures: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Give everything as plain values."""
        return asdict(self)

    def text(self) -> str:
        """Write the plan for a person, a line a subject."""
        return text(self)


class DoesNotFit(TrainingError):
    """A run that needs more memory than there is; `plan` says how much."""

    plan: Plan


def text(plan: Plan) -> str:
    """Write a plan; see `Plan.text`."""
    run, memory, flops = plan.run, plan.memory, plan.flops
    each = " on each device" if run["devices"] > 1 and "context" in memory else ""
    lines = [
        ("model", f"{plan.name} ({plan.size}): {plan.parameters['total']:,} weights"),
        *(("device", line.removeprefix("device ")) for line in plan.said[:1]),
        *(("", line) for line in plan.said[1:]),
        ("measured", plan.calibrated or "nothing"),
        (
            "memory",
            f"{_bytes(memory['total'])} of {_bytes(memory['available'])}{each}"
            + ("" if plan.fits else ": DOES NOT FIT"),
        ),
        *(
            ("", f"{_bytes(memory[kind]):>9}  {label}")
            for kind, label in _KINDS.items()
            if kind in memory
        ),
        (
            "",
            (
                f"largest micro-batch that fits: {plan.largest_micro_batch or 'none'} (the"
                f" recipe's: {run['micro_batch']})"
            ),
        ),
        (
            "step",
            (
                f"{run['batch_size']:,} {run['unit'] if run['unit'] == 'windows' else 'samples'} in"
                f" {run['pieces']} micro-batches,"
                f" {_flops(flops['total'])}{_of(flops)}"
            ),
        ),
    ]
    if plan.step_seconds is not None and plan.samples_per_second and plan.tokens_per_second:
        rate = flops["model"] / plan.step_seconds
        lines += [
            (
                "time",
                (
                    f"{_time(plan.step_seconds)} a step: {_rate(plan.samples_per_second)}"
                    f" samples/s, {_rate(plan.tokens_per_second)} tokens/s, {_flops(rate)}/s"
                ),
            ),
            (
                "run",
                (
                    f"{run['steps']:,} steps, {run['samples']:,} samples ({run['passes']:.3g}"
                    f" passes): {_time((plan.hours or 0) * 3600)}{_beside(plan)}"
                ),
            ),
        ]
    else:
        lines.append(
            (
                "run",
                (
                    f"{run['steps']:,} steps, {run['samples']:,} samples ({run['passes']:.3g}"
                    " passes): time not known"
                ),
            )
        )
    lines.append(
        (
            "disk",
            (
                f"{_bytes(plan.disk['run'])} for the run (a checkpoint"
                f" {_bytes(plan.disk['checkpoint'])}), the store {_bytes(plan.disk['store'])}"
            ),
        )
    )
    lines += _of_many(plan)
    lines += [("note", note) for note in plan.notes]
    return "\n".join(f"{head:<9} {line}" for head, line in lines)


def _of_many(plan: Plan) -> list[tuple[str, str]]:
    """The lines of a run on several devices."""
    network, failures, lines = plan.network, plan.failures, []
    if network:
        time = f": {_time(network['seconds'])} of the step" if "seconds" in network else ""
        lines.append(
            (
                "network",
                (
                    f"each process sends {_bytes(network['sent'])} a step"
                    f" ({_bytes(network['summed'])} summed, {_bytes(network['gathered'])}"
                    f" gathered){time}"
                ),
            )
        )
    if failures:
        lines.append(
            (
                "failures",
                (
                    f"one in {_rate(failures['hours_between'])} h assumed; a checkpoint every"
                    f" {_rate(failures['best_every'])} steps loses least"
                    f" ({failures['lost_at_best']:.2%} of the time), the recipe's loses"
                    f" {failures['lost']:.2%}"
                ),
            )
        )
    return lines


def _of(flops: dict[str, float]) -> str:
    more = [
        f"{_flops(flops[key])} {what}"
        for key, what in (
            ("contrast", "to embed twice for the contrast"),
            ("recomputed", "computed again"),
        )
        if flops[key]
    ]
    return f" ({', '.join(more)})" if more else ""


def _beside(plan: Plan) -> str:
    more = [
        f"{name} {_time(plan.seconds_of[name])}"
        for name in ("validation", "checkpoints")
        if plan.seconds_of.get(name, 0) > 0.01 * sum(plan.seconds_of.values())
    ]
    return f" (of which {', '.join(more)})" if more else ""


def _bytes(n: float) -> str:
    """Bytes in GB or MB.

    Examples
    --------
    >>> _bytes(1.234e9), _bytes(5.6e7), _bytes(2e12)
    ('1.23 GB', '56 MB', '2,000 GB')
    """
    if n < 1e9:
        return f"{n / 1e6:.0f} MB"
    return (
        f"{n / 1e9:.2f} GB"
        if n < 1e10
        else f"{n / 1e9:,.1f} GB"
        if n < 1e12
        else f"{n / 1e9:,.0f} GB"
    )


def _flops(n: float) -> str:
    """Operations.

    Examples
    --------
    >>> _flops(4.95e12), _flops(7.9e14)
    ('4.95 TFLOP', '790 TFLOP')
    """
    for factor, unit in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G")):
        if n >= factor:
            return f"{n / factor:.3g} {unit}FLOP"
    return f"{n / 1e6:.3g} MFLOP"


def _rate(n: float) -> str:
    return f"{n:,.0f}" if n >= 100 else f"{n:.3g}"


def _time(seconds: float) -> str:
    """A duration.

    Examples
    --------
    >>> _time(0.0321), _time(95), _time(7_300), _time(400_000), _time(36 * 3600)
    ('32 ms', '95 s', '2.0 h', '111 h (4.6 days)', '36 h')
    """
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return (
        f"{hours:.1f} h"
        if hours < 10
        else f"{hours:,.0f} h" + (f" ({hours / 24:,.1f} days)" if hours > 72 else "")
    )
