"""The stubs: against the code, against the extension, and against a user's code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import upconv

HERE = Path(__file__).parent
CONFIG = HERE.parent / "pyproject.toml"


def check(module: str, *arguments: str) -> None:
    """Runs a checker where the package lies, so that it is code of ours, whose errors count."""
    pytest.importorskip("mypy")
    package = Path(upconv.__file__).parents[1]
    environment = {**os.environ, "MYPYPATH": str(package)}
    run = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=package, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_package_is_typed() -> None:
    modules = [f"-m{name}" for name in ("upconv", "upconv.__main__", "upconv._functional", "upconv._layers", "upconv.torch")]
    check("mypy", "--strict", f"--config-file={CONFIG}", "--cache-dir=/dev/null", *modules)


def test_a_users_code_is_checked() -> None:
    check("mypy", "--strict", "--warn-unused-ignores", "--cache-dir=/dev/null", str(HERE / "typed.py"))


def test_the_stubs_are_the_code() -> None:
    pytest.importorskip("numpy", minversion="2.2", reason="the types of older ones do not suffice")
    check("mypy.stubtest", "upconv._upconv", "upconv._functional", "upconv._layers", f"--mypy-config-file={CONFIG}")
