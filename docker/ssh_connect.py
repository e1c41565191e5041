#!/usr/bin/python3
"""Runs a shell command on this node in the environment that comes through standard input.

    ssh_connect.py COMMAND <(env -0)

What is about the node itself stays as it is here: its index, its credentials' address, its host's name.
"""

import os
import sys

NODES_OWN = (
    b"AWS_BATCH_JOB_ID",
    b"AWS_BATCH_JOB_NODE_INDEX",
    b"AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS",
    b"AWS_CONTAINER_",
    b"AWS_EXECUTION_ENV",
    b"ECS_",
    b"HOME",
    b"HOSTNAME",
    b"LOGNAME",
    b"OLDPWD",
    b"PWD",
    b"SHLVL",
    b"SSH_",
    b"USER",
)


def variables(text):
    return dict(entry.split(b"=", 1) for entry in text.split(b"\0") if b"=" in entry)


def is_nodes_own(name):
    return any(name == own or own.endswith(b"_") and name.startswith(own) for own in NODES_OWN)


with open("/dev/shm/awsb-nodes/environment", "rb") as file:
    environment = variables(file.read())
for name, value in variables(sys.stdin.buffer.read()).items():
    if not is_nodes_own(name):
        environment[name] = value
if b"SLURM_NODEID" in environment:
    environment[b"SLURM_NODEID"] = environment.get(b"AWS_BATCH_JOB_NODE_INDEX", b"0")
nothing = os.open(os.devnull, os.O_RDONLY)
os.dup2(nothing, 0)
os.execve("/bin/sh", ["sh", "-c", sys.argv[1]], environment)
