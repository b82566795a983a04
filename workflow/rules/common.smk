# What the rules' wildcards stand for, and the code that results depend on. What files are made from stands in inputs/.
from functools import cache

from frugalseg import chains
from frugalseg.data.downloads.description import Download, revision
from frugalseg.data.sources import listing
from frugalseg.runtime.fingerprint import fingerprint
from frugalseg.runtime.literals import literals
from frugalseg.study import figures, kinds, lineage, paths
from frugalseg.study.kinds.experiment import costed_recipes
from frugalseg.study.kinds.widths import width_networks
from frugalseg.study.recipe import trained_by

RECIPES, SELECTORS = config["recipes"], config["selectors"]
# Every answer by name, with the question that it answers; all claims together are one, the verdicts.
ANSWERS = kinds.asked_of(config)
TABLES = [*ANSWERS, "patches"]
# What the tables depend on, and words about it: the last to be made.
METHODS = ["methods", "costs", "versions"]
FIGURES = [*(name for name, block in ANSWERS.items() if kinds.rule_of(block) != "tabulate"), *config["figures"]]
MODELS = [paths.folder_of("models", model) for model in kinds.study_models(config)]
# Datasets of which training images are kept aside, to choose by.
TUNING_DATASETS = kinds.tuning_datasets(config)
# What questions have every model scored on.
SCORED_ON, TUNED_ON = kinds.scored_on(config), kinds.tuned_on(config)
SEEDED_SELECTORS = [name for name, selector in SELECTORS.items() if selector["method"] in chains.SEEDED_METHODS]
ASKING_SELECTORS = [name for name, selector in SELECTORS.items() if selector["method"] in chains.ASKING_METHODS]
FEATURE_SELECTORS = [name for name in SELECTORS if name not in SEEDED_SELECTORS + ASKING_SELECTORS]
FOREGROUND_RECIPES = [name for name, recipe in RECIPES.items() if recipe["target"] == "foreground"]
FLOW_RECIPES = [name for name in RECIPES if name not in FOREGROUND_RECIPES]
INTERPOLATED_RECIPES = [name for name, recipe in RECIPES.items() if "interpolate" in recipe]
UNTRAINED_RECIPES = [name for name, recipe in RECIPES.items() if recipe.get("steps") == 0]
LORA_RECIPES = [name for name, recipe in RECIPES.items() if "lora" in recipe]
SCRIPTS = ROOT / "scripts"
IMAGES = ["pixels.npy", "labels.npy", "images.csv"]
PATCHES = ["images.npy", "labels.npy", "flows.npy", "patches.csv"]
MODEL = {"weights": "model.pt", "curve": "log.csv", "description": "model.json"}


def one_of(names):
    # An empty pattern would match anything; a study may lack questions or recipes of one kind.
    return "|".join(names) or "(?!)"


# The answers that a rule writes.
def answered_by(rule):
    return one_of([name for name, block in ANSWERS.items() if kinds.rule_of(block) == rule])


def in_report(path, caption, category, **labels):
    return report(path, caption=f"../report/{caption}.rst", category=category, labels=labels)


# The files of a table and of a figure, by what the report calls them.
def table_files(name, caption, category, **labels):
    page = in_report(f"<results>/tables/{name}.html", caption, category, **labels)
    return {"csv": f"<results>/tables/{name}.csv", "markdown": f"<results>/tables/{name}.md", "page": page}


def figure_files(name, caption, category, **labels):
    png = in_report(f"<results>/figures/{name}.png", caption, category, **labels)
    return {"png": png, "svg": f"<results>/figures/{name}.svg"}


# What a rule's result depends on: the code that its script reaches, and the modules, by functions of the wildcards, that
# it imports by name. Worked out when a job is looked at, since every job starts by reading all rules.
def code_of(script, *by_name):
    return lambda wildcards: fingerprint(SCRIPTS / script, *(name for names in by_name for name in names(wildcards)))


def modules_of(archs):
    return sorted({f"frugalseg.models.{arch.partition('-')[0]}" for arch in archs})


def networks_of(recipes):
    return modules_of(RECIPES[name]["arch"] for name in recipes)
