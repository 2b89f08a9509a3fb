#!/usr/bin/env bash
# Stops what start.sh started, by the recorded process ids; jobs are cancelled first.
set -uo pipefail
ROOT=${SLURM_ROOT:-${TMPDIR:-/tmp}/rnnbench-slurm}
[ -e "$ROOT/env.sh" ] || exit 0
. "$ROOT/env.sh"
timeout 20 scancel --me 2>/dev/null
for _ in $(seq 40); do
    [ -n "$(timeout 20 squeue --me --noheader 2>/dev/null)" ] || break
    sleep 0.5
done
status=0
for file in "$ROOT"/run/n*.pid "$ROOT"/run/{slurmctld,slurmdbd,my/mariadbd,munged}.pid; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    signal=TERM
    case $file in */n[0-9]*) signal=KILL ;; esac # a node ends as by a power cut
    kill -$signal "$pid" 2>/dev/null
    for _ in $(seq 50); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.2
    done
    if kill -0 "$pid" 2>/dev/null; then
        echo "stop.sh: process $pid of $file goes on" >&2
        status=1
    else
        rm -f "$file"
    fi
done
exit $status
