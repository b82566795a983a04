"""The chain grammar."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalseg.chains import CHAIN, Chain, ChainError, Source, Stage, Subset, parse

datasets = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True).filter(lambda name: name != "to")
rates = st.one_of(st.integers(1, 100).map(str), st.from_regex(r"[1-9][0-9]?\.[0-9]?[1-9]", fullmatch=True))
shares = st.none() | st.integers(1, 30).map(str)


@st.composite
def subsets(draw):
    if draw(st.booleans()):
        return Subset("few", str(draw(st.integers(1, 500))), draw(shares))
    return Subset(draw(st.sampled_from(["dq", "random", "kcenter"])), draw(rates), draw(shares))


@st.composite
def stages(draw):
    names = draw(st.lists(datasets, min_size=1, max_size=3, unique=True))
    # One source without a share always leaves room for those with one.
    sources = [Source(names[0], None)] + [Source(name, draw(st.none() | subsets())) for name in names[1:]]
    return Stage(tuple(sources))


chains = st.lists(stages(), min_size=1, max_size=4).map(lambda parts: Chain(tuple(parts)))


@given(chains)
def test_printing_and_parsing_are_inverse(chain):
    assert parse(str(chain)) == chain
    assert str(parse(str(chain))) == str(chain)


@given(chains)
def test_parents_end_at_a_first_stage(chain):
    lineage = list(chain.lineage())
    assert len(lineage) == len(chain.stages)
    assert lineage[-1].parent is None
    assert all(str(child).startswith(f"{parent}_to_") for child, parent in itertools.pairwise(lineage))


@given(chains)
def test_the_wildcard_constraint_accepts_every_chain(chain):
    assert re.fullmatch(CHAIN, str(chain))


@given(st.text("abto_+@x0159.", max_size=24))
def test_whatever_parses_prints_as_it_was_written(text):
    try:
        chain = parse(text)
    except ChainError:
        return
    assert str(chain) == text
    assert re.fullmatch(CHAIN, text)


def test_sources_are_those_of_the_last_stage():
    chain = parse("multi_to_cyto_to_histo+cyto@dq5x25")
    assert [source.dataset for source in chain.sources] == ["histo", "cyto"]
    assert chain.sources[1].subset == Subset("dq", "5", "25")
    assert chain.sources[1].share == 25
    assert chain.sources[0].share is None
    assert str(chain.parent) == "multi_to_cyto"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "'' is not a source"),
        ("Cyto", "'Cyto' is not a source"),
        ("cyto@dq", "'cyto@dq' is not a source"),
        ("cyto@dq05", "no leading or trailing zeros"),
        ("cyto@dq1.50", "no leading or trailing zeros"),
        ("cyto_to_", "'' is not a source"),
        ("cyto@dq0", "rate 0; a rate is a percentage in (0, 100]"),
        ("cyto@dq101", "rate 101; a rate is a percentage in (0, 100]"),
        ("cyto@few0", "asks for 0 images"),
        ("cyto@few2.5", "asks for 2.5 images"),
        ("cyto+cyto@dq5", "names the dataset 'cyto' twice"),
        ("histo+cyto@dq5x100", "share 100"),
        ("cyto@dq5x40", "add up to 40, not 100"),
        ("a+b@dq5x60+c@dq5x40", "nothing is left for the other sources"),
    ],
)
def test_what_is_not_a_chain_is_refused_with_the_culprit(text, complaint):
    with pytest.raises(ChainError, match=re.escape(complaint)):
        parse(text)
