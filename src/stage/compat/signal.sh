# shellcheck shell=sh
# Before its time is up the job gets a signal: $_ai is what kill takes, $_an how many seconds after now, $_at who gets it.
# What waits for that is nobody's child, so that no `wait` of the script's waits for it, and it holds no output open.
(
  {
    sleep "$_an"
    case $_at in
    script) kill "$_ai" $$ ;;
    all) kill "$_ai" 0 ;;
    steps)
      for _at in "$_ad"/.awsb-slurm/step.*; do
        [ ! -e "$_at" ] || kill "$_ai" "${_at##*.}"
      done
      ;;
    esac
  } </dev/null >/dev/null 2>&1 &
)
