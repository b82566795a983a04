"""The ``dataset.json`` of nnU-Net 2, read and checked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugalseg.data.checks import DataError

_ENDINGS = (".png", ".bmp", ".tif", ".tiff", ".nii", ".nii.gz")
# The one name of a label that nnU-Net reserves beside "background".
_IGNORED = "ignore"


@dataclass(frozen=True)
class Description:
    """What a dataset says of itself.

    Attributes
    ----------
    path : Path
        The file it stands in.
    channels : tuple of str
        Names of the channels.
    classes : frozenset of int
        Every value a label may have, background and the parts of regions included.
    ignored : int or None
        The value of pixels that are not annotated.
    training : int
        Number of training cases.
    ending : str
        How the names of images and label images end.
    """

    path: Path
    channels: tuple[str, ...]
    classes: frozenset[int]
    ignored: int | None
    training: int
    ending: str


def describe(path: Path) -> Description:
    """Read a ``dataset.json``.

    Raises
    ------
    DataError
        If it is missing, is not JSON, is that of nnU-Net 1, lacks a key or has a wrong value.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: does not exist; `root` of the dataset must be the folder Dataset###_Name of nnUNet_raw"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({type(error).__name__}: {error}); correct it") from error
    if fault := next(_faults(content), None):
        raise DataError(f"{path}: {fault}")
    labels: Mapping[str, int | list[int]] = content["labels"]
    return Description(
        path,
        tuple(content["channel_names"][str(channel)] for channel in range(len(content["channel_names"]))),
        frozenset(value for name, values in labels.items() if name != _IGNORED for value in _listed(values)),
        labels.get(_IGNORED),
        content["numTraining"],
        content["file_ending"],
    )


def _faults(content: Any) -> Iterator[str]:
    if not isinstance(content, dict):
        yield "is not the description of a dataset; see nnU-Net's documentation of its dataset format"
        return
    if "modality" in content:
        yield "is of nnU-Net 1 (it has `modality`); convert the dataset with nnUNetv2_convert_old_nnUNet_dataset"
    if missing := [key for key in ("channel_names", "labels", "numTraining", "file_ending") if key not in content]:
        yield f"lacks {', '.join(missing)}; see nnU-Net's documentation of its dataset format"
        return
    channels, labels = content["channel_names"], content["labels"]
    if not isinstance(channels, dict) or not channels or set(channels) != {str(key) for key in range(len(channels))}:
        yield 'channel_names must map "0", "1", ... to the names of the channels'
    if not isinstance(labels, dict) or not all(_is_label(name, value) for name, value in labels.items()):
        yield "labels must map the name of each class to its number, or to a list of numbers where classes overlap"
    elif labels.get("background") != 0:
        yield "labels must name background, with the number 0"
    if not _is_integer(content["numTraining"]):
        yield "numTraining must be the number of training cases"
    if content["file_ending"] not in _ENDINGS:
        yield f"file_ending {content['file_ending']!r} is not read here, but {', '.join(_ENDINGS)}; convert the files"


def _is_label(name: str, value: Any) -> bool:
    if isinstance(value, list) and name != _IGNORED:
        return bool(value) and all(map(_is_integer, value))
    return _is_integer(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _listed(values: int | list[int]) -> list[int]:
    return values if isinstance(values, list) else [values]
