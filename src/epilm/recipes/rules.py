"""What a recipe's values must fulfil: ranges of single keys, and keys that must agree.

Every rule is a line here or stands with its objective (`epilm.objectives`), so that nothing is
found out after an hour of training.
`epilm.recipes.recipe` calls them; messages name the key and where it stands.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from epilm.errors import RecipeError, nearest
from epilm.objectives.objective import Misfit
from epilm.objectives.parts import idle_processes
from epilm.objectives.table import OBJECTIVES, ranges
from epilm.tokens.kmers import n_window_tokens

if TYPE_CHECKING:
    from epilm.recipes.recipe import Recipe

Where = Callable[[str], str]

# key -> (lowest, highest), both allowed; None = no limit on that side. Those of `objectives` stand
# with each.
RANGES: dict[str, tuple[float | None, float | None]] = {
    "model.k": (3, 7),
    "model.stride": (1, None),
    "model.max_tokens": (8, None),
    "model.projection_dim": (1, None),
    "model.encoder.hidden": (1, None),
    "model.encoder.layers": (1, None),
    "model.encoder.heads": (1, None),
    "model.encoder.ffn": (1, None),
    "model.encoder.dropout": (0, 0.99),
    "model.encoder.attention_dropout": (0, 0.99),
    "model.encoder.max_positions": (8, None),
    "model.stem.filters": (1, 4096),
    "model.stem.width": (1, 200),
    "model.tower.embed": (1, None),
    "model.tower.window": (1, None),
    "samples.regions": (1, 1000),
    "samples.group_stride": (1, None),
    "samples.window_bp": (1, 1_000_000),
    "samples.window_stride": (1, None),
    "samples.window_jitter": (0, None),
    "samples.window_max_n": (0, 1),
    "samples.region_jitter": (0, None),
    "samples.on_regions": (0, 1),
    "samples.shuffled": (0, 0.9),
    "optim.peak_lr": (1e-9, 10),
    "optim.eps": (1e-12, 1),
    "optim.weight_decay": (0, 10),
    "optim.warmup_steps": (0, None),
    "optim.clip": (0, None),
    "optim.tower_lr_multiplier": (0, 100),
    "train.steps": (1, None),
    "train.batch_size": (1, None),
    "train.micro_batch": (1, None),
    "train.seed": (0, 2**31 - 1),
    "train.devices": (1, None),
    "train.checkpoint_every": (1, None),
    "train.keep_checkpoints": (1, None),
    "train.log_every": (1, None),
    "train.validate_every": (1, None),
    "train.validate_samples": (0, None),
    "train.patience": (1, None),
}


def _read(recipe: Any, key: str) -> Any:
    for part in key.split("."):
        recipe = getattr(recipe, part, None)  # a table that is null has no keys
    return recipe


def _refuse(where: Where, key: str, what: str, **rest: Any) -> None:
    raise RecipeError(what, where=where(key), **rest)


def check_values(recipe: "Recipe", where: Where) -> None:
    """Refuse a recipe whose values cannot work, whatever the store.

    Parameters
    ----------
    recipe : Recipe
    where : callable
        Key to "file, line, key", for messages.

    Raises
    ------
    RecipeError
        At the first rule that is broken.
    """
    for key, (low, high) in (RANGES | ranges()).items():
        value = _read(recipe, key)
        if value is None:
            continue
        if (
            (low is not None and value < low)
            or (high is not None and value > high)
            or value != value
        ):
            limits = [f"at least {low:g}"] if low is not None else []
            limits += [f"at most {high:g}"] if high is not None else []
            _refuse(
                where, key, "the value is out of range", found=value, expected=" and ".join(limits)
            )
    if not all(0 <= beta < 1 for beta in recipe.optim.betas):
        _refuse(
            where,
            "optim.betas",
            "out of range",
            found=list(recipe.optim.betas),
            expected="0 <= beta < 1",
        )
    _check_streams(recipe, where)
    check_objectives(recipe, where)
    _check_windows(recipe, where)
    _check_model(recipe, where)
    _check_batches(recipe, where)
    _check_strategy(recipe, where)


def _check_strategy(recipe: "Recipe", where: Where) -> None:
    """What goes with weights that are cut up over devices."""
    train, key = recipe.train, "train.strategy"
    if train.strategy != "fsdp":
        return
    if train.devices == 1:
        _refuse(
            where,
            key,
            "fsdp cuts a model up over several devices, and there is one",
            found=f"train.devices {train.devices}",
            do="Set train.devices, or leave train.strategy out.",
        )
    if recipe.optim.name != "adamw":
        _refuse(
            where,
            key,
            "the optimiser moves whole matrices, and fsdp cuts them up",
            found=f"optim.name {recipe.optim.name}",
            expected="optim.name adamw, or train.strategy ddp",
        )
    if train.compile == "blocks":
        _refuse(
            where,
            key,
            "blocks whose weights are gathered in every pass are not compiled",
            found=f"train.compile {train.compile}",
            expected="train.compile auto or off, or train.strategy ddp",
        )


def _check_streams(recipe: "Recipe", where: Where) -> None:
    model = recipe.model
    if not any(part.weight > 0 for part in recipe.objectives.parts().values()):
        _refuse(where, "objectives", "every objective has weight 0: nothing would be learned")
    if "dna" not in model.streams:
        _refuse(where, "model.streams", "the dna stream is needed", found=list(model.streams))
    if len(set(model.streams)) != len(model.streams):
        _refuse(where, "model.streams", "a stream stands twice", found=list(model.streams))
    if model.name == "dnabert" and set(model.streams) != {"dna"}:
        _refuse(
            where,
            "model.streams",
            "dnabert reads dna alone",
            found=list(model.streams),
            expected="[dna]",
        )
    if model.fusion != "none" and "factors" not in model.streams:
        _refuse(where, "model.fusion", "fusion needs the factors stream", found=model.fusion)
    if ("contacts" in model.streams) != (model.contacts != "none"):
        _refuse(
            where,
            "model.contacts",
            "the contacts stream and its use must be given together",
            found=f"streams {list(model.streams)}, contacts {model.contacts}",
        )


def check_objectives(recipe: Any, where: Where) -> None:
    """Refuse what an objective that is on does not go with.

    Parameters
    ----------
    recipe : Recipe, or anything with its `model`, `objectives` and `samples`
    where : callable
        Key to where it stands, for messages.

    Raises
    ------
    RecipeError
        At the first misfit.
    """
    for name, part in recipe.objectives.parts().items():
        if part.weight > 0:
            for misfit in OBJECTIVES[name].needs(recipe):
                _refuse(where, misfit.key, misfit.what, **_rest(misfit))


def _rest(misfit: Misfit) -> dict[str, Any]:
    given = {"found": misfit.found, "expected": misfit.expected, "do": misfit.do}
    return {key: value for key, value in given.items() if value is not None}


# model.name -> streams of the models that read windows.
WINDOW_MODELS = {"ebert": {"dna", "states"}, "dbert": {"dna"}}


def _check_windows(recipe: "Recipe", where: Where) -> None:
    """Refuse what does not go with windows, and windows with what does not read them."""
    _check_units(recipe, where)
    if recipe.model.name in WINDOW_MODELS:
        _check_what_windows_have(recipe, where)
        _check_room_for_windows(recipe, where)


def _check_units(recipe: "Recipe", where: Where) -> None:
    """Refuse regions or windows where a model reads the other."""
    model, samples = recipe.model, recipe.samples
    if model.name not in WINDOW_MODELS:
        if samples.unit == "windows":
            _refuse(
                where,
                "samples.unit",
                f"{model.name} reads regions, not windows",
                found="windows",
                expected="regions, or model.name ebert or dbert",
            )
        if "states" in model.streams:
            _refuse(
                where,
                "model.streams",
                f"{model.name} reads no chromatin states",
                found=list(model.streams),
                do="Leave states out, or set model.name to ebert and samples.unit to windows.",
            )
    elif samples.region_jitter:
        _refuse(
            where,
            "samples.region_jitter",
            f"{model.name} reads windows, not regions",
            found=samples.region_jitter,
            expected="0; samples.window_jitter moves windows",
        )
    for key in ("on_regions", "shuffled"):
        if model.name not in WINDOW_MODELS and getattr(samples, key) > 0:
            _refuse(
                where,
                f"samples.{key}",
                f"{model.name} reads accessible regions alone",
                found=getattr(samples, key),
                expected="0, or model.name ebert or dbert",
            )
    if samples.shuffled > 0 and recipe.objectives.motif_sites.weight <= 0:
        _refuse(
            where,
            "samples.shuffled",
            "shuffled sequence teaches motif sites alone, and none are asked",
            found=samples.shuffled,
            expected="0, or objectives.motif_sites.weight above 0",
        )


def _check_what_windows_have(recipe: "Recipe", where: Where) -> None:
    """Refuse streams and objectives that windows have not."""
    model, samples = recipe.model, recipe.samples
    if samples.unit != "windows":
        _refuse(
            where,
            "samples.unit",
            f"{model.name} reads windows of the genome",
            found=samples.unit,
            expected="windows",
        )
    streams = WINDOW_MODELS[model.name]
    if set(model.streams) != streams:
        _refuse(
            where,
            "model.streams",
            f"{model.name} reads {' and '.join(sorted(streams))}",
            found=list(model.streams),
            expected=f"[{', '.join(sorted(streams))}]",
        )
    for name, part in recipe.objectives.parts().items():
        if part.weight > 0 and "windows" not in OBJECTIVES[name].reads:
            _refuse(
                where,
                f"objectives.{name}.weight",
                "the objective needs regions, and windows have none",
                found=part.weight,
                expected="0",
            )


def _check_room_for_windows(recipe: "Recipe", where: Where) -> None:
    """Refuse windows without a k-mer, or with more tokens than the model reads."""
    model, samples = recipe.model, recipe.samples
    tokens = n_window_tokens(samples.window_bp, model.k, model.stride, model.tail)
    if tokens < 1:
        _refuse(
            where,
            "samples.window_bp",
            "the window holds no k-mer",
            found=samples.window_bp,
            expected=f"at least model.k, {model.k}",
        )
    tokens += 2 * model.special_tokens
    if tokens > model.max_tokens:
        _refuse(
            where,
            "model.max_tokens",
            "the tokens of a window do not fit",
            found=model.max_tokens,
            expected=(
                f"at least {tokens}: windows of {samples.window_bp} bp, k {model.k}, stride"
                f" {model.stride}"
            ),
        )


def _check_model(recipe: "Recipe", where: Where) -> None:
    from epilm.models.sizes import encoder_size

    model = recipe.model
    size = encoder_size(model.encoder)
    if size.hidden % size.heads:
        _refuse(
            where,
            "model.encoder.heads",
            "heads must divide hidden",
            found=f"{size.hidden}, {size.heads}",
        )
    if model.encoder.rotary and size.hidden // size.heads % 2:
        _refuse(
            where,
            "model.encoder.rotary",
            "rotary positions need heads of even width",
            found=size.hidden // size.heads,
        )
    if model.layout != "concat" and model.max_tokens > model.encoder.max_positions:
        _refuse(
            where,
            "model.max_tokens",
            "more tokens than the encoder has positions",
            found=model.max_tokens,
            expected=f"at most model.encoder.max_positions, {model.encoder.max_positions}",
        )
    if model.layout == "concat_budget":
        joints = recipe.samples.regions - 1 if model.join == "sep" else 0
        if (model.max_tokens - 2 - joints) // recipe.samples.regions < 1:
            _refuse(
                where,
                "model.max_tokens",
                "no token is left for each region",
                found=model.max_tokens,
                expected=(
                    f"at least {2 * recipe.samples.regions + 1} for {recipe.samples.regions}"
                    " regions"
                ),
            )
    if "factors" in model.streams:
        from epilm.nn.region import REGION_TOWERS

        if model.tower.name not in REGION_TOWERS:
            _refuse(
                where,
                "model.tower.name",
                "unknown region tower",
                found=model.tower.name,
                do=nearest(model.tower.name, REGION_TOWERS),
            )


def _check_batches(recipe: "Recipe", where: Where) -> None:
    train = recipe.train
    if train.batch_size % train.micro_batch:
        _refuse(
            where,
            "train.batch_size",
            "the batch must be whole micro-batches",
            found=train.batch_size,
            expected=f"a multiple of train.micro_batch, {train.micro_batch}",
        )
    for misfit in idle_processes(train.batch_size, train, "micro-batches of the batch"):
        _refuse(where, **misfit._asdict())


def check_store(recipe: "Recipe", store: Any, where: str) -> None:
    """Refuse a store that lacks what the recipe needs.

    Parameters
    ----------
    recipe : Recipe
    store : Store
        Reads `factors`, `motifs`, `statistics`, `contacts`, `states`, `n_regions`, `chroms`,
        `cell_types`.
    where : str
        The store's name, for messages.

    Raises
    ------
    RecipeError
        If a stream is missing, or a held-out chromosome or cell type is unknown.
    StoreError
        If it has fewer factor matrices than tower.prepare=channels shows.
    """
    streams = recipe.model.streams
    if "factors" in streams and store.factors is None:
        raise RecipeError(
            "the recipe needs a factor matrix, the store has none",
            where=where,
            do="Build the store with motifs: epilm build --motifs FILE.",
        )
    if "factors" in streams and recipe.model.tower.prepare == "channels":
        from epilm.batches.factor_reader import channel_statistics

        channel_statistics(store)
    if "states" in streams and store.states is None:
        raise RecipeError(
            "the recipe reads chromatin states, the store has none",
            where=where,
            do=(
                "Build the store with states: epilm build --states FOLDER; or pre-train dbert,"
                " which reads sequence alone."
            ),
        )
    for name, part in recipe.objectives.parts().items():
        if part.weight > 0:
            for misfit in OBJECTIVES[name].needs_of_store(recipe, store):
                raise RecipeError(misfit.what, where=where, **_rest(misfit))
    if recipe.samples.unit == "regions" and not store.n_regions:
        raise RecipeError(
            "the recipe reads accessible regions, the store has none",
            where=where,
            do=(
                "Build the store with peaks: epilm build --peaks FOLDER; or pre-train ebert or"
                " dbert, which read windows."
            ),
        )
    if "contacts" in streams and store.contacts is None:
        raise RecipeError(
            "the recipe needs contacts, the store has none",
            where=where,
            do="Build the store with contacts: epilm build --contacts FILE.",
        )
    _known(recipe.samples.holdout_chroms, store.chroms, "samples.holdout_chroms", where)
    _known(recipe.samples.holdout_cells, store.cell_types, "samples.holdout_cells", where)


def _known(names: Iterable[str], known: Iterable[str], key: str, where: str) -> None:
    known = tuple(known)
    for name in names:
        if name not in known:
            raise RecipeError(
                f"{key} names what the store has not",
                where=where,
                found=name,
                do=nearest(name, known),
            )
