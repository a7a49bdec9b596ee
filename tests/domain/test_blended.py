"""The components of `blended`: exactly the values of the plain rules."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from angle_reco.adapters.kernels import NumpyKernels
from angle_reco.domain.ids import IdKind, UserId
from angle_reco.domain.scoring.blended.components import BLENDED
from angle_reco.domain.scoring.components import values_of_user
from angle_reco.testing.contracts.markets import index_of_users
from angle_reco.testing.contracts.models import ModelCase, model_cases

KERNELS = NumpyKernels()
COMPONENTS = {component.name: component for component, _ in BLENDED.weights}


def assert_equal_to_plain(case: ModelCase, count: int = 8) -> None:
    model, users = case.model(KERNELS), index_of_users(case.ids, count)
    market = case.opened(model)
    profiles, plainly = case.profiles(market, users), case.plainly(model)
    by_id = {item.item_id: item for item in case.market.open_items}
    items = [by_id[one] for one in market.catalogue.items.ids]  # type: ignore[index]
    for name, rule in plainly.rules.items():
        component = COMPONENTS[name]
        for place, user_id in enumerate(users.ids):
            found = values_of_user(component, market, profiles, place)
            expected = [rule(case.market, UserId(user_id), item) for item in items]
            assert found.tolist() == expected, (name, user_id)


@pytest.mark.parametrize("kind", IdKind)
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_components_equal_the_plain_rules(kind: IdKind, data: st.DataObject) -> None:
    assert_equal_to_plain(data.draw(model_cases(kind)))
