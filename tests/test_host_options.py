"""What mitmproxy's own files say, as mitmproxy takes it (optmanager.load_paths)."""

from pathlib import Path

import pytest

from foxora_addon.host_options import BadOptions, options_in, passphrase_in, settled_confdir


@pytest.fixture
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".mitmproxy"
    folder.mkdir()
    return folder


def test_the_later_file_wins(usual: Path) -> None:
    (usual / "config.yaml").write_text("confdir: /one\nssl_insecure: true\n")
    (usual / "config.yml").write_text("confdir: /two\n")
    assert options_in(usual) == {"confdir": "/two", "ssl_insecure": True}
    assert settled_confdir() == Path("/two")


def test_a_folder_that_is_named_is_not_asked_for_another(usual: Path, tmp_path: Path) -> None:
    (usual / "config.yaml").write_text("confdir: ~/other\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").write_text("confdir: /third\n")
    assert settled_confdir() == tmp_path / "other"


def test_without_files_it_is_the_usual_folder(usual: Path) -> None:
    assert settled_confdir() == usual
    assert passphrase_in(usual) is None


def test_the_passphrase_is_what_the_files_say(usual: Path) -> None:
    (usual / "config.yaml").write_text("cert_passphrase: abc\n")
    assert passphrase_in(usual) == b"abc"


def test_no_passphrase_may_be_said(usual: Path) -> None:
    (usual / "config.yaml").write_text("cert_passphrase:\n")
    assert passphrase_in(usual) is None
    assert settled_confdir() == usual


def test_an_option_whose_name_is_no_text_is_told(usual: Path) -> None:
    (usual / "config.yaml").write_text("5: 6\n")
    with pytest.raises(BadOptions, match=r"config\.yaml names an option 5, which is no text"):
        settled_confdir()


@pytest.mark.parametrize("text", ["a: [", "just a text", "- a", "\udce9"])
def test_a_file_that_is_none_of_mitmproxys_is_told(usual: Path, text: str) -> None:
    (usual / "config.yml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BadOptions, match=r"config\.yml can't be read"):
        settled_confdir()


@pytest.mark.parametrize("text", ["confdir: 5", "cert_passphrase: 1234", "confdir: null"])
def test_a_value_that_mitmproxy_refuses_is_told(usual: Path, text: str) -> None:
    (usual / "config.yaml").write_text(text)
    with pytest.raises(BadOptions, match=r"config\.yaml is no text: write it in quotes"):
        settled_confdir()
