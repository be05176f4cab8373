"""The border with mitmproxy: the only importer of it."""
