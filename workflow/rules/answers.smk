# Answers: what the study says to the person who ran it.


rule answer_how_many:
    input:
        metrics=metrics_of_curve,
        coresets=coresets_of_curve,
        patches=lambda wildcards: f"<results>/patches/{config['learning_curves'][wildcards.curve]['dataset']}/train/patches.csv",
        images=lambda wildcards: f"<results>/images/{config['learning_curves'][wildcards.curve]['dataset']}/train/images.csv",
    output:
        csv="<results>/tables/{curve}.csv",
        markdown="<results>/tables/{curve}.md",
        page=in_report("<results>/tables/{curve}.html", "how_many", "Answers", answer="{curve}"),
        png=in_report("<results>/figures/{curve}.png", "how_many", "Answers", answer="{curve}"),
        svg="<results>/figures/{curve}.svg",
        answer="<results>/answers/{curve}.json",
    log:
        "<results>/logs/answer_how_many/{curve}.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        block=lookup("{curve}", within=config["learning_curves"]),
        bins=lookup("bins", within=config),
        code=code_of("answer_how_many.py"),
    script:
        "../../scripts/answer_how_many.py"


rule answer_keeping:
    input:
        metrics=scores_of_keeping("metrics"),
        tuning=scores_of_keeping("tuning"),
    output:
        csv="<results>/tables/{keeping}.csv",
        markdown="<results>/tables/{keeping}.md",
        page=in_report("<results>/tables/{keeping}.html", "keeping", "Answers", answer="{keeping}"),
        png=in_report("<results>/figures/{keeping}.png", "keeping", "Answers", answer="{keeping}"),
        svg="<results>/figures/{keeping}.svg",
        answer="<results>/answers/{keeping}.json",
    log:
        "<results>/logs/answer_keeping/{keeping}.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        block=lookup("{keeping}", within=config["keeping"]),
        recipes=config["recipes"],
        code=code_of("answer_keeping.py"),
    script:
        "../../scripts/answer_keeping.py"


rule answer_transfers:
    input:
        metrics=metrics_of_transfer,
    output:
        csv="<results>/tables/{transfer}.csv",
        markdown="<results>/tables/{transfer}.md",
        page=in_report("<results>/tables/{transfer}.html", "transfer", "Answers", answer="{transfer}"),
        png=in_report("<results>/figures/{transfer}.png", "transfer", "Answers", answer="{transfer}"),
        svg="<results>/figures/{transfer}.svg",
        answer="<results>/answers/{transfer}.json",
    log:
        "<results>/logs/answer_transfers/{transfer}.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        block=lookup("{transfer}", within=config["transfers"]),
        recipes=lambda wildcards: recipes_of_transfer(wildcards.transfer),
        code=code_of("answer_transfers.py"),
    script:
        "../../scripts/answer_transfers.py"


rule judge_claims:
    input:
        metrics=metrics_of_claims,
        published=published_claims,
    output:
        csv="<results>/tables/verdicts.csv",
        markdown="<results>/tables/verdicts.md",
        page=in_report("<results>/tables/verdicts.html", "verdicts", "Answers", answer="verdicts"),
        png=in_report("<results>/figures/verdicts.png", "verdicts", "Answers", answer="verdicts"),
        svg="<results>/figures/verdicts.svg",
        answer="<results>/answers/verdicts.json",
    log:
        "<results>/logs/judge_claims.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        claims=lookup("claims", within=config),
        code=code_of("judge_claims.py"),
    script:
        "../../scripts/judge_claims.py"
