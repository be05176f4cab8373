"""What is loaded late does what it would have done, and only where mitmproxy is the known one."""

import subprocess
import sys
from pathlib import Path

import pytest

from foxora_addon.app import late_imports

PROMISED = """
import sys
from foxora_addon.app.late_imports import promise
promise()
promise()
import mitmproxy.addons
import inspect, warnings
inspect.getmodule(inspect.currentframe())
for module in list(sys.modules.values()):
    getattr(module, "__warningregistry__", None)
loaded = {"flask", "werkzeug", "ldap3.core"} & set(sys.modules)
assert not loaded, loaded
"""
USES = {
    "the page": """
from mitmproxy.addons import onboarding
onboarding.app.config["CONFDIR"] = "/nowhere"
told = []
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "mitm.it",
           "SERVER_PORT": "80", "wsgi.url_scheme": "http", "QUERY_STRING": ""}
page = b"".join(onboarding.app(environ, lambda status, headers, _=None: told.append(status)))
assert told == ["200 OK"] and b"mitmproxy" in page, told
assert onboarding.app.import_name == "mitmproxy.addons.onboardingapp"
from mitmproxy.addons.onboardingapp import app, read_cert
assert app.config["CONFDIR"] == "/nowhere", app.config
""",
    "joined paths": """
from mitmproxy.addons import maplocal
assert maplocal.safe_join("/a", "b", "c") == "/a/b/c" and maplocal.safe_join("/a", "..") is None
import werkzeug.security
assert werkzeug.security.check_password_hash
""",
    "all of werkzeug": "import werkzeug; assert werkzeug.security.safe_join('/a', 'b') == '/a/b'",
    "a name of werkzeug's": "from werkzeug.security import generate_password_hash as g; g('x')",
    "LDAP": """
from mitmproxy.addons import proxyauth
assert proxyauth.ldap3.utils.conv.escape_filter_chars("*") == "\\\\2a"
import ldap3
assert ldap3.Server("ldap://a").host == "a"
""",
    "a part of LDAP": "import ldap3.core.exceptions as e; assert e.LDAPException",
    "a name of LDAP's": "from ldap3 import Server; assert Server('ldap://a').host == 'a'",
}


SLOW = """
from builtins import loads, again
loads.append(1)
(again.set() if len(loads) > 1 else again.wait(1))
value = 7
"""
BY_TWO_THREADS = """
import builtins, sys
from threading import Event, Thread
from foxora_addon.app import late_imports
builtins.loads, builtins.again = [], Event()
late_imports._put("slow", late_imports._getter_of("slow"))
promise, told = sys.modules["slow"], []
threads = [Thread(target=lambda: told.append(promise.value)) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert (told, loads) == ([7, 7], [1]), (told, loads)
assert sys.modules["slow"] is not promise
"""


def ran(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_what_was_promised_is_there_when_it_is_used(use: str) -> None:
    ran(PROMISED + use)


def test_two_threads_at_once_have_it_loaded_once(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    ran(f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + BY_TWO_THREADS)


def test_another_release_s_addons_are_left_to_it(tmp_path: Path) -> None:
    other = {name: (file, "0" * 16) for name, (file, _) in late_imports._USERS.items()}
    ran(
        "import sys\nfrom foxora_addon.app import late_imports\n"
        f"late_imports._USERS = {other!r}\nlate_imports.promise()\n"
        "assert not {'ldap3', 'werkzeug.security'} & set(sys.modules)"
    )
    assert late_imports.source_of(tmp_path / "none.py") == "-"


def test_a_program_that_loads_us_starts_without_them() -> None:
    ran(
        "import sys; sys.argv = ['/bin/mitmdump', '-s', 'foxora_addon']\n"
        "from foxora_addon.app.script_argv import rewrite_argv\nrewrite_argv()\n"
        "assert 'ldap3' in sys.modules"
    )
    ran(
        "import sys; sys.argv = ['/bin/mitmdump', '-s', 'other.py']\n"
        "from foxora_addon.app.script_argv import rewrite_argv\nrewrite_argv()\n"
        "assert not {'ldap3', 'foxora_addon.app.late_imports'} & set(sys.modules)"
    )
