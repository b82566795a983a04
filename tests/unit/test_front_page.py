"""The study's first page: what stands where, that nothing is loaded or obeyed, and that a parser finds it well-formed."""

from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from studies import demo

from frugalseg.reporting import style
from frugalseg.reporting.front_page import front_page
from frugalseg.reporting.inline_images import inline
from frugalseg.reporting.page import split_at_metrics, to_html, to_inline_html
from frugalseg.study.kinds import in_words, leading
from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError
from frugalseg.study.metrics import METRICS

VOID = {"meta", "img", "br", "hr", "link", "input"}
EVIL = "<script>alert(1)</script>"


class Reader(HTMLParser):
    """Reads a page and stops where tags do not match; keeps every tag with its attributes, and the text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute of {tag} stands there twice"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def figure(tmp_path_factory):
    """A small figure as the study writes it."""
    folder, drawn = tmp_path_factory.mktemp("figures"), Figure(figsize=(3, 2))
    drawn.subplots().plot([0, 1])
    style.save(drawn, folder / "a.png", folder / "a.svg")
    return inline(folder / "a.png", folder / "a.svg")


@pytest.fixture
def template(root):
    return (root / "workflow/report/answers.html.jinja").read_text()


def study(**changes):
    config = {"study": "s", "title": "How little?", "datasets": {"cyto": {"title": "Cells"}}, "figures": {}}
    curves = {"more": {"kind": "learning_curve"}, "more_histo": {"kind": "learning_curve"}}
    return config | {"questions": curves} | changes


def answer(name, *sentences):
    return {"name": name, "question": f"What of {name}?", "sentences": list(sentences)}


def everything(figure):
    """Parts of a page that has every section."""
    block = {"chains": ["cyto", "cyto_to_histo"], "tests": ["cyto"], "changed": {"from": "cyto", "to": "cyto_to_histo"}}
    config = study(
        questions={
            "more": {"kind": "learning_curve"},
            "more_histo": {"kind": "learning_curve"},
            "keep": {"kind": "keeping"},
            "transfer": {"kind": "transfer"},
            "saturates": {"kind": "claim"},
        },
        figures={
            "segmentations": block | {"changed": block["changed"] | {"metric": "pq"}},
            "patches": {"dataset": "cyto", "selectors": ["dq", "random"], "rate": 1},
        },
    )
    answers = {name: answer(name, f"Answer on {name}.", "More of it.") for name in in_words(config)}
    table = "# Title of it\n\n| Training | PQ (instance) |\n| :-- | --: |\n| cyto | 0.64 ± 0.22 |\n"
    tables = dict.fromkeys([*answers, "redundancy", "methods", "patches", "costs", "versions"], table)
    return config, answers, tables, dict.fromkeys(["more", "keep", "redundancy", "segmentations", "patches"], figure)


def test_the_page_is_well_formed_and_loads_nothing(figure, template):
    page = Reader(front_page(*everything(figure), template))
    ids = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert max(ids.values()) == 1
    for link in page.all("a"):
        assert link["href"].removeprefix("#") in ids
    assert page.all("html")[0]["lang"] == "en"
    assert page.all("script") == page.all("link") == page.all("iframe") == []
    images = page.all("img")
    # The patches' figure stands among the looks alone, though a table has its name.
    assert len(images) == 5
    assert all(image["src"].startswith("data:image/") and image["alt"] for image in images)
    assert all(int(image["width"]) == 288 and int(image["height"]) == 192 for image in images)
    assert "default-src 'none'" in page.all("meta")[2]["content"]


def test_the_page_opens_with_three_answers_in_the_order_people_ask(figure, template):
    text = Reader(front_page(*everything(figure), template)).text
    order = ["Answer on more.", "Answer on keep.", "Answer on verdicts.", "Further answers", "Answer on more_histo."]
    order += ["Answer on transfer.", "On images", "Tables of the experiments", "Methods and costs", "Glossary"]
    # The contents name the sections once before.
    places = [text.rindex(part) for part in order]
    assert places == sorted(places)
    assert "Title of it" in text


def test_a_study_says_itself_which_answers_come_first(figure, template):
    config, *parts = everything(figure)
    config["answers"] = ["transfer", "more_histo"]
    text = Reader(front_page(config, *parts, template)).text
    order = ["Answer on transfer.", "Answer on more_histo.", "Further answers", "Answer on more.", "Answer on keep."]
    places = [text.rindex(part) for part in order]
    assert places == sorted(places)
    # The verdicts are not among the first, but in their own section.
    assert text.count("Answer on verdicts.") == 1


def test_answers_that_nothing_gives_make_way_for_the_next():
    config = study()
    assert list(in_words(config)) == leading(config) == ["more", "more_histo"]
    config = study(questions={"a": {"kind": "transfer"}, "b": {"kind": "transfer"}, "c": {"kind": "claim"}})
    assert leading(config) == ["verdicts", "a", "b"]
    assert leading(study(answers=["more_histo"])) == ["more_histo"]


def test_what_is_missing_is_absent(template):
    page = Reader(front_page(study(), {}, {"redundancy": "| a |\n| - |\n| 1 |"}, {}, template))
    assert [attributes["id"] for attributes in page.all("section")] == ["tables", "glossary"]
    assert page.all("img") == page.all("article") == []
    assert "Redundancy" in page.text


def test_verdicts_without_an_answer_are_a_table(template):
    page = Reader(front_page(study(), {}, {"verdicts": "# Verdicts\n\n| a |\n| - |\n| it holds |"}, {}, template))
    assert "verdicts" in [attributes.get("id") for attributes in page.all("section")]
    assert page.text.count("it holds") == 1


def test_words_of_the_config_are_shown_and_not_obeyed(figure, template):
    config, answers, tables, figures = everything(figure)
    config |= {"title": EVIL, "datasets": {"cyto": {"title": EVIL}}}
    answers["more"] = answer("more", EVIL, f'{EVIL} ![x](https://example.org/x.png) "onload=')
    answers["more"]["question"] = f'{EVIL}" onload="alert(1)'
    tables["redundancy"] = f"# {EVIL}\n\n{EVIL}\n\n| {EVIL} |\n| -- |\n| [x](javascript:alert) |\n"
    page = Reader(front_page(config, answers, tables, figures, template))
    assert page.all("script") == []
    assert not any("onload" in attributes for _, attributes in page.tags)
    assert not any("javascript" in link["href"] for link in page.all("a"))
    assert all(image["src"].startswith("data:") for image in page.all("img"))
    assert page.text.count(EVIL) >= 7


def test_what_an_answer_says_is_not_said_again_by_its_table(figure, template):
    first, second = "Beyond 60 images it is enough.", "One `cyto@few2` is noisy."
    tables = {"more": f"# What of more?\n\n**{first}**\n\n- {second}\n\n## Measured\n\nA note.\n"}
    page = Reader(front_page(study(), {"more": answer("more", first, second)}, tables, {"more": figure}, template))
    assert page.text.count(first) == 1
    assert page.text.count("is noisy.") == 1
    assert "A note." in page.text
    assert first in page.all("img")[0]["alt"]


def test_every_metric_has_a_definition_in_tables_and_in_the_glossary(template):
    for metric in METRICS.values():
        name = metric.name
        # As tables head columns, and as they name rows.
        table = f"| Training | {name} | cyto, {name} |\n| -- | -- | -- |\n| {name} | 1 | 2 |\n"
        page = Reader(front_page(study(), {}, {"redundancy": table}, {}, template))
        assert [shown["title"] for shown in page.all("abbr")] == [metric.definition] * 3
        assert f"{name} {metric.definition}" in page.text


@pytest.mark.parametrize(
    ("text", "metrics"),
    [
        ("gain is under 0.01 AP.", ["ap"]),
        ("AP at IoU 0.5, AP at IoU 0.75 and AP (IoU 0.5 to 0.95)", ["ap_50", "ap_75", "ap"]),
        ("PQ (pixel, IoU × Dice) is no instance PQ, nor PQ", ["pq_pixel", "pq", "pq"]),
        ("F1 at IoU 0.5 and F1", ["f1_50", "f1_50"]),
        ("Loss of Dice", ["dice"]),
        ("APs, GPQ, SQL, a recall of precision, AP_50, IoU2", []),
    ],
)
def test_metrics_are_known_by_all_their_names(text, metrics):
    pieces = split_at_metrics(text)
    assert "".join(piece for piece, _ in pieces) == text
    assert [metric for _, metric in pieces if metric] == metrics


def test_names_in_code_and_in_links_are_left_alone():
    assert "abbr" not in to_inline_html("`AP`", linked=True)
    assert to_inline_html("[the AP](https://example.org)", linked=True).count("<a ") == 1


def test_tables_scroll_in_boxes_of_their_own_and_name_their_rows():
    markdown = "# T\n\n## Part\n\n| a | b |\n| -- | -- |\n| x | 0.64 ± 0.22 (± 0.01) |\n|  | y |\n"
    page = Reader(to_html(markdown, level=3, label='The "best"'))
    assert page.all("div") == [{"class": "table", "role": "region", "aria-label": 'The "best"', "tabindex": "0"}]
    assert [attributes["scope"] for attributes in page.all("th")] == ["col", "col", "row"]
    assert [tag for tag, _ in page.tags if tag.startswith("h")] == ["h3", "h4"]
    assert page.all("span") == [{"class": "spread"}]
    assert "0.64 ± 0.22 (± 0.01)" in page.text.replace("0.64  ", "0.64 ")


@pytest.mark.parametrize(
    ("cell", "spread"),
    [
        ("0.64 ± 0.22 (± 0.01)", True),
        ("\N{MINUS SIGN}0.04 (\N{MINUS SIGN}0.10 to 0.02)", True),
        ("78.9 % (44.6 to 99.3)", True),
        ("5,280", False),
        ("0.03 (Dice on cyto; Table I)", False),
        ("yes (p < 0.001)", False),
    ],
)
def test_spreads_are_set_apart_and_nothing_else(cell, spread):
    html = to_html(f"| a | b |\n| -- | -- |\n| x | {cell} |\n")
    assert ('class="spread"' in html) == spread
    assert "".join(Reader(html).texts).split("x")[1].strip() == cell


def test_large_figures_are_embedded_as_pixels_and_pictures_with_losses(tmp_path):
    source = np.random.default_rng(0)
    flat, noise = np.full((300, 450, 3), 200, np.uint8), source.integers(0, 255, (300, 450, 3), np.uint8)
    sources = {}
    for name, pixels, lines in (("small", flat, 10), ("large", flat, 200_000), ("picture", noise, 200_000)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.svg").write_text("x" * lines)
        embedded = inline(tmp_path / f"{name}.png", tmp_path / f"{name}.svg")
        assert (embedded.width, embedded.height) == (288, 192)
        sources[name] = embedded.source
    assert sources["small"].startswith("data:image/svg+xml;base64,")
    assert sources["large"].startswith("data:image/webp;base64,")
    assert len(sources["large"]) < 2_000
    assert 10_000 < len(sources["picture"]) < 200_000


def test_answers_that_come_first_are_those_of_the_study(root):
    default = demo(root)
    assert complete(default | {"answers": ["more_cyto"]}, root)["answers"] == ["more_cyto"]
    with pytest.raises(ConfigError, match="answers names 'more_cito', which nothing answers; did you mean 'more_cyto'"):
        complete(default | {"answers": ["more_cito"]}, root)
