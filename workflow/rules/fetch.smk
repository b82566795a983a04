# Downloads: the files of datasets and weights, fetched, verified and unpacked below data_root. The output of the rule is a
# receipt, not the data: Snakemake deletes the outputs of a job that it runs again, and these took hours, or a form filled in
# by hand. Existing files are accepted; nothing is downloaded again.


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
