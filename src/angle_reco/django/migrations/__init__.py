"""Migrations of the permissions; the tables of the library have other ones."""
