"""Files as people's tools write them: each is read right, or refused with the option that says what is meant."""

import json
import uuid
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from frugalseg.answers.scores import read_scores
from frugalseg.data.ceiling import ceiling, ceiling_of
from frugalseg.data.checks import DataError
from frugalseg.data.decode import read_image, read_label_image
from frugalseg.data.labels import cells_of, looks_partly_annotated
from frugalseg.data.normalize import select_channels
from frugalseg.data.patches import cut
from frugalseg.data.prepare import prepare
from frugalseg.data.readers import coco, monuseg, nnunet, pairs
from frugalseg.data.stores import open_images, read_table
from frugalseg.selection import select
from frugalseg.selection.coresets import take

SPLIT = {"image": "{split}/{name}_im.png", "label": "{split}/{name}_gt.png"}


def picture(seed, shape=(120, 120)):
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


def disc(shape, centre, radius):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(y - centre[0], x - centre[1]) <= radius


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in {".tif", ".tiff"}:
        tifffile.imwrite(path, array, **options)
    else:
        Image.fromarray(array).save(path, **options)


def dataset_of(root, split=SPLIT, **options):
    splits = {name: {key: value.replace("{split}", name) for key, value in split.items()} for name in ("train", "test")}
    return {
        **{"title": "Mine", "source": "path", "reader": "pairs", "root": str(root), "channels": "grey"},
        "splits": splits,
    } | options


def read(root, labels, ending="png", **options):
    """The report and the training labels of a dataset whose train and test image have these labels."""
    for seed, split in enumerate(("train", "test")):
        save(root / f"{split}/a{seed}_im.png", picture(seed, labels.shape[:2]))
        save(root / f"{split}/a{seed}_gt.{ending}", labels)
    split = SPLIT | {"label": "{split}/{name}_gt." + ending}
    report = prepare(dataset_of(root, split, **options), "mine", "", root / "out/train", root / "out/test")
    return report["splits"]["train"], open_images(root / "out/train")


SQUARES = np.zeros((120, 120), np.uint8)
for _row in range(4):
    for _column in range(4):
        SQUARES[8 + 28 * _row :, 8 + 28 * _column :][:14, :14] = 255


@pytest.mark.parametrize("mask", [SQUARES, SQUARES > 0, SQUARES // 255], ids=["0 and 255", "one bit", "0 and 1"])
def test_one_mask_for_all_cells_is_told_apart_by_an_option(tmp_path, mask):
    number = int(mask.max())
    with pytest.raises(
        DataError, match=rf"a0_gt.png: the number {number} stands for 16 separate pieces; .*`instances: components`"
    ):
        read(tmp_path, mask)
    report, store = read(tmp_path, mask, instances="components")
    assert report["cells"] == 16
    assert report["diameter"] == pytest.approx(15.8, abs=0.01)
    assert len(np.unique(store.labels(0))) == 17
    assert read(tmp_path, mask, instances="labels")[0]["cells"] == 1


def test_a_mask_softened_by_jpeg_is_read_where_pieces_are_cells_and_refused_elsewhere(tmp_path):
    with pytest.raises(
        DataError, match=r"a0_gt.jpg: the label image was compressed with loss.*`instances: components`"
    ):
        read(tmp_path, SQUARES, "jpg")
    report, _ = read(tmp_path, SQUARES, "jpg", instances="components")
    assert (report["cells"], report["resolved"]["softened_label_images"]) == (16, 1)


def test_a_speck_is_dropped_and_a_number_in_two_pieces_is_told_and_split_where_asked(tmp_path):
    labels = np.zeros((160, 160), np.uint16)
    labels[disc(labels.shape, (40, 40), 15)] = 3
    labels[disc(labels.shape, (110, 110), 15)] = 3
    labels[disc(labels.shape, (40, 120), 15)], labels[5, 80] = 7, 7
    labels[disc(labels.shape, (110, 40), 9)] = 9
    report, store = read(tmp_path, labels, "tif")
    assert (report["cells"], report["resolved"]) == (3, {"cells_in_pieces": 1, "specks": 1})
    assert store.labels(0)[5, 80] == 0
    report, store = read(tmp_path, labels, "tif", instances="components")
    assert (report["cells"], report["resolved"]) == (4, {"specks": 1})


def test_every_numbering_gives_the_same_cells(tmp_path):
    cells = np.zeros((60, 60), np.int64)
    for number, place in enumerate([(5, 5), (5, 30), (30, 5), (30, 30)], start=1):
        cells[place[0] : place[0] + 14 + number, place[1] : place[1] + 14] = number
    written = {
        "float": cells.astype(np.float32),
        "whole double": cells.astype(np.float64),
        "signed": cells.astype(np.int16),
        "large numbers": cells.astype(np.uint32) * 1_000_003,
        "grey saved as colour": np.stack([cells.astype(np.uint8)] * 3, axis=2),
        "colours": np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255)], np.uint8)[cells],
        "colours with alpha": np.array(
            [(9, 9, 9, 0), (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255), (255, 0, 255, 255)], np.uint8
        )[cells],
    }
    for name, labels in written.items():
        report, store = read(tmp_path / name, labels, "tif")
        np.testing.assert_array_equal(store.labels(0) > 0, cells > 0, err_msg=name)
        assert report["cells"] == 4, name
        assert all(len(np.unique(store.labels(0)[cells == number])) == 1 for number in range(1, 5)), name
    assert report["resolved"] == {"colour_coded_label_images": 1}


def test_another_background_than_0_is_asked_for(tmp_path):
    labels = np.full((60, 60), 1, np.uint8)
    labels[10:20, 10:20] = 2
    with pytest.raises(DataError, match=r"the number 1 lies all around; say `background: 1`"):
        read(tmp_path, labels)
    report, store = read(tmp_path, labels, background=1)
    assert report["cells"] == 1
    assert (store.labels(0) > 0).sum() == 100
    assert read(tmp_path, labels, background=0)[0]["cells"] == 2
    signed = labels.astype(np.int32) - 2
    with pytest.raises(DataError, match=r"negative numbers \(down to -1\); .*`background: -1`"):
        read(tmp_path / "signed", signed, "tif")
    assert read(tmp_path / "signed", signed, "tif", background=-1)[0]["cells"] == 1


def test_images_without_a_cell_are_examples_of_background_unless_the_dataset_says_otherwise(tmp_path):
    for name in ("train/blank", "test/dark"):
        save(tmp_path / f"{name}_im.png", np.zeros((60, 60), np.uint8))
        save(tmp_path / f"{name}_gt.png", np.zeros((60, 60), np.uint8))
    labels = np.zeros((60, 60), np.uint8)
    labels[5:20, 5:20] = 1
    report, _ = read(tmp_path, labels)
    assert (report["images"], report["cells"], report["resolved"]) == (2, 1, {"images_without_cells": 1})
    report, _ = read(tmp_path, labels, without_cells="leave_out")
    assert (report["images"], report["resolved"]) == (1, {"images_without_cells": 1})
    with pytest.raises(DataError, match=r"blank_gt.png: the label image is empty .*`without_cells: keep`"):
        read(tmp_path, labels, without_cells="refuse")


def ome_of_three_files(own, names, identifiers):
    planes = "".join(
        f'<TiffData FirstC="{c}" FirstT="0" FirstZ="0" IFD="0" PlaneCount="1"><UUID FileName="{name}">{identifier}</UUID>'
        "</TiffData>"
        for c, (name, identifier) in enumerate(zip(names, identifiers, strict=True))
    )
    channels = "".join(f'<Channel ID="Channel:0:{c}" SamplesPerPixel="1"/>' for c in range(len(names)))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        f'UUID="{identifiers[own]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" '
        f'SizeX="60" SizeY="40" SizeZ="1" SizeC="{len(names)}" SizeT="1">{channels}{planes}</Pixels></Image></OME>'
    )


@pytest.mark.parametrize("present", [3, 1], ids=["all files are there", "the others are missing"])
def test_of_an_ome_tiff_of_several_files_each_is_its_own_pixels(tmp_path, present):
    names = [f"channel{c}.ome.tif" for c in range(3)]
    identifiers = [f"urn:uuid:{uuid.uuid4()}" for _ in names]
    for c in range(3 - present, 3):
        description = ome_of_three_files(c, names, identifiers)
        save(tmp_path / names[c], np.full((40, 60), 60 * (c + 1), np.uint8), description=description, metadata=None)
    for c in range(3 - present, 3):
        pixels = read_image(tmp_path / names[c])
        assert pixels.shape == (1, 40, 60)
        assert pixels.mean() == 60 * (c + 1)


ORIENTATIONS = {
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.T,
    6: lambda upright: np.rot90(upright),
    7: lambda upright: upright[::-1, ::-1].T,
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
def test_an_image_is_turned_as_its_file_says(tmp_path, orientation, ending):
    upright = np.zeros((64, 64), np.uint8)
    upright[8:24, 40:56] = 255
    stored = np.ascontiguousarray(ORIENTATIONS[orientation](upright))
    if ending == "tif":
        save(tmp_path / "a.tif", stored, extratags=[(274, 3, 1, orientation, True)])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        save(tmp_path / f"a.{ending}", stored, exif=exif)
    pixels = read_image(tmp_path / f"a.{ending}")[0]
    assert pixels[8:24, 40:56].mean() > 250
    assert pixels[:, :36].mean() < 5


def test_an_image_that_was_annotated_lying_on_its_side_is_left_so(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    save(tmp_path / "a.jpg", picture(0, (40, 60)), exif=exif)
    assert read_image(tmp_path / "a.jpg", shape=(60, 40)).shape == (1, 60, 40)
    assert read_image(tmp_path / "a.jpg", shape=(40, 60)).shape == (1, 40, 60)


NAMES = ["2.1", "2.10", "007", "7", "1e3", "1000", "NA", "nan", "3.4"]


def test_names_are_text_from_the_files_to_the_patches_a_chain_trains_on(tmp_path):
    labels = np.zeros((60, 60), np.uint16)
    labels[5:20, 5:20] = 1
    for seed, name in enumerate(NAMES):
        save(tmp_path / f"train/{name}_im.png", picture(seed, (60, 60)))
        save(tmp_path / f"train/{name}_gt.png", labels)
    save(tmp_path / "test/t_im.png", picture(99, (60, 60)))
    save(tmp_path / "test/t_gt.png", labels)
    prepare(dataset_of(tmp_path), "mine", "", tmp_path / "out/train", tmp_path / "out/test")
    assert open_images(tmp_path / "out/train").names == sorted(NAMES)
    cut(open_images(tmp_path / "out/train"), tmp_path / "patches", size=32, stride=32)
    patches = read_table(tmp_path / "patches/patches.csv")
    assert patches["image"].unique().tolist() == sorted(NAMES)
    for seed in range(3):
        selection = select("few", None, seed, patches=patches)
        one = take(selection, "few", 1, 10)
        assert len(one) == 4
        assert patches["image"].iloc[one].nunique() == 1


def test_scores_of_images_whose_names_look_like_numbers_are_those_of_each(tmp_path):
    table = pd.DataFrame({"image": NAMES, "hd95": [1.5, np.nan, *range(len(NAMES) - 2)]})
    table.to_csv(tmp_path / "mine.csv", index=False)
    assert read_scores([tmp_path / "mine.csv"] * 2, "hd95").shape == (2, len(NAMES))
    assert read_table(tmp_path / "mine.csv")["image"].tolist() == NAMES
    assert read_table(tmp_path / "mine.csv")["hd95"].isna().sum() == 1


def test_a_folder_that_cellpose_has_worked_in(tmp_path):
    labels = np.zeros((60, 60), np.uint16)
    labels[5:20, 5:20] = 1
    for seed, split in enumerate(("train", "test")):
        for name in ("a", "b"):
            save(tmp_path / f"{split}/{name}{seed}.tif", picture(10 * seed + ord(name), (60, 60)))
            save(tmp_path / f"{split}/{name}{seed}_masks.tif", labels)
            save(tmp_path / f"{split}/{name}{seed}_flows.tif", np.zeros((3, 60, 60), np.float32))
            np.save(tmp_path / f"{split}/{name}{seed}_seg.npy", {"masks": labels}, allow_pickle=True)
    split = {"image": "{split}/{name}.tif", "label": "{split}/{name}_masks.tif"}
    report = prepare(dataset_of(tmp_path, split), "mine", "", tmp_path / "out/train", tmp_path / "out/test")
    assert (report["splits"]["train"]["images"], report["splits"]["train"]["resolved"]) == (2, {"by_products": 2})
    dataset = dataset_of(tmp_path, split, exclude="*_flows.tif")
    report = prepare(dataset, "mine", "", tmp_path / "out/train", tmp_path / "out/test")
    assert report["splits"]["train"]["resolved"] == {"excluded": 2}
    save(tmp_path / "train/other_flows.tif", picture(9, (60, 60)))
    with pytest.raises(DataError, match=r"train/other_flows.tif: has no label"):
        prepare(dataset_of(tmp_path, split), "mine", "", tmp_path / "out/train", tmp_path / "out/test")


def test_an_image_of_livecell_that_is_named_twice_is_one(tmp_path):
    save(tmp_path / "images/h.png", picture(0, (60, 60)))
    box = [5, 5, 25, 5, 25, 25, 5, 25]
    images = [{"id": number, "file_name": "h.png", "height": 60, "width": 60} for number in (742297, 1012330)]
    objects = [
        {"id": number, "image_id": image["id"], "iscrowd": 0, "segmentation": [box]}
        for number, image in enumerate(images)
    ]
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": objects}))
    cases = coco.find(tmp_path, {"annotations": "a.json", "images": "images"})
    assert len(cases) == 1
    assert cases.notes == {"images_named_twice": 1}
    assert coco.load(cases[0]).labels.max() == 1
    # Of two entries the one with more objects is taken.
    objects.append({"id": 2, "image_id": 1012330, "iscrowd": 0, "segmentation": [[40, 40, 50, 40, 50, 50]]})
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": objects}))
    (case,) = coco.find(tmp_path, {"annotations": "a.json", "images": "images"})
    assert coco.load(case).labels.max() == 2


def test_masks_of_cvat_are_marked_as_crowds_and_are_cells(tmp_path):
    save(tmp_path / "images/a.png", picture(0, (60, 60)))
    annotations = [{"id": 0, "image_id": 1, "iscrowd": 0, "segmentation": [[2, 2, 12, 2, 12, 12, 2, 12]]}]
    for number in range(1, 4):
        start = 60 * 15 * number
        counts = [start, 10, 50, 10, 60 * 60 - start - 70]
        annotations.append(
            {"id": number, "image_id": 1, "iscrowd": 1, "segmentation": {"size": [60, 60], "counts": counts}}
        )
    content = {"images": [{"id": 1, "file_name": "a.png", "height": 60, "width": 60}], "annotations": annotations}
    (tmp_path / "a.json").write_text(json.dumps(content))
    options = {"annotations": "a.json", "images": "images"}
    with pytest.raises(DataError, match=r"a.json: 3 of 4 annotations have iscrowd, .*`crowds: objects`"):
        coco.find(tmp_path, options)
    (case,) = coco.find(tmp_path, options | {"crowds": "objects"})
    assert coco.load(case).labels.max() == 4


def test_aperio_regions_of_every_kind(tmp_path):
    def region(points, **attributes):
        text = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in points)
        said = " ".join(f'{key}="{value}"' for key, value in attributes.items())
        return f"<Region {said}><Vertices>{text}</Vertices></Region>"

    def square(low, high):
        return [(low, low), (high, low), (high, high), (low, high)]

    regions = [
        region(square(10, 30), Type=0, NegativeROA=0),
        region(square(16, 24), Type=0, NegativeROA=1),
        region([(40, 40), (60, 60)], Type=2, NegativeROA=0),
        region([(70, 70), (75, 75)], Type=3, NegativeROA=0),
        region([(70, 10), (80, 20)], Type=1),
        region(square(18, 22), Type=0),
    ]
    save(tmp_path / "a.tif", picture(0, (90, 90)))
    text = f"<Annotations><Annotation><Regions>{''.join(regions)}</Regions></Annotation></Annotations>"
    (tmp_path / "a.xml").write_text(text)
    (case,) = monuseg.find(tmp_path, {"folder": "."})
    sample = monuseg.load(case)
    areas = np.bincount(sample.labels.ravel())[1:].tolist()
    # The last one lies in the hole.
    assert areas == [336, pytest.approx(314, abs=6), 100, 16]
    assert sample.notes == {"holes": 1, "marks_left_out": 1}


def test_a_cell_that_no_settings_of_masks_can_return_is_told(tmp_path):
    labels = disc((160, 160), (80, 80), 70).astype(np.uint8)
    for split in ("train", "test"):
        save(tmp_path / f"{split}/{split}_im.png", picture(len(split), (160, 160)))
        save(tmp_path / f"{split}/{split}_gt.png", labels)
    report = prepare(dataset_of(tmp_path), "mine", "", tmp_path / "out/train", tmp_path / "out/test")
    default = report["splits"]["test"]["ceiling"]
    assert default == {"settings": {}, "ap": 0, "pq": 0, "cells_lost": 1, "images_under_95": {"test": 0}}
    free = ceiling_of(open_images(tmp_path / "out/test"), largest=1.0)
    assert free == {"settings": {"largest": 1.0}, "ap": 1, "pq": 1, "cells_lost": 0, "images_under_95": {}}


def test_a_cell_longer_than_the_steps_can_walk_shows_in_the_ceiling():
    labels = np.zeros((40, 1200), np.int32)
    labels[10:22, 20:1180] = 1
    assert ceiling(labels, largest=1)["lost"] == 1
    assert ceiling(labels, largest=1, steps=800) == {"ap": 1, "pq": 1, "lost": 0}
    assert ceiling(np.zeros((9, 9), np.int32)) == {"ap": 1, "pq": 1, "lost": 0}


def whole_stack(path):
    notes = Counter()
    with pytest.raises(DataError) as caught:
        select_channels(read_image(path, notes=notes), "grey", str(path), known=not notes)
    return str(caught.value)


PAGES = np.random.default_rng(5).integers(0, 255, (3, 50, 60), dtype=np.uint8)


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_slices_and_times_are_no_channels(tmp_path, axes):
    for kind in ("imagej", "ome"):
        path = tmp_path / f"{kind}.{'ome.' if kind == 'ome' else ''}tif"
        save(path, PAGES, **{kind: True}, metadata={"axes": axes}, photometric="minisblack")
        assert f"{path}: has the shape (3, 50, 60) (axes {axes}), not that of one plane" in whole_stack(path)


def test_planes_of_which_the_file_does_not_say_what_they_are_have_to_be_named(tmp_path):
    save(tmp_path / "a.tif", PAGES, photometric="minisblack", metadata=None)
    assert "has 3 planes that it does not call colours, but channels or nothing" in whole_stack(tmp_path / "a.tif")
    pixels = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(select_channels(pixels, [2], "", known=False)[0], PAGES[2])
    np.testing.assert_allclose(select_channels(pixels, "mean", "", known=False)[0], PAGES.mean(axis=0), rtol=1e-6)


def test_channels_of_a_microscope_are_no_colours(tmp_path):
    save(tmp_path / "a.tif", PAGES, imagej=True, metadata={"axes": "CYX", "mode": "composite"})
    assert "has 3 planes that it does not call colours" in whole_stack(tmp_path / "a.tif")
    np.testing.assert_array_equal(select_channels(read_image(tmp_path / "a.tif"), [1], "", known=False)[0], PAGES[1])


def test_files_are_known_by_what_they_hold_whatever_they_are_called(tmp_path):
    save(tmp_path / "a.png", PAGES[0])
    (tmp_path / "a.png").rename(tmp_path / "a.tif")
    save(tmp_path / "b.tif", PAGES[0])
    (tmp_path / "b.tif").rename(tmp_path / "b.png")
    for name in ("a.tif", "b.png"):
        np.testing.assert_array_equal(read_image(tmp_path / name)[0], PAGES[0])
    notes = Counter()
    save(tmp_path / "c.tif", PAGES[0], compression="jpeg")
    read_label_image(tmp_path / "c.tif", notes)
    assert notes == {"lossy_label_images": 1}


def test_an_inverted_mask_is_told_and_a_cell_that_fills_its_image_is_none(tmp_path):
    with pytest.raises(DataError, match=r"the number 255 lies all around; say `background: 255`"):
        read(tmp_path, 255 - SQUARES)
    assert read(tmp_path, 255 - SQUARES, background=255, instances="components")[0]["cells"] == 16
    filled = disc((120, 120), (59.5, 59.5), 63).astype(np.uint8)
    assert read(tmp_path / "filled", filled)[0]["cells"] == 1


def test_files_beside_images_are_no_images(tmp_path):
    labels = np.zeros((60, 60), np.uint8)
    labels[5:20, 5:20] = 1
    for seed, split in enumerate(("train", "test")):
        save(tmp_path / f"{split}/images/a{seed}.png", picture(seed, (60, 60)))
        save(tmp_path / f"{split}/labels/a{seed}.png", labels)
        (tmp_path / f"{split}/images/a{seed}.json").write_text("{}")
        (tmp_path / f"{split}/images/Thumbs.db").write_text("")
        (tmp_path / f"{split}/images/._a{seed}.png").write_text("")
    split = {"image": "{split}/images/{name}.*", "label": "{split}/labels/{name}.*"}
    report = prepare(dataset_of(tmp_path, split), "mine", "", tmp_path / "out/train", tmp_path / "out/test")
    assert report["splits"]["train"]["images"] == 1


def test_a_split_of_which_no_image_is_left_is_told(tmp_path):
    save(tmp_path / "images/a.png", picture(0, (60, 60)))
    box = [5, 5, 25, 5, 25, 25, 5, 25]
    for split, name in (("train", "gone.png"), ("test", "a.png")):
        image = {"id": 1, "file_name": name, "height": 60, "width": 60}
        annotation = {"id": 1, "image_id": 1, "iscrowd": 0, "segmentation": [box]}
        (tmp_path / f"{split}.json").write_text(json.dumps({"images": [image], "annotations": [annotation]}))
    dataset = dataset_of(tmp_path, {"annotations": "{split}.json", "images": "images"}, reader="coco")
    with pytest.raises(DataError, match="train: all 0 images are without cells or do not count"):
        prepare(dataset | {"missing_images": "leave_out"}, "mine", "", tmp_path / "out/train", tmp_path / "out/test")


def test_an_accent_is_one_character_or_two(tmp_path):
    save(tmp_path / "im/Zelle_u\u0308.png", PAGES[0])
    save(tmp_path / "gt/Zelle_\u00fc.png", PAGES[0])
    (case,) = pairs.find(tmp_path, {"image": "im/{name}.png", "label": "gt/{name}.PNG"})
    assert case.image.exists()
    assert case.label.exists()


def test_a_split_may_be_a_list_of_names(tmp_path):
    for name in ("a", "b", "c.1"):
        save(tmp_path / f"im/{name}.png", PAGES[0])
        save(tmp_path / f"gt/{name}.png", PAGES[0])
    (tmp_path / "train.txt").write_text("\ufeffa.tif\r\n\r\nc.1\r\n")
    options = {"image": "im/{name}.png", "label": "gt/{name}.png", "names": "train.txt"}
    assert [case.name for case in pairs.find(tmp_path, options)] == ["a", "c.1"]
    (tmp_path / "train.txt").write_text("a\nd\n")
    with pytest.raises(DataError, match=r"train.txt: no file has the name d; correct it"):
        pairs.find(tmp_path, options)


def test_folds_of_nnunet_are_those_of_its_own_file(tmp_path):
    root = tmp_path / "nnUNet_raw/Dataset001_Cells"
    for name in "abc":
        save(root / f"imagesTr/{name}_0000.png", PAGES[0])
        save(root / f"labelsTr/{name}.png", PAGES[0])
    content = {"channel_names": {"0": "x"}, "labels": {"background": 0}, "numTraining": 3, "file_ending": ".png"}
    (root / "dataset.json").write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    folds = tmp_path / "nnUNet_preprocessed/Dataset001_Cells/splits_final.json"
    folds.parent.mkdir(parents=True)
    folds.write_text(json.dumps([{"train": ["a", "c"], "val": ["b"]}]))
    options = {"folder": "imagesTr"}
    assert [case.name for case in nnunet.find(root, options | {"fold": 0})] == ["b"]
    assert [case.name for case in nnunet.find(root, options | {"without_fold": 0})] == ["a", "c"]
    with pytest.raises(DataError, match=r"splits_final.json: has no fold 1"):
        nnunet.find(root, options | {"fold": 1})


def test_zero_that_means_white_is_black(tmp_path):
    save(tmp_path / "a.tif", PAGES[0], photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0], 255 - PAGES[0])
    # As labels they are numbers, whatever they look like.
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.tif"), PAGES[0])


def test_a_palette_of_a_tiff_is_colour_and_a_lookup_table_of_imagej_is_not(tmp_path):
    palette = np.random.default_rng(0).integers(0, 65535, (3, 256), dtype=np.uint16)
    save(tmp_path / "a.tif", PAGES[0], photometric="palette", colormap=palette)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), palette[:, PAGES[0]])
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.tif"), PAGES[0])
    save(tmp_path / "b.tif", PAGES[0], imagej=True, colormap=(palette // 257).astype(np.uint8))
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif")[0], PAGES[0])


def test_what_is_transparency_is_no_channel(tmp_path):
    grey_alpha = np.stack([PAGES[0], np.full_like(PAGES[0], 7)], axis=2)
    save(tmp_path / "a.tif", grey_alpha, photometric="minisblack", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), PAGES[:1])
    four = np.stack([*PAGES, PAGES[0]], axis=2)
    save(tmp_path / "b.tif", four, photometric="rgb", extrasamples=["unspecified"])
    assert len(read_image(tmp_path / "b.tif")) == 4


def test_a_file_of_several_images_is_refused_and_a_thumbnail_is_none(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(PAGES[0], metadata=None)
        file.write(PAGES[1, ::2, ::2].copy(), metadata=None)
    assert read_image(tmp_path / "a.tif").shape == (1, 50, 60)
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(PAGES[0], metadata=None)
        file.write(PAGES[1, :, :55].copy(), metadata=None)
    with pytest.raises(DataError, match=r"b.tif: holds 2 images, of the shapes \(50, 60\) and \(50, 55\); save each"):
        read_image(tmp_path / "b.tif")
    frames = [Image.fromarray(page) for page in PAGES]
    frames[0].save(tmp_path / "c.png", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"c.png: holds 3 images; save each"):
        read_image(tmp_path / "c.png")


def test_no_room_is_made_for_what_a_damaged_file_claims_to_hold(tmp_path):
    save(tmp_path / "a.png", PAGES[0])
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(
        DataError, match=r"a.png: says that it holds 3600000000 bytes of pixels, but has \d+; it is damaged"
    ):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_may_not_be_read_is_told_with_the_other_faults(tmp_path, monkeypatch, kind):
    labels = np.zeros((60, 60), np.uint8)
    labels[5:20, 5:20] = 1
    read(tmp_path, labels)
    save(tmp_path / "test/b_gt.png", labels)
    shut = tmp_path / "train" if kind == "folder" else tmp_path / "train/a0_im.png"

    def refuse(really):
        def wrapped(path, *arguments, **options):
            if path == shut:
                raise PermissionError(13, "Permission denied", str(path))
            return really(path, *arguments, **options)

        return wrapped

    monkeypatch.setattr(Path, "iterdir", refuse(Path.iterdir))
    monkeypatch.setattr(Path, "open", refuse(Path.open))
    with pytest.raises(DataError) as caught:
        read(tmp_path, labels)
    first, second = str(caught.value).splitlines()[1:]
    assert f"{shut}: cannot be looked into" in first or f"{shut}: cannot be read" in first
    assert "Permission denied" in first
    assert "test/b_gt.png: has no image" in second


@pytest.mark.real
@pytest.mark.parametrize(
    ("image", "label", "cells"),
    [
        ("neubias_cyx/xyc_16bit__{name}_tubulin.tif", "neubias_cyx/xy_8bit_labels__{name}.tif", 11),
        ("neubias_h2b/xy_16bit__{name}.tif", "neubias_h2b/xy_8bit_labels__{name}.tif", 2),
        ("stardist_tests/img{name}d.tif", "stardist_tests/mask{name}d.tif", 65),
        ("neurips_images_labels/images/{name}.*", "neurips_images_labels/labels/{name}_label.tiff", 231),
        ("blobs/{name}.tif", "blobs/{name}_labeled.tif", 63),
    ],
)
def test_samples_of_the_field_are_read_right(real_data, image, label, cells):
    found = pairs.find(real_data / "formats", {"image": image, "label": label})
    total = 0
    for case in found:
        if not (case.image.exists() and case.label.exists()):
            continue
        if case.name == "3":
            with pytest.raises(DataError, match=r"img3d.tif: has 31 channels, which are neither grey nor colour"):
                select_channels(read_image(case.image), "grey", str(case.image))
            continue
        sample = pairs.load(case)
        pixels = select_channels(sample.pixels, [0] if "cyx" in image else "grey", sample.image)
        total += len(np.unique(cells_of(sample, pixels.shape[1:], {})[0])) - 1
        assert not looks_partly_annotated(pixels, sample.labels)
    assert total == cells
    if "blobs" in image:
        sparse = read_label_image(real_data / "formats/blobs/blobs_sparse_labels.tif")
        assert looks_partly_annotated(pixels, sparse)


@pytest.mark.real
def test_annotations_whose_images_are_mostly_elsewhere(real_data):
    options = {"annotations": "annotations/validation.json", "images": "validation"}
    root = real_data / "formats/nasa_meltpool_polygons/data"
    with pytest.raises(DataError, match=r"and 26 more are not in .*`missing_images: leave_out`"):
        coco.find(root, options)
    cases = coco.find(root, options | {"missing_images": "leave_out"})
    assert cases.notes == {"missing_images": 31}
    (case,) = cases
    sample = coco.load(case)
    assert sample.labels.max() == 3
    assert sample.notes["overlapping"] >= 1
