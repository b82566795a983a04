# What downloads, images and patches are made from, by wildcards.


def receipts_of(description):
    return [f"<results>/downloads/{description}/{file}.json" for file in config["downloads"][description]["files"]]


# Snakemake does not compare functions of the output with those of the last run: another mirror makes no other images.
def root_of_download(wildcards, output):
    return config["downloads"][wildcards.description]["root"]


def address_of_download(wildcards, output):
    return config["downloads"][wildcards.description]["files"][wildcards.file]


# Data that were taken away after they were fetched are fetched again.
def revision_of_receipt(wildcards):
    return revision_of(wildcards.description, wildcards.file)


# Snakemake asks for a parameter twice, and by the second time it has taken the old receipt away.
@cache
def revision_of(description, file):
    block = config["downloads"][description]
    download = Download.of(description, file, block["files"][file], Path(block["root"]))
    return revision(download, Path(f"results/{config['study']}/downloads/{description}/{file}.json"))


def reader(wildcards):
    block = config["datasets"][wildcards.dataset]
    return [f"frugalseg.data.readers.{block['reader']}"] if "reader" in block else []


def receipts_of_dataset(wildcards):
    return [
        receipt
        for description, block in config["downloads"].items()
        if wildcards.dataset in block["datasets"]
        for receipt in receipts_of(description)
    ]


def images_to_cut(wildcards):
    # The validation patches watch the training on test images; nothing is chosen by them.
    split = "train" if wildcards.split == "train" else "test"
    return multiext(f"<results>/images/{wildcards.dataset}/{split}/", *IMAGES)


def images_kept_aside(wildcards):
    return config["tuning"] if wildcards.dataset in TUNING_DATASETS else 0


def files_of_dataset(wildcards):
    return listing(config["datasets"][wildcards.dataset], config["data_root"])


# What the networks of the study's recipes put out, and how cells are made of it.
def settings_of_masks(wildcards):
    return [[recipe["target"], recipe.get("masks")] for recipe in config["recipes"].values()]
