"""The pure parts of the benchmarks: ratios, bars, fits, tables, and the plain peers of `greedy_bins`."""

import csv
import math
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from frugalseg.kernels.quantize import greedy_bins

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

pytest.importorskip("cv2", reason="the benchmarks need requirements-dev.lock")

import inputs
import report
from case import Agreement, Bar, Case, Peer, Timed, Work, find, load
from measure import call_seconds, pair_ratios, take_turns
from memory import peak_of_call
from plain import literal_bins, plain_picks
from roofline import Machine, count_network
from scaling import exponent, scaling_table, series
from table import roofline_table, speed_table


def test_ratios_pair_what_was_timed_side_by_side():
    # A machine that slows down threefold in the middle does not change the ratios.
    ratio = pair_ratios([1.0, 3.0, 1.0], [2.0, 6.0, 2.5])
    assert (ratio.median, ratio.lowest, ratio.highest, ratio.pairs) == (2.0, 2.0, 2.5, 3)


def test_a_peer_with_fewer_timings_is_paired_with_the_first_of_ours():
    ratio = pair_ratios([1.0, 10.0], [4.0])
    assert (ratio.median, ratio.pairs) == (4.0, 1)


def test_no_timing_is_no_ratio():
    with pytest.raises(ValueError, match="a timing of each side"):
        pair_ratios([1.0], [])


def case_of(ours, *peers):
    return Case("work", "input", lambda: "large", lambda: "small", ours, peers, lambda _: Work(1, 1))


def test_sides_take_turns_on_the_same_inputs():
    calls = []

    def side(name):
        def run(given):
            calls.append((name, given))
            return Timed(1.0, None)

        return run

    def agree(*_):
        return Agreement("")

    case = case_of(side("ours"), Peer("one", side("one"), agree), Peer("slow", side("slow"), agree, repeats=1))
    timings = take_turns(case, case.draw(), 3)
    assert timings == {"ours": [1.0] * 3, "one": [1.0] * 3, "slow": [1.0]}
    assert [call for call in calls if call[1] == "small"] == [("ours", "small"), ("one", "small"), ("slow", "small")]
    assert [name for name, given in calls if given == "large"][2:] == ["ours", "one", "slow", *["ours", "one"] * 2]


def test_ours_is_not_timed_more_often_than_any_peer():
    slow = Peer("slow", lambda _: Timed(9.0, None), lambda *_: Agreement(""), repeats=2)
    case = case_of(lambda _: Timed(3.0, None), slow)
    assert take_turns(case, None, 5) == {"ours": [3.0] * 2, "slow": [9.0] * 2}


def test_seconds_are_those_of_one_call():
    assert call_seconds(lambda _: time.sleep(0.005), None, 4) > 0.005
    assert call_seconds(lambda _: Timed(7.0, None), None, 1) == 7.0


def test_a_bar_says_what_is_missed():
    bar = Bar(ratio=5, seconds=0.3, memory=62e6, agreement_from=0.99)
    assert str(bar) == "≥ 5x, ≤ 0.3 s, ≤ 62 MB, agreement ≥ 0.99"
    assert bar.met(5.0, 0.3, 62e6, 0.99) == "yes"
    assert bar.met(4.9, 0.2, 63e6, 1.0) == "no: ≥ 5x, ≤ 62 MB"
    assert Bar().met(0, 9, 9, math.nan) == str(Bar()) == ""


def test_an_agreement_that_is_no_number_meets_no_bar():
    assert Bar(agreement_from=0.5).met(1, 1, 1, math.nan) == "no: agreement ≥ 0.5"
    assert Bar(agreement_to=0.5).met(1, 1, 1, math.nan) == "no: agreement ≤ 0.5"


@pytest.mark.parametrize("power", [0.0, 1.0, 2.5])
def test_exponent_of_a_power_law(power):
    sizes = (10, 20, 40, 80)
    assert exponent(sizes, [3e-6 * size**power for size in sizes]) == pytest.approx(power, abs=1e-12)


def test_scaling_table_has_a_line_for_each_kernel():
    rows = [
        {"kernel": kernel, "unit": "pixels", "size": 10**k, "seconds": 1e-3 * k, "memory": 1e6 * k}
        | {"time_exponent": 1.25, "memory_exponent": 0.5}
        for kernel in ("first", "second")
        for k in (1, 2, 3, 4)
    ]
    lines = scaling_table(rows).splitlines()
    assert len(lines) == 4
    assert lines[2] == (
        "| first | 10, 100, 1,000, 10,000 pixels | 1 ms, 2 ms, 3 ms, 4 ms | 1.25 | 1 MB, 2 MB, 3 MB, 4 MB | 0.50 |"
    )


def test_every_kernel_is_measured_over_at_least_four_sizes():
    for kernel in series().values():
        assert len(kernel.sizes) >= 4
        assert list(kernel.sizes) == sorted(set(kernel.sizes))


def test_peak_memory_counts_what_is_freed_before_the_end_but_not_the_inputs():
    given = np.ones(8_000_000)

    def run(values):
        return float((values + 1).sum())

    peak, result = peak_of_call(run, given)
    assert result == 16_000_000
    assert 60e6 < peak < 80e6


def test_fraction_of_the_roof_is_that_of_the_tighter_limit():
    machine = Machine(10.0, {torch.float32: 100.0, torch.bfloat16: 400.0})
    assert machine.fraction(Work(1000, 10), 20.0, torch.float32) == pytest.approx(0.5)
    assert machine.fraction(Work(1000, 10), 20.0, torch.bfloat16) == pytest.approx(0.125)
    assert machine.fraction(Work(1000, 10), 40.0, torch.float64) == pytest.approx(0.5)
    assert machine.fraction(Work(1000, 1000), 200.0, torch.float32) == pytest.approx(0.5)
    assert machine.fraction(Work(1000, 1000), 200.0, torch.bfloat16) == pytest.approx(0.25)


def test_network_work_is_counted_with_the_backward_pass():
    layer = torch.nn.Linear(4, 3, bias=False, device="meta")
    rows = torch.empty(5, 4, device="meta", requires_grad=True)
    work = count_network(lambda: layer(rows).backward(torch.empty(5, 3, device="meta")))
    # One product forward, one for the gradient of the rows, one for that of the weights.
    assert work.operations == 3 * 2 * 5 * 4 * 3
    # Each of the three reads two of the matrices and writes the third.
    assert work.bytes >= 3 * 4 * (5 * 4 + 4 * 3 + 5 * 3)


@pytest.mark.parametrize("cells", [4, 30])
def test_label_images_hold_the_stated_number_of_cells(cells):
    labels = inputs.label_images(3, 96, cells)
    assert labels.shape == (3, 96, 96)
    assert [image.unique().tolist() for image in labels] == [list(range(cells + 1))] * 3


@pytest.mark.parametrize("draw", [inputs.vit_like, inputs.isotropic, inputs.clustered, inputs.duplicated])
def test_features_have_the_stated_shape_and_kind(draw):
    features = draw(64, 24)
    assert features.shape == (64, 24)
    assert features.dtype == torch.float32
    assert (len(features.unique(dim=0)) < 20) == (draw is inputs.duplicated)


@pytest.mark.parametrize("draw", [inputs.vit_like, inputs.isotropic, inputs.duplicated])
def test_eq_1_as_written_picks_what_greedy_bins_picks(draw):
    features = draw(60, 12)
    assert literal_bins(features.numpy(), 4) == [members.tolist() for members in greedy_bins(features, 4, "sum")]


@pytest.mark.parametrize("gain", ["sum", "mean"])
def test_plain_form_picks_what_greedy_bins_picks(gain):
    features = inputs.vit_like(90, 12)
    ours = torch.cat(greedy_bins(features, 4, gain)).tolist()
    assert plain_picks(features.double().numpy(), 4, gain, 90) == ours
    assert plain_picks(features.double().numpy(), 4, gain, 31) == ours[:31]


def row(**changes):
    return {
        **{"work": "greedy_bins", "input": "any", "seconds": 0.25, "peer": "plain", "peer_seconds": 5.0},
        **{"ratio": 20.0, "ratio_lowest": 18.0, "ratio_highest": 21.0, "pairs": 3, "memory": 2e6, "peer_memory": 3e9},
        **{"agreement": "same | picks", "bar": "≥ 5x", "met": "yes", "operations": 1e9, "bytes": 1e9, "gflops": 4.0},
        **{"gbytes_per_second": 4.0, "roof_fraction": 0.5, "peer_roof_fraction": 0.025},
        **changes,
    }


def test_csv_holds_the_description_and_every_digit(tmp_path):
    rows = [row(seconds=1 / 3), row(agreement='with, "marks"')]
    path = tmp_path / "results/speed.csv"
    report.write_csv(path, {"processor": "one", "threads": "2"}, rows)
    lines = path.read_text().splitlines()
    assert lines[:2] == ["# processor: one", "# threads: 2"]
    read = list(csv.DictReader(lines[2:]))
    assert [float(line["seconds"]) for line in read] == [1 / 3, 0.25]
    assert read[1]["agreement"] == 'with, "marks"'
    assert list(tmp_path.rglob("*.partial")) == []


def test_markdown_has_a_cell_for_every_column():
    for text in (speed_table([row(), row()]), roofline_table([row()])):
        lines = text.replace("\\|", "").splitlines()
        assert len({line.count("|") for line in lines}) == 1
    assert "250 ms" in speed_table([row()])
    assert "20 (18 to 21, 3)" in speed_table([row()])


def test_durations_and_sizes_are_short():
    written = [report.duration(seconds) for seconds in (2e-5, 0.0123, 4.56789, 7200)]
    assert written == ["20 µs", "12.3 ms", "4.57 s", "2 h"]
    assert [report.megabytes(count) for count in (61.8e6, 2.5e9)] == ["61.8 MB", "2.5 GB"]


def test_every_case_is_found_by_its_name(monkeypatch):
    # The other modules import Cellpose, which takes seconds.
    monkeypatch.setattr("case.MODULES", ("quantize_cases", "flow_cases", "overlap_cases", "augment_cases"))
    named = list(load("", long=True))
    assert len({case.name for _, case in named}) == len(named) > 10
    assert {case.name for _, case in load("GRAPHCUT", long=True)} == {c.name for _, c in named if "graphcut" in c.name}
    for module, case in named:
        assert find(module, case.name).name == case.name
        assert len(case.sides()) == 1 + len(case.peers)
