import os
import sys

from awsb import find_program

try:
    program = find_program()
except FileNotFoundError as error:
    sys.exit(f"awsb: error: {error}\nhint: install the package awsb again")
os.execv(program, [program, *sys.argv[1:]])
