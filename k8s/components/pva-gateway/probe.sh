# Fail when IOCs are on a node that the gateway has not been told of: it then has to start again. Without the API it goes on.
set -eu
. /tmp/iocmng.env
known=" $EPICS_PVA_NAME_SERVERS "
wget -q -T 5 -O /tmp/now.env "$IOCMNG_URL/api/v1/pvs/name-servers?whole_range=true&inside=true&format=env" || exit 0
. /tmp/now.env
for address in $EPICS_PVA_NAME_SERVERS; do
  case $known in
    *" $address "*) ;;
    *) echo "$address is new" >&2; exit 1 ;;
  esac
done
