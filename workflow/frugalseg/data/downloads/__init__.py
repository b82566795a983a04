"""Downloads: the files of a dataset, fetched from its publishers' sites, verified and unpacked.

``description`` says what a file is and where it belongs, ``transfer`` brings it over HTTP, ``archives`` unpacks, and
``fetch`` does all of it for one file and remembers what was trusted on first use.
"""
