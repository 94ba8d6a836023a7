"""The house stays in order: packages are declared, imports go one way, the wheel is whole."""

from __future__ import annotations

import ast
import graphlib
import importlib.metadata
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOP_FOLDERS = (
    "tools",
    "prompts",
    "memory",
)  # packages autoagent.<name>
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# Who may import whom: a module imports from its own layer and the layers before it, never from a later one.
# Imports inside functions and under TYPE_CHECKING count. "autoagent" is the package's own __init__.
LAYERS = (
    {"errors", "config"},
    {"goal", "trajectory", "events", "home", "settings", "configfile"},
    {"models", "prompts", "memory", "security", "workspace", "snapshots"},
    {"tools"},
    {"plan", "stuck", "deadline", "compaction", "longcall", "conversation", "acting", "loop"},
    {"store"},
    {"episode", "offer", "renewal", "guarding"},
    {"agent"},
    {"autoagent"},
    {"evals"},
    {"nano", "training"},
    {"serve", "cli"},
    {"__main__"},
)
LAYER_OF = {area: number for number, layer in enumerate(LAYERS) for area in layer}
# (importing file, imported area): why this one is right although it points upwards. None may close a circle.
EXCEPTIONS = {
    ("goal.py", "workspace"): "a check is handed the workspace, which itself needs nothing but errors",
}


def package_files(pattern: str = "*") -> Iterator[tuple[str, Path]]:
    """Every file of the package as (path below autoagent/, real path), links followed, caches left out."""
    folders = {name: ROOT / name for name in TOP_FOLDERS}
    for child in (ROOT / "autoagent").iterdir():
        if child.is_dir() and not child.is_symlink():
            folders[child.name] = child
        elif child.is_file() and child.match(pattern):
            yield child.name, child
    for name, folder in folders.items():
        for path in sorted(folder.rglob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{name}/{path.relative_to(folder).as_posix()}", path


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**os.environ, **environment},
        capture_output=True, text=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip


# --- packages --------------------------------------------------------------------------------------------


def test_every_folder_with_python_files_is_a_declared_package() -> None:
    found = {".".join(["autoagent", *Path(name).parent.parts]) for name, _ in package_files("*.py")}
    assert found <= set(PYPROJECT["tool"]["setuptools"]["packages"]), "declare it in pyproject.toml"


def test_every_declared_package_has_an_init_file() -> None:
    present = {name for name, _ in package_files("__init__.py")}
    for package in PYPROJECT["tool"]["setuptools"]["packages"]:
        assert "/".join([*package.split(".")[1:], "__init__.py"]) in present, package


@pytest.mark.parametrize("name", TOP_FOLDERS)
def test_the_links_are_relative_and_lead_to_the_top_folders(name: str) -> None:
    link = ROOT / "autoagent" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../{name}"
    assert link.resolve() == ROOT / name
    assert PYPROJECT["tool"]["setuptools"]["package-dir"][f"autoagent.{name}"] == name


@pytest.mark.parametrize("name", TOP_FOLDERS)
def test_the_top_folders_are_not_importable_by_their_bare_name(name: str, tmp_path: Path) -> None:
    outcome = run(sys.executable, "-c", f"import {name}", cwd=tmp_path)
    assert outcome.returncode == 1
    assert "ModuleNotFoundError" in outcome.stderr


@pytest.mark.parametrize("line", ["import tools", "from prompts import render", "import memory.chroma"])
def test_ruff_refuses_imports_by_the_bare_name(line: str) -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--stdin-filename", "tools/example.py", "-"],
        input=f"{line}\n", cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert "TID251" in outcome.stdout


def test_the_wheel_holds_every_file_and_nothing_at_the_top_but_autoagent(tmp_path: Path) -> None:
    # From a copy: setuptools leaves a build/ folder, whose stale files would end up in the next wheel.
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tree)
    for name in ("autoagent", *TOP_FOLDERS):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    outcome = run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index",
        "--disable-pip-version-check", "--wheel-dir", tmp_path, tree, cwd=tmp_path,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = archive.read("autoagent-0.1.0.dist-info/entry_points.txt").decode()
    assert {name.partition("/")[0] for name in names} == {"autoagent", "autoagent-0.1.0.dist-info"}
    assert {f"autoagent/{name}" for name, _ in package_files()} == {
        name for name in names if name.startswith("autoagent/")
    }
    assert "autoagent-0.1.0.dist-info/licenses/LICENSE" in names
    assert "autoagent = autoagent.cli:main" in entry_points


# --- dependencies ----------------------------------------------------------------------------------------


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_names() -> list[str]:
    project = PYPROJECT["project"]
    lines = project["dependencies"] + [
        x for extra in project["optional-dependencies"].values() for x in extra
    ]
    return [normal(re.match(r"[\w.-]+", line)[0]) for line in lines]  # type: ignore[index]


def test_every_dependency_is_pinned_and_explained() -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {normal(line.partition("==")[0]) for line in constraints.splitlines() if "==" in line}
    explained = normal((ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8"))
    for name in requirement_names():
        assert name in pinned, f"{name} has no pin in constraints.txt"
        assert f"| {name} |" in explained, f"{name} has no line in docs/dependencies.md"


def test_pins_are_exact_and_fit_every_build_of_a_version() -> None:
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(r"#.*|[\w.-]+==[\w.]+", line), line  # "+cpu" would shut out every other build


def test_every_library_that_is_imported_is_declared() -> None:
    providers = importlib.metadata.packages_distributions()
    project = PYPROJECT["project"]
    lines = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {normal(re.split(r"[<>=~! \[]", line)[0]) for line in lines}
    missing = set()
    for name, path in package_files("*.py"):
        tops = {module.partition(".")[0] for module in imported_modules(path, name)}
        for top in tops - sys.stdlib_module_names - {"autoagent"}:
            if not declared & {normal(each) for each in providers.get(top, [top])}:
                missing.add(f"{name} imports {top}")
    assert not missing


# --- imports ---------------------------------------------------------------------------------------------


def area_of(name: str) -> str:
    first = name.partition("/")[0].removesuffix(".py")
    return "autoagent" if first == "__init__" else first


AREAS = {area_of(name) for name, _ in package_files("*.py")}


def imported_modules(source: Path, name: str) -> set[str]:
    """The full dotted names one file imports, at the top, in functions and for type checking."""
    modules = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            here = ["autoagent", *Path(name).parent.parts]
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            modules |= {f"{module}.{alias.name}" for alias in node.names}
    return modules


def imported_areas(source: Path, name: str) -> set[str]:
    """The areas (``loop``, ``models``, ... or ``autoagent`` itself) one file imports from."""
    ours = (module.split(".") for module in imported_modules(source, name))
    return {
        parts[1] if len(parts) > 1 and parts[1] in AREAS else "autoagent"
        for parts in ours
        if parts[0] == "autoagent"
    }


def test_every_module_has_a_layer() -> None:
    assert AREAS - LAYER_OF.keys() == set()


def test_imports_go_one_way() -> None:
    wrong = []
    for name, path in package_files("*.py"):
        for target in imported_areas(path, name):
            if LAYER_OF[target] > LAYER_OF[area_of(name)] and (name, target) not in EXCEPTIONS:
                wrong.append(f"{name} imports {target}")
    assert not wrong


def test_no_two_areas_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for name, path in package_files("*.py"):
        graph.setdefault(area_of(name), set()).update(imported_areas(path, name) - {area_of(name)})
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("names", ["autoagent", "autoagent.cli"])
def test_importing_loads_no_heavy_library(names: str, tmp_path: Path) -> None:
    heavy = "{'torch', 'transformers', 'chromadb', 'accelerate', 'llguidance', 'trl'}"
    probe = f"import sys; import {names}; print(sorted({heavy} & set(sys.modules)))"
    outcome = run(sys.executable, "-c", probe, cwd=tmp_path)
    assert (outcome.stdout.strip(), outcome.stderr) == ("[]", "")


# --- size ------------------------------------------------------------------------------------------------


def test_no_file_grows_past_500_lines() -> None:
    sources = [path for _, path in package_files("*.py")] + list((ROOT / "tests").rglob("*.py"))
    assert not [path.name for path in sources if len(path.read_text(encoding="utf-8").splitlines()) > 500]


# --- commands --------------------------------------------------------------------------------------------


def test_python_dash_m_is_the_same_as_the_command(tmp_path: Path) -> None:
    for command in ([sys.executable, "-m", "autoagent"], [Path(sys.executable).with_name("autoagent")]):
        outcome = run(*command, "models", "--help", cwd=tmp_path)
        assert (outcome.returncode, outcome.stderr) == (0, "")
        assert "rollback" in outcome.stdout


def test_the_installed_version_is_the_declared_one() -> None:
    assert importlib.metadata.version("autoagent") == PYPROJECT["project"]["version"]
