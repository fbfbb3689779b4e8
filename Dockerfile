# One image per service: docker build --build-arg SERVICE=intake --build-arg PORT=8101 -t vigil-intake .
# Other targets: phone (the simulated phone network), prepare (the job that fills a new stack). BuildKit builds it.
# Behind a private certificate authority: --secret id=ca,src=FILE; it is seen by pip alone and stays in no layer.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# ---- the runtime dependencies, every one pinned with its hash
FROM ${PYTHON_IMAGE} AS packages
RUN python3 -m venv /opt/vigil
COPY deploy/images/services.lock /build/services.lock
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    /opt/vigil/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary=:all: \
      -r /build/services.lock && \
    /opt/vigil/bin/pip uninstall --yes --quiet pip setuptools

# ---- what every image stands on: Python and the dependencies, no pip, nobody's files to write to
FROM ${PYTHON_IMAGE} AS runtime
RUN rm -rf /usr/local/bin/pip* /usr/local/bin/wheel /usr/local/lib/python3*/ensurepip \
      /usr/local/lib/python3*/site-packages/* \
      /usr/bin/pip* /usr/bin/wheel /usr/lib/python3*/ensurepip /usr/share/python-wheels /usr/lib/python3/dist-packages/* && \
    echo 'vigil:x:10001:10001:Vigil:/nonexistent:/usr/sbin/nologin' >> /etc/passwd && \
    echo 'vigil:x:10001:' >> /etc/group && \
    install -d -o 10001 -g 10001 -m 0700 /var/lib/vigil \
      /var/lib/vigil/secrets /var/lib/vigil/prepared /var/lib/vigil/journal
COPY --from=packages /opt/vigil /opt/vigil
COPY deploy/images/healthy.py /opt/vigil/healthy.py
ENV PATH=/opt/vigil/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/app
WORKDIR /app
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 CMD ["python", "-I", "-S", "/opt/vigil/healthy.py"]

# ---- our own code, compiled: an image that nobody writes to cannot compile at its start
FROM packages AS shared
COPY shared /app/shared
FROM shared AS service-code
ARG SERVICE
COPY services/__init__.py /app/services/__init__.py
COPY services/${SERVICE} /app/services/${SERVICE}
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app
FROM shared AS phone-code
COPY deploy/__init__.py /app/deploy/__init__.py
COPY deploy/local/__init__.py /app/deploy/local/__init__.py
COPY deploy/local/phone /app/deploy/local/phone
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app
FROM shared AS prepare-code
COPY deploy/__init__.py /app/deploy/__init__.py
COPY deploy/compose/__init__.py deploy/compose/__main__.py deploy/compose/prepare.py /app/deploy/compose/
COPY deploy/local/__init__.py deploy/local/credentials.py deploy/local/home.py deploy/local/ports.py deploy/local/waiting.py \
     /app/deploy/local/
COPY deploy/local/kafka/__init__.py deploy/local/kafka/topics.py /app/deploy/local/kafka/
COPY deploy/local/mongo/__init__.py deploy/local/mongo/replica_set.py /app/deploy/local/mongo/
COPY deploy/local/sample /app/deploy/local/sample
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app

# ---- the phone network of the local stack
FROM runtime AS phone
LABEL org.opencontainers.image.title="vigil-phone" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=phone-code /app /app
ENV HEALTH_URL=http://127.0.0.1:8190/_phone/pages
EXPOSE 8190
ENTRYPOINT ["python", "-m", "deploy.local.phone"]

# ---- the job that makes topics, replica set, keys, tokens and a sample roster for a new stack
FROM runtime AS prepare
LABEL org.opencontainers.image.title="vigil-prepare" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=prepare-code /app /app
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m", "deploy.compose"]

# ---- a service
FROM runtime AS service
ARG SERVICE
ARG PORT
ARG REVISION=unknown
LABEL org.opencontainers.image.title="vigil-${SERVICE}" \
      org.opencontainers.image.description="Vigil's service ${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=service-code /app /app
ENV SERVICE=${SERVICE} HEALTH_URL=http://127.0.0.1:${PORT}/health/ready
EXPOSE ${PORT}
ENTRYPOINT ["/bin/sh", "-c", "exec python -m services.${SERVICE}"]
