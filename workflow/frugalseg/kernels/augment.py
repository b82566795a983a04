"""Random rotation, scale, stretch, flip and shift of training batches, with flows that turn with the image."""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

# Kuang et al. 2026: octaves of scale and of stretch, one standard deviation, and the limits of both together.
_SCALE_OCTAVES = 0.6
_STRETCH_OCTAVES = 0.2
_LARGEST_ZOOM = 1 / 0.3
_SMALLEST_ZOOM = 1 / 3.3


def random_affine(
    images: Tensor,
    labels: Tensor,
    flows: Tensor,
    generator: Generator,
    *,
    size: int,
    scale_range: float,
    rescale: Tensor | None = None,
    channels: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Make a training batch of square crops from patches, each turned, scaled, flipped and shifted at random.

    For each patch are drawn: an angle, uniform in [0, 2 pi); a scale, uniform in [1 - s/2, 1 + s/2] for the `scale_range` s
    and times `rescale`; a horizontal flip with probability 1/2; a shift, uniform up to half of what the scaled patch exceeds
    the crop by, in each direction (the augmentation of Cellpose, Stringer et al. 2021).

    Parameters
    ----------
    images : (B, C, H, W) floating tensor
    labels : (B, H, W) integer tensor
    flows : (B, 2, H, W) floating tensor
        Flow y, flow x.
    generator : torch.Generator
        Draws five numbers for each patch, in the order of the batch and on the generator's own device: with a CPU generator
        a run sees the same crops on any device.
    size : int
        Height and width of the crops in pixels.
    scale_range : float
        s above, in [0, 2).
    rescale : (B,) tensor, optional
        Factor by which each patch is to be enlarged, such as common diameter / diameter of its cells.
    channels : int, optional
        Channels of the crops, those of the images and then zeros; as many as the images have by default.

    Returns
    -------
    images (B, channels, size, size) float32, labels (B, size, size) of the dtype given, flows (B, 2, size, size) float32
        As `affine` makes them.

    Raises
    ------
    ValueError
        Shapes that do not fit together, a size below 1, fewer channels than the images have, a scale range outside
        [0, 2).
    """
    if not 0 <= scale_range < 2:
        raise ValueError(f"scale_range must be in [0, 2), got {scale_range}")
    count, height, width = labels.shape
    if rescale is not None and rescale.shape != (count,):
        raise ValueError(f"rescale must hold one factor for each of {count} patches, got {tuple(rescale.shape)}")
    drawn = torch.rand((count, 5), generator=generator, device=generator.device, dtype=torch.float64).cpu()
    angle = 2 * math.pi * drawn[:, 0]
    scale = 1 - scale_range / 2 + scale_range * drawn[:, 1]
    if rescale is not None:
        scale = scale * rescale.detach().cpu().double()
    flip = drawn[:, 2] >= 0.5
    excess = (torch.tensor((height, width)) * scale[:, None] - size).clamp(min=0)
    shift = (drawn[:, 3:] - 0.5) * excess
    return affine(images, labels, flows, angle, scale, flip, shift, size, channels)


def random_stretch(
    images: Tensor,
    labels: Tensor,
    flows: Tensor,
    generator: Generator,
    *,
    size: int,
    rescale: Tensor | None = None,
    channels: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Make a training batch of square crops from patches, each turned by quarters, flipped, scaled and stretched at random.

    For each patch are drawn: one of the eight ways to flip and transpose a square; a zoom of 2^(0.6 n) with n normal, times
    `rescale`; a stretch of 2^(0.2 n) that the zoom in y is multiplied by and the zoom in x divided by, both then kept within
    1/3.3 and 1/0.3; a shift as of :func:`random_affine` (the augmentation of UCell, Kuang et al. 2026).

    Parameters
    ----------
    images, labels, flows, size, channels
        As of :func:`random_affine`.
    generator : torch.Generator
        Draws two normal and four uniform numbers for each patch; see :func:`random_affine`.
    rescale : (B,) tensor, optional
        Zoom that brings the cells of each patch to their common size, 35 pixels there.

    Returns
    -------
    images (B, channels, size, size) float32, labels (B, size, size) of the dtype given, flows (B, 2, size, size) float32
        As :func:`affine` makes them.

    Raises
    ------
    ValueError
        As :func:`affine`.
    """
    count, height, width = labels.shape
    octaves = torch.randn((count, 2), generator=generator, device=generator.device, dtype=torch.float64).cpu()
    drawn = torch.rand((count, 4), generator=generator, device=generator.device, dtype=torch.float64).cpu()
    zoom, stretch = 2 ** (_SCALE_OCTAVES * octaves[:, 0]), 2 ** (_STRETCH_OCTAVES * octaves[:, 1])
    if rescale is not None:
        zoom = zoom * rescale.detach().cpu().double()
    scale = torch.stack([zoom * stretch, zoom / stretch], dim=1).clamp(_SMALLEST_ZOOM, _LARGEST_ZOOM)
    angle = math.pi / 2 * (4 * drawn[:, 0]).floor()
    flip = drawn[:, 1] >= 0.5
    turned = (angle / (math.pi / 2)).round().long() % 2 == 1
    sides = torch.tensor((height, width)) * scale
    excess = (torch.where(turned[:, None], sides.flip(1), sides) - size).clamp(min=0)
    return affine(images, labels, flows, angle, scale, flip, (drawn[:, 2:] - 0.5) * excess, size, channels)


def affine(
    images: Tensor,
    labels: Tensor,
    flows: Tensor,
    angle: Tensor,
    scale: Tensor,
    flip: Tensor,
    shift: Tensor,
    size: int,
    channels: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Make square crops of patches that are flipped left to right, scaled and turned about their centres, then shifted.

    A position p (x right, y down, from the centre of the patch) goes to R S p + shift from the centre of the crop, where S
    scales and R = [[cos, -sin], [sin, cos]]: angles turn the x axis towards the y axis, clockwise as images are shown. Images and
    flows are bilinear between pixels, labels take the nearest pixel; outside the patch all are zero.

    Flows are vectors: x changes sign in a flip, and R turns them with the image. A stretch leaves them as they are, as in the
    augmentation of UCell. They are not brought back to unit length.
    Where interpolation mixes flows that oppose each other (at centres and between touching cells) or flow and
    background (at the rim), a short vector says that the direction is uncertain or that the pixel lies half outside;
    unit length would make noise of the one and a cell wider than its label of the other. Cellpose trains on the same.

    Parameters
    ----------
    images : (B, C, H, W) floating tensor
    labels : (B, H, W) integer tensor
    flows : (B, 2, H, W) floating tensor
        Flow y, flow x.
    angle : (B,) tensor
        Radians.
    scale : (B,) or (B, 2) tensor
        Above 0; 2 makes cells twice as long. Two numbers are those of y and x, before the patch is turned.
    flip : (B,) bool tensor
        Which patches are mirrored left to right, before anything else.
    shift : (B, 2) tensor
        Pixels (y, x) by which the patch moves in the crop.
    size : int
        Height and width of the crops in pixels.
    channels : int, optional
        Channels of the crops, those of the images and then zeros; as many as the images have by default.

    Returns
    -------
    images (B, channels, size, size) float32 with the channels last in memory, labels (B, size, size) of the dtype given,
    flows (B, 2, size, size) float32

    Raises
    ------
    ValueError
        Shapes that do not fit together, a size below 1, or fewer channels than the images have.
    """
    count, height, width = labels.shape
    if images.shape[::2] != (count, height) or images.shape[3] != width or flows.shape != (count, 2, height, width):
        raise ValueError(
            "images must be (B, C, H, W), labels (B, H, W) and flows (B, 2, H, W), got "
            f"{tuple(images.shape)}, {tuple(labels.shape)} and {tuple(flows.shape)}"
        )
    if size < 1:
        raise ValueError(f"size must be 1 or more, got {size}")
    channels = images.shape[1] if channels is None else channels
    if channels < images.shape[1]:
        raise ValueError(f"the crops cannot have {channels} channels, for the images have {images.shape[1]}")
    device = images.device
    back, offset, turn = (part.to(device)[..., None, None] for part in _inverse_maps(angle, scale, flip, shift))
    crop = torch.arange(size, device=device, dtype=torch.float32) - (size - 1) / 2
    x = back[:, 0, 0] * crop + back[:, 0, 1] * crop[:, None] + offset[:, 0] + (width - 1) / 2
    y = back[:, 1, 0] * crop + back[:, 1, 1] * crop[:, None] + offset[:, 1] + (height - 1) / 2
    sampled = _bilinear(torch.cat((images.float(), flows.float()), 1), y, x)
    flow_y, flow_x = sampled[:, -2], sampled[:, -1]
    turned = torch.stack([turn[:, i, 0] * flow_y + turn[:, i, 1] * flow_x for i in (0, 1)], 1)
    filled = F.pad(sampled[:, :-2], (0, 0, 0, 0, 0, channels - images.shape[1]))
    return filled.contiguous(memory_format=torch.channels_last), _nearest(labels, y, x), turned


def _inverse_maps(angle: Tensor, scale: Tensor, flip: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What each patch is read and turned by, float32 on the CPU.

    Position (x, y) in the patch of a position in the crop, both from the centre: back (B, 2, 2) @ position + offset (B, 2);
    flow (y, x) in the crop of a flow in the patch: turn (B, 2, 2) @ flow.
    """
    angle, scale, shift = (value.to("cpu", torch.float64) for value in (angle, scale, shift))
    mirror = 1 - 2 * flip.to("cpu", torch.float64)
    turn = torch.stack((angle.cos(), angle.sin(), -angle.sin(), angle.cos()), 1).view(-1, 2, 2)
    # Rows are x and y of the patch.
    back = turn / scale.view(len(scale), -1).expand(-1, 2).flip(1)[:, :, None]
    back[:, 0] *= mirror[:, None]
    offset = -(back @ shift.flip(1)[:, :, None]).squeeze(2)
    turn[:, :, 1] *= mirror[:, None]
    return back.float(), offset.float(), turn.float()


def _bilinear(values: Tensor, y: Tensor, x: Tensor) -> Tensor:
    height, width = values.shape[2:]
    # grid_sample's coordinates: -1 and 1 are the outer edges of the first and last pixel.
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), 3)
    return F.grid_sample(values, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _nearest(labels: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Labels at the nearest pixels by index, for grid_sample would need them as floats, which end at 2^24."""
    count, height, width = labels.shape
    # A border of zeros takes what falls outside.
    padded = F.pad(labels.long(), (1, 1, 1, 1)).flatten(1)
    row, column = y.round().clamp(-1, height).long() + 1, x.round().clamp(-1, width).long() + 1
    nearest = (row * (width + 2) + column).flatten(1)
    return padded.gather(1, nearest).view(count, *y.shape[1:]).to(labels.dtype)
