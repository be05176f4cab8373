"""What is read off an answer's head, and believed of that very head alone."""

from foxora_addon.answer import Answer
from foxora_addon.exchange import AnsweredHead

JSON = (b"content-type", b"application/json")
FIELDS = ((b"Content-Type", b"text/plain"), (b"content-type", b"x/y"), (b"content-encoding", b"br"))


def test_what_is_known_of_a_head_is_believed_while_it_is_the_same() -> None:
    known = AnsweredHead(FIELDS, None, "application/json")
    same = Answer(200, FIELDS, b"", known=known)
    assert (same.encoding, same.content_type) == (None, "application/json")
    other = Answer(200, FIELDS[:1] + FIELDS[1:2] + FIELDS[2:], b"", known=known)
    assert (other.encoding, other.content_type) == ("br", "text/plain, x/y")


def test_what_several_lines_say_is_one_list() -> None:
    lines = [(b"Content-Encoding", b"gzip"), JSON, (b"content-encoding", b"br"), *FIELDS[:1]]
    answer = Answer(200, lines, b"")
    assert (answer.encoding, answer.content_type) == ("gzip, br", "application/json, text/plain")
    assert Answer(200, [JSON], b"").encoding is None
