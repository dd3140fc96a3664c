"""What runs, and how it gets there: deployments from request to capital."""
