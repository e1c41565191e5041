# shellcheck shell=sh
# For --working-dir and --parent-working-dir: $_aw is where the job runs.
mkdir -p -- "$_aw" || _af "cannot make the working directory $_aw"
CDPATH="" cd -- "$_aw" || _af "cannot enter the working directory $_aw"
