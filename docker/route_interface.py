#!/usr/bin/python3
"""Prints this node's address on the way to another one, its interface there, and the network that it belongs to.

    route_interface.py ADDRESS

What the other one sees may be a router's address.
"""

import fcntl
import ipaddress
import socket
import struct
import sys

# linux/sockios.h
SIOCGIFADDR = 0x8915
SIOCGIFNETMASK = 0x891B


def ask(way, request, interface):
    answer = fcntl.ioctl(way, request, struct.pack("256s", interface.encode()))
    return socket.inet_ntoa(answer[20:24])


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
    way.connect((sys.argv[1], 9))
    own = way.getsockname()[0]
    name, network = "-", own
    for _, interface in socket.if_nameindex():
        try:
            if ask(way, SIOCGIFADDR, interface) == own:
                mask = ask(way, SIOCGIFNETMASK, interface)
                name, network = interface, ipaddress.ip_network(f"{own}/{mask}", strict=False)
        except OSError:
            # It has no address.
            continue
print(own, name, network)
