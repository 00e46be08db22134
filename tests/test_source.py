"""Rules for the source tree that no linter knows: what must never be called, said or left behind."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
SKIPPED = {".git", ".venv", "site", "demo", "runs", "build", "dist", "__pycache__"}
BANNED_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "imp", "telnetlib"}
BANNED_NAMES = {"eval", "exec", "__import__", "breakpoint"}
BANNED_CALLS = {
    "torch.load",
    "yaml.load",
    "os.system",
    "os.popen",
    "pd.read_pickle",
    "pandas.read_pickle",
    "tempfile.mktemp",
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls() -> Iterator[tuple[Path, ast.Call, str]]:
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                yield path, node, dotted(node.func)


def committed() -> list[Path]:
    """Files that are or may be committed: what git knows or does not ignore; without git, all but build outputs."""
    if (ROOT / ".git").exists():
        words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        if listed.returncode == 0:
            return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    return [
        p for p in ROOT.rglob("*")
        if p.is_file() and not SKIPPED & set(p.relative_to(ROOT).parts) and ".egg-info" not in str(p) and "_cache" not in str(p)
        and ".hypothesis" not in p.parts
    ]  # fmt: skip


def texts() -> Iterator[tuple[Path, str]]:
    for path in committed():
        try:
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_the_lists_are_not_empty() -> None:
    assert len(SOURCES) > 50 and len(list(texts())) > 100


def test_nothing_unpickles_or_evaluates() -> None:
    found = []
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found += [f"{place(path, node)} imports {n}" for n in names if n.split(".")[0] in BANNED_MODULES]
    for path, call, name in calls():
        if name in BANNED_NAMES or name in BANNED_CALLS:
            found.append(f"{place(path, call)} calls {name}")
        for word in call.keywords:
            on = isinstance(word.value, ast.Constant) and word.value.value is True
            if word.arg in ("allow_pickle", "shell", "trust_remote_code") and on:
                found.append(f"{place(path, call)} passes {word.arg}=True")
    assert found == []


def test_input_is_never_asserted() -> None:
    assert [place(p, n) for p in SOURCES for n in ast.walk(tree(p)) if isinstance(n, ast.Assert)] == []


def test_only_the_command_line_prints() -> None:
    found = [place(p, c) for p, c, name in calls() if name in ("print", "sys.stdout.write")]
    assert [line for line in found if not line.startswith("src/ecotone/cli/")] == []


def test_library_opens_no_connection() -> None:
    network = {"socket", "urllib", "http", "requests", "aiohttp", "httpx", "ftplib", "huggingface_hub"}
    found = []
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{place(path, node)} {n}" for n in names if n.split(".")[0] in network]
    # the lock needs the host's name to recognise a lock left by another machine; weights named on the hub are fetched from there
    allowed = ("src/ecotone/files/lock.py", "src/ecotone/nn/pretrained.py")
    assert [line for line in found if not line.startswith(allowed)] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_two_ideas(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500


def test_packages_import_nothing() -> None:
    """A package's __init__ holds its docstring, so that importing one room does not import another."""
    for path in SOURCES:
        if path.name == "__init__.py" and path.parent.name != "ecotone":
            assert all(isinstance(n, ast.Expr) for n in tree(path).body), path


# ------------------------------------------------------------------------------------------------ what must not be said
def _in(*parts: str) -> re.Pattern[str]:
    return re.compile("".join(parts))


def test_no_machine_paths() -> None:
    machine = _in(r"(?<![\w.~-])/", r"(?:work|root|home|Users)/", r"[A-Za-z0-9_.-]+")
    windows = _in(r"[A-Z]:\\", r"Users\\")
    found = [
        f"{path}: {hit.group(0)}"
        for path, text in texts()
        for pattern in (machine, windows)
        for hit in pattern.finditer(text)
        if path != Path("tests/test_source.py")
    ]
    allowed = re.compile(r"^tests/.*: /(home|Users)/")  # made-up homes in tests of path handling
    assert [line for line in found if not allowed.match(line)] == []


def test_shared_data_is_named_by_ci_only() -> None:
    folder = _in(r"\.\./", "shared")
    assert [str(path) for path, text in texts() if folder.search(text) and path.as_posix() != ".ci/run"] == []


def test_no_credentials_or_index_addresses() -> None:
    secret = _in("(?i)", r"(api[_-]?key|secret|password|token)", r"\s*[=:]\s*['\"][A-Za-z0-9+/_-]{16,}['\"]")
    assert [str(path) for path, text in texts() if secret.search(text)] == []
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|--|file:|@", pins)


# ------------------------------------------------------------------------------------------------ pins
def test_every_dependency_is_pinned() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    plain = {re.sub(r"[-_.]+", "-", name).lower() for name in pins}
    missing = [d for d in wanted if re.sub(r"[-_.]+", "-", re.split(r"[<>=!~ \[;]", d)[0]).lower() not in plain]
    assert missing == []
    assert pins["torch"] == "2.13.0"
    assert not {"torchvision", "timm", "ecotone"} & plain
