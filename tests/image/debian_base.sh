#!/bin/sh
# A minimal Debian 12 with Python, as an image of buildah's: debian_base.sh TAG. Needs root, debootstrap and buildah.
set -eu
export STORAGE_DRIVER=overlay
buildah images --quiet "$1" >/dev/null 2>&1 && exit 0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder" >"$folder.log" 2>&1 || {
    tail -5 "$folder.log" >&2
    echo "debootstrap failed; it needs root and a mirror of Debian" >&2
    exit 1
}
rm -rf "$folder.log" "$folder"/var/cache/apt/archives/*.deb "$folder"/var/lib/apt/lists/*
container=$(buildah from scratch)
buildah copy --quiet "$container" "$folder" / >/dev/null
buildah config --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
buildah commit --quiet --rm "$container" "$1" >/dev/null
