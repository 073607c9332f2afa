"""A small learning management system, run as schools run theirs: FastAPI, SQLAlchemy, alembic, gunicorn, PostgreSQL."""
