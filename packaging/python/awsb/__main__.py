import os
import sys

from awsb import find_program


def fail(message):
    sys.exit(f"awsb: error: {message}\nhint: install the package awsb again")


try:
    program = find_program()
except FileNotFoundError as error:
    fail(error)
try:
    os.execv(program, [program, *sys.argv[1:]])
except OSError as error:
    fail(f"executing {program}: {error.strerror}")
