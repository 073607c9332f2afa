# The operator and its workers. PostgreSQL's own programs dump, restore, and run the scratch server of a verification;
# rclone copies users' files.
ARG BASE_IMAGE=debian:12-slim
FROM ${BASE_IMAGE}

# Only what the base lacks: a base for offline builds brings it.
RUN { python3 -c 'import ensurepip, venv' && test -x /usr/lib/postgresql/15/bin/postgres && test -x /usr/bin/rclone; } 2>/dev/null \
 || { apt-get update \
   && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv postgresql-15 rclone \
   && rm -rf /var/lib/apt/lists/*; }

# initdb wants to know its user by name.
RUN getent passwd 10001 || useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin aada

ENV PATH=/opt/aada/bin:/usr/lib/postgresql/15/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

# The CA bundle to verify package downloads with, where the network needs its own.
ARG PIP_CERT
COPY requirements.lock /opt/aada-requirements.lock
RUN python3 -m venv /opt/aada \
 && pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /opt/aada-requirements.lock

# Code last: a change of it costs seconds. Bytecode is compiled here, because the root file system is read-only later.
COPY operator /opt/aada-operator
RUN printf '/opt/aada-operator\n' > "$(python3 -c 'import site; print(site.getsitepackages()[0])')/aada_operator.pth" \
 && printf '#!/bin/sh\nexec python3 -m aada_operator "$@"\n' > /opt/aada/bin/aada-operator \
 && chmod 755 /opt/aada/bin/aada-operator \
 && python3 -m compileall -q /opt/aada-operator

LABEL org.opencontainers.image.title="AADA LMS operator"
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["aada-operator"]
