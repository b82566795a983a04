"""The plans file with a capped configuration: what changes, what does not, and what nnU-Net builds from it."""

import copy
import json
from itertools import pairwise

import pytest

from frugalseg.widths.plans import write_plans

FULL = [32, 64, 128, 256, 512, 512, 512]
KEPT = {
    "data_identifier": "nnUNetPlans_2d",
    "preprocessor_name": "DefaultPreprocessor",
    "batch_size": 49,
    "patch_size": [256, 256],
    "spacing": [1.0, 1e-05],
    "normalization_schemes": ["ZScoreNormalization"] * 3,
    "batch_dice": True,
}
ARCHITECTURE = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 7,
        "features_per_stage": FULL,
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": [[3, 3]] * 7,
        "strides": [[1, 1]] + [[2, 2]] * 6,
        "n_conv_per_stage": [2] * 7,
        "n_conv_per_stage_decoder": [2] * 6,
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}
# As nnU-Net wrote it before the architecture had a block of its own.
OLDER = {
    "UNet_class_name": "PlainConvUNet",
    "UNet_base_num_features": 32,
    "unet_max_num_features": 512,
    "n_conv_per_stage_encoder": [2] * 7,
    "n_conv_per_stage_decoder": [2] * 6,
    "num_pool_per_axis": [6, 6],
    "pool_op_kernel_sizes": [[1, 1]] + [[2, 2]] * 6,
    "conv_kernel_sizes": [[3, 3]] * 7,
}
FORMATS = {"newer": KEPT | {"architecture": ARCHITECTURE}, "older": KEPT | OLDER}


def plans_of(configuration, **others):
    return {
        "dataset_name": "Dataset001_Zellen_äöü",
        "plans_name": "nnUNetPlans",
        "configurations": {"2d": configuration, **others},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {"mean": 143.32420349121094, "std": 0.1}},
    }


def save(path, plans):
    path.write_text(json.dumps(plans, indent=4))
    return path


@pytest.fixture(params=FORMATS)
def source(tmp_path, request):
    return save(tmp_path / "nnUNetPlans.json", plans_of(copy.deepcopy(FORMATS[request.param])))


def widths_of(plans, name):
    """Widths by nnU-Net's reading: the child's top-level keys replace those of its parent."""
    child = plans["configurations"][name]
    configuration = plans["configurations"][child["inherits_from"]] | child
    if "architecture" in configuration:
        return configuration["architecture"]["arch_kwargs"]["features_per_stage"]
    first, maximum = configuration["UNet_base_num_features"], configuration["unet_max_num_features"]
    return [min(first * 2**stage, maximum) for stage in range(len(configuration["n_conv_per_stage_encoder"]))]


@pytest.mark.parametrize("cap", [1, 8, 48, 512, 1000])
def test_each_stage_has_at_most_the_cap(source, tmp_path, cap):
    name = write_plans(source, tmp_path / "copies/capped.json", cap)
    assert name == f"2d_xtiny{cap}"
    plans = json.loads((tmp_path / "copies/capped.json").read_text())
    assert widths_of(plans, name) == [min(cap, width) for width in FULL]
    assert plans["configurations"][name]["inherits_from"] == "2d"


def test_the_plans_own_widths_are_capped_and_not_the_usual_ones(tmp_path):
    configuration = copy.deepcopy(FORMATS["newer"])
    configuration["architecture"]["arch_kwargs"]["features_per_stage"] = [24, 40, 24, 7, 40, 40, 40]
    name = write_plans(save(tmp_path / "p.json", plans_of(configuration)), tmp_path / "q.json", 25)
    assert widths_of(json.loads((tmp_path / "q.json").read_text()), name) == [24, 25, 24, 7, 25, 25, 25]


def test_all_else_is_kept_to_the_byte(source, tmp_path):
    before = source.read_bytes()
    name = write_plans(source, tmp_path / "capped.json", 8)
    assert source.read_bytes() == before
    plans = json.loads((tmp_path / "capped.json").read_text())
    added = plans["configurations"].pop(name)
    assert json.dumps(plans, indent=4).encode() == before
    if "architecture" in added:
        added["architecture"]["arch_kwargs"]["features_per_stage"] = FULL
        assert added == {"inherits_from": "2d", "architecture": ARCHITECTURE}
    else:
        assert added == {"inherits_from": "2d", "unet_max_num_features": 8}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["capped.json", "nnUNetPlans.json"]


def test_caps_gather_in_one_file_and_the_same_again_changes_nothing(source):
    for cap in (8, 16):
        write_plans(source, source, cap)
    once = source.read_bytes()
    assert list(json.loads(once)["configurations"]) == ["2d", "2d_xtiny8", "2d_xtiny16"]
    write_plans(source, source, 8)
    assert source.read_bytes() == once


def test_what_2d_inherits_is_capped_too(tmp_path):
    plans = plans_of({"inherits_from": "base", "batch_size": 4}, base=FORMATS["newer"])
    name = write_plans(save(tmp_path / "p.json", plans), tmp_path / "q.json", 8)
    assert widths_of(json.loads((tmp_path / "q.json").read_text()), name) == [8] * 7


def test_a_name_that_means_something_else_is_refused(source, tmp_path):
    plans = json.loads(source.read_text())
    plans["configurations"]["2d_xtiny8"] = {"inherits_from": "2d", "batch_size": 2}
    save(source, plans)
    with pytest.raises(ValueError, match=r"nnUNetPlans.json: has a configuration '2d_xtiny8' with other content"):
        write_plans(source, tmp_path / "capped.json", 8)
    assert not (tmp_path / "capped.json").exists()


@pytest.mark.parametrize("cap", [0, -8, 8.0, "8", True, None])
def test_a_cap_is_a_positive_integer(source, tmp_path, cap):
    with pytest.raises(ValueError, match=r"cap: .* is no number of channels"):
        write_plans(source, tmp_path / "capped.json", cap)


WIDTHLESS = KEPT | {"architecture": ARCHITECTURE | {"arch_kwargs": {"n_stages": 7}}}
BAD = {
    "no plans": ({"channel_names": {}}, r"p.json: has no block `configurations`, so it is no plans file of nnU-Net 2"),
    "a list": ([1], r"p.json: has no block `configurations`"),
    "only 3d": (
        {"configurations": {"3d_fullres": KEPT, "3d_lowres": KEPT}},
        r"p.json: has no configuration '2d' but 3d_fullres, 3d_lowres; plan the dataset",
    ),
    "a lost parent": (plans_of({"inherits_from": "base"}), r"p.json: has no configuration 'base' but 2d"),
    "a circle": (plans_of({"inherits_from": "2d"}), r"p.json: the configuration '2d' inherits from itself"),
    "no widths": (plans_of(WIDTHLESS), r"p.json: the configuration '2d' gives the widths of its stages neither in"),
    "half of the older format": (plans_of(KEPT | {"UNet_base_num_features": 32}), r"p.json: .* neither in .* nor in"),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_is_no_plan_for_2d_is_told(tmp_path, fault):
    plans, message = BAD[fault]
    with pytest.raises(ValueError, match=message):
        write_plans(save(tmp_path / "p.json", plans), tmp_path / "q.json", 8)
    assert not (tmp_path / "q.json").exists()


@pytest.mark.parametrize("widths", [[], [32, 0], [32.0], ["32"], 32])
def test_widths_that_are_none_are_told(tmp_path, widths):
    configuration = copy.deepcopy(FORMATS["newer"])
    configuration["architecture"]["arch_kwargs"]["features_per_stage"] = widths
    with pytest.raises(ValueError, match="gives the widths of its stages neither"):
        write_plans(save(tmp_path / "p.json", plans_of(configuration)), tmp_path / "q.json", 8)


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_told(tmp_path, content):
    if content is not None:
        (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"p.json: cannot be read as JSON .* give the plans file"):
        write_plans(tmp_path / "p.json", tmp_path / "q.json", 8)


def parameters_of(widths, inputs, outputs):
    """Parameters of nnU-Net's U-Net of two convolutions a stage, with a head at every stage of the decoder."""

    def stage(inputs, width):
        first, second = 9 * inputs * width + width, 9 * width * width + width
        return first + second + 2 * 2 * width  # the norms have a scale and a shift each

    encoder = sum(stage(before, width) for before, width in zip([inputs, *widths], widths, strict=False))
    decoder = sum(
        4 * below * width + width + stage(2 * width, width) + (width + 1) * outputs for width, below in pairwise(widths)
    )
    return encoder + decoder


def test_the_counts_are_the_published_ones():
    """Kimbowa et al. 2026: 33,472.4 thousand in full and 20.39 thousand capped at 8."""
    assert round(parameters_of(FULL, 3, 2) / 1000, 1) == 33472.4
    assert round(parameters_of([8] * 7, 3, 2) / 1000, 2) == 20.39


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:Detected old nnU-Net plans format")
@pytest.mark.parametrize("cap", [512, 64, 16, 8, 1])
def test_nnunet_builds_the_network(source, tmp_path, cap):
    handler = pytest.importorskip("nnunetv2.utilities.plans_handling.plans_handler", reason="nnunetv2 is missing")
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    name = write_plans(source, tmp_path / "capped.json", cap)
    manager = handler.PlansManager(str(tmp_path / "capped.json"))
    configuration = manager.get_configuration(name)
    assert configuration.data_identifier == "nnUNetPlans_2d"
    assert configuration.batch_size == KEPT["batch_size"]
    network = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        input_channels=3,
        output_channels=2,
        deep_supervision=True,
    )
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == parameters_of([min(cap, width) for width in FULL], 3, 2)
    assert manager.get_configuration("2d").network_arch_init_kwargs["features_per_stage"] == FULL
