# shellcheck shell=sh
# Prelude of --commands: the line is what runs.
set -- /bin/sh -c "$AWSB_TASK_LINE" sh
