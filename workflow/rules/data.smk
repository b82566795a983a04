# Data: the images of a dataset, checked and normalised, then patches with target flows.


rule prepare:
    input:
        receipts_of_dataset,
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
        dataset=lookup("{dataset}", within=config["datasets"]),
        data_root=lookup("data_root", within=config),
        # Looked at anew once the input is there: images that were fetched in the same run are no change in the next.
        files=lambda wildcards: listing(config["datasets"][wildcards.dataset], config["data_root"]),
        # Not the whole of frugalseg.data: how the files came here does not change what is read from them.
        code=fingerprint(
            "frugalseg.data.prepare",
            "frugalseg.data.sources",
            "frugalseg.data.readers",
            "frugalseg.data.checks",
            "frugalseg.data.decode",
            "frugalseg.data.regions",
            "frugalseg.data.normalize",
            "frugalseg.data.patches",
            "frugalseg.data.stores",
            "frugalseg.data.synthetic",
        ),
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
        aside=lambda wildcards: config["tuning"] if wildcards.dataset in TUNING_DATASETS else 0,
        code=fingerprint("frugalseg.data.patches", "frugalseg.data.aside", "frugalseg.kernels.flows"),
    script:
        "../../scripts/cut.py"
