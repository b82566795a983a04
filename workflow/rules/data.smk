# Data: the images of a dataset, checked and normalised, then patches with target flows.
from frugalseg.data.sources import listing
from frugalseg.fingerprint import fingerprint


rule prepare:
    output:
        train=multiext(
            "<results>/images/{dataset}/train/",
            "pixels.npy",
            "labels.npy",
            "images.csv",
        ),
        test=multiext(
            "<results>/images/{dataset}/test/",
            "pixels.npy",
            "labels.npy",
            "images.csv",
        ),
        checks="<results>/images/{dataset}/checks.json",
    log:
        "<results>/logs/prepare/{dataset}.txt",
    params:
        dataset=lookup("datasets/{dataset}", within=config),
        data_root=lookup("data_root", within=config),
        files=lambda wildcards: listing(
            config["datasets"][wildcards.dataset], config["data_root"]
        ),
        code=fingerprint("frugalseg.data"),
    script:
        "../../scripts/prepare.py"


def images_to_cut(wildcards):
    # The validation patches watch the training on test images; nothing is chosen by them.
    split = "train" if wildcards.split == "train" else "test"
    return collect(
        "<results>/images/{dataset}/{split}/{file}",
        dataset=wildcards.dataset,
        split=split,
        file=["pixels.npy", "labels.npy", "images.csv"],
    )


rule cut:
    input:
        images_to_cut,
    output:
        multiext(
            "<results>/patches/{dataset}/{split}/",
            "images.npy",
            "labels.npy",
            "flows.npy",
            "patches.csv",
        ),
    log:
        "<results>/logs/cut/{dataset}-{split}.txt",
    params:
        patches=lookup("patches", within=config),
        code=fingerprint("frugalseg.data.patches", "frugalseg.kernels.flows"),
    script:
        "../../scripts/cut.py"
