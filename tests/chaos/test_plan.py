"""A plan is its seed's alone, and every await and every harm has its turn in it."""

from chaos.plan import WEATHERS, Do, Kind, Trigger, draw


def test_the_same_seed_draws_the_same_round() -> None:
    assert draw(7, 3, load_s=5.0, per_s=20.0) == draw(7, 3, load_s=5.0, per_s=20.0)
    assert draw(7, 3, load_s=5.0, per_s=20.0) != draw(8, 3, load_s=5.0, per_s=20.0)


def test_a_campaign_does_every_harm_at_every_await_and_asks_for_all_that_a_flow_may_do() -> None:
    plans = [draw(1, number, load_s=30.0, per_s=30.0) for number in range(3 * len(WEATHERS))]
    harms = [harm for plan in plans for harm in plan.harms]
    assert {harm.kind for harm in harms} == set(Kind)
    assert {harm.trigger for harm in harms if harm.kind is Kind.KILL} == set(Trigger)
    assert {step.do for plan in plans for asked in plan.asked for step in asked.steps} == set(Do)
