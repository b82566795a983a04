"""Learning rates of single steps against values worked out by hand."""

import pytest

from frugalseg.training import schedules


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.1 / 30), (14, 0.05), (29, 0.1), (30, 0.1), (174, 0.1), (175, 0.02), (249, 0.02)],
)
def test_warmup_of_250_steps(step, expected):
    assert schedules.build("warmup", 0.1, steps=250, steps_per_epoch=7.5)(step) == pytest.approx(expected)


def test_warmup_of_one_step_is_not_zero():
    assert schedules.warmup(0.1, 1)(0) > 0


@pytest.mark.parametrize(
    ("epochs", "epoch", "expected"),
    [
        (20, 0, 0.0),
        (20, 1, 0.1 / 9),
        (20, 9, 0.1),
        (20, 19, 0.1),
        (100, 99, 0.1),
        (101, 50, 0.1),
        (101, 51, 0.05),
        (101, 55, 0.05),
        (101, 56, 0.025),
        (101, 100, 0.1 / 1024),
        (300, 249, 0.1),
        (300, 250, 0.05),
        (500, 399, 0.1),
        (500, 400, 0.05),
        (500, 409, 0.05),
        (500, 410, 0.025),
        (500, 499, 0.1 / 1024),
    ],
)
def test_cellpose(epochs, epoch, expected):
    steps_per_epoch = 12.5
    lr = schedules.build("cellpose", 0.1, steps=round(epochs * steps_per_epoch), steps_per_epoch=steps_per_epoch)
    first = -int(-epoch * steps_per_epoch // 1)  # the first step that starts inside this epoch
    assert lr(first) == pytest.approx(expected)


def test_cellpose_changes_only_between_epochs():
    lr = schedules.cellpose(0.1, epochs=4, steps_per_epoch=3)
    assert [lr(step) for step in range(12)] == pytest.approx([0] * 3 + [0.1 / 9] * 3 + [0.2 / 9] * 3 + [0.3 / 9] * 3)


def test_what_cannot_be_scheduled_is_told():
    with pytest.raises(ValueError, match="'cosine'; known: cellpose, constant, poly, warmup"):
        schedules.build("cosine", 0.1, steps=10, steps_per_epoch=1)
    with pytest.raises(ValueError, match="learning rate 0 in its first epoch"):
        schedules.build("cellpose", 0.1, steps=10, steps_per_epoch=10)
