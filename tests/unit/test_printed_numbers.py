"""Results that the documentation prints are those of the files it cites."""

import re

import pandas as pd
import pytest

PASSAGE = re.compile(r"<!-- numbers: (?P<files>[^>]+?) -->\n(?P<text>.*?)<!-- end of numbers -->", re.DOTALL)
EXAMPLE = re.compile(r"<!-- an example -->\n.*?<!-- end of the example -->", re.DOTALL)
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+\.\d+(?:e[+-]?\d+)?(?![\w]|\.\d)")
# What only results look like: a spread, or an interval.
RESULT = re.compile(r"± \d+\.\d|\([-+−]?\d+\.\d+ to [-+−]?\d+\.\d+\)")


@pytest.fixture(scope="module")
def pages(root):
    return {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    }


def numbers_of(root, names):
    """Every number of some files of results."""
    found = []
    for name in names:
        path = root / ("docs/results" if "/" not in name else "") / name
        table = pd.read_csv(path)
        found += [value for column in table.select_dtypes("number") for value in table[column].dropna()]
    return found


def is_printed_of(text, numbers):
    """Whether a printed number is one of the numbers, or one in percent, rounded to as many digits."""
    plain = text.replace("−", "-").removeprefix("+")
    if "e" in plain:
        return any(f"{number:.2e}" == plain for number in numbers)
    digits = len(plain.partition(".")[2])
    return any(f"{number:.{digits}f}" == plain for number in [*numbers, *(100 * number for number in numbers)])


def test_every_printed_result_is_that_of_the_files_it_cites(root, pages):
    passages = [(page, match) for page, text in pages.items() for match in PASSAGE.finditer(text)]
    assert passages
    for page, passage in passages:
        numbers = numbers_of(root, passage["files"].split(", "))
        for match in NUMBER.finditer(passage["text"]):
            assert is_printed_of(match[0], numbers), f"{page}: {match[0]} is not in {passage['files']}"


def test_no_result_is_printed_without_a_file(pages):
    for page, text in pages.items():
        rest = CODE.sub("", EXAMPLE.sub("", PASSAGE.sub("", text)))
        found = RESULT.search(rest)
        assert not found, f"{page}: {found[0]!r} cites no file; see docs/results/README.md"


def test_every_file_of_results_is_cited(root, pages):
    cited = {name for text in pages.values() for match in PASSAGE.finditer(text) for name in match["files"].split(", ")}
    assert {path.name for path in (root / "docs/results").glob("*.csv")} <= cited


def test_a_number_that_moved_is_found():
    assert is_printed_of("90.5", [0.9049])
    assert not is_printed_of("90.5", [0.9061])
    assert is_printed_of("−0.016", [-0.0158])
    assert not is_printed_of("−0.016", [0.0158])
    assert NUMBER.findall("from +0.75 to 0.00. Then 1,155 MB and 7.93e+08 in 0.1.2") == ["+0.75", "0.00", "7.93e+08"]
