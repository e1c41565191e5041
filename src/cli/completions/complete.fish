@MARK@

function __awsb_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program awsb
    # The awsb beside a tool that is called by its path.
    if string match -q '*/*' -- "$words[1]"
        set program (string replace -r '^~/' "$HOME/" -- "$words[1]" | string replace -r '[^/]*$' awsb)
    end
    set -l names nothing
    set -l lines
    if command -q $program
        set lines (command $program __complete fish (count $words) $words "$current" </dev/null 2>/dev/null)
    else
        # Without awsb, the command line is another program's, or nobody's.
        set names files
    end
    for line in $lines
        if string match -q 'names:*' -- $line
            set names (string replace 'names:' '' -- $line)
        else
            printf '%s\n' $line
        end
    end
    # The path in `--option=PATH`.
    set -l before (string match -r '^--[^=]*=' -- "$current")
    set -l path (string replace -r '^--[^=]*=' '' -- "$current")
    switch $names
        case commands
            test -n "$path"; and __fish_complete_command
            __fish_complete_path "$path" | string replace -r '^' -- "$before"
        case files
            __fish_complete_path "$path" | string replace -r '^' -- "$before"
        case folders
            __fish_complete_directories "$path" '' | string replace -r '^' -- "$before"
    end
end

for program in @PROGRAMS@
    complete --command $program --no-files --keep-order --arguments '(__awsb_complete)'
end
