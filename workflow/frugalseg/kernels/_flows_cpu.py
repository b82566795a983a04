"""The compiled CPU path of `frugalseg.kernels.flows`: numpy arrays in, numpy arrays out."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from numba import njit

# Runs of a cell in its flattened box are joined over gaps up to this long: a vector of zeros is cheaper than a new loop.
LONGEST_GAP = 32
# Pixels that move together: small enough for the first cache, large enough to hide the latency of loads.
BLOCK = 1024
# Every so many Euler steps, pixels that are back where they were are done. A pixel mostly ends on a fixed point or in a
# cycle of two, both of which a period of eight finds.
PERIOD = 8
# Cells and images differ in work: ranges of them that a thread takes in turn.
RANGES = 8
SMALLEST_PEAK = 10
SMALLEST_GROWTH = 2
GROWTH_ROUNDS = 5


def label_flows(labels: np.ndarray) -> np.ndarray:
    """Flow fields (B, 2, H, W) float32 of label images (B, H, W); see `flows.labels_to_flows`."""
    labels = _small_numbers(labels)
    cells, means = _find_cells(labels)
    images, height, width = labels.shape
    flows = np.zeros((images, 2, height, width), np.float32)
    share(len(cells), lambda first, last: _spread_heat(labels, cells[first:last], means[first:last], flows))
    return flows


def flow_labels(
    flows: np.ndarray, inside: np.ndarray, steps: int, flow_threshold: float, min_size: int, largest: float = 0.4
) -> np.ndarray:
    """Label images (B, H, W) int32 of finite flows (B, 2, H, W) float32; see `flows.flows_to_labels`."""
    flows = np.ascontiguousarray(flows)
    inside = np.ascontiguousarray(inside)
    images, height, width = inside.shape
    ends = _follow(flows, inside, steps)
    labels = np.zeros((images, height, width), np.int32)
    most = int(largest * height * width)

    def gather(first: int, last: int) -> None:
        for image in range(first, last):
            _gather_sinks(ends[image], labels[image])
            _renumber(labels[image], 1, most)

    share(images, gather)
    if flow_threshold > 0:
        expected = label_flows(labels)
        share(images, lambda first, last: _drop_inconsistent(labels, flows, expected, flow_threshold, first, last))
    return finish_labels(labels, min_size)


def finish_labels(labels: np.ndarray, min_size: int) -> np.ndarray:
    """Drop small cells, fill holes and number the cells of each image 1..n, in place; returns `labels` (B, H, W) int32."""
    anything = labels.shape[1] * labels.shape[2]

    def finish(first: int, last: int) -> None:
        for image in range(first, last):
            cells = _renumber(labels[image], min_size, anything)
            _fill_holes(labels[image], cells)
            _renumber(labels[image], min_size, anything)

    share(len(labels), finish)
    return labels


def _small_numbers(labels: np.ndarray) -> np.ndarray:
    """Labels as contiguous int32, renumbered where a table with a row per number would be larger than an image."""
    if labels.size and labels.max() > max(labels[0].size, np.iinfo(np.uint16).max):
        labels = np.unique(np.append(0, labels), return_inverse=True)[1][1:].reshape(labels.shape)
    return np.ascontiguousarray(labels, dtype=np.int32)


def _find_cells(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows (image, label, top, bottom, left, right) and mean positions (y, x) within the box, cell after cell."""
    largest = int(labels.max(initial=0))
    found = [_measure_cells(image, largest) for image in labels]
    rows = [np.column_stack((np.full(len(cells), image), cells)) for image, (cells, _) in enumerate(found)]
    if not rows:
        return np.zeros((0, 6), np.int64), np.zeros((0, 2))
    return np.concatenate(rows), np.concatenate([means for _, means in found])


def share(items: int, work: Callable[[int, int], None]) -> None:
    """Run `work(first, last)` over ranges that cover `items`, on as many threads as torch uses, this one included.

    Compiled functions release the interpreter lock; each range writes to places of its own, so the result does not
    depend on how many threads there are.
    """
    threads = min(torch.get_num_threads(), items)
    if threads <= 1:
        work(0, items)
        return
    bounds = np.linspace(0, items, min(items, RANGES * threads) + 1).astype(int).tolist()
    # Whoever is free takes the next range; a list's iterator may be shared by threads.
    ranges = iter(list(pairwise(bounds)))

    def run() -> None:
        for first, last in ranges:
            work(first, last)

    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(run) for _ in range(threads - 1)]
        run()
        for other in others:
            other.result()


@njit(cache=True, nogil=True)
def _measure_cells(labels, largest):
    height, width = labels.shape
    boxes = np.zeros((largest + 1, 5), np.int64)
    sums = np.zeros((largest + 1, 2), np.int64)
    areas = np.zeros(largest + 1, np.int64)
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label == 0:
                continue
            box = boxes[label]
            if areas[label] == 0:
                box[0], box[1], box[3], box[4] = label, y, x, x + 1
            box[2] = y + 1
            box[3] = min(box[3], x)
            box[4] = max(box[4], x + 1)
            areas[label] += 1
            sums[label, 0] += y
            sums[label, 1] += x
    present = np.flatnonzero(areas)
    means = np.empty((len(present), 2))
    for row, label in enumerate(present):
        means[row, 0] = sums[label, 0] / areas[label] - boxes[label, 1]
        means[row, 1] = sums[label, 1] / areas[label] - boxes[label, 3]
    return boxes[present], means


@njit(cache=True, nogil=True)
def _spread_heat(labels, cells, means, flows):
    """Write the flows of the given cells.

    A cell's box lies flattened in a vector with a border of zeros: one row above and below, one column between rows. The
    runs that hold pixels of the cell are all that is worked on, whole vectors at a time.
    """
    for cell in range(len(cells)):
        image, label, top, bottom, left, right = cells[cell]
        height, width = bottom - top, right - left
        stride = width + 1
        size = (height + 2) * stride + 1
        heat, columns, weight = np.zeros(size), np.zeros(size), np.zeros(size)
        starts, ends = np.empty(size, np.int64), np.empty(size, np.int64)
        runs, centre, nearest = 0, 0, np.inf
        for y in range(height):
            for x in range(width):
                if labels[image, top + y, left + x] != label:
                    continue
                pixel = (y + 1) * stride + x + 1
                weight[pixel] = 1 / 9
                distance = (y - means[cell, 0]) ** 2 + (x - means[cell, 1]) ** 2
                if distance < nearest:
                    nearest, centre = distance, pixel
                if runs == 0 or pixel - ends[runs - 1] > LONGEST_GAP:
                    starts[runs] = pixel
                    runs += 1
                ends[runs - 1] = pixel + 1
        for _ in range(2 * (height + width + 4)):
            heat[centre] += 1
            for run in range(runs):
                first, last = starts[run] - 1, ends[run] + 1
                _add_three(heat, first, last, stride, columns)
            for run in range(runs):
                _average(columns, starts[run], ends[run], weight, heat)
        for y in range(height):
            for x in range(width):
                pixel = (y + 1) * stride + x + 1
                if weight[pixel] == 0:
                    continue
                flow_y = heat[pixel + stride] - heat[pixel - stride]
                flow_x = heat[pixel + 1] - heat[pixel - 1]
                length = np.sqrt(flow_y**2 + flow_x**2)
                if length > 0:
                    flows[image, 0, top + y, left + x] = flow_y / length
                    flows[image, 1, top + y, left + x] = flow_x / length


# In both sums the outer two are added first: mirrored cells then give mirrored bits, and the centre of a symmetric cell
# the exact zero.
@njit(cache=True, nogil=True)
def _add_three(heat, first, last, stride, columns):
    above, here, below = heat[first - stride : last - stride], heat[first:last], heat[first + stride : last + stride]
    target = columns[first:last]
    for i in range(last - first):
        target[i] = here[i] + (above[i] + below[i])


@njit(cache=True, nogil=True)
def _average(columns, first, last, weight, heat):
    before, here, after = columns[first - 1 : last - 1], columns[first:last], columns[first + 1 : last + 1]
    factor, target = weight[first:last], heat[first:last]
    for i in range(last - first):
        target[i] = factor[i] * (here[i] + (before[i] + after[i]))


def _follow(flows: np.ndarray, inside: np.ndarray, steps: int) -> np.ndarray:
    """End pixel (y W + x) of every pixel inside, -1 elsewhere: (B, H, W) int32."""
    images, height, width = inside.shape
    # Interleaved, and a row and a column longer: the four neighbours of a position always exist.
    field = np.zeros((images, height + 1, width + 1, 2), np.float32)
    ends = np.full((images, height, width), -1, np.int32)

    def interleave(first: int, last: int) -> None:
        for image in range(first, last):
            _interleave(flows[image], inside[image], field[image])

    def move(first: int, last: int) -> None:
        for image in range(first // height, -(-last // height)):
            start = image * height
            top, bottom = max(first - start, 0), min(last - start, height)
            _follow_rows(field[image], inside[image], top, bottom, steps, ends[image])

    share(images, interleave)
    share(images * height, move)
    return ends


@njit(cache=True, nogil=True)
def _interleave(flows, inside, field):
    height, width = inside.shape
    for y in range(height):
        for x in range(width):
            if inside[y, x]:
                field[y, x, 0] = flows[0, y, x]
                field[y, x, 1] = flows[1, y, x]


@njit(cache=True, nogil=True)
def _follow_rows(field, inside, top, bottom, steps, ends):
    height, width = inside.shape
    y, x, pixels = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.int64)
    waiting = 0
    for row in range(top, bottom):
        for column in range(width):
            if not inside[row, column]:
                continue
            y[waiting], x[waiting], pixels[waiting] = row, column, row * width + column
            waiting += 1
            if waiting == BLOCK:
                _follow_block(field, height, width, y, x, pixels, waiting, steps, ends.reshape(-1))
                waiting = 0
    _follow_block(field, height, width, y, x, pixels, waiting, steps, ends.reshape(-1))


@njit(cache=True, nogil=True)
def _follow_block(field, height, width, y, x, pixels, count, steps, ends):
    """Move `count` pixels; those back where they were a period ago leave, for the rest of their way is known.

    The steps that are no whole period come first, so every later check is a whole number of periods before the end and the
    position found there is the end, exactly.
    """
    old_y, old_x = np.empty(count, np.float32), np.empty(count, np.float32)
    _move(field, height, width, y, x, count, steps % PERIOD)
    for _ in range(steps // PERIOD):
        old_y[:count] = y[:count]
        old_x[:count] = x[:count]
        _move(field, height, width, y, x, count, PERIOD)
        kept = 0
        for i in range(count):
            if y[i] == old_y[i] and x[i] == old_x[i]:
                ends[pixels[i]] = np.int32(y[i]) * width + np.int32(x[i])
            else:
                y[kept], x[kept], pixels[kept] = y[i], x[i], pixels[i]
                kept += 1
        count = kept
        if count == 0:
            return
    for i in range(count):
        ends[pixels[i]] = np.int32(y[i]) * width + np.int32(x[i])


@njit(cache=True, nogil=True)
def _move(field, height, width, y, x, count, steps):
    one, zero, next_pixel = np.float32(1), np.float32(0), np.uint64(1)
    last_y, last_x = np.float32(height - 1), np.float32(width - 1)
    for _ in range(steps):
        for i in range(count):
            # Unsigned indices spare the check for negative ones.
            top, left = np.uint64(y[i]), np.uint64(x[i])
            bottom, right = top + next_pixel, left + next_pixel
            below, beside = y[i] - np.float32(top), x[i] - np.float32(left)
            a, b = (one - below) * (one - beside), (one - below) * beside
            c, d = below * (one - beside), below * beside
            flow_y = field[top, left, 0] * a + field[top, right, 0] * b
            flow_y += field[bottom, left, 0] * c + field[bottom, right, 0] * d
            flow_x = field[top, left, 1] * a + field[top, right, 1] * b
            flow_x += field[bottom, left, 1] * c + field[bottom, right, 1] * d
            y[i] = min(last_y, max(zero, y[i] + flow_y))
            x[i] = min(last_x, max(zero, x[i] + flow_x))


@njit(cache=True, nogil=True)
def _gather_sinks(ends, labels):
    """Label the pixels by the sink they end in."""
    height, width = ends.shape
    counts = np.zeros((height, width), np.int32)
    for y in range(height):
        for x in range(width):
            if ends[y, x] >= 0:
                counts[ends[y, x] // width, ends[y, x] % width] += 1
    peaks = _find_peaks(counts)
    heights = np.array([counts[y, x] for y, x in peaks], np.int32)
    sinks = np.zeros((height, width), np.int32)
    # From the lowest to the highest, equal ones in reading order: later sinks write over earlier ones.
    for rank, peak in enumerate(np.argsort(heights, kind="mergesort")):
        _grow_sink(counts, peaks[peak, 0], peaks[peak, 1], rank + 1, sinks)
    for y in range(height):
        for x in range(width):
            if ends[y, x] >= 0:
                labels[y, x] = sinks[ends[y, x] // width, ends[y, x] % width]


@njit(cache=True, nogil=True)
def _find_peaks(counts):
    height, width = counts.shape
    peaks = np.empty((np.count_nonzero(counts > SMALLEST_PEAK), 2), np.int64)
    found = 0
    for y in range(height):
        for x in range(width):
            if counts[y, x] <= SMALLEST_PEAK:
                continue
            around = counts[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
            if around.max() == counts[y, x]:
                peaks[found, 0], peaks[found, 1] = y, x
                found += 1
    return peaks[:found]


@njit(cache=True, nogil=True)
def _grow_sink(counts, y, x, number, sinks):
    height, width = counts.shape
    reached = np.empty(((2 * GROWTH_ROUNDS + 1) ** 2, 2), np.int64)
    reached[0, 0], reached[0, 1] = y, x
    sinks[y, x] = number
    first, last = 0, 1
    for _ in range(GROWTH_ROUNDS):
        found = last
        for i in range(first, last):
            for next_y in range(max(reached[i, 0] - 1, 0), min(reached[i, 0] + 2, height)):
                for next_x in range(max(reached[i, 1] - 1, 0), min(reached[i, 1] + 2, width)):
                    if counts[next_y, next_x] > SMALLEST_GROWTH and sinks[next_y, next_x] != number:
                        sinks[next_y, next_x] = number
                        reached[found, 0], reached[found, 1] = next_y, next_x
                        found += 1
        first, last = last, found


@njit(cache=True, nogil=True)
def _drop_inconsistent(labels, flows, expected, threshold, first, last):
    """Set cells to 0 whose predicted flows lie further than `threshold` from the expected ones."""
    for image in range(first, last):
        here = labels[image]
        height, width = here.shape
        errors = np.zeros(here.max() + 1)
        areas = np.zeros(here.max() + 1, np.int64)
        for y in range(height):
            for x in range(width):
                error_y = np.float64(expected[image, 0, y, x]) - flows[image, 0, y, x]
                error_x = np.float64(expected[image, 1, y, x]) - flows[image, 1, y, x]
                errors[here[y, x]] += error_y**2 + error_x**2
                areas[here[y, x]] += 1
        for y in range(height):
            for x in range(width):
                if errors[here[y, x]] > threshold * areas[here[y, x]]:
                    here[y, x] = 0


@njit(cache=True, nogil=True)
def _renumber(labels, smallest, largest):
    """Number cells of `smallest` to `largest` pixels 1..n in reading order, drop the others; returns n."""
    areas = np.zeros(labels.max() + 1, np.int64)
    for label in labels.flat:
        areas[label] += 1
    numbers = np.zeros(len(areas), np.int32)
    cells = 0
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label == 0:
                continue
            if smallest <= areas[label] <= largest and numbers[label] == 0:
                cells += 1
                numbers[label] = cells
            labels[y, x] = numbers[label]
    return cells


@njit(cache=True, nogil=True)
def _fill_holes(labels, cells):
    """Give each cell, one after the other, what it encloses: pixels with no way (4-neighbourhood) to the border of its box."""
    boxes, _ = _measure_cells(labels, cells)
    for label, top, bottom, left, right in boxes:
        box = labels[top:bottom, left:right]
        height, width = box.shape
        outside = np.zeros((height, width), np.bool_)
        stack = np.empty((height * width, 2), np.int64)
        depth = 0
        for y in range(height):
            for x in range(width):
                border = y == 0 or x == 0 or y == height - 1 or x == width - 1
                if border and box[y, x] != label:
                    outside[y, x] = True
                    stack[depth, 0], stack[depth, 1] = y, x
                    depth += 1
        while depth > 0:
            depth -= 1
            y, x = stack[depth]
            for step_y, step_x in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                next_y, next_x = y + step_y, x + step_x
                if not (0 <= next_y < height and 0 <= next_x < width):
                    continue
                if box[next_y, next_x] != label and not outside[next_y, next_x]:
                    outside[next_y, next_x] = True
                    stack[depth, 0], stack[depth, 1] = next_y, next_x
                    depth += 1
        for y in range(height):
            for x in range(width):
                if not outside[y, x]:
                    box[y, x] = label
