"""How findings are told: a line with a verdict, a remedy below it, or JSON."""

from foxora_addon.app.doctor.finding import as_json, fail, lines_of, ok, warn

FINDINGS = [
    ok("port", "8080 is free"),
    warn("clock", "off by 90 s", "set it"),
    fail("key", "not accepted", "make a new one"),
]


def test_each_finding_is_a_line_and_its_remedy_another() -> None:
    lines = list(lines_of(FINDINGS, is_coloured=False))
    assert [line.split()[0] for line in lines] == ["ok", "warn", "->", "fail", "->"]
    assert "\x1b" not in "".join(lines)


def test_a_terminal_gets_verdicts_in_colour() -> None:
    assert "\x1b[31mfail\x1b[0m" in "\n".join(lines_of(FINDINGS, is_coloured=True))


def test_json_has_all_of_it_and_the_counts() -> None:
    value = as_json(FINDINGS)
    assert (value["ok"], value["warn"], value["fail"]) == (1, 1, 1)
    assert value["findings"][1] == {
        "check": "clock",
        "verdict": "warn",
        "text": "off by 90 s",
        "remedy": "set it",
    }


def test_a_path_with_a_line_break_is_one_line_all_the_same() -> None:
    (line,) = lines_of([ok("CA", "/home/a\nb/ca.pem")], is_coloured=False)
    assert line.endswith("/home/a b/ca.pem")
