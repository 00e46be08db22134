"""What importing costs, and that the public names are there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch", "lightning_fabric", "rasterio", "pandas", "geopandas", "pyogrio", "pyarrow", "matplotlib", "sklearn", "scipy",
    "numpy", "pydantic", "jinja2", "rdata", "safetensors",
)  # fmt: skip
NO_SOCKETS = """
import socket
def refuse(*args, **kwargs):
    raise RuntimeError("the network was used")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
"""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_importing_ecotone_is_light() -> None:
    loaded = python(f"import sys, ecotone; print([m for m in {HEAVY!r} if m in sys.modules])")
    assert loaded == "[]"


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from ecotone.cli.main import main
main(["--help"])
print([m for m in {HEAVY!r} if m in sys.modules])
"""
    assert python(code).splitlines()[-1] == "[]"


def test_help_answers_at_once() -> None:
    """Half a second of processor time, best of three; waiting for other processes does not count."""
    command = str(Path(sys.executable).with_name("ecotone"))
    spent = []
    for _ in range(3):
        before = os.times()
        subprocess.run([command, "--help"], capture_output=True, check=True, timeout=60)
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(spent) < 0.5, spent


def test_no_module_uses_the_network_or_prints_when_imported() -> None:
    code = (
        NO_SOCKETS
        + """
import importlib, pkgutil, warnings
import ecotone
warnings.simplefilter("error", ResourceWarning)
names = [m.name for m in pkgutil.walk_packages(ecotone.__path__, "ecotone.")]
for name in names:
    importlib.import_module(name)
print(len(names) > 50)
"""
    )
    assert python(code) == "True"


@pytest.mark.parametrize("name", __import__("ecotone").__all__)
def test_public_names_resolve(name: str) -> None:
    import ecotone

    assert getattr(ecotone, name) is not None
    assert name in dir(ecotone)


def test_unknown_names_are_attribute_errors() -> None:
    import ecotone

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ecotone.nothing


def test_the_lazy_table_and_the_public_list_agree() -> None:
    import ecotone

    assert set(ecotone._PUBLIC) | {"__version__"} == set(ecotone.__all__)
