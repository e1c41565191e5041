#compdef @PROGRAMS@
@MARK@

_awsb_complete() {
    local program=awsb first=${(Q)words[1]} names=nothing line
    local -a before candidates partial
    # The awsb beside a tool that is called by its path.
    first=${first/#\~\//$HOME/}
    [[ $first == */* ]] && program=${first:h}/awsb
    before=("${(@Q)words[1,CURRENT-1]}")
    if whence -p -- "$program" >/dev/null; then
        while IFS= read -r line; do
            case $line in
            names:*) names=${line#names:} ;;
            # More is typed behind such a word.
            *[=:,]|*[=:,]:*) partial+=("$line") ;;
            *) candidates+=("$line") ;;
            esac
        done < <("$program" __complete zsh $((CURRENT - 1)) "${before[@]}" "${(Q)PREFIX}" </dev/null 2>/dev/null)
    else
        # Without awsb, the command line is another program's, or nobody's. awsb is not called: zsh
        # would give a missing program to `command_not_found_handler`, which may print or install it.
        names=files
    fi
    local answer=1
    (( $#candidates )) && _describe -V 'value' candidates && answer=0
    (( $#partial )) && _describe -V 'value' partial -S '' && answer=0
    # The path in `--option=PATH`.
    [[ $names != nothing && $PREFIX == --*=* ]] && compset -P '*='
    case $names in
    commands) _alternative 'commands:command:_command_names -e' 'files:file:_files' && answer=0 ;;
    files) _files && answer=0 ;;
    folders) _files -/ && answer=0 ;;
    esac
    return answer
}

# A file in fpath is the function itself; elsewhere the function is registered.
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
    _awsb_complete "$@"
else
    compdef _awsb_complete @PROGRAMS@
fi
