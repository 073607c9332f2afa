"""Gunicorn reads this from its working directory, so `gunicorn` alone starts the API."""

import os

from sample_lms.settings import PROFILES

wsgi_app = "sample_lms.app:create_app()"
bind = "0.0.0.0:8000"
workers = PROFILES[os.environ.get("SAMPLE_LMS_PROFILE", "school")].workers
worker_class = "uvicorn_worker.UvicornWorker"
graceful_timeout = 30
accesslog = "-"
# The root file system is read-only in the cluster: heartbeats go to memory, and there is no control socket.
worker_tmp_dir = "/dev/shm"
control_socket_disable = True
