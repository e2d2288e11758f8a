umask 077
command -v curl >/dev/null || { echo 'isthmus: this node lacks curl' >&2; exit 73; }
mkdir -p isthmus && cd isthmus || exit 73
read -r up rest </proc/uptime
last=$((${up%.*} + ISTHMUS_CLAIM_WAIT_S))
while :; do
  code=$(printf 'header = "Authorization: Bearer %s"\n' "$ISTHMUS_TICKET" |
    curl -K - -sS --connect-timeout 10 --max-time 60 $ISTHMUS_CURL -o "over_http.$$" -w '%{http_code}' \
      "$ISTHMUS_URL/order") || code=000
  case $code in
    200) mv -f "over_http.$$" over_http.sh && exec sh over_http.sh; exit 73 ;;
    410) exit 75 ;;
    4*) echo "isthmus: the gateway refuses this task ($code)" >&2; exit 73 ;;
  esac
  read -r up rest </proc/uptime
  [ "${up%.*}" -lt "$last" ] || { echo 'isthmus: the gateway does not answer' >&2; exit 73; }
  sleep 2
done
