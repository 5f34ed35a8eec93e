# One image for both services of docker-compose.yml: the bridge speaks prompts with the same espeak-ng with which Asterisk's
# fallback was spoken, and `santral demo call` needs SIPp beside either. Asterisk 22.10 is in no Debian before forky.

# ---- the browser side's packages; esbuild needs no Node to run
FROM node:22-bookworm-slim AS node
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-progress

# ---- the Python packages, every one with its hash, and santral itself as a wheel with the bundled islands in it
FROM debian:forky-slim AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv ca-certificates \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN python3 -m venv /opt/santral && /opt/santral/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
 && python3 -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements-build.lock
COPY --from=node /src/node_modules node_modules
COPY pyproject.toml package.json package-lock.json tsconfig.json LICENSE README.md ./
COPY cti cti
COPY ivr ivr
COPY screenpop screenpop
COPY recordings recordings
COPY asterisk_conf asterisk_conf
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
 && /opt/santral/bin/pip install --no-cache-dir --no-deps /wheel/*.whl

# ---- what runs
FROM debian:forky-slim AS santral
# Below python3 and the zones of time: what `make run` fetches, cti/asterisk/debs.py TELEPHONY. A test compares the two.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      python3 tzdata \
      asterisk asterisk-core-sounds-en-gsm sip-tester espeak-ng \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home --home-dir /var/lib/santral --shell /usr/sbin/nologin santral
COPY --from=build /opt/santral /opt/santral
ENV PATH=/opt/santral/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    TZ=Europe/Istanbul \
    SANTRAL_DATA_DIR=/var/lib/santral
USER santral
WORKDIR /var/lib/santral
VOLUME /var/lib/santral
EXPOSE 8080/tcp 4573/tcp 5060/udp
STOPSIGNAL SIGTERM
ENTRYPOINT ["santral"]
CMD ["serve"]
