"""How batches are drawn: without replacement, in shares, resumable, and what is left out."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch

from frugalseg.data.stores import Patches
from frugalseg.training.sampling import Count, Sampler, Source, gather, pad_channels


def patches(count, first=0, channels=1, size=4, cells=None):
    """Patches whose every pixel is their number, counted from `first`."""
    numbers = np.arange(first, first + count, dtype=np.float16)[:, None, None, None]
    return Patches(
        images=np.broadcast_to(numbers, (count, channels, size, size)),
        labels=np.full((count, size, size), 3, np.uint16),
        flows=np.full((count, 2, size, size), 0.5, np.float16),
        table=pd.DataFrame(
            {"cells": np.full(count, 9) if cells is None else cells, "diameter": 10.0 + np.arange(count)}
        ),
    )


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def source(name, store, share=None):
    return Source(name, store, np.arange(len(store)), share)


def numbers(batch):
    return batch.images[:, 0, 0, 0].int().tolist()


def test_a_union_is_drawn_without_replacement_epoch_after_epoch():
    sampler = Sampler([source("a", patches(7)), source("b", patches(5, 100))], 4, 0, generator())
    assert sampler.steps_per_epoch == 3
    epochs = [[n for _ in range(3) for n in numbers(sampler.draw())] for _ in range(3)]
    expected = [*range(7), *range(100, 105)]
    assert [sorted(epoch) for epoch in epochs] == [expected] * 3
    assert epochs[0] != epochs[1]


def test_a_batch_larger_than_the_pool_goes_round_it():
    drawn = Counter(numbers(Sampler([source("a", patches(3))], 8, 0, generator()).draw()))
    assert sorted(drawn.values()) == [2, 3, 3]


@pytest.mark.parametrize(("shares", "batch"), [((None, 30), 8), ((None, 5, 12.5), 6), ((33, 33, 34), 2), ((10, 90), 1)])
def test_shares_are_exact_on_average_and_within_one_patch(shares, batch):
    sources = [source(str(k), patches(11, 1000 * k), share) for k, share in enumerate(shares)]
    sampler = Sampler(sources, batch, 0, generator(3))
    drawn = np.array(
        [np.bincount([n // 1000 for n in numbers(sampler.draw())], minlength=len(shares)) for _ in range(2000)]
    )
    assert (drawn.sum(axis=1) == batch).all()
    rest = 100 - sum(share for share in shares if share is not None)
    expected = np.array([rest if share is None else share for share in shares]) * batch / 100
    assert (np.abs(drawn - expected) < 1).all()
    np.testing.assert_allclose(drawn.mean(axis=0), expected, atol=0.05)


def test_a_share_cycles_its_own_permutation():
    sampler = Sampler([source("new", patches(40)), source("old", patches(6, 100), 50)], 8, 0, generator())
    assert sampler.steps_per_epoch == 10
    old = [n for _ in range(12) for n in numbers(sampler.draw()) if n >= 100]
    assert all(sorted(old[start : start + 6]) == list(range(100, 106)) for start in range(0, len(old), 6))


def test_shares_of_all_sources_make_an_epoch_of_their_patches():
    sampler = Sampler([source("a", patches(10), 50), source("b", patches(30), 50)], 8, 0, generator())
    assert sampler.steps_per_epoch == 5


@pytest.mark.parametrize("shares", [(None, None), (None, 30), (40, 60)])
def test_a_restored_sampler_goes_on_with_the_same_batches(shares):
    def make(seed):
        return Sampler([source(str(k), patches(9, 100 * k), s) for k, s in enumerate(shares)], 4, 0, generator(seed))

    sampler = make(1)
    for _ in range(5):
        sampler.draw()
    state, random_state = sampler.state_dict(), sampler._generator.get_state()
    expected = [numbers(sampler.draw()) for _ in range(10)]
    restored = make(2)
    restored.load_state_dict(state)
    restored._generator.set_state(random_state)
    assert [numbers(restored.draw()) for _ in range(10)] == expected


def test_patches_with_too_few_cells_are_left_out_and_counted():
    store = patches(6, cells=np.array([0, 4, 5, 6, 0, 9]))
    sampler = Sampler([Source("a", store, torch.tensor([5, 1, 2, 0]))], 2, 5, generator())
    assert sampler.counts == [Count("a", given=4, left_out=2, used=2)]
    assert sorted(numbers(sampler.draw())) == [2, 5]
    assert sampler.mean_diameter == 13.5


def test_a_source_without_patches_is_named_with_what_to_do():
    few = patches(3, cells=np.zeros(3))
    with pytest.raises(ValueError, match=r"'old@dq1': none of its 3 .* 5 cells .*min_cells or raise the rate"):
        Sampler([source("new", patches(3)), source("old@dq1", few)], 2, 5, generator())


@pytest.mark.parametrize(("shares", "message"), [((60, 60), "add up to 120, not 100"), ((None, 100), "lower them")])
def test_shares_that_cannot_be_are_told(shares, message):
    with pytest.raises(ValueError, match=message):
        Sampler([source(str(k), patches(3), share) for k, share in enumerate(shares)], 2, 0, generator())


def test_patches_of_two_sizes_are_told():
    with pytest.raises(ValueError, match=r"'b' has patches of \(8, 8\)"):
        Sampler([source("a", patches(3)), source("b", patches(3, size=8))], 2, 0, generator())


def test_gather_gives_the_rows_asked_for():
    batch = gather(patches(5, channels=2), np.array([3, 1, 3]))
    assert batch.images.dtype == batch.flows.dtype == torch.float16
    assert batch.diameters.dtype == torch.float32
    assert batch.labels.dtype == torch.int32
    assert batch.images.shape == (3, 2, 4, 4)
    assert batch.images[:, 1, 2, 2].tolist() == [3, 1, 3]
    assert batch.diameters.tolist() == [13, 11, 13]
    assert (batch.labels == 3).all()
    assert (batch.flows == 0.5).all()


def test_grey_and_colour_sources_share_a_batch():
    sampler = Sampler([source("a", patches(2)), source("b", patches(2, 10, channels=2))], 4, 0, generator())
    images = sampler.draw().images
    grey = images[images[:, 0, 0, 0] < 10]
    assert images.shape == (4, 2, 4, 4)
    assert len(grey) == 2
    assert (grey[:, 1] == 0).all()


def test_too_many_channels_are_told():
    assert pad_channels(torch.ones(2, 1, 3, 3), 3).sum(dim=(0, 2, 3)).tolist() == [18, 0, 0]
    with pytest.raises(ValueError, match="2 channels and the network takes 1"):
        pad_channels(torch.ones(1, 2, 3, 3), 1)
