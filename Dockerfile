# The gateway as a container: hashed dependencies, no build tools, an unprivileged user, a root file system that may be
# read-only. State lives in /data; a configuration is mounted at /app/config/gateway.yaml or named by GATEWAY_CONFIG.
#   docker build -t llm-gateway .
#   docker run -p 8080:8080 -e GATEWAY_ADMIN_KEY=… -v gateway-data:/data --read-only --tmpfs /tmp llm-gateway
FROM python:3.11-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
COPY requirements.lock ./
# The environment has no pip of its own: the image's pip installs into it from outside, and stays behind in this stage.
RUN python -m venv --without-pip /opt/gateway \
 && python -m pip --python /opt/gateway/bin/python install --require-hashes --only-binary=:all: -r requirements.lock
COPY scripts/link_project.py scripts/
COPY config/ config/
COPY gateway/ gateway/
RUN python scripts/link_project.py /opt/gateway/bin/python \
 && /opt/gateway/bin/python -m compileall -q /opt/gateway/lib /app/gateway \
 && rm -r scripts requirements.lock

FROM python:3.11-slim

RUN groupadd --system --gid 10001 gateway \
 && useradd --system --uid 10001 --gid gateway --home-dir /data --shell /usr/sbin/nologin gateway \
 && install -d -m 0700 -o gateway -g gateway /data
COPY --from=build /opt/gateway /opt/gateway
COPY --from=build /app /app

ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY_DATA_DIR=/data
WORKDIR /app
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
# Not urllib, which would ask the proxy that a container's environment may name.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('GATEWAY_PORT') or 8080), timeout=2); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["gateway", "serve", "--host", "0.0.0.0"]
