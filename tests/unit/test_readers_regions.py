"""Regions from polygons and run lengths: against slow references, and against pycocotools."""

from collections import Counter

import numpy as np
import pytest

from frugalseg.data.regions import decompress_run_lengths, outline_pixels, run_length_pixels


def mask_of(pixels, height, width):
    mask = np.zeros((height, width), bool)
    mask[pixels] = True
    return mask


def polygon_pixels(vertices, height, width):
    return outline_pixels([np.asarray(vertices, float)], height, width, Counter())


def centres_inside(vertices, height, width):
    """The rule, pixel by pixel: a ray to the left of the centre crosses the outline an odd number of times."""
    mask = np.zeros((height, width), bool)
    edges = list(zip(vertices.tolist(), np.roll(vertices, -1, axis=0).tolist(), strict=True))
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            crossings = 0
            for (x0, y0), (x1, y1) in edges:
                if min(y0, y1) <= y < max(y0, y1) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
                    crossings += 1
            mask[row, column] = crossings % 2
    return mask


def distance_to_outline(vertices, x, y):
    starts, edges = vertices, np.roll(vertices, -1, axis=0) - vertices
    along = np.clip(((np.array([x, y]) - starts) * edges).sum(1) / np.maximum((edges**2).sum(1), 1e-12), 0, 1)
    return np.hypot(*(starts + along[:, None] * edges - (x, y)).T).min()


@pytest.mark.parametrize("seed", range(25))
def test_polygons_are_filled_by_the_centre_rule_whatever_they_look_like(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 24, 2)
    vertices = rng.uniform(-8, 30, (rng.integers(3, 12), 2))  # crossing itself and the border
    if seed % 2:
        vertices = vertices.round()  # horizontal and vertical edges
    filled = mask_of(polygon_pixels(vertices, height, width), height, width)
    expected = centres_inside(vertices, height, width)
    for row, column in zip(*np.nonzero(filled != expected), strict=True):
        # Only a centre that lies on the outline is a matter of taste; it is inside.
        assert filled[row, column]
        assert distance_to_outline(vertices, column + 0.5, row + 0.5) < 1e-9


@pytest.mark.parametrize(
    "vertices",
    [
        [(30, 30), (40, 30), (40, 40)],
        [(-9, -9), (-1, -9), (-1, -1)],
        [(3.1, 3.1), (3.4, 3.1), (3.4, 3.4)],
        [(2, 3), (9, 3), (5, 3)],
    ],
    ids=["beyond", "before", "smaller than a pixel", "flat"],
)
def test_a_polygon_without_a_centre_has_no_pixels(vertices):
    rows, columns = polygon_pixels(vertices, 12, 17)
    assert len(rows) == len(columns) == 0


def test_a_union_has_each_pixel_once():
    boxes = [np.array(box, float) for box in ([(1, 1), (5, 1), (5, 5), (1, 5)], [(3, 3), (8, 3), (8, 8)])]
    rows, columns = outline_pixels(boxes, 9, 9, Counter())
    assert len(rows) == len(set(zip(rows.tolist(), columns.tolist(), strict=True)))
    first, second = (mask_of(polygon_pixels(box, 9, 9), 9, 9) for box in boxes)
    np.testing.assert_array_equal(mask_of((rows, columns), 9, 9), first | second)


def runs_of(mask):
    """Lengths of the runs of a mask read column by column, in turn outside and inside."""
    counts, inside = [0], False
    for pixel in mask.T.ravel():
        if pixel != inside:
            inside = not inside
            counts.append(0)
        counts[-1] += 1
    return counts


def compressed(counts):
    """COCO's compressed form, written from its description."""
    text = ""
    for place, count in enumerate(counts):
        number = count - counts[place - 2] if place > 2 else count
        while True:
            group, number = number & 31, number >> 5
            done = number == (-1 if group & 16 else 0)
            text += chr(48 + (group if done else group | 32))
            if done:
                break
    return text


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.98, 1])
@pytest.mark.parametrize("shape", [(1, 1), (40, 3), (31, 57)])
def test_run_lengths_come_back_as_the_mask(shape, share):
    mask = np.random.default_rng(3).random(shape) < share
    counts = runs_of(mask)
    np.testing.assert_array_equal(mask_of(run_length_pixels(np.array(counts), *shape), *shape), mask)
    assert decompress_run_lengths(compressed(counts)).tolist() == counts


def test_a_compressed_text_of_pycocotools_is_read():
    mask = np.zeros((40, 50), bool)
    mask[3:9, 5:20], mask[20, 7], mask[20:40, 30:33] = True, True, True
    text = "[66R1000YOK;5<000000000000000000000Q=>aB000dd0"
    np.testing.assert_array_equal(mask_of(run_length_pixels(decompress_run_lengths(text), 40, 50), 40, 50), mask)


@pytest.mark.parametrize(
    ("text", "message"),
    [("5 5", r"character 1 \(' '\) does not belong"), ("5o", "end within a number"), ("o" * 20, "does not belong")],
)
def test_a_text_that_is_no_compressed_run_lengths_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        decompress_run_lengths(text)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([3, 4], "sum to 7, not to the 3x4 = 12 pixels"),
        ([13, -1], "run 1 has the negative length -1"),
        ([], "sum to 0"),
    ],
)
def test_run_lengths_that_are_not_those_of_the_mask_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        run_length_pixels(np.array(counts, np.int64), 3, 4)


def outline(rng, height, width):
    """A cell-like outline (n, 2), 10 to 60 pixels across, with two decimals as annotators' tools write them."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(12, 60)))
    radius = rng.uniform(5, 30) * (1 + 0.3 * np.sin(3 * angle + rng.uniform(0, 6)))
    centre = rng.uniform((0, 0), (width, height))
    vertices = centre + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return vertices.clip(0, (width, height)).round(2)


@pytest.mark.peer
def test_polygons_differ_from_pycocotools_only_along_the_outline():
    """It traces the outline on a grid five times as fine and rounds, so pixels cut in half may go either way."""
    peer = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(150):
        vertices = outline(rng, 130, 150)
        ours = mask_of(polygon_pixels(vertices, 130, 150), 130, 150)
        theirs = peer.decode(peer.merge(peer.frPyObjects([vertices.ravel().tolist()], 130, 150))).astype(bool)
        length = np.hypot(*(vertices - np.roll(vertices, 1, axis=0)).T).sum()
        assert (ours != theirs).sum() <= 0.2 * length
        areas.append((ours.sum(), theirs.sum()))
    ours, theirs = np.sum(areas, axis=0)
    assert abs(ours / theirs - 1) < 0.002


@pytest.mark.peer
def test_compressed_run_lengths_are_those_of_pycocotools():
    peer = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(1)
    for _ in range(50):
        height, width = (int(length) for length in rng.integers(1, 300, 2))
        mask = rng.random((height, width)) < rng.random() ** 3
        text = peer.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        counts = decompress_run_lengths(text)
        assert counts.tolist() == runs_of(mask)
        np.testing.assert_array_equal(mask_of(run_length_pixels(counts, height, width), height, width), mask)
