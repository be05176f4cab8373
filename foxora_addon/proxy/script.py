"""What mitmproxy loads with `-s foxora_addon`: it hands over the addon, and nothing else.

mitmproxy runs this file anew when it changes (mitmproxy-facts.md row 1); what has state lives in
the package, so that a reload drops no exchange.
"""

from foxora_addon import printable, starting

starting.begins()
printable.print_everything()  # mitmproxy's log goes there, with what is said in it
try:
    from foxora_addon.proxy.addon import hooks_of, the_addon
finally:
    starting.is_over()

name = the_addon().name
hooks = hooks_of(the_addon())
globals().update(hooks)
