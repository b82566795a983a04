"""A dataset: where its images and labels are, how they are laid out, its splits, citation and licence."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import model_validator

from frugalseg.runtime.literals import literals, names_of
from frugalseg.study.keys import AsList, Keys, from_options, key, like, one_of, some, whole
from frugalseg.study.messages import Problem, dotted, nearest, read_yaml, shape_problems, variant_problems, with_files

FOLDER = Path("config/datasets")
"""Files of datasets, below the repository."""

Address = like(r"^https?://", "an address starts with http:// or https://")
Below = like(r"^(?!/)(?!.*(^|/)\.\.(/|$)).+$", "a relative path that does not leave the root folder")
FileName = like(r"^[A-Za-z0-9][A-Za-z0-9_-]*$", "the name of a file in config/datasets, without .yaml")


class ByHand(Keys):
    """For a site that wants a form filled in, a login or a browser."""

    page: Address = key("The page to visit.")
    steps: str = key("What to do there; one sentence.", min_length=1)


class Download(Keys):
    """One file, from the first of its addresses that has it, or fetched by hand."""

    urls: some(Address) | None = key("Addresses of the same file, tried in order; or give by_hand.", None)
    by_hand: ByHand | None = key("For a site that wants a form filled in, a login or a browser; or give urls.", None)
    size: whole(ge=1) | None = key("Bytes of the file.", None)
    sha256: like("^[0-9a-f]{64}$", "sixty-four lowercase hexadecimal digits, in quotes") | None = key(
        "Sixty-four lowercase hexadecimal digits, in quotes.", None
    )
    folder: Below | None = key("Where the file goes, below the root folder; left out, into the root folder.", None)
    unpack: Below | None = key(
        "Folder below the root folder that a zip or tar archive is unpacked to, and no other file goes to. A single folder "
        "around all that the archive holds is left away.",
        None,
    )
    unpacked_size: whole(ge=1) | None = key("The most bytes that the archive may unpack to.", None)

    @model_validator(mode="after")
    def _has_one_source(self) -> Download:
        if (self.urls is None) == (self.by_hand is None):
            raise ValueError("needs 'urls' or 'by_hand', and only one of them")
        return self


Downloads = dict[like(r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$", "letters, digits, spaces, ., _ and -"), Download]
_DOWNLOADS = (
    "The files to fetch, by their names. `make fetch` puts them below the root folder, and leaves alone what is there. Where "
    "size or sha256 are not known they are left out; the first download is then trusted and remembered in "
    "config/datasets.lock.yaml."
)
_ROOT = (
    "Folder that the splits and downloads start from. {data_root} stands for the study's data_root; a relative path starts at "
    "the working directory."
)


class Described(Keys):
    """What can be said of every file of config/datasets."""

    title: str = key("What the dataset is called in tables, figures and messages.", min_length=1)
    licence: str | None = key("The terms of the images and labels.", None)
    citation: str | None = key("What to cite when the dataset is used.", None)
    homepage: str | None = key("Where its publishers offer the dataset.", None)
    provenance: str | None = key("Where these files come from and what was done to them.", None)


class Images(Described):
    """What can be said of images and labels, wherever they come from."""

    channels: Literal["grey", "mean"] | some(whole(ge=0), 1, 2) = key(
        "grey: one channel, colour is averaged. mean: whatever channels there are, averaged. Two indices, counted from 0: the "
        "channels of the cytoplasm and of the nucleus. One index: that channel.",
        "grey",
    )
    instances: Literal["components", "labels"] | None = key(
        "What makes a cell. components: every connected piece of a number (of a class, for nnunet, where this is the default). "
        "labels: every number of the label image. Without it, each number is a cell, and label images in which most numbers "
        "lie in several pieces are refused.",
        None,
    )
    background: int | None = key("The number of the background in the label images, where it is not 0.", None)
    without_cells: Literal["keep", "leave_out", "refuse"] = key(
        "What becomes of images without a cell: keep them, as examples of background; leave them out; or refuse the dataset.",
        "keep",
    )
    in_both_splits: Literal["refuse", "leave_out"] = key(
        "What becomes of images that stand in train and in test, by their names or pixels: refuse the dataset, or leave them "
        "out of training.",
        "refuse",
    )
    exclude: Annotated[list[str], AsList] | None = key(
        "pairs only. Patterns of files to leave out, of their names or of their paths below the root folder; * stands for "
        "anything.",
        None,
    )
    crowds: Literal["background", "objects"] | None = key(
        "coco only. What an annotation with iscrowd is. background: a region of many objects, as in COCO. objects: one object, "
        "as CVAT writes for each that was painted.",
        None,
    )
    missing_images: Literal["refuse", "leave_out"] = key(
        "coco only. What becomes of images that the annotations name and that are not there: refuse the dataset, or leave them "
        "out.",
        "refuse",
    )
    subsets: dict[whole(ge=1, le=62), str] | None = key(
        "Files in COCO's format, below the root folder, of the images of each subset that the publishers list, by its percent; "
        "chains take one by the selector official, as NAME@official5.",
        None,
    )
    patches: whole(ge=1) | None = key(
        "How many patches of 224 x 224 pixels, one every 112 pixels, the publication counts. Lets a study be planned before "
        "the images are here, and is compared with what the images give once they are.",
        None,
    )


class Splits(Keys):
    """Where the training and the test images are, below the root folder; each as its reader wants it."""

    train: dict[str, Any] = key("The training images.")
    test: dict[str, Any] = key("The test images.")


class FilesOfImages(Images):
    """Files on this machine, fetched to it if there are downloads."""

    source: Literal["path"] = key("Files on this machine.")
    reader: one_of(names_of("data/readers")) = key("The layout of the files: a file of frugalseg.data.readers.")
    root: str = key(_ROOT, min_length=1)
    splits: Splits = key("Where the training and the test images are, below the root folder.")
    downloads: Downloads | None = key(_DOWNLOADS, None, min_length=1)


class DrawnImages(Images):
    """Images drawn by the synthetic microscope."""

    source: Literal["synthetic"] = key("Images drawn by the synthetic microscope.")
    domain: Literal["cyto", "histo", "multi"] = key(
        "What is drawn, fluorescence in many looks, stained tissue, or a mixture of modalities."
    )
    size: whole(ge=64) = key("Height and width of an image in pixels.")
    train: whole(ge=1) = key("Training images that are drawn.")
    test: whole(ge=1) = key("Test images that are drawn.")
    seed: whole(ge=0) = key("Another seed draws other images of the same domain.", 0)


class Weights(Described):
    """No images but the checkpoint of a network, fetched if a study names its root folder."""

    source: Literal["weights"] = key("The checkpoint of a network.")
    root: str = key(_ROOT, min_length=1)
    downloads: Downloads = key(_DOWNLOADS, min_length=1)


SOURCES = {"path": FilesOfImages, "synthetic": DrawnImages, "weights": Weights}


@cache
def split_class(reader: str) -> type[Keys]:
    """The class of a split of a reader, from the options that its file declares."""
    return from_options(f"SplitOf{reader.capitalize()}", literals(f"data.readers.{reader}")["OPTIONS"])


def load_datasets(
    names: Mapping[str, str], root: Path, files: list[Path]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The content of the file of each dataset of a study, with its defaults, and what is wrong with them."""
    known = [path.stem for path in (root / FOLDER).glob("*.yaml")]
    blocks, problems = {}, []
    for name, stem in names.items():
        at = ("datasets", name)
        if stem not in known:
            missing = f"unknown dataset {stem!r} for {name!r}: there is no {FOLDER}/{stem}.yaml; {nearest(stem, known)}"
            problems += with_files([(at, missing)], files)
            continue
        block, faults = _completed(root / FOLDER / f"{stem}.yaml")
        problems += faults
        if block and block["source"] == "weights":
            strange = f"{FOLDER}/{stem}.yaml has weights and no images; it cannot be the dataset {name!r}"
            problems += with_files([(at, strange)], files)
        elif block:
            blocks[name] = block
    return blocks, problems


def load_weights(folder: str, data_root: str, root: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The files of config/datasets whose downloads make the checkpoint in a folder, and what is wrong with them."""
    blocks, problems = {}, []
    for path in sorted((root / FOLDER).glob("*.yaml")):
        # Parse only files that declare weights: the others are none of this study.
        if "source: weights" not in path.read_text(encoding="utf-8"):
            continue
        block, faults = _completed(path)
        problems += faults
        if block and Path(block["root"].replace("{data_root}", data_root)) == Path(folder):
            blocks[path.stem] = block
    return blocks, problems


def completed(block: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[Problem]]:
    """The content of a file of config/datasets with its defaults, and what is wrong with it."""
    shaped, found = variant_problems(SOURCES, "source", block, ())
    if shaped and "splits" in shaped:
        found = _split_problems(shaped)
    return (None if found else shaped), found


def _completed(path: Path) -> tuple[dict[str, Any] | None, list[str]]:
    block, found = completed(read_yaml(path))
    return block, [f"{FOLDER}/{path.name}: {message}" for _, message in found]


def _split_problems(block: dict[str, Any]) -> list[Problem]:
    """What is wrong with the splits of a dataset, which are completed in place."""
    kind, found = split_class(block["reader"]), []
    apart = literals(f"data.readers.{block['reader']}").get("NOT_TOGETHER", ())
    for split, options in block["splits"].items():
        at = ("splits", split)
        block["splits"][split], faults = shape_problems(kind, options, at)
        found += faults
        if apart and set(apart) <= options.keys():
            found.append((at, f"{dotted(at)} has {' and '.join(map(repr, apart))}; take one of them away"))
    return found


def needed(
    config: Mapping[str, Any], datasets: Mapping[str, Any], weights: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """What a study needs to fetch, by the file of config/datasets that says so: its ``root``, ``datasets`` and ``files``.

    `datasets` and `weights` are the content of these files. The ``downloads`` of `datasets` are taken out of them:
    another mirror makes no other dataset.
    """
    downloads: dict[str, dict[str, Any]] = {}
    for name, description in config["datasets"].items():
        if files := datasets[name].pop("downloads", None):
            root = datasets[name]["root"].replace("{data_root}", config["data_root"])
            downloads.setdefault(description, {"root": root, "datasets": [], "files": files})["datasets"].append(name)
    for description, block in weights.items():
        root = block["root"].replace("{data_root}", config["data_root"])
        downloads[description] = {"root": root, "datasets": [], "files": block["downloads"]}
    return downloads
