import threading
import time

import pytest

from ecotone.train.feed import AHEAD, feed, positions


def test_positions_count_epochs_and_steps():
    found = [(p.epoch, p.step_in_epoch, p.step) for p in positions(2, 7, 3, rank=1, world=2, seed=4)]
    assert found == [(0, 2, 2), (1, 0, 3), (1, 1, 4), (1, 2, 5), (2, 0, 6)]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_batches_come_in_order_whatever_their_cost(workers):
    def slow(at):
        time.sleep(0.002 * (at.step % 3))
        return at.step * 10

    with feed(slow, positions(0, 40, 7, rank=0, world=1, seed=0), workers) as batches:
        assert [(at.step, batch) for at, batch in batches] == [(step, step * 10) for step in range(40)]


def test_no_more_than_asked_is_prepared_ahead():
    made, lock = [], threading.Lock()

    def fetch(at):
        with lock:
            made.append(at.step)

    with feed(fetch, positions(0, 1000, 10, rank=0, world=1, seed=0), 2) as batches:
        next(batches)
        time.sleep(0.05)
        assert len(made) <= 2 * AHEAD + 1
    assert len(made) < 1000
