"""The tree is what the design says: who imports whom, one door, no loaders of code, small files."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from flwr.cli.build import build_fab_from_disk

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("client", "common", "protos", "server", "simulations")
FILE_LINES, FUNCTION_LINES = 300, 40
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "misc", "manager", "tools"}
EVALUATORS = {"eval", "exec", "compile", "torch.load"}
CODE_LOADERS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
PROCESS_STARTERS = {
    "common/supervision.py",
    "server/superlink.py",
    "simulations/benchmarks/bare.py",
    "simulations/benchmarks/clipping.py",
    "simulations/benchmarks/real_sites.py",
    "simulations/engine.py",
    "simulations/workers.py",
}


def written_files() -> list[Path]:
    """Every module of the project that a person wrote, tests included."""
    files = [*ROOT.glob("*.py"), *ROOT.glob("tests/**/*.py")]
    files += [file for package in PACKAGES for file in ROOT.glob(f"{package}/**/*.py")]
    return sorted(f for f in files if "_pb2" not in f.stem and "node_modules" not in f.parts)


def shipped_files() -> list[Path]:
    """`written_files` without the tests."""
    return [file for file in written_files() if file.relative_to(ROOT).parts[0] != "tests"]


@cache
def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), filename=str(file))


def where(file: Path, node: ast.AST) -> str:
    return f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    """Every imported module of `tree`, wherever it stands, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node, node.module or ""


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Every call of a name or a dotted name, as it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            yield node, ast.unparse(node.func)


def test_import_contracts_hold() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    command = [str(lint), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_modules_are_imported_by_name() -> None:
    """Relative and computed imports would escape the contracts; the table of commands is the exception."""
    found = []
    for file in shipped_files():
        tree = parse(file)
        relative = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level > 0]
        dynamic = [n for n, name in calls(tree) if name.split(".")[-1] in {"import_module", "__import__"}]
        lazy_commands = str(file.relative_to(ROOT)) == "server/shell.py"
        found += [where(file, node) for node in (*relative, *([] if lazy_commands else dynamic))]
    assert not found


def test_the_command_line_loads_nothing_heavy() -> None:
    """Help and a wrong flag answer at once: a command imports what it works with when it works."""
    heavy = ("torch", "flwr", "matplotlib", "scipy", "opacus", "dp_accounting")
    code = (
        "import sys, fedmotion, server.cli, simulations.cli;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_keys_joining_supervisors_and_the_messenger_never_load_torch() -> None:
    """A ClientApp is a fork for every message, a supervisor stays for weeks."""
    light = (
        "common.keys_cli", "client.joining", "server.admission_cli", "client.operation", "server.operation",
        "client.app", "client.courier", "client.remote",
    )  # fmt: skip
    code = f"import sys, {', '.join(light)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_release_is_built_in_the_gate_and_decoded_on_the_wire_only() -> None:
    doors = {"client/gate.py", "common/wire.py", "simulations/benchmarks/secagg.py"}  # which has no people
    found = [
        where(file, node)
        for file in shipped_files()
        if str(file.relative_to(ROOT)) not in doors and "benchmarks" not in file.parts
        for node, name in calls(parse(file))
        if name.split(".")[-1] == "Release"
    ]
    assert not found


def test_draws_are_made_by_the_mechanism_and_by_the_trusted_aggregate_only() -> None:
    """Others may hand over the source of randomness; sampling and noise themselves have two callers."""
    callers = {"common/noise.py", "client/mechanism.py", "server/aggregate.py"}
    found = [
        where(file, node)
        for file in shipped_files()
        if str(file.relative_to(ROOT)) not in callers and "benchmarks" not in file.parts
        for node, name in calls(parse(file))
        if name.split(".")[-1] in {"gaussian", "poisson_sample", "DiscreteGaussian"}
    ]
    assert not found


def test_nothing_loads_code_from_data() -> None:
    found = []
    for file in written_files():
        tree = parse(file)
        found += [where(file, n) for n, name in imports(tree) if name.split(".")[0] in CODE_LOADERS]
        found += [where(file, n) for n, name in calls(tree) if name in EVALUATORS]
    assert not found


def test_only_the_engine_starts_processes() -> None:
    found = [
        where(file, node)
        for file in shipped_files()
        if str(file.relative_to(ROOT)) not in PROCESS_STARTERS
        for node, name in imports(parse(file))
        if name.split(".")[0] in {"subprocess", "multiprocessing"}
    ]
    assert not found


def test_nothing_is_fetched_at_run_time() -> None:
    """The front alone speaks HTTP by itself: it forwards to the SuperLink of its own machine."""
    clients = {"urllib.request", "http.client", "requests", "httpx", "aiohttp", "ftplib"}
    files = [file for file in shipped_files() if file != ROOT / "server" / "front.py"]
    found = [where(f, n) for f in files for n, name in imports(parse(f)) if name in clients]
    assert not found


def test_files_and_functions_are_small() -> None:
    """A function counts from its first statement: the flags of a command are its signature."""
    found = []
    for file in written_files():
        if len(file.read_text().splitlines()) > FILE_LINES:
            found.append(str(file.relative_to(ROOT)))
        for node in ast.walk(parse(file)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.body[0].lineno + 1
                found += [where(file, node)] if lines > FUNCTION_LINES else []
    assert not found


def test_files_are_named_after_what_they_hold() -> None:
    assert not [str(file.relative_to(ROOT)) for file in written_files() if file.stem in VAGUE_NAMES]


def test_every_package_is_in_the_wheel() -> None:
    """A package that pyproject.toml forgets is missing from the wheel, not from a checkout."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {file.parent.relative_to(ROOT) for file in shipped_files()} - {Path()}
    assert sorted(listed) == sorted(".".join(folder.parts) for folder in folders)


def test_flowers_bundle_holds_the_apps_and_stays_small() -> None:
    """Flower refuses a bundle of 10 MiB, and drops what git ignores without a word."""
    bundle = build_fab_from_disk(ROOT)
    names = set(zipfile.ZipFile(io.BytesIO(bundle)).namelist())
    assert len(bundle) < 5 * 2**20
    assert {str(file.relative_to(ROOT)) for file in shipped_files()} | {"protos/gate_pb2.py"} <= names
    assert not [name for name in names if name.startswith("tests/")]
