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
