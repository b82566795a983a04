# Answers: a question's table, page, words and figure, from the scores of its models. One rule, whatever the kind of question;
# the others write other files of it.


rule answer:
    input:
        unpack(inputs_of_question),
    output:
        csv="<results>/tables/{question}.csv",
        markdown="<results>/tables/{question}.md",
        page=in_report("<results>/tables/{question}.html", "question", "Answers", answer="{question}"),
        png=in_report("<results>/figures/{question}.png", "question", "Answers", answer="{question}"),
        svg="<results>/figures/{question}.svg",
        answer="<results>/answers/{question}.json",
    log:
        "<results>/logs/answer/{question}.txt",
    wildcard_constraints:
        question=answered_by("answer"),
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        asked=question,
        code=code_of("answer.py", answering),
    script:
        "../../scripts/answer.py"


use rule answer as tabulate with:
    output:
        csv="<results>/tables/{question}.csv",
        markdown="<results>/tables/{question}.md",
        tex="<results>/tables/{question}.tex",
        page=in_report("<results>/tables/{question}.html", "question", "Tables", experiment="{question}"),
    wildcard_constraints:
        question=answered_by("tabulate"),


use rule answer as tabulate_and_draw with:
    output:
        csv="<results>/tables/{question}.csv",
        markdown="<results>/tables/{question}.md",
        tex="<results>/tables/{question}.tex",
        page=in_report("<results>/tables/{question}.html", "question", "Tables", experiment="{question}"),
        png=in_report("<results>/figures/{question}.png", "question", "Figures", figure="{question}"),
        svg="<results>/figures/{question}.svg",
    wildcard_constraints:
        question=answered_by("tabulate_and_draw"),


use rule answer as judge_widths with:
    output:
        csv="<results>/tables/{question}.csv",
        markdown="<results>/tables/{question}.md",
        tex="<results>/tables/{question}.tex",
        choices="<results>/widths/{question}/choices.csv",
        accuracy="<results>/widths/{question}/accuracy.csv",
        page=in_report("<results>/tables/{question}.html", "question", "Tables", experiment="{question}"),
        png=in_report("<results>/figures/{question}.png", "question", "Figures", figure="{question}"),
        svg="<results>/figures/{question}.svg",
    wildcard_constraints:
        question=answered_by("judge_widths"),
