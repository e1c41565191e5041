#!/bin/sh
# The image's packages and its user, in one step of the Dockerfile: what is thrown away again leaves
# no layer.
set -eu
export DEBIAN_FRONTEND=noninteractive

# What nobody reads in a container: 26 MB of examples for `aws help`, manuals, translations.
cat >/etc/dpkg/dpkg.cfg.d/awsb <<'END'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
path-exclude /usr/lib/python3/dist-packages/awscli/examples/*
END

apt-get update -q

# Open MPI's transports are linked with AMD's GPU libraries, and those with a compiler of 240 MB. An
# empty package that provides them keeps them out; the transport that would load them is left out
# when they are missing.
stub=$(mktemp -d)
mkdir "$stub/DEBIAN"
rocm=$(apt-cache depends libucx0 | sed -n 's/^ *Depends: \(libamdhip64.*\|libhsa-runtime64.*\)$/\1/p')
provides=''
for package in $rocm; do
    version=$(apt-cache policy "$package" | sed -n 's/^ *Candidate: //p')
    provides="${provides:+$provides, }$package (= $version)"
done
if [ "$provides" ]; then
    cat >"$stub/DEBIAN/control" <<END
Package: awsb-no-rocm
Version: 1
Architecture: all
Maintainer: awsb
Provides: $provides
Description: stands for the AMD GPU libraries that this image does without
END
    dpkg-deb --build --root-owner-group "$stub" "$stub.deb"
    dpkg --install "$stub.deb"
fi
rm -rf "$stub" "$stub.deb"

# EFS is mounted by NFS 4.1: Debian does not have amazon-efs-utils, and AWS documents the way
# without it (EFS User Guide, "Mounting with NFS"). Compilers are not in here; libopenmpi-dev is for
# an image that builds.
apt-get install -q -y --no-install-recommends \
    awscli ca-certificates curl nfs-common openmpi-bin openssh-client openssh-server python3 tini
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/cache/debconf/*-old
# Debian makes keys when it installs sshd: the same ones in every container would protect nobody.
rm -f /etc/ssh/ssh_host_*
useradd --create-home --uid 1000 --user-group --shell /bin/bash --comment 'awsb job' awsb
# sshd lets nobody in whose password is locked (`!`); `*` is no password either.
usermod --password '*' awsb
# Where sshd as root locks itself up before it knows who comes.
mkdir -p /run/sshd
# Nodes that come too early come again, and are no attackers. Before OpenSSH 9.8 sshd punished
# nobody, and takes no option about it (before 9.3, nor -G).
: >/etc/ssh/awsb_sshd.conf
if /usr/sbin/sshd -G -f /dev/null 2>/dev/null | grep -q '^persourcepenalties '; then
    echo 'PerSourcePenalties no' >/etc/ssh/awsb_sshd.conf
fi
# `ssh ADDRESS` in a job's script reaches another node, once the nodes are there.
echo 'Include /dev/shm/awsb-nodes/hosts_config' >/etc/ssh/ssh_config.d/awsb.conf
