"""What no model can exceed on the test images, with each of the study's settings of masks, from the images."""

import json
from pathlib import Path

from frugalseg.data.ceiling import ceiling_of
from frugalseg.data.stores import open_images
from frugalseg.evaluation.evaluate import segmenter
from frugalseg.runtime.files import write_text
from frugalseg.runtime.logs import record

record(snakemake.log[0])
images = open_images(Path(snakemake.input.images[0]).parent)
known = json.loads(Path(snakemake.input.checks).read_text(encoding="utf-8"))["splits"]["test"]["ceiling"]
found = []
for target, masks in snakemake.params.masks:
    if target == "foreground":
        continue
    settings = segmenter(target, masks).keywords
    if settings not in [each["settings"] for each in found]:
        found.append(known if settings == known["settings"] else ceiling_of(images, **settings))
write_text(json.dumps(found or [known], indent=2) + "\n", snakemake.output[0])
