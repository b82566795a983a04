"""How many patches there are, how many a model was trained on, and how many were left out for having too few cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

COLUMNS = ["recipe", "chain", "seed", "source", "patches", "left_out", "used"]


def count_datasets(tables: Mapping[str, str | Path], min_cells: int) -> pd.DataFrame:
    """Patches of each dataset.

    Parameters
    ----------
    tables : mapping
        Name of the dataset -> its ``patches.csv``.
    min_cells : int
        Patches with fewer cells are left out of training.

    Returns
    -------
    pandas.DataFrame
        With the columns of `COLUMNS`; ``source`` is the dataset, and recipe, chain and seed are empty.
    """
    rows = []
    for dataset, path in tables.items():
        cells = pd.read_csv(path)["cells"]
        few = int((cells < min_cells).sum())
        rows.append(["", "", "", dataset, len(cells), few, len(cells) - few])
    return pd.DataFrame(rows, columns=COLUMNS)


def count_models(descriptions: Sequence[str | Path]) -> pd.DataFrame:
    """Patches of the last stage of each model, one row a source.

    Parameters
    ----------
    descriptions : sequence of paths
        The ``model.json`` written beside each model.

    Returns
    -------
    pandas.DataFrame
        With the columns of `COLUMNS`.
    """
    rows = []
    for path in descriptions:
        model = json.loads(Path(path).read_text(encoding="utf-8"))
        for source in model["sources"]:
            counts = [source["patches"], source["left_out"], source["used"]]
            rows.append([model["recipe"], model["chain"], model["seed"], source["source"], *counts])
    return pd.DataFrame(rows, columns=COLUMNS)


def to_markdown(datasets: pd.DataFrame, models: pd.DataFrame, min_cells: int) -> str:
    """Both counts as text for people.

    Parameters
    ----------
    datasets, models : pandas.DataFrame
        As `count_datasets` and `count_models` make them.
    min_cells : int
        As in the config.

    Returns
    -------
    str
        Markdown with two tables.
    """
    shown = {"source": "Source", "patches": "Patches", "left_out": f"Fewer than {min_cells} cells", "used": "Used"}
    of_datasets = datasets[list(shown)].rename(columns={**shown, "source": "Dataset"})
    of_models = models.rename(columns={**shown, "recipe": "Recipe", "chain": "Chain", "seed": "Seed"})
    return "\n\n".join(
        [
            "## Patches of each dataset",
            of_datasets.to_markdown(index=False),
            "## Patches of each model's last stage",
            of_models.to_markdown(index=False),
        ]
    )
