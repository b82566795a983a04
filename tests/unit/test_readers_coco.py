"""The reader of COCO's layout: LIVECell's and COCO's folders, overlaps, crowds, empty images, and bad files."""

import copy
import json

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from frugalseg.data.checks import DataError
from frugalseg.data.patches import cut
from frugalseg.data.prepare import prepare
from frugalseg.data.readers import coco
from frugalseg.data.sources import listing
from frugalseg.data.stores import open_images, read_table
from frugalseg.selection import select
from frugalseg.selection.coresets import take

HEIGHT, WIDTH = 12, 17
OPTIONS = {"annotations": "annotations/a.json", "images": "images"}


def box(x0, y0, x1, y1):
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def image_of(seed, shape=(HEIGHT, WIDTH)):
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


def objects(*segmentations, image_id=1, first=1, **more):
    return [
        {"id": number, "image_id": image_id, "category_id": number, "iscrowd": 0, "segmentation": segmentation} | more
        for number, segmentation in enumerate(segmentations, start=first)
    ]


def named(*names):
    return [{"id": n, "file_name": name, "height": HEIGHT, "width": WIDTH} for n, name in enumerate(names, start=1)]


def write(root, images, annotations, at="annotations/a.json"):
    path = root / at
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"info": {}, "images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cell"}]}
    path.write_text(json.dumps(content))


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array) if path.suffix == ".tif" else Image.fromarray(array).save(path)


def load_one(root, *segmentations, **more):
    """The sample of one image with these objects."""
    save(root / "images/a.png", image_of(0))
    write(root, named("a.png"), objects(*segmentations, **more))
    (case,) = coco.find(root, OPTIONS)
    return coco.load(case)


def test_an_object_is_polygons_or_run_lengths_of_either_form(tmp_path):
    counts = [12 * 9, 3, 9, 3, 12 * 17 - 12 * 9 - 15]  # rows 0:3 of columns 9 and 10
    sample = load_one(
        tmp_path,
        [box(1, 1, 3, 4), box(2, 2, 5, 3), box(0, 10, 2, 12)],
        {"size": [HEIGHT, WIDTH], "counts": counts},
        # The same rows of columns 14 and 15: 168 3 9 3 21 as COCO compresses them, "X53", 3, 9, 0, 12.
        {"size": [HEIGHT, WIDTH], "counts": "X5390<"},
    )
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[1:4, 1:3], expected[2:3, 2:5], expected[10:12, 0:2] = 3, 3, 3
    expected[0:3, 9:11], expected[0:3, 14:16] = 1, 2
    np.testing.assert_array_equal(sample.labels, expected)
    assert sample.notes == {}
    assert sample.labels.dtype == np.int32
    assert sample.pixels.shape == (1, HEIGHT, WIDTH)


def test_where_objects_overlap_the_smallest_has_the_pixels_and_all_is_counted(tmp_path):
    large, small, middle, outside = (0, 0, 10, 10), (2, 2, 4, 4), (8, 0, 16, 4), (15, 9, 20, 14)
    sliver = [3.1, 7.1, 3.3, 7.1, 3.3, 7.3]
    sample = load_one(tmp_path, *([box(*corners)] for corners in (large, small, middle, small, outside)), [sliver])
    expected = np.zeros((HEIGHT, WIDTH), int)
    for number, (x0, y0, x1, y1) in ((4, large), (3, middle), (2, outside), (1, small)):
        expected[y0:y1, x0:x1] = number  # what is painted last is on top
    np.testing.assert_array_equal(sample.labels, expected)
    assert sample.notes == {
        "overlapping": 2,  # the small one's double, and the large one
        "overlapping_pixels": 4 + 4 + 8,
        "covered": 1,
        "crossing_border": 1,
        "without_pixels": 1,
    }


def test_crowds_are_no_instances_and_are_counted(tmp_path):
    save(tmp_path / "images/a.png", image_of(0))
    crowd = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}
    annotations = objects([box(2, 2, 5, 6)]) + objects(crowd, first=2, iscrowd=1)
    write(tmp_path, named("a.png"), annotations)
    sample = coco.load(coco.find(tmp_path, OPTIONS | {"crowds": "background"})[0])
    assert (sample.labels > 0).sum() == 12
    assert sample.notes == {"crowd_regions": 1}


def dataset_of(root, name):
    return yaml.safe_load((root / f"config/datasets/{name}.yaml").read_text())


@pytest.mark.parametrize("folder", ["", "A172/"])
def test_livecell_as_published(tmp_path, root, folder):
    """Annotations as a mapping, images by cell type or not, those of the validation split in the same folder."""
    dataset = dataset_of(root, "livecell")
    here = tmp_path / "livecell"
    cells = [[box(1, 1, 5, 5)], [box(6, 2, 12, 9)]]
    for split, images in (("train", "livecell_train_val_images"), ("test", "livecell_test_images")):
        names = [f"A172_Phase_{split}_1_00d00h00m_{number}.tif" for number in (2, 1)]
        for number, name in enumerate(names):
            save(here / "images" / images / f"{folder}{name}", image_of(hash_of(name) + number))
        found = objects(*cells, image_id=1) + objects(*cells, image_id=2, first=3)
        mapping = {str(annotation["id"]): annotation for annotation in found}
        write(here, named(*names), mapping, at=f"annotations/livecell_coco_{split}.json")
    save(here / f"images/livecell_train_val_images/{folder}A172_Phase_val_1.tif", image_of(99))
    report = prepare(dataset | {"channels": "grey"}, "livecell", tmp_path, tmp_path / "train", tmp_path / "test")
    assert {split: (found["images"], found["cells"]) for split, found in report["splits"].items()} == {
        "train": (2, 4),
        "test": (2, 4),
    }
    assert open_images(tmp_path / "train").names == [f"A172_Phase_train_1_00d00h00m_{number}" for number in (1, 2)]


def hash_of(name):
    return sum(map(ord, name)) * 1000


def livecell(tmp_path, root):
    """LIVECell's structure: annotations as a mapping, two ids for one file, splits that overlap, subsets as files of their own."""
    here = tmp_path / "livecell"
    cells = [[box(1, 1, 5, 5)], [box(6, 2, 12, 9)]]
    for split, folder in (("train", "livecell_train_val_images"), ("test", "livecell_test_images")):
        names = [f"A172_Phase_{split}_{number}.tif" for number in range(6)] + ["BV2_Phase_both_1.tif"]
        entries = named(*names)
        found = [
            *objects(*cells, image_id=1),
            *objects(cells[0], image_id=2, first=3),
            *objects(cells[1], image_id=3, first=4),
        ]
        found += [*objects(cells[0], cells[0], image_id=4, first=5), *objects(cells[0], image_id=5, first=8)]
        found += objects(cells[1], image_id=7, first=9)
        # The second image stands there once more, with both cells; the sixth has none.
        entries.append(named(names[1])[0] | {"id": 99})
        found += objects(*cells, image_id=99, first=20)
        for number, name in enumerate(names):
            path = here / "images" / folder / name
            save(path, image_of(hash_of("both") if "both" in name else hash_of(split) + number))
        write(here, entries, {str(each["id"]): each for each in found}, at=f"annotations/livecell_coco_{split}.json")
    for percent, count in (("2", 1), ("4", 2), ("5", 3), ("25", 4), ("50", 5)):
        listed = named(*(f"A172_Phase_train_{number}.tif" for number in range(count)))
        (here / f"annotations/{SUBSETS[percent]}").write_text(json.dumps({"images": listed, "annotations": {}}))
    return dataset_of(root, "livecell") | {"channels": "grey"}


SUBSETS = {
    "2": "0_train2percent.json",
    "4": "1_train4percent.json",
    "5": "2_train5percent.json",
    "25": "3_train25percent.json",
    "50": "4_train50percent.json",
}


def test_livecell_with_all_its_oddities(tmp_path, root):
    report = prepare(livecell(tmp_path, root), "livecell", tmp_path, tmp_path / "train", tmp_path / "test")
    train, test = report["splits"]["train"], report["splits"]["test"]
    assert (train["images"], train["cells"]) == (5, 7)
    assert train["resolved"] == {
        "covered": 1,
        "images_named_twice": 1,
        "images_without_cells": 1,
        "in_both_splits": 1,
        "overlapping": 1,
        "overlapping_pixels": 16,
    }
    assert (test["images"], test["cells"]) == (6, 8)


def test_official_subsets_of_livecell_are_selectors(tmp_path, root):
    prepare(livecell(tmp_path, root), "livecell", tmp_path, tmp_path / "train", tmp_path / "test")
    cut(open_images(tmp_path / "train"), tmp_path / "patches", size=8, stride=8)
    patches = read_table(tmp_path / "patches/patches.csv")
    selection = select("official", None, 0, patches=patches)
    for percent, count in (("2", 1), ("5", 3), ("50", 5)):
        chosen = patches.iloc[np.asarray(take(selection, "official", percent, 10))]
        assert chosen["image"].unique().tolist() == [f"A172_Phase_train_{number}" for number in range(count)]
        assert len(chosen) == 6 * count
    with pytest.raises(
        ValueError, match=r"official10: the dataset's publishers list no such subset, but 2, 4, 5, 25, 50 %"
    ):
        take(selection, "official", "10", 10)
    with pytest.raises(ValueError, match="name them in `subsets`"):
        select("official", None, 0, patches=patches.drop(columns="official"))


def test_coco_as_published_with_images_that_have_no_objects(tmp_path, root):
    here = tmp_path / "coco"
    for split, folder in (("train", "train2017"), ("val", "val2017")):
        names = [f"{number:012d}.jpg" for number in range(3)]
        if split == "val":
            names = [
                name.replace("0.jpg", "7.jpg").replace("01.jpg", "08.jpg").replace("2.jpg", "9.jpg") for name in names
            ]
        for number, name in enumerate(names):
            shape = (HEIGHT, WIDTH, 3) if number else (HEIGHT, WIDTH)  # a few are grey
            save(here / folder / name, image_of(hash_of(name), shape))
        found = objects([box(1, 1, 9, 9)]) + objects([box(1, 1, 9, 9)], image_id=2, first=2, iscrowd=1)
        write(here, named(*names), found, at=f"annotations/instances_{folder}.json")
    dataset = dataset_of(root, "coco") | {"channels": "grey"}
    report = prepare(dataset, "coco", tmp_path, tmp_path / "train", tmp_path / "test")
    for split in report["splits"].values():
        assert split["images"] == split["cells"] == 1
        assert split["resolved"] == {"crowd_regions": 1, "images_without_cells": 2}


def test_a_split_of_which_nothing_is_left_is_told(tmp_path, root):
    save(tmp_path / "coco/train2017/a.jpg", image_of(0))
    save(tmp_path / "coco/val2017/b.jpg", image_of(1))
    write(tmp_path / "coco", named("a.jpg"), [], at="annotations/instances_train2017.json")
    write(tmp_path / "coco", named("b.jpg"), objects([box(1, 1, 9, 9)]), at="annotations/instances_val2017.json")
    dataset = dataset_of(root, "coco") | {"channels": "grey"}
    with pytest.raises(DataError, match=r"train: all 1 images are without cells or do not count; take other images"):
        prepare(dataset, "coco", tmp_path, tmp_path / "train", tmp_path / "test")


def test_a_listing_does_not_parse_and_changes_with_the_files(tmp_path, root):
    dataset = dataset_of(root, "coco")
    assert listing(dataset, tmp_path).startswith("0 files")
    save(tmp_path / "coco/train2017/a.png", image_of(0))
    (tmp_path / "coco/annotations").mkdir()
    annotations = tmp_path / "coco/annotations/instances_train2017.json"
    annotations.write_text("no JSON at all")
    seen = {listing(dataset, tmp_path)}
    annotations.write_text("other text, no JSON")
    seen.add(listing(dataset, tmp_path))
    save(tmp_path / "coco/train2017/b.png", image_of(0))
    seen.add(listing(dataset, tmp_path))
    assert len(seen) == 3
    assert listing(dataset, tmp_path).startswith("3 files")


SOUND = {"images": named("a.png", "b.png"), "annotations": objects([box(1, 1, 5, 5)]), "categories": []}

# A change of the sound file, and what must be said of it.
BAD_FILES = {
    "no object": ([], None, "has no `images` and `annotations`; take the file of instance annotations"),
    "no annotations": (["annotations"], None, "has no `images` and `annotations`"),
    "no images": (["images"], [], "`images` is not a list of images"),
    "image without a name": (["images", 1, "file_name"], None, r"the images at 1 of `images` \(counted from 0\) lack"),
    "image without a size": (["images", 0, "height"], 3.5, "the images at 0 of `images`"),
    "image id twice": (["images", 1, "id"], 1, "1 is the id of more than one image; give each its own"),
    "annotations as text": (["annotations"], "none", "`annotations` is neither a list nor a mapping"),
    "annotation without outline": (
        ["annotations", 0, "segmentation"],
        None,
        "the annotations at 0 of `annotations` lack",
    ),
    "annotation of no image": (["annotations", 0, "image_id"], 7, r"the annotations 1 \(image 7\) are of images that"),
    "annotation of a list": (
        ["annotations", 0, "image_id"],
        [1],
        r"the annotations 1 \(image \[1\]\) are of images that",
    ),
    "image that is not there": (["images", 1, "file_name"], "c.png", "the images c.png are not in .*/images; unpack"),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_file_that_is_wrong_as_a_whole_is_told(tmp_path, fault):
    keys, value, message = BAD_FILES[fault]
    content = copy.deepcopy(SOUND)
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    if not keys:
        content = [content]
    elif value is None:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    for name in ("a.png", "b.png"):
        save(tmp_path / "images" / name, image_of(0))
    path = tmp_path / "annotations/a.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"annotations/a.json: {message}"):
        coco.find(tmp_path, OPTIONS)


def test_a_file_that_is_no_json_or_missing_is_told(tmp_path):
    save(tmp_path / "images/a.png", image_of(0))
    with pytest.raises(DataError, match=r"no file fits 'annotations/a.json' here.*Correct `annotations`"):
        coco.find(tmp_path, OPTIONS)
    write(tmp_path, SOUND["images"], SOUND["annotations"])
    path = tmp_path / "annotations/a.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(DataError, match=r"a.json: cannot be read as JSON \(JSONDecodeError.*download it again"):
        coco.find(tmp_path, OPTIONS)


def test_missing_and_unclear_images_are_told(tmp_path):
    write(tmp_path, named("a.png"), [])
    with pytest.raises(DataError, match=r"no file fits 'images/\*\*/\*'.*Correct `images`"):
        coco.find(tmp_path, OPTIONS)
    for folder in ("x", "y"):
        save(tmp_path / f"images/{folder}/a.png", image_of(0))
    with pytest.raises(DataError, match=r"the same image could be each of .*x/a.png, .*y/a.png; take all but one out"):
        coco.find(tmp_path, OPTIONS)
    write(tmp_path, named("y/a.png"), [])
    (case,) = coco.find(tmp_path, OPTIONS)
    assert case.image == tmp_path / "images/y/a.png"


BAD_SEGMENTATIONS = {
    "odd": ([box(1, 1, 5, 5)[:-1]], "polygon 1 has 7 numbers, which are no pairs of x and y"),
    "no number": ([[1, 1, 4, None, 3, 3]], "polygon 1 is not a list of finite numbers"),
    "words": ([["a", 1, 4, 2, 3, 3]], "polygon 1 is not a list of finite numbers"),
    "not finite": ([[1, 1, 4, float("nan"), 3, 3]], "polygon 1 is not a list of finite numbers"),
    "no polygon": ([], "its segmentation is neither polygons nor run lengths"),
    "text": ("1 2 3", "its segmentation is neither polygons nor run lengths"),
    "short runs": ({"size": [12, 17], "counts": [9, 9]}, "the run lengths sum to 18, not to the 12x17 = 204 pixels"),
    "long runs": ({"size": [12, 17], "counts": [9, 900]}, "the run lengths sum to 909, not to the 12x17 = 204 pixels"),
    "negative run": ({"size": [12, 17], "counts": [209, -5]}, "run 1 has the negative length -5"),
    "runs of another size": ({"size": [17, 12], "counts": [204]}, r"those of the size \[17, 12\], not \[12, 17\]"),
    "runs without counts": ({"size": [12, 17]}, "the counts of its run lengths are neither a text nor whole numbers"),
    "fractions": ({"size": [12, 17], "counts": [2.5, 201.5]}, "neither a text nor whole numbers"),
    "wrong text": (
        {"size": [12, 17], "counts": "~~"},
        r"character 0 \('~'\) does not belong to compressed run lengths",
    ),
}


@pytest.mark.parametrize("fault", BAD_SEGMENTATIONS)
def test_an_annotation_that_is_wrong_is_told_with_its_number(tmp_path, fault):
    segmentation, message = BAD_SEGMENTATIONS[fault]
    with pytest.raises(DataError, match=rf"a.json: annotation 41 of the image a.png: .*{message}; correct it"):
        load_one(tmp_path, segmentation, first=41)


def test_an_image_of_another_size_than_annotated_is_told(tmp_path):
    write(tmp_path, named("a.png"), objects([box(1, 1, 5, 5)]))
    save(tmp_path / "images/a.png", image_of(0, (WIDTH, HEIGHT)))
    (case,) = coco.find(tmp_path, OPTIONS)
    with pytest.raises(DataError, match=r"images/a.png: is 17x12 pixels, but 12x17 in .*a.json; take the image"):
        coco.load(case)


@pytest.mark.peer
def test_a_file_of_annotations_means_what_pycocotools_makes_of_it(tmp_path):
    """Objects that do not overlap, so that no rule decides: each must have the pixels that its peer gives it."""
    peer = pytest.importorskip("pycocotools.coco")
    masks = pytest.importorskip("pycocotools.mask")
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    segmentations, size = [], [120, 160]
    for number in range(12):
        y, x = 20 + 40 * (number // 4), 20 + 40 * (number % 4)
        ring = np.stack([x + 13 * np.cos(angle), y + 9 * np.sin(angle + number / 9)], axis=1).round(2)
        counts = masks.merge(masks.frPyObjects([ring.ravel().tolist()], *size))
        text = {"size": size, "counts": counts["counts"].decode()}
        segmentations.append([ring[:21].ravel().tolist(), ring[20:].ravel().tolist()] if number % 2 else text)
    save(tmp_path / "images/a.png", image_of(0, tuple(size)))
    write(tmp_path, [{"id": 1, "file_name": "a.png", "height": 120, "width": 160}], objects(*segmentations))
    (case,) = coco.find(tmp_path, OPTIONS)
    labels = coco.load(case).labels
    truth = peer.COCO(tmp_path / "annotations/a.json")
    assert labels.max() == len(truth.anns) == 12
    for annotation in truth.anns.values():
        theirs = truth.annToMask(annotation).astype(bool)
        (number,) = set(np.unique(labels[theirs])) - {0}
        ours = labels == number
        if isinstance(annotation["segmentation"], dict):
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert (ours & theirs).sum() / (ours | theirs).sum() > 0.93
