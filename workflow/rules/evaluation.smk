# Evaluation: a model on the test images of every dataset, and on the training images that were kept aside, in one job,
# since a Python start costs seconds.


rule evaluate:
    input:
        weights=named_weights,
        test=collect("<results>/images/{test}/test/images.csv", test=config["datasets"]),
        tuning=collect("<results>/images/{dataset}/train/images.csv", dataset=TUNING_DATASETS),
    output:
        test=collect(
            "<results>/metrics/{{recipe}}/{{chain}}/seed{{seed}}/{test}.csv",
            test=config["datasets"],
        ),
        tuning=collect(
            "<results>/tuning/{{recipe}}/{{chain}}/seed{{seed}}/{dataset}.csv",
            dataset=TUNING_DATASETS,
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
        recipe=lambda wildcards: config["recipes"][wildcards.recipe],
        aside=lookup("tuning", within=config),
        code=fingerprint(
            # Not the whole of frugalseg.evaluation: what is made of the metrics later does not change them.
            "frugalseg.data.aside",
            "frugalseg.evaluation.evaluate",
            "frugalseg.evaluation.prediction",
            "frugalseg.evaluation.windows",
            "frugalseg.evaluation.samples",
            "frugalseg.evaluation.foreground",
            "frugalseg.evaluation.metrics",
            "frugalseg.evaluation.boundaries",
            "frugalseg.kernels.flows",
            "frugalseg.kernels.overlap",
            "frugalseg.kernels.batch_norm",
        ),
    script:
        "../../scripts/evaluate.py"
