"""On an engine's path, this makes it a build whose workflows are of another version."""

import os

from strategy_engine.infra import durable

durable.WORKFLOW_VERSION = os.environ["CHAOS_WORKFLOW_VERSION"]
