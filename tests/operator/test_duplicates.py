"""Two resources for one URL and branch: the older one has it, and keeps it."""

from dataclasses import replace
from itertools import permutations

from nearcode.domain.repository import repository_id
from nearcode_operator.duplicates import dropped, owners, repositories, taken
from nearcode_operator.model import Key

from tests.operator.bodies import URL, resource

MAIN, DEV = repository_id(URL, "main"), repository_id(URL, "dev")
OLDER = replace(resource("older"), created="2026-01-01T00:00:00Z")
YOUNGER = resource("younger", url="https://git.example.com:443/team/shop", branches=["main", "dev"])
YOUNGER = replace(YOUNGER, url=URL, created="2026-01-02T00:00:00Z")


def test_every_spelling_of_a_url_is_the_same_repository() -> None:
    spellings = [URL, f"{URL}.git", f"{URL}/", URL.replace("git.example", "GIT.Example")]
    assert {repositories(resource(url=url))["main"] for url in spellings} == {MAIN}


def test_the_older_resource_owns_what_both_name() -> None:
    for order in permutations([OLDER, YOUNGER]):
        owned = owners(order)
        assert owned == {MAIN: OLDER.key, DEV: YOUNGER.key}
        assert taken(YOUNGER, owned) == {MAIN: Key("code", "older")}
        assert taken(OLDER, owned) == {}


def test_made_in_the_same_second_the_uid_decides() -> None:
    twin = replace(OLDER, key=Key("code", "twin"), uid="another")
    assert owners([OLDER, twin]) == owners([twin, OLDER]) == {MAIN: twin.key}


def test_what_is_suspended_or_going_still_owns() -> None:
    assert owners([YOUNGER, replace(OLDER, suspended=True)])[MAIN] == OLDER.key
    assert owners([YOUNGER, replace(OLDER, deleting=True)])[MAIN] == OLDER.key


def listed(*ids: str) -> dict[str, object]:
    return {"branches": [{"name": f"branch of {one}", "repository": one} for one in ids]}


def test_a_branch_taken_out_of_the_spec_is_disconnected() -> None:
    one = replace(OLDER, status=listed(MAIN, DEV))
    assert dropped(one, owners([one])) == {DEV: f"branch of {DEV}"}
    assert dropped(replace(one, branches=("main", "dev")), owners([one])) == {}


def test_unless_another_resource_has_taken_it_over() -> None:
    one = replace(OLDER, status=listed(MAIN, DEV))
    assert dropped(one, owners([one, YOUNGER])) == {}


def test_a_deletion_takes_what_is_owned_and_nothing_of_others() -> None:
    going = replace(YOUNGER, status=listed(MAIN, DEV), deleting=True)
    assert dropped(going, owners([OLDER, going])).keys() == {DEV}
    assert dropped(going, owners([going])).keys() == {MAIN, DEV}
    never_seen = replace(going, status={})
    assert dropped(never_seen, owners([never_seen])) == {MAIN: "main", DEV: "dev"}


def test_a_spec_that_cannot_be_read_disconnects_nothing() -> None:
    unread = replace(OLDER, url="", branches=(), status=listed(MAIN))
    assert dropped(unread, owners([unread])) == {}
    assert dropped(replace(unread, deleting=True), owners([unread])).keys() == {MAIN}
