# Training: one rule for every model. A chain names it; its parent chain and the subsets of its last stage make it.
from frugalseg import chains


def parent_weights(wildcards):
    parent = chains.parse(wildcards.chain).parent
    recipe = config["recipes"][wildcards.recipe].get("parent", wildcards.recipe)
    return (
        f"<results>/models/{recipe}/{parent}/seed{wildcards.seed}/model.pt"
        if parent
        else []
    )


def coresets(wildcards):
    return [
        f"<results>/coresets/{source.dataset}/{source.subset.selector}"
        + (
            f"-seed{wildcards.seed}.npz"
            if source.subset.selector in SEEDED_SELECTORS
            else ".npz"
        )
        for source in chains.parse(wildcards.chain).sources
        if source.subset
    ]


def patches_of_stage(split):
    return lambda wildcards: [
        f"<results>/patches/{source.dataset}/{split}/patches.csv"
        for source in chains.parse(wildcards.chain).sources
    ]


rule train:
    input:
        parent=parent_weights,
        coresets=coresets,
        patches=patches_of_stage("train"),
        validation=patches_of_stage("validation"),
    output:
        weights="<results>/models/{recipe}/{chain}/seed{seed}/model.pt",
        curve="<results>/models/{recipe}/{chain}/seed{seed}/log.csv",
        description="<results>/models/{recipe}/{chain}/seed{seed}/model.json",
    log:
        "<results>/logs/train/{recipe}/{chain}/seed{seed}.txt",
    benchmark:
        "<results>/benchmarks/train/{recipe}/{chain}/seed{seed}.jsonl"
    resources:
        gpu=1,
    params:
        recipe=lookup("recipes/{recipe}", within=config),
        bins=lookup("bins", within=config),
        min_cells=lookup("patches/min_cells", within=config),
        # Lives outside the outputs, which Snakemake deletes when a job fails: a killed run goes on from here.
        state=f"results/{config['study']}/state/{{recipe}}/{{chain}}/seed{{seed}}",
        code=lambda wildcards: fingerprint(
            "frugalseg.training",
            f"frugalseg.models.{config['recipes'][wildcards.recipe]['arch']}",
            "frugalseg.kernels.augment",
        ),
    script:
        "../../scripts/train.py"
