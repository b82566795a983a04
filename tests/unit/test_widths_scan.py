"""The width scan: one score a cap, seed and image, and the crops it is made on."""

import numpy as np
import pandas as pd
import pytest
import torch

from frugalseg.data.normalize import normalize
from frugalseg.kernels.sensitivity import input_gradient_norm
from frugalseg.models import build
from frugalseg.widths.choice import free, over_seeds
from frugalseg.widths.scan import describe, scan, square_crops, values

CAPS = (16, 4, 1)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def norm_of(cap, seed, images):
    network = build(
        f"unet-cap{cap}", images.shape[1], 2, images.shape[-2:], generator=torch.Generator().manual_seed(seed)
    )
    return input_gradient_norm(network, torch.from_numpy(images))


def test_every_cap_seed_and_image():
    images = draw(2, 3, 32, 16)
    table = scan(images, [7, 3], CAPS)
    assert list(table.columns) == ["cap", "seed", "image", "value"]
    assert table[["cap", "seed", "image"]].to_numpy().tolist() == [
        [cap, seed, image] for cap in CAPS for seed in (7, 3) for image in (0, 1)
    ]
    for (cap, seed), rows in table.groupby(["cap", "seed"]):
        assert rows["value"].tolist() == pytest.approx(norm_of(cap, seed, images).tolist())


def test_rows_depend_on_nothing_but_their_cap_seed_and_image():
    images = draw(3, 1, 16, 16)
    torch.manual_seed(1)
    whole = scan(images, [0, 1], CAPS)
    torch.manual_seed(2)
    part = scan(torch.from_numpy(images[:2]), [1], CAPS[1:])
    merged = part.merge(whole, on=["cap", "seed", "image"], suffixes=("", "_whole"))
    assert len(merged) == len(part)
    np.testing.assert_allclose(merged["value"], merged["value_whole"], rtol=1e-3)
    pd.testing.assert_frame_equal(scan(images, [0, 1], CAPS), whole)


def test_values_for_the_choice():
    images = draw(2, 1, 16, 16)
    table = scan(images, [5, 2], CAPS)
    array = values(table.sample(frac=1, random_state=0))
    assert array.shape == (2, 3, 2)
    for s, seed in enumerate((2, 5)):
        for c, cap in enumerate(CAPS):
            rows = table[(table["cap"] == cap) & (table["seed"] == seed)]
            assert array[s, c].tolist() == rows["value"].tolist()
    assert set(over_seeds(free, array, CAPS)) <= set(CAPS)
    with pytest.raises(ValueError, match="every seed, cap and image"):
        values(table[1:])


def test_other_scores():
    table = scan(draw(3, 1, 16, 16), [0], CAPS, score=lambda _, images: images.sum(dim=(1, 2, 3)))
    assert table["image"].tolist() == [0, 1, 2] * 3
    counts = scan(
        draw(3, 1, 16, 16), [0], CAPS, score=lambda model, _: torch.tensor(sum(p.numel() for p in model.parameters()))
    )
    assert counts["image"].tolist() == [-1] * 3
    assert counts["value"].tolist() == describe([f"unet-cap{cap}" for cap in CAPS], 1, 16)["parameters"].tolist()
    with pytest.raises(ValueError, match=r"one for each of 3 images, but this gave \(2,\)"):
        scan(draw(3, 1, 16, 16), [0], CAPS, score=lambda _, images: images[:2].sum(dim=(1, 2, 3)))


def test_a_network_has_as_many_parameters_as_published():
    archs = {cap: f"unet-cap{cap}" for cap in (512, 8)}
    ours = describe(archs.values(), 3, 256)["parameters"].tolist()
    # Table 1 of Kimbowa et al. 2026, in thousands, with the heads that nnU-Net builds for deep supervision.
    heads = [build(arch, 3, 2, 256).deep_supervision_parameters for arch in archs.values()]
    assert [own + more for own, more in zip(ours, heads, strict=True)] == [33_472_396, 20_388]


def test_bad_scans():
    with pytest.raises(ValueError, match="at least one image"):
        scan(np.zeros((0, 1, 32, 32), np.float32), [0])
    with pytest.raises(ValueError, match=r"not \(32, 32\)"):
        scan(draw(32, 32), [0])
    with pytest.raises(ValueError, match="sides must be at least 8"):
        scan(draw(1, 1, 4, 4), [0])
    with pytest.raises(ValueError, match=r"take 112 x 128"):
        scan(draw(1, 1, 100, 128), [0])
    with pytest.raises(ValueError, match="from large to small"):
        scan(draw(1, 1, 16, 16), [0], [4, 0])
    for seeds in ([], [1, 1]):
        with pytest.raises(ValueError, match="seeds, each once"):
            scan(draw(1, 1, 16, 16), seeds, CAPS)
    with pytest.raises(ValueError, match="not finite"):
        scan(np.full((1, 1, 16, 16), np.nan, np.float32), [0], CAPS)


def test_centred_crops_are_spread_over_the_images():
    images = [np.full((1, 10 + number, 12), number, np.float32) for number in range(6)]
    images.insert(2, np.full((1, 4, 12), 99, np.float32))
    crops = square_crops(images, 8, 3)
    assert crops.shape == (3, 1, 8, 8)
    assert crops.dtype == np.float32
    assert crops[:, 0, 0, 0].tolist() == [0, 2, 4]
    ramp = np.arange(10 * 13, dtype=np.float32).reshape(1, 10, 13)
    np.testing.assert_array_equal(square_crops([ramp], 8, 1)[0], ramp[:, 1:9, 2:10])


def test_bad_crops():
    images = [draw(1, 20, 20), draw(1, 20, 7)]
    with pytest.raises(ValueError, match=r"2 crops of 8 x 8 .* 1 of 2 images are"):
        square_crops(images, 8, 2)
    with pytest.raises(ValueError, match="0 of 0 images"):
        square_crops([], 8, 1)
    with pytest.raises(ValueError, match="at least 1"):
        square_crops(images, 0, 1)
    with pytest.raises(ValueError, match="number of channels"):
        square_crops([draw(1, 9, 9), draw(3, 9, 9)], 8, 2)


@pytest.mark.real
def test_real_images_have_a_curve(real_data):
    tifffile = pytest.importorskip("tifffile")
    files = sorted((real_data / "fluo/test").glob("*_IM.tif"))[:4]
    pixels = [tifffile.imread(file).astype(np.float32) for file in files]
    images = [normalize(image[None] if image.ndim == 2 else image.mean(axis=-1)[None]) for image in pixels]
    array = values(scan(square_crops(images, 64, 4), [0, 1], CAPS))
    assert np.isfinite(array).all()
    assert (array > 0).all()
