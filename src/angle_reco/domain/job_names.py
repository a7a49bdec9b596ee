"""Which job makes which stored results: its name is in the ledger and in the change feed."""

from collections.abc import Mapping

from angle_reco.domain.lists import ListKind

JOB_OF: Mapping[ListKind, str] = {
    ListKind.POPULAR: "generate_popular_items",
    ListKind.PERSONAL: "generate_recommendations",
    ListKind.SIMILAR: "compute_item_similarities",
}
"""The job that makes all lists of a kind."""

OF_INTERESTS = "refresh_user_interests"
"""The job that makes all interests."""

OF_ONE_ITEM = JOB_OF[ListKind.SIMILAR]
"""The job that can be run for one item."""

CLEAR_MEMORY = "forget_cached"
"""No job: the ledger records under this name that all processes have to clear their memory."""
