#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=3600
# On a bare Debian 12 the package is installed, an image of Debian is added, the service
# started, and a machine without a disk boots from it.  (tests/net/package.sh looks at the
# package itself.)
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"
# shellcheck source=tests/lib/debian.sh
. "$boot_lib/debian.sh"

need_root
package=$("$boot_lib/package.sh")
system=$("$boot_lib/image.sh" server)
image=$("$boot_lib/image.sh")
net_up
debian_up "$system" "$package:/srv/package" "$image:/srv/debian"
debian_apt install --no-install-recommends "/srv/package/$(basename "$package"/rootstock_*.deb)" \
	pxelinux syslinux-common
"$rootstock" image add debian /srv/debian
debian_run sed -i 's/^#interface = .*/interface = br0/' /etc/rootstock.conf
boot_host north mode=tmpfs
boot_before=$(image_digest "$image")
debian_start
qemu_start north "$boot_mac"
boot_check
equal "init" systemd "$(selfcheck_value north init)"
debian_story "$boot_mac" north
