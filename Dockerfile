# The index of all platforms, so amd64 and arm64 have the same pin. Another base has to be a Debian with this Python in
# /usr/local or /usr, as `python`, with venv and pip; the lock files in .image are for 3.13.
ARG BASE=docker.io/library/python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b


FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /tools && python -m venv --without-pip /app

# An index of one's own: --secret id=pip,src=pip.conf; its private authority, for `cert = /etc/pip-ca.pem` in there:
# --secret id=pip-ca,src=ca.pem. Neither is kept.
COPY .image/build.txt .image/runtime.txt .image/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=pip-ca,target=/etc/pip-ca.pem \
    --mount=type=cache,target=/root/.cache/pip \
    /tools/bin/pip install --require-hashes --only-binary :all: --requirement .image/build.txt \
 && /tools/bin/pip --python /app/bin/python install --require-hashes --only-binary :all: --no-compile \
    --requirement .image/runtime.txt

# Installed without an index: what the lock lacks is an error here, and not a download. Bytecode holds no time stamps,
# so it stays valid whatever sets the times of files.
COPY pyproject.toml README.md LICENSE ./
COPY worker worker
RUN /tools/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /tools/bin/pip --python /app/bin/python install --no-index --find-links /wheels --no-compile "flowbridge[otel]" \
 && python -m compileall -q --invalidation-mode unchecked-hash /app/lib


# What the image holds, as CycloneDX: --target bill-of-materials --output .
FROM build AS inventory
COPY .image/debian_packages.py .image/
RUN /tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file /python.json \
    /app/bin/python \
 && /tools/bin/python .image/debian_packages.py /python.json /flowbridge.cdx.json

FROM scratch AS bill-of-materials
COPY --from=inventory /flowbridge.cdx.json /


FROM ${BASE}
# Nothing is to be installed any more. The base leaves out the standard library's bytecode, and later nobody may write it.
RUN python -m pip --disable-pip-version-check --no-cache-dir uninstall --yes --quiet --root-user-action ignore pip \
 && library=$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))') \
 && rm -rf "$library/ensurepip" \
 && python -m compileall -q --invalidation-mode unchecked-hash \
    -x '/(site-packages|idlelib|tkinter|turtledemo|pydoc_data|test)/' "$library"
COPY --from=build /app /app

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="flowbridge" \
      org.opencontainers.image.description="Synchronous answers from Power Automate flows over Azure Service Bus request/reply" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH="/app/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    FLOWBRIDGE_HTTP__HOST=0.0.0.0
USER 65532:65532
WORKDIR /app
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["flowbridge"]
CMD ["run"]
