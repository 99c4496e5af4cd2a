#!/usr/bin/env bash
# Fetches the data that benches/compare.py works on, from Debian's package mirrors, into DIR (3.9 GB):
#   docs/   1.1 GB of real documents (3,400 PDFs)
#   linux-1, linux-2   a source tree of 78,600 files, and the same some releases later
# Also installs the peers that Debian has. Needs root for that; rustic: cargo install rustic-rs --locked
set -euo pipefail
dir=${1:?usage: benches/get-data.sh DIR}
mkdir -p "$dir/deb"
cd "$dir/deb"
apt-get update
apt-get install -y --no-install-recommends restic borgbackup rsync xz-utils
apt-get download texlive-latex-extra-doc texlive-pictures-doc
mapfile -t versions < <(apt-cache madison linux-source-6.1 | awk '{print $3}' | sort -Vu)
[ "${#versions[@]}" -ge 2 ] || { echo "two versions of linux-source-6.1 are needed, there is ${versions[*]}" >&2; exit 1; }
apt-get download "linux-source-6.1=${versions[0]}" "linux-source-6.1=${versions[-1]}"
for deb in texlive-*.deb; do dpkg-deb -x "$deb" "$dir/docs"; done
for number in 1 2; do
  version=${versions[0]}
  [ $number = 2 ] && version=${versions[-1]}
  dpkg-deb -x "linux-source-6.1_${version}_all.deb" "$dir/unpacked"
  mkdir -p "$dir/linux-$number"
  tar -C "$dir/linux-$number" --strip-components=1 -xf "$dir/unpacked/usr/src/linux-source-6.1.tar.xz"
  rm -rf "$dir/unpacked"
done
echo "ready: benches/compare.py --docs $dir/docs --tree $dir/linux-1 --next $dir/linux-2 --work /dev/shm/keepstone-bench"
