# What answers and figures are made from, by wildcards.


def inputs_of_question(wildcards):
    return kinds.inputs_of(wildcards.question, ANSWERS[wildcards.question], config)


def question(wildcards):
    return kinds.asked(wildcards.question, ANSWERS[wildcards.question], config)


# The module that answers, and the networks whose costs it counts.
def answering(wildcards):
    block = ANSWERS[wildcards.question]
    costed = costed_recipes(block, RECIPES) if block["kind"] == "experiment" else []
    return [f"frugalseg.answers.{kinds.KINDS[block['kind']].answer}", *networks_of(costed)]


def all_words(wildcards):
    return ["frugalseg.reporting.methods", "frugalseg.models", "frugalseg.selection"]


def coresets_of_figure(figure):
    block = config["figures"].get(figure, {"selectors": []})
    return [paths.coreset_of(block["dataset"], name, block["seed"], SELECTORS) for name in block["selectors"]]


def weights_of_segmentations(wildcards):
    return [paths.weights_of(model) for model in figures.segmented_models(config)]


def networks_shown(wildcards):
    return networks_of([config["figures"]["segmentations"]["recipe"]])


# They choose the images, where those that changed most are asked for: the models before (0) and after (1).
def metrics_of_changed(number):
    models = figures.changed_models(config)[number : number + 1]
    return paths.scores_in("metrics", [score for score in figures.changed_scores(config) if score[0] in models])


# Those of all models and of their parents.
def recipes_to_measure():
    names = [recipe for recipe, _, _ in kinds.study_models(config)]
    return {name: RECIPES[name] for recipe in names for name in (recipe, RECIPES[recipe].get("parent", recipe))}
