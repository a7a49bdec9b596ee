"""The promises of the ports as test classes, for adapters to inherit."""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("activity", "catalog", "others", "stores", "users"))
)
