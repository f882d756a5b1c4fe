"""`epilm plan`: what a run will need, before it is started."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def plan(
    recipe: str,
    *,
    store: Path,
    size: str | None = None,
    set: Annotated[
        list[str] | None, Parameter(name="--set", negative="", consume_multiple=False)
    ] = None,
    device: str = "auto",
    devices: int | None = None,
    nodes: int = 1,
    link: float = 200.0,
    failure_hours: float = 50_677.0,
    calibrate: bool = True,
    seconds: float = 10.0,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Say what a pre-training run will need: memory, time, disk, the largest micro-batch.

    Takes a few real steps where the device is in this machine. A run that cannot fit is refused,
    with the cure.

    Parameters
    ----------
    recipe
        Name of a recipe (see `epilm ls`) or a YAML file.
    store
        What `epilm build` made.
    size
        A size of the recipe: tiny, small or base.
    set
        key=value over the recipe, any number of times: --set train.micro_batch=8.
    device
        auto, cpu, cuda or mps of this machine; or a GPU that is not here: h200, h100, h100-pcie,
        a100, a100-40, l40s, a10, l4, rtx4090, rtx3090.
    devices
        GPUs, or processes on a CPU, over all machines; the recipe's train.devices where not given.
    nodes
        Machines that these lie on, as many on each.
    link
        Gbit/s that a machine can send to others.
    failure_hours
        Hours after which one device, or what it hangs on, has failed once in the mean. Where not
        given, as in the largest job that was published (docs/scaling.md).
    calibrate
        With --no-calibrate nothing is measured: memory is counted, a CPU's time stays unknown.
    seconds
        About how long the trial steps may take; more of them make a better plan.
    json
        Print JSON.
    """
    from json import dumps

    from epilm.errors import UsageError
    from epilm.planning.cluster import Cluster
    from epilm.planning.plan import DoesNotFit
    from epilm.planning.plan import plan as run

    if devices is None and nodes != 1:
        raise UsageError("machines of how many devices?", where="--nodes", do="Give --devices.")
    refused = None
    try:
        answer = run(
            recipe,
            store,
            size=size,
            set=set or (),
            device=device,
            devices=None if devices is None else Cluster(devices, nodes, link, failure_hours),
            calibrated=calibrate,
            seconds=seconds,
        )
    except DoesNotFit as error:
        answer, refused = error.plan, error
    print(dumps(answer.as_dict(), indent=2) if json else answer.text())
    if refused is not None:
        raise refused
