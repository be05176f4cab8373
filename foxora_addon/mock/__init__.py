"""A mock Foxora gateway: a real server that keeps the contract, and breaks it on demand."""
