# Evaluation: a model on the test images of every dataset, and on the training images that were kept aside, in one job,
# since a Python start costs seconds.


rule evaluate:
    input:
        weights=named_weights,
        test=collect("<results>/images/{test}/test/images.csv", test=config["datasets"]),
        tuning=collect("<results>/images/{dataset}/train/images.csv", dataset=TUNING_DATASETS),
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
