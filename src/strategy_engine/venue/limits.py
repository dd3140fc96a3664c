"""Limits of several scopes, and the tightest of them. Pure."""

from enum import StrEnum


class Scope(StrEnum):
    """What a limit or a deed of risk is about; the subject of `ENGINE` is empty text."""

    VERSION = "version"
    EXECUTION = "execution"
    LINE = "line"
    ACCOUNT = "account"
    ENGINE = "engine"
