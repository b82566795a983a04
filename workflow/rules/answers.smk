# Answers: a question's table, page, words and figure, from the scores of its models. One rule, whatever the kind of question;
# the others write other files of it.


# Rules that use another one do not inherit where they run.
localrules:
    tabulate,
    tabulate_and_draw,
    judge_widths,


rule answer:
    input:
        unpack(inputs_of_question),
    output:
        **table_files("{question}", "question", "Answers", answer="{question}"),
        **figure_files("{question}", "question", "Answers", answer="{question}"),
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
        **table_files("{question}", "question", "Tables", experiment="{question}"),
        tex="<results>/tables/{question}.tex",
    wildcard_constraints:
        question=answered_by("tabulate"),


use rule answer as tabulate_and_draw with:
    output:
        **table_files("{question}", "question", "Tables", experiment="{question}"),
        **figure_files("{question}", "question", "Figures", figure="{question}"),
        tex="<results>/tables/{question}.tex",
    wildcard_constraints:
        question=answered_by("tabulate_and_draw"),


use rule answer as judge_widths with:
    output:
        **table_files("{question}", "question", "Tables", experiment="{question}"),
        **figure_files("{question}", "question", "Figures", figure="{question}"),
        tex="<results>/tables/{question}.tex",
        choices="<results>/widths/{question}/choices.csv",
        accuracy="<results>/widths/{question}/accuracy.csv",
    wildcard_constraints:
        question=answered_by("judge_widths"),
