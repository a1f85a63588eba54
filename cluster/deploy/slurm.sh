#!/usr/bin/env bash
# A study on a SLURM cluster: sbatch cluster/deploy/slurm.sh studies/l1fm.yaml /shared/study
#
# Submit it in the root of the repository, with this package's environment in .venv; both, and the
# folder for results, on a file system that every node shares. The driver runs on the first node.
# Cancelled, out of time or requeued: submitted again, it goes on where it was.
#SBATCH --job-name=qpmstudy
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --output=qpmstudy-%j.log
set -euo pipefail

study="${1:?which study? sbatch cluster/deploy/slurm.sh FILE ROOT}"
root="${2:?where to? sbatch cluster/deploy/slurm.sh FILE ROOT}"
# shellcheck source=/dev/null
. .venv/bin/activate

# A token of this job's own, which nobody else can read; the home folder is shared by all nodes.
umask 077
RAY_AUTH_TOKEN_PATH="$HOME/.ray/token-$SLURM_JOB_ID"
mkdir -p "$HOME/.ray"
python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH"
trap 'kill $(jobs -p) 2>/dev/null || true; rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH
# Ports for metrics ask for no token: they stay closed.
export RAY_enable_metrics_collection=0 AUTOSCALER_METRIC_PORT=-1 DASHBOARD_METRIC_PORT=-1

# Jobs that share a node need ports and folders of their own.
port=$((20000 + SLURM_JOB_ID % 10000))
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# Debian gives a host's own name an address that no other host reaches, 127.0.1.1.
head="$(srun --nodes=1 --ntasks=1 -w "${nodes[0]}" bash -c 'hostname --ip-address; hostname -I' |
    awk '{ for (i = 1; i <= NF; i++) if (!ip && $i !~ /^127\.|:/) ip = $i } END { print ip }')"
shares=(--num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --disable-usage-stats)

export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK" # else a step has one core, whatever the job has

# With a Gurobi license add to the head: --resources='{"gurobi": 1}', as many as solves at once.
srun --nodes=1 --ntasks=1 --overlap -w "${nodes[0]}" \
    ray start --head --block --node-ip-address="$head" --port="$port" --include-dashboard=false \
    --temp-dir="/tmp/ray-$SLURM_JOB_ID" "${shares[@]}" &
for node in "${nodes[@]:1}"; do
    # shellcheck disable=SC2016  # expanded on the node
    srun --nodes=1 --ntasks=1 --overlap -w "$node" \
        bash -c 'until ray start --block --address="$0" "$@"; do sleep 5; done' \
        "$head:$port" "${shares[@]}" &
done

# The head answers after some seconds. Nodes that come later are used as soon as they are there.
export RAY_ADDRESS="$head:$port"
for _ in $(seq 60); do
    python cli.py cluster status --root "$root" && break
    sleep 5
done
python cli.py study launch "$study" --root "$root"
