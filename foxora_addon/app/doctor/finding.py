"""What the doctor says: a verdict on one thing, and what to do about it."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from foxora_addon.reading.texts import one_line

type Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. `remedy` is None where there is nothing to do. No key stands in any text."""

    check: str
    verdict: Verdict
    text: str
    remedy: str | None = None


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", text)


def warn(check: str, text: str, remedy: str) -> Finding:
    """It works, but perhaps not as it is meant."""
    return Finding(check, "warn", text, remedy)


def fail(check: str, text: str, remedy: str) -> Finding:
    """It can't work."""
    return Finding(check, "fail", text, remedy)


_COLOURS = {"ok": "32", "warn": "33", "fail": "31"}


def lines_of(findings: Iterable[Finding], *, is_coloured: bool) -> Iterator[str]:
    """A line for each finding, and one below it for its remedy."""
    for finding in findings:
        verdict = f"{finding.verdict:4}"
        if is_coloured:
            verdict = f"\x1b[{_COLOURS[finding.verdict]}m{verdict}\x1b[0m"
        yield f"{verdict}  {finding.check:14}  {one_line(finding.text)}"
        if finding.remedy is not None:
            yield f"{'':22}-> {one_line(finding.remedy)}"


def as_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """The findings as JSON has them."""
    listed = [asdict(finding) for finding in findings]
    verdicts = [finding["verdict"] for finding in listed]
    counts = {verdict: verdicts.count(verdict) for verdict in _COLOURS}
    return {"findings": listed, **counts}
