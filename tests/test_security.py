"""The source runs nothing that a file says: no pickle, eval, YAML tags or arrays of objects."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "epilm"
FILES = sorted(SOURCE.rglob("*.py"))
RUNS_CODE = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "jsonpickle",
}
# A pickle of weights that others released is opened as tensors alone; its refusal is caught there.
FOREIGN_WEIGHTS = "hub/transformers.py"
YAML = {
    f"yaml.{name}{more}"
    for name in ("load", "unsafe_load", "full_load", "compose", "parse")
    for more in ("", "_all")
}


def name_of(node: ast.expr) -> str:
    """`a.b.c` of an expression; "" of another."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def faults(source: str, where: str) -> list[str]:
    """What in a module would run what a file says."""
    bad = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").split(".")[0]]
        bad += [f"import {n}" for n in names if n in RUNS_CODE and where != FOREIGN_WEIGHTS]
        if not isinstance(node, ast.Call):
            continue
        called = name_of(node.func)
        given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
        if called in ("eval", "exec", "compile", "__import__", "os.system", "os.popen"):
            bad.append(called)
        if called.split(".")[0] == "pickle":
            bad.append(called)
        if given.get("shell") is True:
            bad.append(f"{called} with a shell")
        if given.get("allow_pickle") is True:
            bad.append(f"{called} of objects")
        if called == "torch.load" and (
            where != FOREIGN_WEIGHTS or given.get("weights_only") is not True
        ):
            bad.append(called)
        loader = {name_of(k.value) for k in node.keywords if k.arg == "Loader"}
        safe = bool(loader) and loader <= {"_Loader", "yaml.SafeLoader", "yaml.CSafeLoader"}
        if called in YAML and not safe:
            bad.append(f"{called} with {loader or 'no loader'}")
        if called.startswith("tarfile.") or called.endswith((".extractall", ".unpack_archive")):
            bad.append(called)
    return bad


def test_there_is_a_source_to_read():
    assert len(FILES) > 200


def test_nothing_in_the_package_runs_what_a_file_says():
    bad = {}
    for path in FILES:
        where = str(path.relative_to(SOURCE))
        if got := faults(path.read_text(encoding="utf-8"), where):
            bad[where] = got
    assert bad == {}


def test_no_decision_hangs_on_a_clock():
    """Files may come from a machine whose clock is wrong, and a clock may be set back."""
    asks = re.compile(r"st_[mac]time|get[mac]time|\btime\.time\(|datetime\.(now|utcnow|today)")
    bad = [
        (path.relative_to(SOURCE).as_posix(), line)
        for path in FILES
        for line in path.read_text(encoding="utf-8").splitlines()
        if asks.search(line)
    ]
    assert bad == []


def test_the_loader_of_recipes_is_a_safe_one():
    import yaml

    from epilm.recipes.recipe import _Loader

    assert issubclass(_Loader, yaml.SafeLoader)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "eval('1')",
        "exec(text)",
        "import os\nos.system(x)",
        "np.load(p, allow_pickle=True)",
        "torch.load(p, weights_only=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.compose(text)",
        "subprocess.run(x, shell=True)",
        "tarfile.open(p)",
        "z.extractall()",
    ],
)
def test_what_is_looked_for_is_seen(source):
    assert faults(source, "x.py")


@pytest.mark.parametrize(
    "source",
    ["model.eval()", "np.load(p, allow_pickle=False)", "re.compile(x)", "torch.compile(f)"],
)
def test_what_is_harmless_is_let_be(source):
    assert faults(source, "x.py") == []
