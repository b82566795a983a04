# The study and its pinned requirements: docker build --tag frugalseg .
# On Linux, torch of the lock file brings the CUDA libraries that it was built with (several GB), and runs on processors
# as well. docs/containers.md tells how to run it.
FROM python:3.11.13-slim-bookworm

# Snakemake's jobs on Kubernetes copy their files by rsync. Debian keeps no older versions that could be pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git rsync \
    && rm -rf /var/lib/apt/lists/*

# A layer of its own, made anew only when the lock file changes.
COPY requirements.lock /frugalseg/
RUN pip install --no-cache-dir --requirement /frugalseg/requirements.lock

COPY pyproject.toml README.md LICENSE Snakefile /frugalseg/
COPY config /frugalseg/config
COPY envs /frugalseg/envs
COPY scripts /frugalseg/scripts
COPY workflow /frugalseg/workflow
WORKDIR /frugalseg
RUN pip install --no-cache-dir --no-deps . \
    && useradd --uid 1000 frugalseg \
    && chown --recursive frugalseg /frugalseg

USER 1000
# Caches go where any user may write, as those with a number of their own do who keep results on the host.
ENV HOME=/tmp
ENTRYPOINT ["snakemake"]
CMD ["--workflow-profile", "workflow/profiles/local", "--cores", "all"]
