"""The files of UCell's public implementation (https://github.com/jiyuuchc/ucell): its state dict, read and written.

Parameters have the same names here and there, `i` counting the blocks of a cycle:

    patch_emb.weight  (hidden, 3, 8, 8)    patch_emb.bias  (hidden,)
    task_emb.embedding_weight              (tasks, registers * hidden)
    transformer.i.attn.qkv_proj.weight     (3 hidden, hidden), queries, keys, values, each head by head
    transformer.i.attn.o_proj.weight       (hidden, hidden)
    transformer.i.mlp.gate_proj.weight     (inner, hidden)
    transformer.i.mlp.up_proj.weight       (inner, hidden)
    transformer.i.mlp.down_proj.weight     (hidden, inner)
    lm_head.weight    (hidden, 3, 8, 8)    lm_head.bias    (3,)

Files of earlier versions hold ``gate_up_proj``, gate above up, in place of the two. A file is a dictionary of a training run,
with the weights under ``ema_model`` and ``model``, or the state dict itself; wrappers put ``module.`` and ``inner.`` before
the names. A file of a training with LoRA has ``orig.weight``, ``lora_A``, ``lora_B`` and ``scaling`` in place of a weight.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frugalseg.models.ucell import UCell

_PREFIXES = ("module.", "_orig_mod.", "inner.")
# What the network keeps of its training beside the weights, and the public files do not.
_OURS_ALONE = ("diam_mean", "diam_labels")
# The running mean of the weights is what its authors predict with.
_WEIGHTS = ("ema_model", "model")


def load_public(path: str | Path, network: UCell) -> None:
    """Fill a network with the weights of a file of the public implementation, see above; untouched when loading fails.

    A pickled module, which can run code when it is opened, is not read.
    """
    tensors = from_public(_read(Path(path)))
    expected = to_public(network)
    for name in [*expected, *tensors]:
        there, here = tensors.get(name), expected.get(name)
        if there is None or here is None or there.shape != here.shape:
            raise ValueError(
                f"{path}: {name!r} is {_shape(there)} there and {_shape(here)} in this network; give the recipe the sizes of "
                "the file (hidden, depth, tasks, registers)"
            )
    network.load_state_dict(tensors, strict=False)


def from_public(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a :class:`UCell` from a state dict of the public implementation, of whatever version."""
    named = {_without_prefixes(name): tensor for name, tensor in tensors.items() if torch.is_tensor(tensor)}
    named.pop("n_averaged", None)
    named = _merge_adapters(named)
    result = {}
    for name, tensor in named.items():
        if name.endswith(".gate_up_proj.weight"):
            stem = name.removesuffix("gate_up_proj.weight")
            result[f"{stem}gate_proj.weight"], result[f"{stem}up_proj.weight"] = tensor.chunk(2)
        else:
            result[name] = tensor
    return result


def to_public(network: UCell) -> dict[str, Tensor]:
    """State dict of a network as the public implementation saves it: ``torch.save({"model": to_public(network)}, path)``."""
    weights = network.state_dict().items()
    return {name: tensor.detach().cpu() for name, tensor in weights if name not in _OURS_ALONE}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: is no dictionary of tensors; a pickled module is not opened, since that can run any code: open it with "
            "the public implementation and save its state_dict()"
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: holds a {type(content).__name__} and no dictionary of tensors")
    return next((content[key] for key in _WEIGHTS if isinstance(content.get(key), Mapping)), content)


def _without_prefixes(name: str) -> str:
    while (prefix := next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None)) is not None:
        name = name.removeprefix(prefix)
    return name


def _merge_adapters(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights with the changes of LoRA added in, ``orig + scaling B A``."""
    result = {name: tensor for name, tensor in tensors.items() if not _is_of_adapter(name)}
    for name, tensor in tensors.items():
        if name.endswith(".orig.weight"):
            layer = name.removesuffix(".orig.weight")
            a, b, scaling = (tensors.get(f"{layer}.{part}") for part in ("lora_A", "lora_B", "scaling"))
            if a is None or b is None or scaling is None:
                raise ValueError(
                    f"the layer {layer!r} has adapters without lora_A, lora_B or scaling; they cannot be merged"
                )
            result[f"{layer}.weight"] = tensor + scaling * (b @ a)
    return result


def _is_of_adapter(name: str) -> bool:
    return name.endswith((".orig.weight", ".lora_A", ".lora_B", ".scaling"))


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else "(" + ", ".join(map(str, tensor.shape)) + ")"
