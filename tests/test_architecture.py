"""Imports go one way, and the science runs where nothing else of ours is installed."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
OPTIONAL = {"highspy", "onnx", "onnxruntime", "onnxscript"}
"""Packages of extras: whoever asks for what needs them is told."""
LAYERS = ("cli", "cluster", "storage", "qpmstudy")  # each may import those after it
SCIENCE = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "safetensors",
    "schedulefree",
    "jaxtyping",
    "matplotlib",
    "gurobipy",
)
NOT_SCIENCE = ("ray", "zarr", "optuna", "pyarrow", "click", "pydantic", "rich", "tensorboard")
FORBIDDEN = {
    "qpmstudy": {*NOT_SCIENCE, "yaml"},
    "storage": {"ray", "optuna", "click", "rich", "tensorboard"},
}
COMMANDS = (
    *(
        "options",
        "study",
        "look",
        "upkeep",
        "embed",
        "select",
        "models",
        "infer",
        "explain",
        "results",
    ),
    "cluster",
)
AT_HOME = {
    "gurobipy": {"qpmstudy/selection/gurobi.py", "qpmstudy/selection/gurobi_environment.py"},
    "highspy": {"qpmstudy/selection/highs.py"},
    "timm": {"qpmstudy/backbones/networks.py"},
    "huggingface_hub": {"qpmstudy/backbones/hub.py"},
    "click": {"cli.py", *(f"cluster/commands/{name}.py" for name in COMMANDS)},
    "fsspec": {"storage/places.py"},
    **{name: {"qpmstudy/onnx_file.py"} for name in ("onnx", "onnxruntime", "onnxscript")},
}
"""Packages that only these files import: what needs none of them runs without them."""
RECORDERS = {
    "qpmstudy/stages/select.py",  # when a solver took a step, for TensorBoard
    "qpmstudy/training.py",  # when an epoch ended, for TensorBoard
    "storage/artifacts.py",  # when a result was written, in its manifest
    "storage/cancel.py",  # when somebody asked a driver to stop
    "cluster/replicate.py",  # when a row was committed
    "cluster/event_file.py",  # TensorBoard's own stamps
    "cluster/trial_events.py",  # when a run of HParams began and ended
}
"""Files that note the time of day for people; nothing is decided by it, as clocks may jump."""
AGES = {"storage/garbage.py"}
"""Files that read when others were written: ages are told by one clock, the file system's."""
WALL = {"time", "time_ns", "localtime", "gmtime", "ctime", "now", "utcnow", "today"}
STAMPS = {"st_mtime", "st_mtime_ns", "st_ctime", "st_ctime_ns", "getmtime"}


def sources() -> Iterator[tuple[str, Path]]:
    """Yield the layer and path of every module."""
    yield "cli", ROOT / "cli.py"
    for layer in LAYERS[1:]:
        for path in sorted((ROOT / layer).rglob("*.py")):
            yield layer, path


def imported(path: Path) -> set[str]:
    """Return the first name of every import of a module, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add((node.module or "").partition(".")[0])
    return found


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_imports_go_one_way() -> None:
    seen = dict.fromkeys(LAYERS, 0)
    for layer, path in sources():
        above = set(LAYERS[: LAYERS.index(layer)])
        assert not imported(path) & above, path
        seen[layer] += 1
    assert all(seen.values())


def test_each_layer_keeps_off_the_libraries_of_others() -> None:
    for layer, path in sources():
        assert not imported(path) & FORBIDDEN.get(layer, set()), path


def test_some_packages_stay_in_their_own_files() -> None:
    for _, path in sources():
        for package, home in AT_HOME.items():
            if package in imported(path):
                assert path.relative_to(ROOT).as_posix() in home


def attributes(path: Path) -> Iterator[tuple[str, str]]:
    """Yield every NAME.ATTRIBUTE of a module; NAME is "" where it is no plain name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield (node.value.id if isinstance(node.value, ast.Name) else ""), node.attr
        elif isinstance(node, ast.ImportFrom) and node.module in ("time", "os.path"):
            yield from ((node.module, alias.name) for alias in node.names)


def test_the_time_of_day_is_noted_and_decides_nothing() -> None:
    clocks = ("time", "datetime", "date", "dt")
    noting, aging = set(), set()
    for _, path in sources():
        name = path.relative_to(ROOT).as_posix()
        for owner, attribute in attributes(path):
            if owner in clocks and attribute in WALL:
                noting.add(name)
            elif attribute in STAMPS:
                aging.add(name)
    assert noting == RECORDERS
    assert aging == AGES


def test_nothing_but_the_command_line_knows_the_commands() -> None:
    home = ROOT / "cluster" / "commands"
    assert {path.stem for path in home.glob("*.py")} == {"__init__", *COMMANDS}
    for layer, path in sources():
        knows = "cluster.commands" in path.read_text(encoding="utf-8")
        assert knows == (layer == "cli") or home in path.parents, path


def test_tables_of_contents_name_every_module() -> None:
    """A package that says what is in it says all of it, and nothing that is not there."""
    told = set()
    for package in {path.parent for _, path in sources()} - {ROOT}:
        contents = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
        modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
        named = {name for name in modules if re.search(rf"\b{name}\b", contents)}
        if len(named) > len(modules) / 2:
            told.add(package.relative_to(ROOT).as_posix())
            assert named == modules, f"{package}: {modules - named}"
            assert set(re.findall(r"^(\w+)\.py\b", contents, re.MULTILINE)) <= modules, package
    assert {"cluster/commands", "qpmstudy/selection", "storage/study"} <= told


def test_the_map_names_files_that_are_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", text))
    there = {path.relative_to(ROOT).as_posix() for _, path in sources()}
    there |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    assert len(named) > 100
    for name in named:
        assert any(f"/{path}".endswith(f"/{name}") for path in there), name


def test_every_dependency_is_declared() -> None:
    """What the code imports and what an installation brings are the same packages."""
    own = {*sys.stdlib_module_names, *LAYERS}
    used = set().union(*(imported(path) for _, path in sources())) - own - OPTIONAL
    providers = metadata.packages_distributions()
    declared = {Requirement(line).name for line in pyproject()["project"]["dependencies"]}
    for package in used:
        assert {name.lower() for name in providers[package]} & declared, package


def test_the_linter_checks_the_same_rules() -> None:
    linter = pyproject()["tool"]["importlinter"]
    contracts = {contract["type"]: contract for contract in linter["contracts"]}
    # cli.py is no package, so the linter cannot see it: the tests above do.
    assert tuple(contracts["layers"]["layers"]) == LAYERS[1:]
    assert set(linter["root_packages"]) == set(LAYERS[1:])
    for contract in linter["contracts"]:
        assert "ignore_imports" not in contract
        if contract["type"] == "forbidden":
            (source,) = contract["source_modules"]
            assert set(contract["forbidden_modules"]) == FORBIDDEN[source]


def test_importing_the_science_is_light() -> None:
    """`from qpmstudy import load` is what brings torch, not `import qpmstudy`."""
    program = (
        "import qpmstudy, sys; print(qpmstudy.__version__, *{'torch', 'numpy'} & {*sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["0.1.0"]


@pytest.mark.slow
def test_the_linters_contracts_hold() -> None:
    """Through other modules too, which reading each file by itself cannot see."""
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():
        pytest.skip("import-linter is not installed (pip install -e '.[dev]')")
    result = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def closure(names: tuple[str, ...]) -> set[str]:
    """Return the installed distributions that `names` need, themselves included."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # a requirement of another platform
        key = distribution.metadata["Name"].lower()
        if key not in found:
            found.add(key)
            wanted = map(Requirement, distribution.requires or [])
            waiting += [
                need.name
                for need in wanted
                if need.marker is None or need.marker.evaluate({"extra": ""})
            ]
    return found


def link(distribution: metadata.Distribution, site: Path) -> None:
    """Link the top-level files of a distribution into `site`; shared folders one level deeper."""
    for file in distribution.files or []:
        depth = 2 if file.parts[0] in ("nvidia", "google") else 1
        if file.parts[0] in ("..", "bin", "__pycache__") or len(file.parts) < depth:
            continue
        target = Path(*file.parts[:depth])
        source = Path(str(distribution.locate_file(target)))
        if source.exists() and not (site / target).exists():
            (site / target).parent.mkdir(exist_ok=True)
            (site / target).symlink_to(source)


@pytest.mark.slow
def test_the_science_runs_without_the_rest(tmp_path: Path) -> None:
    """In an environment of the science's requirements alone; the rest really is absent."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    (site,) = (tmp_path / "bare" / "lib").glob("python*/site-packages")
    for name in closure(SCIENCE):
        link(metadata.distribution(name), site)
    program = (
        "import importlib.util, sys\n"
        f"sys.path.append({str(ROOT)!r})\n"
        f"rest = {(*NOT_SCIENCE, 'yaml')!r}\n"
        "there = [name for name in rest if importlib.util.find_spec(name)]\n"
        "assert not there, there\n"
        "import qpmstudy.pipeline, qpmstudy.prediction_report, qpmstudy.plots, qpmstudy.pareto\n"
        "from qpmstudy.backbones.opening import open_backbone\n"
        "from qpmstudy.selection import SOLVERS\n"
        "import qpmstudy.predicting, qpmstudy.verification, qpmstudy.onnx_file\n"
        "assert qpmstudy.load is qpmstudy.exported.load_model\n"
        "open_backbone('patch-descriptor'), SOLVERS.get('lagrangian'), SOLVERS.get('gurobi')\n"
        "ours = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not ours & {*rest, 'storage', 'cluster'}\n"
        "print('alone', qpmstudy.pipeline.__file__)\n"
    )
    result = subprocess.run(
        [tmp_path / "bare" / "bin" / "python", "-I", "-c", program],  # -I: no PYTHONPATH
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("alone " + str(ROOT))


HEAVY = {"torch", "sklearn", "scipy", "matplotlib", "timm"}


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("cluster.launch", HEAVY),
        ("cluster.coordinator", HEAVY),
        ("cluster.stage_ledger", HEAVY),
        ("storage.study", HEAVY),
        ("qpmstudy.pipeline", {"sklearn", "pandas", "matplotlib", "timm"}),
    ],
)
def test_nobody_waits_for_what_does_not_compute_there(module: str, without: set[str]) -> None:
    """Each of these is a process of its own in every study; torch alone takes seconds."""
    program = (
        "import importlib, sys, cluster\n"
        f"importlib.import_module({module!r})\n"
        f"print(sorted({without!r} & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "[]", result.stdout + result.stderr
