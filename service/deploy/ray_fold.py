"""One worker for each task of Ray, beside `cipherfold aggregate --workers N`.

    CIPHERFOLD_HOME=/secure/aggregator CIPHERFOLD_STORE=s3://bucket/rounds python ray_fold.py 8

The home must be on every node under the same path. A task that fails is tried again.
"""

import subprocess
import sys

import ray


@ray.remote(max_retries=10, retry_exceptions=True, num_cpus=8)
def fold(index: int, count: int) -> str:
    command = ["cipherfold", "fold", "--shard", f"{index}/{count}", "--json"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    workers = int(sys.argv[1])
    for result in ray.get([fold.remote(index, workers) for index in range(workers)]):
        print(result, end="")
