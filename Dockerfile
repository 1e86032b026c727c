# The image of the server, for `docker run`, docker-compose.yaml and k8s/. Build it with
#   docker build -t iocmng --build-arg VERSION=$(git describe --tags) --build-arg REVISION=$(git rev-parse HEAD) .
ARG BASE=python:3.11-slim-bookworm

# --- everything that is needed to build, and nothing of it stays

FROM ${BASE} AS build
WORKDIR /src
COPY requirements-build.lock requirements-image.lock ./
# Bytecode is compiled here, because the image is read-only where it runs, and plugins would start in twice the time.
RUN python3 -m venv /opt/build \
    && /opt/build/bin/python -m pip install --no-cache-dir --require-hashes -r requirements-build.lock \
    && python3 -m venv --without-pip /opt/iocmng \
    && /opt/build/bin/uv pip install --no-cache --python /opt/iocmng/bin/python --compile-bytecode \
       --require-hashes -r requirements-image.lock
COPY pyproject.toml README.md CHANGELOG.md LICENSE pytest_iocmng.py ./
COPY iocmng iocmng
COPY plugins_template plugins_template
RUN /opt/build/bin/python -m hatchling build -t wheel -d /tmp/wheel \
    && /opt/build/bin/uv pip install --no-cache --python /opt/iocmng/bin/python --compile-bytecode --no-deps /tmp/wheel/*.whl

# --- the image

FROM ${BASE}
# bash and wget are what KubeRay starts and asks pods with; git, ssh and gpg get plugins; Ray needs procps.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
       bash ca-certificates git gpg openssh-client procps tini wget \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1000 iocmng \
    && useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash iocmng \
    && install --directory --owner=1000 --group=1000 /data /data/plugins \
    && touch /etc/epik8s-beamline.yaml
COPY --from=build /opt/iocmng /opt/iocmng

# The server listens for other machines: without IOCMNG_TOKEN it answers reads and refuses changes.
ENV PATH=/opt/iocmng/bin:$PATH \
    LANG=C.UTF-8 \
    IOCMNG_HOST=0.0.0.0 \
    IOCMNG_PLUGINS_DIR=/data/plugins \
    IOCMNG_BEAMLINE_CONFIG=/etc/epik8s-beamline.yaml
USER 1000:1000
WORKDIR /home/iocmng
EXPOSE 8080 5064/tcp 5064/udp 5075/tcp 5076/udp

HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=4 \
    CMD ["/bin/bash", "-c", "exec wget --quiet --tries=1 --timeout=4 --output-document=/dev/null http://127.0.0.1:${IOCMNG_PORT:-8080}/livez"]

# KubeRay and EPIK8s charts bring commands of their own; `iocmng-run` starts one plugin without Ray.
ENTRYPOINT ["tini", "--"]
CMD ["iocmng-server"]

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="iocmng" \
      org.opencontainers.image.description="An IOC manager for EPICS: Python plugins from git become live soft IOCs" \
      org.opencontainers.image.source="https://github.com/infn-epics/epik8s-beamline-controller" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
