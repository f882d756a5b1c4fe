"""Two machines that are none: one pre-training over two network name spaces of this one.

Each "host" has a network of its own, with a cable between them, and a host name of its own;
torchrun starts one process on each. Wants root and iproute2. The run's folder is the same for both,
as on a shared disk.

    python tools/two_hosts.py --store play.store --out runs/hosts
    python tools/two_hosts.py --store play.store --out runs/slow --rate 10mbit
    python tools/two_hosts.py --store play.store --out runs/lost --pull 5

`--rate` makes the cable as slow from the middle of the steps on, and what `epilm plan` says of it
is printed beside how much longer a step took. `--pull STEP` pulls the cable out after that step:
both must end within a minute, each with a message that names the other, and leave whole states.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

HOSTS = ("epilm-a", "epilm-b")
ADDRESSES = ("10.77.0.1", "10.77.0.2")
RECIPE = ("genebert_native", "--size", "tiny")
KEYS = (
    "train.log_every=1",
    "train.checkpoint_every=3",
    "train.precision=fp32",
    "train.validate_samples=0",
)


def impossible() -> str | None:
    """Say why this machine cannot have two hosts; None where it can."""
    if os.geteuid() != 0:
        return "network name spaces want root"
    if shutil.which("ip") is None:
        return "there is no ip command (iproute2)"
    if subprocess.run(["ip", "netns", "add", "epilm-try"], capture_output=True).returncode:
        return "the kernel gives no network name space"
    subprocess.run(["ip", "netns", "del", "epilm-try"], check=False)
    return None


def run(*words: str) -> None:
    """Run a command of the system; an error ends the script."""
    subprocess.run(words, check=True)


def inside(host: str, *words: str) -> list[str]:
    """The words of a command that runs on a host, under its name."""
    named = f'hostname {host} && exec "$@"'
    return ["ip", "netns", "exec", host, "unshare", "--uts", "sh", "-c", named, "sh", *words]


def cabled() -> None:
    """Make both hosts and the cable between them."""
    for host in HOSTS:
        run("ip", "netns", "add", host)
    pair = ("netns", HOSTS[0], "type", "veth", "peer", "name", "cable0", "netns", HOSTS[1])
    run("ip", "link", "add", "cable0", *pair)
    for host, address in zip(HOSTS, ADDRESSES, strict=True):
        there = ("ip", "-n", host)
        run(*there, "address", "add", f"{address}/24", "dev", "cable0")
        run(*there, "link", "set", "cable0", "up")
        run(*there, "link", "set", "lo", "up")


def slowed(rate: str) -> None:
    """Let each end of the cable send so much at a time."""
    shape = ("root", "tbf", "rate", rate, "burst", "32kb", "latency", "400ms")
    for host in HOSTS:
        run("ip", "netns", "exec", host, "tc", "qdisc", "add", "dev", "cable0", *shape)


def pulled_out() -> None:
    """Pull the cable out; neither end hears of it."""
    run("ip", "-n", HOSTS[1], "link", "set", "cable0", "down")


def removed() -> None:
    """Take the hosts away, and the cable with them."""
    for host in HOSTS:
        subprocess.run(["ip", "netns", "del", host], capture_output=True, check=False)


def start(host: int, store: Path, out: Path, steps: int, log: Path) -> subprocess.Popen[bytes]:
    """Start the one process of a host under torchrun."""
    keys = (*KEYS, f"train.steps={steps}", "train.devices=2")
    switches = [word for key in keys for word in ("--set", key)]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
    command += ["--nproc-per-node", "1", "--node-rank", str(host)]
    command += ["--master-addr", ADDRESSES[0], "--master-port", "29511"]
    command += ["--local-addr", ADDRESSES[host], "-m", "epilm", "pretrain", *RECIPE]
    command += ["--device", "cpu", "--store", str(store), "--out", str(out), *switches]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "cable0", "OMP_NUM_THREADS": "1"}
    with open(log, "wb") as file:
        return subprocess.Popen(
            inside(HOSTS[host], *command), stdout=file, stderr=file, env=environment
        )


def rows(out: Path) -> list[dict[str, float]]:
    """Read the lines of training so far; the last one may be half written."""
    path = out / "metrics.jsonl"
    whole = path.read_text().split("\n")[:-1] if path.is_file() else []
    return [row for row in map(json.loads, whole) if row["split"] == "train"]


def together(
    store: Path, out: Path, steps: int, at: int, then: Callable[[], None] | None
) -> tuple[list[int], float]:
    """Run the job; do something to the cable after a step; give exit codes and the seconds from
    that to the last end.
    """
    logs = [out.with_name(f"{out.name}.{host}.log") for host in HOSTS]
    processes = [start(host, store, out, steps, log) for host, log in enumerate(logs)]
    done = None
    while any(process.poll() is None for process in processes):
        time.sleep(0.05)
        if then is not None and done is None and len(rows(out)) >= at:
            then()
            done = time.monotonic()
    ended = 0.0 if done is None else time.monotonic() - done
    for host, log in zip(HOSTS, logs, strict=True):
        for line in log.read_text(errors="replace").splitlines():
            if not line.startswith(("W", "E", "[W", "[E", " ")):
                print(f"{host}: {line}")
    return [process.returncode for process in processes], ended


def compared(store: Path, out: Path, at: int, rate: str) -> None:
    """Print what the slow cable cost a step, and what `epilm plan` says of it."""
    times = [row["step_seconds"] for row in rows(out)]
    # The step in which the cable became slow counts for neither.
    fast, slow = statistics.median(times[1:at]), statistics.median(times[at + 1 :])
    gbit = float(rate.removesuffix("mbit")) / 1000
    command = [sys.executable, "-m", "epilm", "plan", *RECIPE, "--store", str(store)]
    command += ["--devices", "2", "--nodes", "2", "--link", str(gbit), "--device", "cpu"]
    done = subprocess.run(
        [*command, "--no-calibrate", "--json"], check=True, capture_output=True, text=True
    )
    network = json.loads(done.stdout)["network"]
    print(
        f"steps of {fast:.3f} s became {slow:.3f} s at {rate}: {slow - fast:.3f} s more; the plan"
        f" says {network['seconds']:.3f} s for {network['sent'] / 1e6:.2f} MB"
    )


def main(words: Sequence[str] | None = None) -> int:
    """Run the job on two hosts; 1 where it did not end as it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rate", help="of the cable, as tc writes it: 10mbit")
    parser.add_argument("--pull", type=int, help="pull the cable out after this step")
    given = parser.parse_args(words)
    if (why := impossible()) is not None:
        print(f"two hosts cannot be made here: {why}", file=sys.stderr)
        return 2
    removed()
    try:
        cabled()
        given.out.parent.mkdir(parents=True, exist_ok=True)
        if given.pull is not None:
            steps, at, then = 100_000, given.pull, pulled_out
        else:
            steps, at = given.steps, given.steps // 2
            then = None if given.rate is None else partial(slowed, given.rate)
        codes, ended = together(given.store, given.out, steps, at, then)
    finally:
        removed()
    times = [row["step_seconds"] for row in rows(given.out)]
    print(f"exit codes {codes}; {len(times)} steps, median {statistics.median(times):.3f} s")
    if given.pull is not None:
        print(f"ended {ended:.0f} s after the cable was pulled")
        return 0 if all(codes) and ended < 60 else 1
    if given.rate is not None:
        compared(given.store, given.out, at, given.rate)
    return 0 if codes == [0, 0] else 1


if __name__ == "__main__":
    sys.exit(main())
