"""The container recipes fit the checkout; building them needs an engine, looking at them does not."""

import re
import tomllib
from fnmatch import fnmatch

import pytest
import yaml


@pytest.fixture(scope="module")
def dockerfile(root):
    """Instructions of the Dockerfile as (keyword, words), continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (root / "Dockerfile").read_text())
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return [(words[0], words[1:]) for words in lines]


@pytest.fixture(scope="module")
def definition(root):
    """Sections of the Apptainer definition as lists of lines; its header is the section ""."""
    sections, name = {"": []}, ""
    for line in (root / "envs/frugalseg.def").read_text().splitlines():
        if line.startswith("%"):
            name = line[1:]
        if line and not line.startswith(("#", "%")):
            sections.setdefault(name, []).append(line.strip())
    return sections


def bases(dockerfile, definition):
    [image] = [words[0] for keyword, words in dockerfile if keyword == "FROM"]
    header = dict(line.split(": ") for line in definition[""])
    return image, header["From"]


def copied(dockerfile, definition):
    yield from (path for keyword, words in dockerfile if keyword == "COPY" for path in words[:-1])
    yield from (line.split()[0] for line in definition["files"])


def test_both_start_from_one_python_that_the_package_supports(root, dockerfile, definition):
    docker, apptainer = bases(dockerfile, definition)
    assert docker == apptainer
    version = re.fullmatch(r"python:(\d+)\.(\d+)\.\d+-slim-\w+", docker)
    assert version, "the base has to be pinned to one version of Python and of Debian"
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    least = re.fullmatch(r">=(\d+)\.(\d+)", project["requires-python"])
    assert tuple(map(int, version.groups())) >= tuple(map(int, least.groups()))


def test_both_install_the_lock_file_and_resolve_nothing_else(dockerfile, definition):
    docker = [" ".join(words) for keyword, words in dockerfile if keyword == "RUN"]
    for commands in (docker, definition["post"]):
        installs = [command for command in commands if "pip install" in command]
        assert len(installs) == 2
        assert re.search(r"--requirement /\S+/requirements\.lock$", installs[0])
        assert "--no-deps" in installs[1]


def test_requirements_are_a_layer_that_no_change_of_the_code_touches(dockerfile):
    steps = [(keyword, " ".join(words)) for keyword, words in dockerfile]
    install = next(index for index, (_, text) in enumerate(steps) if "--requirement" in text)
    before = [text.split()[:-1] for keyword, text in steps[:install] if keyword == "COPY"]
    assert before == [["requirements.lock"]]


def test_what_is_copied_exists_and_is_not_ignored(root, dockerfile, definition):
    for path in copied(dockerfile, definition):
        assert (root / path).exists(), path
    ignored = [line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    kept = {line[1:] for line in ignored if line.startswith("!")}
    assert ignored[0] == "*", "what is not named stays out: results, data, the environment and the history"
    assert kept == {path for keyword, words in dockerfile if keyword == "COPY" for path in words[:-1]}
    assert not [path for path in kept if any(fnmatch(path, line) for line in ignored[1:])]


def test_the_study_runs_as_nobody_special(dockerfile):
    users = [words for keyword, words in dockerfile if keyword == "USER"]
    # Kubernetes refuses to start a container as non-root if it only knows the user's name.
    assert len(users) == 1
    assert int(users[0][0]) > 0


def test_the_entry_is_snakemake_on_the_study_that_is_in_the_image(root, dockerfile, definition):
    entry = {keyword: " ".join(words) for keyword, words in dockerfile}
    assert entry["ENTRYPOINT"] == '["snakemake"]'
    profile = re.search(r'"(workflow/profiles/[^"]+)"', entry["CMD"])[1]
    assert (root / profile / "config.yaml").is_file()
    assert definition["runscript"] == ['exec snakemake "$@"']


def test_the_kubernetes_profile_fits_the_rules_and_the_image(root, dockerfile):
    profile = yaml.safe_load((root / "workflow/profiles/kubernetes/config.yaml").read_text())
    text = "\n".join(path.read_text() for path in (root / "workflow/rules").glob("*.smk"))
    rules = re.findall(r"^(?:rule|use rule \w+ as) (\w+)", text, flags=re.MULTILINE)
    assert set(profile["set-resources"]) | set(profile["set-threads"]) <= set(rules)
    # A pod works where the claim is mounted: elsewhere its running state would go with it.
    mount = profile["kubernetes-persistent-volumes"][0].partition(":")[2]
    assert profile["directory"].startswith(f"{mount}/")
    assert profile["default-storage-prefix"] == profile["directory"]
    packages = next(words for keyword, words in dockerfile if keyword == "RUN" and "apt-get" in words)
    # Sources are sent by git, outputs stored by rsync.
    assert {"git", "rsync"} <= set(packages)
