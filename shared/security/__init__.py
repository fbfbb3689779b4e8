"""Who may do what: tokens, signed links."""
