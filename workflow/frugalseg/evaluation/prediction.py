"""Prediction: flows and cell logits of whole images from a network, and label images from those.

Images are predicted whole where they are small enough, in overlapping tiles where not. Windows of one shape, whole
images and tiles alike, are batched together, whichever images they come from. While the network computes, a thread of
the processor makes something of what is predicted already, such as label images.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from frugalseg.evaluation.windows import Canvas, Span
from frugalseg.kernels.flows import flows_to_labels

# Networks are trained to put out five times the target flow (Stringer et al. 2021).
_FLOW_SCALE = 5.0

# Cellpose's: what is segmented, and a nucleus.
_DEFAULT_CHANNELS = 2

# Six levels, as many as a U-Net for patches of 224 pixels has.
_DEFAULT_STRIDE = 32

# A forward pass sees at most this many pixels for each window of the batch, so that large tiles come in fewer windows.
_PIXELS_PER_WINDOW = 512 * 512

# And at most this many altogether on a processor: activations of larger batches leave its caches, and the allocator
# returns them to the system after every operation. Measured: a third slower at eight windows of 528 x 528.
_PIXELS_PER_PASS = 512 * 512

# Pixels of the images that are on their way through the network at a time: about half a gigabyte with all they need.
_PIXELS_PER_CHUNK = 8 * 1024 * 1024

# Predictions that wait for the thread that works on them, at most.
_MOST_WAITING = 16

# Cellpose's: enough for cells of usual size.
_STEPS = 200

Prediction = tuple[NDArray[np.float32], NDArray[np.float32]]
Result = TypeVar("Result")


def predict(
    model: nn.Module,
    images: Iterable[NDArray[np.float32]],
    *,
    device: torch.device | str,
    batch_size: int,
    in_channels: int | None = None,
    stride: int | None = None,
    tile: int = 1088,
    rescale: float = 1.0,
    dtype: torch.dtype | None = None,
) -> Iterator[tuple[int, Prediction]]:
    """Predict flows and cell logits of whole images, each as soon as the network has seen all of it.

    How an image is resized, padded, tiled and put together says :class:`frugalseg.evaluation.windows.Canvas`.

    Parameters
    ----------
    model : nn.Module
        Maps (B, in_channels, H, W) to (B, 3, H, W): flow y and x, five times the target, and cell logit. It is moved to
        `device`, and runs in evaluation mode; the mode it was in is restored at the end.
    images : iterable of np.ndarray
        (C, H, W) float32, normalised as in training, C <= `in_channels`; missing channels (the second of a grey image)
        are zero. Sizes may differ. About eight million pixels are taken from it at a time.
    device : torch.device or str
        Where the network runs.
    batch_size : int
        Windows of one forward pass; fewer when they are larger than 512 x 512 pixels, in proportion, and on a processor
        no more than 512 x 512 pixels altogether or one window.
    in_channels : int, optional
        Channels the network takes; without, the model's own attribute `in_channels`, or 2 if it has none.
    stride : int, optional
        The network takes sides that are multiples of this, 2^(levels - 1) for a U-Net. Without, it is the model's own
        attribute `stride`, or 32 if it has none.
    tile : int
        Longest side in pixels, after resizing and padding, that is predicted in one piece; a multiple of `stride`, at
        least twice as large. Images of 1024 pixels a side fit with their margins. A model with an attribute `window` is
        shown squares of that side instead, and nothing else.
    rescale : float
        Factor by which images are resized (bilinearly) before the network, usually the cell diameter of training over
        that of the images. Flows and logits are resized back; flows are directions and keep their values.
    dtype : torch.dtype, optional
        Autocast to this type, such as ``torch.bfloat16``; float32 without.

    Yields
    ------
    int, (np.ndarray, np.ndarray)
        Number of the image, counted from 0, with its flows (2, H, W) float32 in the unit of the targets (network
        output / 5, unit vectors (y, x) inside cells) and logits (H, W) float32, in its own size. Every image comes once;
        among about eight million pixels of images, those complete first come first. Flows and logits do not depend
        on `batch_size`, nor on what other images there are, beyond rounding in the network.
    """
    in_channels = in_channels or getattr(model, "in_channels", _DEFAULT_CHANNELS)
    stride = stride or getattr(model, "stride", _DEFAULT_STRIDE)
    whole_tiles = hasattr(model, "window")
    tile = model.window if whole_tiles else tile
    if tile % stride or tile < 2 * stride:
        raise ValueError(f"tile {tile} must be a multiple of the network's stride {stride}, at least {2 * stride}")
    layout = {"in_channels": in_channels, "stride": stride, "tile": tile, "rescale": rescale}
    canvases = ((index, Canvas(image, whole_tiles=whole_tiles, **layout)) for index, image in enumerate(images))
    with _evaluation_mode(model.to(device)):
        for chunk in _chunks(canvases):
            for batch in _batches(chunk, batch_size, torch.device(device)):
                pixels = torch.stack([chunk[index].cut(window) for index, window in batch])
                predicted = _forward(model, pixels.to(device), dtype)
                for (index, window), output in zip(batch, predicted, strict=True):
                    if chunk[index].add(window, output):
                        yield index, _in_target_units(chunk.pop(index).result())


def segment(
    prediction: Prediction, *, steps: int | Literal["auto"] = _STEPS, **settings: float | None
) -> NDArray[np.int32]:
    """Label image (H, W) int32 from flows and logits, by the settings of `frugalseg.kernels.flows.flows_to_labels`.

    With "auto", steps grow with the largest piece of foreground, beyond 200 where one is longer.
    """
    flows, logits = (torch.from_numpy(part)[None] for part in prediction)
    if steps == "auto":
        steps = max(_STEPS, longest_piece(prediction[1] > settings.get("logit_threshold", 0.0)))
    return flows_to_labels(flows, logits, steps=steps, **settings)[0].numpy()


def longest_piece(foreground: NDArray[np.bool_]) -> int:
    """Pixels of the longest side that any connected piece of a foreground (H, W) has; 0 of none."""
    pieces = ndimage.find_objects(ndimage.label(foreground, structure=np.ones((3, 3)))[0])
    return max((side.stop - side.start for piece in pieces for side in piece), default=0)


def segment_images(
    model: nn.Module, images: Iterable[NDArray[np.float32]], **options: Any
) -> Iterator[NDArray[np.int32]]:
    """Label images of whole images, in their order; keyword arguments are those of :func:`predict`."""
    return follow(lambda _, prediction: segment(prediction), predict(model, images, **options))


def follow(
    work: Callable[[int, Prediction], Result], predictions: Iterator[tuple[int, Prediction]]
) -> Iterator[Result]:
    """Work on predictions in a thread of its own while the next are made; results come in the order of the images.

    Compiled kernels and PyTorch's operations release the interpreter lock: while the network computes the next batch,
    on whatever device, the processor follows the flows of the last. At most 16 predictions wait for `work`. What `work`
    raises is raised once it is the turn of its result or of one that has to wait for it.
    """
    results: dict[int, Future[Result]] = {}
    waiting: deque[Future[Result]] = deque()
    following = 0
    worker = ThreadPoolExecutor(1, "follow")
    try:
        for index, prediction in predictions:
            results[index] = worker.submit(work, index, prediction)
            waiting.append(results[index])
            if len(waiting) > _MOST_WAITING:
                waiting.popleft().result()
            while following in results and results[following].done():
                yield results.pop(following).result()
                following += 1
        for number in sorted(results):
            yield results[number].result()
    finally:
        worker.shutdown(cancel_futures=True)


def _chunks(canvases: Iterable[tuple[int, Canvas]]) -> Iterator[dict[int, Canvas]]:
    """Runs of consecutive images that fit into memory together; an image too large for that is alone."""
    chunk: dict[int, Canvas] = {}
    held = 0
    for index, canvas in canvases:
        if chunk and held + canvas.pixels > _PIXELS_PER_CHUNK:
            yield chunk
            chunk, held = {}, 0
        chunk[index] = canvas
        held += canvas.pixels
    if chunk:
        yield chunk


def _batches(
    chunk: dict[int, Canvas], batch_size: int, device: torch.device
) -> Iterator[list[tuple[int, tuple[Span, Span]]]]:
    """Batches of windows of one shape, each with the number of its image."""
    by_shape: dict[tuple[int, int], list[tuple[int, tuple[Span, Span]]]] = defaultdict(list)
    for index, canvas in chunk.items():
        for row, column in canvas.windows:
            by_shape[len(row.weights), len(column.weights)].append((index, (row, column)))
    for (height, width), windows in by_shape.items():
        pixels = _PIXELS_PER_PASS if device.type == "cpu" else batch_size * _PIXELS_PER_WINDOW
        size = max(1, min(batch_size, pixels // (height * width)))
        for start in range(0, len(windows), size):
            yield windows[start : start + size]


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.inference_mode()
def _forward(model: nn.Module, batch: Tensor, dtype: torch.dtype | None) -> Tensor:
    with torch.autocast(batch.device.type, dtype, enabled=dtype is not None):
        return model(batch).float().cpu()


def _in_target_units(output: NDArray[np.float32]) -> Prediction:
    return output[:2] / np.float32(_FLOW_SCALE), np.ascontiguousarray(output[2])
