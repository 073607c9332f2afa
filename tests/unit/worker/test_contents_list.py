"""Which entries of a pg_dump archive bring back some tables: real listings of PostgreSQL 15 in, lines out."""

from __future__ import annotations

import pytest

from aada_operator.core.errors import Stalled
from aada_operator.worker.contents_list import Chosen, Known, choose, parse, told

LISTING = """\
;
; Archive created at 2026-03-01 01:00:00 UTC
;     dbname: school
;
3415; 0 0 ENCODING - ENCODING
3418; 1262 16631 DATABASE - school postgres
869; 1247 16706 TYPE public comp postgres
217; 1259 16642 TABLE public students lms owner
3421; 0 0 ACL public TABLE students lms owner
;	depends on: 217
239; 1255 16689 FUNCTION public at() postgres
;	depends on: 217
226; 1255 16686 FUNCTION public f() postgres
225; 1259 16710 TABLE public students lms postgres
215; 1259 16633 TABLE public courses postgres
214; 1259 16632 SEQUENCE public courses_id_seq postgres
;	depends on: 215
3422; 0 0 SEQUENCE OWNED BY public courses_id_seq postgres
;	depends on: 214
218; 1259 16654 TABLE public sub postgres
219; 1259 16671 TABLE public sub_25 postgres
;	depends on: 218
222; 1259 16697 TABLE public uses postgres
;	depends on: 214 217
220; 1259 16690 VIEW public v postgres
;	depends on: 217 217 217
3234; 0 0 TABLE ATTACH public sub_25 postgres
;	depends on: 219 218
3235; 2604 16636 DEFAULT public courses id postgres
;	depends on: 214 215 215
3575; 2613 16625 BLOB - 16625 postgres
3239; 2606 16640 CONSTRAINT public courses courses_pkey postgres
;	depends on: 215
3244; 2606 16658 CONSTRAINT public sub sub_pkey postgres
;	depends on: 218 218
3249; 2606 16675 CONSTRAINT public sub_25 sub_25_pkey postgres
;	depends on: 219 219 3244 219
3253; 0 0 INDEX ATTACH public sub_25_pkey postgres
;	depends on: 3249 3244 219 3244 219 218
3403; 2618 16694 RULE public courses r postgres
;	depends on: 215 215 215
3259; 2620 16687 TRIGGER public students tr lms owner
;	depends on: 226 217
3257; 2606 16666 FK CONSTRAINT public sub sub_course_fkey postgres
;	depends on: 3239 215 218
3258; 2606 16661 FK CONSTRAINT public sub sub_student_fkey postgres
;	depends on: 218 3241 217
"""
NAMES = ("students", "students lms", "courses", "sub", "sub_25", "uses")
KNOWN = Known(
    tables={("public", name) for name in NAMES},
    sequences={("public", "courses_id_seq")},
    roles={"postgres", "lms owner"},
)


def only(*names: str) -> Chosen:
    return choose(parse(LISTING), {("public", name) for name in names}, KNOWN)


def numbers(chosen: Chosen) -> set[int]:
    return {int(line.split(";")[0]) for line in chosen.lines}


ALONE = {3415, 3418, 869, 226}


def test_a_table_brings_its_sequence_default_key_and_whatever_needs_no_table() -> None:
    chosen = only("courses")
    assert numbers(chosen) == ALONE | {215, 214, 3422, 3235, 3239}
    assert chosen.sequences == {("public", "courses_id_seq")}
    assert chosen.left_out == ("rule public courses r",)


def test_what_looks_at_another_table_stays_away() -> None:
    assert not numbers(only("courses")) & {239, 220, 3257, 3575}, "function, view, foreign key, large object"


def test_owners_with_blanks_do_not_confuse_names_with_blanks() -> None:
    assert numbers(only("students")) == ALONE | {217, 3421, 239}
    assert numbers(only("students lms")) == ALONE | {225}


def test_a_foreign_key_comes_when_both_tables_do_and_is_told_when_not() -> None:
    chosen = only("sub", "sub_25", "courses")
    assert {3257} == numbers(chosen) & {3257, 3258}
    assert "foreign key public sub sub_student_fkey" in chosen.left_out
    assert only("students").left_out == ("trigger public students tr",), "of foreign keys to it nothing is told"


def test_a_partition_stands_alone_with_its_key() -> None:
    chosen = only("sub_25")
    assert numbers(chosen) == ALONE | {219, 3249}
    assert chosen.helpers == frozenset()


def test_a_partitioned_table_has_its_partitions_attached() -> None:
    assert numbers(only("sub", "sub_25")) >= {218, 219, 3234, 3244, 3249, 3253}


def test_a_table_that_cannot_be_made_without_others_brings_them_empty() -> None:
    chosen = only("uses")
    assert chosen.helpers == {("public", "students"), ("public", "courses")}
    assert set(chosen.left_out) == {"rows of public students", "rows of public courses"}


@pytest.mark.parametrize("listing", ["", LISTING.replace("TABLE public courses", "TABLE public curses")])
def test_a_table_that_the_archive_lacks_is_refused(listing: str) -> None:
    with pytest.raises(Stalled, match=r"RestoreFailed.*public\.courses"):
        choose(parse(listing), {("public", "courses")}, KNOWN)


def test_two_entries_of_one_name_are_not_guessed_between() -> None:
    twice = LISTING + "9000; 1259 1 TABLE public courses lms owner\n"
    with pytest.raises(Stalled):
        choose(parse(twice), {("public", "courses")}, KNOWN)


def test_many_words_are_cut_for_the_termination_message() -> None:
    assert told([]) == ""
    words = told([f"foreign key {'x' * 300} {n}" for n in range(50)])
    assert len(words.encode()) < 900
    assert words.endswith("and 44 more")
