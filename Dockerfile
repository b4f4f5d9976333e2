# docker build -t llm-gateway . && docker run -p 8080:8080 llm-gateway
# Compiled in one stage, run in the other: the image has no compiler and no source tree.

FROM python:3.11-slim-bookworm AS build
RUN apt-get -qq update \
 && apt-get -qq install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/llm-gateway
WORKDIR /source
COPY workshop/requirements.lock pyproject.toml setup.py README.md LICENSE ./
COPY gateway gateway
COPY config/default.yaml config/default.yaml
RUN /opt/llm-gateway/bin/pip install --no-cache-dir --disable-pip-version-check -c requirements.lock .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin gateway
COPY --from=build /opt/llm-gateway /opt/llm-gateway
COPY config/container.yaml /etc/llm-gateway/container.yaml
USER 10001
EXPOSE 8080
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/opt/llm-gateway/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health/live', timeout=2)"]
# In exec form, so that the gateway is process 1 and gets docker's SIGTERM itself.
ENTRYPOINT ["/opt/llm-gateway/bin/llm-gateway"]
CMD ["run", "--config", "/etc/llm-gateway/container.yaml"]
