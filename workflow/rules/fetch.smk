# Downloads: the files of datasets and weights, fetched, verified and unpacked below data_root. The data are no output of a
# rule: Snakemake deletes the outputs of a job that it runs again, and these took hours, or a form filled in by hand. The
# output is a receipt. What is in place already is accepted as it is, and the network is not touched for it.


rule fetch_file:
    output:
        "<results>/downloads/{description}/{file}.json",
    log:
        "<results>/logs/fetch_file/{description}/{file}.txt",
    wildcard_constraints:
        description=one_of(config["downloads"]),
        file="[^/]+",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        # Functions of the output are not compared with those of the last run: another mirror makes no other images.
        root=lambda wildcards, output: config["downloads"][wildcards.description]["root"],
        download=lambda wildcards, output: config["downloads"][wildcards.description]["files"][wildcards.file],
        # Data that were taken away after they were fetched are fetched again.
        revision=lambda wildcards: revision_of_receipt(wildcards.description, wildcards.file),
    script:
        "../../scripts/fetch.py"


rule fetch:
    input:
        [receipt for description in config["downloads"] for receipt in receipts_of(description)],
    localrule: True
