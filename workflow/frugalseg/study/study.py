"""A study: its keys, their defaults and what they mean."""

from __future__ import annotations

from typing import Any, Literal

from frugalseg.study.dataset import FileName
from frugalseg.study.figures import Figures
from frugalseg.study.keys import DatasetName, Keys, Name, RecipeName, SelectorName, key, like, number, some, whole


class Patches(Keys):
    """How training images are cut."""

    size: whole(ge=16) = key("Side of a patch in pixels.", 224)
    stride: whole(ge=1) = key("Distance of neighbouring patches in pixels.", 112)
    border: Literal["pad", "drop"] = key(
        "Patches that hang over the border: reflect the image and its labels, or leave them out.", "pad"
    )
    min_cells: whole(ge=0) = key("Patches with fewer cells are left out of training, after selection, and counted.", 5)
    validation: whole(ge=0) = key(
        "Patches of the test images on which the validation loss of log.csv is watched; it chooses nothing.", 64
    )


class Pretraining(Keys):
    """The small masked autoencoder that is trained where no checkpoint is given."""

    image_size: whole(ge=16) = key("Side to which patches are resized, in pixels.", 96)
    patch_size: whole(ge=2) = key("Side of a token in pixels.", 12)
    hidden_size: whole(ge=8) = key("Width of the encoder; the dimension of the features.", 128)
    layers: whole(ge=1) = key("Depth of the encoder.", 4)
    heads: whole(ge=1) = key("Attention heads of the encoder.", 4)
    decoder_hidden_size: whole(ge=8) = key("Width of the decoder.", 64)
    decoder_layers: whole(ge=1) = key("Depth of the decoder.", 2)
    decoder_heads: whole(ge=1) = key("Attention heads of the decoder.", 4)
    mask_ratio: number(gt=0, lt=1) = key("Share of tokens hidden during pre-training.", 0.75)
    steps: whole(ge=1) = key("Optimiser steps.", 500)
    batch: whole(ge=1) = key("Patches a step.", 32)
    lr: number(gt=0) = key("Peak learning rate of AdamW.", 0.003)
    weight_decay: number(ge=0) = key("Weight decay of AdamW.", 0.05)


class Features(Keys):
    """Where the features come from that selectors compare patches by."""

    checkpoint: str | None = key(
        "Folder with a ViT-MAE checkpoint in Hugging Face's layout; {data_root} stands for the study's data_root. It is "
        "fetched if it is the root of a file of config/datasets with the source weights. Without it a small one is trained "
        "on each dataset's own patches.",
        None,
    )
    pooling: Literal["mean", "class"] = key(
        "Mean over all tokens of the last hidden state, or the class token.", "mean"
    )
    mask_ratio: number(ge=0, lt=1) = key(
        "Share of tokens hidden from the encoder. 0 sees the whole patch; 0.75 is what the library does by itself.", 0
    )
    batch: whole(ge=1) = key("Patches per forward pass.", 64)
    pretraining: Pretraining = key("The small masked autoencoder.", Pretraining())


class Study(Keys):
    """Everything that makes the science of a study. Partitions, memory and retries live in profiles."""

    study: like(r"^[a-z][a-z0-9_-]*$", "lower-case letters, digits, _ and -, a letter first") = key(
        "Name of the study; its results lie in results/{study}."
    )
    title: str = key("Title of the report.", "How little will do?")
    answers: some(str, most=3, unique=True) | None = key(
        "Names of the answers that the first page opens with, in this order: questions, or verdicts for the claims; without, "
        "the first learning curve, the first of kind keeping and the verdicts.",
        None,
    )
    data_root: str = key("Folder that {data_root} stands for in the files of config/datasets.", "data")
    published: str | None = key("CSV of published values, which experiments and claims may show beside ours.", None)
    pathvars: dict[str, Any] | None = key("Snakemake's own path variables, should you want to move the results.", None)
    datasets: dict[DatasetName, FileName] = key(
        "The study's name of a dataset, as chains spell it -> a file in config/datasets, without .yaml.", min_length=1
    )
    tuning: whole(ge=0) = key(
        "Training images, of each dataset that a question of the kind keeping chooses by, that are kept out of training by "
        "lot: models are scored on them as on the test images, which choose nothing.",
        20,
    )
    patches: Patches = key("How training images are cut.", Patches())
    features: Features = key("Where the features come from that selectors compare patches by.", Features())
    bins: whole(ge=1) = key(
        "Bins of dataset quantization. A rate r takes max(1, floor(r |S_n|)) patches of every bin, and every other selector "
        "takes the same number, so that one rate means one number of patches.",
        10,
    )
    selectors: dict[SelectorName, dict[str, Any]] = key(
        "Selector as chains spell it -> how it puts the patches of a dataset in order. Methods that need nothing said about "
        "them are there by their own name.",
        {},
    )
    recipes: dict[RecipeName, dict[str, Any]] = key(
        "Name -> how a stage is trained, the other half of a model's name. Those of config/recipes.yaml are there too; one of "
        "the same name replaces it, and may be like it.",
        {},
    )
    questions: dict[Name, dict[str, Any]] = key(
        "Name -> what is asked, and by whose name tables and figures go: a template of config/questions, the one of this "
        "name or of the key ask, with its parameters filled in and other keys laid over it; or a block with its kind, written "
        "out.",
        {},
    )
    figures: Figures = key("Figures that do not come from a table.", Figures())
