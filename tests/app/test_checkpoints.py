"""What the proxy has signed, as `audit verify`, `check` and `doctor` know it."""

from pathlib import Path

import pytest

from foxora_addon.app import cli
from foxora_addon.app.doctor import checkpoints
from foxora_addon.audit.keys import make_key, public_path
from foxora_addon.audit.verification import verify
from foxora_addon.config import Audit, load
from foxora_addon.proxy.trail import checkpoints_of
from tests.builders import a_trail

type Output = pytest.CaptureFixture[str]

CONFIGURATION = "audit: {path: trail.jsonl, checkpoint_key: {file: audit.key}}\n"
CHECKPOINT = Path("trail.jsonl.checkpoint")
KEY = Path("audit.key")


@pytest.fixture(autouse=True)
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """A configured trail that its proxy has signed, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("FOXORA_AUDIT", "FOXORA_BASE_URL", "FOXORA_CONFIG", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FOXORA_API_KEY", "foxora_sk_test_0000000000000000")
    make_key(tmp_path / "audit.key")
    (tmp_path / "foxora.yaml").write_text(CONFIGURATION)
    audit = load({}, {"FOXORA_API_KEY": "foxora_sk_test_0"}, tmp_path).audit
    report = verify(a_trail(audit.path))
    signing = checkpoints_of(audit)
    assert signing is not None
    signing.close(report.last_seq, report.head)
    return audit


def cut(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))


def test_the_configured_trail_is_compared_with_what_was_signed(
    audit: Audit, capsys: Output
) -> None:
    assert cli.main(["audit", "verify"]) == 0
    assert "as it was signed at record 4; 0 records came after that" in capsys.readouterr().out
    cut(audit.path)
    Path("link").symlink_to(audit.path.parent)
    spellings = [
        "trail.jsonl",
        str(audit.path),
        "link/trail.jsonl",
        f"../{audit.path.parent.name}/trail.jsonl",
    ]
    for path in ([], *([each] for each in spellings)):
        assert cli.main(["audit", "verify", *path]) == 1
        assert "ends with record 2, and had come to 4: it was cut off" in capsys.readouterr().out


def test_whoever_verifies_need_not_be_able_to_read_the_private_key(capsys: Output) -> None:
    KEY.write_text("")
    assert cli.main(["audit", "verify"]) == 0
    assert "signed at record 4" in capsys.readouterr().out


def test_without_the_public_key_the_private_one_will_do(capsys: Output) -> None:
    public_path(KEY).unlink()
    assert cli.main(["audit", "verify"]) == 0
    assert "signed at record 4" in capsys.readouterr().out


def test_a_checkpoint_that_was_taken_away_is_a_finding(audit: Audit, capsys: Output) -> None:
    CHECKPOINT.unlink()
    assert cli.main(["audit", "verify"]) == 1
    assert "trail.jsonl.checkpoint: there is no checkpoint" in capsys.readouterr().err
    audit.path.write_bytes(b"")
    assert cli.main(["audit", "verify"]) == 0, "nothing was ever written"


def test_a_trail_is_the_configured_one_however_both_are_named(audit: Audit, capsys: Output) -> None:
    Path("link").symlink_to(audit.path.parent)
    named = CONFIGURATION.replace("trail.jsonl,", "link/trail.jsonl, checkpoint_path: kept,")
    Path("foxora.yaml").write_text(named)
    CHECKPOINT.rename("kept")
    cut(audit.path)
    assert cli.main(["audit", "verify", "trail.jsonl"]) == 1
    assert "had come to 4: it was cut off" in capsys.readouterr().out
    Path("kept").unlink()
    assert cli.main(["audit", "verify", "trail.jsonl"]) == 1
    assert "kept: there is no checkpoint" in capsys.readouterr().err


def test_a_checkpoint_that_was_changed_is_a_finding(capsys: Output) -> None:
    CHECKPOINT.write_text(CHECKPOINT.read_text().replace('"seq": 4', '"seq": 2'))
    assert cli.main(["audit", "verify"]) == 1
    assert "checkpoint, line 1: changed, or signed with another key" in capsys.readouterr().err


def test_a_copy_is_compared_with_the_checkpoint_beside_it_if_the_key_is_given(
    audit: Audit, capsys: Output
) -> None:
    copy = Path("copy.jsonl")
    copy.write_bytes(audit.path.read_bytes())
    beside = Path("copy.jsonl.checkpoint")
    beside.write_bytes(CHECKPOINT.read_bytes())
    given = ["audit", "verify", "copy.jsonl"]
    with_key = [*given, "--public-key", "audit.key.pub"]
    assert cli.main(with_key) == 0
    assert "signed at record 4" in capsys.readouterr().out
    cut(copy)
    assert cli.main(with_key) == 1
    assert "cut off" in capsys.readouterr().out
    assert cli.main(given) == 0
    assert "copy.jsonl.checkpoint: not compared; give the key" in capsys.readouterr().err
    beside.unlink()
    assert cli.main(with_key) == 1
    assert "there is no checkpoint" in capsys.readouterr().err


def test_signed_heads_want_their_key(capsys: Output) -> None:
    assert cli.main(["audit", "verify", "--signed", "trail.jsonl.checkpoint"]) == 2
    assert "--signed needs --public-key" in capsys.readouterr().err
    given = ["--signed", "trail.jsonl.checkpoint", "--public-key", "audit.key.pub"]
    assert cli.main(["audit", "verify", *given]) == 0


def test_check_says_that_the_trail_is_signed(capsys: Output) -> None:
    assert cli.main(["check"]) == 0
    assert "signed in " in (shown := capsys.readouterr().out)
    assert "trail.jsonl.checkpoint, each 60 s\n" in shown
    KEY.write_text("no key")
    assert cli.main(["check"]) == 1
    assert (
        "audit.checkpoint_key: the file 'audit.key' is no use: no Ed25" in capsys.readouterr().err
    )


def test_doctor_says_what_is_wrong_with_key_and_place(audit: Audit) -> None:
    def said(given: Audit = audit) -> list[tuple[str, str]]:
        return [(finding.verdict, finding.text) for finding in checkpoints.look(given)]

    assert said() == [("ok", f"the trail is signed in {audit.checkpoint_file}")]
    assert said(Audit()) == []
    KEY.chmod(0o644)
    ((verdict, text),) = said()
    assert (verdict, "others than its owner may use the key" in text) == ("warn", True)
    KEY.chmod(0o600)
    make_key(Path("other.key"))
    public_path(KEY).write_bytes(Path("other.key.pub").read_bytes())
    assert "is not the public key of" in said()[0][1]
    public_path(KEY).unlink()
    CHECKPOINT.write_text("a note of mine")
    assert said()[0][0] == "fail"
    assert "no signed head" in said()[0][1]
    elsewhere = audit.model_copy(update={"checkpoint_path": Path("nowhere/checkpoint")})
    assert "is no folder that this user may write in" in said(elsewhere)[0][1]
