"""epilm: pre-train, fine-tune, evaluate and explain epigenomic language models.

Nothing heavy is imported here: `import epilm` costs milliseconds. The public
functions are found on first use (`epilm.build`, `epilm.pretrain`, ...).
"""

import os
from importlib import import_module
from typing import Any

# Intel's library sums in an order that hangs on where memory begins, unless it is told before its
# first product not to: the same call would end in other last bits on several threads. It costs
# 1 to 3 % of a product's time on one thread, up to 10 % on two.
os.environ.setdefault("MKL_CBWR", "AUTO")

__version__ = "0.1.0"

# name -> module that defines it. One line a public function; each is also a command.
_PUBLIC = {
    "ablate": "epilm.trials.ablate",
    "build": "epilm.store.making.build",
    "compare": "epilm.trials.compare",
    "demo": "epilm.tour.demo",
    "embed": "epilm.vectors.embed",
    "ensemble": "epilm.finetuning.ensemble",
    "evaluate": "epilm.finetuning.evaluate",
    "explain": "epilm.explaining.explain",
    "explore": "epilm.exploring.explore",
    "export": "epilm.hub.export",
    "fetch": "epilm.fetching.fetch",
    "finetune": "epilm.finetuning.finetune",
    "inspect": "epilm.store.inspect",
    "leaderboard": "epilm.rankings.leaderboard",
    "load": "epilm.hub.load",
    "merge": "epilm.sharding.merge",
    "plan": "epilm.planning.plan",
    "predict": "epilm.finetuning.predict",
    "pretrain": "epilm.pretraining.pretrain",
    "report": "epilm.reporting",
    "risk": "epilm.cohorts.risk",
    "score_variants": "epilm.variants.score",
    "simulate": "epilm.playground.simulate",
    "simulate_cohort": "epilm.cohorts.simulate_cohort",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'epilm' has no attribute {name!r}")
