# Ask the API for all addresses at which IOCs may be, write them into the configuration, and become the gateway.
set -eu
wget -q -T 10 -O /tmp/iocmng.env "$IOCMNG_URL/api/v1/pvs/name-servers?whole_range=true&inside=true&format=env"
. /tmp/iocmng.env
if [ -z "$EPICS_PVA_NAME_SERVERS" ]; then
  echo "no IOC answers yet; Kubernetes starts this again" >&2
  exit 1
fi
sed "s/@NAME_SERVERS@/$EPICS_PVA_NAME_SERVERS/" /etc/pvagw/gateway.json > /tmp/gateway.json
exec pvagw /tmp/gateway.json
