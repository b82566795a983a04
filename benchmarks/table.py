"""The table of ours beside the peers: its rows from measurements, and how it is printed."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from case import Case, Peer, Work
from measure import pair_ratios, take_turns
from memory import in_fresh_process, peak_of_side
from report import duration, markdown, megabytes
from roofline import Machine

Row = dict[str, Any]


def rows_of(module: str, case: Case, machine: Machine, repeats: int, threads: int) -> Iterator[Row]:
    """Measure a case and give one row a peer.

    Every side runs once in a process of its own, where its memory is measured and which gives the results that are
    compared; the timings are taken here, in turns.
    """
    fresh = {name: in_fresh_process(peak_of_side, module, case.name, name, threads) for name in case.sides()}
    inputs = case.draw()
    timings = take_turns(case, inputs, repeats)
    work = case.count(inputs)
    for peer in case.peers:
        yield _row(case, peer, inputs, timings, fresh) | _roofline(case, peer, work, timings, machine)


def speed_table(rows: list[Row]) -> str:
    """Markdown: who takes how long and holds how much, how far they agree, and whether the bar is met."""
    return markdown(
        {
            "work": row["work"],
            "input": row["input"],
            "ours": duration(row["seconds"]),
            "peer": row["peer"],
            "peer's time": duration(row["peer_seconds"]),
            "ratio (range, pairs)": f"{row['ratio']:.3g} ({row['ratio_lowest']:.3g} to {row['ratio_highest']:.3g}, "
            f"{row['pairs']})",
            "memory": megabytes(row["memory"]),
            "peer's memory": megabytes(row["peer_memory"]),
            "agreement": row["agreement"],
            "bar": row["bar"],
            "met": row["met"],
        }
        for row in rows
    )


def roofline_table(rows: list[Row]) -> str:
    """Markdown: operations and bytes of the work, and the share of the machine's best that both sides reach."""
    return markdown(
        {
            "work": row["work"],
            "input": row["input"],
            "peer": row["peer"],
            "operations": f"{row['operations'] / 1e9:.3g} G",
            "bytes": megabytes(row["bytes"]),
            "ours": f"{row['gflops']:.3g} GFLOP/s, {row['gbytes_per_second']:.3g} GB/s",
            "of the roof": f"{row['roof_fraction']:.1%}",
            "peer, of the roof": f"{row['peer_roof_fraction']:.1%}",
        }
        for row in rows
    )


def _row(
    case: Case, peer: Peer, inputs: Any, timings: dict[str, list[float]], fresh: dict[str, tuple[int, Any]]
) -> Row:
    seconds = statistics.median(timings["ours"])
    ratio = pair_ratios(timings["ours"], timings[peer.name])
    (memory, ours), (peer_memory, theirs) = fresh["ours"], fresh[peer.name]
    agreement = peer.agree(inputs, ours, theirs)
    return {
        "work": case.work,
        "input": case.input,
        "seconds": seconds,
        "peer": peer.name,
        "peer_seconds": statistics.median(timings[peer.name]),
        "ratio": ratio.median,
        "ratio_lowest": ratio.lowest,
        "ratio_highest": ratio.highest,
        "pairs": ratio.pairs,
        "memory": memory,
        "peer_memory": peer_memory,
        "agreement": agreement.words,
        "bar": str(peer.bar),
        "met": peer.bar.met(ratio.median, seconds, memory, agreement.value),
    }


def _roofline(case: Case, peer: Peer, work: Work, timings: dict[str, list[float]], machine: Machine) -> Row:
    seconds, peer_seconds = statistics.median(timings["ours"]), statistics.median(timings[peer.name])
    return {
        "operations": work.operations,
        "bytes": work.of_width(case.precision).bytes,
        "gflops": work.operations / seconds / 1e9,
        "gbytes_per_second": work.of_width(case.precision).bytes / seconds / 1e9,
        "roof_fraction": machine.fraction(work, seconds, case.precision),
        "peer_roof_fraction": machine.fraction(work, peer_seconds, peer.precision),
    }
