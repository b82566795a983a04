"""What a study says of itself: records beside tables and figures, and the RO-Crate."""

import json
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from frugalseg.plan.models import folder_of
from frugalseg.reporting.crate import REPORT, describe_study
from frugalseg.reporting.records import files_of_models, models_of_study, record_of
from frugalseg.runtime import provenance
from frugalseg.runtime.files import write_json
from frugalseg.runtime.provenance import sha256_of, surroundings
from frugalseg.study.load import complete

SPECIFICATION = "https://w3id.org/ro/crate/1.1"


@pytest.fixture
def config(root, tmp_path, monkeypatch):
    """A finished study: a description and a checkpoint for every model, and a table."""
    monkeypatch.chdir(tmp_path)
    config = complete(yaml.safe_load((root / "tests/workflow/tiny.yaml").read_text()), root)
    for recipe, chain, seed in models_of_study(config):
        folder = folder_of((recipe, chain, seed), "models", config)
        used = {"recipe": config["recipes"][recipe]}
        description = provenance.describe(
            chain=chain, recipe=recipe, config=used, seed=seed, device="cpu", seconds=1.5, precision="float32"
        )
        write_json(description, folder / "model.json")
        (folder / "model.pt").write_text(f"{recipe} {chain} {seed}")
    tables = Path("results/tiny/tables")
    tables.mkdir()
    (tables / "redundancy.csv").write_text("a,b\n")
    return config


def hashes_of(config):
    paths = ["results/tiny/tables/redundancy.csv", *files_of_models(config)]
    return {path: sha256_of(Path(path)) for path in paths}


def references(value):
    """Every @id that is referred to, and not defined, in a JSON value."""
    if isinstance(value, dict):
        if set(value) == {"@id"}:
            yield value["@id"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


@pytest.fixture
def crate(config):
    return json.loads(json.dumps(describe_study(config, hashes_of(config))))


@pytest.fixture
def graph(crate):
    return {entity["@id"]: entity for entity in crate["@graph"]}


def test_the_graph_is_whole(crate, graph):
    assert crate["@context"][0] == f"{SPECIFICATION}/context"
    assert len(graph) == len(crate["@graph"])
    outside = {SPECIFICATION, "http://schema.org/CompletedActionStatus"}
    assert set(references(crate["@graph"])) - set(graph) <= outside
    assert all("@type" in entity for entity in crate["@graph"])


def test_what_the_specification_requires_is_there(graph):
    descriptor, root = graph["ro-crate-metadata.json"], graph["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": SPECIFICATION}
    assert root["@type"] == "Dataset"
    assert {"name", "description", "datePublished", "hasPart"} <= set(root)
    run = graph[root["mentions"]["@id"]]
    assert run["@type"] == "CreateAction"
    assert "ComputationalWorkflow" in graph[run["instrument"]["@id"]]["@type"]
    assert {"object", "result", "endTime"} <= set(run)


def test_every_file_is_as_it_lies_there(graph):
    files = [entity for entity in graph.values() if entity["@type"] == "File"]
    assert {entity["@id"] for entity in files} == {part["@id"] for part in graph["./"]["hasPart"]}
    for entity in files:
        if entity["@id"] == REPORT:
            continue
        path = Path("results/tiny") / unquote(entity["@id"])
        assert entity["contentSize"] == str(path.stat().st_size)
        assert entity["sha256"] == sha256_of(path)
    assert "models/small/cyto_to_histo+cyto@few2x50/seed0/model.pt" in graph


def test_datasets_and_software_are_named(graph):
    assert graph["#dataset-cyto"]["license"] == {"@id": "#licence-cyto"}
    assert graph["#licence-cyto"]["name"].startswith("BSD-3-Clause")
    software = {entity["name"]: entity for entity in graph.values() if entity["@type"] == "SoftwareApplication"}
    assert {"python", "torch", "snakemake", "numpy"} <= set(software)
    assert all(entity["softwareVersion"] for entity in software.values())


def test_the_same_files_give_the_same_crate(config):
    assert describe_study(config, hashes_of(config)) == describe_study(config, hashes_of(config))


def test_a_record_says_what_a_table_was_made_of(config):
    hashes = hashes_of(config)
    record = record_of("tables", "replay", config, hashes, surroundings("cpu"))
    assert json.loads(json.dumps(record)) == record
    chains = [model["chain"] for model in record["models"]]
    assert chains == ["cyto", "cyto_to_histo", "cyto_to_histo+cyto@few2x50"]
    for model in record["models"]:
        assert model["sha256"] == hashes[f"results/tiny/models/small/{model['chain']}/seed0/model.pt"]
    assert record["config"]["block"] == config["questions"]["replay"]
    assert list(record["config"]["recipes"]) == ["small"]
    assert record["seconds"] == pytest.approx(3 * 1.5)
    assert record["joules"] is None
    assert len(record["trained_on"]["versions"]) == 1


def test_what_differs_between_models_is_told(config):
    path = folder_of(("small", "cyto", 0), "models", config) / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"device": "another", "joules": {"package-0": 2.0}}))
    record = record_of("tables", "replay", config, hashes_of(config), {})
    assert len(record["trained_on"]["device"]) == 2
    # The other models do not know their energy, so that of all is not known.
    assert record["joules"] is None


def test_energy_is_summed_where_every_model_knows_it(config):
    for file in Path("results/tiny/models").rglob("model.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"joules": {"package-0": 2.0}}))
    assert record_of("tables", "replay", config, hashes_of(config), {})["joules"] == {"package-0": 6.0}


def test_every_table_and_figure_stands_on_its_own_models(config):
    models = {
        (kind, name): [model["chain"] for model in record_of(kind, name, config, hashes_of(config), {})["models"]]
        for kind, name in (("tables", "patches"), ("figures", "patches"), ("figures", "segmentations"))
    }
    assert len(models["tables", "patches"]) == len(files_of_models(config)) / 2
    assert models["figures", "patches"] == []
    assert models["figures", "segmentations"] == ["cyto", "cyto_to_histo"]
    figure = record_of("figures", "segmentations", config, hashes_of(config), {})
    assert figure["config"]["block"] == config["figures"]["segmentations"]
