"""Metrics, spreads and versions, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from frugalseg.reporting.formats import plural
from frugalseg.reporting.references import References
from frugalseg.runtime.provenance import package_versions
from frugalseg.study.experiments import cost_fields


def evaluation(config: Mapping[str, Any], references: References) -> str:
    """How models are scored, and what computed it."""
    versions = package_versions()
    sentences = [
        "Models were scored on every test image by IoU, Dice, precision, recall and accuracy of the foreground, and by "
        f"panoptic quality {references.cite('panoptic')}, average precision, F1, the aggregated Jaccard index and the 95 % "
        "Hausdorff distance of whole cells.",
        "Tables give means over test images, their standard deviation over images, and, where there are several runs, the "
        "standard deviation of the mean over runs.",
    ]
    sentences += _claims(config["claims"], references)
    if any("gigaflops" in cost_fields(block) for block in config["experiments"].values()):
        sentences.append(
            "Operations of a network are those of its convolutions and matrix products on a megapixel, in windows as large as "
            "its training crops that do not overlap; a multiplication and an addition count as two."
        )
    sentences.append(
        f"All computations were done with frugalseg {versions['frugalseg']}, PyTorch {versions['torch'].partition('+')[0]} "
        f"and Snakemake {versions['snakemake']}; the config, the seeds and the revision of the code lie beside every result."
    )
    return " ".join(sentences)


def _claims(claims: Mapping[str, Any], references: References) -> Iterator[str]:
    if not claims:
        return
    kinds = {claim["kind"] for claim in claims.values()}
    yield (
        f"{plural(len(claims), 'claim').capitalize()} with a bound set beforehand {'was' if len(claims) == 1 else 'were'} called "
        "supported where the whole 95 % interval of the effect, for other seeds and other test images and paired by image, lay "
        "on the side of the bound that was claimed, and refuted where it lay wholly on the other."
    )
    if kinds & {"loss", "recovery", "asymmetry"}:
        yield f"Intervals of shares are those of ratios of means {references.cite('fieller')}."
    if "equal" in kinds:
        yield (
            "Models were called equal where the interval lay within a margin, as two one-sided tests do "
            f"{references.cite('equivalence')}."
        )
