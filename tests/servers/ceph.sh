#!/usr/bin/env bash
# A Ceph of one monitor, one OSD in memory and one RGW, on 127.0.0.1: ceph.sh PLACE PORT MONITOR_PORT KEY SECRET.
# Listens on PORT when it is ready; ends, with all of them, when it is told to.
set -euo pipefail
place=$1 port=$2 monitor=$3 key=$4 secret=$5
# Sockets have short names.
run=$(mktemp -d /tmp/keepstone-ceph.XXXXXX)
trap 'trap - TERM EXIT; kill -KILL $(jobs -p) 2>/dev/null || true; wait || true; rm -rf "$run" "$place"' TERM EXIT
rm -rf "$place"
mkdir -p "$place"/{mon,osd,log}
exec >"$place/log/start" 2>&1

cat >"$place/ceph.conf" <<CONFIG
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = [v2:127.0.0.1:$monitor]
mon initial members = a
public addr = 127.0.0.1
keyring = $place/keyring
auth allow insecure global id reclaim = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data = $place/mon/a
osd data = $place/osd/0
osd objectstore = memstore
memstore device bytes = 4294967296
osd class load list = *
osd class default list = *
run dir = $run
admin socket = $run/\$name.asok
pid file = $run/\$name.pid
log file = $place/log/\$name
crash dir = $place/log
mon data avail warn = 1
mon data avail crit = 1
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$port
rgw data = $place
rgw enable usage log = false
rgw run sync thread = false
keyring = $place/keyring
CONFIG
export CEPH_CONF=$place/ceph.conf

ceph-authtool --create-keyring "$place/keyring" --gen-key -n mon. --cap mon 'allow *'
ceph-authtool "$place/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
ceph-authtool "$place/keyring" --gen-key -n client.rgw --cap mon 'allow rw' --cap osd 'allow rwx'
ceph-authtool "$place/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
fsid=$(sed -n 's/^fsid = //p' "$place/ceph.conf")
monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$monitor]" "$place/monmap"
mkdir -p "$place/mon/a" "$place/osd/0"
ceph-mon --mkfs -i a --monmap "$place/monmap" --keyring "$place/keyring"
ceph-mon -i a -f &
osd=$(cat /proc/sys/kernel/random/uuid)
timeout 60 ceph osd new "$osd"
ceph-osd -i 0 --mkfs --osd-uuid "$osd"
ceph-osd -i 0 -f &
until ceph osd stat | grep -q '1 up'; do sleep 0.2; done
# Before it listens: whoever finds it listening has a user.
radosgw-admin -n client.rgw user create --uid=tests --display-name=tests --access-key="$key" --secret-key="$secret"
radosgw -n client.rgw -f &
wait
