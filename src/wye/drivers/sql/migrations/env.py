"""What Alembic runs for each migration: on the connection, and in the transaction, of `migrate.py`."""

from alembic import context

from wye.drivers.sql.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
