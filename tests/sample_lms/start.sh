#!/bin/sh
# Schools migrate where they start: every pod does, at the same time, and an older image refuses a newer schema.
alembic upgrade head && exec gunicorn
