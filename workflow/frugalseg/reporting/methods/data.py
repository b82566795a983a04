"""Datasets and patches of a study, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugalseg.reporting.formats import listing, number, plural
from frugalseg.reporting.methods.coresets import sources_of
from frugalseg.reporting.references import References
from frugalseg.study.arms import tuning_datasets

_DOMAINS = {
    "cyto": "fluorescent cells in many looks",
    "histo": "stained tissue",
    "multi": "a mixture of modalities",
}


def data(config: Mapping[str, Any], references: References) -> str:
    """Where images come from, and how patches are cut from them."""
    blocks, patches = config["datasets"], config["patches"]
    sentences = [
        f"The study uses {plural(len(blocks), 'dataset')}: "
        + listing((_dataset(name, block, references) for name, block in blocks.items()), "; ", "; and ")
        + "."
    ]
    if any(block["source"] == "synthetic" for block in blocks.values()):
        sentences.append("Synthetic images were drawn by the microscope of frugalseg, whose labels are exact.")
    if any(block["channels"] == "grey" for block in blocks.values()):
        sentences.append("Colour images were averaged to one channel.")
    sentences.append(
        "Every image was normalised so that its 1st percentile became 0 and its 99th became 1, and cut into patches of "
        f"{patches['size']} × {patches['size']} pixels at a stride of {patches['stride']} pixels. "
        + (
            "Patches that hang over the border were completed by reflection and carry no labels there."
            if patches["border"] == "pad"
            else "Patches that hang over the border were left out."
        )
    )
    if config["keeping"]:
        kept = "1 training image" if config["tuning"] == 1 else f"{number(config['tuning'])} training images"
        chosen_by = listing(f"*{name}*" for name in tuning_datasets(config))
        sentences.append(f"Of each of {chosen_by} {kept}, drawn by lot, were kept out of training, to choose by.")
    if patches["min_cells"] > 0:
        few = "without a cell" if patches["min_cells"] == 1 else f"with fewer than {number(patches['min_cells'])} cells"
        after = ", after coresets had been selected" if any(source.subset for source in sources_of(config)) else ""
        sentences.append(f"Patches {few} were left out of training{after}.")
    return " ".join(sentences)


def _dataset(name: str, block: Mapping[str, Any], references: References) -> str:
    if block["source"] == "synthetic":
        return (
            f"*{name}*, synthetic images of {_DOMAINS[block['domain']]} ({block['train']} for training and "
            f"{block['test']} for testing, {block['size']} × {block['size']} pixels each)"
        )
    cited = f" {references.cite_dataset(block['citation'])}" if "citation" in block else ""
    # A title may end in a bracket of its own.
    return f"*{name}*, {block['title']}{cited}".replace(") (", "; ")
