#!/usr/bin/env bash
# Do the Debian packages install and work on a machine that has nothing else? Makes a fresh Debian in
# a folder with debootstrap, installs them there with apt, runs the program, builds the example
# against the library and runs it, and removes the folder. Needs root, and what apt needs.
#   tools/test_package.sh FOLDER_WITH_DEBS [SUITE]
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
packages=$(readlink -f "${1:?usage: tools/test_package.sh FOLDER_WITH_DEBS [SUITE]}")
suite=${2:-bookworm}
if ((EUID != 0)); then
    echo "test_package: debootstrap and chroot need root" >&2
    exit 1
fi
debs=("$packages"/*.deb)
[[ -e ${debs[0]} ]] || { echo "test_package: no package in $packages" >&2; exit 3; }

# Where this machine gets its own packages from.
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(SITE)' 'Created-By: Packages' |
    awk -v suite="$suite" '$2 == suite { print $1; exit }')
[[ -n $mirror ]] || { echo "test_package: apt here knows no mirror with $suite" >&2; exit 3; }

root=$(mktemp -d)
chmod 755 "$root"  # apt downloads as a user of its own
cleanup() {
    umount "$root/proc" 2>/dev/null || true
    rm -rf --one-file-system "$root" "$root.log"
}
trap cleanup EXIT
step() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }

step "debootstrap $suite"
debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$root.log" 2>&1 ||
    { tail -5 "$root.log" >&2; exit 1; }
# apt inside reaches the mirror as apt outside does.
apt-config dump | grep -E '^Acquire::(https?|Retries)' >"$root/etc/apt/apt.conf.d/90host" || true
for file in $(apt-config dump | sed -nE 's/^Acquire::https?::CaInfo "(.+)";/\1/p' | sort -u); do
    mkdir -p "$root$(dirname "$file")" && cp -L "$file" "$root$file"
done
cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
mount -t proc proc "$root/proc"
mkdir "$root/packages"
cp "${debs[@]}" "$root/packages/"

inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive "$@"; }
install_debs() { inside sh -c "apt-get install -y -qq --no-install-recommends $* >/apt.log 2>&1" ||
    { tail -20 "$root/apt.log" >&2; exit 1; }; }

step "apt-get install the program alone"
inside apt-get update -qq
before=$(du -sxm "$root" | cut -f1)
install_debs '/packages/quarot_*.deb'
echo "$(($(du -sxm "$root" | cut -f1) - before)) MB with what it depends on"
inside quarot version

step "quantize and generate"
mkdir "$root/models"
cp -r models/tiny-novels "$root/models/"
inside quarot quantize /models/tiny-novels /models/w4 --recipe quarot-rtn
text=$(inside quarot generate -m /models/w4 -p "It was a dark" -n 40)
echo "$text"
((${#text} > 40)) || { echo "test_package: a text of 40 tokens is expected" >&2; exit 1; }

step "build the example against the library"
install_debs '/packages/libquarot*.deb' g++ cmake make
cp -r examples/quantize_and_generate "$root/example"
inside cmake -S /example -B /example/build >"$root/cmake.log" || { cat "$root/cmake.log"; exit 1; }
inside cmake --build /example/build >/dev/null
inside /example/build/quantize_and_generate /models/tiny-novels /models/by-library

step "remove"
inside apt-get purge -y -qq quarot 'libquarot*' >/dev/null 2>&1
left=$(find "$root/usr" -path "$root/usr/share/doc" -prune -o -name '*quarot*' -print)
[[ -z $left ]] || { echo "test_package: these files stayed: $left" >&2; exit 1; }
printf '\nThe packages work (%d s).\n' "$SECONDS"
