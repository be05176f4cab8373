"""The commands of `foxora-proxy audit`: one function each, listed in `COMMANDS`.

Results go to standard output, our own words to standard error, as in `cli`. Whatever a command
needs is imported as it runs, so that each starts at once.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from foxora_addon.app import reading_cli
from foxora_addon.app.reading_cli_options import Trail
from foxora_addon.app.say import FINDING, WRONG_USAGE, drop_output, number_of, say
from foxora_addon.audit.place import place_of

if TYPE_CHECKING:
    from foxora_addon.audit.verification import Kept, Report
    from foxora_addon.config import Audit


_MOST_OPEN_SHOWN: Final = 20


def verify(
    path: Trail = None,
    head: Annotated[
        str | None,
        typer.Option(metavar="SEQ:HASH", help="A head kept elsewhere; the hash alone will do."),
    ] = None,
    after_seq: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How far it had come at least.")
    ] = None,
    signed: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Heads that `audit sign` has signed.")
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The key that signed them, or the checkpoints."),
    ] = None,
) -> int:
    """Verify a trail, all its segments: no record changed, left out, put in or moved.

    The exit status is 1 if something is wrong, and the line says where. That lines were cut off at
    the end, or that all was written anew, shows only against a head that was kept elsewhere, or
    against the proxy's own checkpoints: those of the configured trail are looked for, and of
    another trail the one beside it, if --public-key is given.

    \b
    Examples:
      foxora-proxy audit verify
      foxora-proxy audit verify foxora-audit.jsonl --head 4711:0f3c...
      foxora-proxy audit verify --signed heads.jsonl --public-key audit.key.pub
      foxora-proxy audit verify /backup/foxora-audit.jsonl --public-key audit.key.pub
    """
    from foxora_addon.audit.verification import Kept
    from foxora_addon.audit.verification import verify as verified

    if signed is not None and public_key is None:
        say("--signed needs --public-key, the key that signed")
        return WRONG_USAGE
    audit = configured_audit(path)
    if audit is None:
        return FINDING
    trail = place_of(path or audit.path)
    kept = [Kept(after_seq, None)] if after_seq else []
    if head is not None:
        kept.append(_head_of(head))
    checkpoints: list[Kept] = []
    try:
        if signed is not None and public_key is not None:
            from foxora_addon.audit.signing import signed_heads

            kept += signed_heads(signed, public_key)
        from foxora_addon.app.checkpoints import checkpoints_of

        checkpoints = checkpoints_of(trail, audit, public_key if signed is None else None)
        report = verified(trail, [*kept, *checkpoints], _progress())
    except ValueError as error:
        say(str(error))
        return FINDING
    except OSError as error:
        say(f"{error.filename or trail}: can't be read: {error.strerror}")
        return FINDING
    if report.problem is not None:
        _print_report(f"{trail}: {report.problem}")
        return FINDING
    lines = [f"{trail}: fine, {_counts(report)}", *_remarks(report, checkpoints)]
    _print_report("\n".join(lines))
    return 0


def _print_report(text: str) -> None:
    """Print what the exit status tells as well, which is the same though nobody reads this."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        drop_output()


def _head_of(text: str) -> "Kept":
    from foxora_addon.audit.verification import Kept

    found = re.fullmatch(r"(?:(\d{1,18}):)?([0-9a-f]{64})", text)
    if found is None:
        raise typer.BadParameter(f"'{text}' is no head; write SEQ:HASH as verify prints it")
    return Kept(int(found[1]) if found[1] else None, found[2])


def _counts(report: "Report") -> str:
    where = f" in {report.segments} segments" if report.segments > 1 else ""
    return (
        f"{number_of(report.records, 'record')} of {number_of(report.exchanges, 'exchange')}{where}"
    )


def _remarks(report: "Report", checkpoints: "list[Kept]") -> Iterator[str]:
    if report.first_seq > 1:
        yield f"  it begins at seq {report.first_seq}: earlier segments are not here"
    if report.begun_before:
        yield f"  {number_of(report.begun_before, 'response')} of exchanges that began there"
    if report.unchecked:
        yield f"  {number_of(report.unchecked, 'head')} of records that are not here: not compared"
    if report.torn_tail_bytes:
        size = number_of(report.torn_tail_bytes, "byte")
        yield f"  its end is torn ({size}), as by a crash or a full disk"
    for exchange in report.open[:_MOST_OPEN_SHOWN]:
        yield f"  open: {exchange}"
    if (more := len(report.open) - _MOST_OPEN_SHOWN) > 0:
        yield f"  and {more} more that are open"
    for signed in checkpoints[-1:]:
        after = number_of(report.last_seq - (signed.seq or 0), "record")
        yield f"  as it was signed at record {signed.seq}; {after} came after that"
    yield f"  head {report.last_seq}:{report.head}"


def _progress() -> Callable[[int], None]:
    """Tells a person at a terminal how far a long reading has come."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda read: typer.echo(f"\r  {read >> 20} MB\033[K\r", nl=False, err=True)


def sign(
    path: Trail = None,
    *,
    key: Annotated[Path, typer.Option(metavar="FILE", help="The private key.")],
) -> int:
    """Print a signed head of a trail: how far it has come, now.

    Keep the lines where nobody who can write the trail can reach them; `audit verify --signed`
    then tells whether it was cut or rewritten since.

    \b
    Examples:
      foxora-proxy audit sign --key audit.key >> heads.jsonl
    """
    from datetime import UTC, datetime

    from foxora_addon.audit.recovery import NoTrail
    from foxora_addon.audit.signing import signed_head

    named = path or configured_trail()
    if named is None:
        return FINDING
    trail = place_of(named)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        typer.echo(signed_head(trail, key, now))
    except NoTrail:
        say(f"{trail}: no trail: it has no whole record")
    except ValueError as error:
        say(str(error))
    except OSError as error:
        say(f"{error.filename or trail}: can't be read: {error.strerror}")
    else:
        return 0
    return FINDING


def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key goes.")],
) -> int:
    """Make a key to sign heads with: FILE, and FILE.pub to verify them.

    \b
    Examples:
      foxora-proxy audit keygen audit.key
    """
    from foxora_addon.audit.keys import make_key

    try:
        public = make_key(file)
    except FileExistsError as error:
        say(f"{error.filename}: is there already; give another name")
        return FINDING
    except OSError as error:
        say(f"{error.filename or file}: can't be written: {error.strerror}")
        return FINDING
    typer.echo(f"{file}\n{public}")
    return 0


def configured_trail() -> Path | None:
    """The trail that `run` would write; None as `configured_audit` has it."""
    audit = configured_audit()
    return None if audit is None else audit.path


def configured_audit(given: Path | None = None) -> "Audit | None":
    """What the configuration says of the trail; None where it can't be read, which is said then.

    A trail that is `given`, or named by the environment, is read all the same. Who reads one need
    not have any key.
    """
    from foxora_addon.config import ConfigError, load_audit

    try:
        return load_audit(os.environ, Path.cwd())
    except ConfigError as error:
        named = given or os.environ.get("FOXORA_AUDIT")
        audit = _audit_of(named) if named else None
        if audit is None:
            say(f"{error}; correct it, or give the trail's path")
        else:
            say(f"{error}; {named} is read all the same, by the defaults")
        return audit


def _audit_of(named: str | Path) -> "Audit | None":
    """The defaults, for a trail of that name; None where that is no path."""
    from pydantic import ValidationError

    from foxora_addon.config import Audit

    try:
        return Audit(path=Path(named))
    except ValidationError:
        return None


COMMANDS: Final[tuple[Callable[..., Any], ...]] = (
    *reading_cli.COMMANDS,
    *(verify, sign, keygen),
)
"""In the order of the help."""
