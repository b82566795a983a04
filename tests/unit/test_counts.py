"""Counts of patches for the report."""

import json

import pandas as pd

from frugalseg.reporting.counts import count_datasets, count_models, describe_images, to_markdown


def test_patches_with_few_cells_are_counted_and_shown(tmp_path):
    pd.DataFrame({"patch": range(4), "cells": [0, 4, 5, 9]}).to_csv(tmp_path / "patches.csv", index=False)
    source = {"source": "cyto@dq50", "patches": 2, "left_out": 1, "used": 1}
    sources = [source, {"source": "histo", "patches": 7, "left_out": 3, "used": 4}]
    description = {"recipe": "small", "chain": "histo_to_cyto@dq50", "seed": 3, "sources": sources}
    (tmp_path / "model.json").write_text(json.dumps(description))

    datasets = count_datasets({"cyto": tmp_path / "patches.csv"}, min_cells=5)
    models = count_models([tmp_path / "model.json"])

    assert datasets[["source", "patches", "left_out", "used"]].to_numpy().tolist() == [["cyto", 4, 2, 2]]
    assert models.iloc[0].tolist() == ["small", "histo_to_cyto@dq50", 3, "cyto@dq50", 2, 1, 1]
    split = {"images": 3, "cells": 70, "diameter": 15.84, "resolved": {"specks": 2}, "perhaps_partly_annotated": []}
    checks = {"dataset": "cyto", "splits": {"train": split | {"perhaps_partly_annotated": ["a"]}, "test": split}}
    (tmp_path / "checks.json").write_text(json.dumps(checks))
    ceiling = {"settings": {"largest": 1}, "ap": 0.9, "pq": 0.95, "cells_lost": 1, "images_under_95": {"b": 0.5}}
    (tmp_path / "ceiling.json").write_text(json.dumps([ceiling]))
    images = describe_images([tmp_path / "checks.json"], [tmp_path / "ceiling.json"])
    assert images.iloc[0, 5] == "specks: 2; perhaps annotated in part: 1"
    assert images.iloc[1, 5:].tolist() == ["specks: 2", "largest 1", "0.900 / 0.950", "b (0.50)"]
    text = to_markdown(datasets, models, images, min_cells=5)
    assert "Fewer than 5 cells" in text
    assert text.count("histo_to_cyto@dq50") == 1
    assert [cell.strip() for cell in text.splitlines()[-1].split("|")[1:5]] == ["", "", "", "histo"]
