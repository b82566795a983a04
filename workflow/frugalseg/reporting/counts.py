"""How many patches there are, how many a model was trained on, and how many were left out for having too few cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from frugalseg.reporting.formats import MISSING, score
from frugalseg.reporting.tables import to_markdown as table

COLUMNS = ["recipe", "chain", "seed", "source", "patches", "left_out", "used"]
_IMAGE_HEADINGS = [
    *(
        "Dataset",
        "Split",
        "Images",
        "Cells",
        "Diameter (px)",
        "Resolved when they were read",
        "Masks",
        "Ceiling AP / PQ",
    ),
    "Under 0.95",
]
_CEILING = (
    "The ceiling is what a network would score that predicts the flows of every true cell without error: cells that are smaller, "
    "larger or longer than the settings of masks allow are lost to every model. Images on which its AP is under 0.95 are named."
)
_HEADINGS = {
    "recipe": "Recipe",
    "chain": "Chain",
    "seed": "Seed",
    "source": "Source",
    "patches": "Patches",
    "used": "Used",
}


def count_datasets(tables: Mapping[str, str | Path], min_cells: int) -> pd.DataFrame:
    """Patches of each dataset, from its ``patches.csv``: `COLUMNS`, where source is the dataset and no model is named."""
    rows = []
    for dataset, path in tables.items():
        cells = pd.read_csv(path)["cells"]
        few = int((cells < min_cells).sum())
        rows.append(["", "", "", dataset, len(cells), few, len(cells) - few])
    return pd.DataFrame(rows, columns=COLUMNS)


def count_models(descriptions: Sequence[str | Path]) -> pd.DataFrame:
    """Patches of the last stage of each model, from its ``model.json``: `COLUMNS`, one row a source."""
    rows = []
    for path in descriptions:
        model = json.loads(Path(path).read_text(encoding="utf-8"))
        for source in model["sources"]:
            counts = [source["patches"], source["left_out"], source["used"]]
            rows.append([model["recipe"], model["chain"], model["seed"], source["source"], *counts])
    return pd.DataFrame(rows, columns=COLUMNS)


def describe_images(checks: Sequence[str | Path], ceilings: Sequence[str | Path]) -> pd.DataFrame:
    """Images and cells of each split, what had to be resolved to read them, and what no model can exceed.

    `checks` and `ceilings` are the ``checks.json`` and ``ceiling.json`` of each dataset.
    """
    rows = []
    for path, ceiling in zip(checks, ceilings, strict=True):
        report = json.loads(Path(path).read_text(encoding="utf-8"))
        best = json.loads(Path(ceiling).read_text(encoding="utf-8"))
        for split, found in report["splits"].items():
            notes = {key.replace("_", " "): count for key, count in found["resolved"].items()}
            notes["perhaps annotated in part"] = len(found["perhaps_partly_annotated"])
            row = [report["dataset"], split, found["images"], found["cells"], f"{found['diameter']:.1f}"]
            row.append("; ".join(f"{name}: {count}" for name, count in notes.items() if count) or MISSING)
            if split == "train":
                rows.append([*row, MISSING, MISSING, MISSING])
                continue
            for each in best:
                settings = ", ".join(f"{key} {value}" for key, value in each["settings"].items())
                under = ", ".join(f"{name} ({score(ap, 2)})" for name, ap in each["images_under_95"].items())
                reached = f"{score(each['ap'])} / {score(each['pq'])}"
                rows.append([*row, settings or "Cellpose's", reached, under or MISSING])
    return pd.DataFrame(rows, columns=_IMAGE_HEADINGS)


def to_markdown(datasets: pd.DataFrame, models: pd.DataFrame, images: pd.DataFrame, min_cells: int) -> str:
    """All counts as a page."""
    headings = {**_HEADINGS, "left_out": f"Fewer than {min_cells} cells"}
    of_datasets = datasets[COLUMNS[3:]].rename(columns={**headings, "source": "Dataset"})
    of_models = models.rename(columns=headings)
    parts = [
        "## Images of each dataset",
        table(images, names=2),
        _CEILING,
        "## Patches of each dataset",
        table(of_datasets),
        "## Patches of each model's last stage",
        table(of_models, names=4, repeats=True),
    ]
    return "\n\n".join(parts)
