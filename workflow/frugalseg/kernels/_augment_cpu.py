"""The compiled CPU path of `frugalseg.kernels.augment`: one pass over the pixels of the crops makes all of a batch.

Flows and channels of a patch are first packed four by four, so that one vector holds what all of them have in a pixel and
a pixel of the crop is four such vectors, weighted. Packing also brings the patch into the cache in order; turned reads
straight from memory would wait for one line after the other.
"""

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from torch import Tensor

from frugalseg.kernels._threads import share

# Numbers of one vector.
LANES = 4
# Labels are only moved, so one compiled version for each size of number will do.
INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def crop_patches(
    images: Tensor, labels: Tensor, flows: Tensor, back: Tensor, offset: Tensor, turn: Tensor, size: int, channels: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Crops of patches, as `augment.affine` makes them, from the maps of `augment._inverse_maps`."""
    count, filled, height, width = images.shape
    integers = INTEGERS[labels.element_size()]
    allocate = torch.zeros if channels > filled else torch.empty
    made_images = allocate((count, size, size, channels))
    made_labels = torch.empty((count, size, size), dtype=labels.dtype)
    made_flows = torch.empty((count, 2, size, size))
    read = _readable(images), labels.contiguous().view(integers).numpy(), _readable(flows)
    maps = back.numpy(), offset.numpy(), turn.numpy()
    written = made_images.numpy(), made_labels.view(integers).numpy(), made_flows.numpy()

    def crop(first: int, last: int) -> None:
        # A border of zeros takes what falls outside; on the far side it is two wide, for the second of two neighbours.
        packed = np.zeros((-(-(filled + 2) // LANES), height + 3, width + 3, LANES), np.float32)
        for patch in range(first, last):
            pixels, label, flow = (values[patch] for values in read)
            for lane, plane in enumerate((*flow, *pixels)):
                _pack(plane, lane % LANES, packed[lane // LANES])
            _crop(packed, filled, label, *(part[patch] for part in maps), *(part[patch] for part in written))

    share(count, crop, 1)
    return made_images.permute(0, 3, 1, 2), made_labels, made_flows


def _readable(values: Tensor) -> np.ndarray:
    """Numbers as the loops read them: float32, or the bits of float16 as uint16."""
    if values.dtype == torch.float16:
        return values.contiguous().view(torch.uint16).numpy()
    return values.contiguous().float().numpy()


def _pack(plane: np.ndarray, lane: int, packed: np.ndarray) -> None:
    """Write numbers (H, W) into one lane of (H + 3, W + 3, LANES)."""
    if plane.dtype == np.uint16:
        _pack_halves(plane, lane, packed)
    else:
        _pack_singles(plane, lane, packed)


@njit(cache=True, nogil=True)
def _pack_singles(plane, lane, packed):
    height, width = plane.shape
    for y in range(height):
        for x in range(width):
            packed[y + 1, x + 1, lane] = plane[y, x]


@njit(cache=True, nogil=True)
def _pack_halves(plane, lane, packed):
    """Widen float16 exactly: move its fields to where float32 has them, and scale by the difference of the biases."""
    height, width = plane.shape
    bits = np.empty(width, np.uint32)
    row = bits.view(np.float32)
    scale = np.float32(2.0**112)
    for y in range(height):
        for x in range(width):
            half = np.uint32(plane[y, x])
            bits[x] = ((half & np.uint32(0x8000)) << np.uint32(16)) | ((half & np.uint32(0x7FFF)) << np.uint32(13))
        for x in range(width):
            row[x] *= scale
        for x in range(width):
            # What is not finite has the largest exponent of all.
            if plane[y, x] & np.uint16(0x7C00) == np.uint16(0x7C00):
                bits[x] |= np.uint32(0x7F800000)
        for x in range(width):
            packed[y + 1, x + 1, lane] = row[x]


@njit(cache=True, nogil=True)
def _crop(packed, channels, labels, back, offset, turn, made_images, made_labels, made_flows):
    """Make one crop row by row: where its pixels come from, then labels, flows and channels from there."""
    size = len(made_labels)
    groups, _, stride, _ = packed.shape
    flat = packed.reshape(groups, -1)
    nearest, corner = np.empty(size, np.int32), np.empty(size, np.int32)
    below, beside = np.empty(size, np.float32), np.empty(size, np.float32)
    row = np.empty((groups, size * LANES), np.float32)
    for y in range(size):
        _locate(y, labels.shape, stride, back, offset, nearest, corner, below, beside)
        _look_up(labels, nearest, y, made_labels)
        for group in range(groups):
            _interpolate(flat[group], stride, corner, below, beside, row[group])
        _turn(row, turn, y, made_flows)
        for channel in range(channels):
            _take(row[(channel + 2) // LANES], (channel + 2) % LANES, y, channel, made_images)


@njit(cache=True, nogil=True)
def _locate(y, shape, stride, back, offset, nearest, corner, below, beside):
    """Find for the pixels of a row the nearest pixel of the patch (-1: none), and the first of four around, with weights.

    The order of operations is that of the torch path, so that both read the same labels.
    """
    height, width = np.int32(shape[0]), np.int32(shape[1])
    centre_y, centre_x = np.float32((height - 1) / 2), np.float32((width - 1) / 2)
    half = np.float32((len(nearest) - 1) / 2)
    v = np.float32(y) - half
    for i in range(len(nearest)):
        u = np.float32(i) - half
        at_x = _within(back[0, 0] * u + back[0, 1] * v + offset[0] + centre_x, width)
        at_y = _within(back[1, 0] * u + back[1, 1] * v + offset[1] + centre_y, height)
        near_x, near_y = np.int32(np.rint(at_x)), np.int32(np.rint(at_y))
        inside = (near_x >= 0) & (near_x < width) & (near_y >= 0) & (near_y < height)
        nearest[i] = near_y * width + near_x if inside else -1
        left, top = np.floor(at_x), np.floor(at_y)
        corner[i] = ((np.int32(top) + 1) * stride + np.int32(left) + 1) * LANES
        below[i], beside[i] = at_y - top, at_x - left


@njit(cache=True, nogil=True)
def _within(position, length):
    """A position moved to at most one pixel outside; what is not a number goes there, too."""
    low, high = np.float32(-1), np.float32(length)
    position = position if position > low else low
    return position if position < high else high


@njit(cache=True, nogil=True)
def _look_up(labels, nearest, y, made):
    labels = labels.reshape(-1)
    for x in range(len(nearest)):
        # Unsigned indices spare the check for negative ones.
        made[y, x] = labels[np.uint64(nearest[x])] if nearest[x] >= 0 else 0


@njit(cache=True, nogil=True)
def _interpolate(packed, stride, corner, below, beside, row):
    one = np.float32(1)
    for x in range(len(corner)):
        v, u = below[x], beside[x]
        first = np.int64(corner[x])
        weights = (one - v) * (one - u), (one - v) * u, v * (one - u), v * u
        _weigh_four(packed, first, first + stride * LANES, weights, row, x * LANES)


@intrinsic
def _weigh_four(typing_context, packed, top, bottom, weights, row, place):
    """Write at row[place:] the weighted sum of the vectors at packed[top:], the next, packed[bottom:] and the next.

    Written out because the compiler's loops do not become vectors that run across so few numbers.
    """
    vector = ir.VectorType(ir.FloatType(), LANES)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)

    def generate(context, builder, signature, arguments):
        packed, top, bottom, weights, row, place = arguments

        def vector_at(array_type, array, index):
            data = context.make_array(array_type)(context, builder, value=array).data
            return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())

        def weighted(index, neighbour, weight):
            index = builder.add(index, ir.Constant(index.type, neighbour * LANES))
            one = builder.insert_element(
                ir.Constant(vector, ir.Undefined),
                builder.extract_value(weights, weight),
                ir.Constant(ir.IntType(32), 0),
            )
            values = builder.load(vector_at(signature.args[0], packed, index), align=4)
            return builder.fmul(values, builder.shuffle_vector(one, one, lanes))

        upper = builder.fadd(weighted(top, 0, 0), weighted(top, 1, 1))
        lower = builder.fadd(weighted(bottom, 0, 2), weighted(bottom, 1, 3))
        builder.store(builder.fadd(upper, lower), vector_at(signature.args[4], row, place), align=4)
        return context.get_dummy_value()

    return types.void(packed, types.int64, types.int64, weights, row, types.int64), generate


@njit(cache=True, nogil=True)
def _turn(row, turn, y, made):
    for x in range(made.shape[2]):
        flow_y, flow_x = row[0, x * LANES], row[0, x * LANES + 1]
        made[0, y, x] = turn[0, 0] * flow_y + turn[0, 1] * flow_x
        made[1, y, x] = turn[1, 0] * flow_y + turn[1, 1] * flow_x


@njit(cache=True, nogil=True)
def _take(row, lane, y, channel, made):
    for x in range(made.shape[1]):
        made[y, x, channel] = row[x * LANES + lane]
