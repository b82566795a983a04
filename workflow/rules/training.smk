# Training: one rule for every model. A chain names it; its parent chain and the subsets of its last stage make it.


rule train:
    input:
        parent=parent_weights,
        coresets=coresets_of_stage,
        patches=patches_of_stage("train"),
        validation=patches_of_stage("validation"),
        # Elastic weight consolidation asks how much the parent's own patches need each weight.
        parent_coresets=coresets_of_parent,
        parent_patches=patches_of_parent,
    output:
        multiext("<results>/models/{recipe}/{chain}/seed{seed}/", **MODEL),
    log:
        "<results>/logs/train/{recipe}/{chain}/seed{seed}.txt",
    benchmark:
        "<results>/benchmarks/train/{recipe}/{chain}/seed{seed}.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        config=stage_config,
        # Not an output: Snakemake deletes outputs when a job fails, and a killed run goes on from here.
        state=f"results/{config['study']}/state/{{recipe}}/{{chain}}/seed{{seed}}",
        code=code_of("train.py", network, way_of_keeping),
    script:
        "../../scripts/train.py"


# Low-rank adapters are also kept alone, beside the model that they were merged into.
use rule train as train_adapters with:
    output:
        multiext("<results>/models/{recipe}/{chain}/seed{seed}/", **MODEL, adapters="adapters.pt"),
    log:
        "<results>/logs/train_adapters/{recipe}/{chain}/seed{seed}.txt",
    benchmark:
        "<results>/benchmarks/train/{recipe}/{chain}/seed{seed}.jsonl"
    wildcard_constraints:
        recipe=one_of(LORA_RECIPES),


# Between a parent and its child: nothing is trained, so a sweep of alpha costs no more than its evaluation.
rule interpolate:
    input:
        parent=parent_weights,
        child=child_weights,
    output:
        multiext("<results>/models/{recipe}/{chain}/seed{seed}/", **MODEL),
    log:
        "<results>/logs/interpolate/{recipe}/{chain}/seed{seed}.txt",
    benchmark:
        "<results>/benchmarks/train/{recipe}/{chain}/seed{seed}.jsonl"
    wildcard_constraints:
        recipe=one_of(INTERPOLATED_RECIPES),
    conda:
        "../../envs/environment.yaml"
    params:
        config=stage_config,
        code=code_of("interpolate.py"),
    script:
        "../../scripts/interpolate.py"


# A network before its first step: the chance level of a transfer matrix.
rule initialise:
    input:
        coresets=coresets_of_stage,
        patches=patches_of_stage("train"),
    output:
        multiext("<results>/models/{recipe}/{chain}/seed{seed}/", **MODEL),
    log:
        "<results>/logs/initialise/{recipe}/{chain}/seed{seed}.txt",
    benchmark:
        "<results>/benchmarks/train/{recipe}/{chain}/seed{seed}.jsonl"
    wildcard_constraints:
        recipe=one_of(UNTRAINED_RECIPES),
    conda:
        "../../envs/environment.yaml"
    params:
        config=stage_config,
        code=code_of("initialise.py", network),
    script:
        "../../scripts/initialise.py"


ruleorder: initialise > interpolate > train_adapters > train
