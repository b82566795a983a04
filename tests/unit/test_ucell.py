"""UCell: its recursion beside a slow and obvious one, sizes, gradients, and the files of the public implementation."""

import math

import pytest
import torch
from torch.nn import functional as F

from frugalseg import models
from frugalseg.models import ucell_public
from frugalseg.models.ucell import RECURSIONS, UCell, rotary_angles

SMALL = {"hidden": 128, "registers": 4, "tasks": 2}


def network(seed=0, size=32, **options):
    made = UCell(3, 3, size, generator=torch.Generator().manual_seed(seed), **{**SMALL, **options})
    # The task embedding starts as zero, which would hide how it is laid out.
    with torch.no_grad():
        made.task_emb.embedding_weight.normal_(generator=torch.Generator().manual_seed(1))
    return made


def images(count=2, size=32, seed=2):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def norm(vector):
    return vector / math.sqrt(float((vector**2).mean()) + 1e-5)


def turned(vector, position, dimensions, columns):
    """A head of 64 numbers, its pairs (i, i + 32) turned by the position of its token; None is a register."""
    if position is None:
        return vector
    result = vector.clone()
    for pair in range(32):
        if dimensions == 1:
            angle = position * 10000 ** (-pair / 32)
        else:
            place = position // columns if pair < 16 else position % columns
            angle = place * 10000 ** (-(pair % 16) / 16)
        real, imaginary = vector[pair], vector[pair + 32]
        result[pair] = real * math.cos(angle) - imaginary * math.sin(angle)
        result[pair + 32] = imaginary * math.cos(angle) + real * math.sin(angle)
    return result


def obvious(net, image, cycles, dimensions=1):
    """Kuang et al. 2026 token by token, in float64, for one image (3, H, W)."""
    weights = {name: tensor.double() for name, tensor in net.state_dict().items()}
    image, hidden, registers = image.double(), net.hidden, net.task_emb.registers
    rows, columns = image.shape[1] // 8, image.shape[2] // 8
    inputs, positions = [], []
    for register in range(registers):
        inputs.append(weights["task_emb.embedding_weight"][0, register * hidden : (register + 1) * hidden])
        positions.append(None)
    for row in range(rows):
        for column in range(columns):
            square = image[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            filters = weights["patch_emb.weight"].flatten(1)
            inputs.append(filters @ square.flatten() + weights["patch_emb.bias"])
            positions.append(row * columns + column)
    inputs = [math.sqrt(hidden) * token for token in inputs]
    state = [torch.zeros(hidden, dtype=torch.float64) for _ in inputs]
    for _ in range(cycles):
        state = [token + added for token, added in zip(state, inputs, strict=True)]
        for block in range(len(net.transformer)):
            state = obvious_block(weights, f"transformer.{block}", state, positions, dimensions, columns)
    output = torch.zeros(3, 8 * rows, 8 * columns, dtype=torch.float64)
    for token, position in zip(state, positions, strict=True):
        if position is not None:
            row, column = divmod(position, columns)
            square = torch.einsum("c,coyx->oyx", token, weights["lm_head.weight"])
            output[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = (
                square + weights["lm_head.bias"][:, None, None]
            )
    return output


def obvious_block(weights, name, state, positions, dimensions, columns):
    hidden = len(state[0])
    projected = [weights[f"{name}.attn.qkv_proj.weight"] @ token for token in state]
    mixed = [torch.zeros(hidden, dtype=torch.float64) for _ in state]
    for head in range(hidden // 64):
        part = slice(64 * head, 64 * head + 64)
        queries = [
            turned(p[:hidden][part], place, dimensions, columns) for p, place in zip(projected, positions, strict=True)
        ]
        keys = [
            turned(p[hidden : 2 * hidden][part], place, dimensions, columns)
            for p, place in zip(projected, positions, strict=True)
        ]
        for token, query in enumerate(queries):
            scores = torch.stack([query @ key / 8 for key in keys]).softmax(0)
            mixed[token][part] = sum(score * p[2 * hidden :][part] for score, p in zip(scores, projected, strict=True))
    state = [norm(token + weights[f"{name}.attn.o_proj.weight"] @ m) for token, m in zip(state, mixed, strict=True)]
    result = []
    for token in state:
        gate, up = (weights[f"{name}.mlp.{part}_proj.weight"] @ token for part in ("gate", "up"))
        result.append(norm(token + weights[f"{name}.mlp.down_proj.weight"] @ (gate / (1 + torch.exp(-gate)) * up)))
    return result


@pytest.mark.parametrize("dimensions", [1, 2])
def test_output_is_that_of_the_recursion_written_out(dimensions):
    net = network(rotary=dimensions, recursion=(1, 1, 3))
    shown = images(1)[:, :, :16, :24]
    expected = obvious(net, shown[0], 3, dimensions)
    torch.testing.assert_close(net(shown)[0].double(), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("hidden", "millions"), [(512, 7.18), (768, 14.70), (1024, 26.41)])
def test_parameters_are_as_many_as_published(hidden, millions):
    built = models.build("ucell", 3, 3, 256, hidden=hidden)
    assert round(sum(parameter.numel() for parameter in built.parameters()) / 1e6, 2) == millions


def test_all_published_schedules_run_twenty_one_cycles():
    assert {recursion.cycles for recursion in RECURSIONS.values()} == {21}
    assert RECURSIONS["default"] == (1, 1, 21)
    assert (RECURSIONS["a"], RECURSIONS["b"], RECURSIONS["c"]) == ((3, 1, 7), (7, 1, 3), (1, 3, 7))


def test_supervised_steps_end_where_a_prediction_does():
    net, shown = network(recursion=(3, 2, 2)), images()
    state = net.initial_state(shown)
    for _ in range(3):
        output, state = net(shown, state)
        assert not state.requires_grad
    torch.testing.assert_close(output, net(shown))
    assert net.cycles == 12


def test_a_prediction_may_run_other_cycles():
    net, fewer = network(recursion=(1, 1, 4)), network(recursion=(1, 1, 4), cycles=2)
    torch.testing.assert_close(fewer(images()), network(recursion=(1, 1, 2))(images()))
    assert not torch.allclose(net(images()), fewer(images()))


def gradients(net, autocast=False):
    shown = images()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output, _ = net(shown, net.initial_state(shown))
    output.float().square().mean().backward()
    return {name: parameter.grad.clone() for name, parameter in net.named_parameters()}


@pytest.mark.parametrize("autocast", [False, True])
def test_recomputed_cycles_have_the_same_gradients(autocast):
    kept, recomputed = (gradients(network(recursion=(1, 1, 4), recompute=r), autocast) for r in (False, True))
    for name, gradient in kept.items():
        torch.testing.assert_close(recomputed[name], gradient, msg=name)


@pytest.mark.parametrize("autocast", [False, True])
def test_outer_cycles_have_no_gradient_and_take_none_away(autocast):
    """The last outer cycle from the state of the first, its gradients computed apart."""
    net, shown = network(recursion=(1, 2, 2)), images()
    found = gradients(net, autocast)
    single = network(recursion=(1, 1, 2))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        _, state = single(shown, single.initial_state(shown))
        output, _ = single(shown, state)
    output.float().square().mean().backward()
    for name, parameter in single.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, msg=name)
        assert parameter.grad.abs().max() > 0


def test_positions_tell_tokens_apart_and_registers_have_none():
    for dimensions in (1, 2):
        angles = rotary_angles(3, 4, dimensions, 5, torch.device("cpu"))
        assert (angles[:5] == 0).all()
        assert len({tuple(row.tolist()) for row in angles[5:]}) == 12


def test_the_seed_decides_the_weights():
    torch.testing.assert_close(network(3).state_dict(), network(3).state_dict(), rtol=0, atol=0)
    assert not torch.equal(network(3).lm_head.weight, network(4).lm_head.weight)


def test_linear_layers_start_with_the_variance_of_their_inputs():
    weight = network(hidden=512).transformer[0].mlp.gate_proj.weight
    assert weight.std().item() == pytest.approx(512**-0.5, rel=0.01)
    assert weight.abs().max() <= 2 * 512**-0.5 / 0.8796


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"hidden": 100}, "multiple of 64"),
        ({"recursion": (1, 0, 3)}, "must be 1 or more"),
        ({"rotary": 3}, "1 or 2 dimensions"),
        ({"size": 4}, "4 x 4 pixels"),
        ({"size": 100}, "multiples of 8"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        network(**options)


def test_images_smaller_than_a_token_are_refused():
    with pytest.raises(ValueError, match="do not fit tokens"):
        network()(torch.zeros(1, 3, 4, 16))


def public_state(net):
    """What a run of the public implementation saves, of a version with one projection for gate and up."""
    state = {f"module.inner.{name}": tensor.clone() for name, tensor in ucell_public.to_public(net).items()}
    for stem in [name.removesuffix("gate_proj.weight") for name in list(state) if name.endswith("gate_proj.weight")]:
        gate, up = state.pop(f"{stem}gate_proj.weight"), state.pop(f"{stem}up_proj.weight")
        state[f"{stem}gate_up_proj.weight"] = torch.cat([gate, up])
    return state


def test_public_files_of_all_versions_open(tmp_path):
    net = network(5)
    contents = {
        "state": ucell_public.to_public(net),
        "run": {
            "step": 3,
            "model": {"inner.x": torch.zeros(1)},
            "ema_model": public_state(net) | {"n_averaged": torch.tensor(7)},
        },
        "model": {"model": {f"inner.{name}": tensor for name, tensor in ucell_public.to_public(net).items()}},
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / f"{name}.pt")
        opened = network(6)
        ucell_public.load_public(tmp_path / f"{name}.pt", opened)
        torch.testing.assert_close(opened.state_dict(), net.state_dict(), rtol=0, atol=0)


def test_adapters_of_public_files_are_merged():
    net = network(5)
    state = ucell_public.to_public(net)
    weight = state.pop("transformer.1.mlp.down_proj.weight")
    a, b = torch.randn(2, weight.shape[1]), torch.randn(len(weight), 2)
    layer = "transformer.1.mlp.down_proj"
    state |= {
        f"{layer}.orig.weight": weight,
        f"{layer}.lora_A": a,
        f"{layer}.lora_B": b,
        f"{layer}.scaling": torch.tensor(0.5),
    }
    opened = ucell_public.from_public(state)
    torch.testing.assert_close(opened[f"{layer}.weight"], weight + 0.5 * b @ a)
    assert opened.keys() == ucell_public.to_public(net).keys()


def test_public_files_of_other_sizes_and_pickled_modules_are_refused(tmp_path):
    torch.save(ucell_public.to_public(network(hidden=64)), tmp_path / "small.pt")
    with pytest.raises(
        ValueError, match=r"small.pt: '[a-z0-9_.]+' is \(.*\) there and \(.*\) in this network; give the recipe"
    ):
        ucell_public.load_public(tmp_path / "small.pt", network())
    torch.save(F.relu, tmp_path / "code.pt")
    with pytest.raises(ValueError, match="can run any code"):
        ucell_public.load_public(tmp_path / "code.pt", network())
    with pytest.raises(ValueError, match="there is no such file"):
        ucell_public.load_public(tmp_path / "none.pt", network())
