"""Who may work with an LMS at the same time, and whose turn it is: the whole rule, and 10,000 events of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from aada_operator.core.interlock import Answer, Claim, Operation, ask, disruptive, exclude, without

EVENTS = 10_000


def wanted(name: str, operation: Operation = Operation.BACKUP, since: int = 0, parent: str = "") -> Claim:
    moment = f"2026-03-01T00:{since // 60:02}:{since % 60:02}Z"
    return Claim(uid=name, kind="Backup", name=name, operation=operation, since=moment, on_behalf_of=parent)


def asked(*wishes: Claim) -> tuple[Claim, ...]:
    """The list after all of them asked, one after the other."""
    claims: tuple[Claim, ...] = ()
    for wish in wishes:
        claims = ask(claims, wish).claims
    return claims


def held(claims: tuple[Claim, ...]) -> list[str]:
    return [claim.name for claim in claims if claim.held]


def blocked_by(answer: Answer) -> set[str]:
    return {claim.name for claim in answer.blockers}


class TestTurns:
    def test_who_finds_nobody_may_work(self) -> None:
        answer = ask((), wanted("a"))
        assert held(answer.claims) == ["a"]
        assert answer.blockers == ()

    @pytest.mark.parametrize("one", Operation)
    @pytest.mark.parametrize("other", Operation)
    def test_operations_that_exclude_each_other_wait_for_each_other(self, one: Operation, other: Operation) -> None:
        answer = ask(asked(wanted("a", one)), wanted("b", other))
        assert held(answer.claims) == (["a"] if exclude(one, other) else ["a", "b"])
        assert bool(answer.blockers) == exclude(one, other)

    @pytest.mark.parametrize("one", Operation)
    @pytest.mark.parametrize("other", Operation)
    def test_only_a_rotation_and_a_backup_run_beside_each_other(self, one: Operation, other: Operation) -> None:
        assert exclude(one, other) == ({one, other} != {Operation.ROTATION, Operation.BACKUP})

    def test_a_rotation_that_waits_does_not_hold_up_a_backup(self) -> None:
        claims = asked(wanted("migration", Operation.MIGRATION), wanted("rotation", Operation.ROTATION, since=1))
        left = without(claims, lambda claim: claim.name == "migration")
        assert held(ask(left, wanted("backup", since=2)).claims) == ["backup"]

    def test_two_that_run_beside_each_other_keep_out_what_either_excludes(self) -> None:
        claims = asked(wanted("backup"), wanted("rotation", Operation.ROTATION), wanted("m", Operation.MIGRATION))
        assert held(claims) == ["backup", "rotation"]
        assert blocked_by(ask(claims, wanted("m", Operation.MIGRATION))) == {"backup", "rotation"}

    def test_asking_again_changes_nothing(self) -> None:
        claims = asked(wanted("a"), wanted("b", since=1))
        assert ask(claims, wanted("a", since=50)).claims == claims
        assert ask(claims, wanted("b", since=51)).claims == claims

    def test_who_came_first_goes_first(self) -> None:
        claims = asked(wanted("a"), wanted("b", since=1), wanted("c", since=2))
        left = without(claims, lambda claim: claim.name == "a")
        assert blocked_by(ask(left, wanted("c", since=3))) == {"b"}
        assert held(ask(left, wanted("b", since=3)).claims) == ["b"]

    def test_what_is_more_important_overtakes_those_that_wait_and_never_one_that_works(self) -> None:
        claims = asked(wanted("works"), wanted("early", since=1), wanted("restore", Operation.CUTOVER, since=2))
        assert held(claims) == ["works"]
        left = without(claims, lambda claim: claim.name == "works")
        assert blocked_by(ask(left, wanted("early", since=1))) == {"restore"}
        assert held(ask(left, wanted("restore", Operation.CUTOVER)).claims) == ["restore"]

    def test_two_who_came_in_the_same_second_do_not_wait_for_each_other(self) -> None:
        left = without(asked(wanted("x"), wanted("b"), wanted("a")), lambda claim: claim.name == "x")
        may = [name for name in ("a", "b") if not ask(left, wanted(name)).blockers]
        assert may == ["a"]


class TestPartsOfAnOperation:
    def test_a_safety_backup_runs_inside_the_cutover_that_it_belongs_to(self) -> None:
        claims = asked(wanted("cutover", Operation.CUTOVER), wanted("safety", parent="cutover"))
        assert held(claims) == ["cutover", "safety"]

    def test_it_overtakes_those_that_wait_for_the_whole(self) -> None:
        waiting = wanted("other", Operation.CUTOVER, since=1)
        claims = asked(wanted("cutover", Operation.CUTOVER), waiting, wanted("safety", since=2, parent="cutover"))
        assert held(claims) == ["cutover", "safety"]

    def test_it_is_no_key_for_anybody_elses_lock(self) -> None:
        claims = asked(wanted("migration", Operation.MIGRATION), wanted("safety", parent="cutover"))
        assert held(claims) == ["migration"]

    def test_a_part_whose_whole_only_waits_waits_as_well(self) -> None:
        claims = asked(wanted("backup"), wanted("cutover", Operation.CUTOVER), wanted("safety", parent="cutover"))
        assert held(claims) == ["backup"]


def test_the_most_important_of_those_at_work_is_what_people_are_told() -> None:
    claims = asked(wanted("cutover", Operation.CUTOVER), wanted("safety", parent="cutover"))
    assert str(disruptive(claims)) == "Backup cutover (Cutover)"
    beside = asked(wanted("backup"), wanted("rotation", Operation.ROTATION))
    assert str(disruptive(beside)) == "Backup rotation (Rotation)"
    assert disruptive(()) is None


@dataclass
class World:
    """Objects that ask, work, end, are deleted or die in the middle, as a dice says."""

    dice: random.Random
    claims: tuple[Claim, ...] = ()
    wishes: dict[str, Claim] = field(default_factory=dict)
    made: int = 0
    worked: int = 0

    def event(self) -> None:
        self.dice.choice([self.begin, self.ask, self.ask, self.ask, self.end, self.vanish])()
        self.check()

    def begin(self) -> None:
        if len(self.wishes) > 8:
            return
        self.made += 1
        parents = ["", *held(self.claims)]
        wish = wanted(f"o{self.made}", self.dice.choice(list(Operation)), self.made % 3600, self.dice.choice(parents))
        self.wishes[wish.name] = wish

    def ask(self) -> None:
        """Somebody asks, as on every visit, and may have forgotten that it has already."""
        if self.wishes:
            wish = self.dice.choice(list(self.wishes.values()))
            before = held(self.claims)
            while gone := blocked_by(ask(self.claims, wish)) - self.wishes.keys():
                self.claims = without(self.claims, lambda claim: claim.name in gone)
            self.claims = ask(self.claims, wish).claims
            self.worked += held(self.claims) != before

    def end(self) -> None:
        if at_work := held(self.claims):
            ended = self.dice.choice(at_work)
            self.wishes.pop(ended, None)
            self.claims = without(self.claims, lambda claim: claim.name == ended)

    def vanish(self) -> None:
        """An object is deleted without a word: whoever is kept out by it finds that it is gone."""
        if self.wishes:
            self.wishes.pop(self.dice.choice(list(self.wishes)))

    def check(self) -> None:
        at_work = [claim for claim in self.claims if claim.held]
        for one in at_work:
            for other in at_work:
                related = one.on_behalf_of == other.uid or other.on_behalf_of == one.uid
                allowed = one is other or related or not exclude(one.operation, other.operation)
                assert allowed, f"{one} beside {other}"


@pytest.mark.parametrize("seed", range(3))
def test_of_ten_thousand_events_none_makes_two_work_that_exclude_each_other(seed: int) -> None:
    world = World(random.Random(seed))
    for _ in range(EVENTS):
        world.event()
    assert world.worked > EVENTS / 20, "too little was granted for the check to mean anything"


@pytest.mark.parametrize("seed", range(3))
def test_somebody_may_always_work(seed: int) -> None:
    """Nobody waits in a circle: with nobody at work, one of those who ask is let in."""
    world = World(random.Random(seed))
    for _ in range(EVENTS // 10):
        world.event()
        waiting = without(world.claims, lambda claim: claim.held)
        may = [wish for wish in waiting if not ask(waiting, wish).blockers]
        assert bool(may) == bool(waiting)
