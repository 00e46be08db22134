"""The command itself: help, usage errors, tracebacks, standard output that breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ecotone.cli.main import VERBS

PROGRAM = str(Path(sys.executable).with_name("ecotone"))


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_verb_whole(ecotone, words):
    ended = ecotone(*words)
    assert ended.status == 0 and not ended.err
    lines = {line.split()[0]: line for line in ended.out.splitlines() if line.startswith("  ") and line.split()}
    for verb, text in VERBS.items():
        assert text.partition(": ")[0] in lines[verb]
    assert ended.out.startswith("Usage: ecotone ")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("form", ["VERB --help", "VERB -h", "help VERB"])
def test_every_verb_has_help(ecotone, verb, form):
    ended = ecotone(*form.replace("VERB", verb).split())
    assert ended.status == 0 and not ended.err
    assert ended.out.startswith(f"usage: ecotone {verb}")
    assert "\n\n\n" not in ended.out and ended.out.count("\n") >= 2


def test_help_of_a_system_lists_all_its_options(ecotone):
    from ecotone.species.options import Inputs
    from ecotone.systems.deepmaxent.config import Config

    out = ecotone("fit", "deepmaxent", "--help").out
    for name in [*Inputs.model_fields, *Config.model_fields, "out", "quiet", "debug"]:
        assert f"\n  --{name.replace('_', '-')}" in out


@pytest.mark.parametrize("verb", ["map", "predict", "evaluate", "explain"])
def test_help_of_a_run_lists_its_options(ecotone, fitted, verb):
    ended = ecotone(verb, fitted, "--help")
    assert ended.status == 0 and "--out" in ended.out
    if verb == "predict":  # the column of species and the species asked for are two options
        assert "\n  --species " in ended.out and "\n  --only-species " in ended.out


def test_version(ecotone):
    from ecotone import __version__

    assert ecotone("--version").out == f"ecotone {__version__}\n"


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["fitt"], "US101", "did you mean 'fit'?"),
        (["--hlep"], "US101", "did you mean '--help'?"),
        (["-x"], "US101", "known: --help, --version"),
        (["fit"], "US105", "usage: ecotone fit SYSTEM"),
        (["fit", "deepmaxen"], "US102", "did you mean 'deepmaxent'?"),
        (["fit", "geoplant"], "US102", "ready: deepmaxent"),
        (["fit", "deepmaxent"], "US105", "--occurrences"),
        (["fit", "deepmaxent", "--occurrences", "x.csv"], "US105", "--covariates"),
        (["fit", "deepmaxent", "--occurrences", "x.csv", "--covariates", "y.tif"], "US105", "--out runs/deepmaxent"),
        (["fit", "deepmaxent", "--epoch", "3"], "US101", "did you mean '--epochs'?"),
        (["fit", "deepmaxent", "--epochs"], "US104", "--epochs VALUE"),
        (["fit", "deepmaxent", "--epochs", "-3"], "US104", "greater than or equal to 1"),
        (["fit", "deepmaxent", "--epochs", "many"], "US104", "'many'"),
        (["fit", "deepmaxent", "--width", "1000000000"], "US104", "8192"),
        (["fit", "deepmaxent", "--loss", "poison"], "US101", "did you mean 'poisson'?"),
        (["fit", "deepmaxent", "--features", "hing"], "US104", "hinge"),
        (["fit", "deepmaxent", "stray"], "US101", "stray"),
        (["fit", "deepmaxent", "-o", "x"], "US101", "start with --"),
        (["map"], "US105", "usage: ecotone map RUN"),
        (["predict"], "US105", "usage: ecotone predict RUN"),
        (["evaluate"], "US105", "RUN"),
        (["explain"], "US105", "RUN"),
        (["report"], "US105", "RUN"),
        (["embed"], "US105", "RUN"),
        (["zeroshot"], "US105", "RUN"),
        (["replay"], "US105", "run.json"),
        (["bench"], "US105", "NAME"),
        (["bench", "nceaas"], "US101", "did you mean 'nceas'?"),
        (["demo", "deepmaxnt"], "US102", "did you mean 'deepmaxent'?"),
        (["list", "sistems"], "US101", "did you mean 'systems'?"),
        (["list", "--json"], "US101", "--json"),
        (["data", "lst"], "US101", "did you mean 'list'?"),
        (["data", "get"], "US105", "ecotone data list"),
        (["data", "get", "bradipus"], "US101", "did you mean 'bradypus'?"),
        (["doctor", "--raster-crs", "EPSG:4326"], "US105", "FILE"),
    ],
)
def test_usage_errors_are_one_line_with_status_2(ecotone, words, code, hint):
    if words[:2] == ["fit", "deepmaxent"] and words[2:3] not in ([], ["--occurrences"]):
        words = [*words[:2], "--occurrences", "x.csv", "--covariates", "y.tif", "--out", "nowhere", *words[2:]]
        words = [*words[:-1], words[-1]] if words[-1] != "stray" else ["fit", "deepmaxent", "stray", "--out", "x"]
    ended = ecotone(*words)
    assert (ended.status, ended.error) == (2, code), ended.err
    assert hint in ended.err and not ended.out


def test_a_traceback_is_shown_to_those_who_ask(ecotone, tmp_path):
    words = ["map", tmp_path / "none", "--out", tmp_path / "m.tif"]
    plain, debug = ecotone(*words), ecotone(*words, "--debug")
    assert plain.status == debug.status == 3
    assert "Traceback" not in plain.err and debug.err.startswith("Traceback")
    assert plain.err == debug.err.splitlines()[-1] + "\n"


def test_a_bug_is_one_line_with_status_1(ecotone, monkeypatch):
    monkeypatch.setattr("ecotone.cli.list_.table", lambda rows: 1 / 0)
    ended = ecotone("list")
    assert ended.status == 1
    assert ended.err == "bug: ZeroDivisionError: division by zero - run again with --debug and report what it shows\n"


def test_running_out_of_memory_and_ctrl_c_have_their_words(ecotone, monkeypatch):
    for kind, code in ((MemoryError, "ST104"), (KeyboardInterrupt, "ST101")):

        def broken(rows, kind=kind):
            raise kind

        monkeypatch.setattr("ecotone.cli.list_.table", broken)
        ended = ecotone("list")
        assert (ended.status, ended.error) == (6, code)


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX systems")
def test_a_reader_that_goes_away_is_no_error():
    process = subprocess.Popen([PROGRAM, "list", "errors"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert (process.stderr.read(), process.wait(60)) == (b"", 0)
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_output_that_cannot_be_written_is_told():
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run([PROGRAM, "list", "errors"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 6
    assert ended.stderr.startswith("error[ST102]: standard output: disk full")


def test_reading_goes_on_when_nobody_reads(world, ecotone, no_report, tmp_path, monkeypatch):
    """A fit whose output is piped to `head` still ends with a whole run."""
    import builtins

    written = []

    def broken(*values, **how):
        if how.get("file") is None:
            written.append(values)
            raise BrokenPipeError

    monkeypatch.setattr(builtins, "print", broken)
    assert ecotone(*world.fit(tmp_path / "run")).status == 0
    assert written and (tmp_path / "run" / "evidence").is_dir()


@pytest.mark.parametrize("what", ["systems", "errors"])
def test_list_says_all(ecotone, what):
    from ecotone.errors import CODES
    from ecotone.registry import SYSTEMS

    out = ecotone("list", what).out
    assert all(name in out for name in (SYSTEMS if what == "systems" else CODES))
    if what == "systems":
        line = next(line for line in out.splitlines() if line.startswith("deepmaxent"))
        assert "fit, predict, explain, evaluate, map" in line and "embed" not in line


def test_narrow_screens_get_paragraphs(monkeypatch):
    from ecotone.cli import screen

    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    lines = screen.table([{"name": "a", "what": "word " * 30}, {"name": "b", "what": "short"}])
    assert all(len(line) <= 60 for line in lines) and lines[0] == "a" and lines[-1].split() == ["what", "short"]
    assert screen.table([]) == []
