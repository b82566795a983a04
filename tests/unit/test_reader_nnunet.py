"""The reader of nnU-Net's raw datasets: formats, slices, cells from classes, folds, and every fault with its file."""

import json
from collections import deque

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from frugalseg.data.checks import DataError, Problems
from frugalseg.data.prepare import prepare
from frugalseg.data.readers import nnunet
from frugalseg.data.sources import listing, samples
from frugalseg.data.stores import open_images
from frugalseg.study.dataset import completed

TRAIN, TEST = {"folder": "imagesTr"}, {"folder": "imagesTs"}
DATASET = {
    "title": "Raw",
    "source": "path",
    "reader": "nnunet",
    "root": "{data_root}/Dataset001_Cells",
    "channels": "grey",
    "splits": {"train": TRAIN, "test": TEST},
}


def picture(seed, shape=(20, 30)):
    return np.random.default_rng(seed).integers(0, 250, shape, dtype=np.uint8)


def classes(shape=(20, 30)):
    """Two cells of class 1, one of class 2 that touches one of them."""
    labels = np.zeros(shape, np.uint8)
    labels[..., 2:6, 2:6] = labels[..., 10:15, 20:25] = 1
    labels[..., 6:9, 2:6] = 2
    return labels


def save(path, array, spacing=(1, 1, 1)):
    """Write an array (Y, X), (Z, Y, X) or (Y, X, colour) in the format that the name asks for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if ".nii" in path.name:
        affine = np.diag([*spacing[::-1], 1])
        image = nibabel.Nifti1Image(array.T, affine)
        nibabel.save(image, path)
    elif path.suffix == ".png":
        Image.fromarray(array).save(path)
    else:
        tifffile.imwrite(path, array, photometric="minisblack")


def describe(root, **changes):
    content = {
        "channel_names": {"0": "grey"},
        "labels": {"background": 0, "cell": 1, "other": 2},
        "numTraining": 3,
        "file_ending": ".png",
    } | changes
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(content))


def add(root, split, name, images, labels, ending=".png", **options):
    for channel, image in enumerate(images):
        save(root / f"images{split}/{name}_{channel:04d}{ending}", image, **options)
    if labels is not None:
        save(root / f"labels{split}/{name}{ending}", labels, **options)


@pytest.fixture
def root(tmp_path):
    """A sound dataset of three training images and one test image."""
    folder = tmp_path / "Dataset001_Cells"
    describe(folder)
    for seed in range(4):
        add(folder, "Ts" if seed == 3 else "Tr", f"case_{seed}", [picture(seed)], classes())
    return folder


def one(tmp_path, images, segmentation, options=TRAIN, ending=".png", spacing=(1, 1, 1), **changes):
    """The sample of a dataset of one case."""
    names = {str(channel): f"channel {channel}" for channel in range(len(images))}
    describe(tmp_path, **{"channel_names": names, "numTraining": 1, "file_ending": ending} | changes)
    add(tmp_path, "Tr", "a.1", images, segmentation, ending, spacing=spacing)
    (case,) = nnunet.find(tmp_path, options)
    return nnunet.load(case)


def flood(labels):
    """Connected components of each class, pixel by pixel; diagonal neighbours are connected."""
    cells, count = np.zeros(labels.shape, int), 0
    for start in np.ndindex(labels.shape):
        if not labels[start] or cells[start]:
            continue
        count += 1
        cells[start], queue = count, deque([start])
        while queue:
            y, x = queue.popleft()
            for near in ((y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
                inside = all(0 <= place < length for place, length in zip(near, labels.shape, strict=True))
                if inside and not cells[near] and labels[near] == labels[start]:
                    cells[near] = count
                    queue.append(near)
    return cells


@pytest.mark.parametrize("ending", [".png", ".tif", ".tiff", ".nii", ".nii.gz"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_flat_images_of_every_format_and_number_of_channels(tmp_path, ending, count):
    images = [picture(seed) for seed in range(count)]
    sample = one(tmp_path, images, classes(), ending=ending)
    assert sample.name == "a.1"
    assert sample.image.endswith(f"imagesTr/a.1_0000{ending}")
    np.testing.assert_array_equal(sample.pixels, images)
    np.testing.assert_array_equal(sample.labels, flood(classes()))
    assert sample.labels.max() == 3


def test_colour_lies_in_one_file(tmp_path):
    colour = picture(0, (20, 30, 3))
    names = {"0": "R", "1": "G", "2": "B"}
    sample = one(tmp_path, [colour], classes(), channel_names=names)
    np.testing.assert_array_equal(sample.pixels, colour.transpose(2, 0, 1))


@pytest.mark.parametrize("ending", [".nii.gz", ".tif"])
@pytest.mark.parametrize("depth", [1, 6, 7])
def test_the_middle_slice_of_a_volume(tmp_path, ending, depth):
    volumes = [picture(seed, (depth, 20, 30)) for seed in (0, 1)]
    labels = np.zeros((depth, 20, 30), np.uint8)
    labels[depth // 2] = classes()
    sample = one(tmp_path, volumes, labels, ending=ending)
    np.testing.assert_array_equal(sample.pixels, [volume[depth // 2] for volume in volumes])
    np.testing.assert_array_equal(sample.labels, flood(classes()))
    assert ("(slice" in sample.image) == (depth > 1)
    if depth > 1:
        assert sample.label.endswith(f"labelsTr/a.1{ending} (slice {depth // 2 + 1} of {depth})")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_is_sliced_across_its_coarsest_spacing(tmp_path, axis):
    spacing = np.where(np.arange(3) == axis, 5.0, 0.7)
    volume, labels = picture(0, (18, 20, 22)), np.zeros((18, 20, 22), np.uint8)
    labels[7:12, 8:13, 9:14] = 1
    sample = one(tmp_path, [volume], labels, ending=".nii.gz", spacing=spacing)
    middle = volume.shape[axis] // 2
    np.testing.assert_array_equal(sample.pixels[0], volume.take(middle, axis))
    np.testing.assert_array_equal(sample.labels > 0, labels.take(middle, axis) > 0)


def test_scaled_nifti_has_its_true_values(tmp_path):
    describe(tmp_path, numTraining=1, file_ending=".nii")
    stored = picture(0).astype(np.int16)
    image = nibabel.Nifti1Image(stored.T, np.eye(4))
    image.header.set_slope_inter(2, -1000)
    add(tmp_path, "Tr", "a", [stored], classes().astype(np.float32), ".nii")
    nibabel.save(image, tmp_path / "imagesTr/a_0000.nii")
    scaled = nibabel.load(tmp_path / "imagesTr/a_0000.nii").get_fdata().T
    sample = nnunet.load(nnunet.find(tmp_path, TRAIN)[0])
    np.testing.assert_allclose(sample.pixels[0], scaled)
    assert sample.labels.max() == 3


@pytest.mark.parametrize("seed", range(3))
def test_cells_are_the_connected_components_of_each_class(tmp_path, seed):
    labels = np.random.default_rng(seed).integers(0, 3, (20, 30), dtype=np.uint8)
    sample = one(tmp_path, [picture(seed)], labels)
    reference = flood(labels)
    assert sample.labels.dtype == np.int32
    pairs = np.unique(np.stack([sample.labels.ravel(), reference.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == reference.max() + 1


def test_numbers_of_cells_are_kept_where_the_dataset_says_so(tmp_path):
    labels = np.zeros((20, 30), np.uint16)
    labels[2:6, 2:6], labels[2:6, 6:9], labels[10:12, 3:5], labels[15:18, 3:5] = 7, 300, 9, 9
    sample = one(tmp_path, [picture(0)], labels, options=TRAIN | {"instances": "labels"})
    np.testing.assert_array_equal(sample.labels, labels)


def test_regions_name_their_parts(tmp_path):
    regions = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "ignore": 4}
    sample = one(tmp_path, [picture(0)], classes() * 3 // 2, labels=regions, regions_class_order=[1, 2])
    np.testing.assert_array_equal(sample.labels, flood(classes()))


def test_a_dataset_goes_all_the_way(root, tmp_path):
    (root / "imagesTr/._case_0_0000.png").write_bytes(b"")
    (root / "imagesTr/case_0.json").write_text("{}")
    report = prepare(DATASET, "raw", tmp_path, tmp_path / "train", tmp_path / "test")
    assert {split: values["images"] for split, values in report["splits"].items()} == {"train": 3, "test": 1}
    assert report["splits"]["train"]["cells"] == 9
    assert open_images(tmp_path / "train").names == ["case_0", "case_1", "case_2"]


def test_a_listing_knows_every_file(root, tmp_path):
    describe(root, channel_names={"0": "a", "1": "b"})
    for seed in range(4):
        save(root / f"images{'Ts' if seed == 3 else 'Tr'}/case_{seed}_0001.png", picture(seed + 9))
    before = listing(DATASET, tmp_path)
    assert before.startswith("13 files")
    describe(root, channel_names={"0": "a", "1": "another"})
    described = listing(DATASET, tmp_path)
    save(root / "imagesTr/case_1_0001.png", picture(99, (20, 31)))
    assert len({before, described, listing(DATASET, tmp_path)}) == 3
    (root / "dataset.json").unlink()
    assert listing(DATASET, tmp_path).startswith("0 files")


def folds_of(root, **options):
    return [case.name for case in nnunet.find(root, TRAIN | options)]


@pytest.fixture
def many(tmp_path):
    describe(tmp_path, numTraining=12)
    for seed in range(12):
        add(tmp_path, "Tr", f"c{seed:02d}", [picture(seed)], classes())
    return tmp_path


def test_folds_part_the_training_cases(many):
    names = [f"c{seed:02d}" for seed in range(12)]
    validated = [folds_of(many, fold=fold) for fold in range(5)]
    assert sorted(name for fold in validated for name in fold) == folds_of(many) == names
    assert [len(fold) for fold in validated] == [3, 3, 2, 2, 2]
    for fold in range(5):
        assert sorted(folds_of(many, without_fold=fold) + validated[fold]) == names


@pytest.mark.peer
def test_folds_are_those_of_nnunet(many):
    peer = pytest.importorskip("nnunetv2.utilities.crossval_split", reason="nnunetv2 is missing")
    for fold, expected in enumerate(peer.generate_crossval_split([f"c{seed:02d}" for seed in range(12)])):
        assert folds_of(many, fold=fold) == list(expected["val"])
        assert folds_of(many, without_fold=fold) == list(expected["train"])


@pytest.mark.peer
@pytest.mark.parametrize("ending", [".png", ".nii.gz"])
def test_pixels_lie_as_in_nnunet(tmp_path, ending):
    readers = pytest.importorskip("nnunetv2.imageio.reader_writer_registry", reason="nnunetv2 is missing")
    shape = (20, 30) if ending == ".png" else (7, 20, 30)
    images, labels = [picture(seed, shape) for seed in (0, 1)], classes(shape)
    sample = one(tmp_path, images, labels, ending=ending)
    reader = readers.determine_reader_writer_from_file_ending(ending, verbose=False)()
    pixels, _ = reader.read_images([str(tmp_path / f"imagesTr/a.1_{channel:04d}{ending}") for channel in (0, 1)])
    segmentation, _ = reader.read_seg(str(tmp_path / f"labelsTr/a.1{ending}"))
    middle = pixels.shape[1] // 2
    np.testing.assert_array_equal(sample.pixels, pixels[:, middle])
    np.testing.assert_array_equal(sample.labels, flood(segmentation[0, middle].astype(int)))


def faults(root):
    problems = Problems()
    for split in ("train", "test"):
        list(samples(DATASET, split, root.parent, problems))
    with pytest.raises(DataError) as caught:
        problems.raise_any("raw")
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines()[1:]]


def without(*paths):
    return lambda root: [(root / path).unlink() for path in paths]


def saved(path, array):
    return lambda root: save(root / path, array)


def described(**changes):
    return lambda root: describe(root, **changes)


def no_labels_of_the_test(root):
    (root / "labelsTs/case_3.png").unlink()
    (root / "labelsTs").rmdir()


def another_ending(root):
    (root / "imagesTr/case_0_0000.png").rename(root / "imagesTr/case_0_0000.tif")
    (root / "labelsTr/case_0.png").rename(root / "labelsTr/case_0.tif")


SEVEN = classes()
SEVEN[0, :3] = 7, 9, 200
# What is done to a sound dataset, and the starts of the lines that must come of it.
FAULTS = {
    "label without image": (
        without("imagesTr/case_1_0000.png"),
        ["{root}/labelsTr/case_1.png: has no image; expected {root}/imagesTr/case_1_0000.png"],
    ),
    "image without label": (
        without("labelsTr/case_1.png"),
        ["{root}/imagesTr/case_1_0000.png: has no label; expected {root}/labelsTr/case_1.png"],
    ),
    "test without labels": (
        no_labels_of_the_test,
        ["test: {root}/labelsTs: no file fits 'labelsTs/*.png' here, which does not exist; "],
    ),
    "missing channel": (
        described(channel_names={"0": "T1", "1": "T2"}),
        [
            "{root}/images" + name + "_0001.png: is missing, {root}/dataset.json names 2 channels (T1, T2)"
            for name in ("Tr/case_0", "Tr/case_1", "Tr/case_2", "Ts/case_3")
        ],
    ),
    "one channel too many": (
        saved("imagesTr/case_2_0001.png", picture(8)),
        ["{root}/imagesTr/case_2_0001.png: is one channel too many, {root}/dataset.json names 1 channel;"],
    ),
    "colour that is not named": (
        saved("imagesTr/case_2_0000.png", picture(8, (20, 30, 3))),
        ["{root}/imagesTr/case_2_0000.png: has 3 channels, which are not the 1 that {root}/dataset.json names;"],
    ),
    "unknown value": (
        saved("labelsTr/case_2.png", SEVEN),
        ["{root}/labelsTr/case_2.png: has the labels 7, 9, 200, which {root}/dataset.json does not name; name it"],
    ),
    "ignored pixels": (
        described(labels={"background": 0, "cell": 1, "ignore": 2}),
        [
            "{root}/labels" + name + ".png: has pixels to be ignored (label 2)"
            for name in ("Tr/case_0", "Tr/case_1", "Tr/case_2", "Ts/case_3")
        ],
    ),
    "another ending": (
        another_ending,
        [
            "train: {root}/imagesTr/case_0_0000.tif: does not fit '*_0000.png' as the other files here do, {root}/dataset.json"
        ],
    ),
    "no channel number": (
        saved("imagesTr/extra.png", picture(8)),
        ["train: {root}/imagesTr/extra.png: does not fit '*_0000.png'"],
    ),
    "another number of cases": (
        described(numTraining=5),
        ["train: {root}/dataset.json: numTraining is 5, but imagesTr and labelsTr hold 3 cases; "],
    ),
    "not an image": (
        lambda root: (root / "imagesTr/case_1_0000.png").write_bytes(b"text"),
        ["{root}/imagesTr/case_1_0000.png: cannot be read as an image ("],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told_with_its_file(root, fault):
    change, expected = FAULTS[fault]
    change(root)
    lines = faults(root)
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start.format(root=root))


def test_label_images_are_checked_like_all_others(root, tmp_path):
    for name, labels in (("case_0", np.zeros((20, 30), np.uint8)), ("case_1", classes((20, 29)))):
        save(root / f"labelsTr/{name}.png", labels)
    with pytest.raises(DataError) as caught:
        prepare(DATASET, "raw", tmp_path, tmp_path / "train", tmp_path / "test")
    _, smaller = str(caught.value).splitlines()
    assert f"{root}/labelsTr/case_1.png: the label image is 20x29 pixels, its image" in smaller


def test_fractions_are_no_labels(tmp_path):
    sample = one(tmp_path, [picture(0)], classes().astype(np.float32) / 2, ending=".tif")
    assert sample.labels.dtype == np.float32


@pytest.mark.parametrize(
    ("image", "labels", "sizes"),
    [((7, 20, 30), (6, 20, 30), "7x20x30 pixels, .* 6x20x30"), ((20, 30), (6, 20, 30), "20x30 pixels, .* 6x20x30")],
)
@pytest.mark.parametrize("ending", [".nii.gz", ".tif"])
def test_sizes_of_volumes_differ(tmp_path, ending, image, labels, sizes):
    with pytest.raises(DataError, match=rf"imagesTr/a\.1_0000{ending}: is {sizes}; take files that belong"):
        one(tmp_path, [picture(0, image)], classes(labels), ending=ending)


@pytest.mark.parametrize("ending", [".png", ".nii"])
def test_sizes_of_channels_differ(tmp_path, ending):
    with pytest.raises(DataError, match=rf"imagesTr/a\.1_0001{ending}: is 20x31 pixels, .* 20x30; take"):
        one(tmp_path, [picture(0), picture(1, (20, 31))], classes(), ending=ending)


def test_nifti_that_is_no_volume_is_told(tmp_path):
    with pytest.raises(DataError, match=r"labelsTr/a.1.nii: has the shape \(2, 3, 20, 30\) of uint8, which is neither"):
        one(tmp_path, [picture(0, (2, 3, 20, 30))], classes((2, 3, 20, 30)), ending=".nii")
    (tmp_path / "labelsTr/a.1.nii").write_bytes(b"no header")
    with pytest.raises(DataError, match=r"a.1.nii: cannot be read as an image \("):
        nnunet.load(nnunet.find(tmp_path, TRAIN)[0])


def test_too_few_cases_for_folds(root):
    with pytest.raises(DataError, match=r"imagesTr: holds 3 cases, too few for 5 folds"):
        nnunet.find(root, TRAIN | {"fold": 0})


DESCRIPTIONS = {
    "a list": ([], "is not the description of a dataset"),
    "version 1": ({"modality": {"0": "MRI"}, "labels": {"0": "background"}}, "is of nnU-Net 1"),
    "lacking": ({"labels": {}, "numTraining": 3}, "lacks channel_names, file_ending;"),
    "channels": ({"channel_names": {"1": "MRI"}}, 'channel_names must map "0", "1", ...'),
    "labels": ({"labels": {"background": 0, "cell": "1"}}, "labels must map the name of each class to its number"),
    "labels turned": ({"labels": {"0": "background", "1": "cell"}}, "labels must map the name of each class"),
    "background": ({"labels": {"cell": 1}}, "labels must name background, with the number 0"),
    "training": ({"numTraining": "3"}, "numTraining must be the number of training cases"),
    "ending": ({"file_ending": ".nrrd"}, "file_ending '.nrrd' is not read here, but .png, .bmp, .tif"),
}


@pytest.mark.parametrize("fault", DESCRIPTIONS)
def test_what_is_wrong_with_the_description_is_told(root, fault):
    content, message = DESCRIPTIONS[fault]
    if fault in {"a list", "version 1", "lacking"}:
        (root / "dataset.json").write_text(json.dumps(content))
    else:
        describe(root, **content)
    with pytest.raises(DataError) as caught:
        nnunet.find(root, TRAIN)
    assert str(caught.value).startswith(f"{root}/dataset.json: {message}")


def test_a_missing_or_broken_description_is_told(root):
    (root / "dataset.json").write_text("{")
    with pytest.raises(DataError, match=r"dataset.json: cannot be read as JSON \(JSONDecodeError"):
        nnunet.find(root, TRAIN)
    (root / "dataset.json").unlink()
    with pytest.raises(DataError, match=r"dataset.json: does not exist; `root` of the dataset must be the folder"):
        nnunet.find(root, TRAIN)


@pytest.mark.parametrize(
    ("options", "valid"),
    [
        (TRAIN, True),
        (TEST, True),
        (TRAIN | {"fold": 4}, True),
        (TRAIN | {"without_fold": 0, "instances": "labels"}, True),
        ({"folder": "imagesVal"}, False),
        ({}, False),
        (TRAIN | {"fold": 5}, False),
        (TRAIN | {"fold": 1, "without_fold": 1}, False),
        (TRAIN | {"instances": "classes"}, False),
        ({"image": "{name}.png", "label": "{name}.png"}, False),
    ],
)
def test_the_splits_are_checked(options, valid):
    dataset = DATASET | {"splits": {"train": options, "test": TEST}}
    assert (not completed(dataset)[1]) == valid
