"""The synthetic microscope: same seed, same bits; labels that a segmentation model can be trained on."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import ndimage
from skimage.segmentation import find_boundaries

from frugalseg.data.synthetic import DOMAINS, draw
from frugalseg.data.synthetic.optics import EOSIN, HAEMATOXYLIN, cloud, expose, fibres, illumination, transmit
from frugalseg.data.synthetic.shapes import OUTSIDE, Population, draw_scene, settle

SIZE = 192
DATASETS = Path(__file__).parents[2] / "config" / "datasets"


@pytest.fixture(scope="module", params=sorted(DOMAINS))
def domain(request):
    return request.param


@pytest.fixture(scope="module")
def drawn(domain):
    """One deck of looks: every look of the domain."""
    return list(draw(domain, len(DOMAINS[domain].LOOKS), SIZE, seed=0, split="train"))


def test_same_seed_same_bits_and_more_images_keep_the_earlier(domain, drawn):
    again = list(draw(domain, 3, SIZE, seed=0, split="train"))
    for (name, image, labels), (name_again, image_again, labels_again) in zip(drawn[:3], again, strict=True):
        assert name == name_again
        np.testing.assert_array_equal(image, image_again)
        np.testing.assert_array_equal(labels, labels_again)


@pytest.mark.parametrize("other", [{"seed": 1, "split": "train"}, {"seed": 0, "split": "test"}])
def test_seeds_and_splits_share_no_image(domain, drawn, other):
    for _, image, labels in draw(domain, 3, SIZE, **other):
        assert not any(np.array_equal(labels, seen) for _, _, seen in drawn)
        assert not any(np.array_equal(image, seen) for _, seen, _ in drawn)


def test_domains_share_no_label_image(drawn, domain):
    other = next(name for name in sorted(DOMAINS) if name != domain)
    for _, _, labels in draw(other, 3, SIZE, seed=0, split="train"):
        assert not any(np.array_equal(labels, seen) for _, _, seen in drawn)


def test_a_deck_deals_every_look_once(monkeypatch):
    dealt = []
    looks = tuple(lambda rng, size, card=card: (dealt.append(card), np.zeros((size, size)))[:2] for card in range(5))
    monkeypatch.setattr(DOMAINS["histo"], "LOOKS", looks)
    list(draw("histo", 40, SIZE, seed=0, split="train"))
    decks = [tuple(dealt[start : start + 5]) for start in range(0, 40, 5)]
    assert all(sorted(deck) == [0, 1, 2, 3, 4] for deck in decks)
    assert len(set(decks)) > 1


def test_images_are_8_bit_and_use_their_range(domain, drawn):
    channels = set()
    for name, image, labels in drawn:
        assert name.startswith(f"{domain}_train_")
        assert image.dtype == np.uint8
        assert image.shape in [(SIZE, SIZE), (SIZE, SIZE, 3)]
        assert labels.dtype == np.int32
        assert labels.shape == (SIZE, SIZE)
        low, high = np.percentile(image, [1, 99])
        assert high - low >= 20, f"{name} is all but blank"
        channels.add(image.ndim)
    assert channels == {"cyto": {2}, "histo": {3}, "multi": {2, 3}}[domain]


def test_labels_count_from_one_and_cells_are_whole(drawn):
    for name, _, labels in drawn:
        areas = np.bincount(labels.ravel())
        assert len(areas) > 5, f"{name} has next to no cells"
        assert areas[1:].min() >= 9
        for number, box in enumerate(ndimage.find_objects(labels), start=1):
            _, pieces = ndimage.label(labels[box] == number)
            assert pieces == 1, f"cell {number} of {name} is in {pieces} pieces"


def test_windows_hold_enough_cells_to_train_on(domain, drawn):
    cells = [
        len(np.unique(labels[y : y + 96, x : x + 96])) - 1
        for _, _, labels in drawn
        for y in range(0, SIZE - 95, 48)
        for x in range(0, SIZE - 95, 48)
    ]
    # Training leaves out patches of fewer than 5 cells; the fewer of them the better.
    assert np.mean(np.array(cells) >= 5) >= 0.9
    assert 10 <= np.median(cells) <= 60


def test_cells_of_cyto_and_histo_are_of_the_size_the_patches_are_made_for(domain, drawn):
    if domain == "multi":
        return
    areas = np.concatenate([np.bincount(labels.ravel())[1:] for _, _, labels in drawn])
    diameters = 2 * np.sqrt(areas / np.pi)
    assert np.mean((diameters >= 8) & (diameters <= 26)) >= 0.8
    assert 10 <= np.median(diameters) <= 20


def test_every_domain_has_crowds_and_cells_that_stand_alone(drawn):
    touching = [_touching(labels) for _, _, labels in drawn]
    assert max(touching) > 0.7
    assert min(touching) < 0.7


def test_cells_of_cyto_are_mostly_bright_and_nuclei_of_histo_dark():
    def brighter(domain):
        return [
            image.reshape(SIZE, SIZE, -1).mean(-1)[labels > 0].mean() > image[labels == 0].mean()
            for _, image, labels in draw(domain, len(DOMAINS[domain].LOOKS), SIZE, seed=0, split="train")
        ]

    assert 0.6 < np.mean(brighter("cyto")) < 1  # the looks of left-out dye are the others
    assert not any(brighter("histo"))


@pytest.mark.parametrize("size", [64, 100, 257])
def test_any_size_can_be_drawn(domain, size):
    for _, image, labels in draw(domain, len(DOMAINS[domain].LOOKS), size, seed=3, split="train"):
        assert image.shape[:2] == labels.shape == (size, size)


def test_an_unknown_domain_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'cito'.*cyto, histo, multi"):
        draw("cito", 1, SIZE, seed=0, split="train")


@pytest.mark.parametrize(
    ("wrong", "name"), [({"images": -1}, "images"), ({"size": 63}, "size"), ({"seed": -1}, "seed")]
)
def test_numbers_out_of_range_are_refused_by_name(wrong, name):
    arguments = {"images": 1, "size": SIZE, "seed": 0} | wrong
    with pytest.raises(ValueError, match=name):
        draw("cyto", **arguments, split="train")


def test_the_dataset_files_name_a_domain_each():
    for domain in DOMAINS:
        dataset = yaml.safe_load((DATASETS / f"synthetic_{domain}.yaml").read_text())
        assert dataset["source"] == "synthetic"
        assert dataset["domain"] == domain
        for split in ("train", "test"):
            first = next(draw(domain, dataset[split], dataset["size"], dataset["seed"], split))
            assert first[2].max() >= 5


def test_settle_keeps_the_largest_piece_and_drops_fragments():
    labels = np.zeros((20, 20), np.int32)
    labels[0:5, 0:10] = 7  # cut in two by the next: 20 and 25 pixels stay, the larger counts
    labels[0:5, 4:5] = 3  # 5 pixels, a fragment
    labels[10:13, 10:13] = 12  # 9 pixels, just enough
    labels[15:17, 0:4] = 9  # 8 pixels, one too few
    labels[16, 17] = labels[17, 18] = labels[18, 19] = 5  # touches by corners only
    expected = np.zeros_like(labels)
    expected[0:5, 5:10] = 1
    expected[10:13, 10:13] = 2
    settled = settle(labels)
    assert settled.dtype == np.int32
    np.testing.assert_array_equal(settled > 0, expected > 0)
    assert sorted(np.unique(settled)) == [0, 1, 2]
    assert len(np.unique(settled[0:5, 5:10])) == len(np.unique(settled[10:13, 10:13])) == 1


def test_settle_of_nothing_is_nothing():
    assert not settle(np.zeros((8, 8), np.int32)).any()


def test_the_maps_of_a_scene_agree():
    scene = draw_scene(np.random.default_rng(0), SIZE, Population(diameter=16, cover=0.5, gap=0.7))
    assert ((scene.radius < 1) == scene.inside).all()
    assert ((scene.layers > 0) == scene.inside).all()
    assert (scene.radius[~scene.inside] == OUTSIDE).all()
    assert (scene.nucleus[~scene.inside] == OUTSIDE).all()
    assert scene.layers.max() > 1  # a gap below 1 makes cells overlap
    outlines = np.argwhere(find_boundaries(scene.labels, mode="inner"))
    for y, x in np.random.default_rng(1).integers(0, SIZE, (50, 2)):
        assert scene.edge[y, x] == pytest.approx(np.hypot(*(outlines - [y, x]).T).min())


def test_round_cells_have_the_area_of_their_diameter_and_keep_their_distance():
    population = Population(diameter=20, cover=0.2, spread=0, lobes=0, gap=1.3, clustering=0, least=0)
    scene = draw_scene(np.random.default_rng(0), 384, population)
    whole = [
        number
        for number, (rows, columns) in enumerate(ndimage.find_objects(scene.labels), start=1)
        if min(rows.start, columns.start) > 0 and max(rows.stop, columns.stop) < 384
    ]
    np.testing.assert_allclose(scene.areas[whole], np.pi * 10**2, rtol=0.05)
    assert _touching(scene.labels) == 0


def test_a_density_of_zero_keeps_cells_away():
    density = np.ones((SIZE, SIZE))
    density[:, : SIZE // 2] = 0
    population = Population(diameter=12, cover=0.4, spread=0, elongation=1, lobes=0)
    labels = draw_scene(np.random.default_rng(0), SIZE, population, density=density).labels
    assert not labels[:, : SIZE // 2 - 8].any()
    assert labels[:, SIZE // 2 :].any()


@pytest.mark.parametrize("scale", [1.0, 6.0, 24.0])
def test_a_cloud_is_standardised_and_as_smooth_as_its_scale(scale):
    field = cloud(np.random.default_rng(0), 256, scale)
    assert field.mean() == pytest.approx(0, abs=1e-9)
    assert field.std() == pytest.approx(1)
    # White noise smoothed by a Gaussian has the autocorrelation exp(-lag^2 / (4 scale^2)).
    lag = round(2 * scale)
    correlation = (field * np.roll(field, lag, axis=1)).mean()
    assert correlation == pytest.approx(np.exp(-(lag**2) / (4 * scale**2)), abs=0.2)


def test_fibres_run_along_their_angle():
    field = fibres(np.random.default_rng(0), 128, angle=0.0, width=2.0, waviness=0.0)
    assert field.min() >= 0
    assert field.max() <= 1
    assert np.abs(np.diff(field, axis=0)).mean() > 5 * np.abs(np.diff(field, axis=1)).mean()


def test_illumination_falls_by_its_strength():
    light = illumination(np.random.default_rng(0), 64, 0.4)
    assert light.shape == (64, 64)
    assert light.min() == pytest.approx(0.6)
    assert light.max() <= 1


def test_exposure_has_the_noise_of_its_photons():
    picture = expose(np.random.default_rng(0), np.full((200, 200), 0.5), photons=400, read_noise=0.02)
    assert picture.mean() / 255 == pytest.approx(0.5, abs=0.002)
    assert picture.std() / 255 == pytest.approx(np.sqrt(0.5 / 400 + 0.02**2), rel=0.03)


def test_transmission_follows_beer_and_lambert():
    light = transmit(np.array([[0.0, 1.0]]), np.array([[0.0, 2.0]]))
    np.testing.assert_allclose(light[0, 0], 1)
    np.testing.assert_allclose(-np.log(light[0, 1]), HAEMATOXYLIN + 2 * EOSIN)


def _touching(labels):
    """Count the part of cells that have another cell beside one of their pixels, pixel by pixel."""
    touching = set()
    for first, second in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        beside = (first != second) & (first > 0) & (second > 0)
        touching |= set(first[beside]) | set(second[beside])
    return len(touching) / max(labels.max(), 1)
