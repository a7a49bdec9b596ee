"""The permissions, which appear in Django's admin as those of any application."""

from django.db import models

from angle_reco.domain.policies import INSPECT_USERS, MANAGE_RECOMMENDATIONS


class Recommendations(models.Model):
    """No table: Django names permissions by a model."""

    class Meta:
        """The permissions of the library."""

        managed = False
        default_permissions = ()
        permissions = (
            (MANAGE_RECOMMENDATIONS, "Can manage recommendations"),
            (INSPECT_USERS, "Can look at the recommendations of users"),
        )
