# Coresets: features of the patches, then the order in which a selector takes them. A rate is a prefix of the order.


# One a dataset, from its own patches: a dataset that is added never changes another's coresets.
rule pretrain_autoencoder:
    input:
        multiext("<results>/patches/{dataset}/train/", *PATCHES),
    output:
        multiext("<results>/mae/{dataset}/", "config.json", "model.safetensors", "preprocessor_config.json"),
    log:
        "<results>/logs/pretrain_autoencoder/{dataset}.txt",
    benchmark:
        "<results>/benchmarks/pretrain_autoencoder/{dataset}.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 2
    params:
        pretraining=lookup("features/pretraining", within=config),
        code=code_of("pretrain_autoencoder.py"),
    script:
        "../../scripts/pretrain_autoencoder.py"


rule embed:
    input:
        # A checkpoint from elsewhere is no file of the workflow: a dry run need not find it.
        autoencoder=[] if "checkpoint" in config["features"] else rules.pretrain_autoencoder.output,
        weights=receipts_of_weights,
        patches=collect("<results>/patches/{{dataset}}/train/{file}", file=PATCHES),
    output:
        features="<results>/features/{dataset}.npy",
        patches="<results>/features/{dataset}.csv",
    log:
        "<results>/logs/embed/{dataset}.txt",
    benchmark:
        "<results>/benchmarks/embed/{dataset}.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        checkpoint=lambda wildcards, input: checkpoint_of(input.autoencoder),
        pooling=lookup("features/pooling", within=config),
        mask_ratio=lookup("features/mask_ratio", within=config),
        batch=lookup("features/batch", within=config),
        code=code_of("embed.py"),
    script:
        "../../scripts/embed.py"


rule select:
    input:
        features=rules.embed.output.features,
        patches=rules.embed.output.patches,
    output:
        "<results>/coresets/{dataset}/{selector}.npz",
    log:
        "<results>/logs/select/{dataset}-{selector}.txt",
    benchmark:
        "<results>/benchmarks/select/{dataset}-{selector}.jsonl"
    wildcard_constraints:
        selector=one_of(FEATURE_SELECTORS),
    conda:
        "../../envs/environment.yaml"
    params:
        selector=lookup("{selector}", within=SELECTORS),
        bins=lookup("bins", within=config),
        code=code_of("select.py", method),
    script:
        "../../scripts/select.py"


# Orders by chance need no features: one a seed.
use rule select as shuffle with:
    input:
        patches="<results>/patches/{dataset}/train/patches.csv",
    output:
        "<results>/coresets/{dataset}/{selector}-seed{seed}.npz",
    log:
        "<results>/logs/shuffle/{dataset}-{selector}-seed{seed}.txt",
    benchmark:
        "<results>/benchmarks/shuffle/{dataset}-{selector}-seed{seed}.jsonl"
    wildcard_constraints:
        selector=one_of(SEEDED_SELECTORS),
    params:
        selector=lookup("{selector}", within=SELECTORS),
        bins=lookup("bins", within=config),
        images=images_asked_for,
        code=code_of("select.py", method),


# The patches that a model of the study is most uncertain of come first.
rule rank_by_uncertainty:
    input:
        weights=asked_weights,
        patches=collect("<results>/patches/{{dataset}}/train/{file}", file=PATCHES),
    output:
        "<results>/coresets/{dataset}/{selector}.npz",
    log:
        "<results>/logs/rank_by_uncertainty/{dataset}-{selector}.txt",
    benchmark:
        "<results>/benchmarks/rank_by_uncertainty/{dataset}-{selector}.jsonl"
    wildcard_constraints:
        selector=one_of(ASKING_SELECTORS),
    conda:
        "../../envs/environment.yaml"
    params:
        selector=lookup("{selector}", within=SELECTORS),
        recipe=asked_recipe,
        code=code_of("rank_by_uncertainty.py", asked_network, method),
    script:
        "../../scripts/rank_by_uncertainty.py"
