# The files that the rules' wildcards stand for.
from functools import cache

from frugalseg.study import answers, arms, claims, experiments, lineage, selection_jobs, transfers
from frugalseg import chains
from frugalseg.data.downloads.description import Download, revision
from frugalseg.data.sources import listing
from frugalseg.runtime.fingerprint import fingerprint
from frugalseg.runtime.literals import literals

SEEDED_SELECTORS = [
    name for name, selector in config["selectors"].items() if selector["method"] in chains.SEEDED_METHODS
]
ASKING_SELECTORS = [
    name for name, selector in config["selectors"].items() if selector["method"] in chains.ASKING_METHODS
]
FEATURE_SELECTORS = [name for name in config["selectors"] if name not in SEEDED_SELECTORS + ASKING_SELECTORS]
FOREGROUND_RECIPES = [name for name, recipe in config["recipes"].items() if recipe["target"] == "foreground"]
FLOW_RECIPES = [name for name in config["recipes"] if name not in FOREGROUND_RECIPES]
INTERPOLATED_RECIPES = [name for name, recipe in config["recipes"].items() if "interpolate" in recipe]
UNTRAINED_RECIPES = list(transfers.untrained_recipes(config))
LORA_RECIPES = [name for name, recipe in config["recipes"].items() if "lora" in recipe]
# Datasets of which training images are kept aside, to choose by.
TUNING_DATASETS = arms.tuning_datasets(config)
SCRIPTS = ROOT / "scripts"
IMAGES = ["pixels.npy", "labels.npy", "images.csv"]
PATCHES = ["images.npy", "labels.npy", "flows.npy", "patches.csv"]
MODEL = {"weights": "model.pt", "curve": "log.csv", "description": "model.json"}


def one_of(names):
    # An empty pattern would match anything; a study may lack experiments, widths or recipes of one kind.
    return "|".join(names) or "(?!)"


def in_report(path, caption, category, **labels):
    return report(path, caption=f"../report/{caption}.rst", category=category, labels=labels)


# What a rule's result depends on: the code that its script reaches, and the modules, by functions of the wildcards, that
# it imports by name. Worked out when a job is looked at, since every job starts by reading all rules.
def code_of(script, *by_name):
    return lambda wildcards: fingerprint(SCRIPTS / script, *(name for names in by_name for name in names(wildcards)))


def networks_of(recipes):
    return sorted({f"frugalseg.models.{config['recipes'][name]['arch'].partition('-')[0]}" for name in recipes})


def networks_shown(wildcards):
    return networks_of([config["figures"]["segmentations"]["recipe"]])


def networks_of_table(wildcards):
    return networks_of(experiments.costed_recipes(config["experiments"][wildcards.experiment], config["recipes"]))


def all_words(wildcards):
    return ["frugalseg.reporting.methods", "frugalseg.models", "frugalseg.selection"]


def figures_of(config):
    drawn = [name for name, experiment in config["experiments"].items() if "figure" in experiment]
    drawn += config["widths"]
    drawn += answers.answer_names(config)
    return drawn + [name for name in ("patches", "features", "segmentations") if name in config["figures"]]


def metrics_of_experiment(wildcards):
    return [
        f"<results>/metrics/{entry.recipe}/{entry.chain}/seed{seed}/{test}.csv"
        for entry, seed, test in experiments.requests(config["experiments"][wildcards.experiment])
    ]


def metrics_of_claims(wildcards):
    return [
        f"<results>/metrics/{recipe}/{chain}/seed{seed}/{test}.csv"
        for recipe, chain, seed, test in claims.claim_requests(config["claims"])
    ]


def published_claims(wildcards):
    named = any("tables" in claim.get("published", {}) for claim in config["claims"].values())
    return config["published"] if named else []


def metrics_of_widths(wildcards):
    return [
        f"<results>/metrics/{recipe}/{chain}/seed{seed}/{chain}.csv"
        for recipe, chain, seed in experiments.width_models(config["widths"][wildcards.scan])
    ]


def metrics_of_curve(wildcards):
    block = config["learning_curves"][wildcards.curve]
    return [
        f"<results>/metrics/{recipe}/{chain}/seed{seed}/{block['test']}.csv"
        for recipe, chain, seed in experiments.curve_models(block)
    ]


def coresets_of_curve(wildcards):
    block = config["learning_curves"][wildcards.curve]
    return [coreset_of(block["dataset"], block["selector"], seed) for seed in block["seeds"]]


def scores_of_keeping(kind):
    # Of the kind "metrics", on test images, or "tuning".
    return lambda wildcards: [
        f"<results>/{kind}/{recipe}/{chain}/seed{seed}/{dataset}.csv"
        for (recipe, chain, seed), dataset in arms.keeping_requests(config["keeping"][wildcards.keeping])
    ]


def metrics_of_transfer(wildcards):
    block = config["transfers"][wildcards.transfer]
    return [
        f"<results>/metrics/{recipe}/{chain}/seed{seed}/{test}.csv"
        for (recipe, chain, seed), test in transfers.transfer_requests(block, config["recipes"])
    ]


def recipes_of_transfer(name):
    """The recipes that a transfer matrix follows its chains by."""
    block = config["transfers"][name]
    models = transfers.transfer_models(block, config["recipes"])
    used = {block["recipe"], *(recipe for recipe, _, _ in models)}
    return {recipe: block for recipe, block in config["recipes"].items() if recipe in used}


def published_widths(wildcards):
    return config["widths"][wildcards.scan].get("published", {}).get("file", [])


def coresets_of_figure(figure):
    block = config["figures"].get(figure, {"selectors": []})
    return [coreset_of(block["dataset"], selector, block["seed"]) for selector in block["selectors"]]


def metrics_of_changed(key):
    def metrics(wildcards):
        block = config["figures"]["segmentations"]
        models = dict(zip(("from", "to"), experiments.changed_models(config)))
        if key not in models:
            return []
        recipe, chain, seed = models[key]
        return [f"<results>/metrics/{recipe}/{chain}/seed{seed}/{test}.csv" for test in block["tests"]]

    return metrics


def weights_of_segmentations(wildcards):
    block = config["figures"]["segmentations"]
    models = [(block["recipe"], chain, block["seed"]) for chain in block["chains"]]
    return [weights_of(lineage.trained_as(model, config["recipes"])) for model in models]
