"""What an operator reads: each row is a mistake and the one line that tells of it."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from foxora_addon.audit.keys import make_key
from foxora_addon.config import Config, ConfigError, load
from foxora_addon.placeholder import PLACEHOLDER_KEY

type LoadYaml = Callable[..., Config]

ONE = "accounts:\n  - name: acme\n    key: {env: FOXORA_API_KEY}\n"
TWO = ONE + "  - name: other\n    key: {env: OTHER_KEY}\n"
CLEAR = (
    "a key is never written in clear; put it into an environment variable and write {env: NAME}, "
    "or into a file and write {file: PATH}"
)
CAP = "must be a sum of US dollars from 0 up, such as 100 or 99.50"
PRICE = (
    "must be US dollars for 1,000 tokens from 0 to 1000, with at most 12 decimals, such as 0.00015"
)

MISTAKES = [
    # Values
    (
        ONE + "    plan: gold\n",
        "4: accounts[0].plan: 'gold' is not known; accepted: auto, free, pro, team",
    ),
    (
        "audit: {sync: always}",
        "1: audit.sync: 'always' is not known; accepted: none, interval, each",
    ),
    ("audit: {sync: null}", "1: audit.sync: nothing is not known; accepted: none, interval, each"),
    (
        "audit:\n  redact: [secrets, pi]",
        "2: audit.redact[1]: 'pi' is not known; accepted: secrets, pii",
    ),
    (
        "limits: {store: redis}",
        "1: limits.store: 'redis' is not known; accepted: memory",
    ),
    (
        "gateway:\n  connect_timeout_seconds: ten",
        "2: gateway.connect_timeout_seconds: must be a number, not 'ten'",
    ),
    (
        "gateway: {connect_timeout_seconds: 0}",
        "1: gateway.connect_timeout_seconds: must be greater than 0, not 0",
    ),
    (
        "gateway: {connect_timeout_seconds: 90000}",
        "1: gateway.connect_timeout_seconds: must be at most 86400, not 90000",
    ),
    (
        "gateway: {connect_timeout_seconds: .inf}",
        "1: gateway.connect_timeout_seconds: must be a finite number, not a huge number",
    ),
    (
        "limits: {shadow: yes}",
        "1: limits.shadow: must be true or false, not 'yes'",
    ),
    (
        "audit: {max_body_bytes: 1.5}",
        "1: audit.max_body_bytes: must be a whole number, not 1.5",
    ),
    ("audit: {path: [a]}", "1: audit.path: must be a path, not a list"),
    ("audit: {path: ''}", "1: audit.path: '' is not a path"),
    (
        "audit:\n  patterns: {back: '(a)\\1'}",
        "2: audit.patterns.back: the given text is no pattern of RE2: invalid escape sequence: \\1",
    ),
    (
        "audit:\n  operations: {embedings: minimal}",
        "2: audit.operations: 'embedings' is no operation; did you mean 'embeddings'?",
    ),
    (
        "audit:\n  patterns: {'a b': x}",
        "2: audit.patterns: 'a b' can't be a pattern's name; use up to 40 letters, digits, dots, "
        "dashes and underscores",
    ),
    ("audit: {redact: secrets}", "1: audit.redact: must be a list, not 'secrets'"),
    ("models: {map: [a]}", "1: models.map: must be a mapping (name: value), not a list"),
    ("models: {map: {a: 1}}", "1: models.map.a: must be a text, not 1"),
    (
        "models:\n  default: ''",
        "2: models.default: '' is not the name of a model; write it on one line, as in gpt-4o-mini",
    ),
    (
        "models:\n  map:\n    a: |\n      b\n",
        "3: models.map.a: the given text is not the name of a model; write it on one line, as in "
        "gpt-4o-mini",
    ),
    (
        "models:\n  map:\n    gpt-4o*: gpt-4o-mini",
        "3: models.map['gpt-4o*']: a * stands for nothing else here; write each model's whole name",
    ),
    (
        ONE + "    limits: {models: {'*': {requests_per_minute: 1}}}",
        "4: accounts[0].limits.models['*']: a * stands for nothing else here; write each model's "
        "whole name",
    ),
    (
        "prices: {gpt-4*: {input_per_1k_usd: 1, output_per_1k_usd: 1}}",
        "1: prices['gpt-4*']: a * stands for nothing else here; write each model's whole name",
    ),
    ("limits: {ask_usage: 1}", "1: limits.ask_usage: must be true or false, not 1"),
    ("gateway: mock", "1: gateway: must be a mapping (name: value), not 'mock'"),
    ("[a]", "1: must be a mapping such as 'gateway: ...', not a list"),
    # Unknown and repeated keys
    (
        "gateway:\n  base_ulr: x",
        "2: gateway.base_ulr: unknown key; did you mean base_url?",
    ),
    ("audits: {}", "1: audits: unknown key; did you mean audit?"),
    (
        ONE + "    limits:\n      rpm: 3",
        "5: accounts[0].limits.rpm: unknown key; known are requests_per_minute, "
        "tokens_per_minute, concurrent_requests, models, monthly_spend_cap_usd",
    ),
    (
        ONE + "    clients: [{adress: 10.0.0.1}]",
        "4: accounts[0].clients[0].adress: unknown key; did you mean address?",
    ),
    ("audit: {}\nlimits: {}\naudit: {}", "3: audit: is given twice; first on line 1"),
    # Several: the first in the file, whatever the order of the models
    (
        "limits: {shadow: 1}\naudit: {sync: 1}\ngateway: {base_url: 1}",
        "1: limits.shadow: must be true or false, not 1 (and 2 more)",
    ),
    # YAML
    (
        "intercept: {hosts: [*]}",
        "1: not valid YAML: a text that begins with * must stand in quotes (else it repeats an "
        "&anchor)",
    ),
    ("a: [", "1: not valid YAML: expected the node content, but found '<stream end>'"),
    (
        "a: b: c",
        "1: not valid YAML: ': ' stands where none may: put a text that has it in quotes, or "
        "correct the indentation, a comma that is missing, or the space behind the ':' before it",
    ),
    (
        "gateway: {base_url: mock: x}",
        "1: not valid YAML: ': ' stands where none may: put a text that has it in quotes, or "
        "correct the indentation, a comma that is missing, or the space behind the ':' before it",
    ),
    (
        "gateway: {base_url: ${FOXORA_BASE_URL}}",
        "1: not valid YAML: variables are not filled in: write {env: NAME} where a key is wanted, "
        "or set FOXORA_BASE_URL itself",
    ),
    ("a: [b]\nc: {d: e} {f}", "2: not valid YAML: expected <block end>, but found '{'"),
    (
        "accounts:\n\t- name: a",
        "2: not valid YAML: a tab stands where only spaces may: indent with those",
    ),
    (
        "intercept:\n  hosts: [*.example.com]",
        "2: not valid YAML: a text that begins with * must stand in quotes (else it repeats an "
        "&anchor)",
    ),
    ("a: 1\nb: \x01", "2: not valid YAML: a control character stands in the text"),
    ("a: &a [*a]", "1: a: unfolds into too many values"),
    ("a: 1\n---\nb: 2", "2: not valid YAML: but found another document"),
    (
        "models: {<<: {default: a}}",
        "1: models: has a merge key (<<), which YAML 1.2 has not; write the keys out",
    ),
    (
        "models:\n  ? [a]\n  : b",
        "2: models: has a list or a mapping as a key; a key must be a text",
    ),
    (
        "models: {default: !!python/name:os.system x}",
        "1: models.default: has a tag that does not fit; write plain values",
    ),
    (
        "models: {default: !!bool x}",
        "1: models.default: has a tag that does not fit; write plain values",
    ),
    (
        "audit: {max_body_bytes: 1__0}",
        "1: audit.max_body_bytes: is not a number; if it is meant as a text, put it in quotes",
    ),
    (
        'models:\n  default: "\\ud83d"',
        "2: models.default: has an escape that is no character; write \\U0001F600, not a surrogate",
    ),
    (
        'models: {map: {"\\ud83d": x}}',
        "1: models.map: has a key that has an escape that is no character; write \\U0001F600, not "
        "a surrogate",
    ),
    # The gateway
    (
        "gateway: {base_url: api.foxora.ai}",
        "1: gateway.base_url: 'api.foxora.ai' is not a URL; write https:// and the host",
    ),
    (
        "gateway: {base_url: 'https://api.foxora.ai/v1/chat/completions/'}",
        "1: gateway.base_url: 'https://api.foxora.ai/v1/chat/completions/' is where a call goes; "
        "write its base, https://api.foxora.ai/v1",
    ),
    (
        "gateway: {base_url: 'ftp://api.foxora.ai/v1'}",
        "1: gateway.base_url: 'ftp://api.foxora.ai/v1' is not an http or https URL; "
        "write https://HOST/v1",
    ),
    (
        "gateway: {base_url: 'https:///v1'}",
        "1: gateway.base_url: 'https:///v1' has no valid host; write https:// and the host",
    ),
    (
        "gateway: {base_url: 'https://h:0/v1'}",
        "1: gateway.base_url: 'https://h:0/v1' has a port that is not a number from 1 to 65535",
    ),
    (
        "gateway: {base_url: 'https://h/v1?a=b'}",
        "1: gateway.base_url: 'https://h/v1?a=b' has a query or a fragment; write it without",
    ),
    (
        "gateway: {base_url: 'https://me:hunter2@h/v1'}",
        "1: gateway.base_url: the given text has a user name or password; write it without",
    ),
    (
        "gateway: {base_url: 'https://h/a/../v1'}",
        "1: gateway.base_url: 'https://h/a/../v1' has a path with characters or dot segments that "
        "a base URL can't have",
    ),
    (
        "gateway: {base_url: 'http://2130706433/v1'}",
        "1: gateway.base_url: 'http://2130706433/v1' has no valid host; write https:// and the "
        "host",
    ),
    (
        "gateway:\n  allow_plain_http: false\n  base_url: http://10.0.0.1/v1",
        "3: gateway.base_url: 'http://10.0.0.1/v1' sends the key in clear; write https://, or set "
        "gateway.allow_plain_http: true",
    ),
    # Interception
    (
        "intercept: {hosts: ['https://api.example.com/v1']}",
        "1: intercept.hosts[0]: 'https://api.example.com/v1' is a URL; write the host alone, as in "
        "api.example.com or localhost:8000",
    ),
    (
        "intercept: {hosts: ['*']}",
        "1: intercept.hosts[0]: '*' is not a host; write api.example.com, localhost:8000 or "
        "*.example.com",
    ),
    (
        "intercept: {hosts: ['h:99999']}",
        "1: intercept.hosts[0]: 'h:99999' has a port that is not a number from 1 to 65535",
    ),
    ("intercept: {hosts: [7]}", "1: intercept.hosts[0]: must be a text, not 7"),
    (
        "intercept: {jwt_issuers: ['']}",
        "1: intercept.jwt_issuers[0]: '' is not an issuer; write the iss of the JWTs, as in "
        "https://auth.example",
    ),
    (
        "listen: {names: ['proxy.local:8080']}",
        "1: listen.names[0]: 'proxy.local:8080' is not a host name; write it without port, as in "
        "host.docker.internal",
    ),
    (
        "listen: {origins: ['*']}",
        "1: listen.origins[0]: '*' is not a URL; write https:// and the host",
    ),
    (
        "listen: {origins: ['https://app.example/']}",
        "1: listen.origins[0]: 'https://app.example/' is more than an origin; write scheme, host "
        "and port: https://app.example",
    ),
    # Accounts
    (
        "accounts:\n  - key: {env: FOXORA_API_KEY}",
        "2: accounts[0].name: is missing; give the account one, as in name: acme",
    ),
    (
        "accounts: [{name: a}]",
        "1: accounts[0].key: is missing; write key: {env: NAME} or key: {file: PATH}",
    ),
    ("accounts: {name: a}", "1: accounts: must be a list, not a mapping"),
    (
        "accounts: [{name: a b, key: {env: FOXORA_API_KEY}}]",
        "1: accounts[0].name: 'a b' is not a name; use up to 64 letters, digits, dots, dashes and "
        "underscores",
    ),
    (
        TWO.replace("other", "acme"),
        "4: accounts[1].name: 'acme' is the name of accounts[0] already",
    ),
    (
        "accounts:\n"
        "- {name: a, default: true, key: {env: FOXORA_API_KEY}}\n"
        "- {name: b, default: true, key: {env: OTHER_KEY}}",
        "3: accounts[1].default: accounts[0] is the default already; only one can be",
    ),
    (
        TWO.replace("OTHER_KEY", "FOXORA_API_KEY"),
        "5: accounts[1].key: this key belongs to accounts[0] already",
    ),
    (
        TWO + "    clients:\n      - key: {env: FOXORA_API_KEY}",
        "7: accounts[1].clients[0].key: this key belongs to accounts[0] already",
    ),
    (
        ONE + "    clients: [{address: 10.1.0.0/16}]\n"
        "  - {name: b, key: {env: OTHER_KEY}, clients: [{address: 10.1.0.0/16}]}",
        "5: accounts[1].clients[0].address: 10.1.0.0/16 belongs to accounts[0] already",
    ),
    (
        "accounts:\n  - name: a\n    key: {env: FOXORA_API_KEY}\n    clients:\n"
        "      - {name: laptop, address: 10.0.0.1}\n      - {name: laptop, address: 10.0.0.2}\n",
        "6: accounts[0].clients[1].name: 'laptop' is the name of clients[0] already",
    ),
    (
        ONE + "    clients: [{address: 10.1.0.0/8}]",
        "4: accounts[0].clients[0].address: '10.1.0.0/8' is an address inside a range; write "
        "10.0.0.0/8 for all of it",
    ),
    (
        ONE + "    clients: [{address: localhost}]",
        "4: accounts[0].clients[0].address: 'localhost' is not an address; write 10.0.0.7 or "
        "10.0.0.0/8",
    ),
    (
        ONE + "    clients: [{address: 10}]",
        "4: accounts[0].clients[0].address: must be an address such as 10.0.0.7 or 10.0.0.0/8, "
        "not 10",
    ),
    (
        ONE + "    clients: [{address: 10.0.0.1, key: {env: APP_KEY}}]",
        "4: accounts[0].clients[0]: must have exactly one of key_sha256, key, address",
    ),
    (
        ONE + "    clients: [{key_sha256: sk-fake-in-clear}]",
        "4: accounts[0].clients[0].key_sha256: must be 64 hexadecimal digits; "
        "printf %s KEY | sha256sum prints them",
    ),
    (
        ONE + "    clients: [hunter2]",
        "4: accounts[0].clients[0]: must be a mapping (name: value), not the given value",
    ),
    (
        ONE + "    clients: [{key_sha256: 4711}]",
        "4: accounts[0].clients[0].key_sha256: must be a text, not the given value",
    ),
    # Money
    (
        ONE + "    limits: {monthly_spend_cap_usd: -1}",
        f"4: accounts[0].limits.monthly_spend_cap_usd: {CAP}, not -1",
    ),
    (
        ONE + "    limits: {monthly_spend_cap_usd: a lot}",
        f"4: accounts[0].limits.monthly_spend_cap_usd: {CAP}, not 'a lot'",
    ),
    (
        ONE + "    limits: {monthly_spend_cap_usd: .inf}",
        f"4: accounts[0].limits.monthly_spend_cap_usd: {CAP}, not a huge number",
    ),
    (
        ONE + "    limits: {monthly_spend_cap_usd: true}",
        f"4: accounts[0].limits.monthly_spend_cap_usd: {CAP}, not true",
    ),
    (
        "prices:\n  gpt-4o:\n    input_per_1k_usd: 0.0000000000001\n    output_per_1k_usd: 0",
        f"3: prices.gpt-4o.input_per_1k_usd: {PRICE}, not 1e-13",
    ),
    (
        "prices: {gpt-4o: {input_per_1k_usd: 1, output_per_1k_usd: '$2'}}",
        f"1: prices.gpt-4o.output_per_1k_usd: {PRICE}, not the given text",
    ),
    (
        "prices: {gpt-4o: {input_per_1k_usd: 1}}",
        "1: prices.gpt-4o.output_per_1k_usd: is missing; write what 1,000 tokens of output cost, "
        "0 if it has none",
    ),
    (
        "prices: {gpt-4o: {inptu_per_1k_usd: 1, input_per_1k_usd: 1, output_per_1k_usd: 1}}",
        "1: prices.gpt-4o[the given text]: unknown key; did you mean input_per_1k_usd?",
    ),
    ("prices: {gpt-4o: 5}", "1: prices.gpt-4o: must be a mapping (name: value), not 5"),
    ("prices: [a]", "1: prices: must be a mapping (name: value), not a list"),
    (
        "limits: {unknown_price: deny}",
        "1: limits.unknown_price: 'deny' is not known; accepted: allow, refuse",
    ),
    # Keys
    (
        "accounts: [{name: a, key: {env: UNSET_KEY}}]",
        "1: accounts[0].key: the environment variable UNSET_KEY is not set; export it, or write "
        "{file: PATH} instead",
    ),
    ("accounts: [{name: a, key: sk-fake-in-clear}]", f"1: accounts[0].key: {CLEAR}"),
    (
        "accounts: [{name: a, key: '${FOXORA_API_KEY}'}]",
        f"1: accounts[0].key: {CLEAR.replace('NAME', 'FOXORA_API_KEY')}",
    ),
    (
        "accounts: [{name: a, key: {env: foxora_sk_live_fakefakefake}}]",
        "1: accounts[0].key: env must be the name of an environment variable, and never the key "
        "itself",
    ),
    (
        "accounts: [{name: a, key: {enviroment: A}}]",
        "1: accounts[0].key: must be {env: NAME} or {file: PATH}",
    ),
    (
        "accounts: [{name: a, key: {env: A, file: B}}]",
        "1: accounts[0].key: must be {env: NAME} or {file: PATH}",
    ),
    (
        "accounts: [{name: a, key: {env: WITH_SPACE}}]",
        "1: accounts[0].key: the environment variable WITH_SPACE holds white space or a line "
        "break; it must hold the key alone",
    ),
    (
        "accounts: [{name: a, key: {env: QUOTED}}]",
        "1: accounts[0].key: the environment variable QUOTED holds its key in quotes; it must hold "
        "the key alone",
    ),
    (
        "accounts: [{name: a, key: {env: NOT_ASCII}}]",
        "1: accounts[0].key: the environment variable NOT_ASCII holds characters that no key has; "
        "it must hold the key alone",
    ),
    (
        "accounts: [{name: a, key: {file: gone}}]",
        "1: accounts[0].key: the file 'gone' can't be read: No such file or directory",
    ),
    (
        "accounts: [{name: a, key: {file: .}}]",
        "1: accounts[0].key: the file '.' can't be read: Is a directory",
    ),
    (
        "accounts: [{name: a, key: {file: empty}}]",
        "1: accounts[0].key: the file 'empty' is empty; write the key into it",
    ),
    (
        "accounts: [{name: a, key: {file: two_lines}}]",
        "1: accounts[0].key: the file 'two_lines' holds white space or a line break; it must hold "
        "the key alone",
    ),
    (
        "accounts: [{name: a, key: {file: foxora_sk_live_fakefakefake}}]",
        "1: accounts[0].key: the given file can't be read: No such file or directory",
    ),
    # What signs the trail
    (
        "audit: {checkpoint_key: {env: APP_KEY}}",
        "1: audit.checkpoint_key: must be {file: PATH}, a private key that `foxora-proxy audit "
        "keygen PATH` has made",
    ),
    (
        "audit: {checkpoint_key: {file: gone}}",
        "1: audit.checkpoint_key: the file 'gone' can't be read: No such file or directory",
    ),
    (
        "audit: {checkpoint_key: {file: empty}}",
        "1: audit.checkpoint_key: the file 'empty' is no use: no Ed25519 private key in PEM, as "
        "`audit keygen` writes it",
    ),
    (
        "audit: {checkpoint_key: {file: pipe}}",
        "1: audit.checkpoint_key: the file 'pipe' is no use: a pipe is read but once",
    ),
    (
        "audit: {checkpoint_path: elsewhere}",
        "1: audit.checkpoint_path: needs audit.checkpoint_key: {file: PATH}",
    ),
    (
        "audit:\n  path: trail\n  checkpoint_key: {file: signing}\n  checkpoint_path: trail\n",
        "4: audit.checkpoint_path: is a file of the trail's own; give another path",
    ),
    (
        "audit: {rotate_bytes: 1000}",
        "1: audit.rotate_bytes: must be at least 65536, not 1000",
    ),
]
ENVIRON = {
    "FOXORA_API_KEY": "foxora_sk_test_0000000000000000",
    "OTHER_KEY": "foxora_sk_test_2222222222222222",
    "APP_KEY": "sk-app-fake-1111111111111111",
    "WITH_SPACE": "sk-fake \n",
    "QUOTED": '"sk-fake"',
    "NOT_ASCII": "sk-fäke",
}


@pytest.mark.parametrize(("yaml", "line"), MISTAKES)
def test_a_mistake_is_told_in_one_line(
    load_yaml: LoadYaml, tmp_path: Path, yaml: str, line: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two_lines").write_text("sk-fake\nsk-fake\n")
    os.mkfifo(tmp_path / "pipe")
    make_key(tmp_path / "signing")

    with pytest.raises(ConfigError) as caught:
        load_yaml(yaml, ENVIRON)

    assert str(caught.value) == f"foxora.yaml:{line}"


ELSEWHERE: list[tuple[dict[str, str], dict[str, str], str]] = [
    (
        {"foxora_base_url": "nowhere"},
        {},
        "option foxora_base_url: 'nowhere' is not a URL; write https:// and the host",
    ),
    (
        {},
        {"FOXORA_BASE_URL": "http://10.0.0.1"},
        "environment variable FOXORA_BASE_URL: 'http://10.0.0.1' sends the key in clear; write "
        "https://, or set gateway.allow_plain_http: true",
    ),
    (
        {"foxora_store": "redis://:hunter2@db"},
        {},
        "option foxora_store: the given text is not known; accepted: memory",
    ),
    (
        {},
        {"FOXORA_AUDIT": "a\nb"},
        "environment variable FOXORA_AUDIT: the given text is not a path",
    ),
    (
        {"foxora_audit": "~/x"},
        {},
        "option foxora_audit: '~/x' names a home folder that is not known",
    ),
    ({"foxora_config": "gone.yaml"}, {}, "gone.yaml: can't be read: No such file or directory"),
    ({"foxora_config": "."}, {}, ".: can't be read: Is a directory"),
    ({"foxora_config": "\0"}, {}, "option foxora_config: the given text is not a path"),
    ({"foxora_config": "\ud800"}, {}, "option foxora_config: the given text is not a path"),
    (
        {},
        {"FOXORA_BASE_URL": "\udcff"},
        "environment variable FOXORA_BASE_URL: the given text is not a URL; write https:// and "
        "the host",
    ),
    (
        {},
        {"FOXORA_API_KEY": ""},
        "the environment variable FOXORA_API_KEY is not set; export it, or list accounts with "
        "their keys in foxora.yaml, or try --set foxora_base_url=mock, which needs no key",
    ),
    (
        {},
        {"FOXORA_API_KEY": PLACEHOLDER_KEY},
        "the environment variable FOXORA_API_KEY holds the placeholder that `foxora-proxy run` "
        "gives its command: there is a proxy around this one, so leave this one out",
    ),
    (
        {},
        {"FOXORA_API_KEY": "sk fake"},
        "the environment variable FOXORA_API_KEY holds white space or a line break; it must hold "
        "the key alone",
    ),
]


@pytest.mark.parametrize(("options", "environ", "line"), ELSEWHERE)
def test_a_mistake_outside_the_file_names_its_place(
    tmp_path: Path, options: Mapping[str, str], environ: Mapping[str, str], line: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(options, {"FOXORA_API_KEY": "foxora_sk_test_0"} | dict(environ), tmp_path)

    assert str(caught.value) == line


def test_an_unknown_preset_names_those_there_are(load_yaml: LoadYaml) -> None:
    with pytest.raises(ConfigError, match=r"presets\[0\]: 'opena' is not known; accepted: openai,"):
        load_yaml("intercept: {presets: [opena]}")


def test_a_file_that_is_no_text_is_told_by_line(tmp_path: Path) -> None:
    (tmp_path / "foxora.yaml").write_bytes(b"# a\n# \xff\n")
    with pytest.raises(ConfigError, match=r"^foxora.yaml:2: not UTF-8 text$"):
        load({}, {}, tmp_path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "foxora.yaml").write_bytes(b"#" * 1_100_000)
    with pytest.raises(ConfigError, match=r"^foxora.yaml: too large for a configuration$"):
        load({}, {}, tmp_path)


PIPE = "can't be read: it is a pipe or a terminal, read at the start alone"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("foxora.yaml", f"foxora.yaml: {PIPE}"),
        ("key", f"foxora.yaml:1: accounts[0].key: the file 'key' {PIPE}"),
    ],
)
def test_no_pipe_is_waited_for_while_calls_are_open(tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / "foxora.yaml").write_text("accounts: [{name: acme, key: {file: key}}]\n")
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(ConfigError) as caught:
        load({}, ENVIRON, tmp_path, is_live=True)
    assert str(caught.value) == line
