"""A throw-away Slurm cluster, and studies to run on it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_study import LONGER, MODELS, TINY, Study
from throwaway import Cluster, reason_not_to_start


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Cluster]:
    """Two nodes, for all tests."""
    reason = reason_not_to_start()
    if reason:
        pytest.skip(reason)
    cluster = Cluster(Path(tempfile.gettempdir()))
    if not cluster.is_free():
        pytest.skip("another run of these tests has the cluster")
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(running_cluster: Cluster) -> Iterator[Cluster]:
    """Two idle nodes."""
    yield running_cluster
    running_cluster.end_jobs()


@pytest.fixture(scope="session")
def tiny_here(root: Path, running_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The tiny study up to its metrics, made on this machine."""
    study = Study(root, tmp_path_factory.mktemp("tiny"))
    study.run_here("--until", "evaluate", "evaluate_width", *TINY)
    return study


@pytest.fixture(scope="session")
def bits_here(root: Path, tiny_here: Study, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """SHA-256 of the models with longer trainings, made on this machine."""
    study = Study(root, tmp_path_factory.mktemp("here"))
    study.take_patches(tiny_here)
    study.run_here(*MODELS.values(), *LONGER)
    return study.bits()


@pytest.fixture
def longer(root: Path, tiny_here: Study, tmp_path: Path) -> Study:
    """The study with longer trainings, up to its patches."""
    study = Study(root, tmp_path)
    study.take_patches(tiny_here)
    return study
