# The gateway and nothing else. `make image` builds it; docs/operations.md says how to run it.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /source
RUN python -m venv /opt/farthing
COPY constraints.txt ./
RUN /opt/farthing/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement constraints.txt
COPY pyproject.toml README.md LICENSE THIRD_PARTY.md ./
COPY src src
RUN /opt/farthing/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --no-index .
RUN /opt/farthing/bin/pip uninstall --yes --quiet pip

FROM python:${PYTHON}-slim
COPY --from=build /opt/farthing /opt/farthing
RUN useradd --system --uid 10001 --user-group --home-dir /nonexistent --shell /usr/sbin/nologin farthing \
    && install --directory --owner farthing --group farthing --mode 0700 /var/lib/farthing
# /etc/farthing/farthing.toml is found there where it is mounted, by every command.
ENV PATH=/opt/farthing/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CONFIG_HOME=/etc \
    FARTHING__STATE_DIR=/var/lib/farthing
USER 10001:10001
WORKDIR /
VOLUME /var/lib/farthing
EXPOSE 8960
# Any answer shows that it lives; with server.hosts set, this name may be refused.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('FARTHING__SERVER__PORT', 8960)), timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status >= 500)"]
ENTRYPOINT ["farthing"]
CMD ["serve", "--host", "0.0.0.0"]
