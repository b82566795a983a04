# Widths: scores of untrained networks at every width, what they choose, and the same networks trained.


rule scan:
    input:
        images=images_of_scan,
    output:
        scores="<results>/widths/{scan}/scores.csv",
        networks="<results>/widths/{scan}/networks.csv",
    log:
        "<results>/logs/scan/{scan}.txt",
    benchmark:
        "<results>/benchmarks/scan/{scan}.jsonl"
    wildcard_constraints:
        scan=answered_by("judge_widths"),
    conda:
        "../../envs/environment.yaml"
    threads: 2
    params:
        block=block_of_scan,
        archs=archs_of_scan,
        code=code_of("scan.py", networks_of_scan),
    script:
        "../../scripts/scan.py"


# Foreground networks are scored on the dataset they were trained on, and on no other.
use rule evaluate as evaluate_width with:
    input:
        weights=rules.train.output.weights,
        description=rules.train.output.description,
        test=["<results>/images/{test}/test/images.csv"],
        tuning=[],
    output:
        test=["<results>/metrics/{recipe}/{chain}/seed{seed}/{test}.csv"],
        tuning=[],
    log:
        "<results>/logs/evaluate/{recipe}/{chain}/seed{seed}-{test}.txt",
    benchmark:
        "<results>/benchmarks/evaluate/{recipe}/{chain}/seed{seed}-{test}.jsonl"
    wildcard_constraints:
        recipe=one_of(FOREGROUND_RECIPES),
        test=one_of(config["datasets"]),
