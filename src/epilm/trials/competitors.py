"""Who competes in a comparison: NAME=RUN as it is typed, pre-trainings of one recipe, their mean,
frozen models, heads; and the rates that they learn at.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

from epilm.errors import UsageError, nearest
from epilm.finetuning.preset import PRESETS, find_preset
from epilm.models.networks import HEADS
from epilm.trials.choices import Networks
from epilm.trials.learn import Competitor, Learning

FROZEN = "frozen"
FUSIONS = ("concat", "cross_attention")
# A head that gives a row of one sequence one answer; the linear one is every task's own.
OTHER_HEADS = tuple(
    name
    for name, head in HEADS.items()
    if name != "linear" and not head.per_base and 1 in head.loci
)
READINGS = (*FUSIONS, FROZEN, *OTHER_HEADS)  # of NAME=RUN@READING


def competitors_of(texts: Iterable[str]) -> list[Competitor]:
    """Read NAME=RUN, NAME=RUN@FUSION, NAME=RUN@frozen and NAME=RUN@HEAD, several of which may
    stand in one word with commas.

    One name for several runs says that they are pre-trainings of one recipe: each is a competitor,
    NAME.1 and on, and together they are the group NAME.

    Raises
    ------
    UsageError
        If there is no "=", behind "@" stands what is not known, or a run stands twice under one
        name.

    Examples
    --------
    >>> [(c.name, c.checkpoint, c.fusion) for c in competitors_of(["a=run,b=run@concat"])]
    [('a', 'run', 'none'), ('b', 'run', 'concat')]
    >>> [(c.name, c.checkpoint, c.group) for c in competitors_of(["lab=seed1", "lab=seed2"])]
    [('lab.1', 'seed1', 'lab'), ('lab.2', 'seed2', 'lab')]
    >>> [(c.name, c.checkpoint, c.frozen) for c in competitors_of(["vectors=run@frozen"])]
    [('vectors', 'run', True)]
    >>> [(c.name, c.checkpoint, c.head) for c in competitors_of(["laid=run@places"])]
    [('laid', 'run', 'places')]
    """
    out = []
    for text in (one for words in texts for one in words.split(",")):
        name, equals, where = text.partition("=")
        if not equals:
            raise UsageError("a model is NAME=RUN", where=f"--models {text}")
        path, at, how = where.partition("@")
        if at and how not in READINGS:
            raise UsageError(
                "unknown way to read a model",
                where=f"--models {text}",
                found=how,
                expected=" | ".join(f"{name}=RUN@{one}" for one in READINGS),
                do=nearest(how, READINGS),
            )
        fusion = how if how in FUSIONS else "none"
        head = how if how in OTHER_HEADS else None
        out.append(Competitor(name, path, fusion=fusion, frozen=how == FROZEN, head=head))
    return _grouped(out)


def with_ensembles(models: Sequence[Competitor]) -> list[Competitor]:
    """Add, of each recipe that has several pre-trainings, NAME.ensemble: their mean.

    Raises
    ------
    UsageError
        If no recipe has.

    Examples
    --------
    >>> made = with_ensembles(competitors_of(["lab=seed1", "lab=seed2", "other=run"]))
    >>> [(c.name, c.members) for c in made[2:]]
    [('other', ()), ('lab.ensemble', ('lab.1', 'lab.2'))]
    """
    groups: dict[str, list[Competitor]] = {}
    for model in models:
        if model.group:
            groups.setdefault(model.group, []).append(model)
    if not groups:
        raise UsageError(
            "an ensemble is of several pre-trainings of one recipe",
            where="--ensemble",
            found=", ".join(model.name for model in models) or "no model",
            do="Give them one name: --models lab=RUN1 lab=RUN2.",
        )
    joined = [
        replace(
            mine[0],
            name=f"{group}.ensemble",
            checkpoint=" + ".join(model.checkpoint for model in mine),
            group="",
            members=tuple(model.name for model in mine),
        )
        for group, mine in groups.items()
    ]
    return [*models, *joined]


def _grouped(models: Sequence[Competitor]) -> list[Competitor]:
    names = [model.name for model in models]
    out: list[Competitor] = []
    for at, model in enumerate(models):
        if names.count(model.name) > 1:
            if model in models[:at]:
                raise UsageError(
                    "the same run stands twice under one name",
                    where="--models",
                    found=f"{model.name}={model.checkpoint}",
                    expected="several pre-trainings of one recipe, each a run of its own",
                )
            number = names[: at + 1].count(model.name)
            model = replace(model, name=f"{model.name}.{number}", group=model.name)
        out.append(model)
    return out


def learning_of(
    learning: Networks, models: Sequence[Competitor] = ()
) -> tuple[Learning, list[float]]:
    """Settings of the networks, and the rates to choose among where there are several.

    Where no rate is given it is 2e-4, as the papers' sizes want it; if lab recipes pre-trained all
    the models it is that of their preset.
    """
    values = asdict(learning)
    rates = values.pop("lr") or [_usual_rate(models)]
    return Learning(lr=rates[0], **values), rates if len(rates) > 1 else []


def _usual_rate(models: Sequence[Competitor]) -> float:
    presets = {find_preset(each.checkpoint)[0] for each in models if not each.members}
    if len(presets) != 1 or presets == {"none"}:
        return 2e-4
    return float(PRESETS[presets.pop()].values["lr"])
