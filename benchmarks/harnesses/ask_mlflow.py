"""Calls a function that sleeps 10 ms through `mlflow.genai.evaluate`; prints what it reports.

`python ask_mlflow.py CALLS FOLDER [traced]`, in the environment that `make harnesses` builds, on a
fresh SQLite store in the folder. With `traced` the function says of which two stages it is made,
as an application with `mlflow.start_span` does. What is reported is the time of each trace.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import mlflow.genai
from mlflow.genai.scorers import scorer

SLEEP_S = 0.010


def plain(question: str) -> str:
    time.sleep(SLEEP_S)
    return "a"


@mlflow.trace
def traced(question: str) -> str:
    for stage in ("retrieve", "generate"):
        with mlflow.start_span(stage):
            time.sleep(SLEEP_S / 2)
    return "a"


@scorer
def answered(outputs: str) -> bool:
    return outputs == "a"


def main() -> None:
    calls, folder = int(sys.argv[1]), Path(sys.argv[2])
    function: Callable[[str], str] = traced if sys.argv[3:] == ["traced"] else plain
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = mlflow.create_experiment("sleep", artifact_location=str(folder / "artifacts"))
    mlflow.set_experiment(experiment_id=experiment)
    rows = [{"inputs": {"question": f"what is {n}?"}} for n in range(calls)]
    mlflow.genai.evaluate(data=rows, predict_fn=function, scorers=[answered])
    traces = mlflow.search_traces(
        locations=[experiment], return_type="list", max_results=10 * calls
    )
    # The last line: MLflow prints to stdout too.
    times = [trace.info.execution_duration for trace in traces]
    sys.stdout.write("\n" + json.dumps({"time of the trace": times}) + "\n")


if __name__ == "__main__":
    main()
