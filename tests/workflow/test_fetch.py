"""The target `fetch`: everything that a study needs from elsewhere, once, and nothing else."""

import io
import json
import shutil
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import tifffile
import yaml
from test_dry_runs import jobs

from frugalseg.data.synthetic import draw

pytestmark = pytest.mark.workflow


@pytest.fixture
def site(monkeypatch):
    """A web site; ``pages`` is what it has and ``asked`` what it was asked for."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path)
            if self.path not in server.pages:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(server.pages[self.path])))
            self.end_headers()
            self.wfile.write(server.pages[self.path])

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.pages, server.asked = {}, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def archive(split, count):
    """A zip archive of drawn images and their labels, in a folder as publishers have it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name, image, labels in draw("multi", count, 96, seed=5, split=split):
            for suffix, pixels in (("img", image), ("masks", labels.astype(np.uint16))):
                encoded = io.BytesIO()
                tifffile.imwrite(encoded, pixels)
                opened.writestr(f"{split}/{name}_{suffix}.tif", encoded.getvalue())
    return file.getvalue()


def add_dataset(workflow, name, downloads, root="{data_root}/mine"):
    pairs = {
        split: {"image": f"{split}/{{name}}_img.tif", "label": f"{split}/{{name}}_masks.tif"}
        for split in ("train", "test")
    }
    block = {"title": name, "source": "path", "reader": "pairs", "root": root, "splits": pairs, "downloads": downloads}
    (workflow.folder / f"config/datasets/{name}.yaml").write_text(yaml.safe_dump(block))


@pytest.fixture
def study(workflow, site):
    """A study of one dataset: two archives, the second one only on its mirror; and weights beside a dataset not in use."""
    site.pages |= {
        "/train.zip": archive("train", 3),
        "/mirror/my%20test.zip": archive("test", 2),
        "/config.json": b"{}",
    }
    downloads = {
        "train.zip": {"urls": [f"{site.url}/train.zip"], "unpack": "train"},
        "my test.zip": {"urls": [f"{site.url}/gone.zip", f"{site.url}/mirror/my%20test.zip"], "unpack": "test"},
    }
    add_dataset(workflow, "mine", downloads)
    add_dataset(workflow, "other", {"other.zip": {"urls": [f"{site.url}/other.zip"]}}, "{data_root}/other")
    weights = {"config.json": {"urls": [f"{site.url}/config.json"]}}
    (workflow.folder / "config/datasets/encoder.yaml").write_text(
        yaml.safe_dump({"title": "E", "source": "weights", "root": "{data_root}/encoder", "downloads": weights})
    )
    config = {"study": "own", "datasets": {"mine": "mine"}, "features": {"checkpoint": "{data_root}/encoder"}}
    (workflow.folder / "study.yaml").write_text(yaml.safe_dump(config))
    return "--configfile", "study.yaml"


def test_fetch_brings_what_the_study_needs_once_and_nothing_else(workflow, site, study):
    workflow.run("fetch", *study)
    assert sorted(site.asked) == ["/config.json", "/gone.zip", "/mirror/my%20test.zip", "/train.zip"]
    data = workflow.folder / "data"
    assert len(list((data / "mine/train").glob("*_img.tif"))) == 3
    assert len(list((data / "mine/test").glob("*_masks.tif"))) == 2
    assert (data / "encoder/config.json").read_bytes() == b"{}"
    assert not (data / "other").exists()
    # Nothing but receipts and logs is made of it yet.
    assert sorted(path.name for path in (workflow.folder / "results/own").iterdir()) == ["downloads", "logs"]
    receipt = json.loads((workflow.folder / "results/own/downloads/mine/my test.zip.json").read_text())
    assert receipt["url"] == f"{site.url}/mirror/my%20test.zip"
    locked = yaml.safe_load((workflow.folder / "config/datasets.lock.yaml").read_text())
    assert sorted(locked) == ["encoder/config.json", "mine/my test.zip", "mine/train.zip"]
    assert locked["mine/my test.zip"]["sha256"] == receipt["sha256"]
    assert "Nothing to be done" in workflow.run("fetch", "--dry-run", *study)

    # Another study finds the files in place.
    text = (workflow.folder / "study.yaml").read_text().replace("study: own", "study: second")
    (workflow.folder / "second.yaml").write_text(text)
    workflow.run("fetch", "--configfile", "second.yaml")
    assert len(site.asked) == 4

    # What is taken away is fetched again, and only that.
    shutil.rmtree(data / "mine/train")
    (data / "mine/train.zip").unlink()
    assert jobs(workflow.run("fetch", "--dry-run", *study))["fetch_file"] == 1
    workflow.run("fetch", *study)
    assert site.asked[4:] == ["/train.zip"]
    assert "Nothing to be done" in workflow.run("fetch", "--dry-run", *study)


def test_images_are_prepared_after_they_were_fetched_and_not_again(workflow, site, study):
    target = "results/own/images/mine/checks.json"
    planned = jobs(workflow.run(target, "--dry-run", *study))
    assert planned["fetch_file"] == 2
    assert planned["prepare"] == 1
    assert site.asked == []
    workflow.run(target, *study)
    report = json.loads((workflow.folder / target).read_text())
    assert report["splits"]["train"]["images"] == 3
    # The files were not there when the jobs were planned; that they are now is no change.
    assert "Nothing to be done" in workflow.run(target, "--dry-run", *study)

    # Another mirror makes no other images.
    description = workflow.folder / "config/datasets/mine.yaml"
    description.write_text(description.read_text().replace("/gone.zip", "/away.zip"))
    assert "Nothing to be done" in workflow.run(target, "--dry-run", *study)

    # Images that were taken away are fetched and prepared once more, and only once.
    shutil.rmtree(workflow.folder / "data/mine/train")
    asked = len(site.asked)
    planned = jobs(workflow.run(target, *study))
    assert (planned["fetch_file"], planned["prepare"]) == (1, 1)
    # The archive is still there, so that unpacking it again is enough.
    assert len(site.asked) == asked
    assert "Nothing to be done" in workflow.run(target, "--dry-run", *study)

    # One image more makes another dataset, and nothing is fetched for it.
    image = next((workflow.folder / "data/mine/train").glob("*_img.tif"))
    shutil.copy(image, image.with_name("more_img.tif"))
    planned = jobs(workflow.run(target, "--dry-run", *study))
    assert planned["prepare"] == 1
    assert "fetch_file" not in planned


def test_a_file_to_fetch_by_hand_stops_the_rule_until_it_is_there(workflow, site):
    form = {"page": "https://cells.org/form", "steps": "Fill in the form."}
    add_dataset(workflow, "mine", {f"{split}.zip": {"by_hand": form, "unpack": split} for split in ("train", "test")})
    (workflow.folder / "study.yaml").write_text("{study: own, datasets: {mine: mine}}")
    # One of the two was unpacked by hand, which is as good.
    with zipfile.ZipFile(io.BytesIO(archive("test", 2))) as opened:
        opened.extractall(workflow.folder / "data/mine")
    output = workflow.run("fetch", "--keep-going", "--configfile", "study.yaml", success=False)
    log = (workflow.folder / "results/own/logs/fetch_file/mine/train.zip.txt").read_text()
    for part in (
        "https://cells.org/form",
        "Fill in the form.",
        f"Put the file train.zip into {workflow.folder}/data/mine",
    ):
        assert part in log
    assert "Error in rule fetch_file" in output
    assert (workflow.folder / "results/own/downloads/mine/test.zip.json").exists()
    (workflow.folder / "data/mine/train.zip").write_bytes(archive("train", 3))
    workflow.run("results/own/images/mine/checks.json", "--configfile", "study.yaml")
    assert site.asked == []


def test_the_published_study_says_what_it_would_fetch_without_a_network(workflow):
    planned = jobs(workflow.run("fetch", "--dry-run", "--configfile", "config/studies/published.yaml"))
    # Two archives of each dataset, and the three files of ViT-MAE-base.
    assert planned["fetch_file"] == 9
    assert planned.keys() == {"fetch", "fetch_file", "total"}


def test_a_study_that_draws_its_images_has_nothing_to_fetch(workflow):
    assert jobs(workflow.run("fetch", "--dry-run")).keys() == {"fetch", "total"}


def test_weights_are_no_dataset(workflow):
    (workflow.folder / "wrong.yaml").write_text("{study: wrong, datasets: {cyto: vit_mae_base}}\n")
    output = workflow.run("--dry-run", "--configfile", "wrong.yaml", success=False)
    assert "wrong.yaml: config/datasets/vit_mae_base.yaml has weights and no images" in output
