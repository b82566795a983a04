# Evaluation: a model on the test images of every dataset that a question has it scored on, and on the training images that were
# kept aside, in one job, since a Python start costs seconds. What no question asks for is a file without a row.


rule evaluate:
    input:
        weights=named_weights,
        test=images_of_tests,
        tuning=images_of_tuning,
    output:
        test=collect("<results>/metrics/{{recipe}}/{{chain}}/seed{{seed}}/{test}.csv", test=config["datasets"]),
        tuning=collect("<results>/tuning/{{recipe}}/{{chain}}/seed{{seed}}/{dataset}.csv", dataset=TUNING_DATASETS),
    log:
        "<results>/logs/evaluate/{recipe}/{chain}/seed{seed}.txt",
    benchmark:
        "<results>/benchmarks/evaluate/{recipe}/{chain}/seed{seed}.jsonl"
    wildcard_constraints:
        recipe=one_of(FLOW_RECIPES),
    conda:
        "../../envs/environment.yaml"
    params:
        recipe=lookup("{recipe}", within=config["recipes"]),
        aside=lookup("tuning", within=config),
        code=code_of("evaluate.py", network),
    script:
        "../../scripts/evaluate.py"


# What seeds do to the models of a study that have several, which the intervals of its answers know of.
rule summarise_seeds:
    input:
        metrics_of_replicated,
    output:
        "<results>/seed_variance/{test}.csv",
    log:
        "<results>/logs/summarise_seeds/{test}.txt",
    wildcard_constraints:
        test=one_of(config["datasets"]),
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        models=replicated,
        code=code_of("summarise_seeds.py"),
    script:
        "../../scripts/summarise_seeds.py"
