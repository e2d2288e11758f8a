#!/bin/sh
# The witness's own program: it tells a ledger that it starts and that it ends, and knows nothing of Isthmus.
#
#   program.sh LEDGER KIND SECONDS
#
# Lines are `start TAG UUID UPTIME PID` and `end TAG UUID UPTIME CODE WHY`, each written by one append; UPTIME is the
# machine's, in seconds, and WHY is `natural` or `told` (it got TERM). The last act is the line about the end: from
# there on TERM is ignored, so that the code told is the code given.
set -u
ledger=$1 kind=$2 seconds=$3 tag=$ISTHMUS_TAG
read -r uuid </proc/sys/kernel/random/uuid

tell() {
  read -r uptime idle </proc/uptime
  printf '%s %s %s %s %s\n' "$1" "$tag" "$uuid" "$uptime" "$2" >>"$ledger"
}

finish() {
  trap '' TERM
  tell end "$1 $2"
  exit "$1"
}

# Told to end, a polite one takes its time; it hears from its first line on.
[ "$kind" != polite ] || trap 'sleep "$seconds"; finish 7 told' TERM
tell start $$
case $kind in
  quick) ;;
  nap) sleep "$seconds" ;;
  fail)
    sleep "$seconds"
    finish 3 natural
    ;;
  polite | endless) while :; do sleep 0.1; done ;;
esac
finish 0 natural
