# What models, their predictions and width scans are made from, by wildcards.


def network(wildcards):
    return networks_of([wildcards.recipe])


def way_of_keeping(wildcards):
    keep = config["recipes"][wildcards.recipe].get("keep")
    return [f"frugalseg.training.keeping.{keep['method']}"] if keep else []


def stage_config(wildcards):
    """What a stage is trained by, and its description repeats."""
    min_cells = config["patches"]["min_cells"]
    return {"recipe": config["recipes"][wildcards.recipe], "bins": config["bins"], "min_cells": min_cells}


def weights_of(model):
    recipe, chain, seed = model
    return f"<results>/models/{recipe}/{chain}/seed{seed}/model.pt"


def model_of(wildcards):
    return wildcards.recipe, wildcards.chain, int(wildcards.seed)


def parent_of(wildcards):
    return lineage.parent_of(model_of(wildcards), config["recipes"])


def parent_weights(wildcards):
    parent = parent_of(wildcards)
    return weights_of(parent) if parent else []


def child_weights(wildcards):
    return weights_of(lineage.child_of(model_of(wildcards), config["recipes"]))


def coresets_of_chain(chain, seed):
    return [
        coreset_of(source.dataset, source.subset.selector, seed)
        for source in chains.parse(chain).sources
        if source.subset
    ]


def patches_of_chain(chain, split):
    return [f"<results>/patches/{source.dataset}/{split}/patches.csv" for source in chains.parse(chain).sources]


def coresets_of_stage(wildcards):
    return coresets_of_chain(wildcards.chain, wildcards.seed)


def patches_of_stage(split):
    return lambda wildcards: patches_of_chain(wildcards.chain, split)


def remembered_parent(wildcards):
    keep = config["recipes"][wildcards.recipe].get("keep")
    needs = literals(f"training.keeping.{keep['method']}").get("NEEDS") if keep else None
    return parent_of(wildcards) if needs == "old_patches" else None


def coresets_of_parent(wildcards):
    parent = remembered_parent(wildcards)
    return coresets_of_chain(*parent[1:]) if parent else []


def patches_of_parent(wildcards):
    parent = remembered_parent(wildcards)
    return patches_of_chain(parent[1], "train") if parent else []


def named_weights(wildcards):
    return weights_of(lineage.trained_as(model_of(wildcards), config["recipes"]))


def images_of_scan(wildcards):
    return multiext(f"<results>/images/{config['widths'][wildcards.scan]['dataset']}/train/", *IMAGES)


def block_of_scan(wildcards):
    block = config["widths"][wildcards.scan]
    return {key: block[key] for key in ("images", "crop", "caps", "seeds", "scores")}


def archs_of_scan(wildcards):
    return experiments.width_networks(config["widths"][wildcards.scan])


def networks_of_scan(wildcards):
    return sorted({f"frugalseg.models.{arch.partition('-')[0]}" for arch in archs_of_scan(wildcards).values()})
