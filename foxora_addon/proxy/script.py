"""What mitmproxy loads with `-s foxora_addon`: it hands over the addon, and nothing else.

mitmproxy runs this file anew when it changes (mitmproxy-facts.md row 1); what has state lives in
the package, so that a reload drops no exchange.
"""

import gc

# What is imported stays for good: there is no garbage to be looked for meanwhile.
gc.disable()
try:
    from foxora_addon.proxy.addon import the_addon
finally:
    gc.enable()

addons = [the_addon()]
