#!/bin/sh
# Builds the RocksDB archive once for all cargo profiles and prints the folder that holds it.
#
# The crate librocksdb-sys compiles more than 340 C++ files one by one, again for every cargo
# profile. Each of them spends nearly all its time in the same headers, so this script compiles
# the very same sources as a few unity files, which takes a third of the time, and leaves
# librocksdb.a in a user cache folder. Cargo takes it when these are in the environment:
#
#     ROCKSDB_LIB_DIR=$(storage/librocksdb.sh) ROCKSDB_STATIC=1
#
# With --print it builds nothing: it prints the folder, or fails if the archive is not there.
#
# Needs: cargo, a C++20 compiler (CXX, default c++), ar, a POSIX shell. The sources are those of
# the librocksdb-sys that Cargo.lock names. Run again it does nothing but print the folder.
#
#   KEYLINE_CACHE_DIR   where archives are kept   [${XDG_CACHE_HOME:-$HOME/.cache}/keyline]
#   JOBS                compilers at a time       [number of cores]
#   CXX, AR             tools                     [c++, ar]
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# Raise it when the way of compiling changes, so that nobody keeps an archive of the old way.
RECIPE=1
GROUPS_WANTED=12

say() { printf 'librocksdb: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

CXX=${CXX:-c++}
AR=${AR:-ar}
JOBS=${JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
command -v "$CXX" >/dev/null || die "no C++ compiler '$CXX': install g++ 12 or clang 15 or later, or set CXX"

# --- Where cargo keeps the sources -------------------------------------------------------------
host=$(rustc -vV | sed -n 's/^host: //p')
case $host in
*-linux-*) ;;
*) die "only Linux is supported ($host); plain 'cargo build' compiles RocksDB by itself" ;;
esac
manifests=$(cargo metadata --format-version 1 --locked --filter-platform "$host" \
	--manifest-path "$here/Cargo.toml" | tr '"' '\n' | grep -E '/(librocksdb|lz4)-sys[^/]*/Cargo\.toml$' | sort -u)
sys=$(printf '%s\n' "$manifests" | grep '/librocksdb-sys[^/]*/Cargo\.toml$' | head -n 1)
lz4=$(printf '%s\n' "$manifests" | grep '/lz4-sys[^/]*/Cargo\.toml$' | head -n 1)
sys=${sys%/Cargo.toml}
lz4=${lz4%/Cargo.toml}
[ -f "$sys/rocksdb_lib_sources.txt" ] || die "cargo metadata names no librocksdb-sys with a source list"
[ -f "$lz4/liblz4/lib/lz4.h" ] || die "cargo metadata names no lz4-sys with liblz4/lib/lz4.h"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$sys/Cargo.toml" | head -n 1)

# --- The defines of librocksdb-sys' own build script, feature lz4 ------------------------------
flags="-std=c++20 -O2 -fPIC -fno-rtti -ffunction-sections -fdata-sections -w -include cstdint
-DNDEBUG=1 -DLZ4=1 -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION
-DOS_LINUX -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT
-DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT"
case $host in
x86_64-*) flags="$flags -msse2" ;;
esac
flags=$(printf '%s' "$flags" | tr '\n' ' ')

# --- Already there? ----------------------------------------------------------------------------
# Another compiler, another flag or another recipe makes another folder.
fingerprint=$({ "$CXX" --version; printf '%s\n' "$host" "$flags" "$RECIPE"; } | cksum | cut -d ' ' -f 1)
cache=${KEYLINE_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/keyline}
final="$cache/rocksdb-$version-$fingerprint"
if [ -f "$final/librocksdb.a" ]; then
	printf '%s\n' "$final"
	exit 0
fi

[ "${1:-}" != --print ] || die "no archive in $final; run $0 without --print first"

# --- Build aside, then rename: a folder with the final name is always whole --------------------
mkdir -p "$cache"
work=$(mktemp -d "$cache/.building.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
say "building RocksDB $version with $JOBS jobs; a few minutes, once"

# Neighbours in the list are cut into groups of equal length. build_version.cc is the crate's own.
grep -v '^util/build_version\.cc$' "$sys/rocksdb_lib_sources.txt" | sed '/^[[:space:]]*$/d' >"$work/sources"
count=$(wc -l <"$work/sources")
per=$(((count + GROUPS_WANTED - 1) / GROUPS_WANTED))
awk -v dir="$work" -v root="$sys/rocksdb" -v per="$per" '
	{ printf "#include \"%s/%s\"\n", root, $0 >sprintf("%s/unity%02d.cc", dir, int((NR - 1) / per)) }
' "$work/sources"
cp "$sys/build_version.cc" "$work/version.cc"

cat >"$work/compile" <<'COMPILE'
#!/bin/sh
# Compiles one file. A unity file in which the compiler finds two helpers of one name is taken
# apart and its members are compiled alone: slower, never wrong.
one() {
	$CXX $FLAGS -I"$SYS/rocksdb/include" -I"$SYS/rocksdb" -I"$SYS" -I"$LZ4/liblz4/lib" \
		-c "$1" -o "${1%.cc}.o" 2>"${1%.cc}.log"
}
one "$1" && exit 0
rm -f "${1%.cc}.o"
case $1 in
*/unity*) ;;
*) cat "${1%.cc}.log" >&2; exit 255 ;;
esac
echo "librocksdb: $(basename "$1") does not compile as one unit, compiling its members alone" >&2
[ -z "${KEYLINE_VERBOSE:-}" ] || grep -m 8 error "${1%.cc}.log" >&2
number=0
while read -r line; do
	number=$((number + 1))
	single="${1%.cc}-$number.cc"
	printf '%s\n' "$line" >"$single"
	one "$single" || { cat "${single%.cc}.log" >&2; exit 255; }
done <"$1"
COMPILE
chmod +x "$work/compile"
export CXX FLAGS="$flags" SYS="$sys" LZ4="$lz4"
printf '%s\n' "$work"/unity*.cc "$work/version.cc" | xargs -P "$JOBS" -n 1 "$work/compile" || die "the compiler failed"

"$AR" qcs "$work/librocksdb.a" "$work"/*.o
mkdir "$work/out"
mv "$work/librocksdb.a" "$work/out/"
# Whoever built it at the same time and was first has won; both archives are the same.
if ! mv -T "$work/out" "$final" 2>/dev/null; then
	[ -f "$final/librocksdb.a" ] || die "cannot move the archive to $final"
fi
say "built $final/librocksdb.a"
printf '%s\n' "$final"
