# The service without its embedded PostgreSQL: point RAPPORT_DATABASE_URL at a server (compose.yml does).
# CI has no container engine and does not build this file.
#
#   docker build -t rapport .

ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
WORKDIR /srv/rapport
RUN python -m venv /opt/rapport
COPY requirements.lock ./
# One lock pins everything, tools for development too. All of it is fetched and checked against its hashes; what goes
# into the image is then chosen by the project's own dependencies, from those files and from nowhere else. So there
# is no second lock that could disagree with the first.
RUN pip download --quiet --require-hashes --no-deps --requirement requirements.lock --dest /wheels
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY migrations migrations
RUN /opt/rapport/bin/pip install --quiet --no-cache-dir --no-index --find-links /wheels --editable . \
    && /opt/rapport/bin/python -m compileall -q app \
    && /opt/rapport/bin/pip uninstall --quiet --yes pip setuptools

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="rapport" \
      org.opencontainers.image.description="Customer engagement for shops: one log per customer, and a health score that says why" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 rapport \
    && useradd --system --uid 10001 --gid rapport --no-create-home --shell /usr/sbin/nologin rapport
COPY --from=build /opt/rapport /opt/rapport
COPY --from=build /srv/rapport /srv/rapport
WORKDIR /srv/rapport
# Nothing is written outside /tmp, so the root file system may be read-only. RAPPORT_HOME is for what a deployment
# keeps elsewhere: the data in its PostgreSQL, the admin key in RAPPORT_ADMIN_KEY.
ENV PATH=/opt/rapport/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RAPPORT_HOME=/tmp/rapport
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["rapport", "serve", "--host", "0.0.0.0"]
