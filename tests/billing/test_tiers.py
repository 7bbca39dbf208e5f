"""Tiers and plans: parsed from upstream's names, never guessed."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import InvalidTier, InvalidTierPlan
from billing.tiers import KNOWN_FIELDS, KNOWN_PLANS, Tier, TierPlan

tiers = st.tuples(st.integers(1, 50), st.none() | st.integers(0, 50)).map(
    lambda it: Tier(it[0], None if it[1] is None else it[0] + it[1])
)


@given(tiers)
def test_a_tiers_name_reads_back(tier: Tier) -> None:
    assert Tier.parse(tier.field) == tier


@given(tiers, tiers)
def test_containing_and_overlapping_are_what_the_numbers_say(one: Tier, other: Tier) -> None:
    mine = {count for count in range(1, 200) if one.holds(count)}
    others = {count for count in range(1, 200) if other.holds(count)}
    assert one.overlaps(other) == bool(mine & others)
    assert one.contains(other) == (others <= mine)


@given(st.lists(st.integers(1, 60), unique=True, max_size=8), st.randoms(use_true_random=False))
def test_cuts_make_a_plan_in_any_order_and_every_number_is_in_one_tier(cuts: list[int], random: object) -> None:
    edges = [0, *sorted(cuts)]
    plan = [Tier(low + 1, high) for low, high in pairwise(edges)] + [Tier(edges[-1] + 1, None)]
    fields = [tier.field for tier in plan]
    random.shuffle(fields)  # type: ignore[attr-defined]  # hypothesis' Random
    made = TierPlan.of(fields)
    assert list(made) == plan
    assert all(sum(tier.holds(count) for tier in made) == 1 for count in range(1, 100))


def test_every_known_plan_is_made_of_known_fields_and_all_seventeen_are_known() -> None:
    assert len(set(KNOWN_FIELDS)) == 17
    assert len(KNOWN_PLANS) == 7
    assert {field for plan in KNOWN_PLANS for field in plan.fields} <= set(KNOWN_FIELDS)


def test_a_tier_that_upstream_adds_tomorrow_parses() -> None:
    assert Tier.parse("from100To250Publishers") == Tier(100, 250)


@pytest.mark.parametrize(
    "name", ["", "from1To2", "from2To1Publishers", "from0To2Publishers", "From1To2Publishers", "from1Publishers", None]
)
def test_what_is_no_tier_is_refused(name: str) -> None:
    with pytest.raises(InvalidTier, match="no publisher tier"):
        Tier.parse(name)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([], "reach"),
        (["from2PlusPublishers"], "reach"),
        (["from1To2Publishers"], "reach"),
        (["from1To2Publishers", "from4PlusPublishers"], "no tier between"),
        (["from1To2Publishers", "from2PlusPublishers"], "overlap"),
        (["from1PlusPublishers", "from1PlusPublishers"], "overlap"),
        (["from1PlusPublishers", "sipUserMinutes"], "no publisher tier"),
    ],
)
def test_a_plan_with_a_gap_or_an_overlap_is_refused(fields: list[str], said: str) -> None:
    with pytest.raises((InvalidTierPlan, InvalidTier), match=said):
        TierPlan.of(fields)
