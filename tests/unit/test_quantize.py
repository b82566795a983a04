"""Dataset quantization against literal double sums, and against a plain matrix-vector form."""

import itertools

import numpy as np
import pytest
import torch

from frugalseg.kernels import quantize
from frugalseg.kernels._quantize_gram import gram_matrix, greedy
from frugalseg.kernels._quantize_lazy import greedy_sum, tiers_of
from frugalseg.kernels._quantize_scores import centred_patches
from frugalseg.kernels.quantize import greedy_bins


def bin_sizes(count, n_bins):
    return [count // n_bins + (number < count % n_bins) for number in range(n_bins)]


def literal_sum(features, n_bins):
    """Eq. 1, term by term."""
    squared = np.square(features[:, None, :] - features[None, :, :]).sum(2)
    left, bins = list(range(len(features))), []
    for size in bin_sizes(len(features), n_bins):
        pool, taken = list(left), []
        for _ in range(size):
            rest = [p for p in pool if p not in taken]
            gains = [squared[x, taken].sum() - squared[x, rest].sum() for x in rest]
            taken.append(rest[int(np.argmax(gains))])
        bins.append(taken)
        left = [p for p in left if p not in taken]
    return bins


def literal_mean(features, n_bins):
    """The rule of the public script, term by term."""
    squared = np.square(features[:, None, :] - features[None, :, :]).sum(2)
    left, bins = list(range(len(features))), []
    for size in bin_sizes(len(features), n_bins):
        taken = []
        for _ in range(size):
            first = [-squared[x].sum() for x in left]
            gains = [squared[x, taken].mean() - squared[x].mean() for x in left] if taken else first
            taken.append(left.pop(int(np.argmax(gains))))
        bins.append(taken)
    return bins


LITERAL = {"sum": literal_sum, "mean": literal_mean}


def plain(features, n_bins, gain):
    """One float64 matrix-vector product a pick."""
    features = features - features.mean(0)
    squared = np.square(features).sum(1)
    taken, bins = np.zeros(len(features), bool), []
    for size in bin_sizes(len(features), n_bins):
        pool, own, picks = features[~taken].sum(0), np.zeros(features.shape[1]), []
        left = int((~taken).sum())
        for k in range(size):
            by_sum = (2 * k - left) * squared + features @ (2 * pool - 4 * own)
            by_mean = -(features @ own) if k else -squared
            gains = by_sum if gain == "sum" else by_mean
            gains[taken] = -np.inf
            picks.append(int(gains.argmax()))
            taken[picks[-1]] = True
            own += features[picks[-1]]
        bins.append(picks)
    return bins


def isotropic(count, dimensions, generator):
    return generator.standard_normal((count, dimensions), dtype=np.float32)


def clustered(count, dimensions, generator):
    centers = 3 * generator.standard_normal((12, dimensions), dtype=np.float32)
    return centers[generator.integers(12, size=count)] + isotropic(count, dimensions, generator)


def vit_like(count, dimensions, generator):
    """Eigenvalues that fall as i^-1.5 along random axes, around a large mean."""
    axes = np.linalg.qr(generator.standard_normal((dimensions, dimensions)))[0]
    scaled = isotropic(count, dimensions, generator) * np.arange(1, dimensions + 1) ** -0.75
    return (scaled @ axes + 5 * generator.standard_normal(dimensions)).astype(np.float32)


def duplicated(count, dimensions, generator):
    """Every row several times, at random places."""
    return isotropic(count // 4 + 1, dimensions, generator)[generator.integers(count // 4 + 1, size=count)]


def unit(count, dimensions, generator):
    """Isotropic features of length one."""
    features = isotropic(count, dimensions, generator)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def grid(count, dimensions, generator):
    """Small integers: literal sums are exact, and different rows tie."""
    return generator.integers(-1, 2, (count, dimensions)).astype(np.float32)


def as_lists(bins):
    return [member.tolist() for member in bins]


@pytest.fixture(params=["few", "many"])
def _paths(request, monkeypatch):
    """Both sizes: few patches have a Gram matrix, many do without."""
    if request.param == "many":
        monkeypatch.setattr(quantize, "GRAM_PATCHES", 0)


def on_device(features, n_bins, gain):
    """The path for other devices, on the CPU."""
    features = quantize.checked(torch.from_numpy(features))
    sizes = bin_sizes(len(features), n_bins)
    return as_lists(quantize._pick_on_device(features, sizes, gain == "sum").split(sizes))


def by_products(features, n_bins):
    """Eq. 1 as it is picked where the lazy search gives up."""
    patches = centred_patches(features)
    sizes = bin_sizes(len(features), n_bins)
    gram = gram_matrix(torch.from_numpy(features), patches.mean)
    return as_lists(torch.from_numpy(greedy(patches, np.array(sizes), True, gram)).split(sizes))


@pytest.mark.usefixtures("_paths")
@pytest.mark.parametrize("gain", ["sum", "mean"])
@pytest.mark.parametrize("make", [isotropic, clustered, vit_like, duplicated])
@pytest.mark.parametrize(("count", "dimensions", "n_bins"), [(60, 3, 10), (97, 70, 7), (150, 16, 1), (151, 130, 5)])
def test_picks_are_those_of_the_literal_sums(gain, make, count, dimensions, n_bins):
    features = make(count, dimensions, np.random.default_rng(count))
    expected = LITERAL[gain](features.astype(np.float64), n_bins)
    assert as_lists(greedy_bins(torch.from_numpy(features), n_bins, gain)) == expected
    assert on_device(features, n_bins, gain) == expected


@pytest.mark.parametrize("n_bins", [1, 4, 40])
@pytest.mark.parametrize("seed", range(4))
def test_true_ties_between_different_rows_go_to_the_smallest_index(seed, n_bins):
    """Centred float64 scores would break these ties by rounding; a pool of two always ties under eq. 1."""
    features = grid(40, 5, np.random.default_rng(seed))
    expected = literal_sum(features.astype(np.float64), n_bins)
    assert as_lists(greedy_bins(torch.from_numpy(features), n_bins, "sum")) == expected
    assert on_device(features, n_bins, "sum") == expected


@pytest.mark.usefixtures("_paths")
def test_true_ties_of_the_mean_gain_go_to_the_smallest_index():
    """A power of two of patches and bins of three: literal means are exact up to the first third."""
    features = np.repeat(grid(32, 4, np.random.default_rng(5)), 2, 0) * np.float32(2)
    expected = literal_mean(features.astype(np.float64), 32)
    assert as_lists(greedy_bins(torch.from_numpy(features), 32, "mean")) == expected
    assert on_device(features, 32, "mean") == expected


@pytest.mark.usefixtures("_paths")
@pytest.mark.parametrize("gain", ["sum", "mean", "graphcut"])
def test_equal_patches_come_by_index(gain):
    bins = greedy_bins(torch.ones(50, 6), 4, gain)
    assert torch.cat(bins).tolist() == list(range(50))


@pytest.mark.usefixtures("_paths")
@pytest.mark.parametrize("gain", ["sum", "mean"])
@pytest.mark.parametrize("make", [isotropic, clustered, vit_like, duplicated])
def test_many_patches_are_picked_as_by_the_plain_form(gain, make):
    features = make(1500, 192, np.random.default_rng(1))
    assert as_lists(greedy_bins(torch.from_numpy(features), 10, gain)) == plain(features.astype(np.float64), 10, gain)


@pytest.mark.parametrize("gain", ["sum", "mean"])
@pytest.mark.parametrize("make", [isotropic, clustered, vit_like, duplicated])
def test_five_hundred_patches_are_picked_as_by_the_literal_sums(gain, make, monkeypatch):
    features = make(500, 24, np.random.default_rng(500))
    expected = LITERAL[gain](features.astype(np.float64), 10)
    assert as_lists(greedy_bins(torch.from_numpy(features), 10, gain)) == expected
    monkeypatch.setattr(quantize, "GRAM_PATCHES", 0)
    assert as_lists(greedy_bins(torch.from_numpy(features), 10, gain)) == expected


@pytest.mark.parametrize("gain", ["sum", "mean"])
@pytest.mark.parametrize("make", [isotropic, clustered, vit_like, duplicated, unit])
def test_other_devices_make_the_plain_picks(gain, make):
    features = make(1200, 96, np.random.default_rng(4))
    assert on_device(features, 5, gain) == plain(features.astype(np.float64), 5, gain)


@pytest.mark.parametrize("make", [isotropic, clustered, vit_like, duplicated, unit])
def test_products_with_the_picks_give_the_plain_picks_by_sum(make):
    features = make(1200, 96, np.random.default_rng(11))
    assert by_products(features, 5) == plain(features.astype(np.float64), 5, "sum")


@pytest.mark.parametrize("seed", range(4))
def test_true_ties_between_products_go_to_the_smallest_index(seed):
    features = grid(40, 5, np.random.default_rng(seed))
    assert by_products(features, 4) == literal_sum(features.astype(np.float64), 4)


@pytest.mark.usefixtures("_paths")
def test_equal_norms_are_picked_without_bounds():
    """On the unit sphere the lazy bounds exclude nothing: of few patches the search gives up, of many it goes on."""
    features = unit(2000, 128, np.random.default_rng(6))
    patches = centred_patches(features)
    _, done = greedy_sum(patches, np.array([1000, 1000]), tiers_of(patches), True)
    assert done < 2000
    assert as_lists(greedy_bins(torch.from_numpy(features), 2)) == plain(features.astype(np.float64), 2, "sum")


@pytest.mark.usefixtures("_paths")
@pytest.mark.parametrize("gain", ["sum", "mean", "graphcut"])
@pytest.mark.parametrize("exponent", [-100, 100])
def test_magnitudes_do_not_matter(gain, exponent):
    """Squares of these leave the range of single precision."""
    features = torch.from_numpy(vit_like(300, 70, np.random.default_rng(7)))
    scaled = torch.ldexp(features, torch.tensor(exponent))
    assert as_lists(greedy_bins(scaled, 4, gain)) == as_lists(greedy_bins(features, 4, gain))


def test_graphcut_is_sum_on_unit_features():
    features = clustered(80, 9, np.random.default_rng(3)).astype(np.float64)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert as_lists(greedy_bins(torch.from_numpy(features), 6, "graphcut")) == literal_sum(unit, 6)


def test_an_outlier_does_not_blur_the_others():
    features = isotropic(120, 8, np.random.default_rng(0)).astype(np.float64)
    features[17] *= 1e6
    assert as_lists(greedy_bins(torch.from_numpy(features), 5, "sum")) == literal_sum(features, 5)


@pytest.mark.parametrize(
    ("gain", "count", "dimensions"), [("sum", 20_000, 16), ("graphcut", 6_000, 64), ("mean", 12_000, 64)]
)
def test_threads_do_not_change_the_picks(gain, count, dimensions):
    """All are large enough for the loops that share work between threads."""
    features = torch.from_numpy(vit_like(count, dimensions, np.random.default_rng(2)))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = greedy_bins(features, 10, gain)
        torch.set_num_threads(2)
        two = greedy_bins(features, 10, gain)
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, one, two))


@pytest.mark.parametrize(("count", "n_bins"), [(10, 10), (11, 4), (103, 10)])
def test_bins_are_a_partition_into_even_sizes(count, n_bins):
    bins = greedy_bins(torch.randn(count, 3, generator=torch.Generator().manual_seed(0)), n_bins)
    assert [len(member) for member in bins] == bin_sizes(count, n_bins)
    assert sorted(itertools.chain(*as_lists(bins))) == list(range(count))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_taken_exactly(dtype):
    features = torch.randn(70, 5, generator=torch.Generator().manual_seed(1)).to(dtype)
    assert as_lists(greedy_bins(features, 3)) == literal_sum(features.double().numpy(), 3)


def test_features_need_not_be_contiguous():
    features = torch.randn(5, 70, generator=torch.Generator().manual_seed(1)).T
    assert as_lists(greedy_bins(features, 3)) == as_lists(greedy_bins(features.contiguous(), 3))


@pytest.mark.parametrize(
    ("features", "n_bins", "gain", "message"),
    [
        (torch.zeros(3, 2), 4, "sum", "3 patches cannot fill 4 bins"),
        (torch.zeros(3, 2), 0, "sum", "cannot fill 0 bins"),
        (torch.tensor([[0.0, 1.0], [0.0, torch.nan]]), 1, "sum", "first at row 1"),
        (torch.tensor([[torch.inf, 1.0], [0.0, 0.0]]), 1, "mean", "first at row 0"),
        (torch.zeros(3), 1, "sum", "matrix"),
        (torch.zeros(3, 2, dtype=torch.int64), 1, "sum", "floating point"),
        (torch.zeros(3, 0), 1, "sum", "empty"),
        (torch.zeros(3, 2), 1, "product", "unknown gain 'product'"),
    ],
)
def test_bad_input_is_named(features, n_bins, gain, message):
    with pytest.raises(ValueError, match=message):
        greedy_bins(features, n_bins, gain)
