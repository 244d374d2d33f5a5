#!/bin/bash
# postgres.sh FOLDER: makes PostgreSQL 18 with the DocumentDB extension in the folder, and a template of its data, which
# main.go copies for each server. From Debian's packages, which are extracted and not installed, by an apt of its own with
# the machine's mirror, keys and options. Needs no root; as root, PostgreSQL runs as another user.
set -euo pipefail
export LC_ALL=C.UTF-8 PATH="$PATH:/usr/sbin:/sbin"
umask 022

# Nothing older or more stable has the extension. Debian removes superseded versions, so none is named.
suite=forky
keys=/usr/share/keyrings/debian-archive-keyring.gpg
say() { echo "documentdb: $*"; }
fail() { echo "documentdb: $*" >&2; exit 1; }

[ $# = 1 ] || { echo 'usage: postgres.sh FOLDER' >&2; exit 2; }
mkdir -p "$(dirname "$1")"
out=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
for tool in apt-get dpkg-deb flock setpriv; do
  command -v "$tool" >/dev/null || fail "'$tool' is missing: this needs Debian's apt, dpkg and util-linux"
done
[ "$(dpkg --print-architecture)" = amd64 ] || fail 'this is no amd64 machine'
[ -r "$keys" ] || fail "$keys is missing: it comes with the package debian-archive-keyring"
exec 9> "$(dirname "$out")/.lock-postgres"
flock -n 9 || { say 'waiting for another installation'; flock 9; }
[ ! -e "$out" ] || { say 'made by another process'; exit 0; }

as=() home=$out
work=$(dirname "$out")/making-postgres
if [ "$(id -u)" = 0 ]; then
  as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  # The other user could not reach a checkout that only root can enter; a link goes there then.
  if ! "${as[@]}" test -x "$(dirname "$out")"; then
    home=$(mktemp -d /var/tmp/copse-documentdb-XXXXXX)
    chmod 755 "$home"
    work=$home/making home=$home/whole
  fi
fi
rm -rf "$work"
prefix=$work/whole all=$work/all
mkdir -p "$prefix" "$work"/state/lists/partial "$work"/cache/archives/partial "$work"/etc/{sources.list.d,preferences.d}
trap 'rm -rf "$work"' EXIT

# ---- Packages
mirrors=$(apt-get indextargets --format '$(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
  awk '$1 == "main" && $2 ~ /\/debian\/?$/ && !seen[$2]++ { print $2 }')
[ -n "$mirrors" ] || fail 'no mirror of Debian is configured'
cp -r /etc/apt/apt.conf.d "$work/etc/" 2>/dev/null || true
for file in apt.conf auth.conf auth.conf.d; do cp -r "/etc/apt/$file" "$work/etc/" 2>/dev/null || true; done
: > "$work/state/status"
cat > "$work/first.conf" <<S
Dir::Etc "$work/etc";
Dir::State "$work/state";
Dir::State::status "$work/state/status";
Dir::Cache "$work/cache";
APT::Architecture "amd64";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
S
# The machine's own hooks are about its own lists.
cat > "$work/last.conf" <<S
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
S
apt() { APT_CONFIG=$work/first.conf apt-get -q -c "$work/last.conf" "$@"; }
update() {
  local mirror
  for mirror in $mirrors; do
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nArchitectures: amd64\nSigned-By: %s\n' \
      "$mirror" "$suite" "$keys" > "$work/etc/sources.list.d/suite.sources"
    # A list that cannot be had is but a warning, after which nothing would be found.
    if apt update && apt --print-uris download postgresql-18-documentdb >/dev/null; then return; fi
  done
  fail "no mirror of Debian here has the package postgresql-18-documentdb of $suite"
}
say "reading the package lists of $suite"
update
say 'downloading the packages'
apt -y --download-only install postgresql-18 postgresql-18-documentdb

# ---- PostgreSQL, its extensions, and the libraries that they load
say 'extracting'
mkdir -p "$all"/usr/{lib,lib64,bin,sbin}
for name in bin sbin lib lib64; do ln -s "usr/$name" "$all/$name"; done
for package in "$work"/cache/archives/*.deb; do
  # Patterns that are not in a package make tar fail, and no package has them all.
  dpkg-deb --fsys-tarfile "$package" | tar -x --no-same-owner --keep-directory-symlink -f - -C "$all" --wildcards \
    './usr/lib/x86_64-linux-gnu/*.so*' './usr/lib64/*' './lib/x86_64-linux-gnu/*.so*' './lib64/*' \
    './usr/lib/postgresql/18/bin/postgres' './usr/lib/postgresql/18/bin/initdb' './usr/lib/postgresql/18/lib/*.so' \
    './usr/share/postgresql/18/*' 2>/dev/null || true
done
libraries=$all/usr/lib/x86_64-linux-gnu
# The blas and lapack libraries lie in folders of their own, which the packages' scripts would link.
search=$libraries:$all/usr/lib/postgresql/18/lib:$(find "$libraries" -mindepth 1 -maxdepth 1 -type d | paste -sd:)
# The same distances between folders as in /usr: PostgreSQL finds its files from its program's.
pg=$prefix/postgresql
mkdir -p "$prefix/lib" "$pg"/lib/postgresql/18/{bin,lib} "$pg/share/postgresql"
cp "$all"/usr/lib/postgresql/18/bin/{postgres,initdb} "$pg/lib/postgresql/18/bin/"
cp -r "$all/usr/share/postgresql/18" "$pg/share/postgresql/"
for name in "$all"/usr/lib/postgresql/18/lib/*.so; do
  case ${name##*/} in
    llvmjit* | postgis_* | libpqwalreceiver* | *_distributed.so) ;;
    *) cp "$name" "$pg/lib/postgresql/18/lib/" ;;
  esac
done
# What the scripts of postgresql-18-postgis-3-scripts do by update-alternatives.
ln -sf postgis-3.control "$pg/share/postgresql/18/extension/postgis.control"
loader=$libraries/ld-linux-x86-64.so.2
for file in "$pg"/lib/postgresql/18/{bin,lib}/*; do
  "$loader" --library-path "$search" --list "$file" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 }'
done | sort -u | { grep "^$libraries/" || true; } | while read -r library; do cp -L "$library" "$prefix/lib/"; done
cp -L "$loader" "$prefix/lib/"
# Both run by the loader and the libraries of the packages, which are newer than the machine's, wherever they lie.
wrap() { # wrap PROGRAM NAME: PROGRAM, which takes itself for NAME
  cat > "$prefix/$1" <<S
#!/bin/sh
here=\$(cd "\${0%/*}" && pwd)
exec "\$here/lib/ld-linux-x86-64.so.2" --library-path "\$here/lib:\$here/postgresql/lib/postgresql/18/lib" \\
  --argv0 "\$here/$2" "\$here/postgresql/lib/postgresql/18/bin/$1" "\$@"
S
  chmod 755 "$prefix/$1"
}
wrap postgres postgresql/lib/postgresql/18/bin/postgres
# It asks the program postgres beside itself for its version.
wrap initdb initdb

# ---- The template
say 'making the template of the data'
template=$prefix/template
mkdir -m 700 "$template"
[ "$(id -u)" != 0 ] || chown 65534:65534 "$template"
"${as[@]}" "$prefix/initdb" -L "$pg/share/postgresql/18" -D "$template" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
  --wal-segsize=1 -N
"${as[@]}" tee -a "$template/postgresql.conf" >/dev/null <<'S'
listen_addresses = ''
max_connections = 100
shared_buffers = '256MB'
jit = off
shared_preload_libraries = 'pg_cron,pg_documentdb_core,pg_documentdb,pg_documentdb_extended_rum'
cron.database_name = 'postgres'
cron.use_background_workers = on
# Indexes of this kind give what they find in their order; what those of the default kind find is sorted after.
documentdb.alternate_index_handler_name = 'extended_rum'
documentdb.enable_merge_sort_for_in_prefix = on
# A range of _id beside another filter would be answered by two bitmaps and a sort.
enable_bitmapscan = off
# Without it a server that is killed under writes can damage its indexes.
full_page_writes = on
max_wal_size = '256MB'
min_wal_size = '32MB'
S
"${as[@]}" mkdir "$template/pg_documentdb_cursor_files"
printf 'create extension documentdb cascade;\ncreate extension documentdb_extended_rum;\n' |
  "${as[@]}" "$prefix/postgres" --single -D "$template" postgres 2>&1 | tee "$work/template.log"
if grep -E 'ERROR|FATAL' "$work/template.log"; then exit 1; fi
# Renamed at the end, so that what was interrupted is not taken for whole.
mv "$prefix" "$home"
[ "$home" = "$out" ] || ln -sfn "$home" "$out"
