"""Labels of points: none covers another, all lie inside, and a line leads to the point where they stand far off."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from frugalseg.reporting.labels import box_along, box_around, place_labels


def placed(points, texts, marks=lambda axes: []):
    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    weights, colours = ["normal"] * len(texts), ["#0072B2"] * len(texts)
    labels = place_labels(axes, points, texts, marks(axes), weights=weights, colours=colours, fontsize=8)
    figure.draw_without_rendering()
    return axes, labels


def text_box(label):
    # The box of the words alone, without the line that leads to the point.
    return Text.get_window_extent(label)


@pytest.mark.parametrize("seed", range(3))
def test_twelve_labels_in_a_crowd_do_not_touch(seed):
    points = np.random.default_rng(seed).uniform((0.6, 0.6), (0.9, 0.9), (12, 2))
    axes, labels = placed(points, [f"an arm, number {number}" for number in range(12)])
    boxes = [text_box(label) for label in labels]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    for box in boxes:
        assert axes.bbox.x0 <= box.x0
        assert box.x1 <= axes.bbox.x1
        assert axes.bbox.y0 <= box.y0
        assert box.y1 <= axes.bbox.y1
    assert any(label.arrow_patch for label in labels)


def test_a_label_alone_stands_to_the_right_of_its_point_and_at_the_edge_to_the_left():
    _, labels = placed([(0.1, 0.5), (0.99, 0.5)], ["one", "another"])
    (left, right), axes = [text_box(label) for label in labels], labels[0].axes
    assert left.x0 > axes.transData.transform((0.1, 0.5))[0]
    assert right.x1 < axes.transData.transform((0.99, 0.5))[0]
    assert not any(label.arrow_patch for label in labels)


def test_marks_and_lines_stay_free():
    def marks(axes):
        return [box_around(axes, (0.5, 0.5), 8), box_along(axes, (0.3, 0.5), (0.7, 0.5), 3)]

    axes, labels = placed([(0.5, 0.5)], ["beside a cross"], marks)
    assert not any(text_box(labels[0]).overlaps(mark) for mark in marks(axes))
