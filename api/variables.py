"""The names of all variables that are read from the environment, and what is set by a wrong one."""

import os
from difflib import get_close_matches

PREFIX = "ALMANAC_"
# Whatever reads a variable of ours: batch, API, docker-compose.yml, tests. A test holds this to them.
_NAMES = """
    bucket_width_s candidates candidates_per_user connect_timeout_s cors_origins database_stall_s
    database_url deadline_h depth drain_s
    estimates_nights events_url events_wait
    experiments explore explore_floor explore_impressions exposures_days
    exposures_waiting_mb filter_by
    gate generations_kept host idle_timeout_s ids layout list_ttl_s mapping
    max_absent_user_share max_per_topic
    max_connections max_duplicate_share
    max_future_share max_rejected_share max_short_share max_unknown_post_share memory_mb metrics_host
    overlay overlay_places
    metrics_port n_buckets n_leaves n_trees notices notices_file pool_size port prefix profiles
    ranker_aim read_timeout_s redis_url refresh_schedule root_path schedule seed seen_policy segment_by
    similar sleep_days state_dir text_model threads token tokens topic_depth train_days train_rows tuned
    variant zone
    workers
    models_kept resume_h runs_kept stale_h
    tracking mlflow_port
    ab_port api_password_file api_port batch_password_file classic_port grafana_port postgres_port
    inspector_name inspector_port prometheus_port secrets store_port text_port bench_answer chaos test_seed
    grafana_url
"""
NAMES = frozenset(_NAMES.upper().split())


def find_unknown() -> dict[str, str]:
    """Return the variables `ALMANAC_…` that are set and that nothing reads, each with the nearest name."""
    given = sorted(name.removeprefix(PREFIX) for name in os.environ if name.startswith(PREFIX))
    near = {name: get_close_matches(name, NAMES, 1) for name in given if name not in NAMES}
    return {f"{PREFIX}{name}": f"{PREFIX}{like[0]}" if like else "" for name, like in near.items()}
