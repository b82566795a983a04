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
        code=code_of("prepare.py", reader),
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
        code=code_of("cut.py"),
    script:
        "../../scripts/cut.py"
