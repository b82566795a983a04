"""Features from masked autoencoders: what the encoder sees, repeatability, pre-training, files and errors."""

from __future__ import annotations

import json
import os
import socket
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import ViTMAEForPreTraining

from frugalseg.data.stores import Patches
from frugalseg.pretraining import autoencoder as mae
from frugalseg.selection import features

torch.set_num_threads(1)

SIZES = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 32,
    "layers": 2,
    "heads": 4,
    "decoder_hidden_size": 16,
    "decoder_layers": 1,
    "decoder_heads": 2,
}
TOKENS = 16


def patches_of(images: np.ndarray) -> Patches:
    count, _, height, width = images.shape
    table = pd.DataFrame(
        {"patch": range(count), "image": "field", "y": 0, "x": 0, "cells": 0, "diameter": 0.0}, index=range(count)
    )
    labels = np.zeros((count, height, width), np.uint16)
    flows = np.zeros((count, 2, height, width), np.float16)
    return Patches(images.astype(np.float16), labels, flows, table)


def gratings(count: int, seed: int, size: int = 32, channels: int = 1) -> Patches:
    """Sine waves of random direction and phase."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    direction, phase = rng.uniform(0, 2 * np.pi, (2, count * channels, 1, 1))
    waves = 0.5 + 0.5 * np.sin(2 * np.pi * (np.cos(direction) * x + np.sin(direction) * y) + phase)
    return patches_of(waves.reshape(count, channels, size, size))


def ramps(count: int, seed: int, size: int = 32) -> Patches:
    """Planes of random height and slope: what is hidden follows from what is seen."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    height, down, right = np.random.default_rng(seed).uniform(-0.5, 0.5, (3, count, 1, 1, 1))
    return patches_of(0.5 + height + down * y + right * x)


@pytest.fixture(scope="module")
def trained() -> mae.MaskedAutoencoder:
    return mae.pretrain([gratings(40, 0), gratings(24, 1, channels=2)], **SIZES, steps=3, batch=8, seed=5)


@pytest.fixture(scope="module")
def checkpoint(trained: mae.MaskedAutoencoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "mae"
    mae.save(trained, folder)
    return folder


def copy_checkpoint(source: Path, target: Path, weights: dict[str, torch.Tensor], **config: object) -> Path:
    target.mkdir()
    stored = json.loads((source / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(stored | config))
    (target / "preprocessor_config.json").write_text((source / "preprocessor_config.json").read_text())
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


# --- input


def test_three_channels_clips_repeats_grey_and_pads_two_channels():
    grey = np.array([-0.5, 0.25, 0.75, 1.5]).reshape(1, 1, 2, 2)
    expected = np.array([0.0, 0.25, 0.75, 1.0]).reshape(2, 2)
    np.testing.assert_array_equal(features.three_channels(grey, 2, 2)[0], np.stack([expected] * 3))
    two = features.three_channels(np.concatenate([grey, 1 - grey], axis=1), 2, 2)[0]
    np.testing.assert_array_equal(two, np.stack([expected, 1 - expected, 0 * expected]))


def test_three_channels_resizes_with_antialiasing():
    stripes = np.tile([0.0, 1.0], (1, 1, 32, 16))
    small = features.three_channels(stripes, 8, 8)
    # Without antialiasing every fourth column would be looked at; with it the stripes melt into grey.
    assert small.shape == (1, 3, 8, 8)
    assert (small - 0.5).abs().max() < 0.1


def test_three_channels_refuses_other_channel_counts():
    with pytest.raises(ValueError, match="3 channels"):
        features.three_channels(np.zeros((1, 3, 8, 8)), 8, 8)


def test_channel_statistics_weigh_stores_evenly():
    stores = [gratings(300, 0), gratings(7, 1, size=16, channels=2)]
    grey, two = (np.clip(np.asarray(store.images, np.float64), 0, 1) for store in stores)
    for channel in range(3):
        second = two[:, channel] if channel < 2 else 0 * two[:, 0]
        mean = (grey.mean() + second.mean()) / 2
        square = ((grey**2).mean() + (second**2).mean()) / 2
        got_mean, got_std = (statistic[channel].item() for statistic in mae.channel_statistics(stores))
        assert got_mean == pytest.approx(mean, rel=1e-5)
        assert got_std == pytest.approx(np.sqrt(square - mean**2), rel=1e-4)


def test_channel_statistics_of_a_constant_channel_can_be_divided_by():
    _, std = mae.channel_statistics([gratings(4, 0, channels=2)])
    assert std[2] == 1


def test_position_embedding_follows_its_formula():
    width, side = 8, 3
    got = mae.position_embedding(side, width).numpy()
    assert not got[0].any()
    for row in range(side):
        for column in range(side):
            expected = []
            for place in (column, row):
                angles = [place / 10000 ** (4 * k / width) for k in range(width // 4)]
                expected += [np.sin(angle) for angle in angles] + [np.cos(angle) for angle in angles]
            np.testing.assert_allclose(got[1 + row * side + column], expected, atol=1e-6)


# --- pre-training


def test_pretraining_learns_structure():
    model = mae.pretrain([ramps(200, 0)], **SIZES, steps=100, batch=32, lr=3e-3, seed=0)
    assert len(model.losses) == 100
    # 1 is the variance of the pixels: the loss of a network that knows nothing but their mean.
    assert np.mean(model.losses[-10:]) < 0.3


def test_pretraining_repeats_to_the_bit_and_leaves_the_global_random_state(trained: mae.MaskedAutoencoder):
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    stores = [gratings(40, 0), gratings(24, 1, channels=2)]
    again = mae.pretrain(stores, **SIZES, steps=3, batch=8, seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert again.losses == trained.losses
    for name, weight in trained.network.state_dict().items():
        assert torch.equal(weight, again.network.state_dict()[name]), name
    other = mae.pretrain(stores, **SIZES, steps=3, batch=8, seed=6)
    assert other.losses != trained.losses


def test_new_network_has_positions_and_tokens(trained: mae.MaskedAutoencoder):
    positions = trained.network.decoder.decoder_pos_embed
    assert torch.equal(positions[0], mae.position_embedding(4, 16))
    assert torch.equal(trained.network.vit.embeddings.position_embeddings[0], mae.position_embedding(4, 32))
    assert not positions.requires_grad


def test_draws_are_even_over_stores():
    black, white = (patches_of(np.full((count, 1, 8, 8), value)) for count, value in ((50, 0.0), (3, 1.0)))
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([mae._draw([black, white], step, 5, 8, generator) for step in range(4)])
    assert drawn.mean() == 0.5


def test_turns_reach_all_eight_orientations_and_no_other():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    orientations = [torch.rot90(mirrored, k, (2, 3)) for mirrored in (image, image.flip(3)) for k in range(4)]
    turned = mae._turn(image.expand(200, -1, -1, -1), torch.Generator().manual_seed(0))
    counts = [sum(torch.equal(one, orientation[0]) for one in turned) for orientation in orientations]
    assert sum(counts) == 200
    assert min(counts) > 10


def test_learning_rate_rises_over_a_tenth_and_falls_to_zero():
    factors = [mae._warmup_cosine(step, 100) for step in range(100)]
    assert factors[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert all(after < before for before, after in pairwise(factors[10:]))
    assert factors[-1] < 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_size": 7}, "not a multiple of patch_size 7"),
        ({"heads": 5}, "not a multiple of 4 and of its 5 heads"),
        ({"decoder_hidden_size": 18}, "width of 18"),
        ({"precision": "float8"}, "precision 'float8' is unknown"),
    ],
)
def test_pretraining_names_what_does_not_fit(change: dict, message: str):
    with pytest.raises(ValueError, match=message):
        mae.pretrain([gratings(4, 0)], **(SIZES | change), steps=1, seed=0)


def test_pretraining_needs_patches_of_every_data_set():
    with pytest.raises(ValueError, match="no patch store was given"):
        mae.pretrain([], seed=0)
    with pytest.raises(ValueError, match="patch store 2 of 2 is empty"):
        mae.pretrain([gratings(3, 0), patches_of(np.zeros((0, 1, 8, 8)))], seed=0)


# --- what the encoder sees


def slow_encoder(weights: dict[str, torch.Tensor], pixels: torch.Tensor, heads: int, patch_size: int) -> torch.Tensor:
    """Last hidden state (1 + tokens, D) of one image (3, H, W), token by token and head by head."""
    side = pixels.shape[1] // patch_size
    prefix = "vit.embeddings."
    kernel, bias = (weights[f"{prefix}patch_embeddings.projection.{part}"] for part in ("weight", "bias"))
    positions = weights[f"{prefix}position_embeddings"][0]
    hidden = [weights[f"{prefix}cls_token"][0, 0] + positions[0]]
    for row in range(side):
        for column in range(side):
            top, left = row * patch_size, column * patch_size
            token = pixels[:, top : top + patch_size, left : left + patch_size]
            hidden.append(kernel.flatten(1) @ token.flatten() + bias + positions[1 + row * side + column])
    hidden = torch.stack(hidden)
    width = hidden.shape[1]
    layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("vit.layers."))

    def norm(values: torch.Tensor, name: str) -> torch.Tensor:
        centred = values - values.mean(dim=1, keepdim=True)
        spread = centred.square().mean(dim=1, keepdim=True).sqrt()
        return centred / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(values: torch.Tensor, name: str) -> torch.Tensor:
        return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    for layer in range(layers):
        name = f"vit.layers.{layer}"
        normed = norm(hidden, f"{name}.layernorm_before")
        query, key, value = (linear(normed, f"{name}.attention.{part}_proj") for part in "qkv")
        size = width // heads
        attended = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            weighting = (query[:, part] @ key[:, part].T / size**0.5).softmax(dim=1)
            attended.append(weighting @ value[:, part])
        hidden = hidden + linear(torch.cat(attended, dim=1), f"{name}.attention.o_proj")
        inner = functional.gelu(linear(norm(hidden, f"{name}.layernorm_after"), f"{name}.mlp.fc1"))
        hidden = hidden + linear(inner, f"{name}.mlp.fc2")
    return norm(hidden, "vit.layernorm")


def test_features_are_a_plain_forward_pass_over_all_tokens(trained: mae.MaskedAutoencoder, checkpoint: Path):
    patches = gratings(3, 2)
    weights = {name: weight.double() for name, weight in trained.network.state_dict().items()}
    pooled, token = features.embed(patches, checkpoint), features.embed(patches, checkpoint, pooling="class")
    for index, image in enumerate(np.asarray(patches.images, np.float64).clip(0, 1)):
        pixels = (torch.from_numpy(image).repeat(3, 1, 1) - trained.mean[:, None, None]) / trained.std[:, None, None]
        hidden = slow_encoder(weights, pixels, SIZES["heads"], SIZES["patch_size"])
        assert hidden.shape == (1 + TOKENS, SIZES["hidden_size"])
        np.testing.assert_allclose(pooled[index], hidden.mean(dim=0).numpy(), atol=2e-6)
        np.testing.assert_allclose(token[index], hidden[0].numpy(), atol=1e-5)


def test_every_token_counts_unless_it_is_hidden(checkpoint: Path):
    original = gratings(1, 3)
    images = np.repeat(original.images, 1 + TOKENS, axis=0)
    for token in range(TOKENS):
        top, left = 8 * (token // 4), 8 * (token % 4)
        images[1 + token, 0, top : top + 8, left : left + 8] = 1 - images[0, 0, top : top + 8, left : left + 8]
    change = np.abs(np.diff(features.embed(patches_of(images), checkpoint), axis=0)).max(axis=1)
    assert change.min() > 1e-4

    one_by_one = [features.embed(patches_of(image[None]), checkpoint, mask_ratio=0.75, seed=1)[0] for image in images]
    unchanged = [np.array_equal(one_by_one[0], other) for other in one_by_one[1:]]
    assert sum(unchanged) == 12


def test_masks_come_from_the_seed_and_differ_between_patches(checkpoint: Path):
    patches = patches_of(np.repeat(gratings(1, 0).images, 2, axis=0))
    first, again, other = (features.embed(patches, checkpoint, mask_ratio=0.75, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    assert np.abs(first[0] - first[1]).max() > 1e-3


# --- repeatability


@pytest.mark.parametrize("mask_ratio", [0.0, 0.75])
@pytest.mark.parametrize("channels", [1, 2])
def test_batch_size_does_not_matter_and_runs_repeat(checkpoint: Path, mask_ratio: float, channels: int):
    patches = gratings(11, 4, size=48, channels=channels)
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    whole = features.embed(patches, checkpoint, mask_ratio=mask_ratio, batch=11)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(1)
    np.testing.assert_array_equal(whole, features.embed(patches, checkpoint, mask_ratio=mask_ratio, batch=11))
    np.testing.assert_allclose(whole, features.embed(patches, checkpoint, mask_ratio=mask_ratio, batch=4), atol=2e-6)
    assert whole.shape == (11, SIZES["hidden_size"])
    assert whole.dtype == np.float32


# --- checkpoints


def test_saved_checkpoint_is_complete_and_holds_the_weights(trained: mae.MaskedAutoencoder, checkpoint: Path):
    names = {"config.json", "model.safetensors", "preprocessor_config.json", "log.csv"}
    assert {path.name for path in checkpoint.iterdir()} == names
    loaded, report = ViTMAEForPreTraining.from_pretrained(checkpoint, local_files_only=True, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    encoder = features.load_encoder(checkpoint, mask_ratio=0)
    for name, weight in trained.network.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name]), name
        if name.startswith("vit."):
            assert torch.equal(weight, encoder.state_dict()[name.removeprefix("vit.")]), name
    stored = json.loads((checkpoint / "preprocessor_config.json").read_text())
    assert torch.equal(torch.tensor(stored["image_mean"]), trained.mean)
    assert torch.equal(torch.tensor(stored["image_std"]), trained.std)
    log = pd.read_csv(checkpoint / "log.csv")
    np.testing.assert_allclose(log["loss"], trained.losses, atol=1e-6)


def test_saving_replaces_an_older_checkpoint(trained: mae.MaskedAutoencoder, checkpoint: Path, tmp_path: Path):
    (tmp_path / "mae").mkdir()
    (tmp_path / "mae" / "model.safetensors").write_bytes(b"old")
    (tmp_path / "mae" / "model.safetensors.partial").write_bytes(b"half")
    mae.save(trained, tmp_path / "mae")
    saved = load_file(tmp_path / "mae" / "model.safetensors")
    assert saved.keys() == load_file(checkpoint / "model.safetensors").keys()
    assert not list(tmp_path.rglob("*.partial"))


def hub_name(name: str) -> str:
    """Name of a tensor in the published ViT-MAE-base, which is older than the library's present names."""
    for new, old in [
        ("vit.layers.", "vit.encoder.layer."),
        (".attention.o_proj.", ".attention.output.dense."),
        (".attention.q_proj.", ".attention.attention.query."),
        (".attention.k_proj.", ".attention.attention.key."),
        (".attention.v_proj.", ".attention.attention.value."),
        (".mlp.fc1.", ".intermediate.dense."),
        (".mlp.fc2.", ".output.dense."),
    ]:
        name = name.replace(new, old)
    return name


def test_hub_layouts_give_the_same_features(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    patches = gratings(4, 0)
    expected = features.embed(patches, checkpoint)
    weights = load_file(checkpoint / "model.safetensors")

    bare_weights = {name.removeprefix("vit."): weight for name, weight in weights.items() if name.startswith("vit.")}
    bare = copy_checkpoint(checkpoint, tmp_path / "bare", bare_weights, architectures=["ViTMAEModel"])
    np.testing.assert_array_equal(features.embed(patches, bare), expected)

    hub_weights = {hub_name(name): weight for name, weight in weights.items()}
    assert "vit.encoder.layer.1.attention.attention.query.weight" in hub_weights
    hub = copy_checkpoint(checkpoint, tmp_path / "hub", hub_weights)
    np.testing.assert_array_equal(features.embed(patches, hub), expected)

    (hub / "model.safetensors").unlink()
    torch.save(hub_weights, hub / "pytorch_model.bin")
    np.testing.assert_array_equal(features.embed(patches, hub), expected)


def test_normalisation_is_the_checkpoints_or_imagenets(
    trained: mae.MaskedAutoencoder, checkpoint: Path, tmp_path: Path
):
    plain = copy_checkpoint(checkpoint, tmp_path / "plain", load_file(checkpoint / "model.safetensors"))
    (plain / "preprocessor_config.json").unlink()
    patches = gratings(2, 0)
    encoder = features.load_encoder(plain, mask_ratio=0)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (torch.from_numpy(patches.images.astype(np.float32)) - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.no_grad():
        expected = encoder(pixels, noise=torch.arange(16.0).expand(2, 16)).last_hidden_state.mean(dim=1)
    np.testing.assert_allclose(features.embed(patches, plain), expected, atol=1e-6)
    assert np.abs(features.embed(patches, checkpoint) - expected.numpy()).max() > 1e-3

    (plain / "preprocessor_config.json").write_text('{"image_mean": [0.5], "image_std": [0.5]}')
    with pytest.raises(ValueError, match=r"preprocessor_config\.json: image_mean and image_std must be three"):
        features.embed(patches, plain)


def test_missing_checkpoint_tells_what_is_expected(tmp_path: Path):
    for folder, what in ((tmp_path / "nowhere", "is no folder"), (tmp_path, "holds no checkpoint")):
        with pytest.raises(ValueError, match=what) as error:
            features.embed(gratings(1, 0), folder)
        for part in (str(folder), "config.json", "model.safetensors", "pytorch_model.bin", "facebook/vit-mae-base"):
            assert part in str(error.value)
    (tmp_path / "config.json").write_text('{"model_type": "vit_mae"}')
    with pytest.raises(ValueError, match="holds no checkpoint"):
        features.embed(gratings(1, 0), tmp_path)


def test_other_architectures_and_broken_weights_are_refused(checkpoint: Path, tmp_path: Path):
    weights = load_file(checkpoint / "model.safetensors")
    vit = copy_checkpoint(checkpoint, tmp_path / "vit", weights, model_type="vit")
    with pytest.raises(ValueError, match=r"vit/config\.json: model_type is 'vit', but .* 'vit_mae'"):
        features.embed(gratings(1, 0), vit)
    lacking = {name: weight for name, weight in weights.items() if "layers.1.mlp" not in name}
    with pytest.raises(ValueError, match=r"lack 4 of the encoder's tensors \(layers\.1\.mlp\.fc1\.bias, "):
        features.embed(gratings(1, 0), copy_checkpoint(checkpoint, tmp_path / "lacking", lacking))
    with pytest.raises(ValueError, match=r"weights do not fit config\.json"):
        features.embed(gratings(1, 0), copy_checkpoint(checkpoint, tmp_path / "wide", weights, intermediate_size=64))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"mask_ratio": 1.0}, "mask_ratio 1.0"), ({"mask_ratio": -0.1}, "mask_ratio"), ({"pooling": "max"}, "'max'")],
)
def test_embedding_refuses_unknown_options(checkpoint: Path, options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        features.embed(gratings(1, 0), checkpoint, **options)


# --- stored features


def test_features_are_stored_with_their_table(tmp_path: Path):
    table = gratings(3, 0).table
    values = np.random.default_rng(0).normal(size=(3, 5))
    features.save_features(tmp_path / "features" / "cyto.npy", values, table)
    assert sorted(path.name for path in (tmp_path / "features").iterdir()) == ["cyto.csv", "cyto.npy"]
    stored = np.load(tmp_path / "features" / "cyto.npy")
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, values.astype(np.float32))
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "features" / "cyto.csv"), table)


def test_features_that_do_not_match_their_table_are_refused(tmp_path: Path):
    table = gratings(3, 0).table
    with pytest.raises(ValueError, match="4 features for 3 patches"):
        features.save_features(tmp_path / "cyto.npy", np.zeros((4, 5)), table)
    with pytest.raises(ValueError, match=r"stored as \.npy"):
        features.save_features(tmp_path / "cyto.pt", np.zeros((3, 5)), table)
    assert not list(tmp_path.iterdir())


# --- real images


def real_crops(folder: Path, count: int, size: int) -> np.ndarray:
    """A crop (1, size, size) of each of the first `count` images that are large enough, percentiles at 0 and 1."""
    crops = []
    for path in sorted(folder.glob("*_IM.tif")):
        pixels = tifffile.imread(path).astype(np.float64)
        grey = pixels.mean(axis=2) if pixels.ndim == 3 else pixels
        if min(grey.shape) >= size and len(crops) < count:
            low, high = np.percentile(grey, [1, 99])
            crops.append((grey[None, :size, :size] - low) / (high - low))
    return np.stack(crops)


@pytest.mark.real
def test_nearest_patch_of_a_real_image_is_of_the_same_domain(tmp_path: Path):
    data = Path(os.environ.get("FRUGALSEG_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not data.is_dir():
        pytest.skip(f"no real images: {data} is no folder; set FRUGALSEG_REAL_DATA")
    # A check of the whole path, not of the quality of the features: brightness alone already tells 96 % of these apart.
    # One crop an image: a neighbour from the same image would be easier still.
    stores = [patches_of(real_crops(data / domain / "train", 100, 96)) for domain in ("fluo", "histo")]
    mae.save(mae.pretrain(stores, seed=0, steps=30), tmp_path / "mae")
    embedded = np.concatenate([features.embed(patches, tmp_path / "mae") for patches in stores])
    domains = np.repeat([0, 1], [len(patches) for patches in stores])
    distances = np.linalg.norm(embedded[:, None] - embedded[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    same = domains[distances.argmin(axis=1)] == domains
    assert same[domains == 0].mean() > 0.9
    assert same[domains == 1].mean() > 0.9
