# Reporting: figures that show no table, what the study was made of, and the one page that opens it all.


rule draw_patches:
    input:
        coresets=coresets_of_figure("patches"),
        patches=lambda wildcards: f"<results>/patches/{config['figures']['patches']['dataset']}/train/patches.csv",
    output:
        **figure_files("patches", "patches", "Figures", figure="patches"),
    log:
        "<results>/logs/draw_patches.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        figure=figure_asked("patches"),
        code=code_of("draw_patches.py"),
    script:
        "../../scripts/draw_patches.py"


rule draw_features:
    input:
        coresets=coresets_of_figure("features"),
        features=lambda wildcards: f"<results>/features/{config['figures']['features']['dataset']}.npy",
    output:
        **figure_files("features", "features", "Figures", figure="features"),
    log:
        "<results>/logs/draw_features.txt",
    conda:
        "../../envs/environment.yaml"
    params:
        figure=figure_asked("features"),
        code=code_of("draw_features.py"),
    script:
        "../../scripts/draw_features.py"


rule draw_segmentations:
    input:
        weights=weights_of_segmentations,
        images=lambda wildcards: collect(
            "<results>/images/{test}/test/images.csv",
            test=config["figures"]["segmentations"]["tests"],
        ),
        before=metrics_of_changed(0),
        after=metrics_of_changed(1),
    output:
        **figure_files("segmentations", "segmentations", "Figures", figure="segmentations"),
    log:
        "<results>/logs/draw_segmentations.txt",
    conda:
        "../../envs/environment.yaml"
    params:
        figure=lookup("figures/segmentations", within=config, default={}),
        recipe=lambda wildcards: RECIPES[config["figures"]["segmentations"]["recipe"]],
        code=code_of("draw_segmentations.py", networks_shown),
    script:
        "../../scripts/draw_segmentations.py"


rule count_patches:
    input:
        patches=collect("<results>/patches/{dataset}/train/patches.csv", dataset=config["datasets"]),
        descriptions=collect("{model}/model.json", model=MODELS),
        checks=collect("<results>/images/{dataset}/checks.json", dataset=config["datasets"]),
        ceilings=collect("<results>/images/{dataset}/ceiling.json", dataset=config["datasets"]),
    output:
        **table_files("patches", "counts", "Tables", experiment="patches"),
    log:
        "<results>/logs/count_patches.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        datasets=list(config["datasets"]),
        min_cells=lookup("patches/min_cells", within=config),
        code=code_of("count_patches.py"),
    script:
        "../../scripts/count_patches.py"


rule describe_versions:
    input:
        # What made the study: this comes last.
        tables=collect("<results>/tables/{table}.csv", table=TABLES),
    output:
        markdown="<results>/tables/versions.md",
        page=in_report("<results>/tables/versions.html", "versions", "Methods", experiment="versions"),
    log:
        "<results>/logs/describe_versions.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    script:
        "../../scripts/describe_versions.py"


rule describe_methods:
    output:
        markdown="<results>/tables/methods.md",
        page=in_report("<results>/tables/methods.html", "methods", "Methods", experiment="methods"),
    log:
        "<results>/logs/describe_methods.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        study=lambda wildcards: config,
        code=code_of("describe_methods.py", all_words),
    script:
        "../../scripts/describe_methods.py"


# Also made by `make plan`, before the study; on a cluster it is a job like those that it stands for.
rule measure_throughput:
    output:
        "<results>/throughput.json",
    log:
        "<results>/logs/measure_throughput.txt",
    priority: 1
    conda:
        "../../envs/environment.yaml"
    params:
        recipes=recipes_to_measure(),
        features=lookup("features", within=config),
    script:
        "../../scripts/measure_throughput.py"


# Once the tables are there, so are descriptions of models and benchmarks, which are read too.
rule describe_costs:
    input:
        throughput="<results>/throughput.json",
        tables=collect("<results>/tables/{table}.csv", table=TABLES),
    output:
        **table_files("costs", "costs", "Methods", experiment="costs"),
    log:
        "<results>/logs/describe_costs.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        code=code_of("describe_costs.py"),
    script:
        "../../scripts/describe_costs.py"


rule write_answers_page:
    input:
        answers=collect("<results>/answers/{answer}.json", answer=kinds.in_words(config)),
        tables=collect("<results>/tables/{table}.md", table=[*TABLES, *METHODS]),
        png=collect("<results>/figures/{figure}.png", figure=FIGURES),
        svg=collect("<results>/figures/{figure}.svg", figure=FIGURES),
        template=workflow.source_path("../report/answers.html.jinja"),
    output:
        in_report("<results>/answers.html", "answers", "Answers", answer="all on one page"),
    log:
        "<results>/logs/write_answers_page.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        study=lambda wildcards: config,
        code=code_of("write_answers_page.py"),
    script:
        "../../scripts/write_answers_page.py"


rule describe_provenance:
    input:
        page="<results>/answers.html",
        tables=collect("<results>/tables/{table}.{kind}", table=TABLES, kind=["csv", "md"]),
        figures=collect("<results>/figures/{figure}.{kind}", figure=FIGURES, kind=["png", "svg"]),
        weights=collect("{model}/model.pt", model=MODELS),
        descriptions=collect("{model}/model.json", model=MODELS),
    output:
        crate="<results>/ro-crate-metadata.json",
        records=[
            *collect("<results>/tables/{table}.json", table=TABLES),
            *collect("<results>/figures/{figure}.json", figure=FIGURES),
        ],
    log:
        "<results>/logs/describe_provenance.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        datasets=lookup("datasets", within=config),
        code=code_of("describe_provenance.py"),
    script:
        "../../scripts/describe_provenance.py"
