"""The results of `benchmarks.gpu` as a page and a picture: goal, stretch, measured, and what bounds
each row.
"""

from collections.abc import Sequence
from typing import Any

TITLES = {
    "H1": "EBERT-base step, data included: share of the ceiling",
    "H2": "the paper's whole pre-training, EBERT / DBERT, extrapolated",
    "H3": "against transformers BertForMaskedLM (sdpa, same precision, compiled where it can be)",
    "H4": "GeneBERT, 512 tokens + native tower, exact contrast",
    "H5": "GeneBERT on all ten regions, about 5,000 tokens, attention weights without dropout",
    "H6": "step with data / step on one constant batch (the worse model)",
    "H7": "exact fp32 motif scores, both strands, 579 motifs",
}
GOALS = {
    "H1": ("45 %", "55 %"),
    "H2": ("36 h / 31 h", "30 h / 26 h"),
    "H3": ("1.3x", "1.8x"),
    "H4": ("38 %", "45 %"),
    "H5": ("40 %", "50 %"),
    "H6": ("1.01", "1.002"),
    "H7": ("0.3 T/s", "1 T/s"),
}


def measured(row: str, values: dict[str, Any]) -> str:
    """One row's figure as text.

    Examples
    --------
    >>> measured("H3", {"ratio": 1.234})
    '1.23x'
    """
    if row in ("H1", "H4", "H5"):
        return f"{values['mfu']:.1%}, {values['samples_per_second']:.4g} samples/s"
    if row == "H2":
        return f"{values['hours_ebert']:.3g} h / {values['hours_dbert']:.3g} h"
    if row == "H7":
        return f"{values['per_second'] / 1e12:.3g} T/s"
    return f"{values['ratio']:.2f}x" if row == "H3" else f"{values['ratio']:.4f}"


def reached(row: str, values: dict[str, Any]) -> str:
    """stretch, goal or below, of the numbers of GOALS."""
    hours = ("hours_ebert", "hours_dbert")
    checks: dict[str, tuple[bool, bool]] = {}
    if row in ("H1", "H4", "H5"):
        checks[row] = (values["mfu"] >= _share(row, 0), values["mfu"] >= _share(row, 1))
    elif row == "H2":
        aims = ((36, 31), (30, 26))
        checks[row] = tuple(
            all(values[h] <= a for h, a in zip(hours, aim, strict=True)) for aim in aims
        )  # type: ignore[assignment]
    elif row == "H3":
        checks[row] = (values["ratio"] >= 1.3, values["ratio"] >= 1.8)
    elif row == "H6":
        checks[row] = (values["ratio"] <= 1.01, values["ratio"] <= 1.002)
    else:
        checks[row] = (values["per_second"] >= 0.3e12, values["per_second"] >= 1e12)
    goal, stretch = checks[row]
    return "stretch" if stretch else "goal" if goal else "below"


def _share(row: str, which: int) -> float:
    return float(GOALS[row][which].split()[0]) / 100


def bound(row: str, results: dict[str, Any]) -> str:
    """What holds a row back, from the profile of the step it times."""
    if row == "H7":
        best = results["parts"]["H7"]["values"]["best"]
        return (
            f"form {best['form']} {best.get('kind', '')}: {best['seconds']:.3g} s a pass; the other"
            " forms are in results.json"
        )
    profile = results["parts"].get("profile", {}).get("values", {})
    one = profile.get("genebert" if row in ("H4", "H5") else "ebert")
    if not one:
        return "no profile"
    shares = sorted(one["shares_of_busy"].items(), key=lambda item: -item[1])[:3]
    idle = one["idle_share_of_step"]
    return ", ".join(f"{kind} {share:.0%}" for kind, share in shares) + (
        f"; device idle {idle:.0%} under the profiler" if idle is not None else ""
    )


def table(results: dict[str, Any]) -> list[str]:
    """The H rows."""
    real = results["environment"]["is_gpu"] and not results["tiny"]
    lines = [
        "| row | what | goal | stretch | measured | reached | what bounds it |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, title in TITLES.items():
        part = results["parts"].get(row, {"status": "not run"})
        goal, stretch = GOALS[row]
        if part["status"] != "ok":
            why = part.get("error", "")
            lines.append(
                f"| {row} | {title} | {goal} | {stretch} | {part['status']} | - | {_cell(why)} |"
            )
            continue
        verdict = reached(row, part["values"]) if real else "not comparable"
        lines.append(
            f"| {row} | {title} | {goal} | {stretch} | {measured(row, part['values'])} | {verdict}"
            f" | {_cell(bound(row, results))} |"
        )
    return lines


def _cell(text: Any) -> str:
    return str(text).replace("|", "/").replace("\n", " ")


def page(results: dict[str, Any]) -> str:
    """All results as Markdown."""
    env = results["environment"]
    lines = ["# One device: what was checked, measured and trained", ""]
    if not (env["is_gpu"] and not results["tiny"]):
        lines += [
            (
                "**Not a GPU at full size: a rehearsal of the script. No figure below is a result"
                " of the H rows.**"
            ),
            "",
        ]
    lines += [
        (
            f"{results['date']}, {env['device']}, torch {env['torch']},"
            f" {env.get('memory_gb') or 0:.0f} GB; store: {results['store']}. Ceiling of bf16"
            f" products: {results['ceiling'] / 1e12:.4g} TFLOP/s ({results['ceiling_from']}). MFU"
            " counts the head on hidden tokens alone and nothing done twice (gpu_flops.py)."
        ),
        "",
        *table(results),
        "",
        "## Parts",
        "",
        "| part | status | seconds | note |",
        "|---|---|---|---|",
    ]
    for name, part in results["parts"].items():
        lines.append(
            f"| {name} | {part['status']} | {part.get('seconds', 0):.1f} |"
            f" {_cell(part.get('error', ''))} |"
        )
    told = results["parts"].get("plan", {}).get("values", {})
    if "samples_per_second" in told:
        lines += ["", "## What `epilm plan` foretold of H1", ""]
        for what in (
            "time_told_over_measured",
            "memory_told_over_measured",
            "flops_told_over_counted",
        ):
            ratio = told[what]
            lines.append(f"- {what.replace('_', ' ')}: {'-' if ratio is None else f'{ratio:.3f}'}")
    bins = results["parts"].get("predict", {}).get("values")
    if bins:
        lines += [
            "",
            "## Prediction of bins",
            "",
            (
                f"- EBERT, windows of {bins['window_bp']} bp: {bins['bins_per_second']:,.0f} bins a"
                f" second in batches of {bins['batch']}"
            ),
        ]
        lines += [f"- {what}: {hours:.2f} h" for what, hours in bins["hours"].items()]
    parity = results["parts"].get("parity", {}).get("values")
    if parity:
        lines += [
            "",
            "## Fast paths against the plain ones",
            "",
            "| check | verdict | found | limit | note |",
            "|---|---|---|---|---|",
        ]
        for row in parity["checks"]:
            found = f"{row['found']:.2g}" if "found" in row else "-"
            limit = f"{row['limit']:.2g}" if "limit" in row else "-"
            lines.append(
                f"| {row['check']} | {row['verdict']} | {found} | {limit} |"
                f" {_cell(row.get('note', ''))} |"
            )
    profile = results["parts"].get("profile", {}).get("values")
    if profile:
        lines += [
            "",
            "## Where a step's time goes",
            "",
            "| model | share | of the device's busy time |",
            "|---|---|---|",
        ]
        for name, one in profile.items():
            for kind, share in one["shares_of_busy"].items():
                lines.append(f"| {name} | {kind} | {share:.1%} |")
    lines += ["", "## Trained", ""]
    for name in ("train small", "train base"):
        values = results["parts"].get(name, {}).get("values")
        if values:
            valid = {
                k: v
                for k, v in (values.get("valid") or {}).items()
                if k not in ("step", "split", "seconds")
            }
            shown = ", ".join(
                f"{k} {v:.4g}" for k, v in list(valid.items())[:8] if isinstance(v, int | float)
            )
            lines.append(
                f"- {values['model']} {values['size']}: {values['steps_done']} of"
                f" {values['steps_planned']} steps of {values['batch']}, held out"
                f" {values['held_out']}: {shown or values.get('stopped', '-')}"
            )
    slices = results["parts"].get("slices", {}).get("values")
    if slices:
        stopped = f" ({slices['stopped']})" if "stopped" in slices else ""
        lines += [
            "",
            f"## Base size on real slices{stopped}",
            "",
            "| seed | arm | auPRC (DG) | AP | auROC | seconds |",
            "|---|---|---|---|---|---|",
        ]
        for row in slices["rows"]:
            scores = " | ".join(f"{row[key]:.4f}" for key in ("auprc_dg", "ap", "auroc"))
            lines.append(f"| {row['seed']} | {row['arm']} | {scores} | {row['seconds']:.0f} |")
    return "\n".join([*lines, ""])


def curves(all_curves: dict[str, list[dict[str, Any]]], key: str = "loss") -> str:
    """Training losses over steps as an SVG; each curve scaled to its own steps.

    Examples
    --------
    >>> curves(
    ...     {
    ...         "a": [
    ...             {"step": 1, "split": "train", "loss": 2.0},
    ...             {"step": 2, "split": "train", "loss": 1.0},
    ...         ]
    ...     }
    ... ).count("<polyline")
    1
    """
    width, height, edge, legend = 820, 360, 48, 230
    colours = ("#1b6ca8", "#c7522a", "#3a7d44", "#7b4b94")
    lines: list[tuple[str, Sequence[tuple[float, float]], str, bool]] = []
    for number, (name, rows) in enumerate(all_curves.items()):
        for split in ("train", "valid"):
            points = [
                (float(r["step"]), float(total))
                for r in rows
                if r.get("split") == split and isinstance(total := r.get(key), int | float)
            ]
            if points:
                lines.append((f"{name} {split}", points, colours[number % 4], split == "valid"))
    if not lines:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"><text'
            ' x="20" y="40">no curve</text></svg>\n'
        )
    high = max(y for _, points, _, _ in lines for _, y in points)
    low = min(y for _, points, _, _ in lines for _, y in points)
    span = max(high - low, 1e-9)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            ' font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="4" y="{edge}">{high:.3g}</text><text x="4" y="{height - edge}">{low:.3g}</text>',
        (
            f'<text x="{(width - legend) // 2 - 60}" y="{height - 10}">steps, each run to its'
            f' last</text><text x="4" y="16">{key}</text>'
        ),
    ]
    for number, (name, points, colour, dashed) in enumerate(lines):
        last = max(x for x, _ in points) or 1.0
        across, up = (width - edge - legend) / last, (height - 2 * edge) / span
        at = " ".join(
            f"{edge + x * across:.1f},{height - edge - (y - low) * up:.1f}" for x, y in points
        )
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        parts.append(
            f'<polyline points="{at}" fill="none" stroke="{colour}" stroke-width="1.5"{dash}/><text'
            f' x="{width - legend + 12}" y="{edge + 16 * number}" fill="{colour}">{name} (to step'
            f" {last:.0f})</text>"
        )
    return "\n".join([*parts, "</svg>", ""])
