"""Batches prepared ahead: the same as without a thread, and a state that knows only what was taken."""

import threading

import numpy as np
import pandas as pd
import pytest
import torch

from frugalseg.data.stores import Patches
from frugalseg.training.sampling import Feed, Sampler, Source

COUNT = 12


def patches(count=5):
    """Patches whose every pixel is their number."""
    numbers = np.arange(count, dtype=np.float16)[:, None, None, None]
    return Patches(
        images=np.broadcast_to(numbers, (count, 1, 4, 4)),
        labels=np.ones((count, 4, 4), np.uint16),
        flows=np.zeros((count, 2, 4, 4), np.float16),
        table=pd.DataFrame({"cells": np.full(count, 9), "diameter": np.full(count, 10.0)}),
    )


def parts(seed):
    """Sampler, generator, and an augmentation that draws from the generator as well."""
    random = torch.Generator().manual_seed(seed)
    store = patches()
    sampler = Sampler([Source("a", store, np.arange(len(store)))], 2, 0, random)

    def augment(batch):
        return batch.images + torch.rand(batch.images.shape, generator=random), batch.labels, batch.flows

    return sampler, random, augment


def feed(seed, count=COUNT):
    return Feed(*parts(seed), count)


def images(taken):
    return [crops[0] for crops in taken]


def same(ours, theirs):
    return len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))


def test_batches_are_those_without_a_thread():
    sampler, _, augment = parts(3)
    expected = [augment(sampler.draw()) for _ in range(COUNT)]
    ahead = feed(3)
    assert same(images(ahead.take() for _ in range(COUNT)), images(expected))


def test_the_state_is_that_of_the_last_batch_taken():
    whole = feed(1)
    expected = [whole.take() for _ in range(COUNT)]
    for taken in (0, 1, 2, 5, COUNT - 1):
        stopped = feed(1)
        for _ in range(taken):
            stopped.take()
        if stopped._next is not None:
            # The batch after it is ready: the generator is a batch ahead of the state.
            stopped._next.result()
        resumed = feed(2)
        resumed.load_state_dict(stopped.state_dict(), COUNT - taken)
        assert same(images(resumed.take() for _ in range(COUNT - taken)), images(expected[taken:]))


def test_the_next_batch_is_prepared_while_nobody_asks():
    sampler, random, augment = parts(0)
    threads, second = [], threading.Event()

    def watched(batch):
        threads.append(threading.current_thread())
        if len(threads) == 2:
            second.set()
        return augment(batch)

    ahead = Feed(sampler, random, watched, COUNT)
    ahead.take()
    assert second.wait(10)
    assert threading.main_thread() not in threads


def test_no_batch_is_prepared_in_vain():
    sampler, random, augment = parts(0)
    made = []
    ahead = Feed(sampler, random, lambda batch: made.append(batch) or augment(batch), 3)
    assert made == []
    for _ in range(3):
        ahead.take()
    ahead._thread.shutdown()
    assert len(made) == 3


def test_what_stops_a_preparation_reaches_the_taker():
    sampler, random, _ = parts(0)

    def fail(batch):
        raise OSError("the disk is gone")

    broken = Feed(sampler, random, fail, COUNT)
    with pytest.raises(OSError, match="the disk is gone"):
        broken.take()
