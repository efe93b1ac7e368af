"""Readies served models as the worker does, one after the other, and says what came of each: lm-eval is imported once."""

from __future__ import annotations

import json
import sys
import time
from types import SimpleNamespace

from airflow_provider_lmeval.driver.worker import served
from airflow_provider_lmeval.driver.worker.causes import classify
from airflow_provider_lmeval.driver.worker.endpoint import check_endpoint
from airflow_provider_lmeval.driver.worker.settings import settings_of
from airflow_provider_lmeval.driver.worker.startup import prepare
from airflow_provider_lmeval.wire import Phase, Request

prepare()
for line in sys.stdin:
    asked = json.loads(line)
    request = Request.from_json(asked["request"])
    tasks = {kind: SimpleNamespace(OUTPUT_TYPE=kind) for kind in asked["kinds"]}
    started = time.monotonic()
    try:
        check_endpoint(request.model, request.model_args, online=False, tasks=tasks)
        served.load(request, settings_of({}), tasks)
        found = [None, "it is fit"]
    except Exception as error:
        found = list(classify(error, Phase.LOADING_MODEL))
    print(json.dumps([*found, time.monotonic() - started]), flush=True)
