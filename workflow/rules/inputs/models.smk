# What models, their predictions and width scans are made from, by wildcards.


def network(wildcards):
    return networks_of([wildcards.recipe])


def way_of_keeping(wildcards):
    keep = RECIPES[wildcards.recipe].get("keep")
    return [f"frugalseg.training.keeping.{keep['method']}"] if keep else []


def stage_config(wildcards):
    """What a stage is trained by, and its description repeats."""
    min_cells = config["patches"]["min_cells"]
    return {"recipe": trained_by(RECIPES[wildcards.recipe]), "bins": config["bins"], "min_cells": min_cells}


def model_of(wildcards):
    return wildcards.recipe, wildcards.chain, int(wildcards.seed)


def parent_of(wildcards):
    return lineage.parent_of(model_of(wildcards), RECIPES)


def parent_weights(wildcards):
    parent = parent_of(wildcards)
    return paths.weights_of(parent) if parent else []


def child_weights(wildcards):
    return paths.weights_of(lineage.child_of(model_of(wildcards), RECIPES))


def coresets_of_stage(wildcards):
    return paths.coresets_of(wildcards.chain, wildcards.seed, SELECTORS)


def patches_of_stage(split):
    return lambda wildcards: paths.patches_of(wildcards.chain, split)


def remembered_parent(wildcards):
    keep = RECIPES[wildcards.recipe].get("keep")
    needs = literals(f"training.keeping.{keep['method']}").get("NEEDS") if keep else None
    return parent_of(wildcards) if needs == "old_patches" else None


def coresets_of_parent(wildcards):
    parent = remembered_parent(wildcards)
    return paths.coresets_of(*parent[1:], SELECTORS) if parent else []


def patches_of_parent(wildcards):
    parent = remembered_parent(wildcards)
    return paths.patches_of(parent[1], "train") if parent else []


def named_weights(wildcards):
    return paths.weights_of(lineage.trained_as(model_of(wildcards), RECIPES))


def images_of_scan(wildcards):
    return multiext(f"<results>/images/{ANSWERS[wildcards.scan]['dataset']}/train/", *IMAGES)


def block_of_scan(wildcards):
    block = ANSWERS[wildcards.scan]
    return {key: block[key] for key in ("images", "crop", "caps", "seeds", "scores")}


def archs_of_scan(wildcards):
    return width_networks(ANSWERS[wildcards.scan])


def networks_of_scan(wildcards):
    return modules_of(archs_of_scan(wildcards).values())


# Of a model that no question names, all: someone asks for it by its file.
def tests_of(wildcards):
    return SCORED_ON.get(model_of(wildcards), list(config["datasets"]))


def tuning_of(wildcards):
    return TUNED_ON.get(model_of(wildcards), [] if model_of(wildcards) in SCORED_ON else TUNING_DATASETS)


def images_of_tests(wildcards):
    return [f"<results>/images/{test}/test/images.csv" for test in tests_of(wildcards)]


def images_of_tuning(wildcards):
    return [f"<results>/images/{dataset}/train/images.csv" for dataset in tuning_of(wildcards)]


def replicated(wildcards):
    return [model for models in kinds.replicated_on(wildcards.test, config).values() for model in models]


def metrics_of_replicated(wildcards):
    return paths.scores_in("metrics", [(model, wildcards.test) for model in replicated(wildcards)])
