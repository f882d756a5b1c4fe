"""`epilm ensemble`: several fine-tuned models as one."""

from pathlib import Path


def ensemble(runs: list[Path], *, out: Path, overwrite: bool = False, json: bool = False) -> None:
    """Join fine-tuned models into one that says the mean of what they say.

    Their logits are averaged; a threshold is fitted anew on the valid part. The folder holds all
    weights and needs the runs no more.

    Examples:
    epilm ensemble ft1 ft2 ft3 --out ft_all
    epilm evaluate ft_all --data other.tsv

    Parameters
    ----------
    runs
        Runs of epilm finetune on the same data: other pre-trainings of one recipe, other seeds.
    out
        The model folder; predict, evaluate and score-variants take it as they take a run.
    overwrite
        Replace the folder where it exists.
    json
        Print what it is as JSON.
    """
    import json as writer
    import sys

    from epilm.finetuning.ensemble import ensemble as run

    made = run(runs, out, overwrite=overwrite)
    labels, notes = made.about["labels"], made.about["notes"]
    for note in notes:
        print(f"WARNING: {note}", file=sys.stderr)
    if json:
        known = {"path": str(made.path), "members": made.about["members"], "labels": labels}
        known["notes"] = notes
        print(writer.dumps(known, indent=2))
        return
    begins = labels.get("threshold")
    of = "" if begins is None else f", {labels['names'][1]} from a probability of {begins:.3f} on"
    print(f"{len(made.about['members'])} models of {made.about['task']} in {made.path}{of}")
