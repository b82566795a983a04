"""Readers, sources and dataset files: layouts, image formats, and agreement with converted real data."""

import copy
import os
import struct
import zlib

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from frugalseg.data.checks import DataError, Problems
from frugalseg.data.decode import read_image, read_label_image
from frugalseg.data.normalize import normalize, select_channels
from frugalseg.data.readers import bbbc038, monuseg, pairs
from frugalseg.data.sources import listing, samples
from frugalseg.evaluation.metrics import per_image
from frugalseg.study.dataset import completed

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 17), dtype=np.uint8)
RGB = RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8)
ALPHA = np.full((12, 17, 1), 200, np.uint8)
TWO = RNG.integers(0, 60000, (2, 12, 17), dtype=np.uint16)

FORMATS = {
    "grey.png": (GREY, {}, GREY[None]),
    "grey16.png": (TWO[0], {}, TWO[:1]),
    "rgb.png": (RGB, {}, RGB.transpose(2, 0, 1)),
    "rgba.png": (np.concatenate([RGB, ALPHA], 2), {}, RGB.transpose(2, 0, 1)),
    "grey_alpha.png": (np.concatenate([GREY[..., None], ALPHA], 2), {}, GREY[None]),
    "grey.bmp": (GREY, {}, GREY[None]),
    "rgb.bmp": (RGB, {}, RGB.transpose(2, 0, 1)),
    "grey.tif": (GREY, {}, GREY[None]),
    "grey16.tiff": (TWO[0], {}, TWO[:1]),
    "float.tif": (GREY.astype(np.float32) / 7, {}, GREY[None].astype(np.float32) / 7),
    "rgb.tif": (RGB, {"photometric": "rgb"}, RGB.transpose(2, 0, 1)),
    "rgba.tif": (np.concatenate([RGB, ALPHA], 2), {"photometric": "rgb"}, RGB.transpose(2, 0, 1)),
    "planar.tif": (RGB.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}, RGB.transpose(2, 0, 1)),
    "two_first.tif": (TWO, {"photometric": "minisblack"}, TWO),
    "two_last.tif": (TWO.transpose(1, 2, 0), {"photometric": "minisblack"}, TWO),
    "imagej.tif": (TWO, {"imagej": True, "metadata": {"axes": "CYX"}}, TWO),
    "one_of_many.tif": (GREY[None, None], {"photometric": "minisblack"}, GREY[None]),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_channel_first(tmp_path, name):
    array, options, expected = FORMATS[name]
    path = tmp_path / name
    if path.suffix in {".png", ".bmp"}:
        Image.fromarray(array).save(path)
    else:
        tifffile.imwrite(path, array, **options)
    pixels = read_image(path)
    assert pixels.dtype == expected.dtype
    np.testing.assert_array_equal(pixels, expected)


def png_of(array, kind):
    """A PNG of 16 bits a channel, from its specification; `kind` says what the channels are."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, kind, 0, 0, 0)]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in array)
    chunks += [b"IDAT" + zlib.compress(lines), b"IEND"]
    framed = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


@pytest.mark.parametrize(("kind", "channels", "kept"), [(0, 1, 1), (2, 3, 3), (4, 2, 1), (6, 4, 3)])
def test_a_png_of_16_bits_keeps_all_of_them_in_colour_too(tmp_path, kind, channels, kept):
    array = RNG.integers(0, 4096, (12, 17, channels), dtype=np.uint16)
    (tmp_path / "deep.png").write_bytes(png_of(array, kind))
    pixels = read_image(tmp_path / "deep.png")
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, array[..., :kept].transpose(2, 0, 1))


def test_a_palette_png_is_colour_as_an_image_and_indices_as_labels(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="P")
    image.putpalette([0, 0, 0, 250, 10, 20, 30, 40, 50])
    image.save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png")[:, 0, 1].tolist() == [250, 10, 20]
    assert read_label_image(tmp_path / "palette.png").tolist() == [[0, 1], [2, 1]]


def test_a_stack_of_colour_planes_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((4, 12, 17, 3), np.uint8), photometric="rgb")
    with pytest.raises(DataError, match=r"stack.tif: has the shape \(4, 12, 17, 3\).*save each plane as a file"):
        read_image(tmp_path / "stack.tif")


def test_channels_are_averaged_or_picked():
    colour = RGB.transpose(2, 0, 1)
    np.testing.assert_allclose(select_channels(colour, "grey", "a.png")[0], RGB.mean(axis=2), rtol=1e-6)
    np.testing.assert_array_equal(select_channels(colour, [2, 0], "a.png"), colour[[2, 0]])
    with pytest.raises(DataError, match=r"a.tif: has 2 channels.*name two of them in `channels`"):
        select_channels(TWO, "grey", "a.tif")
    with pytest.raises(DataError, match=r"a.tif: has 1 channel, so \[0, 1\] cannot be picked"):
        select_channels(TWO[:1], [0, 1], "a.tif")


def test_normalisation_brings_the_percentiles_to_0_and_1():
    image = RNG.gamma(2, 300, (2, 80, 90))
    image[1] = 7
    normal = normalize(image)
    assert normal.dtype == np.float32
    np.testing.assert_allclose(np.percentile(normal[0], [1, 99]), [0, 1], atol=1e-6)
    assert normal[0].min() < 0
    assert normal[0].max() > 1
    assert not normal[1].any()


def test_a_few_bright_pixels_survive_normalisation():
    image = np.full((1, 100, 100), 12.0)
    image[0, 3, :5] = 40
    assert np.unique(normalize(image)).tolist() == [0, 1]


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(array).save(path)
    else:
        tifffile.imwrite(path, array)


def test_pairs_share_a_name_whatever_their_folders(tmp_path):
    for name in ("b", "a.1"):
        save(tmp_path / f"train/images/day1/{name}.png", GREY)
        save(tmp_path / f"train/labels/{name}_label.tif", GREY)
    save(tmp_path / "train/images/day1/._b.png", GREY)
    options = {"image": "train/images/*/{name}.*", "label": "train/labels/{name}_label.tif"}
    cases = pairs.find(tmp_path, options)
    assert [case.name for case in cases] == ["a.1", "b"]
    assert [case.image.name for case in cases] == ["a.1.png", "b.png"]
    np.testing.assert_array_equal(pairs.load(cases[1]).labels, GREY)


def test_a_label_image_is_no_image_where_one_pattern_holds_the_other(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png", GREY)
        save(tmp_path / f"{name}_masks.png", GREY)
    for_images, for_labels = "{name}.png", "{name}_masks.png"
    assert [case.name for case in pairs.find(tmp_path, {"image": for_images, "label": for_labels})] == ["a", "b"]
    cases = pairs.find(tmp_path, {"image": for_labels, "label": for_images})
    assert [case.label.name for case in cases] == ["a.png", "b.png"]


def test_brackets_in_a_pattern_are_only_brackets(tmp_path):
    save(tmp_path / "day[1]/a.png", GREY)
    save(tmp_path / "day[1]/a_gt.png", GREY)
    assert len(pairs.find(tmp_path, {"image": "day[1]/{name}.png", "label": "day[1]/{name}_gt.png"})) == 1


def test_bbbc038_first_mask_wins_and_overlaps_are_counted(tmp_path):
    masks = np.zeros((4, 12, 17), np.uint8)
    masks[0, 2:6, 2:6] = 255
    masks[1, 4:8, 4:8] = 255
    masks[2, 7:10, 7:10] = 255
    save(tmp_path / "stage/id1/images/id1.png", np.concatenate([RGB, ALPHA], 2))
    for name, mask in zip("bacd", masks, strict=True):
        save(tmp_path / f"stage/id1/masks/{name}.png", mask)
    (case,) = bbbc038.find(tmp_path, {"folder": "stage"})
    sample = bbbc038.load(case)
    expected = np.zeros((12, 17), int)
    for number, mask in ((3, masks[2]), (2, masks[0]), (1, masks[1])):  # the first in name order is painted last
        expected[mask > 0] = number
    np.testing.assert_array_equal(sample.labels, expected)
    assert sample.notes == {"overlapping": 2, "overlapping_pixels": 5, "without_pixels": 1}
    assert sample.pixels.shape == (3, 12, 17)


def test_bbbc038_mask_of_another_size_is_named(tmp_path):
    save(tmp_path / "stage/id1/images/id1.png", GREY)
    save(tmp_path / "stage/id1/masks/m.png", GREY[:5])
    (case,) = bbbc038.find(tmp_path, {"folder": "stage"})
    with pytest.raises(DataError, match=r"m.png: the mask is 5x17 pixels, its image .*id1.png 12x17"):
        bbbc038.load(case)


def outlines(*regions):
    vertices = ("".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in region) for region in regions)
    inside = "".join(f"<Region><Vertices>{text}</Vertices></Region>" for text in vertices)
    return f"<Annotations><Annotation><Regions>{inside}</Regions></Annotation></Annotations>"


def test_monuseg_outlines_are_filled_by_the_pixel_centre_rule(tmp_path):
    save(tmp_path / "set/Tissue Images/a.tif", RGB)
    (tmp_path / "set/Annotations").mkdir()
    square, overlap = [(2, 3), (6, 3), (6, 8), (2, 8)], [(4, 5), (9, 5), (9, 9), (4, 9)]
    covered, outside = [(3, 4), (5, 4), (5, 6), (3, 6)], [(15, -2), (20, -2), (20, 1), (15, 1)]
    line, far = [(1, 1), (4, 1)], [(30, 30), (40, 30), (40, 40)]
    sliver = [(10.1, 10.1), (10.4, 10.1), (10.4, 10.4)]
    text = outlines(square, overlap, covered, outside, line, far, sliver)
    (tmp_path / "set/Annotations/a.xml").write_text(text)
    (case,) = monuseg.find(tmp_path, {"folder": "set"})
    sample = monuseg.load(case)
    expected = np.zeros((12, 17), int)
    expected[5:9, 4:9] = 2
    expected[3:8, 2:6] = 1
    expected[0, 15:] = 3
    np.testing.assert_array_equal(sample.labels, expected)
    assert sample.notes == {
        "overlapping": 2,
        "overlapping_pixels": 10,
        "covered": 1,
        "crossing_border": 2,
        "without_pixels": 3,
    }


def test_monuseg_file_that_is_no_xml_is_named(tmp_path):
    save(tmp_path / "a.tif", RGB)
    (tmp_path / "a.xml").write_text("<Annotations><Region>")
    (case,) = monuseg.find(tmp_path, {"folder": "."})
    with pytest.raises(DataError, match=r"a.xml: is no Aperio XML file of outlines .*download it again"):
        monuseg.load(case)


@pytest.mark.real
def test_bbbc038_agrees_with_the_converted_pairs(real_data):
    cases = bbbc038.find(real_data / "raw_samples/dsb2018", {"folder": "stage1_train"})
    assert len(cases) == 4
    for case in cases:
        (converted,) = real_data.glob(f"*/*/dsb*_{case.name[:12]}_IM.tif")
        sample = bbbc038.load(case)
        pixels, truth = read_image(converted), tifffile.imread(str(converted).replace("_IM", "_GT"))
        np.testing.assert_array_equal(sample.pixels if len(pixels) == 3 else sample.pixels[:1], pixels)
        assert sample.labels.max() == truth.max()
        np.testing.assert_array_equal(sample.labels > 0, truth > 0)
        assert per_image(truth.astype(np.int32), sample.labels)["ap_90"] == 1


@pytest.mark.real
def test_monuseg_agrees_with_the_converted_pairs(real_data):
    cases = monuseg.find(real_data / "raw_samples", {"folder": "monuseg"})
    assert len(cases) == 2
    for case in cases:
        (converted,) = real_data.glob(f"histo/*/monuseg_{case.name}_IM.tif")
        sample = monuseg.load(case)
        top, left = ((length - 512) // 2 for length in sample.labels.shape)
        crop = np.s_[top : top + 512, left : left + 512]
        np.testing.assert_array_equal(sample.pixels[:, *crop], read_image(converted))
        labels, truth = sample.labels[crop], tifffile.imread(str(converted).replace("_IM", "_GT"))
        # The conversion dropped fragments of fewer than 9 pixels.
        numbers, areas = np.unique(labels, return_counts=True)
        labels = np.where(np.isin(labels, numbers[areas >= 9]), labels, 0)
        assert len(np.unique(labels)) == len(np.unique(truth))
        assert ((labels > 0) != (truth > 0)).mean() < 1e-4
        assert per_image(truth.astype(np.int32), labels)["ap_90"] == 1


def problems_of(dataset):
    return completed(dataset)[1]


def dataset_files(root):
    return sorted((root / "config/datasets").glob("*.yaml"))


def test_every_dataset_file_is_in_order(root):
    assert len(dataset_files(root)) >= 5
    for path in dataset_files(root):
        assert problems_of(yaml.safe_load(path.read_text())) == [], path.name


SYNTHETIC = {"title": "Drawn", "source": "synthetic", "domain": "cyto", "size": 64, "train": 2, "test": 1, "seed": 3}


@pytest.mark.parametrize(
    ("name", "keys", "value"),
    [
        ("fluo", ["chanels"], "grey"),
        ("fluo", ["channels"], [0, 1, 2]),
        ("fluo", ["channels"], "rgb"),
        ("fluo", ["source"], "download"),
        ("fluo", ["reader"], "pair"),
        ("fluo", ["seed"], 3),
        ("fluo", ["splits", "validation"], {}),
        ("fluo", ["splits", "train", "labels"], "{name}"),
        ("fluo", ["splits", "train", "image"], "train/*.tif"),
        ("fluo", ["splits", "train"], {"folder": "train"}),
        ("monuseg", ["splits", "train", "solution"], "a.csv"),
        ("bbbc038", ["splits", "test", "masks"], "a.csv"),
        ("coco", ["splits", "train"], {"folder": "train2017"}),
        ("livecell", ["splits", "validation"], {"annotations": "a.json", "images": "images"}),
        ("monuseg", ["splits", "train"], {"image": "{name}.tif", "label": "{name}.xml"}),
        (None, ["root"], "here"),
        (None, ["size"], 10),
        (None, ["domain"], "sky"),
    ],
)
def test_what_does_not_belong_in_a_dataset_file_is_refused(root, name, keys, value):
    dataset = yaml.safe_load((root / f"config/datasets/{name}.yaml").read_text()) if name else copy.deepcopy(SYNTHETIC)
    assert not problems_of(dataset)
    inner = dataset
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    assert problems_of(dataset)


@pytest.mark.parametrize("key", ["title", "source", "reader", "root", "splits"])
def test_what_a_dataset_of_files_needs(root, key):
    dataset = yaml.safe_load((root / "config/datasets/fluo.yaml").read_text())
    del dataset[key]
    assert problems_of(dataset)


def test_a_listing_changes_with_the_files_and_needs_none(tmp_path):
    dataset = {
        "source": "path",
        "reader": "bbbc038",
        "root": "{data_root}/here",
        "splits": {"train": {"folder": "train"}, "test": {"folder": "test"}},
    }
    assert listing(dataset, tmp_path).startswith("0 files")
    save(tmp_path / "here/train/id1/images/id1.png", GREY)
    save(tmp_path / "here/train/id1/masks/m.png", GREY)
    seen = {listing(dataset, tmp_path)}
    save(tmp_path / "here/train/id1/masks/n.png", GREY)
    seen.add(listing(dataset, tmp_path))
    save(tmp_path / "here/train/id1/masks/n.png", GREY[:5])
    seen.add(listing(dataset, tmp_path))
    os.utime(tmp_path / "here/train/id1/masks/n.png", (1, 1))
    seen.add(listing(dataset, tmp_path))
    assert len(seen) == 4
    assert listing(dataset, tmp_path).startswith("3 files")
    assert listing(SYNTHETIC, tmp_path) == "drawn"


def test_drawn_images_are_samples_like_others():
    problems = Problems()
    drawn = list(samples(SYNTHETIC, "train", "", problems))
    assert len(drawn) == 2
    assert all(sample.pixels.shape[1:] == sample.labels.shape == (64, 64) for sample in drawn)
    problems.raise_any("drawn")
