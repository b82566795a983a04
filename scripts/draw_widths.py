"""The figure of a width scan, from its scores, choices and the accuracy of the trained networks."""

from frugalseg.answers.widths import plateau
from frugalseg.answers.widths_figure import draw_widths
from frugalseg.data.stores import read_table
from frugalseg.reporting import style
from frugalseg.runtime.logs import record

record(snakemake.log[0])
scores, networks, choices, accuracy = (
    read_table(snakemake.input[name]) for name in ("scores", "networks", "choices", "accuracy")
)
edge = None if accuracy.empty else plateau(accuracy, snakemake.params.block["training"]["margin"]).edge
figure = draw_widths(scores, networks, choices, accuracy, edge)
style.save(figure, snakemake.output.png, snakemake.output.svg)
