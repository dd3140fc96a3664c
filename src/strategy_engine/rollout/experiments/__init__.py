"""A/B experiments on a line: two versions side by side, to estimate their difference."""
