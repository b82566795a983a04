# Evaluation: a model on the test images of every dataset, in one job, since a Python start costs seconds.


rule evaluate:
    input:
        weights=rules.train.output.weights,
        description=rules.train.output.description,
        images=collect("<results>/images/{test}/test/images.csv", test=config["datasets"]),
    output:
        collect(
            "<results>/metrics/{{recipe}}/{{chain}}/seed{{seed}}/{test}.csv",
            test=config["datasets"],
        ),
    log:
        "<results>/logs/evaluate/{recipe}/{chain}/seed{seed}.txt",
    benchmark:
        "<results>/benchmarks/evaluate/{recipe}/{chain}/seed{seed}.jsonl"
    wildcard_constraints:
        recipe=one_of(FLOW_RECIPES),
    conda:
        "../../envs/environment.yaml"
    params:
        recipe=lookup("recipes/{recipe}", within=config),
        code=fingerprint(
            "frugalseg.evaluation",
            "frugalseg.kernels.flows",
            "frugalseg.kernels.overlap",
            "frugalseg.kernels.batch_norm",
        ),
    script:
        "../../scripts/evaluate.py"
