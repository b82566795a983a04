"""Pages of the report."""

from frugalseg.reporting.page import to_page
from frugalseg.reporting.versions import to_markdown, versions


def test_a_table_becomes_a_table():
    page = to_page("# Title\n\n| a | b |\n| :-- | --: |\n| 1 | 2 ± 3 |\n")
    assert "<h1>Title</h1>" in page
    assert "<td" in page
    assert '2<span class="spread"> ± 3</span>' in page


def test_metrics_are_defined_on_hover_without_links():
    page = to_page("| AP at IoU 0.5 |\n| -- |\n| 1 |\n")
    assert "it is not the average precision of detection" in page
    assert "<a " not in page


def test_raw_html_is_shown_and_not_obeyed():
    assert "<script>" not in to_page("<script>alert(1)</script>")


def test_versions_name_what_decides_the_numbers():
    text = " ".join(to_markdown(versions()).split())
    assert "| torch | 2.13.0" in text
    assert "| processor |" in text
