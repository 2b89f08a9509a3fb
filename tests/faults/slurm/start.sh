#!/usr/bin/env bash
# Starts a real SLURM on this machine: a controller and its nodes, as root, on Debian or Ubuntu.
#
#   bash start.sh                  install what is missing, configure, start, wait for idle nodes
#   . "$SLURM_ROOT/env.sh"         then sinfo, sbatch and python run.py see the cluster
#   bash start.sh                  again: starts only what has died, a node that was killed, say
#   bash stop.sh                   stop everything
#
# Knobs: SLURM_ROOT   where everything is kept (${TMPDIR:-/tmp}/rnnbench-slurm)
#        NODES, CPUS  number of nodes (2) and cores of each (1)
#        DBD=1        with accounting: mariadbd and slurmdbd, so that sacct answers
#        PORT         of the controller (16817); the rest lies in the hundred behind it
#        KILLWAIT     seconds between SIGTERM and SIGKILL (5)
#        CRED         seconds; a requeued job waits one more before it starts again (5)
#        LOST         seconds until a silent node counts as down (15)
#        MAX_ARRAY    jobs in one array (3, so that a small sweep needs several)
#
# Each node has a host name and processes of its own (Linux namespaces), so that one node's death is
# like a machine's: everything on it dies at once, and nobody elsewhere can look its processes up.
set -euo pipefail
ROOT=${SLURM_ROOT:-${TMPDIR:-/tmp}/rnnbench-slurm}
NODES=${NODES:-2} CPUS=${CPUS:-1} DBD=${DBD:-0} PORT=${PORT:-16817}
KILLWAIT=${KILLWAIT:-5} CRED=${CRED:-5} LOST=${LOST:-15} MAX_ARRAY=${MAX_ARRAY:-3}
HOST=$(hostname -s)

install_missing() {
    local packages=()
    command -v slurmctld munged >/dev/null || packages+=(slurm-wlm munge)
    if [ "$DBD" = 1 ]; then
        command -v slurmdbd mariadbd >/dev/null || packages+=(slurmdbd mariadb-server)
    fi
    [ ${#packages[@]} -gt 0 ] || return 0
    # The packages must not start daemons of their own: ours have private sockets and ports.
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
        trap "rm -f $policy" EXIT
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

is_alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

# within SECONDS COMMAND...: repeat a command until it succeeds.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            echo "start.sh: still not so: $*" >&2
            return 1
        fi
        sleep 0.3
    done
}

configure() {
    mkdir -p "$ROOT"/{etc,state,log,run,spool}
    chmod 755 "$ROOT" "$ROOT/run"
    local memory
    memory=$(awk -v n="$NODES" '/MemTotal/ {print int($2 / 1024 * 0.9 / n)}' /proc/meminfo)
    {
        cat <<END
ClusterName=bench
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$ROOT/run/munge.socket,cred_expire=$CRED
StateSaveLocation=$ROOT/state
SlurmctldPidFile=$ROOT/run/slurmctld.pid
SlurmctldLogFile=$ROOT/log/slurmctld.log
SlurmdPidFile=$ROOT/spool/%n.pid
SlurmdLogFile=$ROOT/log/slurmd.%n.log
SlurmdSpoolDir=$ROOT/spool/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=$KILLWAIT
UnkillableStepTimeout=600
InactiveLimit=0
MinJobAge=300
MaxArraySize=$MAX_ARRAY
ReturnToService=2
SlurmdTimeout=$LOST
SlurmctldTimeout=60
DefMemPerCPU=1024
GresTypes=gpu
END
        if [ "$DBD" = 1 ]; then
            cat <<END
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((PORT + 2))
AccountingStoragePass=$ROOT/run/munge.socket
AccountingStorageTRES=gres/gpu
END
        fi
        for i in $(seq "$NODES"); do
            echo "NodeName=n$i NodeAddr=127.0.0.1 Port=$((PORT + 2 + i)) CPUs=$CPUS" \
                "RealMemory=$memory Gres=gpu:1 State=UNKNOWN"
        done
        echo "PartitionName=main Nodes=ALL Default=YES MaxTime=1-0 PriorityTier=1" \
            "PreemptMode=REQUEUE State=UP"
        echo "PartitionName=high Nodes=ALL Default=NO MaxTime=1-0 PriorityTier=10" \
            "PreemptMode=OFF State=UP"
    } >"$ROOT/etc/slurm.conf"
    # A GPU that is counted and numbered, and not there.
    for i in $(seq "$NODES"); do
        echo "NodeName=n$i Name=gpu File=/dev/null"
    done >"$ROOT/etc/gres.conf"
    echo "CgroupAutomount=no" >"$ROOT/etc/cgroup.conf"
    for knob in NODES CPUS DBD PORT KILLWAIT CRED LOST MAX_ARRAY; do
        echo "$knob=${!knob}"
    done >"$ROOT/etc/knobs"
    echo "export SLURM_CONF=$ROOT/etc/slurm.conf" >"$ROOT/env.sh"
    . "$ROOT/env.sh"
}

start_munge() {
    chown munge "$ROOT/run"
    [ -s "$ROOT/etc/munge.key" ] || head -c 1024 /dev/urandom >"$ROOT/etc/munge.key"
    chown munge: "$ROOT/etc/munge.key"
    chmod 400 "$ROOT/etc/munge.key"
    if ! is_alive "$ROOT/run/munged.pid"; then
        install -d -o munge "$ROOT/log/munge" "$ROOT/run/mseed"
        runuser -u munge -- /usr/sbin/munged --force --socket="$ROOT/run/munge.socket" \
            --key-file="$ROOT/etc/munge.key" --pid-file="$ROOT/run/munged.pid" \
            --log-file="$ROOT/log/munge/munged.log" --seed-file="$ROOT/run/mseed/seed"
    fi
    munge -n -S "$ROOT/run/munge.socket" | unmunge -S "$ROOT/run/munge.socket" >/dev/null
}

start_accounting() {
    local data=$ROOT/mysql socket=$ROOT/run/my/socket
    local client=(mariadb --no-defaults -S "$socket")
    install -d -o mysql "$ROOT/run/my" "$ROOT/log/my"
    [ -d "$data/mysql" ] || mariadb-install-db --no-defaults --user=mysql --datadir="$data" \
        --auth-root-authentication-method=socket >"$ROOT/log/my/install.log" 2>&1
    if ! is_alive "$ROOT/run/my/mariadbd.pid"; then
        setsid mariadbd --no-defaults --user=mysql --datadir="$data" --socket="$socket" \
            --skip-networking --pid-file="$ROOT/run/my/mariadbd.pid" \
            --log-error="$ROOT/log/my/error.log" --innodb-buffer-pool-size=128M \
            </dev/null >/dev/null 2>&1 &
        within 60 "${client[@]}" -e 'select 1'
    fi
    "${client[@]}" -e 'create database if not exists slurm_acct_db'
    cat >"$ROOT/etc/slurmdbd.conf" <<END
DbdHost=$HOST
DbdAddr=127.0.0.1
DbdPort=$((PORT + 2))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$ROOT/run/munge.socket
PidFile=$ROOT/run/slurmdbd.pid
LogFile=$ROOT/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
END
    chmod 600 "$ROOT/etc/slurmdbd.conf"
    if ! is_alive "$ROOT/run/slurmdbd.pid"; then
        MYSQL_UNIX_PORT="$socket" slurmdbd
        within 60 sacctmgr -n list cluster
    fi
    sacctmgr -n list cluster | grep -qw bench || sacctmgr -i add cluster bench >/dev/null
}

start_node() {
    local name=$1 apart=()
    ! is_alive "$ROOT/run/$name.pid" || return 0
    mkdir -p "$ROOT/spool/$name"
    if unshare --uts --pid --fork --mount-proc true 2>/dev/null; then
        apart=(unshare --uts --pid --fork --mount-proc --kill-child)
        # A shell to be the node's first process, which buries the orphans.
        apart+=(sh -c 'hostname "$0"; "$@"; exit' "$name")
    fi
    setsid "${apart[@]}" slurmd -D -N "$name" -f "$SLURM_CONF" </dev/null >/dev/null 2>&1 &
    echo $! >"$ROOT/run/$name.pid"
}

nodes_are_idle() {
    [ "$(sinfo -h -t idle -N -o %N -p main | sort -u | wc -l)" = "$NODES" ]
}

install_missing
configure
start_munge
[ "$DBD" != 1 ] || start_accounting
is_alive "$ROOT/run/slurmctld.pid" || slurmctld -f "$SLURM_CONF"
for i in $(seq "$NODES"); do start_node "n$i"; done
[ "${1:-}" = --no-wait ] || within 60 nodes_are_idle
sinfo
