# Downloads: the files of datasets and weights, fetched, verified and unpacked below data_root. The data are no output of a
# rule: Snakemake deletes the outputs of a job that it runs again, and these took hours, or a form filled in by hand. The
# output is a receipt. What is in place already is accepted as it is, and the network is not touched for it.


rule fetch_file:
    output:
        "<results>/downloads/{description}/{file}.json",
    log:
        "<results>/logs/fetch_file/{description}/{file}.txt",
    wildcard_constraints:
        file="[^/]+",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        root=root_of_download,
        download=address_of_download,
        revision=revision_of_receipt,
    script:
        "../../scripts/fetch.py"


rule fetch:
    input:
        [receipt for description in config["downloads"] for receipt in receipts_of(description)],
    localrule: True
