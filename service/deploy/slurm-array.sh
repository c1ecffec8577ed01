#!/bin/sh
# One worker for each task of a Slurm array:
#
#   export CIPHERFOLD_HOME=/secure/aggregator CIPHERFOLD_STORE=https://board.example:8443
#   sbatch --array=0-7 slurm-array.sh [options of `cipherfold fold`]
#
# beside `cipherfold aggregate --workers 8`. Indices begin at zero.
#SBATCH --job-name=cipherfold-fold
#SBATCH --cpus-per-task=8
#SBATCH --requeue
set -eu
: "${SLURM_ARRAY_TASK_ID:?runs as a task of a Slurm array}" "${SLURM_ARRAY_TASK_COUNT:?}"
exec cipherfold fold --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" "$@"
