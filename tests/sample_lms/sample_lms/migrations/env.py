"""Alembic's entry: migrations run online, one transaction for all, without any lock against a second migrator."""

import logging
import os

from alembic import context
from sqlalchemy import create_engine, pool

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool, hide_parameters=True)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
