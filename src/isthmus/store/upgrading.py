"""Bringing a database's schema to the newest revision, by the migrations that come with the package."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from isthmus.errors import ConfigurationError


def upgrade(connection: Connection) -> None:
    """The schema is at the newest revision. ConfigurationError: a newer Isthmus made the database."""
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigurationError("the database was made by a newer Isthmus than this one", detail=str(error)) from error


def head_of_migrations() -> str | None:
    """The newest migration in the package; `opening.HEAD` names it without reading them all at every start."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "isthmus.store:migrations")
    config.set_main_option("path_separator", "os")
    return config
