#!/bin/sh
# Stands before ln, sync and mv on the supervisor's PATH, and does harm to the wrapper that calls it when a plan says so.
#
# Beside it lies `plans/NAME.N`, each holding `DEED SECONDS`; who takes a plan first (by renaming it) carries it out:
#   delay        the command comes late                    slow-answer   it is done, and its answer comes late
#   kill-before  its caller dies, nothing is done          kill-after    it is done, then its caller dies
#   kill-orphan  its caller dies, and the command comes late all the same
#   hold         the command comes when there is a file `go`
# What was done is told in `struck`, as `NAME-DEED TAG`.
set -u
here=${0%/*} name=${0##*/} deed='' seconds=0
for plan in "$here/plans/$name".*; do
  [ -e "$plan" ] || break
  if /bin/mv -- "$plan" "$here/taken/${plan##*/}.$$" 2>/dev/null; then
    read -r deed seconds <"$here/taken/${plan##*/}.$$"
    printf '%s-%s %s\n' "$name" "$deed" "${PWD##*/}" >>"$here/struck"
    break
  fi
done
case $deed in
  delay) sleep "$seconds" ;;
  hold) while [ ! -e "$here/go" ]; do sleep 0.05; done ;;
  slow-answer)
    "/bin/$name" "$@"
    code=$?
    sleep "$seconds"
    exit "$code"
    ;;
  kill-before)
    kill -KILL "$PPID"
    exit 1
    ;;
  kill-after)
    "/bin/$name" "$@"
    kill -KILL "$PPID"
    exit 0
    ;;
  kill-orphan)
    kill -KILL "$PPID"
    sleep "$seconds"
    ;;
esac
exec "/bin/$name" "$@"
