"""A fit that is killed and called again ends in the same bits; with other data it is refused."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from ecotone.errors import IntegrityError, InterruptedRunError
from ecotone.systems.deepmaxent.engine import StackTask
from ecotone.systems.deepmaxent.estimator import DeepMaxent

OPTIONS = {"epochs": 6, "width": 12, "blocks": 1, "members": 2, "batch_size": 20, "min_steps": 0, "dropout": 0.3}


def data(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(90, 3))
    y = rng.poisson(0.3 * np.exp(x @ rng.normal(size=(3, 4))).clip(max=5))
    y[np.arange(90), np.arange(90) % 4] += 1
    return x, y, rng.normal(size=(60, 3))


def weights(model):
    return [p.detach().numpy().copy() for p in model.network_.parameters()]


def fit(folder=None, options=None, change=lambda x, y, cells: (x, y, cells), **more):
    x, y, cells = change(*data())
    return DeepMaxent(**OPTIONS | (options or {})).fit(x, y, background=cells, folder=folder, **more)


class Killed(Exception):
    pass


@pytest.mark.parametrize("normaliser", ["batch", "memory"])
def test_raising_at_any_step_and_fitting_again_changes_nothing(tmp_path, monkeypatch, normaliser):
    """30 steps, a checkpoint every 4; broken off three times."""
    from ecotone.systems.deepmaxent import engine

    plan = engine.Plan
    monkeypatch.setattr(engine, "Plan", lambda **k: plan(**k, checkpoint_every_steps=4, checkpoint_every_s=None))
    options = {"normaliser": normaliser, "background": "mixture"}
    whole = fit(options=options)
    original = StackTask.batch
    reached = []
    for stop in (7, 9, 23):

        def batch(self, at, stop=stop):
            reached.append(at.step)
            if at.step == stop:
                raise Killed
            return original(self, at)

        monkeypatch.setattr(StackTask, "batch", batch)
        with pytest.raises(Killed):
            fit(tmp_path, options)
    monkeypatch.setattr(StackTask, "batch", original)
    resumed = fit(tmp_path, options)
    assert reached.count(0) == 1
    assert reached.count(5) == 2
    for one, other in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    x = data()[0]
    np.testing.assert_array_equal(whole.predict(x), resumed.predict(x))


def test_a_finished_fit_is_read_again_not_repeated(tmp_path, monkeypatch):
    first = fit(tmp_path)
    monkeypatch.setattr(StackTask, "batch", None)
    for one, other in zip(weights(first), weights(fit(tmp_path)), strict=True):
        np.testing.assert_array_equal(one, other)


def _shifted(x, y, cells):
    return x + 1e-9, y, cells


def _one_record_more(x, y, cells):
    y = y.copy()
    y[0, 0] += 1
    return x, y, cells


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"options": {"learning_rate": 0.01}}, "learning_rate"),
        ({"options": {"seed": 1}}, "seed"),
        ({"change": _shifted}, "arrays"),
        ({"change": _one_record_more}, "arrays"),
        ({"change": lambda x, y, cells: (x, y, cells[::-1])}, "arrays"),
        ({"site_weight": np.arange(1.0, 91.0)}, "arrays"),
        ({"fingerprint": {"rasters": "abc"}}, "rasters"),
    ],
)
def test_other_data_or_options_are_refused(tmp_path, more, named):
    fit(tmp_path)
    with pytest.raises(IntegrityError, match=named) as caught:
        fit(tmp_path, **more)
    assert caught.value.code == "IN103"


SCRIPT = """
    import sys
    sys.path.insert(0, {folder!r})
    import torch
    torch.set_num_threads(1)
    from test_resume import OPTIONS, data
    from ecotone.errors import InterruptedRunError
    from ecotone.systems.deepmaxent.engine import StackTask
    from ecotone.systems.deepmaxent.estimator import DeepMaxent
    original = StackTask.batch
    def batch(self, at):
        if at.step == 11:
            print("there", flush=True)
            import time; time.sleep(1)  # the signal arrives here
        return original(self, at)
    StackTask.batch = batch
    x, y, cells = data()
    try:
        DeepMaxent(**OPTIONS).fit(x, y, background=cells, folder=sys.argv[1])
    except InterruptedRunError as error:
        print(error.code, error)
        sys.exit(error.exit_status)
"""


def test_sigterm_saves_and_says_so(tmp_path):
    code = textwrap.dedent(SCRIPT).format(folder=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().strip() == "there"
        process.send_signal(signal.SIGTERM)
        said = process.stdout.read()
    assert process.returncode == InterruptedRunError.exit_status
    assert said.startswith("ST101")
    for one, other in zip(weights(fit()), weights(fit(tmp_path)), strict=True):
        np.testing.assert_array_equal(one, other)
