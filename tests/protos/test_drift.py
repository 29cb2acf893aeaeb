"""The committed protobuf modules are what the compiler makes of gate.proto today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generated")
    folder = Path(sys.executable).parent
    names = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    plugins = [f"--plugin={name}={folder / name}" for name in names]
    outputs = [f"--python_out={out}", f"--mypy_out=quiet:{out}"]
    outputs += [f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *plugins, *outputs, "protos/gate.proto"]
    subprocess.run(command, cwd=ROOT, check=True)
    return out


@pytest.mark.parametrize("name", ["gate_pb2.py", "gate_pb2.pyi", "gate_pb2_grpc.py", "gate_pb2_grpc.pyi"])
def test_committed_module_is_what_the_compiler_makes(generated: Path, name: str) -> None:
    fresh, committed = generated / "protos" / name, ROOT / "protos" / name
    assert fresh.read_text() == committed.read_text(), "run `make protos` and commit the result"
