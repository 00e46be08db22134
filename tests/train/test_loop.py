import os
import random
import shutil
import signal
import threading

import numpy as np
import pytest
import torch
from tiny_task import TinyTask, tiny_plan

from ecotone.errors import EcotoneWarning, InputError, IntegrityError, InterruptedRunError, UsageError
from ecotone.train.checkpoint import Shelf
from ecotone.train.loop import fit
from ecotone.train.noise import reseed, step_seed
from ecotone.train.order import permutation
from ecotone.train.stop import stop_requested


def weights(task):
    return {name: tensor.clone() for name, tensor in task.module.state_dict().items()} | {"average": task.average}


def equal(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: its folder, weights and result."""
    folder = tmp_path_factory.mktemp("whole")
    task = TinyTask()
    result = fit(task, tiny_plan(), folder)
    return folder, task, result


def test_the_loop_equals_a_loop_written_out_plainly():
    task, plain = TinyTask(), TinyTask()
    plan = tiny_plan(epochs=3, clip_grad_norm=1.5)
    fit(task, plan)
    optimizer = torch.optim.Adam(plain.module.parameters(), lr=0.02)
    for step in range(18):
        rows = permutation(3, step // 6, 45)[step % 6 * 8 :][:8].copy()
        rng = np.random.Generator(np.random.Philox(step_seed(3, step, 0, "batch")))
        x = plain.x[rows] + torch.from_numpy(rng.normal(scale=0.1, size=(len(rows), 4)).astype(np.float32))
        for group in optimizer.param_groups:
            group["lr"] = 0.02 / (1 + step / 50)
        reseed(step_seed(3, step))
        optimizer.zero_grad()
        ((plain.module(x) - plain.y[rows]) ** 2).mean().backward()
        torch.nn.utils.clip_grad_norm_(plain.module.parameters(), 1.5)
        optimizer.step()
        plain.after_step(step)
    assert equal(weights(task), weights(plain))


def test_every_parameter_changes_and_the_fit_gets_better(whole):
    _, task, result = whole
    fresh = TinyTask()
    for (name, before), after in zip(fresh.module.named_parameters(), task.module.parameters(), strict=True):
        assert not torch.equal(before, after), name
    fresh.module.eval()
    assert result.best_scores["r2"] > fresh.validate()["r2"] + 0.3


def test_same_seed_same_result_other_seed_another(whole, tmp_path, outcome):
    folder, task, _ = whole
    again = TinyTask()
    random.seed(99)
    torch.manual_seed(1234)
    fit(again, tiny_plan(), tmp_path)
    assert outcome(tmp_path) == outcome(folder)
    other = TinyTask()
    fit(other, tiny_plan(seed=4))
    assert not equal(weights(other), weights(task))


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(whole, tmp_path, outcome, workers):
    fit(TinyTask(), tiny_plan(workers=workers), tmp_path)
    assert outcome(tmp_path) == outcome(whole[0])


def test_workers_hand_their_errors_over():
    task = TinyTask()
    task.at_step = lambda step: 1 / (9 - step)
    with pytest.raises(ZeroDivisionError):
        fit(task, tiny_plan(workers=2))
    assert not [t for t in threading.enumerate() if t.name.startswith("ecotone-batch")]


def test_the_caller_keeps_its_random_numbers():
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = torch.rand(1), random.random(), np.random.random()  # noqa: NPY002
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    fit(TinyTask(), tiny_plan(epochs=1))
    assert (torch.rand(1), random.random(), np.random.random()) == expected  # noqa: NPY002


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_next_call_goes_on_exactly(whole, tmp_path, outcome, number):
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    for stop in (5, 17):
        task = TinyTask()
        task.at_step = lambda step, stop=stop: os.kill(os.getpid(), number) if step == stop else None
        with pytest.raises(InterruptedRunError) as caught:
            fit(task, tiny_plan(checkpoint_every_steps=None), tmp_path)
        assert caught.value.code == "ST101"
        assert f"{stop + 1} of 30 steps, saved" in str(caught.value)
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    task = TinyTask()
    result = fit(task, tiny_plan(), tmp_path)
    assert result.resumed_at == 18
    assert equal(weights(task), weights(whole[1]))
    ours, theirs = outcome(tmp_path), outcome(whole[0])
    assert ours["metrics.csv"] == theirs["metrics.csv"]
    assert ours["step-000000030.safetensors"] == theirs["step-000000030.safetensors"]


def test_without_a_folder_a_signal_says_that_nothing_was_saved():
    task = TinyTask()
    task.at_step = lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 2 else None
    with pytest.raises(InterruptedRunError, match="nothing was saved"):
        fit(task, tiny_plan())


def test_a_second_ctrl_c_is_not_held_back():
    with stop_requested() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_outside_the_main_thread_there_are_no_handlers():
    done = []
    thread = threading.Thread(target=lambda: done.append(fit(TinyTask(), tiny_plan(epochs=1)).steps))
    thread.start()
    thread.join(60)
    assert done == [6]


def test_a_finished_run_is_taken_as_it_is(whole, tmp_path, outcome):
    shutil.copytree(whole[0], tmp_path / "run")
    task = TinyTask()
    task.at_step = lambda step: pytest.fail("trained again")
    result = fit(task, tiny_plan(), tmp_path / "run")
    assert (result.steps, result.resumed_at, result.best_step) == (30, 30, whole[2].best_step)
    assert equal(weights(task), weights(whole[1]))
    assert outcome(tmp_path / "run") == outcome(whole[0])


def test_a_damaged_newest_checkpoint_costs_only_its_steps(whole, tmp_path, outcome):
    shutil.copytree(whole[0], tmp_path / "run")
    newest = tmp_path / "run" / "checkpoints" / "step-000000030.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(EcotoneWarning, match="set aside"):
        result = fit(TinyTask(), tiny_plan(), tmp_path / "run")
    assert result.resumed_at == 25
    assert outcome(tmp_path / "run") == outcome(whole[0])


def test_changed_settings_are_refused_with_a_diff(tmp_path):
    fit(TinyTask(), tiny_plan(epochs=1, fingerprint={"config": {"width": 8}, "data": "aa"}), tmp_path)
    changed = {"config": {"width": 9}, "data": "aa"}
    with pytest.raises(IntegrityError) as caught:
        fit(TinyTask(), tiny_plan(epochs=2, fingerprint=changed), tmp_path)
    assert caught.value.code == "IN103"
    assert "config.width: 8 -> 9" in str(caught.value) and "plan.epochs: 1 -> 2" in str(caught.value)
    allowed = ("config.width", "plan.epochs")
    assert fit(TinyTask(), tiny_plan(epochs=2, fingerprint=changed, allow_change=allowed), tmp_path).resumed_at == 6


@pytest.mark.parametrize("folder", [True, False])
def test_a_nan_loss_stops_at_its_step(tmp_path, folder):
    task = TinyTask()
    task.poison = 14
    with pytest.raises(InputError) as caught:
        fit(task, tiny_plan(), tmp_path if folder else None)
    line = str(caught.value)
    assert caught.value.code == "TR501"
    assert "step 14 (epoch 2, batch 2 of 6)" in line and "loss nan" in line
    assert ("step-000000010.safetensors" if folder else "no checkpoint yet") in line
    assert all(bool(torch.isfinite(p).all()) for p in task.module.parameters())
    if folder:
        assert Shelf(tmp_path / "checkpoints").newest().step == 10


def test_a_bad_weight_is_never_saved(tmp_path):
    task = TinyTask()

    def spoil(step):
        if step == 6:
            task.module[4].bias.data.fill_(float("inf"))

    task.after_step = spoil
    with pytest.raises(InputError) as caught:
        fit(task, tiny_plan(checkpoint_every_steps=7), tmp_path)
    assert caught.value.code == "TR501" and "4.bias" in str(caught.value)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_the_best_model_is_kept_and_can_be_put_back(whole):
    result = whole[2]
    rows = [line.split(",") for line in (whole[0] / "metrics.csv").read_text().splitlines()]
    scores = {
        int(step): float(value) for step, _, split, name, value in rows[1:] if (split, name) == ("validation", "r2")
    }
    assert len(scores) == 5
    assert scores[result.best_step] == max(scores.values()) == result.best_scores["r2"]
    other = TinyTask()
    result.restore_best(other.module)
    other.module.eval()
    assert other.validate()["r2"] == result.best_scores["r2"]


def test_the_smallest_can_be_the_best():
    task, values = TinyTask(), iter([3.0, 1.0, float("nan"), 2.0])
    task.validate = lambda: {"other": 0.0, "error": next(values)}
    result = fit(task, tiny_plan(epochs=4, monitor="error", larger_is_better=False))
    assert (result.best_step, result.best_scores["error"]) == (12, 1.0)
    with pytest.raises(UsageError, match="did you mean 'r2'"):
        fit(TinyTask(), tiny_plan(monitor="r3"))


def test_metrics_are_means_over_their_window(whole):
    lines = (whole[0] / "metrics.csv").read_text().splitlines()
    task, seen = TinyTask(), []
    loss = task.loss
    task.loss = lambda module, batch: (seen.append(loss(module, batch)), seen[-1])[1]
    fit(task, tiny_plan())
    assert lines[0] == "step,epoch,split,name,value"
    step, epoch, split, name, value = lines[1].split(",")
    assert (step, epoch, split, name) == ("4", "0", "train", "loss")
    assert float(value) == pytest.approx(sum(terms["loss"].item() for terms in seen[:4]) / 4, rel=1e-12)
    rate = next(line for line in lines if line.startswith("8,1,train,learning_rate"))
    assert float(rate.split(",")[-1]) == 0.02 / (1 + 7 / 50)


def test_frozen_parts_stay_in_evaluation_mode():
    task = TinyTask()
    really = task.module.train
    task.module.train = lambda mode=True: (really(mode), task.module[1].eval())[0]
    fit(task, tiny_plan(epochs=2))
    assert not task.module[1].training and task.module[3].training
    assert torch.equal(task.module[1].running_mean, torch.zeros(8))


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_other_precisions_learn_the_same_and_resume_exactly(whole, tmp_path, outcome, precision):
    def task(stop=None):
        made = TinyTask()
        made.module.to(torch.float64 if precision == "64-true" else torch.float32)
        made.x, made.y = made.x.to(made.module[0].weight.dtype), made.y.to(made.module[0].weight.dtype)
        made.average = made.average.to(made.x.dtype)
        made.at_step = lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == stop else None
        return made

    plan = tiny_plan(precision=precision, clip_grad_norm=100.0)
    result = fit(task(), plan, tmp_path / "once")
    with pytest.raises(InterruptedRunError):
        fit(task(stop=13), plan, tmp_path / "twice")
    fit(task(), plan, tmp_path / "twice")
    once, twice = outcome(tmp_path / "once"), outcome(tmp_path / "twice")
    assert once["metrics.csv"] == twice["metrics.csv"]
    assert once["step-000000030.safetensors"] == twice["step-000000030.safetensors"]
    assert result.best_scores["r2"] == pytest.approx(whole[2].best_scores["r2"], abs=0.1)


def test_no_epochs_and_no_batches(tmp_path):
    assert fit(TinyTask(), tiny_plan(epochs=0), tmp_path).steps == 0
    empty = TinyTask()
    empty.steps_per_epoch = lambda: 0
    with pytest.raises(InputError) as caught:
        fit(empty, tiny_plan())
    assert caught.value.code == "DA404"


@pytest.mark.parametrize(
    ("options", "code"),
    [({"accelerator": "abacus"}, "US104"), ({"precision": "3-bit"}, "US104"), ({"strategy": "fsdp"}, "US105")],
)
def test_devices_that_are_not_there(options, code):
    with pytest.raises(UsageError) as caught:
        fit(TinyTask(), tiny_plan(**options))
    assert caught.value.code == code


def test_a_folder_has_one_writer(tmp_path):
    task, codes = TinyTask(), []

    def intrude():
        with pytest.raises(InterruptedRunError) as caught:
            fit(TinyTask(), tiny_plan(), tmp_path)
        codes.append(caught.value.code)

    def second(step):
        if step == 3:
            other = threading.Thread(target=intrude)
            other.start()
            other.join()

    task.at_step = second
    fit(task, tiny_plan(epochs=1), tmp_path)
    assert codes == ["ST103"]
