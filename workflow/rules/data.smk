# Data: the images of a dataset, checked and normalised, then patches with target flows.


rule prepare:
    input:
        receipts_of_dataset,
    output:
        train=multiext("<results>/images/{dataset}/train/", *IMAGES),
        test=multiext("<results>/images/{dataset}/test/", *IMAGES),
        checks="<results>/images/{dataset}/checks.json",
    log:
        "<results>/logs/prepare/{dataset}.txt",
    conda:
        "../../envs/environment.yaml"
    params:
        dataset=lookup("{dataset}", within=config["datasets"]),
        data_root=lookup("data_root", within=config),
        # Read again once the input is there, so images fetched in this run are no change in the next.
        files=files_of_dataset,
        code=code_of("prepare.py", reader),
    script:
        "../../scripts/prepare.py"


rule find_ceiling:
    input:
        images=multiext("<results>/images/{dataset}/test/", *IMAGES),
        checks="<results>/images/{dataset}/checks.json",
    output:
        "<results>/images/{dataset}/ceiling.json",
    log:
        "<results>/logs/find_ceiling/{dataset}.txt",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        masks=settings_of_masks,
        code=code_of("find_ceiling.py"),
    script:
        "../../scripts/find_ceiling.py"


rule cut:
    input:
        images_to_cut,
    output:
        multiext("<results>/patches/{dataset}/{split}/", *PATCHES),
    log:
        "<results>/logs/cut/{dataset}-{split}.txt",
    conda:
        "../../envs/environment.yaml"
    params:
        patches=lookup("patches", within=config),
        aside=images_kept_aside,
        code=code_of("cut.py"),
    script:
        "../../scripts/cut.py"
