"""Base size on real slices: EBERT and DBERT pre-trained, fine-tuned and tested as `dream_base.yaml`
says, seed by seed while there is time.

Everything is `epilm.ablate`'s own code in a scratch folder; rows that are done when the time is
over are kept.
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu_subjects import OutOfTime
from benchmarks.gpu_train import read_curve

if TYPE_CHECKING:
    from benchmarks.gpu import Session

DESCRIPTION = Path(__file__).with_name("dream_base.yaml")
SEEDS = (1, 2, 3)


def slices(session: "Session", limit: float) -> dict[str, Any]:
    """Run the description on the carried store and labels; losses of both pre-trainings go into the
    session's curves.
    """
    from epilm.trials.ablate import ablate
    from epilm.trials.choices import LabFiles

    folder = session.scratch / "slices"
    out: dict[str, Any] = {"seeds": [], "rows": []}
    try:
        for seed in SEEDS:
            if out["seeds"] and time.monotonic() > limit:
                break
            found = ablate(
                DESCRIPTION,
                folder,
                data=LabFiles(session.training.path, session.labels, session.regions),
                seeds=[*out["seeds"], seed],
                size="tiny" if session.tiny else None,
            )
            out["seeds"].append(seed)
            out["table"] = found.text()
    except OutOfTime as error:  # what was done before counts
        out["stopped"] = str(error)
    except Exception:
        session.partial = collected(session, folder, out)
        raise
    collected(session, folder, out)
    if not out["rows"] and not any(
        rows for name, rows in session.curves.items() if name.startswith("slices_")
    ):
        raise RuntimeError(out.get("stopped", "nothing was done"))
    return out


def collected(session: "Session", folder: Path, out: dict[str, Any]) -> dict[str, Any]:
    """Add the rows that are done; losses of the pre-trainings go into the session's curves."""
    rows = folder / "rows.jsonl"
    if rows.is_file():
        out["rows"] = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    for run in sorted(folder.glob("runs/*")):
        session.curves[f"slices_{run.name}"] = read_curve(run)
    return out
