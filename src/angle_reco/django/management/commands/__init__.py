"""The command `manage.py reco`."""
