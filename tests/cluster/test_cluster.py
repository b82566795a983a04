"""Trials of the Slurm profile: whatever happens to jobs, nodes and Snakemake, the bits are those of one machine."""

import os
import re
import signal

import pytest
from slurm_study import LONGER, MODELS, TINY, Study
from throwaway import NODES, wait_until

pytestmark = pytest.mark.cluster


def start_two_trainings(cluster, study, *more):
    """Snakemake, and the job that trains on each node and has saved its state."""
    snakemake = study.start_in_cluster(MODELS["cyto"], MODELS["histo"], *more, *LONGER)
    wait_until(lambda: study.has_saved("cyto") and study.has_saved("histo"), "both nodes train")
    jobs = {job["NodeList"]: job for job in cluster.jobs("RUNNING")}
    assert jobs.keys() == set(NODES)
    return snakemake, jobs


def chain_of(job):
    """The chain that a job trains, by the comment that Snakemake gives it."""
    return re.fullmatch(r"rule_train_wildcards_small_(\w+)_0", job["Comment"])[1]


def step_to_go_on_from(study, job):
    """The step at which a job went on with the training that another had begun."""
    return int(re.search(r"goes on from step (\d+) of 800\n", study.training_log(chain_of(job)))[1])


def test_a_study_runs_on_two_nodes_and_gives_the_bits_of_one_machine(cluster, tiny_here, root, tmp_path):
    study = Study(root, tmp_path)
    study.end(study.start_in_cluster(*TINY))
    ended = cluster.ended(study.folder)
    assert {run["JobState"] for run in ended} == {"COMPLETED"}
    assert {run["NodeList"] for run in ended} == set(NODES)
    # The images and patches of a dataset are one job, and all orders by chance are one.
    assert len(study.slurm_logs("group_data")) == 2
    assert len(study.slurm_logs("group_shuffles")) == 1
    assert study.bits() == tiny_here.bits()
    assert "Nothing to be done" in study.run_here("--dry-run", *TINY)


def test_a_drained_node_gets_no_more_jobs(cluster, longer, bits_here):
    snakemake, _ = start_two_trainings(cluster, longer, MODELS["cyto_to_histo"])
    cluster.run("scontrol", "update", "NodeName=node2", "State=DRAIN", "Reason=trial")
    longer.end(snakemake)
    ended = cluster.ended(longer.folder)
    assert [run["JobState"] for run in ended] == ["COMPLETED"] * 3
    assert ended[-1]["NodeList"] == "node1"
    assert longer.bits() == bits_here


def test_a_job_whose_node_goes_down_goes_on_elsewhere(cluster, longer, bits_here):
    snakemake, jobs = start_two_trainings(cluster, longer)
    cluster.run("scontrol", "update", "NodeName=node2", "State=DOWN", "Reason=trial")
    cluster.start_requeued(jobs["node2"]["JobID"])
    longer.end(snakemake)
    ended = cluster.ended(longer.folder)
    assert [run["JobState"] for run in ended] == ["NODE_FAIL", "COMPLETED", "COMPLETED"]
    assert ended[0]["JobId"] == ended[2]["JobId"] == jobs["node2"]["JobID"]
    assert ended[2]["NodeList"] == "node1"
    assert step_to_go_on_from(longer, jobs["node2"]) > 0
    assert longer.bits().items() <= bits_here.items()


def test_a_preempted_job_goes_on_from_its_running_state(cluster, longer, bits_here):
    snakemake, jobs = start_two_trainings(cluster, longer)
    cluster.run("sbatch", "--partition=urgent", "--nodelist=node1", "--gpus=1", "--output=/dev/null", "--wrap=sleep 5")
    cluster.start_requeued(jobs["node1"]["JobID"])
    longer.end(snakemake)
    ended = cluster.ended(longer.folder)
    assert [run["JobState"] for run in ended] == ["PREEMPTED", "COMPLETED", "COMPLETED"]
    assert ended[0]["JobId"] == jobs["node1"]["JobID"] in {run["JobId"] for run in ended[1:]}
    assert step_to_go_on_from(longer, jobs["node1"]) > 0
    assert longer.bits().items() <= bits_here.items()


def test_after_kill_9_a_training_is_taken_over_from_the_job_that_lives_on(cluster, longer, bits_here):
    killed = longer.start_in_cluster(MODELS["cyto"], *LONGER)
    wait_until(lambda: longer.has_saved("cyto"), "a node trains")
    killed.kill()
    killed.wait()
    process, orphan = re.fullmatch(r"process (\d+) on .* \(Slurm job (\d+)\)", longer.holder("cyto")).groups()
    # So that it lives for as long as it takes Snakemake to submit the training again.
    os.kill(int(process), signal.SIGSTOP)
    try:
        longer.run_here("--unlock", *LONGER)
        snakemake = longer.start_in_cluster(MODELS["cyto"], *LONGER)
        waits = f"(Slurm job {orphan}) is training here; this run goes on from its next save"
        wait_until(lambda: waits in longer.training_log("cyto"), "the second job waits")
        jobs = cluster.jobs("RUNNING")
        assert {job["NodeList"]: chain_of(job) for job in jobs} == dict.fromkeys(NODES, "cyto")
    finally:
        os.kill(int(process), signal.SIGCONT)
    longer.end(snakemake)
    ended = cluster.ended(longer.folder)
    assert [(run["JobId"] == orphan, run["JobState"]) for run in ended] == [(True, "FAILED"), (False, "COMPLETED")]
    [log] = [log for log in longer.slurm_logs("rule_train") if log.stem == orphan]
    assert "TakenOverError" in log.read_text()
    # It has made the steps up to there, and no more.
    assert step_to_go_on_from(longer, jobs[0]) % 20 == 0
    assert longer.bits().items() <= bits_here.items()


FAILING = """
rule fail:
    output: "never.txt"
    shell: "echo {resources.mem_mb} >> attempts.txt; exit 1"

rule work:
    output: "done.txt"
    shell: "touch {output}"

rule all:
    default_target: True
    input: "never.txt", "done.txt"
"""


def test_a_job_that_fails_is_tried_three_times_with_more_memory_and_others_go_on(cluster, root, tmp_path):
    study = Study(root, tmp_path)
    (tmp_path / "Failing").write_text(FAILING)
    attempts = tmp_path / "attempts.txt"
    snakemake = study.start_in_cluster("--snakefile", "Failing", "--default-resources", "mem_mb=attempt*100")
    assert snakemake.wait(timeout=200) != 0
    # Not nine: repeats are Snakemake's outside, and none within an allocation.
    assert attempts.read_text().split() == ["100", "200", "300"]
    assert (tmp_path / "done.txt").exists()
    assert "Error in rule fail" in (tmp_path / "snakemake.txt").read_text()
