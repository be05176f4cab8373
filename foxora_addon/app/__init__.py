"""The command line: what a person types, wired to the proxy, the mock gateway and the trail."""
