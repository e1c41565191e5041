"""AWS Batch from the shell. The tools are programs; this package only finds them.

`python -m awsb stat` is `bstat`.
"""

import os
import sys
import sysconfig


def find_program():
    """The path of the program `awsb` that was installed with this package."""
    name = "awsb" + sysconfig.get_config_var("EXE")
    schemes = [None, sysconfig.get_preferred_scheme("user")] if sys.version_info >= (3, 10) else [None]
    folders = [sysconfig.get_path("scripts", scheme) if scheme else sysconfig.get_path("scripts") for scheme in schemes]
    # `pip install --target FOLDER` puts the programs into FOLDER/bin.
    folders.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin"))
    for folder in folders:
        program = os.path.join(folder, name)
        if os.path.isfile(program):
            return program
    raise FileNotFoundError("the program awsb is in none of " + ", ".join(folders))
