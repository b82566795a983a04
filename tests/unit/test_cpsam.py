"""Cellpose-SAM: SAM's encoder as transformers has it, Cellpose's names and shapes, skipped blocks, and training."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_training import disc_patches
from transformers import SamVisionConfig
from transformers.models.sam.modeling_sam import SamVisionEncoder

from frugalseg.evaluation.prediction import predict
from frugalseg.models import build
from frugalseg.models.cpsam import from_published, to_published
from frugalseg.training import checkpoints, lora
from frugalseg.training.loop import train
from frugalseg.training.lora import Adapters
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import Run
from frugalseg.training.sampling import Source

SMALL = {"hidden": 64, "depth": 2, "heads": 2}


def cpsam(side=64, seed=0, **sizes):
    """A small network, its positions drawn too, which start as zeros."""
    generator = torch.Generator().manual_seed(seed)
    network = build("cpsam", 3, 3, side, generator=generator, **{**SMALL, **sizes})
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "pos" in name:
                weight.normal_(0, 0.5, generator=generator)
    return network


def images(count=2, side=64, seed=1):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def name_in_transformers(name):
    for ours, theirs in [
        ("patch_embed.proj", "patch_embed.projection"),
        (r"blocks\.(\d+)\.norm", r"layers.\1.layer_norm"),
        (r"blocks\.", "layers."),
        (r"neck\.0", "neck.conv1"),
        (r"neck\.1", "neck.layer_norm1"),
        (r"neck\.2", "neck.conv2"),
        (r"neck\.3", "neck.layer_norm2"),
    ]:
        name = re.sub(ours, theirs, name)
    return name


@pytest.mark.parametrize("depth", [2, 6])
def test_the_encoder_is_sams(depth):
    """With six blocks some have relative positions of SAM's windows, stretched to all tokens."""
    ours = cpsam(depth=depth).encoder.eval()
    theirs = SamVisionEncoder(
        SamVisionConfig(
            hidden_size=64,
            num_hidden_layers=depth,
            num_attention_heads=2,
            image_size=64,
            patch_size=8,
            mlp_dim=256,
            global_attn_indexes=list(range(depth)),
            attn_implementation="eager",
        )
    ).eval()
    weights = {name_in_transformers(name): tensor for name, tensor in ours.state_dict().items()}
    for block, layer in zip(ours.blocks, theirs.layers, strict=True):
        for name in ("rel_pos_h", "rel_pos_w"):
            setattr(layer.attn, name, torch.nn.Parameter(torch.empty_like(getattr(block.attn, name))))
    theirs.load_state_dict(weights)
    with torch.no_grad():
        torch.testing.assert_close(ours(images()), theirs(images()).last_hidden_state, rtol=0, atol=1e-4)


def test_full_size_has_the_published_names_and_shapes():
    with torch.device("meta"):
        network = build("cpsam", 3, 3, 256)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert sum(weight.numel() for weight in network.parameters()) == 304_592_064
    assert shapes["W2"] == (192, 3, 8, 8)
    assert shapes["out.weight"] == (192, 256, 1, 1)
    assert shapes["diam_mean"] == shapes["diam_labels"] == (1,)
    assert shapes["encoder.pos_embed"] == (1, 32, 32, 1024)
    assert shapes["encoder.patch_embed.proj.weight"] == (1024, 3, 8, 8)
    assert shapes["encoder.neck.0.weight"] == (256, 1024, 1, 1)
    assert shapes["encoder.neck.2.weight"] == (256, 256, 3, 3)
    for block in range(24):
        distances = 127 if block in (5, 11, 17, 23) else 27
        prefix = f"encoder.blocks.{block}"
        assert shapes[f"{prefix}.attn.rel_pos_h"] == shapes[f"{prefix}.attn.rel_pos_w"] == (distances, 64)
        assert shapes[f"{prefix}.attn.qkv.weight"] == (3072, 1024)
        assert shapes[f"{prefix}.attn.proj.weight"] == (1024, 1024)
        assert shapes[f"{prefix}.mlp.lin1.weight"] == (4096, 1024)
        assert shapes[f"{prefix}.mlp.lin2.weight"] == (1024, 4096)
        assert shapes[f"{prefix}.norm1.weight"] == shapes[f"{prefix}.norm2.bias"] == (1024,)
    # W2 and diameters, out, positions, tokens, neck, and fourteen a block.
    assert len(shapes) == 3 + 2 + 1 + 2 + 6 + 24 * 14


def test_every_pixel_has_its_three_values():
    network = cpsam().eval()
    with torch.no_grad():
        values = network.out(network.encoder(images()))
        torch.testing.assert_close(network(images()), F.pixel_shuffle(values, 8))


def test_a_checkpoint_of_either_opens_in_the_other(tmp_path):
    network, other = cpsam(), cpsam(seed=5)
    theirs = {f"module.{name}": tensor for name, tensor in to_published(network).items() if "diam" not in name}
    other.load_state_dict(from_published(theirs))
    with torch.no_grad():
        assert torch.equal(other.eval()(images()), network.eval()(images()))
    torch.save(to_published(network), tmp_path / "cpsam")
    third = cpsam(seed=7)
    checkpoints.load(tmp_path / "cpsam", third)
    assert all(torch.equal(tensor, third.state_dict()[name]) for name, tensor in network.state_dict().items())


def test_training_skips_blocks_image_by_image():
    network = cpsam(depth=3, drop=0.9).train()
    network.draws = torch.Generator().manual_seed(3)
    drawn = torch.rand(4, 3, generator=torch.Generator().manual_seed(3))
    skipped = drawn < torch.tensor([0.0, 0.45, 0.9])
    assert not skipped[:, 0].any()
    assert skipped[:, 2].any()
    whole = network(images(4))
    for number in range(4):
        x = (
            network.encoder.patch_embed["proj"](images(4)[number : number + 1]).permute(0, 2, 3, 1)
            + network.encoder.pos_embed
        )
        for block, skips in zip(network.encoder.blocks, skipped[number], strict=True):
            x = x if skips else block(x)
        alone = F.pixel_shuffle(network.out(network.encoder.neck(x.permute(0, 3, 1, 2))), 8)
        torch.testing.assert_close(whole[number : number + 1], alone, rtol=1e-4, atol=1e-5)
    network.eval()
    assert torch.equal(network(images()), network(images()))


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    recipe = Recipe(
        **{"steps": 6, "batch": 2, "crop": 32, "schedule": "constant", "lr": 1e-3, "optimiser": "adamw"},
        **{"validate_every": 3, "save_every": 2, "precision": "float32"},
    )
    patches = disc_patches(count=6)

    def train_in(folder):
        files = {"weights": folder / "model.pt", "log": folder / "log.csv", "state_folder": folder / "state"}
        train(cpsam(32, drop=0.5), [Source("discs", patches, np.arange(6))], recipe, seed=0, min_cells=0, **files)
        return (folder / "model.pt").read_bytes(), (folder / "log.csv").read_bytes()

    unbroken = train_in(tmp_path / "unbroken")
    advance, made = Run.advance, []

    def advance_five_times(run):
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append(run.step)
        return advance(run)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "advance", advance_five_times)
        with pytest.raises(KeyboardInterrupt):
            train_in(tmp_path / "broken")
    assert train_in(tmp_path / "broken") == unbroken


def test_bfloat16_gives_what_float32_does():
    network = cpsam().eval()
    with torch.no_grad():
        exact = network(images())
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(images())
    assert (rounded.float() - exact).norm() < 0.02 * exact.norm()


def test_adapters_change_attention_and_feed_forward_network():
    network = cpsam()
    names = lora.inject(network, Adapters(2, 1.0, ("attn", "mlp")), torch.Generator().manual_seed(0))
    assert len(names) == 2 * 4
    network.train()(images()).square().mean().backward()
    trained = {name for name, weight in network.named_parameters() if weight.grad is not None}
    assert all(".parametrizations." in name for name in trained)
    assert len(trained) == 2 * len(names)


def test_images_of_all_sizes_are_predicted_in_windows():
    image = np.random.default_rng(0).standard_normal((3, 90, 50)).astype(np.float32)
    ((number, (flows, logits)),) = predict(cpsam(32), [image], device="cpu", batch_size=2)
    assert number == 0
    assert flows.shape == (2, 90, 50)
    assert np.isfinite(flows).all()
    assert logits.shape == (90, 50)


@pytest.mark.parametrize(
    ("side", "sizes", "message"),
    [(60, {}, "do not divide into tokens of 8"), (64, {"heads": 3}, "do not divide among 3 heads")],
)
def test_sizes_that_do_not_fit_are_refused(side, sizes, message):
    with pytest.raises(ValueError, match=message):
        cpsam(side, **sizes)


def test_an_image_of_another_size_is_refused():
    with pytest.raises(ValueError, match="images of 32 x 32 pixels do not fit positions of 64 x 64"):
        cpsam(64)(images(side=32))
