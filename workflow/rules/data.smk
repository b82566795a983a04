# Data: the images of a dataset, checked and normalised, then patches with target flows.


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
    conda:
        "../../envs/environment.yaml"
    params:
        dataset=lookup("datasets/{dataset}", within=config),
        data_root=lookup("data_root", within=config),
        files=lambda wildcards: listing(config["datasets"][wildcards.dataset], config["data_root"]),
        code=fingerprint("frugalseg.data"),
    script:
        "../../scripts/prepare.py"


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
    conda:
        "../../envs/environment.yaml"
    params:
        patches=lookup("patches", within=config),
        code=fingerprint("frugalseg.data.patches", "frugalseg.kernels.flows"),
    script:
        "../../scripts/cut.py"
