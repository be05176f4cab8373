"""foxora-addon: a mitmproxy addon that stands between OpenAI clients and the Foxora gateway.

Importing the package is free of side effects and of mitmproxy. Only when mitmproxy itself loads
this file as a script (`-s foxora_addon/__init__.py`) does it hand over the addon.
"""

__version__ = "0.1.0"

if __name__.startswith("__mitmproxy_script__"):
    from foxora_addon.proxy.script import hooks, name  # noqa: F401  # mitmproxy looks for this name

    globals().update(hooks)  # and for these
