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
        "<results>/metrics/{recipe}/{chain}/seed{seed}/{test}.csv",
    log:
        "<results>/logs/evaluate/{recipe}/{chain}/seed{seed}-{test}.txt",
    benchmark:
        "<results>/benchmarks/evaluate/{recipe}/{chain}/seed{seed}-{test}.jsonl"
    wildcard_constraints:
        recipe=one_of(FOREGROUND_RECIPES),
        test=one_of(config["datasets"]),


rule tabulate_widths:
    input:
        scores=rules.scan.output.scores,
        networks=rules.scan.output.networks,
        metrics=metrics_of_widths,
        published=published_widths,
    output:
        choices="<results>/widths/{scan}/choices.csv",
        accuracy="<results>/widths/{scan}/accuracy.csv",
        csv="<results>/tables/{scan}.csv",
        markdown="<results>/tables/{scan}.md",
        tex="<results>/tables/{scan}.tex",
        page=in_report("<results>/tables/{scan}.html", "widths", "Tables", experiment="{scan}"),
    log:
        "<results>/logs/tabulate_widths/{scan}.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        block=lookup("{scan}", within=config["widths"]),
        code=code_of("tabulate_widths.py"),
    script:
        "../../scripts/tabulate_widths.py"


rule draw_widths:
    input:
        scores=rules.scan.output.scores,
        networks=rules.scan.output.networks,
        choices=rules.tabulate_widths.output.choices,
        accuracy=rules.tabulate_widths.output.accuracy,
    output:
        png=in_report("<results>/figures/{scan}.png", "widths", "Figures", figure="{scan}"),
        svg="<results>/figures/{scan}.svg",
    log:
        "<results>/logs/draw_widths/{scan}.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        block=lookup("{scan}", within=config["widths"]),
        code=code_of("draw_widths.py"),
    script:
        "../../scripts/draw_widths.py"
