"""Random label images, written in every format and read back, are the same cells.

FRUGALSEG_ROUND_TRIP images are tried, 8 without it; a thousand take some ten minutes.
"""

import json
import os

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools import mask
from skimage.measure import find_contours, label

from frugalseg.data.labels import cells_of
from frugalseg.data.normalize import relabel
from frugalseg.data.readers import bbbc038, coco, monuseg, nnunet, pairs

IMAGES = int(os.environ.get("FRUGALSEG_ROUND_TRIP", "8"))


def random_cells(rng):
    """Discs that touch and cut one another, each in one piece and without holes; numbers are skipped, some images empty."""
    height, width = rng.integers(20, 90, 2)
    count = rng.integers(0, 30)
    centres, radii = rng.uniform(0, (height, width), (count, 2)), rng.uniform(2, 14, count)
    y, x = np.mgrid[:height, :width]
    labels = np.zeros((height, width), np.int64)
    if count:
        apart = np.hypot(y[..., None] - centres[:, 0], x[..., None] - centres[:, 1])
        nearest = (apart / radii).argmin(-1)
        labels = np.where((apart < radii).any(-1) & ((apart / radii).min(-1) < 1), nearest + 1, 0)
    for number in np.unique(labels[labels > 0]):
        pieces, holes = label(labels == number, connectivity=1), label(labels != number, connectivity=2, background=0)
        outside = set(np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))) | {0}
        if pieces.max() > 1 or set(np.unique(holes)) - outside or (pieces > 0).sum() < 4:
            labels[labels == number] = 0
    return relabel(labels) * rng.integers(1, 5)


def touching(labels):
    pairs_of = [
        np.stack([labels[:, 1:], labels[:, :-1]]).reshape(2, -1),
        np.stack([labels[1:], labels[:-1]]).reshape(2, -1),
    ]
    return {tuple(sorted(pair)) for pair in np.concatenate(pairs_of, axis=1).T.tolist() if pair[0] != pair[1]}


def write_picture(labels, path):
    Image.fromarray(labels).save(path)


def write_palette(labels, path):
    image = Image.fromarray(labels.astype(np.uint8), mode="P")
    image.putpalette(np.random.default_rng(0).integers(0, 255, 768, dtype=np.uint8).tobytes())
    image.save(path)


def colours_of(labels):
    return np.random.default_rng(1).integers(1, 255, (256, 3), dtype=np.uint8)[labels] * (labels > 0)[..., None].astype(
        np.uint8
    )


LABEL_IMAGES = {
    "8.png": lambda labels, path: write_picture(labels.astype(np.uint8), path),
    "16.png": lambda labels, path: write_picture(labels.astype(np.uint16), path),
    "palette.png": write_palette,
    "colours.png": lambda labels, path: write_picture(colours_of(labels), path),
    "grey.bmp": lambda labels, path: write_picture(labels.astype(np.uint8), path),
    "grey in colour.png": lambda labels, path: write_picture(np.stack([labels.astype(np.uint8)] * 3, axis=2), path),
    "16.tif": lambda labels, path: tifffile.imwrite(path, labels.astype(np.uint16)),
    "deflate.tif": lambda labels, path: tifffile.imwrite(path, labels.astype(np.int32), compression="deflate"),
    "64.tif": lambda labels, path: tifffile.imwrite(path, labels.astype(np.int64), compression="lzw", tile=(16, 16)),
    "float.tif": lambda labels, path: tifffile.imwrite(path, labels.astype(np.float32)),
    "imagej.tif": lambda labels, path: tifffile.imwrite(path, labels.astype(np.uint16), imagej=True),
    "ome.tif": lambda labels, path: tifffile.imwrite(path, labels.astype(np.uint16), ome=True, bigtiff=True),
    "a.npy": lambda labels, path: np.save(path, labels),
}


def read_label_images(labels, folder):
    write_picture(np.zeros(labels.shape, np.uint8), folder / "image.png")
    for name, write in LABEL_IMAGES.items():
        write(labels, folder / name)
        yield name, pairs.load(pairs.Case(name, folder / "image.png", folder / name))


def read_coco(labels, folder):
    """Objects as polygons, as polygons by rows, and as run lengths of both kinds."""
    height, width = labels.shape
    (folder / "images").mkdir(exist_ok=True)
    write_picture(np.zeros(labels.shape, np.uint8), folder / "images/a.png")
    for kind in ("outline", "rows", "compressed", "counts"):
        objects = []
        for number in np.unique(labels[labels > 0]).tolist():
            cell = labels == number
            compressed = mask.encode(np.asfortranarray(cell.astype(np.uint8)))["counts"].decode()
            runs = np.flatnonzero(np.diff(np.concatenate([[0], cell.T.ravel().astype(int), [0]])))
            counts = np.diff(np.concatenate([[0], runs, [cell.size]])).tolist()
            segmentation = {
                "outline": [outline_of(cell).ravel().tolist()],
                "rows": [[x, y, x + 1, y, x + 1, y + 1, x, y + 1] for y, x in np.argwhere(cell).tolist()],
                "compressed": {"size": [height, width], "counts": compressed},
                "counts": {"size": [height, width], "counts": counts},
            }[kind]
            objects.append({"id": number, "image_id": 1, "iscrowd": 0, "segmentation": segmentation})
        image = {"id": 1, "file_name": "a.png", "height": height, "width": width}
        (folder / "a.json").write_text(json.dumps({"images": [image], "annotations": objects}))
        (case,) = coco.find(folder, {"annotations": "a.json", "images": "images"})
        yield f"coco {kind}", coco.load(case)


def outline_of(cell):
    """The outline (n, 2), x and y, between the centres of the pixels inside and outside."""
    (contour,) = find_contours(np.pad(cell, 1).astype(float), 0.5)
    return contour[:-1, ::-1] - 0.5


def read_aperio(labels, folder):
    regions = ""
    for number in np.unique(labels[labels > 0]):
        vertices = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in outline_of(labels == number).tolist())
        regions += f'<Region Type="0"><Vertices>{vertices}</Vertices></Region>'
    (folder / "aperio").mkdir(exist_ok=True)
    tifffile.imwrite(folder / "aperio/a.tif", np.zeros(labels.shape, np.uint8))
    (folder / "aperio/a.xml").write_text(
        f"<Annotations><Annotation><Regions>{regions}</Regions></Annotation></Annotations>"
    )
    (case,) = monuseg.find(folder, {"folder": "aperio"})
    yield "aperio", monuseg.load(case)


def read_bbbc038(labels, folder):
    (folder / "stage/a/images").mkdir(parents=True, exist_ok=True)
    (folder / "stage/a/masks").mkdir(exist_ok=True)
    for path in (folder / "stage/a/masks").iterdir():
        path.unlink()
    write_picture(np.zeros(labels.shape, np.uint8), folder / "stage/a/images/a.png")
    rows = ["ImageId,EncodedPixels,Height,Width,Usage"]
    for number in np.unique(labels[labels > 0]):
        cell = labels == number
        write_picture(cell.astype(np.uint8) * 255, folder / f"stage/a/masks/{number:04d}.png")
        ends = np.flatnonzero(np.diff(np.concatenate([[0], cell.T.ravel().astype(int), [0]]))).reshape(-1, 2)
        runs = " ".join(f"{start + 1} {stop - start}" for start, stop in ends.tolist())
        rows.append(f"a,{runs},{labels.shape[0]},{labels.shape[1]},Public")
    if len(rows) == 1:
        rows.append(f"a,,{labels.shape[0]},{labels.shape[1]},Public")
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    for options in ({"folder": "stage"}, {"folder": "stage", "solution": "table.csv"}):
        (case,) = bbbc038.find(folder, options)
        yield f"bbbc038 {len(options)}", bbbc038.load(case)


def read_nnunet(labels, folder):
    for ending in (".png", ".tif", ".nii.gz"):
        root = folder / f"Dataset{ending}"
        for name in (f"imagesTr/a_0000{ending}", f"labelsTr/a{ending}"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            array = labels.astype(np.uint16)
            if ending == ".nii.gz":
                nibabel.save(nibabel.Nifti1Image(array.T[..., None].astype(np.int32), np.eye(4)), root / name)
            else:
                write_picture(array, root / name) if ending == ".png" else tifffile.imwrite(root / name, array)
        content = {"channel_names": {"0": "a"}, "labels": {"background": 0}, "numTraining": 1, "file_ending": ending}
        (root / "dataset.json").write_text(json.dumps(content))
        (case,) = nnunet.find(root, {"folder": "imagesTr", "instances": "labels"})
        yield f"nnunet {ending}", nnunet.load(case)


@pytest.mark.filterwarnings("ignore")
def test_cells_come_back_from_every_format_as_they_were_written(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        truth = random_cells(rng)
        for reader in (read_label_images, read_coco, read_aperio, read_bbbc038, read_nnunet):
            for name, sample in reader(truth, tmp_path):
                cells, _ = cells_of(sample, truth.shape, {"instances": "labels"})
                told = f"image {number}, {name}"
                pairs_of = np.unique(np.stack([truth.ravel(), cells.ravel()]), axis=1)
                assert len(np.unique(cells)) == len(np.unique(truth)) == pairs_of.shape[1], told
                assert len(touching(cells)) == len(touching(truth)), told
                assert sorted(np.bincount(relabel(cells).ravel())) == sorted(np.bincount(relabel(truth).ravel())), told
