"""What the proxy itself asks the gateway: who an account is, and what models cost."""
