"""Checkpoints: the tensors of a network in one file, which Cellpose 3 opens as well."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from frugalseg.runtime.files import replacing


def save(model: nn.Module, path: str | Path) -> None:
    """Write a network's state dict to `path`, complete or not at all."""
    save_tensors(model.state_dict(), path)


def save_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Write a state dict to `path`, complete or not at all."""
    write_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, Path(path))


def load(path: str | Path, model: nn.Module) -> None:
    """Fill a network with the weights of a checkpoint, ours or Cellpose 3's.

    A network that the file does not fit stays untouched; the message names the first parameter that does not, with both shapes.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such checkpoint; train its chain first")
    tensors = _read(path)
    _check_same_network(path, tensors, model.state_dict())
    model.load_state_dict(tensors)


def write_tensors(content: dict[str, Any], path: Path) -> None:
    """Write a dictionary that loads with ``weights_only=True``, complete or not at all."""
    with replacing(path) as partial, partial.open("wb") as file:
        torch.save(content, file)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: this is not a checkpoint, or a damaged one; train or download it again") from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path}: this is not a checkpoint: it should hold a dictionary of tensors and nothing else")
    return content


def _check_same_network(path: Path, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, tensor in expected.items():
        if name not in found:
            raise ValueError(f"{path}: has no parameter {name!r} {_shape(tensor)}, {_ANOTHER_NETWORK}")
        if found[name].shape != tensor.shape:
            raise ValueError(
                f"{path}: parameter {name!r} is {_shape(found[name])} there and {_shape(tensor)} in the network, "
                f"{_ANOTHER_NETWORK}"
            )
    surplus = next((name for name in found if name not in expected), None)
    if surplus is not None:
        raise ValueError(
            f"{path}: parameter {surplus!r} {_shape(found[surplus])} is not in the network, {_ANOTHER_NETWORK}"
        )


_ANOTHER_NETWORK = "so it was written by another architecture or other widths; name the same recipe, or its parent"


def _shape(tensor: Tensor) -> str:
    return "(" + ", ".join(map(str, tensor.shape)) + ")"
