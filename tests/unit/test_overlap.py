"""The overlap of two label images, against counting pixel by pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frugalseg.kernels.overlap import overlap_matrix, overlap_pairs


def count_pixels(a: torch.Tensor, b: torch.Tensor) -> dict[tuple[int, int], int]:
    """Pixels shared by each pair of labels, one pixel at a time."""
    counts: dict[tuple[int, int], int] = {}
    for row_a, row_b in zip(a.tolist(), b.tolist(), strict=True):
        for pair in zip(row_a, row_b, strict=True):
            counts[pair] = counts.get(pair, 0) + 1
    return counts


@st.composite
def label_pairs(draw, labels: tuple[int, ...]):
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    seed = draw(st.integers(0, 2**32 - 1))
    drawn = np.random.default_rng(seed).choice(labels, (2, height, width))
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.int32, np.int64]))
    return tuple(torch.from_numpy(drawn.astype(dtype)))


@given(label_pairs((0, 1, 2, 5, 6)))
def test_matrix_equals_counting(pair):
    a, b = pair
    expected = torch.zeros(int(a.long().max()) + 1, int(b.long().max()) + 1, dtype=torch.int64)
    for (label_a, label_b), pixels in count_pixels(a, b).items():
        expected[label_a, label_b] = pixels
    assert torch.equal(overlap_matrix(a, b), expected)
    assert overlap_matrix(a, b).dtype == torch.int64


# Few possible pairs are counted, many sorted.
@given(st.one_of(label_pairs((0, 1)), label_pairs((0, 3, 200, 255))))
def test_pairs_equal_counting(pair):
    a, b = pair
    expected = sorted((*labels, pixels) for labels, pixels in count_pixels(a, b).items())
    columns = overlap_pairs(a, b)
    assert all(column.dtype == torch.int64 for column in columns)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected


@pytest.mark.parametrize("far", [2**31 - 1, 2**31, 2**40, 2**62])
def test_labels_beyond_32_bits(far):
    a = torch.tensor([[0, far, far]])
    b = torch.tensor([[far - 1, 7, 0]])
    pairs = list(zip(*(column.tolist() for column in overlap_pairs(a, b)), strict=True))
    assert pairs == [(0, far - 1, 1), (far, 0, 1), (far, 7, 1)]


def test_pair_codes_beyond_32_bits():
    a = torch.tensor([[0, 70_000]], dtype=torch.int32)
    b = torch.tensor([[70_000, 69_999]], dtype=torch.int32)
    pairs = list(zip(*(column.tolist() for column in overlap_pairs(a, b)), strict=True))
    assert pairs == [(0, 70_000, 1), (70_000, 69_999, 1)]


@pytest.mark.parametrize("size", [(1, 1), (1, 1024), (1, 1025), (32, 32), (205, 300)])
@pytest.mark.parametrize("labels", [1, 3, 60_000])
def test_images_of_many_pixels_and_pairs(size, labels):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, labels, (2, *size))
    expected, shared = np.unique(np.stack((a.ravel(), b.ravel())), axis=1, return_counts=True)
    found = overlap_pairs(torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_array_equal(torch.stack(found[:2]), expected)
    np.testing.assert_array_equal(found[2], shared)


@pytest.mark.parametrize("dtypes", [(torch.uint16, torch.int64), (torch.uint8, torch.int32), (torch.bool, torch.bool)])
def test_types_may_differ(dtypes):
    a, b = torch.tensor([[0, 1, 1, 0]]), torch.tensor([[1, 1, 1, 0]])
    assert torch.equal(overlap_matrix(a.to(dtypes[0]), b.to(dtypes[1])), torch.tensor([[1, 1], [0, 2]]))


def test_a_negative_label_anywhere_is_refused():
    a = torch.zeros(40, 70, dtype=torch.int64)
    for pixel in (0, 1, 1023, 1024, 2799):
        wrong = a.clone()
        wrong.view(-1)[pixel] = -3
        for pair in ((a, wrong), (wrong, a)):
            with pytest.raises(ValueError, match="smallest is -3"):
                overlap_pairs(*pair)


def test_views_with_strides():
    a = torch.arange(12).reshape(3, 4).T
    b = torch.ones(8, 3, dtype=torch.int64)[::2]
    assert torch.equal(overlap_matrix(a, b)[:, 1], torch.ones(12, dtype=torch.int64))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.int32), torch.zeros(3, 2, dtype=torch.int32), "one shape"),
        (torch.zeros(1, 2, 3, dtype=torch.int32), torch.zeros(1, 2, 3, dtype=torch.int32), "one shape"),
        (torch.zeros(0, 3, dtype=torch.int32), torch.zeros(0, 3, dtype=torch.int32), "at least one pixel"),
        (torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int32), "must be integers"),
        (torch.zeros(2, 3, dtype=torch.int32), torch.full((2, 3), -1), "smallest is -1"),
    ],
)
@pytest.mark.parametrize("overlap", [overlap_matrix, overlap_pairs])
def test_bad_input(overlap, a, b, message):
    with pytest.raises(ValueError, match=message):
        overlap(a, b)
