"""How many patches there are, how many a model was trained on, and how many were left out for having too few cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from frugalseg.reporting.tables import to_markdown as table

COLUMNS = ["recipe", "chain", "seed", "source", "patches", "left_out", "used"]
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


def to_markdown(datasets: pd.DataFrame, models: pd.DataFrame, min_cells: int) -> str:
    """Both counts as a page."""
    headings = {**_HEADINGS, "left_out": f"Fewer than {min_cells} cells"}
    of_datasets = datasets[COLUMNS[3:]].rename(columns={**headings, "source": "Dataset"})
    of_models = models.rename(columns=headings)
    parts = [
        "## Patches of each dataset",
        table(of_datasets),
        "## Patches of each model's last stage",
        table(of_models, names=4, repeats=True),
    ]
    return "\n\n".join(parts)
