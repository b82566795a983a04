"""Damaged files: each is read or refused with its name; no traceback of another kind, no hang, no memory without bound.

FRUGALSEG_FUZZ files of each format are tried, 40 without it; `FRUGALSEG_FUZZ=2000 pytest tests/unit/test_fuzz.py` takes
some minutes.
"""

import io
import json
import os
import resource
import signal

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools import mask

from frugalseg.data.checks import DataError
from frugalseg.data.decode import read_image, read_label_image
from frugalseg.data.labels import cells_of
from frugalseg.data.readers import Sample, bbbc038, coco, monuseg, nnunet

FILES = int(os.environ.get("FRUGALSEG_FUZZ", "40"))
SECONDS, MEMORY = 10, 2 * 1024**3
RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 255, (48, 64), dtype=np.uint8)
LABELS = np.zeros((48, 64), np.uint16)
LABELS[4:20, 4:20], LABELS[25:40, 30:60] = 1, 2


def encoded(array, kind, **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def annotations():
    objects = [
        {"id": 1, "image_id": 1, "iscrowd": 0, "segmentation": [[2, 2, 12, 2, 12, 12, 2, 12]]},
        {"id": 2, "image_id": 1, "iscrowd": 0, "segmentation": {"size": [48, 64], "counts": [960, 20, 28, 20, 2044]}},
        {
            "id": 3,
            "image_id": 1,
            "iscrowd": 0,
            "segmentation": {
                "size": [48, 64],
                "counts": mask.encode(np.asfortranarray(LABELS == 1))["counts"].decode(),
            },
        },
    ]
    image = {"id": 1, "file_name": "a.png", "height": 48, "width": 64}
    return json.dumps({"images": [image], "annotations": objects}).encode()


OUTLINES = b"""<?xml version="1.0"?><Annotations MicronsPerPixel="0.25"><Annotation Id="1"><Regions>
<Region Id="1" Type="0" NegativeROA="0"><Vertices><Vertex X="2.5" Y="3"/><Vertex X="20" Y="3"/><Vertex X="20" Y="30"/>
</Vertices></Region><Region Id="2" Type="2"><Vertices><Vertex X="30" Y="30"/><Vertex X="50" Y="45"/></Vertices></Region>
</Regions></Annotation></Annotations>"""
NIFTI = nibabel.Nifti1Image(LABELS.astype(np.int16).T[..., None], np.eye(4)).to_bytes()
DESCRIPTION = json.dumps(
    {"channel_names": {"0": "a"}, "labels": {"background": 0, "a": 1, "b": 2}, "numTraining": 1, "file_ending": ".nii"}
).encode()
TABLE = b"ImageId,EncodedPixels,Height,Width,Usage\na,1 5 60 7,48,64,Public\na,200 9,48,64,Public\n"

SOUND = {
    "png": [encoded(PICTURE, "PNG"), encoded(np.stack([PICTURE] * 3, 2), "PNG"), encoded(LABELS, "PNG")],
    "jpg": [encoded(PICTURE, "JPEG"), encoded(np.stack([PICTURE] * 3, 2), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0")],
    "tif": [
        tiff(PICTURE),
        tiff(LABELS, compression="deflate"),
        tiff(np.stack([PICTURE] * 3), photometric="minisblack", ome=True, metadata={"axes": "CYX"}),
        tiff(np.stack([LABELS] * 2), imagej=True, metadata={"axes": "CYX"}),
        tiff(np.stack([PICTURE] * 3, 2), compression="lzw", tile=(16, 16)),
    ],
    "npy": [npy(LABELS), npy(np.stack([PICTURE] * 3))],
    "nii": [NIFTI],
    "json": [annotations()],
    "xml": [OUTLINES],
    "csv": [TABLE],
    "description": [DESCRIPTION],
}


def damaged(content, rng):
    """Bytes flipped, cut off, taken out, swapped or said twice."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        first, second = sorted(rng.integers(0, max(len(content), 1), 2).tolist())
        match rng.integers(6):
            case 0:
                del content[first : first + 40]
            case 1:
                content = content[:second]
            case 2:
                content[first : first + 8], content[second : second + 8] = (
                    content[second : second + 8],
                    content[first : first + 8],
                )
            case 3:
                content[first:first] = content[first : first + 30]
            case _ if content:
                content[min(first, len(content) - 1)] = int(rng.integers(256))
    return bytes(content)


def as_pair(folder, ending):
    path = folder / f"a.{ending}"
    pixels, labels = read_image(path), read_label_image(path)
    sample = Sample("a", str(path), str(path), pixels, labels)
    cells_of(sample, pixels.shape[1:], {"instances": "components"})


def as_nnunet(folder, ending):
    for name in ("imagesTr/a_0000.nii", "labelsTr/a.nii"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((folder / "a.nii").read_bytes() if ending == "nii" else NIFTI)
    description = (folder / "a.description").read_bytes() if ending == "description" else DESCRIPTION
    (folder / "dataset.json").write_bytes(description)
    for case in nnunet.find(folder, {"folder": "imagesTr"}):
        nnunet.load(case)


def as_coco(folder, ending):
    (folder / "images").mkdir(exist_ok=True)
    (folder / "images/a.png").write_bytes(SOUND["png"][0])
    for case in coco.find(folder, {"annotations": "a.json", "images": "images"}):
        coco.load(case)


def as_outlines(folder, ending):
    (folder / "a.tif").write_bytes(SOUND["tif"][0])
    for case in monuseg.find(folder, {"folder": "."}):
        monuseg.load(case)


def as_table(folder, ending):
    (folder / "stage/a/images").mkdir(parents=True, exist_ok=True)
    (folder / "stage/a/images/a.png").write_bytes(SOUND["png"][0])
    for case in bbbc038.find(folder, {"folder": "stage", "solution": "a.csv"}):
        if case.image.exists():
            bbbc038.load(case)


READ = {"nii": as_nnunet, "description": as_nnunet, "json": as_coco, "xml": as_outlines, "csv": as_table}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", SOUND)
def test_a_damaged_file_is_read_or_refused_by_name(tmp_path, ending, caplog):
    def too_long(*_):
        raise TimeoutError(f"{ending} {number}: took more than {SECONDS} s")

    rng = np.random.default_rng(sum(map(ord, ending)))
    read = READ.get(ending, as_pair)
    before, limits = signal.signal(signal.SIGALRM, too_long), resource.getrlimit(resource.RLIMIT_AS)
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: PTH123, SIM115
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limits[1]))
    refused = 0
    try:
        for number in range(FILES):
            content = damaged(SOUND[ending][number % len(SOUND[ending])], rng) if number else SOUND[ending][0]
            (tmp_path / f"a.{ending}").write_bytes(content)
            signal.alarm(SECONDS)
            try:
                read(tmp_path, ending)
            except DataError as error:
                refused += 1
                if str(tmp_path) not in str(error) or not number:
                    raise
            finally:
                signal.alarm(0)
    except Exception as error:
        raise AssertionError(f"{ending} file {number}: {type(error).__name__}: {error}") from error
    finally:
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert 0 < refused < FILES
