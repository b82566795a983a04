# Reporting: tables, figures and verdicts from the metrics; all of them together make the report.


rule tabulate:
    input:
        metrics=metrics_of_experiment,
        published=lookup("published", within=config, default=[]),
    output:
        csv="<results>/tables/{experiment}.csv",
        markdown="<results>/tables/{experiment}.md",
        page=report(
            "<results>/tables/{experiment}.html",
            caption="../report/table.rst",
            category="Tables",
            labels={"experiment": "{experiment}"},
        ),
        tex="<results>/tables/{experiment}.tex",
    log:
        "<results>/logs/tabulate/{experiment}.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        experiment=lookup("experiments/{experiment}", within=config),
        code=fingerprint(
            "frugalseg.experiments",
            "frugalseg.reporting.tables",
            "frugalseg.reporting.pivots",
        ),
    script:
        "../../scripts/tabulate.py"


rule draw_experiment:
    input:
        rules.tabulate.output.csv,
    output:
        png=report(
            "<results>/figures/{experiment}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{experiment}"},
        ),
        svg="<results>/figures/{experiment}.svg",
    log:
        "<results>/logs/draw_experiment/{experiment}.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        experiment=lookup("experiments/{experiment}", within=config),
        code=fingerprint("frugalseg.reporting"),
    script:
        "../../scripts/draw_experiment.py"


rule draw_patches:
    input:
        coresets=coresets_of_figure("patches"),
        patches=lambda wildcards: f"<results>/patches/{config['figures']['patches']['dataset']}/train/patches.csv",
    output:
        png=report(
            "<results>/figures/patches.png",
            caption="../report/patches.rst",
            category="Figures",
            labels={"figure": "patches"},
        ),
        svg="<results>/figures/patches.svg",
    log:
        "<results>/logs/draw_patches.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        figure=lookup("figures/patches", within=config, default={}),
        bins=lookup("bins", within=config),
        code=fingerprint("frugalseg.reporting"),
    script:
        "../../scripts/draw_patches.py"


rule draw_features:
    input:
        coresets=coresets_of_figure("features"),
        features=lambda wildcards: f"<results>/features/{config['figures']['features']['dataset']}.npy",
    output:
        png=report(
            "<results>/figures/features.png",
            caption="../report/features.rst",
            category="Figures",
            labels={"figure": "features"},
        ),
        svg="<results>/figures/features.svg",
    log:
        "<results>/logs/draw_features.txt",
    conda:
        "../../envs/environment.yaml"
    params:
        figure=lookup("figures/features", within=config, default={}),
        bins=lookup("bins", within=config),
        code=fingerprint("frugalseg.reporting"),
    script:
        "../../scripts/draw_features.py"


rule draw_segmentations:
    input:
        weights=weights_of_segmentations,
        images=lambda wildcards: collect(
            "<results>/images/{test}/test/images.csv",
            test=config["figures"]["segmentations"]["tests"],
        ),
    output:
        png=report(
            "<results>/figures/segmentations.png",
            caption="../report/segmentations.rst",
            category="Figures",
            labels={"figure": "segmentations"},
        ),
        svg="<results>/figures/segmentations.svg",
    log:
        "<results>/logs/draw_segmentations.txt",
    conda:
        "../../envs/environment.yaml"
    params:
        figure=lookup("figures/segmentations", within=config, default={}),
        recipe=lambda wildcards: config["recipes"][config["figures"]["segmentations"]["recipe"]],
        code=fingerprint("frugalseg.reporting", "frugalseg.evaluation"),
    script:
        "../../scripts/draw_segmentations.py"


rule judge_phenomena:
    input:
        metrics_of_phenomena,
    output:
        csv="<results>/tables/phenomena.csv",
        markdown="<results>/tables/phenomena.md",
        page=report(
            "<results>/tables/phenomena.html",
            caption="../report/phenomena.rst",
            category="Tables",
            labels={"experiment": "phenomena"},
        ),
    log:
        "<results>/logs/judge_phenomena.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        phenomena=lookup("phenomena", within=config),
        code=fingerprint("frugalseg.reporting"),
    script:
        "../../scripts/judge_phenomena.py"


rule count_patches:
    input:
        patches=collect("<results>/patches/{dataset}/train/patches.csv", dataset=config["datasets"]),
        descriptions=[
            f"<results>/models/{recipe}/{chain}/seed{seed}/model.json"
            for recipe, chain, seed in experiments.study_models(config)
        ],
    output:
        csv="<results>/tables/patches.csv",
        markdown="<results>/tables/patches.md",
        page=report(
            "<results>/tables/patches.html",
            caption="../report/counts.rst",
            category="Tables",
            labels={"experiment": "patches"},
        ),
    log:
        "<results>/logs/count_patches.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        datasets=list(config["datasets"]),
        min_cells=lookup("patches/min_cells", within=config),
        code=fingerprint("frugalseg.reporting"),
    script:
        "../../scripts/count_patches.py"


rule describe_versions:
    input:
        weights=[
            f"<results>/models/{recipe}/{chain}/seed{seed}/model.pt"
            for recipe, chain, seed in experiments.study_models(config)
        ],
    output:
        markdown="<results>/tables/versions.md",
        page=report(
            "<results>/tables/versions.html",
            caption="../report/versions.rst",
            category="Methods",
            labels={"experiment": "versions"},
        ),
    log:
        "<results>/logs/describe_versions.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    script:
        "../../scripts/describe_versions.py"
