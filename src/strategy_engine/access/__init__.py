"""Who may do what: principals by API key, roles, and one table of permissions."""
