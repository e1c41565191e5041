# shellcheck shell=bash
@MARK@

_awsb_complete() {
    local program=awsb shell=bash names=nothing line current=$2
    # The awsb beside a tool that is called by its path.
    case $1 in
    [~]/*) program=$HOME${1#'~'} && program=${program%/*}/awsb ;;
    */*) program=${1%/*}/awsb ;;
    esac
    # A menu inserts candidates as they are listed.
    case $COMP_TYPE in 37 | 42) shell=bash-menu ;; esac
    COMPREPLY=()
    if type -P "$program" >/dev/null; then
        while IFS= read -r line; do
            if [[ $line == names:* ]]; then names=${line#names:}; else COMPREPLY+=("$line"); fi
        done < <("$program" __complete "$shell" "$COMP_CWORD" "${COMP_WORDS[@]}" </dev/null 2>/dev/null)
    else
        # Without awsb, the command line is another program's, or nobody's. awsb is not called: bash
        # would give a missing program to `command_not_found_handle`, which may print or install it.
        names=files
    fi
    case $names in
    commands | files)
        if [[ $names == commands && -n $current ]]; then
            while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -c -- "$current")
        fi
        while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
        compopt -o filenames 2>/dev/null
        ;;
    folders)
        while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -d -- "$current")
        compopt -o filenames 2>/dev/null
        ;;
    *) [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *[=:,] ]] || compopt -o nospace 2>/dev/null ;;
    esac
}

# Before 4.4, bash sorts the candidates.
complete -o nosort -F _awsb_complete @PROGRAMS@ 2>/dev/null || complete -F _awsb_complete @PROGRAMS@
