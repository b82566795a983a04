"""A study described for machines: RO-Crate 1.1, with the study's run as a Process Run Crate 0.5 tells it.

https://www.researchobject.org/ro-crate/specification/1.1, https://www.researchobject.org/workflow-run-crate
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from frugalseg.reporting.records import description_of, models_of_study

FILE = "ro-crate-metadata.json"
REPORT = "report.html"
_CRATE = "https://w3id.org/ro/crate/1.1"
_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
_LANGUAGE = "https://snakemake.github.io"
_LICENCE = "https://spdx.org/licenses/BSD-3-Clause"
_FORMATS = {".md": "text/markdown", ".pt": "application/octet-stream", ".tex": "application/x-tex"}

Entity = dict[str, Any]


def describe_study(config: Mapping[str, Any], hashes: Mapping[str, str]) -> Entity:
    """Metadata of a finished study as JSON-LD, from its completed config and the SHA-256 of every file to list, by path.

    The report is listed without size and hash: it is made last, from what is listed here.
    """
    folder = Path(f"results/{config['study']}")
    descriptions = [description_of(model, config) for model in models_of_study(config)]
    files = [_file(Path(path), folder, digest) for path, digest in hashes.items()]
    files.append(_entity(REPORT, "File", name="Report of the study", encodingFormat="text/html"))
    software = _software(descriptions)
    ended = _newest(hashes)
    root = _entity(
        "./",
        "Dataset",
        name=config["title"],
        description=f"Tables, figures and models of the study {config['study']} of frugalseg.",
        datePublished=ended,
        conformsTo={"@id": _PROFILE},
        hasPart=_references(files),
        mentions={"@id": "#run"},
    )
    graph = [
        _entity(FILE, "CreativeWork", conformsTo={"@id": _CRATE}, about={"@id": "./"}),
        root,
        _entity(_PROFILE, "CreativeWork", name="Process Run Crate", version="0.5"),
        _run(config, files, descriptions, ended),
        *_workflow(descriptions, software),
        *software,
        *(entity for name, block in config["datasets"].items() for entity in _dataset(name, block)),
        *files,
    ]
    return {"@context": _CONTEXT, "@graph": graph}


def _entity(identifier: str, kind: str | list[str], **properties: Any) -> Entity:
    return {"@id": identifier, "@type": kind, **properties}


def _file(path: Path, folder: Path, digest: str) -> Entity:
    name = path.relative_to(folder).as_posix()
    kind = _FORMATS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    size = str(path.stat().st_size)
    return _entity(quote(name, safe="/+@"), "File", name=name, encodingFormat=kind, contentSize=size, sha256=digest)


def _dataset(name: str, block: Mapping[str, Any]) -> Iterable[Entity]:
    """A dataset and its licence."""
    taken = {"citation": "citation", "url": "homepage", "description": "provenance"}
    known = {key: " ".join(block[ours].split()) for key, ours in taken.items() if ours in block}
    dataset = _entity(f"#dataset-{name}", "Dataset", name=block["title"], alternateName=name, **known)
    if "licence" not in block:
        return [dataset]
    licence = _entity(f"#licence-{name}", "CreativeWork", name=block["licence"])
    return [{**dataset, "license": {"@id": licence["@id"]}}, licence]


def _software(descriptions: Sequence[Mapping[str, Any]]) -> list[Entity]:
    """Packages of all models, each version that was used."""
    used = dict.fromkeys(item for description in descriptions for item in description["versions"].items())
    return [
        _entity(f"#software-{quote(name)}-{quote(version)}", "SoftwareApplication", name=name, softwareVersion=version)
        for name, version in used
    ]


def _workflow(descriptions: Sequence[Mapping[str, Any]], software: Sequence[Entity]) -> list[Entity]:
    """The workflow and its language; its version is the revision, or the revisions, that trained the models."""
    revisions = dict.fromkeys(description["revision"] or "unknown" for description in descriptions)
    workflow = _entity(
        "#workflow",
        ["SoftwareSourceCode", "ComputationalWorkflow"],
        name="frugalseg",
        version=", ".join(revisions),
        license={"@id": _LICENCE},
        programmingLanguage={"@id": _LANGUAGE},
        softwareRequirements=_references(software),
    )
    language = _entity(_LANGUAGE, "ComputerLanguage", name="Snakemake", url=_LANGUAGE)
    return [workflow, language, _entity(_LICENCE, "CreativeWork", name="BSD 3-Clause License")]


def _run(
    config: Mapping[str, Any], files: Sequence[Entity], descriptions: Sequence[Mapping[str, Any]], ended: str
) -> Entity:
    devices = ", ".join(dict.fromkeys(description["device"] for description in descriptions)) or "no device"
    hours = sum(description["seconds"] for description in descriptions) / 3600
    return _entity(
        "#run",
        "CreateAction",
        name=f"Run of the study {config['study']}",
        description=f"{len(descriptions)} models, trained in {hours:.2f} hours of jobs on {devices}.",
        instrument={"@id": "#workflow"},
        object=[{"@id": f"#dataset-{name}"} for name in config["datasets"]],
        result=_references(files),
        endTime=ended,
        actionStatus={"@id": "http://schema.org/CompletedActionStatus"},
    )


def _references(entities: Iterable[Entity]) -> list[Entity]:
    return [{"@id": entity["@id"]} for entity in entities]


def _newest(paths: Iterable[str]) -> str:
    """When the last of some files was written, in ISO 8601."""
    newest = max(Path(path).stat().st_mtime for path in paths)
    return datetime.fromtimestamp(int(newest), UTC).isoformat()
