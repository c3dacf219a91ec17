import type { EtcText } from './files.ts';

/**
 * The closure's activation, POSIX sh, for a root that may not be `/`. `/etc/static` is switched in one step, each file
 * of /etc is a link through it; links of the closure before that nothing provides any more go.
 */
export function renderActivate(files: readonly EtcText[]): string {
  const linked = files.filter((file) => file.mode === undefined).map((file) => file.path);
  const copied = files.filter((file) => file.mode !== undefined);
  const copies = copied.map((file) => `copy ${quote(file.path)} ${quote(file.mode ?? '0644')}`);
  return `#!/bin/sh
# Makes the host at NIXFLEET_ROOT what this closure says. Written by NixFleet; safe to run again.
set -eu
root="\${NIXFLEET_ROOT:-}"
toplevel="\${NIXFLEET_TOPLEVEL:?}"
base="\${toplevel##*/}"
etc="$root/etc"
state="$root/var/lib/nixfleet"
mkdir -p "$etc" "$state" "$root/run"

# replace LINK TARGET: readers see the old link or the new one.
replace() {
  rm -f "$1.nixfleet-next"
  ln -s "$2" "$1.nixfleet-next"
  mv -Tf "$1.nixfleet-next" "$1" 2>/dev/null || { rm -f "$1"; mv -f "$1.nixfleet-next" "$1"; }
}

# provide PATH UP: /etc/PATH is a link through /etc/static, UP leads from its directory to /etc.
provide() {
  mkdir -p "$etc/$(dirname "$1")"
  if [ -e "$etc/$1" ] && [ ! -L "$etc/$1" ]; then mv -f "$etc/$1" "$etc/$1.before-nixfleet"; fi
  [ "$(readlink "$etc/$1" 2>/dev/null || true)" = "$2static/$1" ] || replace "$etc/$1" "$2static/$1"
}

# copy PATH MODE: a file that must not be a link.
copy() {
  mkdir -p "$etc/$(dirname "$1")"
  cp -L "$root/nix/store/$base/etc/$1" "$etc/$1.nixfleet-next"
  chmod "$2" "$etc/$1.nixfleet-next"
  mv -f "$etc/$1.nixfleet-next" "$etc/$1"
}

replace "$etc/static" "../nix/store/$base/etc"
${linked.map((path) => `provide ${quote(path)} ${quote('../'.repeat(path.split('/').length - 1))}`).join('\n')}
${copies.join('\n')}

cat >"$state/etc-files.next" <<'NIXFLEET_FILES'
${files.map((file) => file.path).join('\n')}
NIXFLEET_FILES
if [ -f "$state/etc-files" ]; then
  while IFS= read -r file; do
    if ! grep -qxF -- "$file" "$state/etc-files.next"; then rm -f "$etc/$file"; fi
  done <"$state/etc-files"
fi
mv -f "$state/etc-files.next" "$state/etc-files"
replace "$root/run/current-system" "../nix/store/$base"
`;
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
