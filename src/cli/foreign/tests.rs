use clap::{CommandFactory, Parser};
use proptest::prelude::*;

use super::*;
use crate::cli::{bexec, bhosts, bkill, bout, bqueues, bstat, bwait, legacy, manual, optional_values};

type BsubArgs = crate::cli::bsub::Args;

fn command(tool: &str) -> Command {
    manual::with_options(match tool {
        "bsub" => BsubArgs::command(),
        "bexec" => bexec::Args::command(),
        "bstat" => bstat::Args::command(),
        "bkill" => bkill::Args::command(),
        "bout" => bout::Args::command(),
        "bwait" => bwait::Args::command(),
        "bqueues" => bqueues::Args::command(),
        _ => bhosts::Args::command(),
    })
}

const CONTEXT: Context<'static> =
    Context { is_cluster: &|name| !name.starts_with('4'), is_set: &|name| name == "ERRORS" };

/// The message about a command line: from the check, or else from clap with its hint.
fn outcome_of(words: &[&str]) -> Result<Option<String>, Failure> {
    let tool = words[0].to_owned();
    let command = command(&tool);
    let words = legacy::rewrite(&command, words.iter().map(OsString::from));
    let note = check(&command, &words, &CONTEXT)?;
    let words = optional_values::join(&command, words);
    match command.try_get_matches_from(words) {
        Ok(_) => Ok(note),
        Err(error) => {
            let text = error.render().to_string();
            let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
            let failure = Failure::usage(first.split_whitespace().collect::<Vec<_>>().join(" "));
            Err(hint_for(&tool, &error).into_iter().fold(failure, Failure::hint))
        }
    }
}

/// The words of a command line in a test: a blank separates words, and `_` is a blank within a
/// word.
fn words(line: &str) -> Vec<String> {
    line.split(' ').map(|word| word.replace('_', " ")).collect()
}

fn message_for(line: &str) -> Result<Option<String>, Failure> {
    let words = words(line);
    outcome_of(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A value for each option of bsub with a letter and a value, as docs/bsub.md has them.
const DOCUMENTED: [(char, &[&str]); 15] = [
    ('J', &["sum", "n", "d"]),
    ('p', &["4", "1", "0.5"]),
    ('m', &["64M", "4G", "512"]),
    ('g', &["1"]),
    ('n', &["2"]),
    ('e', &["SAMPLE,POEM", "LIST=a,b", "all", "A=x.txt", "OUT=%J"]),
    ('i', &["data", "extra.txt:four.txt", "."]),
    ('o', &["*.txt", "results", "sum.csv", "a%20b", "x/*.log"]),
    ('w', &["/scratch/x", "work/x", "./x", "/data/run[1]"]),
    ('a', &["2", "10000"]),
    ('d', &["8f2c", "afterok:8f2c", "n_to_n:8f2c", "sequential", "jobId=8f2c,type=N_TO_N"]),
    ('q', &["local", "genomics"]),
    ('r', &["3"]),
    ('t', &["90m", "2h", "5400", "1-12:00:00"]),
    ('c', &["local", "hpc"]),
];
/// The options without a value, which can come before the others in one word.
const FLAGS: [char; 2] = ['K', 'I'];

#[test]
fn options_of_docker_exec_have_another_way() {
    let hints = |line: &str| message_for(line).unwrap_err().hints().join(" ");
    for (line, hint) in [
        ("bexec -it 8f2c bash", "leave -i out"),
        ("bexec 8f2c -it bash", "leave -i out"),
        ("bexec -u me 8f2c id", "su USER"),
        ("bexec --user=me 8f2c id", "su USER"),
        ("bexec 8f2c -w /data ls", "cd DIR"),
        ("bexec -e A=1 8f2c env", "env NAME=VALUE"),
        ("bexec -d 8f2c sleep 1", "nohup"),
        ("bexec --tty 8f2c", "`-t`"),
    ] {
        assert!(hints(line).contains(hint), "{line}: {}", hints(line));
    }
    // All of these belong to the command.
    for line in ["bexec 8f2c ls -it", "bexec 8f2c -t -- ls --all", "bexec 8f2c grep -e a -u", "bexec -t 8f2c"]
    {
        assert_eq!(message_for(line), Ok(None), "{line}");
    }
}

#[test]
fn a_terminal_of_a_job_needs_the_wait_for_it() {
    let failure = message_for("bsub --pty bash").unwrap_err();
    assert_eq!(failure.hints(), ["`bsub -I --pty COMMAND` runs a command on this terminal"]);
}

#[test]
fn every_documented_form_keeps_its_meaning() {
    let command = command("bsub");
    let letters = command.get_arguments().filter_map(|arg| Some((arg.get_short()?, arg)));
    for (letter, arg) in letters.filter(|(letter, _)| !['h', 'V'].contains(letter)) {
        let Some((_, values)) = DOCUMENTED.iter().find(|(one, _)| *one == letter) else {
            assert!(FLAGS.contains(&letter), "-{letter} has no value in this test");
            continue;
        };
        for value in *values {
            let forms = [
                vec![format!("-{letter}"), (*value).to_owned()],
                vec![format!("-{letter}={value}")],
                vec![format!("-KI{letter}"), (*value).to_owned()],
                vec![format!("-{letter}{value}")],
                vec![format!("-KI{letter}{value}")],
            ];
            for form in forms {
                let line: Vec<&str> =
                    ["bsub"].into_iter().chain(form.iter().map(String::as_str)).chain(["true"]).collect();
                // A letter with its value can be an option of LSF: `-Jd`, `-is`.
                if form[0]
                    .strip_prefix('-')
                    .is_some_and(|name| about_lsfs(name).is_some_and(|_| name.len() > 1))
                {
                    assert!(outcome_of(&line).is_err(), "{form:?}");
                    continue;
                }
                let parsed = BsubArgs::try_parse_from(&line).map(|_| ());
                assert!(parsed.is_ok(), "{form:?}: {parsed:?}");
                if let Err(failure) = outcome_of(&line) {
                    panic!(
                        "{form:?} is documented as {:?}, and refused: {}",
                        arg.get_id(),
                        failure.message()
                    );
                }
            }
        }
    }
}

#[test]
fn what_the_documentation_shows_is_not_refused() {
    let page = include_str!("../../../docs/bsub.md");
    let (mut seen, mut is_code) = (0, false);
    for line in page.lines() {
        if let Some(fence) = line.strip_prefix("```") {
            is_code = fence == "sh" || fence == "console";
            continue;
        }
        let line = line.trim_start_matches("$ ");
        let Some(at) = line.find("bsub ").filter(|_| is_code) else { continue };
        // Enough of a shell: quotes hold words together, and `|`, `<`, `>`, `)` end the command.
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for c in line[at..].chars() {
            match (c, quote) {
                ('\'' | '"', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                (' ', None) => words.push(std::mem::take(&mut word)),
                ('|' | '<' | '>' | ')' | ';' | '#', None) => break,
                (c, _) => word.push(c),
            }
        }
        words.push(word);
        words.retain(|word| !word.is_empty());
        seen += 1;
        let command = command("bsub");
        let rewritten = legacy::rewrite(&command, words.iter().map(OsString::from));
        if let Err(failure) = check(&command, &rewritten, &CONTEXT) {
            panic!("{line}: {}", failure.message());
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn old_options_and_bundles_of_ours() {
    for line in [
        "bsub -jn x -cf -if a:b -pw /x -eb A -e all job.sh",
        "bsub -KI -p4 -t90m job.sh",
        "bsub -Ip 4 job.sh",
        "bsub -Ip4 job.sh",
        "bsub -KIp 4 job.sh",
        "bsub -Kn2 -p1 job.sh",
        "bsub -Jname -m4G -g1 -qlocal -r3 job.sh",
        // The words behind the first operand belong to the job.
        "bsub job.sh -oo f -w done(8f2c) -R x --test-only",
        "bsub --wrap true",
        "bsub -- -oo f",
        "bsub -w /data/done(x) job.sh",
        "bsub -e ERRORS job.sh",
        "bsub -n 2 -p 1 job.sh",
        "bsub -a 1000 job.sh",
        "bsub --nodes 4 --array-size 5 --timeout 90 --working-dir node01 job.sh",
        "bstat -d 8f2c",
        "bstat -w5 -s RUNNING,FAILED -o jobId,status",
        "bkill -r no_longer_needed 8f2c",
        "bout -f 8f2c",
    ] {
        let noted = message_for(line);
        assert!(
            matches!(noted, Ok(None)),
            "{line}: {:?}",
            noted.map_err(|failure| failure.message().to_owned())
        );
    }
}

#[test]
fn one_note_where_both_readings_are_plausible() {
    let lines = [
        "bsub -n 4 job.sh",
        "bsub -n4 -t 90 -a 5 job.sh",
        "bsub -a 1 job.sh",
        "bsub -w node01 job.sh",
        "bsub -e errors -o out.txt job.sh",
        "bsub -o logs/err job.sh",
        "bsub -KIt 5400 job.sh",
    ];
    let messages = lines.map(|line| match message_for(line) {
        Ok(Some(note)) => format!("{line}\n  {note}"),
        other => panic!("{line}: {:?}", other.map_err(|failure| failure.message().to_owned())),
    });
    insta::assert_snapshot!(messages.join("\n"));
}

const ID: &str = "8f2c0d3e-1111-4222-8333-444455556666";

#[test]
fn all_refusals() {
    let mut lines: Vec<String> = [
        "bsub -w done(8f2c0d3e) job.sh",
        "bsub -wdone(12) job.sh",
        "bsub -w done(align*)_&&_done(\"sort\") job.sh",
        "bsub -w done(align[*]) job.sh",
        "bsub -w ended(8f2c0d3e) job.sh",
        "bsub -w numdone(align,*) job.sh",
        "bsub -w align_&&_sort job.sh",
        "bsub -w done(a)_||_exit(b) job.sh",
        "bsub -w node[01-04] job.sh",
        "bsub -n 4 -o out.%J -J x job.sh",
        "bsub -KIo out.%J job.sh",
        "bsub -o slurm-%A_%a.out job.sh",
        "bsub -e err.%I job.sh",
        "bsub -e err.txt job.sh",
        "bsub -oo f job.sh",
        "bsub -eo f job.sh",
        "bsub -env all CMD",
        "bsub -env=all CMD",
        "bsub -cwd /x job.sh",
        "bsub -app p job.sh",
        "bsub -Is bash",
        "bsub -Ip bash",
        "bsub -gpu num=1 job.sh",
        "bsub -J x[1-3] job.sh",
        "bsub -J x[1-10:2]%4 job.sh",
        "bsub -J [1-x] job.sh",
        "bsub -a 1-10 job.sh",
        "bsub -a 1,2,5-7 job.sh",
        "bsub -a 0-9%2 job.sh",
        "bsub -q a,b job.sh",
        "bsub -q a_b job.sh",
        "bsub -p gpu job.sh",
        "bsub -c 4 job.sh",
        "bsub -t 30 job.sh",
        "bsub -n 2,4 job.sh",
        "bsub -g /group job.sh",
        "bsub -g a100:2 job.sh",
        "bsub -m host1 job.sh",
        "bsub -r job.sh",
        "bsub -W 1:30 job.sh",
        "bsub -W job.sh",
        "bsub -M 4GB job.sh",
        "bsub -M 4000 job.sh",
        "bsub -R rusage[mem=4000] job.sh",
        "bsub -N 4 job.sh",
        "bsub -D /x job.sh",
        "bsub -P proj job.sh",
        "bsub -G 2 job.sh",
        "bsub -KN2 job.sh",
        "bsub --test-only job.sh",
        "bsub --name x job.sh",
        "bsub --gres=gpu:1 job.sh",
        "bsub --export=ALL job.sh",
        "bsub --nodelist=n1 job.sh",
        "bstat -s PD",
        "bstat -s PEND,RUN",
        "bstat -s DONE",
        "bstat -o %i_%j",
        "bkill 0",
        "bkill -s KILL 8f2c",
        "bkill -s 9 8f2c",
        "bkill -9 last",
        "bkill -USR1 last",
        "bout -n 5 last",
        "bout --tail x last",
        "bsub -np 4 job.sh",
        "bsub -x sleep 1",
        "bsub -H job.sh",
        "bsub -N job.sh",
        "bsub --begin=20:00 job.sh",
        "bsub -d done(prep) job.sh",
        "bsub -d prep*,sort job.sh",
    ]
    .map(str::to_owned)
    .into();
    lines.push(format!("bkill -r {ID}"));
    lines.push(format!("bsub -w done({ID}) job.sh"));
    for tool in tables::TOOLS {
        let letters: Vec<char> = tables::letters(tool).collect();
        lines.extend(letters.iter().map(|letter| format!("{tool} -{letter} x")));
        // Our letters keep our meaning.
        let command = command(tool);
        let ours: Vec<&char> = letters.iter().filter(|letter| short(&command, **letter).is_some()).collect();
        assert_eq!(ours, Vec::<&char>::new(), "{tool}");
        let longs = tables::LONG.iter().filter(|(tools, ..)| tools.contains(&tool));
        lines.extend(longs.map(|(_, name, _)| format!("{tool} --{name}")));
    }
    lines.extend(tables::lsf_words().map(|word| format!("bsub -{word} x")));
    lines.dedup();
    let messages = lines.iter().map(|line| {
        let failure = match message_for(line) {
            Err(failure) => failure,
            Ok(note) => panic!("{line} is not refused: {note:?}"),
        };
        assert!(
            !failure.hints().is_empty() && failure.hints().iter().all(|hint| !hint.is_empty()),
            "{line}: no hint"
        );
        assert_eq!(failure.exit().code(), 2, "{line}");
        format!("{line}\n  {}\n  {}\n", failure.message(), failure.hints().join("\n  "))
    });
    insta::assert_snapshot!(messages.collect::<String>());
}

proptest! {
    #[test]
    fn documented_options_in_any_order_are_never_refused(
        chosen in proptest::sample::subsequence((0..DOCUMENTED.len()).collect::<Vec<_>>(), 0..8).prop_shuffle(),
        which in 0_usize..5,
        form in 0_usize..3,
        flags in "(K|I|KI)?",
    ) {
        let mut line = vec!["bsub".to_owned()];
        for at in chosen {
            let (letter, values) = DOCUMENTED[at];
            let value = values[which % values.len()];
            match form {
                0 => line.extend([format!("-{letter}"), value.to_owned()]),
                // Two letters can be an option of LSF.
                1 if value.len() > 1 => line.push(format!("-{letter}{value}")),
                _ => line.push(format!("-{letter}={value}")),
            }
        }
        line.extend((!flags.is_empty()).then(|| format!("-{flags}")));
        line.push("true".to_owned());
        let words: Vec<OsString> = line.iter().map(OsString::from).collect();
        prop_assert!(check(&command("bsub"), &words, &CONTEXT).is_ok(), "{:?}", line);
    }

    #[test]
    fn nothing_panics(words in proptest::collection::vec("[-]{0,2}[a-zA-Z%\\[\\]()&0-9=,:é]{0,8}", 0..6)) {
        for tool in tables::TOOLS {
            let words: Vec<OsString> = [tool.to_owned()].iter().chain(&words).map(OsString::from).collect();
            let _ = check(&command(tool), &words, &CONTEXT);
        }
    }
}
