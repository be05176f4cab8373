from hypothesis import given
from hypothesis import strategies as st

from foxora_addon.policy.line import Line, Ticket
from foxora_addon.policy.plans import UNLIMITED
from foxora_addon.policy.scopes import Scope


def a_ticket(place: int, tokens: int = 1, *names: str) -> Ticket:
    scopes = tuple(Scope(name, name, UNLIMITED) for name in ("acme", *names))
    return Ticket(scopes, tokens, place, float(place), place + 30.0)


def a_line(*tickets: Ticket) -> Line:
    line = Line()
    for ticket in tickets:
        line.add(ticket)
    return line


def test_the_first_of_each_lane_is_seen_in_the_order_of_coming() -> None:
    line = a_line(
        a_ticket(1, 4), a_ticket(2, 7), a_ticket(3, 8), a_ticket(4, 4, "mini"), a_ticket(5, 15)
    )
    assert [ticket.place for ticket in line.heads()] == [1, 3, 4]


def test_who_follows_one_that_was_taken_out_is_seen_in_its_turn() -> None:
    line = a_line(a_ticket(1, 1), a_ticket(2, 9), a_ticket(3, 1), a_ticket(4, 9))
    seen = []
    for ticket in line.heads():
        seen.append(ticket.place)
        line.remove(ticket)
    assert seen == [1, 2, 3, 4]
    assert (len(line), line.tokens, line.first) == (0, 0, None)


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=40))
def test_it_agrees_with_a_plain_list(steps: list[tuple[int, bool]]) -> None:
    line, kept = Line(), list[Ticket]()
    for place, (number, is_coming) in enumerate(steps):
        if is_coming or not kept:
            kept.append(a_ticket(place, number))
            line.add(kept[-1])
        else:
            gone = kept.pop(number % len(kept))
            line.remove(gone)
            assert gone not in line
        assert list(line.tickets) == kept
        assert line.tokens == sum(ticket.tokens for ticket in kept)
        assert line.first is (kept[0] if kept else None)
        assert not kept or line.last is kept[-1]
        firsts = {ticket.tokens.bit_length(): ticket for ticket in reversed(kept)}
        assert set(line.heads()) == set(firsts.values())
