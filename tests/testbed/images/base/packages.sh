#!/bin/sh
# Run inside the root filesystem that debootstrap made: adds PostgreSQL without a cluster of its own, and rclone, removes
# what no container reads.
set -eu
export DEBIAN_FRONTEND=noninteractive
printf 'path-exclude /usr/share/%s/*\n' doc man info locale > /etc/dpkg/dpkg.cfg.d/slim
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod +x /usr/sbin/policy-rc.d
mkdir -p /etc/postgresql-common
echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
apt-get update
apt-get install -y --no-install-recommends postgresql-15 postgresql-client-15 rclone
# Just-in-time compilation is optional at run time, and its compiler is two thirds of the server's size.
rm -f /usr/lib/*/libLLVM-*.so* /usr/lib/*/libz3.so* /usr/lib/postgresql/15/lib/llvmjit.so
rm -rf /usr/lib/postgresql/15/lib/bitcode
rm -f /usr/sbin/policy-rc.d
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/* /tmp/*
for folder in doc man info locale lintian; do
  find "/usr/share/$folder" -mindepth 1 ! -type d -delete 2>/dev/null || true
done
find / -xdev -name __pycache__ -type d -prune -exec rm -rf {} +
