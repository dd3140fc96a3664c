# syntax=docker/dockerfile:1
# Two stages: what builds (uv, a wheel) stays behind; what runs is Python, the engine and nothing more.

FROM python:3.13-slim-bookworm AS build

ENV UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/strategy-engine
WORKDIR /build
RUN pip install --no-cache-dir uv==0.13.9

# What rarely changes first: a change of the source installs the source alone.
COPY pyproject.toml uv.lock .python-version README.md LICENSE ./
RUN uv sync --frozen --no-dev --no-install-project --compile-bytecode
COPY src ./src
RUN uv sync --frozen --no-dev --no-editable --compile-bytecode


FROM python:3.13-slim-bookworm

# curl is what the healthcheck asks with. What it pins is the base image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /var/lib/strategy-engine strategy \
    && install --directory --owner=strategy --group=strategy --mode=0750 /var/lib/strategy-engine

COPY --from=build /opt/strategy-engine /opt/strategy-engine

ENV PATH=/opt/strategy-engine/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/strategy-engine \
    STRATEGY_DATA_DIR=/var/lib/strategy-engine \
    STRATEGY_HOST=0.0.0.0 \
    STRATEGY_PORT=8700 \
    STRATEGY_LOG_JSON=true \
    STRATEGY_TIMEOUT=300 \
    MAX_CONCURRENT_DEPLOYMENTS=5 \
    PIPELINE_STAGES=syntax_check,unit_tests,backtest,paper_trading,risk_validation \
    AUTO_ROLLBACK_ENABLED=true \
    DEPLOYMENT_APPROVAL_REQUIRED=false \
    STRATEGY_MAX_MEMORY=2g \
    STRATEGY_MAX_CPU=1.0

# By name, as the contract has it; its number is 10001, for hosts that ask for one.
# hadolint ignore=DL3066
USER strategy
WORKDIR /var/lib/strategy-engine
VOLUME /var/lib/strategy-engine
EXPOSE 8700
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --retries=3 \
    CMD ["curl", "-f", "http://localhost:8700/health"]
ENTRYPOINT ["strategy-engine"]
CMD ["serve"]
