#!/bin/sh
# Real programs, timed: programs.sh BENCH DATA SCRIPT [WORD...]
# BENCH: the benchmark program; DATA: a file to compress; SCRIPT: python.py; WORDs: parts of the names to run.
# Works in the guest and on the host; what is not installed is left out. Checksums are those of what a program wrote.
# The real programs before those of busybox.
PATH=/usr/bin:/usr/sbin:/bin:/sbin
bench=$1 data=$2 script=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

wanted() {
    [ -z "$names" ] && return 0
    for word in $names; do
        case $1 in *"$word"*) return 0 ;; esac
    done
    return 1
}
# with PROGRAM NAME COMMAND...: times a command of a program that is there
with() {
    command -v "$1" >/dev/null && wanted "$2" || return 0
    shift
    "$bench" --time "$@"
}
# speed NAME COUNT OPTION...: what COUNT / 10^9 of the units take whose rate a second openssl measures
speed() {
    command -v openssl >/dev/null && wanted "$1" || return 0
    name=$1 count=$2
    shift 2
    openssl speed -elapsed -mr -seconds 2 "$@" 2>/dev/null |
        awk -F: -v name="$name" -v count="$count" '/^\+F/ { printf "BENCH programs %s %.0f -\n", name, count / $4 }'
}

names="$*"
echo START programs
begin=$("$bench" --now)
"$bench" --source 5000 >"$work/big.c"
head -c 20000000 "$data" >"$work/data"
cat >"$work/inserts.sql" <<'SQL'
create table t (id integer primary key, name text, value real);
create index by_name on t (name);
begin;
with recursive n (x) as (select 1 union all select x + 1 from n where x < 200000)
insert into t select x, 'name' || (x * 7919 % 200003), x * 0.5 from n;
commit;
select count(*), sum(value), min(name), max(name) from t;
select count(*) from t where name like 'name1%';
SQL
with python3 python python3 "$script"
with gcc gcc sh -c "cd $work && gcc -O2 -c big.c -o big.o && cat big.o"
speed openssl-sha256 1e17 -bytes 16384 -evp sha256
speed openssl-aes-256-ctr 1e17 -bytes 16384 -evp aes-256-ctr
speed openssl-rsa2048 1e11 rsa2048
with xz xz xz -6 -T1 -c "$work/data"
with sqlite3 sqlite sh -c "sqlite3 $work/base.db <$work/inserts.sql"
end=$("$bench" --now)
echo SPAN programs $((end - begin))
