# What features and orders are made from, by wildcards.


def method(wildcards):
    return [f"frugalseg.selection.{SELECTORS[wildcards.selector]['method']}"]


def receipts_of_weights(wildcards):
    weights = [description for description, block in config["downloads"].items() if not block["datasets"]]
    return [receipt for description in weights for receipt in receipts_of(description)]


# Fail early if a chain asks for more images than a random order has.
@cache
def most_images(dataset):
    sources = [source for _, chain, _ in kinds.study_models(config) for source in chains.parse(chain).sources]
    subsets = [source.subset for source in sources if source.dataset == dataset and source.subset]
    return max((int(subset.number) for subset in subsets if subset.selector in chains.IMAGE_SELECTORS), default=0)


def images_asked_for(wildcards):
    return most_images(wildcards.dataset) if wildcards.selector in chains.IMAGE_SELECTORS else 0


def checkpoint_of(autoencoder):
    return str(Path(autoencoder[0]).parent) if autoencoder else config["features"]["checkpoint"]


def asked_model(wildcards):
    return lineage.trained_as(lineage.asked_model(SELECTORS[wildcards.selector]), RECIPES)


def asked_recipe(wildcards):
    return RECIPES[asked_model(wildcards)[0]]


def asked_weights(wildcards):
    return paths.weights_of(asked_model(wildcards))


def asked_network(wildcards):
    return networks_of([asked_model(wildcards)[0]])


def figure_asked(name):
    """The block of a figure, with the bins that tell how many patches a rate is."""
    return config["figures"].get(name, {}) | {"bins": config["bins"]}
