# Two images of one source: `docker build --target operator .`, `--target agent .`
# Dependencies come from the lock files, hashes checked, wheels only.
# BASE: any image with Python 3.11 or newer and its venv module. With a full image
# (python:3.13) the result is the `debug` flavour.
ARG BASE=python:3.13-slim


FROM ${BASE} AS build
# Where pip asks, and whom it trusts, behind a proxy of one's own.
ARG PIP_INDEX_URL
ARG PIP_CERT
RUN python3 -m venv /build
COPY requirements/agent.txt requirements/operator.txt /requirements/
RUN /build/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        --require-hashes --only-binary :all: --no-deps --no-compile \
        --target /agent -r /requirements/agent.txt \
 && /build/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        --require-hashes --only-binary :all: --no-deps --no-compile \
        --target /operator -r /requirements/operator.txt
COPY crds/conntrack_api /agent/conntrack_api
COPY crds/conntrack_api /operator/conntrack_api
COPY node_agent/conntrack_agent /agent/conntrack_agent
COPY operator/conntrack_operator /operator/conntrack_operator
# Compiled here, since nothing can be written where they run; without times, so that
# equal sources give equal files.
RUN rm -rf /operator/bin /agent/bin \
 && find /operator /agent -type d -name tests -prune -exec rm -r {} + \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /agent /operator


FROM ${BASE} AS runtime
# No pip, and nothing that brings it back; and no program that runs as somebody else.
RUN rm -rf /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip \
        /usr/lib/python3*/ensurepip /usr/share/python-wheels /usr/local/bin/pip* \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
ENV PYTHONPATH=/opt/conntrack PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.licenses="Apache-2.0"
COPY LICENSE /usr/share/doc/conntrack-operator/LICENSE


FROM runtime AS operator
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="conntrack-operator" \
      org.opencontainers.image.description="Decides what the connection-tracking table of every node should be" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /operator /opt/conntrack
# Any uid will do, also one without an account.
USER 65532:65532
ENTRYPOINT ["python3", "-m", "conntrack_operator"]


FROM runtime AS agent
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="conntrack-agent" \
      org.opencontainers.image.description="Makes one node's connection-tracking table as it should be" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /agent /opt/conntrack
# Root, since only root may write the host's settings; what root may do is decided
# where it is started: no capability is needed.
USER 0:0
ENTRYPOINT ["python3", "-m", "conntrack_agent"]
