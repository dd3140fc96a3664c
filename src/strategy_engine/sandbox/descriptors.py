"""How many descriptors a process may open: engine and zygote hold some for every child."""

import resource

_ENOUGH = 65_536


def raise_soft_limit() -> None:
    """Raise the soft limit on open descriptors as far as the hard one lets it, and it is useful."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(_ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
