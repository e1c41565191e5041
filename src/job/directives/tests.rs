use std::fmt::Write;

use proptest::prelude::*;

use super::Directives;

/// What a script's head comes to, as a test can show it.
fn shown(script: &str) -> String {
    let found = Directives::read(script.as_bytes());
    let mut text = String::new();
    for said in &found.options {
        let words: Vec<_> = said.words.iter().map(|w| w.to_string_lossy()).collect();
        let _ = writeln!(text, "{:3}  {}    <- {}", said.line, words.join(" "), said.text);
    }
    for warning in &found.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    for error in &found.errors {
        let _ = writeln!(text, "error: {error}");
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
    found.options.into_iter().flat_map(|said| said.words).filter_map(|w| w.into_string().ok()).collect()
}

/// What is wrong with one line, or an empty text.
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
         #BSUB -J x[\n#BSUB -W 1d\n#BSUB -foo 1\n#BSUB -q\n#BSUB job.sh\n"
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
    for options in ["--mem=5 -c3", "--mem 5 -c 3", "--mem=5 --cpus-per-t=3", "-Hc3 --mem=5", "-Qvc 3 --mem=5"]
    {
        assert_eq!(words(&format!("#SBATCH {options}\n")), ["--vcpus=3", "--memory=5M"], "{options}");
    }
    // A value is never taken for an option, whatever becomes of its option.
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
        ("#SBATCH -d 123", "Slurm's `afterany`"),
        ("#SBATCH -d afterok:", "ID is missing"),
        ("#SBATCH -c 4294967295 -n 4294967295", "more than a node"),
        ("#SBATCH -c 1000 --mem-per-cpu=999T", "more than 2147483647 MiB"),
        ("#SBATCH -c 0", "from 1 on"),
        ("#SBATCH --wait=yes", "takes no value"),
        ("#SBATCH --export=A-B=1", "no name of a variable"),
        ("#BSUB -w 'exit(1)'", "only knows `done`"),
        ("#BSUB -w 'done(1) || done(2)'", "never for one of several"),
        ("#BSUB -w '!done(1)'", "never for one of several"),
        ("#BSUB -n 0", "from 1 on"),
        ("#BSUB -M 3000", "LSF_UNIT_FOR_LIMITS"),
        ("#BSUB -M 9999999999GB", "more than 2147483647 MiB"),
        ("#BSUB -W 71582789", "more than 2147483647 seconds"),
    ] {
        assert!(error(line).contains(reason), "{line}: {:?}", error(line));
    }
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
        let others = found.options.iter().filter(|said| !said.text.starts_with("#AWSB"));
        prop_assert!(others.flat_map(|said| &said.words).all(own));
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
