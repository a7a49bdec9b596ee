"""The application `angle_reco.django`."""

import logging

from django.apps import AppConfig
from django.core import checks
from django.core.signals import request_started, setting_changed
from django.db.models.signals import post_migrate

_log = logging.getLogger(__name__)


class AngleRecoConfig(AppConfig):
    """Connects the checks and signals; no database is opened and no thread starts here."""

    name = "angle_reco.django"
    label = "angle_reco"
    verbose_name = "Recommendations"
    default_auto_field = "django.db.models.AutoField"

    def ready(self) -> None:
        """Connect the checks and the signals, those of the host's models if it is configured."""
        from angle_reco.django import connecting, signals, starting
        from angle_reco.django.checks import check_configuration, check_database
        from angle_reco.django.configuration import ConfigurationError, configured

        checks.register(check_configuration)
        checks.register(check_database, checks.Tags.database)
        setting_changed.connect(connecting.on_setting_changed)
        post_migrate.connect(connecting.create_tables, sender=self)
        request_started.connect(starting.start_in_server)
        try:
            signals.connect(configured().market)
        except ConfigurationError as error:
            # A server does not run the checks, which say the same.
            _log.error("django integration is off: check=%s configuration=%s", error.id, error)
