#!/bin/sh
# Starts the program of one attempt at most once, and leaves a record of how it ended.
#
#   wrapper.sh DIR TAG NATIVE_ID RUN EVENTS BOOT_ID CLOCK GROUP PATH  LAUNCHER...
#
#   DIR      the attempt's directory; the program starts in DIR/work, which must be there
#   EVENTS   file that gets the lines `start TAG NATIVE_ID` and `end TAG NATIVE_ID`, or empty
#   BOOT_ID  file that names the present boot of this machine
#   CLOCK    the time at which this machine booted, in hundredths of a second since 1970; empty: ask date
#   GROUP    control group for the program's memory, or empty
#   PATH     the program's own search path; LAUNCHER... is what to run, by its full path
#
# Exit codes: the program's own; 73 the claim could not be made and nothing was started; 74 the program ended but its
# record could not be written; 75 another one holds the claim and nothing was started.
# The wrapper makes four processes of its own: ln, the program, sync, mv. What the shell can do itself, it does.
# (LC_ALL=C spares each of its commands the reading of a locale, a quarter of its cost.)
set -uf
dir=$1 tag=$2 native=$3 run=$4 events=$5 boot_file=$6 clock=$7 group=$8 path=$9
shift 9
launcher=$1
cd -- "$dir" || exit 73

# Traps come first, so that no signal goes unnoticed from here on.
program='' noted=''
for signal in TERM INT HUP USR1 USR2 XCPU; do
  trap "noted=\"\$noted $signal\"; [ -z \"\$program\" ] || kill -s $signal \"\$program\" 2>/dev/null" "$signal"
done

uptime_cs() { # sets $cs to the hundredths of a second since the boot
  read -r up rest </proc/uptime
  cs=$((${up%.*} * 100 + 1${up#*.} - 100))
}

milliseconds() { # sets $ms from the shell's own notation, as in 1m2.345000s
  minutes=${1%m*} seconds=${1#*m}
  seconds=${seconds%s}
  part=${seconds#*.}000
  part=${part%"${part#???}"}
  ms=$((minutes * 60000 + ${seconds%.*} * 1000 + 1$part - 1000))
}

start_time() { # sets $born from the fields of /proc/PID/stat that follow the name
  shift 19
  born=$1
}

report() { # a hint for whoever waits: losing it costs time, never the truth
  [ -z "$events" ] || printf '%s %s %s\n' "$1" "$tag" "$native" 2>/dev/null >>"$events"
}

# --- the claim: an atomic link whose target says who made it; the target decides, not the exit code of ln ---
{ : >>stdout; } 2>/dev/null && { : >>stderr; } 2>/dev/null || exit 73
[ -z "$group" ] || { echo $$ >"$group/cgroup.procs"; } 2>/dev/null || exit 73
read -r stat <"/proc/$$/stat" && read -r boot <"$boot_file" || exit 73
start_time ${stat##*) }
mine=$native:$run:$$.$born.$boot
if ! LC_ALL=C ln -sT "$mine" claim 2>/dev/null; then
  holder=$(readlink claim) || exit 73
  if [ "$holder" != "$mine" ]; then
    printf '%s %s\n' "$mine" "$holder" >>suppressed
    exit 75
  fi
fi
report start

# --- the program, in the background: a trap runs only while the shell waits ---
uptime_cs
[ -n "$clock" ] || clock=$(($(date +%s) * 100 - cs))
started=$((clock + cs))
if [ -e stop ]; then
  code=143
else
  { umask 022 && cd work && PATH=$path && exec "$@"; } </dev/null >>stdout 2>>stderr &
  program=$!
  { printf '%s\n' "$program" >program; } 2>/dev/null
  seen=$noted
  wait "$program"
  code=$?
  while [ "$seen" != "$noted" ]; do # a signal may have cut the wait short; 127: the code was already there
    seen=$noted
    wait "$program"
    again=$?
    [ "$again" -eq 127 ] || code=$again
  done
fi
uptime_cs
ended=$((clock + cs))

# --- what is known of its end ---
stopped=''
if [ -e stop ]; then read -r stopped <stop || :; fi
case $stopped in walltime | cancel) ;; *) stopped='' ;; esac
list=''
for signal in $noted; do list=$list${list:+,}\"$signal\"; done
peak=null oom=null
if [ -n "$group" ]; then
  for file in memory.peak memory.max_usage_in_bytes; do
    if [ -r "$group/$file" ] && read -r bytes <"$group/$file"; then peak=$(((bytes + 1048575) / 1048576)); fi
  done
  for file in memory.events memory.oom_control; do
    [ -r "$group/$file" ] || continue
    while read -r key value; do [ "$key" != oom_kill ] || oom=$value; done <"$group/$file"
  done
fi
usage='' # milliseconds; the shell's own count misses what bubblewrap does not wait for, so without a group: not known
if [ -n "$group" ] && [ -r "$group/cpu.stat" ]; then
  while read -r key value; do [ "$key" != usage_usec ] || usage=$((value / 1000)); done <"$group/cpu.stat"
fi
host=''
if [ -r /proc/sys/kernel/hostname ]; then read -r host </proc/sys/kernel/hostname; fi

new=.exit.$run.$$
record() {
  times >"$new" || return 1
  { read -r own && read -r user system; } <"$new" || return 1
  milliseconds "$user" && cpu=$ms && milliseconds "$system" && cpu=${usage:-$((cpu + ms))}
  used=$((cpu / 1000)).$((cpu % 1000 / 100))$((cpu % 100 / 10))$((cpu % 10))
  case $usage:$launcher in :*/bwrap) used=null ;; esac
  printf '{"tag":"%s","native_id":"%s","run":%d,"code":%d,"stopped_by":"%s","signals":[%s],"host":"%s",' \
    "$tag" "$native" "$run" "$code" "$stopped" "$list" "$host" >"$new" &&
    printf '"started_at":%d.%02d,"ended_at":%d.%02d,"cpu_s":%s,"peak_memory_mib":%s,"oom_kills":%s}\n' \
      $((started / 100)) $((started % 100)) $((ended / 100)) $((ended % 100)) "$used" \
      "$peak" "$oom" >>"$new" &&
    LC_ALL=C sync "$new" && LC_ALL=C mv -f "$new" "exit.$run.json"
}
left=60
until record 2>/dev/null; do # a full disk may get room again
  left=$((left - 1))
  [ "$left" -gt 0 ] || exit 74
  sleep 1
done
report end
exit "$code"
