"""Whose turn it is: shares in tokens, priorities without starvation, first come first served within a client."""

from hypothesis import given
from hypothesis import strategies as st

from edgellm.serve.fair import EIGHTH, FairQueue, Ticket

COSTS = st.integers(1, 100)


def queue_of(*tickets):
    queue = FairQueue()
    for ticket in tickets:
        queue.push(ticket)
    return queue


def popped(queue):
    return [queue.pop() for _ in range(len(queue))]


def test_first_come_first_served_within_a_client():
    tickets = [Ticket("a", 0, cost) for cost in (9, 1, 5)]
    assert popped(queue_of(*tickets)) == tickets


def test_clients_take_turns_whatever_the_number_of_their_orders():
    many, one = [Ticket("many", 0, 10) for _ in range(5)], Ticket("one", 0, 10)
    assert popped(queue_of(*many, one))[:2] == [many[0], one]


@given(st.lists(st.lists(COSTS, min_size=20, max_size=20), min_size=2, max_size=5))
def test_shares_of_clients_that_wait_all_the_time_differ_by_an_order_of_each_at_most(costs):
    queue = queue_of(*(Ticket(str(client), 0, cost) for client, line in enumerate(costs) for cost in line))
    served, left = [0] * len(costs), [len(line) for line in costs]
    while all(left):
        ticket = queue.pop()
        client = int(ticket.client)
        served[client] += ticket.cost
        left[client] -= 1
        for a, line_a in enumerate(costs):
            for b, line_b in enumerate(costs):
                assert served[a] - served[b] <= max(line_a) + max(line_b)


@given(st.integers(1, 30), st.integers(0, 40))
def test_who_comes_late_gets_no_more_than_its_share(early, late):
    queue = queue_of(*(Ticket("early", 0, 10) for _ in range(100)))
    for _ in range(early):
        queue.pop()
    for _ in range(late):
        queue.push(Ticket("late", 0, 10))
    next_ones = [queue.pop().client for _ in range(2 * late)]
    assert abs(next_ones.count("late") - next_ones.count("early")) <= 2


def test_time_away_is_no_credit():
    queue = queue_of(Ticket("a", 0, 10), *(Ticket("b", 0, 10) for _ in range(100)))
    for _ in range(50):
        queue.pop()
    for _ in range(20):
        queue.push(Ticket("a", 0, 10))
    assert [queue.pop().client for _ in range(20)].count("a") <= 11


def test_tokens_that_were_not_used_are_given_back():
    queue = queue_of(*(Ticket(client, 0, 100) for client in "ab" for _ in range(30)))
    used = {"a": 10, "b": 100}
    seen = []
    for _ in range(33):
        ticket = queue.pop()
        queue.settle(ticket, used[ticket.client])
        seen.append(ticket.client)
    assert (seen.count("a"), seen.count("b")) == (30, 3)


def test_what_was_never_charged_is_not_given_back():
    queue = queue_of(Ticket("a", 0, 5), Ticket("b", 0, 5), Ticket("a", 0, 5), Ticket("b", 0, 5))
    queue.settle(Ticket("b", 0, 1000), 1)
    assert [ticket.client for ticket in popped(queue)] == ["a", "b", "a", "b"]


def test_the_higher_priority_goes_first():
    low, high = [Ticket("a", 0, 1) for _ in range(4)], [Ticket("a", 7, 1) for _ in range(4)]
    assert popped(queue_of(*low, *high)) == [*high, *low]


@given(st.integers(2, 6))
def test_no_priority_starves(levels):
    queue = queue_of(*(Ticket("low", level, 1) for level in range(levels - 1)))
    seen = []
    for _ in range(EIGHTH * levels):
        queue.push(Ticket("flood", 99, 1))
        queue.push(Ticket("flood", 99, 1))
        seen.append(queue.pop().client)
    assert seen.count("low") == levels - 1


def test_a_ticket_that_left_is_not_popped():
    tickets = [Ticket("a", 0, 3), Ticket("b", 1, 4), Ticket("a", 0, 5)]
    queue = queue_of(*tickets)
    queue.remove(tickets[1])
    queue.remove(tickets[0])
    assert (len(queue), queue.tokens) == (1, 5)
    assert popped(queue) == [tickets[2]]
    assert (len(queue), queue.tokens) == (0, 0)


def test_an_empty_queue_remembers_nobody():
    queue = FairQueue()
    for number in range(1000):
        queue.push(Ticket(str(number), number % 3, 1))
        queue.settle(queue.pop(), 1)
    assert not queue._shares
    assert not queue._levels
