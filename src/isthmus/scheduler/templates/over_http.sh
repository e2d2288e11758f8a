#!/bin/sh
# Starts one attempt on a node that does not see the gateway's files, and sends what came of it.
#
# It starts in a folder of its own (`isthmus/` in the task's sandbox), which becomes the attempt's directory, and finds
# in its environment:
#
#   ISTHMUS_URL           the attempt at the gateway; ISTHMUS_TICKET opens it
#   ISTHMUS_TAG           the attempt; ISTHMUS_NATIVE_ID is what the scheduler calls this copy of it
#   ISTHMUS_WALLTIME_S    how long the program may run; ISTHMUS_GRACE_S lie between TERM and KILL
#   ISTHMUS_CLAIM_WAIT_S  for how long to ask a gateway that does not answer, with nothing started
#   ISTHMUS_REPORT_S      for how long to try to report what came of a program that has ended
#   ISTHMUS_CURL          more options for curl, parted by blanks
#   ISTHMUS_ENDS_WITH_PARENT   not empty: the program ends when the process that started this script has died
#
# It comes as over_http.sh, with what the attempt needs around it: before it a line for each input, and one with the
# sizes of what follows its own text, wrapper.sh and the job's script. It fetches the inputs (harmless however often),
# asks for the claim, and only if that is its own hands over to wrapper.sh; then it tells the end, with its logs if they
# are short, and sends the files that the gateway wants. TERM cancels the program. A process started costs a busy node
# more than all that it does, so there are few: what the shell can do itself, it does.
#
# Exit codes: the program's own; 73 nothing was started; 75 another one holds the claim, or nobody may have it any more.
# It may be killed at any line and started again: the claim at the gateway parts the sandboxes, and wrapper.sh's link
# parts the copies in one sandbox. Needed besides sh: coreutils, find, grep, sed, curl, and Linux' /proc.
set -uf
umask 077
export LC_ALL=C
url=$ISTHMUS_URL ticket=$ISTHMUS_TICKET tag=$ISTHMUS_TAG native=$ISTHMUS_NATIVE_ID
walltime=$ISTHMUS_WALLTIME_S grace=$ISTHMUS_GRACE_S claim_wait=$ISTHMUS_CLAIM_WAIT_S report=$ISTHMUS_REPORT_S
curl_options=${ISTHMUS_CURL-} parent=${ISTHMUS_ENDS_WITH_PARENT:+$PPID}
unset ISTHMUS_URL ISTHMUS_TICKET ISTHMUS_NATIVE_ID ISTHMUS_WALLTIME_S ISTHMUS_GRACE_S ISTHMUS_CLAIM_WAIT_S \
  ISTHMUS_REPORT_S ISTHMUS_CURL ISTHMUS_ENDS_WITH_PARENT
status=000 answer=answer.$$ phase=before cancelled='' asking='' wrapper='' watch=''

say() { printf 'isthmus: %s\n' "$*" >&2; }

leave() { # leave CODE: nothing of ours runs on
  [ -z "$asking" ] || kill "$asking" 2>/dev/null
  rm -f "$answer" "$answer.status" "$answer.words" "report.$$" "log.$$" "wanted.$$"
  exit "$1"
}

on_signal() { # before the claim is asked for there is nothing to cancel, and after the program's end nothing is left to
  cancelled=$cancelled.
  case $phase in
    before)
      say 'told to end before anything was started'
      leave 73
      ;;
    running)
      stop_for cancel
      ;;
  esac
}
trap on_signal TERM INT HUP

lacking() {
  say "this node lacks $1"
  leave 73
}

path_of() { # path_of COMMAND: sets $path to where PATH has it
  left=$PATH:
  while [ -n "$left" ]; do
    path=${left%%:*}/$1 left=${left#*:}
    [ ! -x "$path" ] || return 0
  done
  return 1
}

stop_for() { # the first reason counts; wrapper.sh does not start a program with one, and `watch` ends one that runs
  (set -C && echo "$1" >stop) 2>/dev/null
}

now() { # sets $now, by the machine's own time since its start, which nobody sets
  read -r now rest </proc/uptime
  now=${now%.*}
}

nap() { # in the background, so that a signal does not have to wait for its end
  sleep "$1" &
  wait "$!"
}

# --- asking the gateway ---
call() { # call WAY CURL-OPTIONS...: sets $status to the answer's, 000 if there was none; its body is in $answer
  way=$1
  shift
  : >"$answer.status"
  # The ticket goes through a pipe: it stands in no argv and in no file.
  printf 'header = "Authorization: Bearer %s"\n' "$ticket" |
    curl -K - -sS --connect-timeout 10 --speed-limit 1 --speed-time 300 $curl_options -o "$answer" \
      -w '%{http_code}' "$@" "$url/$way" >"$answer.status" 2>"$answer.words" &
  asking=$!
  seen=$cancelled
  wait "$asking"
  failed=$?
  while [ "$seen" != "$cancelled" ]; do # a signal has cut the wait short
    seen=$cancelled
    wait "$asking"
    failed=$?
  done
  asking=''
  read -r status <"$answer.status" || :
  heard=$status
  [ "$failed" -eq 0 ] || status=000
}

ask() { # ask SECONDS WAY CURL-OPTIONS...: as call, again until there is an answer that counts; fails if none comes
  now
  last=$((now + $1))
  shift
  pause=1
  while :; do
    call "$@"
    case $status in
      408 | 425 | 429) ;;
      2?? | 4??) return 0 ;;
    esac
    now
    [ "$now" -lt "$last" ] || return 1
    nap "$pause"
    pause=$((pause * 2))
    [ "$pause" -le 30 ] || pause=30
  done
}

refused() { # the gateway's answer ends this copy: nothing was started
  case $status in
    410 | 409) leave 75 ;;
    000 | 5*) say 'the gateway does not answer' ;;
    *) say "the gateway refuses this task ($status)" ;;
  esac
  leave 73
}

# --- what the program needs ---
fetch() { # fetch WAY FILE SHA256: the file is there, whole
  [ "$(sha256sum <"$2" 2>/dev/null)" != "$3  -" ] || return 0
  tries=0
  until [ "$tries" -eq 3 ]; do
    rm -f "part.$$"
    until_whole "$1" || refused
    if [ "$(sha256sum <"part.$$")" = "$3  -" ]; then
      chmod 444 "part.$$" && mv -f "part.$$" "$2" && return 0
      say "the file $2 can't be put in its place"
      leave 73
    fi
    tries=$((tries + 1))
  done
  say "the file $2 does not come whole"
  leave 73
}

until_whole() { # until_whole WAY: all of it is in part.$$; goes on where the last answer broke off
  : >"part.$$"
  now
  wait_until=$((now + claim_wait))
  pause=1
  while :; do
    answer=part.$$.new
    call "$1" -r "$(wc -c <"part.$$")-"
    answer=answer.$$
    case $status in
      200) mv -f "part.$$.new" "part.$$" && return 0 ;;
      416) rm -f "part.$$.new" && return 0 ;; # there is no more
      206 | 000)
        if [ "$heard" = 206 ] && [ -s "part.$$.new" ]; then # be it only a part
          cat "part.$$.new" >>"part.$$" || leave 73
          now
          wait_until=$((now + claim_wait))
        fi
        ;;
      408 | 425 | 429 | 5??) ;;
      *) return 1 ;;
    esac
    rm -f "part.$$.new"
    [ "$status" != 206 ] || return 0
    now
    [ "$now" -lt "$wait_until" ] || return 1
    nap "$pause"
    pause=$((pause < 30 ? pause * 2 : 30))
  done
}

unescaped() { # sets $name from the gateway's notation; a line's end at its end is kept
  name=$(printf '%b.' "$1")
  name=${name%.}
}

prepare() { # sets $wrapper_sh and $job_sh, files of this copy
  umask 022
  mkdir -p work inputs || leave 73
  umask 077
  while read -r hash kind first second third fourth; do
    case $kind in
      input)
        unescaped "$fourth"
        case /$name/ in */../*) leave 73 ;; esac
        mkdir -p "$(dirname "inputs/$name")" && fetch "inputs/$first" "inputs/$name" "$third" || leave 73
        ;;
      parts) break ;;
    esac
  done <over_http.sh
  [ "$kind" = parts ] || leave 73
  wrapper_sh=wrapper.$$.sh job_sh=job.$$.sh
  tail -c $((first + second)) over_http.sh | head -c "$first" >"$wrapper_sh" || leave 73
  # The path holds none of the letters that mean something to sed or to a shell: it was looked at.
  tail -c "$second" over_http.sh | sed "s|/\.isthmus-sandbox\.$tag|$here|g" >"$job_sh" || leave 73
}

own_nonce() { # sets $nonce, the same for every copy in this sandbox
  if [ ! -s nonce ]; then
    read -r nonce </proc/sys/kernel/random/uuid && echo "$nonce" >"nonce.$$" || leave 73
    ln "nonce.$$" nonce 2>/dev/null
  fi
  read -r nonce <nonce && [ -n "$nonce" ] || leave 73
}

# --- the program ---
end_group() { # KILL for all that the program started, as far as it stayed in its group
  read -r leader <program && [ -n "$leader" ] && kill -s KILL -- "-$leader" 2>/dev/null
}

is_waited_for() { # the script is alive, and so is its parent, where that counts
  read -r line 2>/dev/null <"/proc/$$/stat" || return 1
  line=${line##*) } # what follows the name: the state, and the parent
  ppid=${line#? }
  [ "${line%% *}" != Z ] && [ "${ppid%% *}" = "${parent:-${ppid%% *}}" ]
}

watch() { # in the background: ends the program when its time is over, it was cancelled, or nobody waits for it
  trap '' TERM INT HUP
  now
  over=$((now + walltime)) kill_at=''
  while kill -s 0 "$wrapper" 2>/dev/null; do
    is_waited_for || stop_for nobody
    now
    [ "$now" -lt "$over" ] || stop_for walltime
    if [ -n "$kill_at" ]; then
      [ "$now" -lt "$kill_at" ] || end_group
    elif [ -e stop ] && [ -s program ]; then
      kill -s TERM "$wrapper" 2>/dev/null
      kill_at=$((now + grace))
    fi
    sleep 1
  done
}

booted() { # sets $booted_cs, when this machine was started, in hundredths; empty where time is not known so finely
  read -r up rest </proc/uptime
  booted_cs=$("$date" +%s%N)
  case $booted_cs in
    '' | *[!0-9]*) booted_cs='' ;;
    *) booted_cs=$((booted_cs / 10000000 - ${up%.*} * 100 - 1${up#*.} + 100)) ;;
  esac
}

run_program() { # sets $code
  booted
  # `timeout` without a time: a group of its own for the program, which gets whatever signal it gets itself.
  sh "$wrapper_sh" "$here" "$tag" "$native" 1 '' /proc/sys/kernel/random/boot_id "$booted_cs" '' "$PATH" \
    "$timeout" 0 "$shell" "$here/$job_sh" &
  wrapper=$!
  watch </dev/null >/dev/null 2>&1 &
  watch=$!
  seen=$cancelled
  wait "$wrapper"
  code=$?
  while kill -s 0 "$wrapper" 2>/dev/null; do # a signal has cut the wait short
    wait "$wrapper"
    code=$?
  done
  if [ "$seen" != "$cancelled" ]; then # 127: the code was already there
    wait "$wrapper"
    again=$?
    [ "$again" -eq 127 ] || code=$again
  fi
  if [ -e exit.1.json ] && [ ! -e stop ] && cut_short; then
    nap 1 # whoever sent TERM to the program may be about to send it here
  fi
  kill -s KILL "$watch" 2>/dev/null
  [ ! -e exit.1.json ] || end_group
}

# --- what came of it ---
no_word='"stopped_by":""'

cut_short() { # sets $record; by it, the program did not end by itself, and it does not say why
  read -r record <exit.1.json
  case $record in *"$no_word"*) ;; *) return 1 ;; esac
  [ "$code" -gt 128 ] || case $record in *'"signals":[]'*) return 1 ;; esac
}

tell_end() { # what the gateway's routes read: the record, the list, and what was announced to follow it
  if cut_short && [ -e stop ]; then # TERM had come to all at once, to wrapper.sh before the reason was written
    read -r word <stop || :
    case $word in
      walltime | cancel) record=${record%%"$no_word"*}'"stopped_by":"'$word'"'${record#*"$no_word"} ;;
    esac
  fi
  printf '{"nonce":"%s","record":%s}\n' "$nonce" "$record"
  list
  for stream in $following; do
    head -c "${stream%%/*}" "${stream#*/}"
  done
}

list() { # the records that the gateway's node_list reads; sets $following to SIZE/NAME of what is to follow it
  printf 'R%s/work\0' "$here"
  [ -z "$("$find" work -mindepth 1 ! -type d -print -quit 2>/dev/null)" ] || list_work
  following=''
  for stream in stdout stderr; do
    if [ ! -s "$stream" ]; then
      [ ! -f "$stream" ] || printf 's0 %s\0' "$stream"
    elif size=$("$stat" -c %s "$stream") && [ "$size" -le 32768 ]; then
      printf 'i%s %s\0' "$size" "$stream"
      following="$following $size/$stream"
    else
      printf 's%s %s\0' "$size" "$stream"
    fi
  done
  printf 'E\0'
}

list_work() { # links before files
  [ ! -L work ] && (
    cd work || exit 0
    stat=$stat readlink=$readlink "$find" . -mindepth 1 -type l -exec sh -c '
      for path do
        printf l
        "$stat" -L --printf "%f %s " -- "$path" 2>/dev/null || printf "%s" "- 0 "
        printf "%s\0t" "$path"
        "$readlink" -mz -- "$path" || printf "/\0"
      done' sh {} + 2>/dev/null
    "$find" . -mindepth 1 ! -type d -exec sh -c '
      for path do
        [ -r "$path" ] || printf "u%s\0" "$path"
      done' sh {} + 2>/dev/null
    "$find" . -mindepth 1 ! -type d ! -type l -exec "$stat" --printf 'f%f %s %n\0' -- {} + 2>/dev/null
  )
}

send_files() { # what the gateway wants is there; fails if the end should be told again
  complete=0
  while read -r key kept path; do
    unescaped "$path"
    if [ "$kept" -gt 0 ]; then
      cut_log "$name" "$kept" && name=log.$$
    fi
    send "$key" "$name" || complete=1
  done <"wanted.$$"
  return "$complete"
}

cut_log() { # cut_log STREAM BYTES: both ends of it are in log.$$, and a line that says what is missing
  size=$(wc -c <"$1")
  {
    head -c "$2" "$1"
    printf '\n[... %d bytes left out ...]\n' $((size - 2 * $2))
    tail -c "$2" "$1"
  } >"log.$$"
}

send() { # send KEY FILE: the gateway has it; goes on where it broke off
  tries=0 offset=0
  until [ "$tries" -eq 20 ]; do
    size=$(wc -c <"$2") && sum=$(sha256sum <"$2") || return 1
    [ "$offset" -lt "$size" ] || offset=0
    if [ "$offset" -gt 0 ]; then
      call "files/$1" -X PUT -T "$2" -C "$offset" -H "Isthmus-Sha256: ${sum%% *}"
    else
      call "files/$1" -X PUT -T "$2" -H "Isthmus-Sha256: ${sum%% *}"
    fi
    case $status in
      2??) return 0 ;;
      404 | 410 | 413) return 1 ;;
    esac
    tries=$((tries + 1))
    nap $((tries < 10 ? tries : 10))
    call "files/$1"
    offset=0
    [ "$status" != 200 ] || read -r offset <"$answer" || offset=0
    case $offset in *[!0-9]* | '') offset=0 ;; esac
  done
  return 1
}

report_all() { # the gateway has all of it
  now
  give_up=$((now + report)) pause=1
  while :; do
    tell_end >"report.$$" && ask "$report" end -X POST -T "report.$$" || return 1
    case $status in
      200) [ -s "$answer" ] || return 0 ;; # nothing is wanted
      410 | 422) return 0 ;;
      *) return 1 ;;
    esac
    mv -f "$answer" "wanted.$$" && send_files && return 0
    now
    [ "$now" -lt "$give_up" ] || return 1
    nap "$pause"
    pause=$((pause < 30 ? pause * 2 : 30))
  done
}

# --- all together ---
here=$(pwd -P) || exit 73
case $here in
  /*[!A-Za-z0-9/._:@%+=,~-]*)
    say "the sandbox's path $here holds letters that can't be put into a script"
    leave 73
    ;;
esac
for tool in cat chmod curl dirname head ln mkdir mv rm sed sha256sum sleep tail wc; do
  command -v "$tool" >/dev/null || lacking "$tool"
done
# By their paths, since some shells have lesser ones of their own.
path_of find && find=$path && path_of stat && stat=$path && path_of readlink && readlink=$path &&
  path_of timeout && timeout=$path && path_of date && date=$path && path_of sh && shell=$path ||
  lacking 'find, stat, readlink, timeout, date or sh'
own_nonce
if [ ! -e exit.1.json ]; then
  prepare
  is_waited_for || leave 73
  phase=running # from here on TERM is noted in `stop`, which wrapper.sh looks at
  body="{\"native_id\":\"$native\",\"run\":1,\"nonce\":\"$nonce\"}"
  ask "$claim_wait" claim -X POST -H 'Content-Type: application/json' --data-binary "$body" || refused
  [ "$status" = 200 ] || refused
  run_program
  case $code in 73 | 75) [ -e exit.1.json ] || leave "$code" ;; esac
else
  code=$(sed -n 's/.*"code":\([0-9]*\).*/\1/p' exit.1.json)
fi
phase=after
if [ -e exit.1.json ]; then
  report_all || say 'the gateway does not have all of what came of the program'
fi
leave "$code"
