"""Runs, evaluations and tuning told to an MLflow server or folder: records here, all calls in `server.py`."""
