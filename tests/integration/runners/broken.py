"""A runner that cannot be imported."""

raise ImportError("no module named nonsense")
