"""Runs one worker in each task of Ray, for `cipherfold aggregate --workers N`.

    CIPHERFOLD_HOME=/secure/aggregator CIPHERFOLD_STORE=s3://bucket/rounds python ray_fold.py 8

Without RAY_ADDRESS, Ray starts on this machine. The home must be on every node under the same path.
A failed task is retried.
"""

import argparse
import os
import subprocess

import ray

PASSED_ON = ("PATH", "CIPHERFOLD_HOME", "CIPHERFOLD_STORE", "CIPHERFOLD_SESSION", "RAYON_NUM_THREADS")


def fold(index: int, count: int, environment: dict[str, str]) -> str:
    command = ["cipherfold", "fold", "--shard", f"{index}/{count}", "--json"]
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment
    ).stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="One worker of cipherfold for each task of Ray.")
    parser.add_argument("workers", type=int, help="the number of workers, as in `cipherfold aggregate --workers`")
    parser.add_argument("--cpus", type=float, default=8, help="processors of a task [default: 8]")
    arguments = parser.parse_args()
    task = ray.remote(max_retries=10, retry_exceptions=True, num_cpus=arguments.cpus)(fold)
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    tasks = [task.remote(index, arguments.workers, environment) for index in range(arguments.workers)]
    for result in ray.get(tasks):
        print(result, end="")
