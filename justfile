# `just` lists the recipes; each is one or two commands that also work by hand.

default:
    @just --list

# Install Python and every dependency, pinned by uv.lock.
setup:
    uv sync

# Format the code and mend what the linter can mend.
fmt:
    uv run ruff format
    uv run ruff check --fix

# What must pass before a commit.
check:
    uv run ruff format --check
    uv run ruff check
    uv run mypy
    uv run lint-imports
    uv run pytest

# Run tests: `just test tests/unit/market -k gaps`.
test *arguments:
    uv run pytest {{ arguments }}

# Run every benchmark; each prints a table and fails when over its budget.
bench:
    #!/usr/bin/env bash
    set -euo pipefail
    shopt -s nullglob
    for benchmark in benchmarks/*.py; do
      uv run python "$benchmark"
    done

# Check the documents: links lead somewhere, commands exist.
docs:
    uv run pytest tests/unit/cli/test_documents.py

# Run the engine on http://127.0.0.1:8700.
serve *arguments:
    uv run strategy-engine serve {{ arguments }}

# Long runs under faults and load.
soak:
    uv run pytest -n 0 -m soak --timeout 0 -s
