"""Reader of a raw dataset of nnU-Net: ``dataset.json``, ``imagesTr/NAME_0000.png``, ``labelsTr/NAME.png``.

Images are PNG, BMP, TIFF or NIfTI, one file a channel or, for colour, one file with all channels. nnU-Net stores
classes; each class of the foreground is split into cells by its connected components (pixels that share an edge or a
corner), so cells of one class that touch become one. Of a volume the middle slice is taken, whatever its labels are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from skimage.measure import label as connected_components

from frugalseg.data.checks import DataError, examples, nothing_found
from frugalseg.data.decode import is_tiff, read_image, read_label_image, unreadable
from frugalseg.data.readers import Case, Cases, Sample, listed

OPTIONS = {
    "folder": {"enum": ["imagesTr", "imagesTs"], "description": "Folder of the images, below the root folder."},
    "fold": {
        "type": "integer",
        "minimum": 0,
        "maximum": 4,
        "default": None,
        "description": "Only the cases on which nnU-Net validates in this fold, where the test images have no labels.",
    },
    "without_fold": {
        "type": "integer",
        "minimum": 0,
        "maximum": 4,
        "default": None,
        "description": "Only the cases on which nnU-Net trains in this fold.",
    },
    "instances": {
        "enum": ["components", "labels"],
        "default": None,
        "description": "As the dataset's instances; components where neither is given.",
    },
}
NOT_TOGETHER = ("fold", "without_fold")

_NIFTI = (".nii", ".nii.gz")
# A TIFF whose last axis is longer than this is a volume (z, y, x) and not a picture (y, x, colour).
_MOST_COLOURS = 4
# nnU-Net divides its training cases so (KFold of scikit-learn, shuffled with this seed).
_FOLDS, _FOLD_SEED = 5, 12345


_ENDINGS = (".png", ".bmp", ".tif", ".tiff", ".nii", ".nii.gz")
# The one name of a label that nnU-Net reserves beside "background".
_IGNORED = "ignore"


@dataclass(frozen=True)
class Description:
    """What a ``dataset.json`` says."""

    path: Path
    channels: tuple[str, ...]
    classes: frozenset[int]
    """Every value a label may have, background and the parts of regions included."""
    ignored: int | None
    """The value of pixels that are not annotated."""
    training: int
    ending: str
    """How the names of images and label images end."""


@dataclass(frozen=True)
class RawCase(Case):
    """A case of nnU-Net; its image is the file of channel 0."""

    channel_files: tuple[Path, ...]
    """The files of all channels that are there."""
    description: Description
    instances: str
    """What makes a cell: "components" or "labels"."""

    def files(self) -> Iterator[Path]:
        """The files there are that the sample is made of."""
        yield from {*super().files(), *self.channel_files, self.description.path}


def find(root: Path, options: Mapping[str, Any]) -> Cases:
    """Cases of one split of the folder ``Dataset###_Name``.

    ``options["folder"]`` is "imagesTr" (labels in labelsTr) or "imagesTs" (labels in labelsTs). ``fold`` keeps only the
    cases on which nnU-Net validates in this fold, ``without_fold`` only those on which it trains. ``instances``:
    "components" (default) makes cells of the connected components of each class, "labels" takes the numbers of the label
    images for those of cells, whatever ``dataset.json`` names.
    """
    description = _describe(root / "dataset.json")
    images, labels = root / options["folder"], root / options["folder"].replace("images", "labels")
    ending, expression = description.ending, r"(?P<name>.+)" + re.escape(description.ending)
    channels = _by_name(images, r"(?P<name>.+)_\d{4}" + re.escape(ending), f"*_0000{ending}", description)
    segmentations = _by_name(labels, expression, f"*{ending}", description)
    names = sorted(channels.keys() | segmentations.keys())
    if images.name == "imagesTr" and len(names) != description.training:
        raise DataError(
            f"{description.path}: numTraining is {description.training}, but imagesTr and labelsTr hold {len(names)} "
            "cases; correct the number, or add what is missing"
        )
    return Cases(
        RawCase(
            name,
            images / f"{name}_0000{ending}",
            labels / f"{name}{ending}",
            tuple(channels.get(name, ())),
            description,
            options.get("instances", "components"),
        )
        for name in _of_fold(names, options, root)
    )


def load(case: RawCase) -> Sample:
    """Pixels and label image of one case.

    Of a volume, the middle slice across the axis of the coarsest spacing, which is the plane that nnU-Net's 2D network
    sees; across the first axis (z) where spacings are equal or, in a TIFF without ``NAME.json``, not known. No label
    decides which slice.
    """
    image, file = str(case.image), str(case.label)
    labels, across = _stored(case.label)
    if across is None and not file.endswith(_NIFTI):
        pixels = _pictures(case)
    else:
        pixels = np.stack([_as_large_as(labels, path, case.label) for path in _channel_paths(case)])
    if across is not None:
        count = labels.shape[across]
        labels, pixels = labels.take(count // 2, across), pixels.take(count // 2, across + 1)
        image, file = (f"{path} (slice {count // 2 + 1} of {count})" for path in (image, file))
    cells = _cells(labels, case, file)
    return Sample(case.name, image, file, pixels, cells, instances=None if cells is labels else "labels")


def _by_name(folder: Path, expression: str, pattern: str, description: Description) -> dict[str, list[Path]]:
    """Files of a folder by the names of their cases, in the order of the files."""
    paths: dict[str, list[Path]] = {}
    others = []
    for path in listed(folder):
        if match := re.fullmatch(expression, path.name):
            paths.setdefault(match["name"], []).append(path)
        elif path.suffix != ".json":  # spacings of TIFF files lie beside them
            others.append(path)
    if not paths:
        raise DataError(nothing_found(folder.parent, f"{folder.name}/{pattern}", "folder"))
    if others:
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        raise DataError(
            f"{others[0]}{more}: does not fit {pattern!r} as the other files here do, {description.path} has the "
            f"file_ending {description.ending!r}; convert or rename it, or take it out"
        )
    return paths


def _of_fold(names: list[str], options: Mapping[str, Any], root: Path) -> list[str]:
    """The names that the options ``fold`` or ``without_fold`` keep: of nnU-Net's own file of folds, if there is one."""
    if not options.keys() & {"fold", "without_fold"}:
        return names
    part, fold = ("val", options["fold"]) if "fold" in options else ("train", options["without_fold"])
    for folder in (root, root.parent.parent / "nnUNet_preprocessed" / root.name):
        if (folder / "splits_final.json").is_file():
            return _listed_fold(folder / "splits_final.json", fold, part, names)
    folder = root / options["folder"]
    if len(names) < _FOLDS:
        raise DataError(
            f"{folder}: holds {len(names)} cases, too few for {_FOLDS} folds; take out `fold` of the dataset"
        )
    # Every start of Snakemake imports this module; scikit-learn takes a second.
    from sklearn.model_selection import KFold

    folds = list(KFold(_FOLDS, shuffle=True, random_state=_FOLD_SEED).split(names))
    return [names[index] for index in folds[fold][part == "val"]]


def _listed_fold(file: Path, fold: int, part: str, names: list[str]) -> list[str]:
    try:
        kept = set(json.loads(file.read_bytes())[fold][part])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{file}: has no fold {fold} ({type(error).__name__}: {error}); correct it") from error
    if missing := sorted(kept - set(names)):
        raise DataError(f"{file}: names the cases {examples(missing)}, which are not in imagesTr; correct it")
    return sorted(kept)


def _channel_paths(case: RawCase) -> list[Path]:
    """The file of each channel; all of them are there."""
    channels = case.description.channels
    ending = case.description.ending
    paths = [case.image.with_name(f"{case.name}_{channel:04d}{ending}") for channel in range(len(channels))]
    named = f"{case.description.path} names {len(channels)} channel{'s' if len(channels) > 1 else ''}"
    for path in paths:
        if path not in case.channel_files:
            raise DataError(f"{path}: is missing, {named} ({', '.join(channels)}); add the file, or take the image out")
    for path in case.channel_files:
        if path not in paths:
            raise DataError(f"{path}: is one channel too many, {named}; name it in channel_names, or take the file out")
    return paths


def _pictures(case: RawCase) -> np.ndarray:
    """Channels of a case of PNG or flat TIFF files, (C, H, W)."""
    first = read_image(case.image)
    if len(case.channel_files) == 1 and len(first) == len(case.description.channels):
        return first
    paths = _channel_paths(case)
    channels = [first, *(read_image(path) for path in paths[1:])]
    for path, channel in zip(paths, channels, strict=True):
        if len(channel) != 1:
            raise DataError(
                f"{path}: has {len(channel)} channels, which are not the {len(paths)} that {case.description.path} "
                "names; name every channel in channel_names"
            )
        if channel.shape != first.shape:
            raise DataError(_sizes_differ(path, channel[0].shape, case.image, first[0].shape))
    return np.concatenate(channels)


def _as_large_as(labels: np.ndarray, path: Path, label: Path) -> np.ndarray:
    stored, _ = _stored(path)
    if stored.shape != labels.shape:
        raise DataError(_sizes_differ(path, stored.shape, label, labels.shape))
    return stored


def _sizes_differ(path: Path, shape: tuple[int, ...], other: Path, other_shape: tuple[int, ...]) -> str:
    size, other_size = ("x".join(map(str, lengths)) for lengths in (shape, other_shape))
    return (
        f"{path}: is {size} pixels, {other} {other_size}; take files that belong together, neither cropped nor scaled"
    )


def _stored(path: Path) -> tuple[np.ndarray, int | None]:
    """Pixels or labels of a file, (Y, X) or (Z, Y, X), and the axis across which a volume is sliced."""
    if path.name.endswith(_NIFTI):
        return _stored_nifti(path)
    array = read_label_image(path)
    if not (is_tiff(path) and array.ndim == 3 and array.shape[2] > _MOST_COLOURS):
        return array, None
    try:
        return array, int(np.argmax(json.loads(path.with_suffix(".json").read_bytes())["spacing"]))
    except (OSError, ValueError, LookupError, TypeError):
        return array, 0


def _stored_nifti(path: Path) -> tuple[np.ndarray, int | None]:
    # Every start of Snakemake imports this module.
    import nibabel

    try:
        file = nibabel.load(path)
        # NIfTI counts x, y, z.
        array, spacing = np.asanyarray(file.dataobj).T, np.array(file.header.get_zooms())[::-1]
    except Exception as error:
        raise unreadable(path, error) from error
    spacing, array = spacing[np.array(array.shape) > 1], array.squeeze()
    if not array.size or array.ndim not in (2, 3) or array.dtype.kind not in "biuf":
        raise DataError(
            f"{path}: has the shape {array.shape} of {array.dtype}, which is neither a slice nor a volume of numbers; "
            "save each channel as a file"
        )
    return array, int(spacing.argmax()) if array.ndim == 3 else None


def _cells(labels: np.ndarray, case: RawCase, file: str) -> np.ndarray:
    """Cells of the classes of one slice; what is no label image of whole numbers is left as it is, to be reported."""
    if labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels)):
        labels = labels.astype(np.int64)
    if labels.ndim != 2 or labels.dtype.kind not in "biu" or case.instances == "labels":
        return labels
    description = case.description
    values = set(np.unique(labels).tolist())
    if description.ignored in values:
        raise DataError(
            f"{file}: has pixels to be ignored (label {description.ignored}), which can be neither trained on nor "
            "scored here; annotate them, or take the image out"
        )
    if unknown := sorted(values - description.classes):
        raise DataError(
            f"{file}: has the label{'s' if len(unknown) > 1 else ''} {', '.join(map(str, unknown[:5]))}"
            f"{', ...' if len(unknown) > 5 else ''}, which {description.path} does not name; name "
            "it there, or say `instances: labels` in the dataset if each number is a cell"
        )
    return connected_components(labels.astype(np.int64), connectivity=2).astype(np.int32)


def _describe(path: Path) -> Description:
    """Read and check a ``dataset.json``."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: does not exist; `root` of the dataset must be the folder Dataset###_Name of nnUNet_raw"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({type(error).__name__}: {error}); correct it") from error
    if fault := next(_description_faults(content), None):
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


def _description_faults(content: Any) -> Iterator[str]:
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
