"""Two machines that are none: one pre-training over two network name spaces of this one.

Each "host" has a network of its own, with a cable between them, and a host name of its own;
torchrun starts one process on each. Wants root and iproute2. The run's folder is the same for both,
as on a shared disk.

    python tools/two_hosts.py --store play.store --out runs/hosts
    python tools/two_hosts.py --store play.store --out runs/slow --rate 100mbit
    python tools/two_hosts.py --store play.store --out runs/lost --pull 5

`--rate` makes the cable as slow, and what `epilm plan` says of it is printed beside what a step
took. `--pull STEP` pulls the cable out after that step: both must end within a minute, each with a
message that names the other, and leave whole states.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
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


def cabled(rate: str | None) -> None:
    """Make both hosts and the cable between them."""
    for host in HOSTS:
        run("ip", "netns", "add", host)
    run(
        "ip",
        "link",
        "add",
        "cable0",
        "netns",
        HOSTS[0],
        "type",
        "veth",
        "peer",
        "name",
        "cable0",
        "netns",
        HOSTS[1],
    )
    for host, address in zip(HOSTS, ADDRESSES, strict=True):
        there = ("ip", "-n", host)
        run(*there, "address", "add", f"{address}/24", "dev", "cable0")
        run(*there, "link", "set", "cable0", "up")
        run(*there, "link", "set", "lo", "up")
        if rate is not None:
            run(
                "ip",
                "netns",
                "exec",
                host,
                "tc",
                "qdisc",
                "add",
                "dev",
                "cable0",
                "root",
                "tbf",
                "rate",
                rate,
                "burst",
                "256kb",
                "latency",
                "400ms",
            )


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


def together(store: Path, out: Path, steps: int, pull: int | None) -> tuple[list[int], float]:
    """Run the job; give exit codes and the seconds from pulling the cable to the last end."""
    logs = [out.with_name(f"{out.name}.{host}.log") for host in HOSTS]
    processes = [start(host, store, out, steps, log) for host, log in enumerate(logs)]
    pulled = None
    while any(process.poll() is None for process in processes):
        time.sleep(0.1)
        if pull is not None and pulled is None and len(rows(out)) >= pull:
            run("ip", "-n", HOSTS[1], "link", "set", "cable0", "down")
            pulled = time.monotonic()
    ended = 0.0 if pulled is None else time.monotonic() - pulled
    for host, log in zip(HOSTS, logs, strict=True):
        for line in log.read_text(errors="replace").splitlines():
            if not line.startswith(("W", "E", "[W", "[E", " ")):
                print(f"{host}: {line}")
    return [process.returncode for process in processes], ended


def told(store: Path, steps: int, rate: str | None) -> None:
    """Print what `epilm plan` says of the same run over the same cable."""
    gbit = 200.0 if rate is None else float(rate.removesuffix("mbit")) / 1000
    keys = [word for key in (*KEYS, f"train.steps={steps}") for word in ("--set", key)]
    more = ["--devices", "2", "--nodes", "2", "--link", str(gbit), "--device", "cpu", "--json"]
    command = [sys.executable, "-m", "epilm", "plan", *RECIPE, "--store", str(store), *keys, *more]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    plan = json.loads(done.stdout)
    network = plan["network"]
    print(
        f"plan: {network['sent'] / 1e6:.2f} MB a step, {network['seconds']:.3f} s of it; in all"
        f" {plan['step_seconds']:.3f} s a step"
    )


def main(words: Sequence[str] | None = None) -> int:
    """Run the job on two hosts; 1 where it did not end as it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rate", help="of the cable, as tc writes it: 100mbit")
    parser.add_argument("--pull", type=int, help="pull the cable out after this step")
    given = parser.parse_args(words)
    if (why := impossible()) is not None:
        print(f"two hosts cannot be made here: {why}", file=sys.stderr)
        return 2
    removed()
    try:
        cabled(given.rate)
        steps = given.steps if given.pull is None else 100_000
        given.out.parent.mkdir(parents=True, exist_ok=True)
        codes, ended = together(given.store, given.out, steps, given.pull)
    finally:
        removed()
    times = [row["step_seconds"] for row in rows(given.out)]
    print(f"exit codes {codes}; {len(times)} steps, median {statistics.median(times):.3f} s")
    if given.pull is not None:
        print(f"ended {ended:.0f} s after the cable was pulled")
        return 0 if all(codes) and ended < 60 else 1
    told(given.store, steps, given.rate)
    return 0 if codes == [0, 0] else 1


if __name__ == "__main__":
    sys.exit(main())
