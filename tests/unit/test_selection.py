"""Selectors and the coresets cut from their orders."""

import itertools
import sys
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch

from frugalseg import selection
from frugalseg.chains import IMAGE_SELECTORS, SEEDED_METHODS
from frugalseg.kernels.quantize import greedy_bins
from frugalseg.runtime import literals
from frugalseg.selection import coresets


@pytest.fixture
def features():
    return torch.randn(103, 6, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def patches():
    names = np.random.default_rng(0).permutation(np.repeat(["a", "b", "c", "d"], [5, 1, 7, 3]))
    return pd.DataFrame({"patch": range(16), "image": names, "official": "5 50"})


def run(method, features, patches, seed, **options):
    if method in SEEDED_METHODS:
        return selection.select(method, None, seed, patches=patches, **options)
    if method == "uncertainty":
        # What a model says of a patch is one number.
        return selection.select(method, features[:, :1], seed, **options)
    return selection.select(method, features, seed, **options)


@pytest.mark.parametrize("method", sorted(literals.members("selection")))
def test_an_order_is_a_permutation_and_repeats(method, features, patches):
    first, second = run(method, features, patches, 3), run(method, features, patches, 3)
    count = len(patches) if method in SEEDED_METHODS else len(features)
    assert sorted(first.order.tolist()) == list(range(count))
    assert first.bins.shape == first.order.shape
    assert torch.equal(first.order, second.order)
    assert torch.equal(first.bins, second.bins)


@pytest.mark.parametrize("method", sorted(literals.members("selection")))
def test_only_seeded_methods_depend_on_the_seed(method, features, patches):
    orders = {tuple(run(method, features, patches, seed).order.tolist()) for seed in range(6)}
    # Lists of the publishers need the table too, and are what they are.
    assert (len(orders) > 1) == (method in SEEDED_METHODS and method != "official")


def test_order_is_the_order_of_the_selection(features):
    assert torch.equal(selection.order("dq", features, 0, bins=7), selection.select("dq", features, 0, bins=7).order)


@pytest.mark.parametrize("gain", ["sum", "mean", "graphcut"])
@pytest.mark.parametrize("rate", ["0.5", "1", "7", "10", "33.3", "50", "99", "100"])
def test_a_dq_coreset_is_the_heads_of_all_bins(features, gain, rate):
    chosen = coresets.take(selection.select("dq", features, 0, gain=gain), "dq", rate, 10)
    heads = [
        member[: max(1, int(Fraction(rate) * len(member) / 100))].tolist() for member in greedy_bins(features, 10, gain)
    ]
    assert sorted(chosen.tolist()) == sorted(itertools.chain(*heads))


def test_dq_bins_say_where_a_patch_comes_from(features):
    order, bins = selection.select("dq", features, 0, bins=4)
    for number, member in enumerate(greedy_bins(features, 4)):
        assert torch.equal(order[bins == number], member)
    assert bins[:8].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_dq_draws_from_the_same_bins_at_random(features):
    head = selection.select("dq", features, 0)
    drawn, again, other = (selection.select("dq", features, seed, sample="random") for seed in (1, 1, 2))
    assert torch.equal(drawn.order, again.order)
    assert not torch.equal(drawn.order, other.order)
    assert torch.equal(drawn.bins, head.bins)
    for number in range(10):
        assert set(drawn.order[drawn.bins == number].tolist()) == set(head.order[head.bins == number].tolist())


@pytest.mark.parametrize("method", ["dq", "random", "kcenter", "herding", "typicality"])
def test_small_rates_lie_inside_large_ones(method, features):
    patches = pd.DataFrame({"image": ["one"] * len(features)})
    chosen = run(method, features, patches, 0)
    last = set()
    for rate in (0.5, 1, 2, 3, 10, 30, 75, 100):
        now = set(coresets.take(chosen, method, rate, 10).tolist())
        assert last <= now
        assert len(now) == coresets.coreset_size(len(features), rate, 10)
        last = now
    assert len(last) == len(features)


def kcenter_by_definition(features):
    order = [int(np.square(features - features.mean(0)).sum(1).argmin())]
    while len(order) < len(features):
        rest = [x for x in range(len(features)) if x not in order]
        nearest = [min(np.square(features[x] - features[c]).sum() for c in order) for x in rest]
        order.append(rest[int(np.argmax(nearest))])
    return order


@pytest.mark.parametrize("kind", ["random", "duplicated", "integer"])
def test_kcenter_takes_the_farthest_patch(kind):
    generator = np.random.default_rng(7)
    features = generator.standard_normal((60, 4))
    if kind == "duplicated":
        features = features[generator.integers(15, size=60)]
    if kind == "integer":
        features = generator.integers(-2, 3, (60, 4)).astype(float)
    expected = kcenter_by_definition(features)
    assert selection.order("kcenter", torch.from_numpy(features), 0).tolist() == expected


def herding_by_definition(features):
    order = []
    while len(order) < len(features):
        rest = [x for x in range(len(features)) if x not in order]
        gaps = [np.square(features.mean(0) - features[[*order, x]].mean(0)).sum() for x in rest]
        order.append(rest[int(np.argmin(gaps))])
    return order


@pytest.mark.parametrize("kind", ["random", "duplicated", "integer"])
def test_herding_keeps_the_mean_of_the_picks_at_the_mean_of_all(kind):
    generator = np.random.default_rng(11)
    features = generator.standard_normal((60, 4)) + 3
    if kind == "duplicated":
        features = np.repeat(features[:20], 3, axis=0)
    if kind == "integer":
        # Of 64 integers the mean is exact, so that true ties are ties in both.
        features = generator.integers(-2, 3, (64, 4)).astype(float)
    order = selection.order("herding", torch.from_numpy(features), 0).tolist()
    if kind == "random":
        assert order == herding_by_definition(features)
    for k, pick in enumerate(order, start=1):
        rest = order[k - 1 :]
        gaps = [np.square(features.mean(0) - features[[*order[: k - 1], x]].mean(0)).sum() for x in rest]
        assert gaps[0] <= min(gaps) + 1e-12, k
        copies = [x for x in rest if (features[x] == features[pick]).all()]
        assert pick == min(copies)


def typicality_by_definition(features, clusters):
    """Round robin over clusters, the largest first, each in the order of mean distances to 20 neighbours in it."""
    orders = []
    for members in sorted(clusters, key=len, reverse=True):
        means = []
        for x in members:
            distances = sorted(float(np.linalg.norm(features[x] - features[y])) for y in members if y != x)[:20]
            means.append(sum(distances) / max(1, len(distances)))
        orders.append([x for _, x in sorted(zip(means, members, strict=True))])
    turns = range(max(map(len, orders)))
    return [(order[turn], number) for turn in turns for number, order in enumerate(orders) if turn < len(order)]


def test_typicality_takes_the_densest_of_every_cluster_in_turn():
    generator = np.random.default_rng(5)
    sizes = [40, 7, 25, 1]
    labels = generator.permutation(np.repeat(np.arange(4), sizes))
    features = 100 * np.eye(4)[labels] + generator.standard_normal((73, 4))
    clusters = [np.flatnonzero(labels == label).tolist() for label in range(4)]
    order, bins = selection.select("typicality", torch.from_numpy(features), 0, clusters=4)
    assert list(zip(order.tolist(), bins.tolist(), strict=True)) == typicality_by_definition(features, clusters)


def test_typicality_of_copies_and_of_few_patches():
    copies = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).repeat(4, 1)
    order, bins = selection.select("typicality", copies, 0)
    assert bins.max() == 4
    assert sorted(order[:5].tolist()) == [0, 1, 2, 3, 4]
    for number in range(5):
        assert order[bins == number].tolist() == sorted(order[bins == number].tolist())
    assert selection.order("typicality", copies[:1], 0).tolist() == [0]


def test_typicality_has_every_row_for_its_own_in_blocks(monkeypatch, features):
    whole = selection.order("typicality", features, 0, clusters=2)
    # The package has the function under the name of its module.
    monkeypatch.setattr(sys.modules["frugalseg.selection.typicality"], "_BLOCK", 7)
    assert torch.equal(selection.order("typicality", features, 0, clusters=2), whole)


def test_few_takes_whole_images(patches):
    chosen = selection.select("few", None, 5, patches=patches)
    names = []
    for number in range(1, 5):
        taken = coresets.take(chosen, "few", str(number), 2)
        images = patches.image[taken.numpy()]
        assert images.nunique() == number
        assert len(taken) == patches.image.isin(images.unique()).sum()
        assert set(names) <= set(images)
        names = images.unique()
    assert torch.equal(taken, chosen.order)


def test_few_counts_images_in_the_grammar_of_chains():
    assert set(literals.members("selection")) >= IMAGE_SELECTORS


@pytest.mark.parametrize(
    ("n", "rate", "bins", "expected"),
    [
        (10, 30, 1, 3),
        (100, "29", 1, 29),  # 0.29 * 100 is below 29 in binary
        (1000, 0.5, 1, 5),
        (1000, "0.1", 10, 10),  # one of each bin at least
        (103, 10, 10, 10),  # floor(1.1) three times, floor(1.0) seven times
        (103, 100, 10, 103),
        (29, 70, 3, 20),  # 7 of 10, 7 of 10, 6 of 9
    ],
)
def test_coreset_size(n, rate, bins, expected):
    sizes = [n // bins + (number < n % bins) for number in range(bins)]
    assert sum(max(1, int(Fraction(str(rate)) * size / 100)) for size in sizes) == coresets.coreset_size(n, rate, bins)
    assert coresets.coreset_size(n, rate, bins) == expected


@pytest.mark.parametrize("rate", [0, -1, "100.1", "nan", "ten"])
def test_rates_out_of_range_are_refused(rate):
    with pytest.raises(ValueError, match="rate"):
        coresets.coreset_size(10, rate, 2)


def test_more_bins_than_patches_are_refused():
    with pytest.raises(ValueError, match="3 patches cannot fill 10 bins"):
        coresets.coreset_size(3, 10, 10)


@pytest.mark.parametrize(("number", "message"), [("5", "has only 4"), ("0", "positive integer"), ("1.5", "positive")])
def test_impossible_numbers_of_images_are_refused(patches, number, message):
    chosen = selection.select("few", None, 0, patches=patches)
    with pytest.raises(ValueError, match=message):
        coresets.take(chosen, "few", number, 2)


def test_a_selection_survives_its_file(tmp_path, features):
    chosen = selection.select("dq", features, 0)
    coresets.save(tmp_path / "dq.npz", chosen)
    read = coresets.load(tmp_path / "dq.npz")
    assert torch.equal(read.order, chosen.order)
    assert torch.equal(read.bins, chosen.bins)
    assert [path.name for path in tmp_path.iterdir()] == ["dq.npz"]


def test_another_file_is_refused(tmp_path):
    (tmp_path / "dq.npz").write_text("patches")
    with pytest.raises(ValueError, match=r"dq\.npz is not"):
        coresets.load(tmp_path / "dq.npz")
    np.savez(tmp_path / "other.npz", patches=np.arange(3))
    with pytest.raises(ValueError, match=r"other\.npz is not"):
        coresets.load(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("best", {}, "no selector 'best'"),
        ("random", {}, "needs the patch table"),
        ("dq", {}, "needs the features"),
        ("few", {"patches": pd.DataFrame({"patch": [0]})}, "needs the column 'image'"),
    ],
)
def test_bad_requests_are_named(method, options, message):
    with pytest.raises(ValueError, match=message):
        selection.select(method, None, 0, **options)


def test_dq_refuses_an_unknown_sample(features):
    with pytest.raises(ValueError, match="unknown sample 'tail'"):
        selection.select("dq", features, 0, sample="tail")
