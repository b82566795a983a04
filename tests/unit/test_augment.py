"""Augmentation against exact quarter turns, loops over pixels, ramps that tell where pixels came from, and Cellpose 3."""

import math
import re

import numpy as np
import pytest
import torch
from scipy import ndimage

from frugalseg.kernels.augment import affine, random_affine, random_stretch
from frugalseg.kernels.flows import labels_to_flows


def some_patches(count=2, height=24, width=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand((count, 2, height, width), generator=generator)
    labels = torch.randint(0, 5, (count, height, width), generator=generator)
    flows = torch.randn((count, 2, height, width), generator=generator)
    return images, labels, flows


def alike(count, *, angle=0.0, scale=1.0, flip=False, shift=(0.0, 0.0)):
    """The same parameters for every patch."""
    return (
        torch.full((count,), angle),
        torch.full((count,), scale),
        torch.full((count,), flip),
        torch.tensor([shift]).repeat(count, 1),
    )


def discs(size, radius, spacing):
    """Round cells of their own numbers on a grid, some of which touch."""
    y, x = np.mgrid[:size, :size]
    row, column = y // spacing, x // spacing
    inside = np.hypot(y - (row + 0.5) * spacing, x - (column + 0.45) * spacing) < radius
    return torch.from_numpy(np.where(inside, 1 + row * (size // spacing + 1) + column, 0))


def literal_affine(image, label, flow, angle, scale, flip, shift, size):
    """For every pixel of the crop: undo shift, turn, scale and flip, and look there."""
    height, width = label.shape

    def at(values, y, x):
        return values[y, x] if 0 <= y < height and 0 <= x < width else 0

    made_image = np.zeros((len(image), size, size))
    made_label = np.zeros((size, size), int)
    made_flow = np.zeros((2, size, size))
    for row in range(size):
        for column in range(size):
            v, u = row - (size - 1) / 2 - shift[0], column - (size - 1) / 2 - shift[1]
            x = (math.cos(angle) * u + math.sin(angle) * v) / scale
            y = (-math.sin(angle) * u + math.cos(angle) * v) / scale
            x, y = (-x if flip else x) + (width - 1) / 2, y + (height - 1) / 2
            made_label[row, column] = at(label, round(y), round(x))
            top, left = math.floor(y), math.floor(x)
            sampled = [
                sum(
                    at(channel, top + i, left + j) * (1 - abs(y - top - i)) * (1 - abs(x - left - j))
                    for i in (0, 1)
                    for j in (0, 1)
                )
                for channel in (*image, *flow)
            ]
            made_image[:, row, column] = sampled[:-2]
            down, right = sampled[-2], -sampled[-1] if flip else sampled[-1]
            made_flow[0, row, column] = math.sin(angle) * right + math.cos(angle) * down
            made_flow[1, row, column] = math.cos(angle) * right - math.sin(angle) * down
    return made_image, made_label, made_flow


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_quarter_turns_and_flips_are_exact(turns, flip):
    images, labels, flows = some_patches()
    made = affine(images, labels, flows, *alike(2, angle=turns * math.pi / 2, flip=flip), 24)

    def moved(values):
        return torch.rot90(values.flip(-1) if flip else values, -turns, (-2, -1))

    y, x = moved(flows).unbind(1)
    x = -x if flip else x
    for _ in range(turns):
        # A quarter turn takes the x axis (right) to the y axis (down), and down to left.
        y, x = x, -y
    assert torch.equal(made[1], moved(labels))
    torch.testing.assert_close(made[0], moved(images), atol=1e-5, rtol=0)
    torch.testing.assert_close(made[2], torch.stack((y, x), 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("angle", "scale", "flip", "shift"),
    [
        (0.7, 1.0, False, (0.0, 0.0)),
        (2.9, 0.6, True, (1.3, -2.2)),
        (5.1, 1.9, False, (-3.4, 0.8)),
        (0.3, 1.2, True, (4, 7)),
    ],
)
def test_crops_are_those_of_the_literal_loops(angle, scale, flip, shift):
    images, labels, flows = some_patches(2, 13, 17)
    made = affine(images, labels, flows, *alike(2, angle=angle, scale=scale, flip=flip, shift=shift), 11)
    for patch in range(2):
        expected = literal_affine(
            images[patch].numpy(), labels[patch].numpy(), flows[patch].numpy(), angle, scale, flip, shift, 11
        )
        np.testing.assert_array_equal(made[1][patch], expected[1])
        np.testing.assert_allclose(made[0][patch], expected[0], atol=1e-5)
        np.testing.assert_allclose(made[2][patch], expected[2], atol=1e-5)


def test_every_patch_has_parameters_of_its_own():
    images, labels, flows = some_patches(3, 20, 20)
    angle, scale = torch.tensor([0.2, 1.0, 4.0]), torch.tensor([0.8, 1.0, 1.4])
    flip, shift = torch.tensor([True, False, True]), torch.tensor([[1.0, 2.0], [0.0, 0.0], [-3.0, 1.0]])
    together = affine(images, labels, flows, angle, scale, flip, shift, 16)
    for i in range(3):
        one = slice(i, i + 1)
        alone = affine(images[one], labels[one], flows[one], angle[one], scale[one], flip[one], shift[one], 16)
        for whole, part in zip(together, alone, strict=True):
            assert torch.equal(whole[one], part)


def test_a_shift_moves_the_patch_and_leaves_zeros():
    images, labels, flows = some_patches(1, 20, 20)
    made = affine(images + 1, labels + 1, flows, *alike(1, shift=(3.0, -2.0)), 20)
    assert torch.equal(made[1][:, 3:, :-2], labels[:, :-3, 2:] + 1)
    torch.testing.assert_close(made[0][:, :, 3:, :-2], images[:, :, :-3, 2:] + 1, atol=1e-5, rtol=0)
    assert not made[1][:, :3].any()
    assert not made[1][:, :, -2:].any()
    assert made[0][:, :, :3].abs().max() < 1e-4


def random_parameters(count, height, width, size, seed):
    """Angle, scale, flip and shift of each patch, such that crops see the rim of the patch and what is beyond."""
    generator = torch.Generator().manual_seed(seed)
    angle, scale, side = torch.rand((3, count), generator=generator, dtype=torch.float64)
    shift = (torch.rand((count, 2), generator=generator, dtype=torch.float64) - 0.5) * torch.tensor((height, width))
    return 2 * math.pi * angle, 0.4 + 1.6 * scale, side > 0.5, shift


@pytest.mark.parametrize(("height", "width", "size"), [(31, 46, 37), (1, 9, 12), (20, 20, 1)])
@pytest.mark.parametrize("channels", [1, 3, 7])
def test_random_crops_are_those_of_the_literal_loops(height, width, size, channels):
    generator = torch.Generator().manual_seed(channels)
    images = torch.rand((2, channels, height, width), generator=generator)
    labels = torch.randint(0, 9, (2, height, width), generator=generator)
    flows = torch.randn((2, 2, height, width), generator=generator)
    parameters = random_parameters(2, height, width, size, seed=size)
    made = affine(images, labels, flows, *parameters, size)
    for patch in range(2):
        options = (values[patch].numpy() for values in parameters)
        expected = literal_affine(*(part[patch].numpy() for part in (images, labels, flows)), *options, size)
        np.testing.assert_array_equal(made[1][patch], expected[1])
        np.testing.assert_allclose(made[0][patch], expected[0], atol=1e-4)
        np.testing.assert_allclose(made[2][patch], expected[2], atol=4e-4)


def test_half_precision_patches_are_read_exactly():
    images, labels, flows = some_patches(2, 40, 33)
    halves = images.half(), flows.half()
    # The smallest numbers of all, the largest, and what is none.
    halves[0][0, 0, :4, 0] = torch.tensor([6e-8, -6e-5, 65504.0, -0.0])
    halves[0][1, 1, 20] = torch.tensor([torch.inf, -torch.inf, torch.nan]).repeat(11)
    parameters = random_parameters(2, 40, 33, 30, seed=3)
    made = affine(halves[0], labels, halves[1], *parameters, 30)
    expected = affine(halves[0].float(), labels, halves[1].float(), *parameters, 30)
    for one, other in zip(made, expected, strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0, equal_nan=True)
    assert made[0].isnan().any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_floating_patches_are_read_as_float32(dtype):
    images, labels, flows = some_patches(2)
    parameters = random_parameters(2, 24, 24, 20, seed=1)
    made = affine(images.to(dtype), labels, flows.to(dtype), *parameters, 20)
    expected = affine(images.to(dtype).float(), labels, flows.to(dtype).float(), *parameters, 20)
    for one, other in zip(made, expected, strict=True):
        assert torch.equal(one, other)


def test_missing_channels_are_zero_and_channels_stand_last_in_memory():
    images, labels, flows = some_patches(2)
    parameters = random_parameters(2, 24, 24, 20, seed=2)
    made = affine(images[:, :1], labels, flows, *parameters, 20, channels=3)[0]
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(made[:, :1], affine(images[:, :1], labels, flows, *parameters, 20)[0])
    assert made.shape[1] == 3
    assert not made[:, 1:].any()


def test_patches_may_lie_in_any_order_in_memory():
    images, labels, flows = some_patches(2, 24, 30)
    parameters = random_parameters(2, 24, 30, 20, seed=4)
    expected = affine(images, labels, flows, *parameters, 20)
    strided = [part.transpose(-1, -2).contiguous().transpose(-1, -2) for part in (images, labels, flows)]
    assert not any(part.is_contiguous() for part in strided)
    for one, other in zip(affine(*strided, *parameters, 20), expected, strict=True):
        assert torch.equal(one, other)


def test_the_number_of_threads_does_not_show():
    images, labels, flows = some_patches(5, 40, 40)
    parameters = random_parameters(5, 40, 40, 32, seed=6)
    expected = affine(images, labels, flows, *parameters, 32)
    torch.set_num_threads(3)
    try:
        made = affine(images, labels, flows, *parameters, 32)
    finally:
        torch.set_num_threads(1)
    for one, other in zip(made, expected, strict=True):
        assert torch.equal(one, other)


def test_labels_keep_their_dtype_and_every_bit():
    images, labels, flows = some_patches(1, 8, 8)
    large = labels + 2**40 + 1
    assert torch.equal(affine(images, large, flows, *alike(1), 8)[1], large)
    made = affine(images, labels.to(torch.uint16), flows, *alike(1), 8)[1]
    assert made.dtype == torch.uint16
    assert torch.equal(made.long(), labels)


def test_flows_turn_with_their_cells():
    labels = discs(160, 11, 22)
    # Far enough inside for no crop to cut a cell and move its centre.
    labels = labels * ((labels == labels[50:110, 50:110].unique()[:, None, None]).any(0))
    labels = labels[None].repeat(6, 1, 1)
    images, flows = torch.zeros(6, 1, 160, 160), labels_to_flows(labels)
    generator = torch.Generator().manual_seed(0)
    _, made_labels, made_flows = random_affine(images, labels, flows, generator, size=160, scale_range=0.5)
    expected = labels_to_flows(made_labels)
    strong = (made_labels > 0) & (made_flows.norm(dim=1) > 0.8) & (expected.norm(dim=1) > 0)
    cosine = (made_flows * expected).sum(1)[strong] / made_flows.norm(dim=1)[strong]
    angles = torch.rad2deg(cosine.clamp(-1, 1).arccos())
    assert strong.sum() > 0.9 * (made_labels > 0).sum()
    assert angles.median() < 3
    assert angles.quantile(0.9) < 10


def find_affine(made, size, height, width):
    """Read angle, scale, flip and shift (y, x) off a patch whose channels are ones and its own y and x."""
    ones, y, x = made.double().numpy()
    seen = ones > 1 - 1e-5
    row, column = np.nonzero(seen)
    place = np.column_stack((column - (size - 1) / 2, row - (size - 1) / 2, np.ones(len(row))))
    source = np.column_stack((x[seen] - (width - 1) / 2, y[seen] - (height - 1) / 2))
    back, _, rank, _ = np.linalg.lstsq(place, source, rcond=None)
    assert rank == 3
    forward = np.linalg.inv(back[:2].T)
    flip = np.linalg.det(forward) < 0
    turn = forward @ np.diag([-1 if flip else 1, 1])
    scale = np.sqrt(np.linalg.det(turn))
    return np.arctan2(turn[1, 0], turn[0, 0]), scale, flip, (forward @ -back[2])[::-1]


def test_angle_scale_flip_and_shift_are_drawn_as_stated():
    count, height, width, size = 400, 30, 40, 24
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    images = torch.stack((torch.ones_like(y), y, x)).repeat(count, 1, 1, 1)
    labels, flows = torch.zeros(count, height, width, dtype=torch.int32), torch.zeros(count, 2, height, width)
    rescale = torch.linspace(0.8, 1.5, count)
    made, _, _ = random_affine(
        images, labels, flows, torch.Generator().manual_seed(1), size=size, scale_range=0.5, rescale=rescale
    )
    found = [find_affine(patch, size, height, width) for patch in made]
    angle, scale, flip = (np.array([row[i] for row in found]) for i in range(3))
    shift = np.array([row[3] for row in found])

    drawn = scale / rescale.numpy()
    assert 0.75 - 1e-3 <= drawn.min() < 0.77
    assert 1.23 < drawn.max() <= 1.25 + 1e-3
    np.testing.assert_allclose(np.histogram(drawn, 5, (0.75, 1.25))[0], count / 5, atol=30)
    np.testing.assert_allclose(np.histogram(angle, 4, (-np.pi, np.pi))[0], count / 4, atol=35)
    assert 0.42 < flip.mean() < 0.58
    room = np.maximum(0, scale[:, None] * [height, width] - size) / 2
    assert (np.abs(shift) <= room + 1e-2).all()
    share = shift[room > 2] / room[room > 2]
    np.testing.assert_allclose(np.histogram(share, 4, (-1, 1))[0], len(share) / 4, rtol=0.25)


def test_a_seed_gives_the_same_crops_however_the_batch_is_cut():
    images, labels, flows = some_patches(4)
    whole = random_affine(images, labels, flows, torch.Generator().manual_seed(5), size=20, scale_range=0.5)
    again = torch.Generator().manual_seed(5)
    for start in (0, 2):
        half = slice(start, start + 2)
        part = random_affine(images[half], labels[half], flows[half], again, size=20, scale_range=0.5)
        for one, other in zip(whole, part, strict=True):
            assert torch.equal(one[half], other)
    other = random_affine(images, labels, flows, torch.Generator().manual_seed(6), size=20, scale_range=0.5)
    assert not torch.equal(whole[0], other[0])


def test_rescale_enlarges_cells():
    labels = torch.zeros(2, 100, 100, dtype=torch.int32)
    labels[:, 45:55, 45:55] = 1
    images, flows = torch.zeros(2, 1, 100, 100), torch.zeros(2, 2, 100, 100)
    rescale = torch.tensor([0.5, 2.0])
    _, made, _ = random_affine(
        images, labels, flows, torch.Generator().manual_seed(0), size=140, scale_range=0.0, rescale=rescale
    )
    np.testing.assert_allclose(made.sum((1, 2)), [25, 400], rtol=0.2)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"size": 0}, "size"),
        ({"scale_range": 2.0}, "scale_range"),
        ({"rescale": torch.ones(3)}, "rescale"),
        ({"flows": torch.zeros(2, 3, 24, 24)}, "flows (B, 2, H, W)"),
        ({"images": torch.zeros(2, 2, 24, 23)}, "images must be"),
        ({"channels": 1}, "1 channels"),
    ],
)
def test_what_does_not_fit_is_refused(change, complaint):
    images, labels, flows = some_patches()
    arguments = {"images": images, "labels": labels, "flows": flows, "size": 20, "scale_range": 0.5} | change
    with pytest.raises(ValueError, match=re.escape(complaint)):
        random_affine(generator=torch.Generator().manual_seed(0), **arguments)


@pytest.mark.peer
def test_crops_agree_with_cellpose(monkeypatch):
    transforms = pytest.importorskip("cellpose.transforms")
    generator = np.random.default_rng(0)
    count, height, width, size = 8, 70, 90, 48
    smooth = ndimage.gaussian_filter(generator.standard_normal((count, 3, height, width)), (0, 0, 4, 4)) * 10
    images, flows = torch.from_numpy(smooth[:, :1]), torch.from_numpy(smooth[:, 1:])
    labels = discs(90, 9, 20)[:height].repeat(count, 1, 1)
    drawn = generator.random((count, 5))
    stream = iter(drawn.ravel())

    def recorded(*shape):
        values = [next(stream) for _ in range(math.prod(shape))]
        return np.array(values) if shape else values[0]

    monkeypatch.setattr(np.random, "rand", recorded)
    theirs = transforms.random_rotate_and_resize(
        [image.numpy().astype(np.float32) for image in images],
        [
            np.concatenate((label[None], label[None] > 0, flow)).astype(np.float32)
            for label, flow in zip(labels, flows, strict=True)
        ],
        scale_range=0.5,
        xy=(size, size),
    )
    angle, scale = 2 * np.pi * drawn[:, 1], 0.75 + 0.5 * drawn[:, 2]
    excess = np.maximum(0, scale[:, None] * [width, height] - size)
    # Cellpose's centres lie half a pixel further down and right, in patch and crop.
    half = 0.5 - scale[:, None] * 0.5 * np.stack((np.cos(angle) - np.sin(angle), np.sin(angle) + np.cos(angle)), 1)
    shift = ((drawn[:, 3:] - 0.5) * excess + half)[:, ::-1].copy()
    made = affine(images, labels, flows, *(torch.from_numpy(v) for v in (angle, scale, drawn[:, 0] > 0.5, shift)), size)
    # OpenCV interpolates at 32nds of a pixel and blends a pixel beyond the rim alike.
    assert np.abs(made[0].numpy() - theirs[0]).mean() < 0.02
    assert np.abs(made[2].numpy() - theirs[1][:, 2:]).mean() < 0.02
    assert (made[1].numpy() == theirs[1][:, 0]).mean() > 0.98


def find_stretch(made, size, height, width):
    """Quarter turns, mirror, zooms (y, x of the patch) and shift of one crop of ramps y and x."""
    known = made[0] > 0.999
    rows, columns = torch.nonzero(known, as_tuple=True)
    places = torch.stack((columns - (size - 1) / 2, rows - (size - 1) / 2, torch.ones(len(rows))), 1).double()
    # Patch x and y as linear functions of crop x and y.
    found = torch.linalg.lstsq(places, torch.stack((made[2][known], made[1][known]), 1).double()).solution.numpy()
    forward = np.linalg.inv(found[:2].T)
    offset = found[2] - [(width - 1) / 2, (height - 1) / 2]
    zooms = np.abs(forward).sum(0)
    return forward / zooms, zooms[::-1], (forward @ -offset)[::-1]


def test_quarter_turns_zoom_and_stretch_are_drawn_as_stated():
    count, height, width, size = 400, 30, 40, 24
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    images = torch.stack((torch.ones_like(y), y, x)).repeat(count, 1, 1, 1)
    labels, flows = torch.zeros(count, height, width, dtype=torch.int32), torch.zeros(count, 2, height, width)
    rescale = torch.linspace(0.8, 1.5, count)
    made, _, _ = random_stretch(images, labels, flows, torch.Generator().manual_seed(1), size=size, rescale=rescale)
    found = [find_stretch(patch, size, height, width) for patch in made]
    ways = np.array([row[0] for row in found])
    np.testing.assert_allclose(np.abs(ways).round(3) % 1, 0, atol=1e-6)
    kinds, counts = np.unique(ways.round().reshape(count, 4), axis=0, return_counts=True)
    assert len(kinds) == 8
    assert counts.min() > count / 16

    zooms = np.array([row[1] for row in found])
    assert zooms.min() > 1 / 3.3 - 1e-3
    assert zooms.max() < 1 / 0.3 + 1e-2
    inner = ((zooms > 0.31) & (zooms < 3.3)).all(1)
    octaves = np.log2(zooms[inner])
    assert (octaves.sum(1) / 2 - np.log2(rescale.numpy()[inner])).std() == pytest.approx(0.6, rel=0.12)
    assert (octaves[:, 0] - octaves[:, 1]).std() / 2 == pytest.approx(0.2, rel=0.12)

    shifts = np.array([row[2] for row in found])
    sides = zooms * [height, width]
    turned = np.abs(ways[:, 0, 1]).round() == 1
    sides[turned] = sides[turned][:, ::-1]
    room = np.maximum(0, sides - size) / 2
    assert (np.abs(shifts) <= room + 0.05).all()
    share = shifts[room > 3] / room[room > 3]
    np.testing.assert_allclose(np.histogram(share, 4, (-1, 1))[0], len(share) / 4, rtol=0.3)


@pytest.mark.parametrize("angle", [0.0, math.pi / 2, 0.4])
@pytest.mark.parametrize("flip", [False, True])
def test_a_stretch_is_that_of_the_patch_before_it_is_turned(angle, flip):
    images, labels, flows = some_patches(1, 20, 26)
    stretched = [
        ndimage.zoom(part[0].numpy(), (1, 2, 1), order=1, grid_mode=True, mode="nearest") for part in (images, flows)
    ]
    wide = torch.from_numpy(stretched[0])[None], labels.repeat_interleave(2, 1), torch.from_numpy(stretched[1])[None]
    options = torch.tensor([angle]), torch.tensor([flip]), torch.zeros(1, 2)
    ours, _, our_flows = affine(images, labels, flows, options[0], torch.tensor([[2.0, 1.0]]), *options[1:], 16)
    expected, _, expected_flows = affine(*wide, options[0], torch.ones(1), *options[1:], 16)
    # Interpolating twice blurs where the angle is no quarter turn.
    tolerance = 1e-4 if angle != 0.4 else 0.3
    torch.testing.assert_close(ours, expected, atol=tolerance, rtol=0)
    torch.testing.assert_close(our_flows, expected_flows, atol=4 * tolerance, rtol=0)
