"""The page of a width scan: verdict, what every score chooses, and every trained network; Markdown, and LaTeX for papers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from frugalseg.reporting import latex

_MISSING = "–"


def to_markdown(
    block: Mapping[str, Any],
    sentences: Sequence[str],
    choices: pd.DataFrame,
    networks: pd.DataFrame,
    published: pd.DataFrame | None = None,
) -> str:
    """Write the page of a width scan.

    Parameters
    ----------
    block : mapping
        Its block of ``widths`` in the config.
    sentences : sequence of str
        The verdict.
    choices, networks : pd.DataFrame
        From `frugalseg.answers.widths.compare` or `choices`, and `network_table`; without training the networks have
        no scores.
    published : pd.DataFrame, optional
        From `frugalseg.answers.widths.read_published`.
    """
    parts = [f"# {block['title']}", block["caption"], "\n".join(f"- {sentence}" for sentence in sentences)]
    parts += ["## What each score chooses", _choices(choices), _CHOICES_NOTE]
    parts += ["## Networks", _table(*_networks(networks, choices, block["crop"])), _networks_note(block, networks)]
    if published is not None:
        parts += ["## Published values", _published(published)]
    return "\n\n".join(part for part in parts if part) + "\n"


def to_latex(
    block: Mapping[str, Any],
    choices: pd.DataFrame,
    networks: pd.DataFrame,
    published: pd.DataFrame | None = None,
    label: str = "",
) -> str:
    """Write the networks of a width scan as a LaTeX table, published ones below ours (`frugalseg.reporting.latex`).

    Parameters
    ----------
    block, choices, networks, published
        As in :func:`to_markdown`.
    label : str
        The label to refer to the table by.
    """
    heads, rows = _networks(networks, choices, block["crop"])
    body = [_latex_line(row) for row in rows]
    if published is not None:
        body += [r"\midrule", rf"\multicolumn{{{len(heads)}}}{{l}}{{Published}} \\"]
        body += [_latex_line(_published_as_ours(row, len(heads))) for row in published.itertuples()]
    columns = "ll" + "r" * (len(heads) - 2)
    notes = " ".join(part for part in (_CHOSEN_NOTE, _networks_note(block, networks)) if part)
    return latex.table(columns, [_latex_line(heads)], body, f"{block['title']}. {block['caption']}", label, notes)


_CHOSEN_NOTE = "Chosen by: the scores from which the published rule chooses this width."


_CHOICES_NOTE = (
    "Choice: median over the initialisations. By seed: how many initialisations choose which cap. Draws: share of the "
    "bootstrap draws of the images that choose the same. Null: what the rule makes most often of pure noise, and the "
    "probability of choices so far from the null's. An asterisk: the edge of what the published rule can return. Octaves: "
    "log2 of the choice over the edge that training finds. Of SynFlow and the number of parameters the logarithm is taken. "
    "A score that is not finite somewhere, or the same at all caps, is left out."
)


def _choices(choices: pd.DataFrame) -> str:
    heads = ["Score", "Rule", "Choice", "By seed", "Draws", "Null", "p"]
    trained = "octaves_off" in choices
    heads += ["Octaves", "Spearman", "Pearson"] if trained else []
    rows = []
    for row in choices.itertuples():
        null = f"{row.null_choice:.0f} ({row.null_share:.0%})" if pd.notna(row.null_choice) else _MISSING
        cells = [
            row.score.replace("_", " "),
            row.rule,
            f"{row.choice}{'*' if row.on_edge else ''}",
            row.seeds,
            _number(row.share_of_draws, ".0%"),
            null,
            _number(row.null_p, ".3f"),
        ]
        if trained:
            cells += [f"{row.octaves_off:+.0f}", _interval(row, "spearman"), _interval(row, "pearson")]
        rows.append(cells)
    return _table(heads, rows)


def _networks(networks: pd.DataFrame, choices: pd.DataFrame, crop: int) -> tuple[list[str], list[list[str]]]:
    heads = ["Network", "Chosen by", "Parameters", f"FLOPs ({crop} x {crop})"]
    trained = "dice" in networks
    heads += ["Dice", "HD95 (px)", "Loss of Dice", "p"] if trained else []
    published = choices[choices["rule"] == "published"]
    rows = []
    for row in networks.itertuples():
        by = published.loc[published["choice"] == row.cap, "score"].str.replace("_", " ")
        cells = [row.network, ", ".join(by), f"{row.parameters:,}", f"{row.flops:.3g}"]
        if trained:
            cells += [
                _spread(row, "dice", 3),
                _spread(row, "hd95", 1),
                _number(row.loss, "+.3f"),
                _number(row.p, ".3g"),
            ]
        rows.append(cells)
    return heads, rows


def _networks_note(block: Mapping[str, Any], networks: pd.DataFrame) -> str:
    if "dice" not in networks:
        return ""
    return (
        "Mean over test images and runs, ± standard deviation over images, in brackets over runs. p: of a loss of Dice of "
        f"{block['training']['margin']:g} or more against the largest cap (paired Wilcoxon, Holm-corrected); small p means "
        "not worse."
    )


def _published(published: pd.DataFrame) -> str:
    rows = [
        [
            _published_name(row),
            _number(row.params_k, ",.4g"),
            f"{_number(row.dice, '.2f')} ± {_number(row.dice_std, '.2f')}",
            f"{_number(row.hd95, '.2f')} ± {_number(row.hd95_std, '.2f')}",
        ]
        for row in published.itertuples()
    ]
    return _table(["Network", "Parameters (k)", "Dice (%)", "HD95"], rows)


def _published_name(row: Any) -> str:
    return row.model if pd.isna(row.chosen_cap) else f"{row.model} (cap {row.chosen_cap:.0f})"


def _published_as_ours(row: Any, columns: int) -> list[str]:
    """In the units of our columns: parameters, Dice from 0 to 1; the spread is over images."""
    parameters = _number(row.params_k * 1000, ",.0f")
    cells = [_published_name(row), "", parameters, _MISSING]
    if columns > len(cells):
        cells += [f"{_number(row.dice / 100, '.3f')} ± {_number(row.dice_std / 100, '.3f')}"]
        cells += [f"{_number(row.hd95, '.1f')} ± {_number(row.hd95_std, '.1f')}", _MISSING, _MISSING]
    return cells


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(map(latex.escape, cells)) + r" \\"


def _spread(row: Any, metric: str, digits: int) -> str:
    mean, images, runs = (getattr(row, name) for name in (metric, f"{metric}_std_images", f"{metric}_std_runs"))
    return f"{mean:.{digits}f} ± {images:.{digits}f} ({_number(runs, f'.{digits}f')})"


def _interval(row: Any, name: str) -> str:
    value, low, high = (getattr(row, key) for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value:.2f} ({low:.2f} to {high:.2f})" if pd.notna(value) else _MISSING


def _number(value: float, form: str) -> str:
    return format(value, form) if pd.notna(value) else _MISSING


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
