"""Counts of patches for the report."""

import json

import pandas as pd

from frugalseg.reporting.counts import count_datasets, count_models, to_markdown


def test_patches_with_few_cells_are_counted_and_shown(tmp_path):
    pd.DataFrame({"patch": range(4), "cells": [0, 4, 5, 9]}).to_csv(tmp_path / "patches.csv", index=False)
    source = {"source": "cyto@dq50", "patches": 2, "left_out": 1, "used": 1}
    description = {"recipe": "small", "chain": "histo_to_cyto@dq50", "seed": 3, "sources": [source]}
    (tmp_path / "model.json").write_text(json.dumps(description))

    datasets = count_datasets({"cyto": tmp_path / "patches.csv"}, min_cells=5)
    models = count_models([tmp_path / "model.json"])

    assert datasets[["source", "patches", "left_out", "used"]].to_numpy().tolist() == [["cyto", 4, 2, 2]]
    assert models.iloc[0].tolist() == ["small", "histo_to_cyto@dq50", 3, "cyto@dq50", 2, 1, 1]
    text = to_markdown(datasets, models, min_cells=5)
    assert "Fewer than 5 cells" in text
    assert "histo_to_cyto@dq50" in text
