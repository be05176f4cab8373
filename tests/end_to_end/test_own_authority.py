"""An authority of one's own, where mitmproxy's options say it is, whole and broken."""

import fcntl
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from mitmproxy import certs

from tests.end_to_end.programs import program
from tests.end_to_end.proxies import (
    BIN,
    ON_MOCK,
    arguments,
    clean_environment,
    free_port,
    run_to_its_end,
    wait_until,
)
from tests.end_to_end.runs import SECONDS, run, run_line, started

ASKS = 'curl -sS https://api.openai.com/v1/models -H "Authorization: Bearer any"'
"""Trusts the authority or fails, and reads the bundle that SSL_CERT_FILE names."""


def an_authority(folder: Path) -> Path:
    """A folder with nothing but the key and its certificate, as their owner would begin."""
    certs.CertStore.create_store(folder, "mitmproxy", 2048)
    for file in folder.iterdir():
        if file.name != "mitmproxy-ca.pem":
            file.unlink()
    return folder


def test_a_command_trusts_an_authority_of_which_only_the_key_and_certificate_are_there(
    tmp_path: Path,
) -> None:
    program("curl")
    folder = an_authority(tmp_path / "confdir")
    port = "port=${OPENAI_BASE_URL##*:}; port=${port%/v1}"
    env = f'{port}; eval "$({BIN / "foxora-proxy"} env --port $port --shell sh)"'
    used = f"{BIN / 'foxora-proxy'} run --use $port -- sh -c '{ASKS}'"
    done = run(tmp_path, command=["sh", "-ec", f"{ASKS}; {env}; {ASKS}; {used}"])
    assert done.stdout.count('"object":"list"') == 3, done.stderr
    (bundle,) = folder.glob("foxora-bundle-*.pem")
    assert "PRIVATE KEY" not in bundle.read_text()
    assert not (folder / "mitmproxy-ca-cert.pem").exists()


def a_home(folder: Path, options: str) -> Path:
    """A home in which mitmproxy's own file says this."""
    (folder / ".mitmproxy").mkdir()
    (folder / ".mitmproxy" / "config.yaml").write_text(options)
    return folder


def in_home(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    line = [str(BIN / "foxora-proxy"), *command]
    return run_to_its_end(line, home, {"HOME": str(home), "FOXORA_BASE_URL": "mock"})


def test_a_folder_that_mitmproxys_own_file_names_is_the_one(tmp_path: Path) -> None:
    program("curl")
    folder = an_authority(tmp_path / "elsewhere")
    home = a_home(tmp_path, f"confdir: {folder}\n")
    (home / ".mitmproxy" / "mitmproxy-ca.pem").write_text("none that anybody reads")
    env = f"{BIN / 'foxora-proxy'} env"  # without a port: by the notice in that folder
    done = in_home(home, "run", "--", "sh", "-ec", f"{env}; {ASKS}")
    assert done.returncode == 0, done.stderr
    assert f"SSL_CERT_FILE={folder}/foxora-bundle-" in done.stdout.replace("'", "")
    assert '"object":"list"' in done.stdout


def test_doctor_looks_at_the_folder_that_mitmproxys_own_file_names(tmp_path: Path) -> None:
    folder = an_authority(tmp_path / "elsewhere")
    home = a_home(tmp_path, f"confdir: {folder}\n")
    done = in_home(home, "doctor", "--port", "9")
    assert re.search(rf"ok +CA +{folder}/mitmproxy-ca.pem", done.stdout), done.stdout
    assert [file.name for file in folder.iterdir()] == ["mitmproxy-ca.pem"]
    (home / ".mitmproxy" / "config.yaml").write_text("no options")
    done = in_home(home, "doctor", "--port", "9")
    assert re.search(r"fail +options +.*config.yaml can't be read", done.stdout)


def test_a_broken_authority_in_a_folder_that_is_named_there_is_told_in_one_line(
    tmp_path: Path,
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mitmproxy-ca.pem").write_text("no certificate")
    home = a_home(tmp_path, f"confdir: {tmp_path / 'elsewhere'}\n")
    done = in_home(home, "run")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"foxora-proxy run: {tmp_path}/elsewhere/mitmproxy-ca.pem is broken: ")
    assert [file.name for file in (home / ".mitmproxy").iterdir()] == ["config.yaml"]


def is_text(path: Path) -> None:
    path.write_text("no certificate")


def dangles(path: Path) -> None:
    path.symlink_to("gone/ca.pem")


@pytest.mark.parametrize("window", [(), ("--web",)])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (is_text, "mitmproxy-ca.pem is broken: it has no whole private key; put an RSA or EC"),
        (dangles, "mitmproxy-ca.pem is a link to gone/ca.pem, which is not there; put an RSA"),
        (Path.mkdir, "mitmproxy-ca.pem can't be read: Is a directory; put an RSA or EC private"),
    ],
)
def test_an_authority_that_will_not_do_is_told_and_the_command_is_not_run(
    tmp_path: Path, make: Callable[[Path], None], words: str, window: tuple[str, ...]
) -> None:
    (tmp_path / "confdir").mkdir()
    make(tmp_path / "confdir" / "mitmproxy-ca.pem")
    done = run(tmp_path, *window, command=["echo", "ran"])
    assert (done.stdout, done.returncode) == ("", 1)
    first, line = done.stderr.splitlines()
    assert first == "foxora-proxy: the proxy could not start; it said:"
    assert words in line


def test_a_key_with_a_passphrase_opens_by_what_stands_beside_it(tmp_path: Path) -> None:
    folder = an_authority(tmp_path / "confdir")
    file = folder / "mitmproxy-ca.pem"
    _, begin, certificate = file.read_text().partition("-----BEGIN CERTIFICATE-----")
    line = [program("openssl"), "rsa", "-aes256", "-passout", "pass:of ours", "-in", str(file)]
    locked = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    file.write_text(locked + begin + certificate)
    told = run(tmp_path, command=["echo", "ran"])
    assert "has a passphrase, and none is given; write the right one as cert_pass" in told.stderr
    (folder / "config.yaml").write_text("cert_passphrase: another\n")
    told = run(tmp_path, command=["echo", "ran"])
    assert "does not open with the passphrase that is given; write the right" in told.stderr
    (folder / "config.yaml").write_text("cert_passphrase: of ours\n")
    assert run(tmp_path, command=["echo", "ran"]).stdout == "ran\n"


@pytest.mark.parametrize("name", [b"caf\xe9", b"file"])
def test_a_folder_that_will_not_do_is_told_in_one_line(tmp_path: Path, name: bytes) -> None:
    (tmp_path / "file").write_text("")
    done = in_home(tmp_path, "run", "--set", f"confdir={os.fsdecode(name)}")
    assert done.returncode == 1
    (line,) = filter(None, done.stderr.splitlines())
    assert re.match(r"foxora-proxy run: .*(caf\\xe9 is not in UTF-8|/file is no folder)", line)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            "cert_passphrase: 1234\n",
            r"cert_passphrase in .*config.yaml is no text: write it",
        ),
        ("http2: 1234\n", r"Error reading .*config.yaml: .*for http2"),
    ],
)
def test_a_value_of_a_wrong_type_is_told_in_one_line(
    tmp_path: Path, options: str, words: str
) -> None:
    done = in_home(a_home(tmp_path, options), "run")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.match(f"foxora-proxy run: {words}", line)
    assert "1234" not in line


@pytest.mark.parametrize("options", ["- a", "5", "5: 6"])
def test_a_file_of_options_that_is_none_is_told_in_one_line(tmp_path: Path, options: str) -> None:
    done = in_home(a_home(tmp_path, options), "run", "-p", "0")
    assert done.returncode == 1
    assert "config.yaml" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_an_authority_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    done = in_home(tmp_path, "run", "-p", "0", "--set", "key_size=100")
    assert done.returncode == 1
    assert "can't make an authority in" in done.stderr
    assert "key_size" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("asked", ["--version", "--options", "--commands"])
def test_what_starts_nothing_needs_no_folder(tmp_path: Path, asked: str) -> None:
    (tmp_path / "file").write_text("")
    done = in_home(tmp_path, "run", asked, "--set", "confdir=file")
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_start_that_waits_for_another_says_so(tmp_path: Path) -> None:
    (tmp_path / "confdir").mkdir()
    descriptor = os.open(tmp_path / "confdir", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with started(run_line(tmp_path, "-v", command=["echo", "ran"]), tmp_path) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == (
            "foxora-proxy run: waiting for another start, which makes an authority in "
            f"{tmp_path / 'confdir'}\n"
        )
        os.close(descriptor)
        out, errors = process.communicate(timeout=SECONDS)
    assert out == "ran\n", errors
    assert "waiting for another start" not in errors


def test_a_start_of_mitmdump_waits_for_the_one_that_makes_the_authority(tmp_path: Path) -> None:
    """Each would have one of its own else, and that of one alone would be left for clients."""
    folder = tmp_path / "confdir"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    line = [*arguments(tmp_path, free_port()), *ON_MOCK]
    with subprocess.Popen(
        line,
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "waiting for another start" in process.stderr.readline()
        assert list(folder.iterdir()) == []
        certs.CertStore.create_store(folder, "mitmproxy", 2048)
        made = (folder / "mitmproxy-ca.pem").read_bytes()
        os.close(descriptor)
        wait_until((folder / "mitmproxy-dhparam.pem").exists)
        process.terminate()
    assert (folder / "mitmproxy-ca.pem").read_bytes() == made
