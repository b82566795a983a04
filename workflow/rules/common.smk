# The files that the rules' wildcards stand for.
from functools import cache

from frugalseg.study import answers, arms, claims, experiments, lineage, selection_jobs, transfers
from frugalseg import chains
from frugalseg.data.downloads.description import Download, revision
from frugalseg.data.sources import listing
from frugalseg.runtime.fingerprint import fingerprint

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
PATCHES = ["images.npy", "labels.npy", "flows.npy", "patches.csv"]


def one_of(names):
    # An empty pattern would match anything; a study may lack experiments, widths or recipes of one kind.
    return "|".join(names) or "(?!)"


# What a rule's result depends on: the code that its script reaches, and the modules, by functions of the wildcards, that
# it imports by name. Worked out when a job is looked at, since every job starts by reading all rules.
def code_of(script, *by_name):
    return lambda wildcards: fingerprint(SCRIPTS / script, *(name for names in by_name for name in names(wildcards)))


def networks_of(recipes):
    return sorted({f"frugalseg.models.{config['recipes'][name]['arch'].partition('-')[0]}" for name in recipes})


def network(wildcards):
    return networks_of([wildcards.recipe])


def asked_network(wildcards):
    return networks_of([asked_model(wildcards)[0]])


def networks_shown(wildcards):
    return networks_of([config["figures"]["segmentations"]["recipe"]])


def networks_of_table(wildcards):
    return networks_of(experiments.costed_recipes(config["experiments"][wildcards.experiment], config["recipes"]))


def networks_of_scan(wildcards):
    archs = experiments.width_networks(config["widths"][wildcards.scan]).values()
    return sorted({f"frugalseg.models.{arch.partition('-')[0]}" for arch in archs})


def method(wildcards):
    return [f"frugalseg.selection.{config['selectors'][wildcards.selector]['method']}"]


def all_words(wildcards):
    return ["frugalseg.reporting.methods", "frugalseg.models", "frugalseg.selection"]


def reader(wildcards):
    block = config["datasets"][wildcards.dataset]
    return [f"frugalseg.data.readers.{block['reader']}"] if "reader" in block else []


def receipts_of(description):
    return [f"<results>/downloads/{description}/{file}.json" for file in config["downloads"][description]["files"]]


def receipts_of_dataset(wildcards):
    return [
        receipt
        for description, block in config["downloads"].items()
        if wildcards.dataset in block["datasets"]
        for receipt in receipts_of(description)
    ]


def receipts_of_weights(wildcards):
    weights = [description for description, block in config["downloads"].items() if not block["datasets"]]
    return [receipt for description in weights for receipt in receipts_of(description)]


# Snakemake asks for a parameter twice, and by the second time it has taken the old receipt away.
@cache
def revision_of_receipt(description, file):
    block = config["downloads"][description]
    download = Download.of(description, file, block["files"][file], Path(block["root"]))
    return revision(download, Path(f"results/{config['study']}/downloads/{description}/{file}.json"))


def images_to_cut(wildcards):
    # The validation patches watch the training on test images; nothing is chosen by them.
    split = "train" if wildcards.split == "train" else "test"
    return collect(
        "<results>/images/{dataset}/{split}/{file}",
        dataset=wildcards.dataset,
        split=split,
        file=["pixels.npy", "labels.npy", "images.csv"],
    )


def weights_of(model):
    recipe, chain, seed = model
    return f"<results>/models/{recipe}/{chain}/seed{seed}/model.pt"


def named_weights(wildcards):
    return weights_of(lineage.trained_as(model_of(wildcards), config["recipes"]))


def model_of(wildcards):
    return wildcards.recipe, wildcards.chain, int(wildcards.seed)


def parent_of(wildcards):
    return lineage.parent_of(model_of(wildcards), config["recipes"])


def parent_weights(wildcards):
    parent = parent_of(wildcards)
    return weights_of(parent) if parent else []


def child_weights(wildcards):
    return weights_of(lineage.child_of(model_of(wildcards), config["recipes"]))


# An order by lot is checked for them before anything is trained.
@cache
def most_images(dataset):
    sources = [source for _, chain, _ in experiments.study_models(config) for source in chains.parse(chain).sources]
    subsets = [source.subset for source in sources if source.dataset == dataset and source.subset]
    return max((int(subset.number) for subset in subsets if subset.selector in chains.IMAGE_SELECTORS), default=0)


def coreset_of(dataset, selector, seed):
    seeded = f"-seed{seed}" if selector in SEEDED_SELECTORS else ""
    return f"<results>/coresets/{dataset}/{selector}{seeded}.npz"


def asked_model(wildcards):
    asked = lineage.asked(config["selectors"][wildcards.selector])
    return lineage.trained_as(asked, config["recipes"])


def asked_weights(wildcards):
    return weights_of(asked_model(wildcards))


def coresets_of_chain(chain, seed):
    return [
        coreset_of(source.dataset, source.subset.selector, seed)
        for source in chains.parse(chain).sources
        if source.subset
    ]


def patches_of_chain(chain, split):
    return [f"<results>/patches/{source.dataset}/{split}/patches.csv" for source in chains.parse(chain).sources]


def coresets_of_stage(wildcards):
    return coresets_of_chain(wildcards.chain, wildcards.seed)


def patches_of_stage(split):
    return lambda wildcards: patches_of_chain(wildcards.chain, split)


def consolidated_parent(wildcards):
    keep = config["recipes"][wildcards.recipe].get("keep", {})
    return parent_of(wildcards) if keep.get("method") == "ewc" else None


def coresets_of_parent(wildcards):
    parent = consolidated_parent(wildcards)
    return coresets_of_chain(*parent[1:]) if parent else []


def patches_of_parent(wildcards):
    parent = consolidated_parent(wildcards)
    return patches_of_chain(parent[1], "train") if parent else []


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
