use std::fmt::Write;

use proptest::prelude::*;

use super::{About, Directives};

/// The directives of a script in a form for tests.
fn shown(script: &str) -> String {
    let found = Directives::read(script.as_bytes());
    let mut text = String::new();
    for directive in &found.options {
        let words: Vec<_> = directive.words.iter().map(|w| w.to_string_lossy()).collect();
        let _ = writeln!(text, "{:3}  {}    <- {}", directive.line, words.join(" "), directive.text);
    }
    for note in &found.notes {
        let _ = writeln!(text, "note: {note}");
    }
    for warning in &found.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    for error in &found.errors {
        let _ = writeln!(text, "error: {error}");
    }
    if let Some(signal) = &found.signal {
        let _ = writeln!(text, "{signal:?}");
    }
    if let Some(shape) = found.slurm {
        let _ = writeln!(text, "{shape:?}");
    }
    if let Some(shape) = found.lsf {
        let _ = writeln!(text, "{shape:?}");
    }
    text
}

/// The words of all options.
fn words(script: &str) -> Vec<String> {
    let found = Directives::read(script.as_bytes());
    assert_eq!(found.errors, [], "{script}");
    found
        .options
        .into_iter()
        .flat_map(|directive| directive.words)
        .filter_map(|w| w.into_string().ok())
        .collect()
}

/// The error about one line, or an empty text.
fn error(line: &str) -> String {
    let found = Directives::read(line.as_bytes());
    found.errors.iter().map(|e| e.reason.clone()).collect::<Vec<_>>().join("; ")
}

#[test]
fn slurm_array_over_files() {
    insta::assert_snapshot!(shown(
        r##"#!/bin/bash -l
#SBATCH --job-name="map reads"     # shows up in squeue
#SBATCH --account=proj_lab
#SBATCH --partition=short,long
#SBATCH --time=1-12:00:00
#SBATCH --array=1-96%16
#SBATCH -c 4
#SBATCH --mem-per-cpu=3900M
#SBATCH --output=logs/%x_%A_%a.out
#SBATCH --error=logs/%x_%A_%a.err
#SBATCH --mail-type=END,FAIL
#SBATCH --mail-user=someone@example.org
##SBATCH --exclusive
# SBATCH --exclusive

module load bwa
#SBATCH --mem=1T
"##
    ));
}

#[test]
fn slurm_mpi() {
    insta::assert_snapshot!(shown(
        "#!/bin/sh\n#SBATCH -J wave -N 2-4 --ntasks-per-node 8 -c2\n#SBATCH --mem=0 --exclusive -t 90\n\
         #SBATCH --constraint='skylake|icelake' --hint=nomultithread --switches=1\nsrun ./wave\n"
    ));
}

#[test]
fn slurm_gpu() {
    insta::assert_snapshot!(shown(
        "#!/bin/bash\n#SBATCH --gres=gpu:a100:2,tmpfs:100G\n#SBATCH --cpus-per-task=8\n#SBATCH --mem=64G\n\
         #SBATCH --requeue --signal=B:USR1@60\n#SBATCH --chdir=/scratch/run\n#SBATCH --export=ALL,SEED=1\n\
         #SBATCH --comment='ImageNet, run #3'\npython train.py\n"
    ));
}

#[test]
fn slurm_dependencies_and_mistakes() {
    insta::assert_snapshot!(shown(
        "#!/bin/bash\n#SBATCH -d afterok:8f2c0d3e-1:8f2c0d3e-2,aftercorr:8f2c0d3e-3\n\
         #SBATCH --dependency=afterany:8f2c0d3e-4\n#SBATCH --dependency=singleton\n#SBATCH --array=5-1\n\
         #SBATCH --ntask=two\n#SBATCH --mem=lots\n#SBATCH --time=2h\n#SBATCH --nonsense=1 -y\n#SBATCH -J 'x\n\
         #SBATCH hetjob\n#SBATCH --test-only\n#SBATCH --mem\n"
    ));
}

#[test]
fn components_of_slurm_have_their_own_sizes() {
    let script = "#!/bin/sh\n#SBATCH -c 8 --mem=4G --gpus=2\n#SBATCH hetjob\n#SBATCH -N 4\n\
                  #SBATCH hetjob\n#SBATCH --gpus=1 --mem=1G -c 2\n";
    let words = words(script);
    let groups: Vec<&str> = words.iter().filter_map(|word| word.strip_prefix("--node-group=")).collect();
    assert_eq!(groups, ["4,vcpus=1,gpus=0", "1,gpus=1,vcpus=2,memory=1024M"]);
    let notes: Vec<String> =
        Directives::read(script.as_bytes()).notes.iter().map(|note| note.reason.clone()).collect();
    assert!(notes.iter().any(|note| note.contains("sets no memory")), "{notes:?}");
    // Where the first component sets nothing, all have the sizes of the job definition.
    let none = self::words("#!/bin/sh\n#SBATCH -N 1\n#SBATCH hetjob\n#SBATCH -N 2\n");
    assert!(none.contains(&"--node-group=2".to_owned()), "{none:?}");
}

#[test]
fn components_of_slurm_that_need_two_kinds_of_machines() {
    let types = |lines: &str| error(&format!("#!/bin/sh\n{lines}"));
    let of = |constraint: &str| format!("#SBATCH -C {constraint}\n");
    let next = "#SBATCH hetjob\n";
    assert!(types(&[&of("a"), next, &of("b")].concat()).contains("(`a` and `b`)"));
    // The first component need not be the one that asks.
    assert!(types(&["#SBATCH -N 1\n", next, &of("a"), next, &of("b")].concat()).contains("(`a` and `b`)"));
    assert_eq!(types(&[&of("a"), next, "#SBATCH -N 1\n", next, &of("a")].concat()), "");

    // A type of GPU is a kind of machine; a number of them, and another resource, is none.
    let gres = |first: &str, second: &str| {
        types(&format!("#SBATCH --gres={first}\n#SBATCH hetjob\n#SBATCH --gres={second}\n"))
    };
    for (first, second) in [("gpu:a100:2", "gpu:v100:1"), ("lustre:1,gpu:a100", "gres/gpu=v100:2")] {
        assert!(gres(first, second).contains("(`a100` and `v100`)"), "{first} {second}");
    }
    for (first, second) in
        [("lustre:1", "nvme:1"), ("gpu:2", "craynetwork:1"), ("gpu:a100:1,x:1", "y:1,gpu:a100:2")]
    {
        assert_eq!(gres(first, second), "", "{first} {second}");
    }
}

#[test]
fn lsf_array() {
    insta::assert_snapshot!(shown(
        r#"#!/bin/bash
#BSUB -J "align[1-10:3,20]%4"
#BSUB -n 4
#BSUB -R "span[hosts=1] rusage[mem=8000] select[avx2]"
#BSUB -M 8GB
#BSUB -W 12:30
#BSUB -q "normal long"
#BSUB -P project -N
#BSUB -o out.%J.%I -e err.%J.%I
#BSUB -w 'done(8f2c0d3e-1) && done("8f2c0d3e-2[*]")'
bwa mem
"#
    ));
}

#[test]
fn lsf_mpi_and_gpu() {
    insta::assert_snapshot!(shown(
        "#!/bin/sh\n#BSUB -n 16,32\n#BSUB -R 'span[ptile=8]'\n#BSUB -R 'rusage[mem=2G/task,scratch=1]'\n\
         #BSUB -gpu \"num=2:mode=exclusive_process\"\n#BSUB -cwd /work -r -x -env 'all, A=1, ~B'\n\
         #BSUB -M 16000\nmpirun ./a\n"
    ));
}

#[test]
fn lsf_mistakes() {
    insta::assert_snapshot!(shown(
        "#BSUB -n many\n#BSUB -M 100\n#BSUB -w 'ended(12)'\n#BSUB -w 'done(prepare)'\n#BSUB -w '1 || 2'\n\
         #BSUB -J x[\n#BSUB -W 1d\n#BSUB -zzz 1\n#BSUB -q\n#BSUB job.sh\n"
    ));
}

#[test]
fn our_own_lines_come_last_and_unchanged() {
    assert_eq!(
        words(
            "#!/bin/sh\n#AWSB -m 4G --env 'A=b c' # why\n#SBATCH --mem=1G\n#AWSB --wait\necho\n#AWSB -p 2\n"
        ),
        ["--memory=1024M", "-m", "4G", "--env", "A=b c", "--wait"]
    );
    assert_eq!(words("#AWSB-p 2\n#AWSB--wait\n"), ["-p", "2", "--wait"]);
    assert_eq!(words("#AWSBx -p 2\n#AWSB\n#AWSB \n #AWSB -p 2\n"), [""; 0]);
    assert_eq!(words("#AWSB -p 2\0\n"), [""; 0]);
    assert_eq!(words("#!/bin/sh\r\n#AWSB -p 2\r\n"), ["-p", "2"]);
}

#[test]
fn slurm_counts_on_a_node() {
    for (options, expected) in [
        ("-n 4", "--vcpus=4"),
        ("-n 4 -c 2", "--vcpus=8"),
        ("-c 6", "--vcpus=6"),
        ("-N 1 -n 4", "--vcpus=4"),
        ("-N 1 --ntasks-per-node=4 -c 2", "--vcpus=8"),
        ("-N 2", "--nodes=2"),
        ("-N 2 -n 7", "--nodes=2 --vcpus=4"),
        ("-N 4 -n 2", "--nodes=2 --vcpus=1"),
        ("-N 2 --ntasks-per-node=4 -c 3", "--nodes=2 --vcpus=12"),
        ("-n 8 --ntasks-per-node=4", "--nodes=2 --vcpus=4"),
        ("-n 8 -n 2", "--vcpus=2"),
        ("--mem=2G -c 2", "--vcpus=2 --memory=2048M"),
        ("--mem-per-cpu=2000 -n 2 -c 3", "--vcpus=6 --memory=12000M"),
        ("--mem-per-cpu=2G", "--memory=2048M"),
        ("-G 4 -N 2", "--nodes=2 --gpus=2"),
        ("-G a100:2", "--gpus=2"),
        ("--gpus-per-task=1 -n 4 --mem-per-gpu=8G", "--gpus=4 --vcpus=4 --memory=32768M"),
        ("--gpus=1 --cpus-per-gpu=8", "--gpus=1 --vcpus=8"),
        ("--gres=gpu", "--gpus=1"),
        ("--gres=gpu:v100", "--gpus=1"),
        ("--gres=none", ""),
        ("--gpus=0", ""),
    ] {
        assert_eq!(words(&format!("#SBATCH {options}\n")).join(" "), expected, "{options}");
    }
}

#[test]
fn every_way_to_write_an_option() {
    for options in ["--mem=5 -c3", "--mem 5 -c 3", "--mem=5 --cpus-per-t=3", "-Oc3 --mem=5", "-Qvc 3 --mem=5"]
    {
        assert_eq!(words(&format!("#SBATCH {options}\n")), ["--vcpus=3", "--memory=5M"], "{options}");
    }
    // A value is never taken for an option, whatever the treatment of its option.
    assert_eq!(words("#SBATCH --account --wait --nice -W --exclusive=user -A -W\n"), ["--wait"]);
    assert_eq!(words("#SBATCH --requeue=expedite --oom-kill-step=0 -W\n"), ["--retry-on=spot", "--wait"]);
    assert_eq!(words("#BSUB -P -K -n4 -W1:00 -K\n"), ["--time=60", "--wait", "--vcpus=4"]);
}

#[test]
fn what_would_be_another_job_is_refused() {
    for (line, reason) in [
        ("#SBATCH -d afternotok:1", "wait for others to succeed"),
        ("#SBATCH -d afterok:1?afterok:2", "waits for all dependencies"),
        ("#SBATCH -d singleton", "no `singleton`"),
        ("#SBATCH -d 123", "means `afterany` in Slurm"),
        ("#SBATCH -d afterok:", "ID is missing"),
        ("#SBATCH -d afterok", "takes a job's ID"),
        ("#SBATCH -d foo:1", "no dependency 'foo'"),
        ("#SBATCH -d 1:2", "no dependency '1'"),
        ("#SBATCH --hold", "cannot hold"),
        ("#SBATCH --begin=16:00", "at a given time"),
        ("#SBATCH --deadline=16:00", "no deadlines"),
        ("#SBATCH --input=in-%j.txt", "Slurm replaces %j in the name"),
        ("#SBATCH -i in-%3a", "Slurm replaces %3a in the name"),
        ("#SBATCH -i in-%b", "Slurm replaces %b in the name"),
        ("#SBATCH --signal=B:FOO@60", "no signal 'FOO'"),
        ("#SBATCH --mem=0.5G", "does not accept '0.5G'"),
        ("#SBATCH --mem-per-cpu=1GiB", "does not accept '1GiB'"),
        ("#SBATCH --mem=1G --mem-per-cpu=1G", "only one of"),
        ("#SBATCH -N 2-1", "is smaller than the smallest"),
        ("#SBATCH -N 1-", "not a whole number of 1 or more"),
        ("#SBATCH --jobname=x", "no option `--jobname`; did you mean --job-name?"),
        ("#SBATCH --job_name x", "no option `--job_name`; did you mean --job-name?"),
        ("#SBATCH -3", "no option `-3`"),
        ("#SBATCH -J ''", "needs a value"),
        ("#SBATCH --mail-type=SOMETIMES", "does not accept 'SOMETIMES'"),
        ("#SBATCH --open-mode=x", "append"),
        ("#SBATCH -- --mem=1G", "after a `--`"),
        ("#SBATCH -c 4294967295 -n 4294967295", "more than a node"),
        ("#SBATCH -c 1000 --mem-per-cpu=999T", "at most 2147483647 MiB"),
        ("#SBATCH -c 0", "not a whole number of 1 or more"),
        ("#SBATCH --wait=yes", "takes no value"),
        ("#SBATCH --export=A-B=1", "invalid variable name"),
        ("#BSUB -w 'exit(1)'", "only has `done`"),
        ("#BSUB -w 'done(1) || done(2)'", "always waits for all"),
        ("#BSUB -w '!done(1)'", "always waits for all"),
        ("#BSUB -n 8,4", "is smaller than the smallest"),
        ("#BSUB -n 4,x", "not a whole number of 1 or more"),
        ("#BSUB -R '4*{rusage[mem=1]} + 8*{rusage[mem=2]}'", "all nodes of a job are alike"),
        ("#BSUB -R '{span[hosts=1]} || {span[ptile=2]}'", "no alternatives"),
        ("#BSUB -cwd /scratch/%U/%J_%I", "--parent-working-dir"),
        ("#BSUB -i in.%J", "LSF replaces %J in the name"),
        ("#BSUB -is in.%I", "LSF replaces %I in the name"),
        ("#BSUB -H", "cannot hold"),
        ("#BSUB -b 16:00", "at a given time"),
        ("#BSUB -t 16:00", "no deadlines"),
        ("#BSUB -nnodes 4", "--nodes N --vcpus V"),
        ("#BSUB -hostfile f", "Batch chooses the instances"),
        ("#BSUB -k d", "no checkpoints"),
        ("#BSUB -json f", "from another file"),
        ("#BSUB -Q 'all ~2'", "exit codes in a list"),
        ("#BSUB -f 'a << b'", "cannot append"),
        ("#BSUB -f a", "LSF's form"),
        ("#BSUB -K -I", "not both"),
        ("#BSUB -r -I", "not both"),
        ("#BSUB -J a[0-3]", "begin with 1"),
        ("#BSUB -J a[1-3]%0", "is not a limit"),
        ("#SBATCH -L a|b", "no alternatives of licences"),
        ("#SBATCH -L a:0", "whole number from 1 to "),
        ("#SBATCH -L ,", "names no licence"),
        ("#BSUB -R 'rusage[lic=1.5]'", "the resource 'lic': the quantity is a whole number from 1 to "),
        ("#BSUB -R 'rusage[lic=0]'", "whole number from 1 to "),
        ("#BSUB -R 'rusage[lic=1] rusage[lic=2]'", "lic is asked for twice, 1 and 2 of it: give it once"),
        ("#BSUB -R 'rusage[lic=1:lic=2]'", "lic is asked for twice, 1 and 2 of it"),
        ("#BSUB -R 'rusage[lic=1]' -R 'rusage[lic=2]'", "lic is asked for twice, 1 and 2 of it"),
        (
            "#BSUB -R 'rusage[lic=2]'\n#BSUB -R 'rusage[lic=2/job]'",
            "lic is asked for twice, 2 and 2/job of it",
        ),
        (
            "#BSUB -R 'rusage[mem=9000] rusage[mem=8000/task]'",
            "mem is asked for twice, 9000M and 8000M/task of it",
        ),
        (
            "#BSUB -R 'rusage[ngpus=1] rusage[ngpus_physical=2]'",
            "ngpus_physical is asked for twice, 1 and 2 of it",
        ),
        (
            "#BSUB -gpu num=2\n#BSUB -R 'rusage[ngpus_physical=1]'",
            "the number of GPUs is 2 by -gpu and 1 by rusage (`#BSUB -gpu num=2` in line 1): give it once",
        ),
        (
            "#BSUB -R 'rusage[ngpus_physical=1/task]' -n 2\n#BSUB -gpu num=1",
            "is 1 by -gpu and 1/task by rusage (`#BSUB -R rusage[ngpus_physical=1/task]` in line 1): give it once",
        ),
        ("#BSUB -R 'rusage[mem=1000,lic=-1]'", "whole number from 1 to "),
        ("#BSUB -wa CHKPNT -wt 2", "not a signal"),
        ("#BSUB -zzz", "no option `-zzz`"),
        ("#BSUB -n 0", "not a whole number of 1 or more"),
        ("#BSUB -M 3000", "LSF_UNIT_FOR_LIMITS"),
        ("#BSUB -M 9999999999GB", "at most 2147483647 MiB"),
        ("#BSUB -W 71582789", "at most 2147483647 seconds"),
    ] {
        assert!(error(line).contains(reason), "{line}: {:?}", error(line));
    }
}

#[test]
fn lsf_lines_count_anywhere_in_a_script() {
    let script = "#!/bin/sh\n#BSUB-n 2\necho hi\n#BSUB -q other\n#BSUB this is a comment\n";
    assert_eq!(words(script), ["--queue=other", "--vcpus=2"]);
    // A line that ends in a backslash continues in the next one. The shell then runs it in its own
    // way.
    assert_eq!(words("#BSUB -n 4 \\\n-R \"span[ptile=2]\"\n"), ["--nodes=2", "--vcpus=2"]);
    assert_eq!(words("#BSUB -n 4 \\\n#BSUB -q a\n"), ["--queue=a", "--vcpus=4"]);
    assert_eq!(words("#BSUB -n 4 \\\n# more\n"), ["--vcpus=4"]);
}

#[test]
fn what_looks_like_a_directive_and_is_none_is_a_warning() {
    let warnings = |script: &str| {
        let found = Directives::read(script.as_bytes());
        assert_eq!((found.errors.len(), found.options.len()), (0, 0), "{script}");
        found.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for line in ["# SBATCH -n 4", " #SBATCH -n 4", "#sbatch -n 4", "#Sbatch --mem=1G"] {
        let found = warnings(&format!("#!/bin/sh\n{line}\n"));
        assert!(found.len() == 1 && found[0].contains("begins with `#SBATCH`"), "{line}: {found:?}");
    }
    assert!(warnings("  # BSUB -n 2\n")[0].contains("begins with `#BSUB`"));
    assert!(warnings("#awsb -p 2\n")[0].contains("begins with `#AWSB`"));
    let late = warnings("#!/bin/sh\necho\n#SBATCH -n 4\n#SBATCH --mem=1G\n#AWSB -p 2\n");
    assert_eq!(
        late,
        [
            "line 3: `#SBATCH -n 4`: is ignored: it comes after the script's first command",
            "line 5: `#AWSB -p 2`: is ignored: it comes after the script's first command",
        ]
    );
    for line in
        ["##SBATCH -n 4", "#SBATCHES -n 4", "# SBATCH lines follow", "# sbatch - a tool", "#SBATCH", "# bsub"]
    {
        assert_eq!(warnings(&format!("{line}\n")), [""; 0], "{line}");
    }
}

#[test]
fn other_forms_that_the_originals_take() {
    for (line, expected) in [
        ("#SBATCH --job=brief", "--job-name=brief"),
        ("#SBATCH--time=90", "--time=90"),
        ("#SBATCH-t90", "--time=90"),
        ("#SBATCH --time=2-", "--time=2-"),
        ("#SBATCH --time=-1", ""),
        ("#SBATCH -a [1-3]", "--array=1-3"),
        ("#SBATCH -a ',1, 3,'", "--array=1,3"),
        ("#SBATCH -a 1-10%1", "--array=1-10%1"),
        ("#SBATCH -a 1-10%0", "--array=1-10"),
        ("#SBATCH -a [1-10%4]", "--array=1-10%4"),
        ("#SBATCH -n +2", "--vcpus=2"),
        ("#SBATCH --mem=+8", "--memory=8M"),
        ("#SBATCH --dependency=", ""),
        ("#SBATCH --dependency='afterok: 8f2c0d3e'", "--depends-on=afterok:8f2c0d3e"),
        ("#SBATCH --begin=now --input=/dev/null", ""),
        ("#SBATCH --input=in.txt", "--stdin=in.txt"),
        ("#SBATCH -i a/100%%.txt", "--stdin=a/100%.txt"),
        ("#SBATCH -i 10%-%d%5é.%", "--stdin=10%-%d%5é.%"),
        ("#SBATCH -i -", "--stdin=./-"),
        ("#SBATCH -i in.txt -D /data/", "--working-dir=/data/ --stdin=/data/in.txt"),
        ("#SBATCH -i /in.txt -D /data", "--working-dir=/data --stdin=/in.txt"),
        ("#SBATCH -i one -i two", "--stdin=two"),
        ("#SBATCH -i one -i /dev/null", ""),
        ("#SBATCH -N 2,4", "--nodes=2"),
        ("#SBATCH -N 2-8:2", "--nodes=2"),
        ("#BSUB -R 'affinity[core(4)]' -n 2", "--vcpus=8"),
        ("#BSUB -R 'affinity[thread(2)] span[ptile=1]' -n 2", "--nodes=2 --vcpus=2"),
        ("#BSUB -R 'span[hosts=-1]' -n 2", "--vcpus=2"),
        ("#BSUB -R 'rusage[mem=1000:duration=10:decay=1]'", "--memory=1000M"),
        ("#BSUB -env 'all, ~FOO'", "--env=all --env-exclude=FOO"),
        ("#BSUB -env \"A='x, y', B=1\"", "--env=A=x, y --env=B=1"),
        ("#BSUB -envall", "--env=all"),
        ("#BSUB -i one -i /dev/null", ""),
        ("#BSUB -i 100%.txt", "--stdin=100%.txt"),
        ("#BSUB -is in.txt -cwd /data", "--working-dir=/data --stdin=/data/in.txt"),
        ("#BSUB -f 'in.txt > in.txt'", "--input=in.txt"),
        ("#BSUB -f 'data/in.txt > in.txt'", "--input=data/in.txt:in.txt"),
        ("#BSUB -f 'out.txt < out.txt'", "--output-file=out.txt"),
        ("#BSUB -f 'a >< b'", "--input=a:b --output-file=b"),
        ("#BSUB -Q '1 75'", "--retry-on=exit:1,75"),
        ("#BSUB -rn", "--retry-attempts=1"),
        ("#BSUB -J a[1-10]%1", "--job-name=a --array=1-10%1"),
        ("#BSUB -J a[1-10]%40", "--job-name=a --array=1-10%40"),
        ("#BSUB -R 'rusage[lic=1]'", "--consume=lic=1"),
        (
            "#BSUB -R 'rusage[a=2:b=1/task,mem=1000] span[hosts=1]' -n 4",
            "--vcpus=4 --memory=1000M --consume=a=2 --consume=b=4",
        ),
        ("#BSUB -R 'rusage[a=4/job] span[ptile=1]' -n 2", "--nodes=2 --vcpus=1"),
        ("#BSUB -R 'rusage[a=1:duration=10 || b=1]'", "--consume=a=1"),
        ("#BSUB -R 'rusage[a=1]' -R 'rusage[a=1] rusage[b=2]'", "--consume=a=1 --consume=b=2"),
        (
            "#BSUB -R 'rusage[mem=9000]' -R 'rusage[mem=9000,ngpus=1,ngpus_physical=1]'",
            "--gpus=1 --memory=9000M",
        ),
        ("#BSUB -gpu num=2 -R 'rusage[ngpus=2]'", "--gpus=2"),
        ("#BSUB -R 'rusage[ngpus_physical=2/task]' -gpu num=2", "--gpus=2"),
        ("#BSUB -We 60", ""),
        ("#BSUB -Pproject -Jname", "--job-name=name"),
        ("#BSUB -Jdata", "--job-name=data"),
        ("#BSUB -n 4 -n 8 -M 8MB -M 9MB", "--vcpus=4 --memory=8M"),
        ("#BSUB -n 4,8", "--vcpus=4"),
    ] {
        assert_eq!(words(&format!("{line}\n")).join(" "), expected, "{line}");
    }
}

#[test]
fn sizes_without_a_unit_are_in_the_one_that_the_user_has_set() {
    let read = |line: &str, unit: &str| {
        let found = Directives::read_with(line.as_bytes(), unit.parse().ok());
        assert_eq!(found.warnings, [], "{line} in {unit}");
        let words = found.options.iter().flat_map(|directive| &directive.words).map(|w| w.to_string_lossy());
        (
            words.collect::<Vec<_>>().join(" "),
            found.errors.first().map(|e| e.reason.clone()).unwrap_or_default(),
        )
    };
    for (line, unit, expected) in [
        ("#BSUB -M 4", "GB", "--memory=4096M"),
        ("#BSUB -M 16", "MB", "--memory=16M"),
        ("#BSUB -M 16000", "k", "--memory=16M"),
        ("#BSUB -M 1!", "TB", "--memory=1048576M"),
        ("#BSUB -R 'rusage[mem=4]'", "GB", "--memory=4096M"),
        ("#BSUB -R 'rusage[mem=8192]'", "KB", "--memory=8M"),
        ("#BSUB -M 16MB -R 'rusage[mem=1G]'", "TB", "--memory=1024M"),
    ] {
        assert_eq!(read(line, unit), (expected.to_owned(), String::new()), "{line} in {unit}");
    }
    let (_, error) = read("#BSUB -M 3", "MB");
    assert!(error.starts_with("3 counts as MB, as LSF_UNIT_FOR_LIMITS says, and no job can"), "{error}");
    assert!("PB".parse::<super::LsfUnit>().is_err() && "".parse::<super::LsfUnit>().is_err());
}

#[test]
fn text_that_is_none_is_refused() {
    let found = Directives::read(b"#SBATCH -J \xff\n#AWSB -J \xff\n");
    assert_eq!((found.errors.len(), found.options.len()), (1, 1));
}

proptest! {
    #[test]
    fn any_bytes_can_be_read(script in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Directives::read(&script);
    }

    #[test]
    fn any_directives_can_be_read(lines in proptest::collection::vec(line(), 0..6)) {
        let found = Directives::read(lines.join("\n").as_bytes());
        let own = |word: &std::ffi::OsString| word.to_string_lossy().starts_with("--");
        let others = found.options.iter().filter(|directive| !directive.is_own());
        prop_assert!(others.flat_map(|directive| &directive.words).all(own));
    }
}

/// Lines that look like directives.
fn line() -> impl Strategy<Value = String> {
    let option = prop_oneof![
        Just("-J"),
        Just("-n"),
        Just("-N"),
        Just("-c"),
        Just("-R"),
        Just("-M"),
        Just("-W"),
        Just("-w"),
        Just("-d"),
        Just("-gpu"),
        Just("-G"),
        Just("-a"),
        Just("-t"),
        Just("--mem"),
        Just("--mem-per-cpu="),
        Just("--gres="),
        Just("--export="),
        Just("--array="),
        Just("--ntasks-per-node="),
        Just("-env"),
        Just("--gpus="),
    ];
    let value = prop_oneof![
        "[0-9]{1,10}",
        r"[0-9:,%\[\]KMGT-]{0,12}",
        r"(gpu|mem|num|done|afterok|span|rusage)[:=(\[][a-z0-9:=)\]/é]{0,10}",
        "[ -~é]{0,12}",
    ];
    ("#(SBATCH|BSUB|AWSB) ", option, " ?", value).prop_map(|(a, b, c, d)| format!("{a}{b}{c}{d}"))
}

#[test]
fn lines_for_several_schedulers() {
    let read = |text: &str| {
        let found = Directives::read(text.as_bytes());
        found.warnings.iter().map(|remark| (remark.line, remark.about)).collect::<Vec<_>>()
    };
    assert_eq!(read("#!/bin/sh\n#SBATCH -J x\n#BSUB -J y\n#BSUB -n 2\n"), [(3, None)]);
    assert_eq!(read("#!/bin/sh\n#BSUB -J y\n#SBATCH -J x\n"), [(3, None)]);
    assert_eq!(read("#!/bin/sh\n#PBS -l nodes=1\n#PBS -N x\n#$ -cwd\n"), [(2, None), (4, None)]);
    assert_eq!(read("#!/bin/sh\n#PBS is what we had\n#$HOME\n#$ 3 each\n##PBS -N x\ntrue\n#PBS -N x\n"), []);
    assert_eq!(read("#!/bin/sh\n#SBATCH -p a,b\n"), [(2, Some(About::Queue))]);
}

#[test]
fn srun_behind_components_of_slurm_is_refused() {
    let head = "#!/bin/bash\n#SBATCH -N 1\n#SBATCH hetjob\n#SBATCH -N 2\n";
    for line in [
        "srun ./solve",
        "time /usr/bin/srun -n 4 ./solve",
        "LAUNCH=\"srun -n 4\"",
        "command -v srun && srun ./solve",
        "out=$(srun hostname)",
    ] {
        let message = error(&format!("{head}{line}\n"));
        assert!(
            message.contains("on the first component in Slurm, and on all nodes here"),
            "{line}: {message}"
        );
        assert!(message.contains("--node-group N,command=LINE"), "{line}: {message}");
        let alone = error(&format!("#!/bin/bash\n#SBATCH -N 2\n{line}\n"));
        assert_eq!(alone, "", "{line}");
    }
    for line in ["./solve # srun is not for this", "# srun ./solve", "echo srun", "which srun", "./my-srun x"]
    {
        assert_eq!(error(&format!("{head}{line}\n")), "", "{line}");
    }
}

#[test]
fn variables_that_differ_behind_components_of_slurm() {
    let head = "#!/bin/bash\n#SBATCH -N 1\n#SBATCH hetjob\n#SBATCH -N 2\n";
    let warnings = |line: &str| {
        let found = Directives::read(format!("{head}{line}\n").as_bytes());
        found.warnings.iter().map(|warning| warning.reason.clone()).collect::<Vec<_>>().join("\n")
    };
    for line in ["echo $SLURM_HET_SIZE", "echo ${SLURM_JOB_NODELIST_HET_GROUP_1} $SLURM_HET_JOB_ID_0"] {
        assert!(warnings(line).contains("variables of components"), "{line}");
    }
    assert!(
        warnings("mpirun -n ${SLURM_NTASKS:-1} ./a").contains("counts the nodes and tasks of all components")
    );
    for line in
        ["echo $SLURM_CPUS_PER_TASK", "SLURM_NTASKS=4", "echo $SLURM_NTASKS_PER_NODE", "# $SLURM_NNODES"]
    {
        assert_eq!(warnings(line), "", "{line}");
    }
}

#[test]
fn mpirun_behind_components_of_slurm_has_a_warning() {
    let head = "#!/bin/bash\n#SBATCH -N 1\n#SBATCH hetjob\n#SBATCH -N 2\n";
    let warnings = |text: &str| {
        let found = Directives::read(text.as_bytes());
        assert_eq!(found.errors, Vec::new(), "{text}");
        found.warnings.iter().map(|warning| warning.reason.clone()).collect::<Vec<_>>().join("\n")
    };
    for line in [
        "mpirun ./a",
        "time /opt/mpi/bin/mpiexec -n 4 ./a",
        "RUN=\"orterun -np 4\"",
        "mpiexec -n 4 ./a -f input",
        "mpirun -f ./a",
    ] {
        let shown = warnings(&format!("{head}{line}\n"));
        assert!(shown.contains("on the nodes of all components here"), "{line}: {shown}");
        assert!(shown.contains("--node-group N,command=LINE"), "{line}: {shown}");
        assert_eq!(warnings(&format!("#!/bin/bash\n#SBATCH -N 2\n{line}\n")), "", "{line}");
    }
    for line in [
        "mpirun --host a,b ./a",
        "mpiexec -hostfile=nodes ./a",
        "mpiexec -f hosts ./a",
        "/opt/mpich/bin/mpiexec.hydra -genv OMP_NUM_THREADS 4 -n 4 -f hosts ./a",
        "which mpirun",
        "# mpirun ./a",
        "./mpirun.sh",
    ] {
        assert_eq!(warnings(&format!("{head}{line}\n")), "", "{line}");
    }
}

#[test]
fn options_of_a_component_that_hold_for_the_whole_job_are_refused() {
    let of = |option: &str| error(&format!("#!/bin/sh\n#SBATCH -N 1\n#SBATCH hetjob\n#SBATCH {option}\n"));
    for option in ["--licenses=matlab:1", "-L a", "--dependency=afterok:8f2c0d3e-1"] {
        assert!(of(option).contains("write it in front of `hetjob`"), "{option}");
    }
    assert_eq!(of("--comment=x"), "");
}

#[test]
fn limits_of_arrays_that_limit_nothing() {
    let notes =
        |limit: &str| Directives::read(format!("#SBATCH --array=1-6{limit}\n").as_bytes()).notes.len();
    // As Slurm has it: tested with 22.05.
    assert_eq!(["%0", "%x", "%-1", "%", "%2", ""].map(notes), [1, 1, 1, 1, 0, 0]);
    let lsf = error("#BSUB -J \"l[1-6]%0\"\n");
    assert!(lsf.contains("a whole number of 1 or more"), "{lsf}");
}

#[test]
fn a_resource_of_lsf_without_a_quantity_is_refused() {
    for rusage in ["lic", "mem=100,lic", "mem", "tmp", "lic="] {
        let message = error(&format!("#!/bin/sh\n#BSUB -R \"rusage[{rusage}]\"\n"));
        assert!(message.contains("rusage takes a quantity with each resource"), "{rusage}: {message}");
    }
    assert_eq!(error("#!/bin/sh\n#BSUB -R \"rusage[mem=2G:duration=10:decay=1]\"\n"), "");
}

#[test]
fn licences_of_a_job_are_shared_by_its_nodes() {
    let read = |lines: &str| {
        let found = Directives::read(format!("#!/bin/sh\n{lines}\n").as_bytes());
        let words = found.options.iter().flat_map(|option| &option.words);
        let consumes = words.filter_map(|word| word.to_str()?.strip_prefix("--consume=").map(str::to_owned));
        let shared = found.shared.iter().map(|shared| format!("{} together", shared.total));
        (consumes.chain(shared).collect::<Vec<_>>().join(", "), found.warnings.len())
    };
    for (lines, consumes, warnings) in [
        ("#SBATCH -L lic:2", "lic=2 together", 0),
        ("#SBATCH -L matlab", "matlab=1 together", 0),
        ("#SBATCH --licenses=a:2,b,c@server:3", "a=2 together, b=1 together, c=3 together", 0),
        ("#SBATCH -N 2 -L lic:1", "lic=1 together", 0),
        ("#SBATCH -N 2 -L a:4,b:3", "a=4 together, b=3 together", 0),
        ("#SBATCH -L a:4 -L b", "b=1 together", 0),
        // Slurm adds up those of one name, and takes the last of several options.
        ("#SBATCH -L a:4,b,a", "a=5 together, b=1 together", 0),
        ("#SBATCH -L a:1 -L a:2", "a=2 together", 0),
        ("#SBATCH -L lic:1\n#SBATCH hetjob\n#SBATCH -n 1", "lic=1 together", 0),
        ("#BSUB -n 2 -R \"rusage[lic=2/job] span[ptile=1]\"", "lic=2 together", 0),
        ("#BSUB -n 2 -R \"rusage[lic=1] span[ptile=1]\"", "lic=1", 0),
        ("#BSUB -R \"rusage[lic=1:duration=10]\"", "lic=1", 1),
        ("#BSUB -R \"rusage[lic=1:duration=10:decay=1]\"", "lic=1", 1),
        ("#SBATCH -L a:4,b\n#BSUB -R \"rusage[a=2/job]\"", "b=1 together, a=2 together", 1),
    ] {
        assert_eq!(read(lines), (consumes.to_owned(), warnings), "{lines}");
    }
}

#[test]
fn shared_licences_are_divided_and_never_fewer() {
    let found = Directives::read(b"#SBATCH -L lic:3\n");
    let [shared] = found.shared.as_slice() else { panic!("{found:?}") };
    for (nodes, each, is_even) in [(1, 3, true), (2, 2, false), (3, 1, true), (4, 1, false)] {
        assert_eq!((shared.of_each(nodes).quantity, shared.uneven(nodes).is_none()), (each, is_even));
    }
    assert_eq!(
        shared.uneven(2).map(|remark| remark.to_string()).unwrap_or_default(),
        "line 1: `#SBATCH -L lic:3`: each node of a job in Batch takes as much: 2 of lic for each of 2 nodes is 4, \
         and not 3"
    );
}
