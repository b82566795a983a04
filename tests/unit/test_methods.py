"""The methods section: from the config, in plain English, with what it cites."""

import re

import pytest
import yaml
from studies import demo

from frugalseg.reporting.formats import listing, number, plain, plural
from frugalseg.reporting.methods import papers, to_markdown
from frugalseg.study.load import complete
from frugalseg.study.recipe import laid_over


def study(root, path=None, **changes):
    default = yaml.safe_load((root / path).read_text()) if path else demo(root)
    return complete(laid_over(default, changes), root)


STUDIES = [None, "config/studies/published.yaml", "config/studies/real.yaml", "tests/workflow/tiny.yaml"]


@pytest.mark.parametrize("path", STUDIES)
def test_what_is_cited_is_listed_and_the_other_way_round(root, path):
    text, references = to_markdown(study(root, path)).split("## References")
    listed = [line.removeprefix("- ") for line in references.strip().splitlines()]
    assert listed == sorted(set(listed))
    for reference in listed:
        assert re.match(r".*?\b\d{4}\b", reference)[0] in text
    short = {re.match(r".*?\b\d{4}\b", reference)[0] for reference in listed}
    for cited in re.findall(r"[A-Z][^().;*]*?(?:et al\.|& [A-Z]\w+) \d{4}", text):
        assert any(cited.endswith(author) for author in short), cited


@pytest.mark.parametrize("path", STUDIES)
def test_the_text_is_clean(root, path):
    text = to_markdown(study(root, path))
    for slip in ("None", "{", "}", "  ", " .", " ,", "..", "((", "))", "1 patches", "one seeds", "nan"):
        assert slip not in text.split("## References")[0], slip
    for paragraph in text.split("## References")[0].split("\n\n")[1:]:
        assert not paragraph.strip() or paragraph.rstrip().endswith(".")


def test_the_default_study(root):
    text = to_markdown(study(root))
    assert "three datasets: *cyto*, synthetic images of fluorescent cells in many looks (60 for training and 15" in text
    assert "96 × 96 pixels at a stride of 48 pixels" in text
    assert "Patches with fewer than five cells were left out" in text
    assert "masked autoencoder (He et al. 2022), one a dataset, trained on its training patches for 300 steps" in text
    assert "8, 16 and 32 channels" in text
    assert "for 600 steps a stage in batches of 8, with a learning rate of 0.005, which falls as" in text
    assert "Each model was trained with one or two seeds." in text
    assert "Eight claims with a bound set beforehand were called supported" in text
    assert "as two one-sided tests do (Schuirmann 1987)" in text
    assert "(10 % and 50 %)" in text
    assert "replay filled 50 % of every batch" in text


def test_a_study_of_widths_names_its_caps_and_peers(root):
    text = to_markdown(study(root, "config/studies/width.yaml"))
    assert "capped at 64, 16, 4 and 1, beside CMUNeXt (Tang et al. 2024), were trained in two runs each" in text


def test_the_published_study(root):
    text = to_markdown(study(root, "config/studies/published.yaml"))
    assert "MoNuSeg 2018 (stained tissue of many organs; Kumar et al. 2020)" in text
    assert "ViT-MAE (He et al. 2022), which saw the whole patch" in text
    assert "32, 64, 128 and 256 channels" in text
    assert "for 500 epochs a stage in batches of 8" in text
    assert "The selector *dqmean* differs from *dq* in using the mean-distance gain" in text
    assert "weight decay 0.0001" in text
    assert "Where a share is given" not in text
    assert papers()["study"] in text


def test_what_keeps_the_old_is_told(root):
    small = study(root)["recipes"]["small"]
    ways = {
        "pulled": {"method": "l2sp", "strength": 0.5},
        "consolidated": {"method": "ewc", "strength": 20},
        "distilled": {"method": "lwf", "strength": 2},
        "frozen": {"method": "frozen"},
    }
    recipes = {name: {**small, "parent": "small", "keep": keep} for name, keep in ways.items()}
    recipes["between"] = {**small, "interpolate": {"recipe": "small", "alpha": 0.25}}
    chains = ["cyto_to_histo", *({"chain": "cyto_to_histo", "recipe": name} for name in recipes)]
    text = to_markdown(study(root, recipes=recipes, questions={"forgetting": {"chains": chains}}))
    for part in (
        "With the recipe *pulled*, models of *small* were fine-tuned with all weights pulled towards the parent's (L2-SP; Li, ",
        "consolidation (Kirkpatrick et al. 2017) of a strength of 20, by proximal steps, the Fisher information from 64 patches",
        "(learning without forgetting; Li & Hoiem 2017), with a weight of 2.",
        "fine-tuned with a frozen encoder (*downsample*).",
        "their weights are 0.25 times those of models of *small* plus 0.75 times those of their parents (Wortsman et al. 2022).",
    ):
        assert part in text, part
    assert "With the recipe *between*" not in text


def test_the_choice_among_arms_is_told(root):
    text = to_markdown(study(root, "tests/workflow/tiny.yaml"))
    assert (
        "**Keeping the old.** To learn *histo* and keep *cyto*, three arms of one candidate each were compared (naive, EWC and "
        "half way), by the mean of PQ (instance) on both, in which that on *cyto* counted 0.5. Of each arm the candidate was "
        "taken that scored best on the one tuning image of either dataset" in text
    )
    assert "**Keeping the old.**" not in to_markdown(study(root, "config/studies/published.yaml"))


def test_selectors_by_features_are_told_with_their_features(root):
    text = to_markdown(
        study(
            root,
            selectors={"herding": {"method": "herding"}, "typical": {"method": "typicality", "clusters": 8}},
            questions={"redundancy": {"chains": ["cyto@herding10", "cyto@typical10"]}},
        )
    )
    assert "Patches were compared by the mean over all tokens" in text
    assert "was herding (Welling 2009; Rebuffi et al. 2017), which" in text
    assert "was typicality (Hacohen, Dekel & Weinshall 2022), which takes of eight clusters of k-means" in text


def test_numbers_follow_the_config(root):
    changed = study(root, patches={"size": 128, "stride": 32, "min_cells": 1}, recipes={"small": {"lr": 0.05}}, bins=7)
    text = to_markdown(changed)
    assert "128 × 128 pixels at a stride of 32 pixels" in text
    assert "Patches without a cell were left out of training, after coresets" in text
    assert "a learning rate of 0.05" in text
    assert "divided greedily into 7 bins" in text


def test_what_a_study_does_not_do_is_not_told(root):
    only = demo(root)["questions"]["zero_shot"] | {"chains": [{"chain": "cyto", "label": "all"}], "seeds": [0]}
    plain_study = complete(demo(root, questions={"zero_shot": only}, tuning=0), root)
    text = to_markdown(plain_study)
    for absent in ("**Coresets.**", "**Transfer and replay.**", "**Width.**", "Zhou et al.", "Isensee et al.", "claim"):
        assert absent not in text
    assert "Each model was trained once." in text
    assert "with fewer than five cells were left out of training." in text


UCELL = {
    "arch": "ucell",
    "target": "unit_flows",
    "channels": 2,
    "ucell": {"hidden": 128, "depth": 1, "registers": 8, "recursion": "c", "rotary": 2},
    "compute": 2.5,
    "crop": 64,
    "optimiser": "adamw",
    "lr": 0.0001,
    "weight_decay": 1.0,
    "average": 0.999,
    "schedule": "constant",
    "augmentation": "ucell",
    "rescale": True,
}
TUNED = {**UCELL, "parent": "cells", "parent_seed": 3, "average": 0.95, "lora": {"rank": 16, "layers": ["mlp", "attn"]}}
CHAINS = [
    {"chain": "cyto", "recipe": "cells"},
    {"chain": "cyto_to_histo@few{shots}", "recipe": "tuned", "lists": {"shots": [1, 5]}},
    {"chain": "cyto", "recipe": "longer"},
]


def ucell_study(root, cells=UCELL, tuned=TUNED):
    longer = {**cells, "weights": "cells", "ucell": {**cells["ucell"], "cycles": 63}}
    recipes = {"cells": cells, "tuned": tuned, "longer": longer}
    default = demo(root, tuning=0)
    changes = {"chains": CHAINS, "pivot": {"rows": ["gigaflops"], "columns": ["metric"]}}
    only = {"zero_shot": default["questions"]["zero_shot"] | changes}
    return complete(default | {"questions": only, "recipes": default["recipes"] | recipes}, root)


def test_a_study_of_ucell(root):
    text = to_markdown(ucell_study(root))
    assert (
        "UCell (Kuang et al. 2026), one transformer block of 128 channels applied again and again to its own state"
        in text
    )
    assert "with eight registers, rotary positions by row and column and 308 k weights in all, was trained" in text
    assert (
        "by half their squared error inside cells, and the probability of a cell, by a tenth of its cross-entropy"
        in text
    )
    assert "one supervised step of 21 cycles, the last seven of them with gradient; predictions took 21 cycles." in text
    assert (
        "AdamW (Loshchilov & Hutter 2019) with β1 = 0.9, β2 = 0.95, weight decay 1, for 2.5 · 10^12 operations a"
        in text
    )
    assert (
        "with a learning rate of 0.0001, which stays the same. A running mean of the weights with a decay of 0.999"
        in text
    )
    assert "Patches were brought to a mean cell diameter of 35 pixels, flipped, transposed, scaled by 2^(0.6 n)" in text
    assert (
        "With the recipe *tuned*, models of *cells* were fine-tuned by low-rank adapters alone (LoRA; Hu et al. 2022), of rank "
        "16 and α = 1, in the layers with *mlp* or *attn* in their names." in text
    )
    assert "The selector *few* drew one or five whole images at random, anew for every seed" in text
    assert "All runs of the recipe *tuned* start from one model, that of seed 3" in text
    assert "With the recipe *longer*, models of *cells* predicted in 63 cycles." in text
    assert "Operations of a network are those of its convolutions" in text
    assert "settings of the first stage" not in text
    for other in ("nnU-Net", "Cellpose", "stochastic gradient descent"):
        assert other not in text.split("## References")[0]
    for paper in ("ucell", "lora", "adamw"):
        assert papers()[paper] in text


def test_a_study_of_cellpose_sam(root):
    """Two blocks, by the settings of the recipes that studies share."""
    shared = yaml.safe_load((root / "config/recipes.yaml").read_text())
    sizes = {"cpsam": {"hidden": 64, "depth": 2, "heads": 2}, "crop": 64}
    cells, tuned = (laid_over(shared[name], sizes) for name in ("cpsam", "cpsam-lora"))
    tuned |= {"like": "cells", "parent": "cells", "parent_seed": 3}
    default = demo(root, tuning=0)
    questions = {"zero_shot": default["questions"]["zero_shot"] | {"chains": CHAINS[:2]}}
    recipes = default["recipes"] | {"cells": cells, "tuned": tuned}
    text = to_markdown(complete(default | {"questions": questions, "recipes": recipes}, root))
    assert "Cellpose-SAM (Pachitariu, Rariden & Stringer 2025), two transformer blocks of 64 channels and" in text
    assert "image by image, with a probability that rose over depth from 0 to 0.4." in text
    assert "of rank 16 and α = 16, in the layers with *attn* or *mlp* in their names" in text
    assert papers()["cpsam"] in text


def test_supervised_steps_of_a_batch(root):
    cells = {**UCELL, "ucell": {"hidden": 64, "recursion": [3, 1, 7], "halting": 0.1}}
    text = to_markdown(ucell_study(root, cells=cells, tuned={**TUNED, "ucell": cells["ucell"]}))
    assert "three supervised steps of seven cycles, the state carried from one to the next; predictions took 21" in text
    assert "Images whose flow error fell below 0.1 left their batch, half of them after every step." in text
    fresh = {**cells, "ucell": {**cells["ucell"], "carry": False, "halting": 0}}
    text = to_markdown(ucell_study(root, cells=fresh))
    assert "three supervised steps of seven cycles, each from the initial state; predictions" in text
    assert "left their batch" not in text


def test_what_was_told_of_one_recipe_is_not_told_of_the_next(root):
    text = to_markdown(ucell_study(root, tuned={**UCELL, "parent": "cells"}))
    assert (
        "models of *cells* were fine-tuned in all their weights. They were trained as with the recipe *cells*." in text
    )
    assert text.count("flipped") == 1


@pytest.mark.parametrize(
    ("section", "name", "key", "kind"),
    [
        ("recipes", "small", "arch", "network"),
        ("recipes", "small", "target", "target"),
        ("recipes", "small", "optimiser", "optimiser"),
        ("recipes", "small", "schedule", "schedule"),
        ("recipes", "small", "augmentation", "augmentation"),
        ("selectors", "dq", "method", "selector"),
    ],
)
def test_what_has_no_words_is_not_called_something_else(root, section, name, key, kind):
    config = study(root)
    config[section][name][key] = "context"
    with pytest.raises(ValueError, match=f"no words for the {kind} 'context': (add them to|write) METHODS"):
        to_markdown(config)


def test_words():
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert listing(["a", "b"], before_last=" or ") == "a or b"
    assert [number(1), number(12), number(13), number(1000)] == ["one", "twelve", "13", "1,000"]
    assert [plural(1, "run"), plural(2, "run")] == ["one run", "two runs"]
    assert [plain(0.00003), plain(0.1), plain(1.0)] == ["0.00003", "0.1", "1"]
