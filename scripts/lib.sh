# Sourced by every script: where the tree stands, how a script speaks, how it becomes root.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
me=$(basename "$0")

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root, through sudo where this shell is not.
as_root() {
    if [ "$EUID" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "root is needed for '$*': run this script as root, or install sudo"
    fi
}

# Builds the release as it is given away, in a copy of the tree: the same bytes wherever it stands. Paths are what differs
# between two machines; others are written in their place.
build_release() {
    local place=$1 home=${CARGO_HOME:-$HOME/.cargo}
    (cd "$place" && env -u CARGO_TARGET_DIR -u HDRCAP_XDP_OBJECT -u CARGO_INCREMENTAL -u RUSTC_WRAPPER \
        RUSTFLAGS="--remap-path-prefix=$place=/hdrcap --remap-path-prefix=$home=/cargo" \
        cargo build --release --locked --quiet --package capture)
}

# Installs a tool of Cargo's in a quick build.
cargo_tool() {
    local name=$1 version=$2
    if have "$name"; then return; fi
    say "building $name $version (some minutes, once)"
    mkdir -p "$target"
    cargo install --locked --debug "$name" --version "$version" >"$target/setup.$name.log" 2>&1 </dev/null || {
        tail -n 20 "$target/setup.$name.log" >&2
        die "$name could not be built: see above, all of it in $target/setup.$name.log"
    }
}
