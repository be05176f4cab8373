"""Who may send what: accounts, limits, recognition and rewriting. Pure."""
