//! Scripts that were written for Slurm or LSF, as they are: what their `#SBATCH` and `#BSUB` lines
//! ask for is what they get, and they find the variables and the `srun` that they know.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use awsb_model::{Directives, JobName, JobNumber, JobSpec, Program, Script, Shape, Tasks, Timeout, WallTime};
use awsb_testkit::shells::{command, executable, link, plan, shellcheck, shells};
use awsb_testkit::{Sandbox, program, story};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A script as its head says, without what only `bsub` can add.
fn spec(text: &str) -> Result<JobSpec, Box<dyn std::error::Error>> {
    let head = Directives::read(text.as_bytes());
    assert_eq!(head.errors, [], "{text}");
    let script = Script::new(Path::new("job.sh"), text.as_bytes().to_vec())?;
    let name = head.name.as_deref().map_or("my job", |name| name.split('[').next().unwrap_or_default());
    let mut spec = JobSpec::new(JobName::cleaned(name), Program::Script { script, args: Vec::new() });
    spec.submit_host = "login".to_owned();
    for report in &head.options {
        for word in report.words.iter().filter_map(|word| word.to_str()) {
            if let Some(vcpus) = word.strip_prefix("--vcpus=") {
                spec.resources.vcpus = Some(vcpus.parse()?);
            } else if let Some(time) = word.strip_prefix("--time=") {
                spec.timeout = time.parse::<WallTime>()?.seconds().map(Timeout::of_seconds).transpose()?;
            } else if let Some(nodes) = word.strip_prefix("--nodes=") {
                spec.shape = Shape::Nodes(nodes.parse()?);
            } else if let Some(ids) = word.strip_prefix("--array=") {
                spec.shape = Shape::Array(Tasks::with_ids(ids.parse()?));
            }
        }
    }
    spec.slurm = head.slurm;
    spec.lsf = head.lsf;
    spec.signal = head.signal;
    spec.given_name = head.name;
    Ok(spec)
}

/// Batch's variables for child 3 of an array of 5 whose tasks are 10, 20, … 50.
const CHILD: &[(&str, &str)] = &[
    ("AWS_BATCH_JOB_ID", "8f2c0d3e:3"),
    ("AWS_BATCH_JOB_ARRAY_INDEX", "3"),
    ("AWS_BATCH_JOB_ARRAY_SIZE", "5"),
    ("AWSB_TASK_ID", "40"),
    ("AWSB_TASK_COUNT", "5"),
    ("AWSB_TASK_MIN", "10"),
    ("AWSB_TASK_MAX", "50"),
    ("AWSB_TASK_STEP", "10"),
];

/// The main node of an MNP job of 3.
const NODE: &[(&str, &str)] = &[
    ("AWS_BATCH_JOB_ID", "8f2c0d3e#0"),
    ("AWS_BATCH_JOB_NODE_INDEX", "0"),
    ("AWS_BATCH_JOB_MAIN_NODE_INDEX", "0"),
    ("AWS_BATCH_JOB_NUM_NODES", "3"),
];

const SINGLE: &[(&str, &str)] = &[("AWS_BATCH_JOB_ID", "8f2c0d3e"), ("AWS_BATCH_JQ_NAME", "queue")];

/// A folder with all that these tests need, and no `mpirun`, which the machine may have.
fn few_tools() -> Result<tempfile::TempDir, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    for tool in [
        "base64", "cat", "chmod", "env", "grep", "gzip", "mkdir", "rm", "rmdir", "sed", "sh", "sleep",
        "sort", "tar", "true", "printf", "id",
    ] {
        link(tool, folder.path())?;
    }
    for shell in shells() {
        link(shell[0], folder.path())?;
    }
    Ok(folder)
}

/// The output of a script under every shell, which has to be the same. `SH` is the shell, for
/// `srun`. The job has the layout that Batch's variables describe, if it has none of its own.
fn report(
    text: &str,
    variables: &[(&str, &str)],
    tools: Option<&Path>,
) -> Result<Output, Box<dyn std::error::Error>> {
    let mut spec = spec(text)?;
    let given = |wanted: &str| variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    let is_child = given("AWS_BATCH_JOB_ARRAY_INDEX").is_some_and(|index| !index.is_empty());
    spec.shape = match (spec.shape, given("AWS_BATCH_JOB_NUM_NODES")) {
        (Shape::Single, Some(nodes)) => Shape::Nodes(nodes.parse()?),
        (Shape::Single, None) if is_child => {
            Shape::Array(Tasks::sized(given("AWS_BATCH_JOB_ARRAY_SIZE").unwrap_or("10000").parse()?)?)
        }
        (shape, _) => shape,
    };
    let plan = plan(&spec)?;
    let without_mpirun = few_tools()?;
    let without_mpirun = without_mpirun.path();
    let mut outputs = Vec::new();
    // The arithmetic of mksh has 32 bits, so a job has no number there
    // (`a_shell_that_cannot_calculate_the_number_keeps_the_id`).
    let has_number = given("AWS_BATCH_JOB_ID").is_some_and(|id| id.len() >= 36);
    for shell in shells().into_iter().filter(|shell| !has_number || shell[0] != "mksh") {
        let place = tempfile::tempdir()?;
        let mut command = command(&plan, shell, place.path());
        match tools {
            Some(tools) => command.env("PATH", format!("{}:/usr/bin:/bin", tools.display())),
            None => command.env("PATH", without_mpirun),
        };
        outputs.push(command.envs(variables.iter().copied()).env("SH", shell.join(" ")).output()?);
    }
    assert!(outputs.iter().all(|o| *o == outputs[0]), "{outputs:?}");
    outputs.into_iter().next().ok_or_else(|| "no shell on this machine".into())
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Prints the variables that begin so, but for those that are another in each run.
fn printer(prefix: &str) -> String {
    let others = "SUBMIT_DIR|CWD|TMPDIR|TASK_PID|JOB_UID|JOB_GID|JOB_USER|JOBPID|JOBRES_PID|FILENAME|HOSTFILE|EXECUSER";
    format!(
        "env | grep '^{prefix}' | grep -v -E '{others}' | sed \"s/$(cat /etc/hostname 2>/dev/null || echo localhost)/HERE/g\" | sort\n"
    )
}

#[story]
fn a_slurm_script_finds_its_variables() -> Outcome {
    let script = format!(
        "#!/bin/sh\n#SBATCH -n 4 -c 2\nset -u\n[ -d \"$SLURM_SUBMIT_DIR\" ]\n[ \"$SLURM_SUBMIT_DIR\" = \"$PWD\" ] && {}",
        printer("SLURM")
    );
    assert_eq!(
        lines(&report(&script, SINGLE, None)?),
        [
            "SLURMD_NODENAME=HERE",
            "SLURM_CLUSTER_NAME=awsb",
            "SLURM_CPUS_ON_NODE=8",
            "SLURM_CPUS_PER_TASK=2",
            "SLURM_GTIDS=0",
            "SLURM_JOBID=8f2c0d3e",
            "SLURM_JOB_CPUS_PER_NODE=8",
            "SLURM_JOB_ID=8f2c0d3e",
            "SLURM_JOB_NAME=my-job",
            "SLURM_JOB_NODELIST=HERE",
            "SLURM_JOB_NUM_NODES=1",
            "SLURM_JOB_PARTITION=queue",
            "SLURM_LOCALID=0",
            "SLURM_NNODES=1",
            "SLURM_NODEID=0",
            "SLURM_NODELIST=HERE",
            "SLURM_NODE_ALIASES=(null)",
            "SLURM_NPROCS=4",
            "SLURM_NTASKS=4",
            "SLURM_PRIO_PROCESS=0",
            "SLURM_PROCID=0",
            "SLURM_SUBMIT_HOST=login",
            "SLURM_TASKS_PER_NODE=4",
            "SLURM_TOPOLOGY_ADDR=HERE",
            "SLURM_TOPOLOGY_ADDR_PATTERN=node",
        ]
    );
    let script = format!("#!/bin/sh\n#SBATCH -N 3 -n 7 -c 2\n{}", printer("SLURM_.*NODE"));
    let addresses = ("AWSB_NODES", "10.0.0.1 10.0.0.2 10.0.0.3");
    assert_eq!(
        lines(&report(&script, &[NODE, &[addresses]].concat(), None)?),
        [
            "SLURM_CPUS_ON_NODE=6",
            "SLURM_JOB_CPUS_PER_NODE=6(x3)",
            "SLURM_JOB_NODELIST=10.0.0.1,10.0.0.2,10.0.0.3",
            "SLURM_JOB_NUM_NODES=3",
            "SLURM_NNODES=3",
            "SLURM_NODEID=0",
            "SLURM_NODELIST=10.0.0.1,10.0.0.2,10.0.0.3",
            "SLURM_NODE_ALIASES=(null)",
            "SLURM_TASKS_PER_NODE=3,2(x2)",
        ]
    );
    let script = "#!/bin/sh\n#SBATCH -J 'map reads' --mem-per-cpu=8M\nset -u\necho $SLURM_JOB_NAME $SLURM_MEM_PER_CPU\n\
                  [ \"$SLURM_JOB_UID:$SLURM_JOB_GID\" = \"$(id -u):$(id -g)\" ]\n[ \"$SLURM_JOB_USER\" ]\n\
                  [ -d \"$SLURM_TMPDIR\" ] && [ \"$SLURM_TMPDIR\" != \"$PWD\" ]\n[ -d \"$TMPDIR\" ]\n\
                  [ $SLURM_TASK_PID = $$ ] && echo $?\n";
    assert_eq!(lines(&report(script, SINGLE, None)?), ["map reads 8", "0"]);
    // A script without such lines finds nothing of it.
    assert!(
        lines(&report("#!/bin/sh\nenv | grep -e SLURM -e LSB; command -v srun; :\n", SINGLE, None)?)
            .is_empty()
    );
    Ok(())
}

#[story]
fn a_task_of_an_array_knows_which_one_it_is() -> Outcome {
    let script =
        format!("#!/bin/sh\n#SBATCH --array=10-50:10\necho $SLURM_JOB_ID\n{}", printer("SLURM_ARRAY"));
    assert_eq!(
        lines(&report(&script, CHILD, None)?),
        [
            "8f2c0d3e:3",
            "SLURM_ARRAY_JOB_ID=8f2c0d3e",
            "SLURM_ARRAY_TASK_COUNT=5",
            "SLURM_ARRAY_TASK_ID=40",
            "SLURM_ARRAY_TASK_MAX=50",
            "SLURM_ARRAY_TASK_MIN=10",
            "SLURM_ARRAY_TASK_STEP=10",
        ]
    );
    // Of an array that was given its size alone, the indices are the IDs.
    let script = format!("#!/bin/sh\n#SBATCH -n 1\necho $SLURM_JOB_ID\n{}", printer("SLURM_ARRAY"));
    assert_eq!(
        lines(&report(&script, &CHILD[..3], None)?)[2..],
        [
            "SLURM_ARRAY_TASK_COUNT=5",
            "SLURM_ARRAY_TASK_ID=3",
            "SLURM_ARRAY_TASK_MAX=4",
            "SLURM_ARRAY_TASK_MIN=0",
            "SLURM_ARRAY_TASK_STEP=1",
        ]
    );
    assert_eq!(lines(&report(&script, SINGLE, None)?), ["8f2c0d3e"]);

    let script = format!("#!/bin/sh\n#BSUB -J 'a[10-50:10]'\n#BSUB -n 2\n{}", printer("LSB"));
    assert_eq!(
        lines(&report(&script, CHILD, None)?),
        [
            "LSB_BATCH_JID=8f2c0d3e[40]",
            "LSB_DJOB_NUMPROC=2",
            "LSB_EXEC_CLUSTER=awsb",
            "LSB_EXIT_PRE_ABORT=99",
            "LSB_HOSTS=HERE HERE",
            "LSB_JOBEXIT_STAT=0",
            "LSB_JOBID=8f2c0d3e",
            "LSB_JOBINDEX=40",
            "LSB_JOBINDEX_END=50",
            "LSB_JOBINDEX_STEP=10",
            "LSB_JOBNAME=a[10-50:10]",
            "LSB_MAX_NUM_PROCESSORS=2",
            "LSB_MCPU_HOSTS=HERE 2",
            "LSB_PROJECT_NAME=default",
            "LSB_QUEUE=",
            "LSB_SUB_HOST=login",
            "LSB_TRAPSIGS=trap # 15 10 12 2 1",
        ]
    );
    let script = "#!/bin/sh\n#BSUB -n 3\nset -u\necho $LSB_JOBID $LSB_BATCH_JID $LSB_JOBINDEX\ncat $LSB_DJOB_HOSTFILE | grep -c .\n\
                  [ $LS_JOBPID = $$ ] && [ \"$LS_SUBCWD\" = \"$PWD\" ] && [ \"$LSFUSER\" ] && echo ${LSF_BINDIR-none}\n";
    let output = lines(&report(script, &[SINGLE, &[("LSF_BINDIR", "/lsf/bin")]].concat(), None)?);
    assert_eq!(output, ["8f2c0d3e 8f2c0d3e 0", "3", "none"]);
    let script = "#!/bin/sh\n#BSUB -n 4 -R 'span[ptile=2]'\necho $LSB_HOSTS, $LSB_MCPU_HOSTS\n";
    let nodes = [("AWSB_NODES", "n0 n1"), ("AWS_BATCH_JOB_NUM_NODES", "2")];
    assert_eq!(lines(&report(script, &nodes, None)?), ["n0 n0 n1 n1, n0 2 n1 2"]);
    // Each task of a list has the step and the end of its own range.
    let script =
        "#!/bin/sh\n#BSUB -J 'a[1-10:3,20]'\necho $LSB_JOBINDEX $LSB_JOBINDEX_STEP $LSB_JOBINDEX_END\n";
    for (index, expected) in [("1", "4 3 10"), ("4", "20 1 20")] {
        assert_eq!(lines(&report(script, &[("AWS_BATCH_JOB_ARRAY_INDEX", index)], None)?), [expected]);
    }
    Ok(())
}

#[story]
fn a_job_has_a_number_where_its_id_is_a_uuid() -> Outcome {
    const UUID: &str = "8f2c0d3e-1111-4222-8333-444455556666";
    let numbers = |id: &str| -> Result<Vec<String>, Box<dyn std::error::Error>> {
        let index = id.split_once(':').map_or("", |(_, index)| index);
        let variables = [("AWS_BATCH_JOB_ID", id), ("AWS_BATCH_JOB_ARRAY_INDEX", index)];
        let slurm = "#!/bin/sh\n#SBATCH -J n\nset -eu\necho $SLURM_JOB_ID\n\
                     case $SLURM_JOB_ID in *[!0-9]*) ;; *) : $((10000 + SLURM_JOB_ID % 50000)) ;; esac\n\
                     echo ${SLURM_ARRAY_JOB_ID-none}\n";
        let lsf = "#!/bin/sh\n#BSUB -J n\nset -eu\necho $LSB_JOBID\n";
        let mut said_by_both = lines(&report(slurm, &variables, None)?);
        said_by_both.splice(1..1, lines(&report(lsf, &variables, None)?));
        Ok(said_by_both)
    };
    let job = (0x8f_2c0d_3e11_u64 + (1 << 40)).to_string();
    assert_eq!(numbers(UUID)?, [job.as_str(), &job, "none"]);
    assert_eq!(numbers(&format!("{UUID}#2"))?, [job.as_str(), &job, "none"]);
    for index in [0, 3, 9999] {
        let child = JobNumber::of(&format!("{UUID}:{index}").parse()?).ok_or("no number")?.to_string();
        assert_eq!(numbers(&format!("{UUID}:{index}"))?, [child.as_str(), &job, &job], "{index}");
    }
    for (id, slurm, lsf) in [
        ("a-b-c-d:3", "a-b-c-d:3", "a-b-c-d"),
        ("8f2c0d3e-1111-4222-8333-44445555666g", "", ""),
        ("--------1111-4222-8333-444455556666", "", ""),
    ] {
        let slurm = if slurm.is_empty() { id } else { slurm };
        let lsf = if lsf.is_empty() { id } else { lsf };
        assert_eq!(numbers(id)?[..2], [slurm, lsf]);
    }
    Ok(())
}

/// A number that is calculated with 32 bits would be that of another job, or of none.
#[story]
fn a_shell_that_cannot_calculate_the_number_keeps_the_id() -> Outcome {
    const UUID: &str = "8f2c0d3e-1111-4222-8333-444455556666";
    program("mksh");
    let child = format!("{UUID}:3");
    for (head, index, id, expected) in [
        ("#SBATCH -J n", "", UUID, UUID.to_owned()),
        ("#SBATCH -J n", "3", &child, format!("{child} {UUID}")),
        ("#BSUB -J n", "", UUID, UUID.to_owned()),
        ("#BSUB -J n", "3", &child, UUID.to_owned()),
    ] {
        let text = format!(
            "#!/bin/sh\n{head}\nset -eu\n\
             echo ${{SLURM_JOB_ID-$LSB_JOBID}} ${{SLURM_ARRAY_JOB_ID-}}\n"
        );
        let mut spec = spec(&text)?;
        if !index.is_empty() {
            spec.shape = Shape::Array(Tasks::sized("5".parse()?)?);
        }
        let place = tempfile::tempdir()?;
        let mut command = command(&plan(&spec)?, &["mksh"], place.path());
        command.env("PATH", "/usr/bin:/bin");
        command.envs([("AWS_BATCH_JOB_ID", id), ("AWS_BATCH_JOB_ARRAY_INDEX", index)]);
        assert_eq!(lines(&command.output()?), [expected], "{head} {index}");
    }
    Ok(())
}

#[story]
fn a_number_that_a_job_prints_names_the_job() {
    let sandbox = Sandbox::new();
    sandbox.file("job.sh", "#!/bin/sh\n#SBATCH --array=5-6\necho $SLURM_JOB_ID $SLURM_ARRAY_JOB_ID\n");
    let id = sandbox.run("bsub", ["-K", "--parsable", "job.sh"]).ok().job_id();
    let messages = sandbox.run("bout", ["--task", "6", "--no-prefix", &id]).ok().stdout;
    let (child, array) = messages.trim_end().split_once(' ').expect("two numbers");
    // Somebody who has not submitted it finds it, too.
    std::fs::remove_dir_all(sandbox.work().join("../state/awsb/jobs")).expect("the record of submissions");
    let found = sandbox.run("bstat", ["--json", child, array]).ok().json();
    assert_eq!((&found[0]["jobId"], &found[1]["jobId"]), (&format!("{id}:1").into(), &id.as_str().into()));
    assert_eq!(found[0]["number"].to_string(), child);
    assert_eq!(sandbox.run("bout", ["--no-prefix", child]).ok().stdout, messages);
}

/// `srun` under the shell of the test, whatever its `#!` line says.
fn srun(options: &str) -> String {
    format!("$SH \"$(command -v srun)\" {options}\n")
}

#[story]
fn srun_starts_as_many_tasks_as_the_job_has() -> Outcome {
    let head = "#!/bin/sh\n#SBATCH --ntasks=3\n";
    let tell = "sh -c 'echo $SLURM_PROCID of $SLURM_NTASKS'";
    for (options, expected) in [
        (
            format!("-o %j-%A-%a-%t.out {tell}; cat 8f2c0d3e-8f2c0d3e-4294967294-?.out"),
            vec!["0 of 3", "1 of 3", "2 of 3"],
        ),
        (format!("-o %x.%3t.%%.%s.%n {tell}; cat my-job.002.%.0.0"), vec!["2 of 3"]),
        (format!("-n 1 -o %J.out {tell}; cat 8f2c0d3e.0.out"), vec!["0 of 1"]),
        ("-n 1 -o %t.out -e %t.err sh -c 'echo out; echo err >&2'; cat 0.err".to_owned(), vec!["err"]),
        (tell.to_owned(), vec!["0 of 3", "1 of 3", "2 of 3"]),
        (format!("-n2 {tell}"), vec!["0 of 2", "1 of 2"]),
        (format!("-n 1 -- {tell}"), vec!["0 of 1"]),
        (format!("--ntasks=2 --mpi=pmix -N1 --cpu-bind cores -lu {tell}"), vec!["0 of 2", "1 of 2"]),
        (format!("--exclusive -Qn2 -K1 --export=ALL --overlap -J name {tell}"), vec!["0 of 2", "1 of 2"]),
        (format!("-o out.txt {tell}; sort out.txt"), vec!["0 of 3", "1 of 3", "2 of 3"]),
        ("-n 1 -c 8 sh -c 'echo $SLURM_CPUS_PER_TASK'".to_owned(), vec!["8"]),
        ("-n 1 printf '%s\\n' 'a b' '$x'".to_owned(), vec!["$x", "a b"]),
    ] {
        let output = report(&format!("{head}({}) | sort\n", srun(&options)), SINGLE, None)?;
        assert_eq!(lines(&output), expected, "{options}");
    }
    Ok(())
}

#[story]
fn srun_says_what_it_cannot_do() -> Outcome {
    for (options, code, expected) in [
        ("-l -w node1 true", 0, "srun: options without effect here: -l -w\n"),
        ("", 1, "srun: no command to run\n"),
        ("-n", 1, "srun: -n needs a value\n"),
        ("-n two true", 1, "srun: -n: two is not positive\n"),
        // An option that srun does not have is taken for one with a value.
        ("-n 1 --bogus true", 1, "srun: no command to run\n"),
        ("--multi-prog f", 1, "srun: --multi-prog is Slurm only: a script can look at SLURM_PROCID\n"),
        // Names that bsub has not seen, as in a script that is in the image.
        (r"-o out.$(printf '\0453t') true", 1, "srun: out.%3t: a script needs # %t\n"),
        (r"-i in.$(printf '\045a') true", 1, "srun: in.%a: a script needs # %t\n"),
    ] {
        let output = report(&format!("#!/bin/sh\n#SBATCH -n 1\n{}", srun(options)), SINGLE, None)?;
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected, "{options}");
        assert_eq!(output.status.code(), Some(code), "{options}");
    }
    let output = report(&format!("#!/bin/sh\n#SBATCH -N 3\n{}", srun("true")), NODE, None)?;
    assert_eq!(output.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no mpirun"), "{output:?}");
    Ok(())
}

#[story]
fn scontrol_shows_the_names_of_the_nodes() -> Outcome {
    let scontrol =
        |arguments: &str| format!("#!/bin/sh\n#SBATCH -n 1\n$SH \"$(command -v scontrol)\" {arguments}\n");
    for (arguments, expected) in [
        ("show hostnames 'n[01-03,7],b,c[9-11]-x'", "n01 n02 n03 n7 b c9-x c10-x c11-x"),
        ("show hostnames 'r[1-2]n[08-10]'", "r1n08 r1n09 r1n10 r2n08 r2n09 r2n10"),
        ("show hostname one", "one"),
        ("show hostnames | sed 's/^..*/some/'", "some"),
        ("show hostlist 'a,b[1-2]'", "a,b1,b2"),
    ] {
        assert_eq!(lines(&report(&scontrol(arguments), SINGLE, None)?).join(" "), expected, "{arguments}");
    }
    let output = report(&scontrol("requeue 1"), SINGLE, None)?;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).starts_with("scontrol: awsb runs this job"),
        "{output:?}"
    );
    Ok(())
}

#[story]
fn mpi_libraries_are_kept_from_looking_for_slurm_or_lsf() -> Outcome {
    let tell = "env | grep -E '^(OMPI_MCA|PRTE_MCA|HYDRA|I_MPI)' | sort\n";
    for head in ["#SBATCH -n 1", "#BSUB -n 1"] {
        let script = format!("#!/bin/sh\n{head}\n{tell}");
        let expected = |launcher: &str, plm: &str, more: &[&str]| {
            let mut all = vec![
                format!("HYDRA_LAUNCHER={launcher}"),
                format!("I_MPI_HYDRA_BOOTSTRAP={launcher}"),
                format!("OMPI_MCA_plm={plm}"),
                "OMPI_MCA_ras=^slurm,lsf".to_owned(),
                "PRTE_MCA_plm=^slurm,lsf".to_owned(),
                "PRTE_MCA_ras=^slurm,lsf".to_owned(),
            ];
            all.extend(more.iter().map(|one| (*one).to_owned()));
            all.sort();
            all
        };
        assert_eq!(lines(&report(&script, SINGLE, None)?), expected("fork", "^slurm,lsf", &[]));
        // Variables that the user sets stay.
        let own = [SINGLE, &[("OMPI_MCA_plm", "rsh"), ("HYDRA_LAUNCHER", "fork")]].concat();
        assert_eq!(lines(&report(&script, &own, None)?), expected("fork", "rsh", &[]));
        let nodes = [NODE, &[("AWSB_NODES", "n0 n1 n2")]].concat();
        let there = "/usr/local/lib/awsb/launch.sh";
        let more = [format!("HYDRA_LAUNCHER_EXEC={there}"), format!("I_MPI_HYDRA_BOOTSTRAP_EXEC={there}")];
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        assert_eq!(lines(&report(&script, &nodes, None)?), expected("ssh", "^slurm,lsf", &more));
    }
    Ok(())
}

#[story]
fn the_highest_exit_code_is_sruns() -> Outcome {
    let script = format!("#!/bin/sh\n#SBATCH -n 4\n{}", srun("sh -c 'exit $(((SLURM_PROCID + 2) % 4))'"));
    assert_eq!(report(&script, SINGLE, None)?.status.code(), Some(3));
    let script = format!("#!/bin/sh\n#SBATCH -n 1\n{}", srun("sh -c 'exit 7'"));
    assert_eq!(report(&script, SINGLE, None)?.status.code(), Some(7));
    Ok(())
}

#[story]
fn a_signal_to_srun_reaches_its_tasks() -> Outcome {
    let task = "trap 'echo task $SLURM_PROCID ends; exit 0' TERM; echo ready; i=0; while [ $((i += 1)) -lt 3000 ]; do sleep 0.02; done";
    let text =
        format!("#!/bin/sh\n#SBATCH -n 2\nexec {}", srun(&format!("sh -c \"{}\"", task.replace('$', "\\$"))));
    let plan = plan(&spec(&text)?)?;
    let tools = few_tools()?;
    for shell in shells() {
        let place = tempfile::tempdir()?;
        let mut command = command(&plan, shell, place.path());
        let mut job = command
            .env("PATH", tools.path())
            .env("SH", shell.join(" "))
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let pid = Pid::from_raw(i32::try_from(job.id())?);
        let mut stdout = BufReader::new(job.stdout.take().ok_or("its output")?);
        let mut line = String::new();
        for _ in 0..2 {
            stdout.read_line(&mut line)?;
        }
        assert_eq!(line, "ready\nready\n", "{shell:?}");
        // To srun alone: `exec` made the job's process it.
        nix::sys::signal::kill(pid, Signal::SIGTERM)?;
        let mut rest = String::new();
        stdout.read_to_string(&mut rest)?;
        let mut ended: Vec<&str> = rest.lines().collect();
        ended.sort_unstable();
        assert_eq!(ended, ["task 0 ends", "task 1 ends"], "{shell:?}");
        assert_eq!(job.wait()?.code(), Some(0), "{shell:?}");
        let _ = killpg(pid, Signal::SIGKILL);
    }
    Ok(())
}

#[story]
fn a_signal_comes_before_the_time_is_up() -> Outcome {
    // The time is over when all that the signal is for is ready, and not sooner.
    let tools = few_tools()?;
    std::fs::remove_file(tools.path().join("sleep"))?;
    let nap = ["/bin/sleep", "/usr/bin/sleep"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .ok_or("no sleep")?;
    executable(
        &tools.path().join("sleep"),
        &format!(
            "#!/bin/sh\necho $1 >$READY/asked\nuntil [ -e $READY/1 ] && [ -e $READY/2 ]; do {nap} 0.01; done\n"
        ),
    )?;
    let wait = |name: &str, ready: &str, naps: &str| {
        format!(
            "trap 'echo {name}; exit 0' USR1; for i in {ready}; do : >$READY/$i; done; until false; do {naps} 0.01; done"
        )
    };
    let srun = |options: &str, ready: &str| {
        let task = wait("step", ready, nap).replace('\'', "'\\''");
        format!("trap 'echo script' USR1; {}", srun(&format!("{options} sh -c '{task}'")))
    };
    for (head, body, asked, expected) in [
        ("#SBATCH -t 60 --signal=B:USR1@120", wait("script", "1 2", nap), "3480", "script\n"),
        ("#SBATCH -t 60 --signal=USR1", srun("-n 1", "1 2"), "3540", "step\n"),
        ("#SBATCH -t 60 --signal=10@7200 -n 2", srun("", "$((SLURM_PROCID + 1))"), "0", "step\nstep\n"),
        ("#BSUB -W 60 -wa USR1 -wt 10", wait("script", "1 2", nap), "3000", "script\n"),
    ] {
        let plan = plan(&spec(&format!("#!/bin/sh\n{head}\n{body}\n"))?)?;
        // The sleep of busybox is a part of its shell.
        for shell in shells().into_iter().filter(|shell| shell[0] != "busybox") {
            let place = tempfile::tempdir()?;
            let mut command = command(&plan, shell, place.path());
            command.env("PATH", tools.path()).env("SH", shell.join(" ")).env("READY", place.path());
            // LSF's goes to the whole process group.
            let output = command.process_group(0).stdin(Stdio::null()).output()?;
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{head} {shell:?}: {output:?}");
            assert_eq!(std::fs::read_to_string(place.path().join("asked"))?.trim(), asked, "{head}");
        }
    }
    Ok(())
}

#[story]
fn on_the_other_nodes_a_script_does_not_run() -> Outcome {
    for text in
        ["#!/bin/sh\n#SBATCH -N 2\necho runs\n", "#!/bin/sh\n#BSUB -n 2 -R 'span[ptile=1]'\necho runs\n"]
    {
        let plan = plan(&spec(text)?)?;
        for shell in shells() {
            let place = tempfile::tempdir()?;
            let mut command = command(&plan, shell, place.path());
            command.envs([("AWS_BATCH_JOB_NODE_INDEX", "1"), ("AWS_BATCH_JOB_MAIN_NODE_INDEX", "0")]);
            let job = command.stdout(Stdio::piped()).process_group(0).spawn()?;
            let pid = Pid::from_raw(i32::try_from(job.id())?);
            // The waiting process has a child that sleeps.
            awsb_testkit::eventually("the node waits", Duration::from_secs(30), || {
                let asleep =
                    std::process::Command::new("ps").args(["-A", "-o", "ppid=,comm="]).output().ok()?;
                let list = String::from_utf8_lossy(&asleep.stdout).into_owned();
                let mut processes =
                    list.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
                processes.any(|(ppid, name)| ppid == pid.to_string() && name.trim() == "sleep").then_some(())
            });
            nix::sys::signal::kill(pid, Signal::SIGTERM)?;
            let output = job.wait_with_output()?;
            let _ = killpg(pid, Signal::SIGKILL);
            assert_eq!(
                (output.status.code(), output.stdout.as_slice()),
                (Some(0), b"".as_slice()),
                "{shell:?}"
            );
        }
    }
    Ok(())
}

/// An `mpirun` that starts one rank after the other, and says how it was called.
const MPIRUN: &str = r#"#!/bin/sh
echo "mpirun $1 $2"
n=$2 i=0
shift 2
while [ $i -lt $n ]; do
  env -u SLURM_PROCID OMPI_COMM_WORLD_RANK=$i OMPI_COMM_WORLD_LOCAL_RANK=$i "$@" || exit
  i=$((i + 1))
done
"#;

#[story]
fn mpi_programs_go_through_mpirun() -> Outcome {
    let tools = tempfile::tempdir()?;
    executable(&tools.path().join("mpirun"), MPIRUN)?;
    let tell = "sh -c 'echo $SLURM_PROCID of $SLURM_NTASKS, $OMP_NUM_THREADS threads'";
    let script =
        format!("#!/bin/sh\n#SBATCH -n 2 -c 4\nexport OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK\n{}", srun(tell));
    let expected = ["mpirun -n 2", "0 of 2, 4 threads", "1 of 2, 4 threads"];
    assert_eq!(lines(&report(&script, SINGLE, Some(tools.path()))?), expected);

    // Open MPI takes no variables to other nodes, so this one takes none at all.
    executable(
        &tools.path().join("mpirun"),
        &MPIRUN.replace("env -u SLURM_PROCID", "env -i PATH=\"$PATH\""),
    )?;
    let script = script.replace("-n 2 -c 4", "-N 3 --ntasks-per-node=1 -c 4");
    let expected = ["mpirun -n 3", "0 of 3, 4 threads", "1 of 3, 4 threads", "2 of 3, 4 threads"];
    assert_eq!(lines(&report(&script, NODE, Some(tools.path()))?), expected);
    // A step of one task stays on its node.
    let script = format!("#!/bin/sh\n#SBATCH -N 3\n{}", srun("-N1 -n1 echo here"));
    assert_eq!(lines(&report(&script, NODE, Some(tools.path()))?), ["here"]);
    Ok(())
}

#[story]
fn what_runs_in_the_job_passes_shellcheck() -> Outcome {
    use awsb_model::payload::launcher::{Transport, for_bundle};
    for directives in [
        "#SBATCH -n 2 -c 4\n#BSUB -n 2\nsrun scontrol\n",
        "#SBATCH -a 1,3 -t 60 --signal=USR1@9\n#BSUB -n 2\nsrun -o %t.out scontrol\n",
        "#SBATCH -N 2 -t 60 --signal=USR1@9\n#BSUB -n 2\nsrun -o %t.out scontrol\n",
    ] {
        let plan = plan(&spec(&format!("#!/bin/sh\n{directives}"))?)?;
        let place = tempfile::tempdir()?;
        let bundle = plan.bundles.first().ok_or("a script from Slurm has a bundle")?;
        std::fs::write(place.path().join("bundle.tar.gz"), bundle.bytes())?;
        let tar = std::process::Command::new("tar")
            .args(["-xzf", "bundle.tar.gz"])
            .current_dir(place.path())
            .status()?;
        assert!(tar.success());
        let head = for_bundle(Transport::Inline).replace("eval \"${AWSB_START:-. ./.awsb/start}\"\n", "");
        let start = std::fs::read_to_string(place.path().join(".awsb/start"))?;
        assert!(start.contains("SLURM_JOB_ID") && start.contains("LSB_JOBID"), "{start}");
        // SC2016: dollars in a message, and in what a task's shell runs, are meant as they stand.
        // SC2064: what a trap does is known when it is set. SC2086: process IDs are words.
        if shellcheck((head + &start).as_bytes(), "SC2016,SC1091")? {
            for program in ["srun", "scontrol"] {
                let text = std::fs::read(place.path().join(".awsb-slurm").join(program))?;
                shellcheck(&text, "SC2016,SC2064,SC2086")?;
            }
        }
    }
    Ok(())
}

// From here on: through the real `bsub`, on a local cluster.

/// Submits a script, waits for it, and returns what it said.
fn submitted(sandbox: &Sandbox, options: &[&str], script: &str) -> Vec<String> {
    sandbox.file("job.sh", script);
    let outcome = sandbox.run("bsub", options.iter().copied().chain(["-I", "job.sh"])).ok();
    let mut lines: Vec<String> = outcome.stdout.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[story]
fn an_array_over_files() {
    let sandbox = Sandbox::new();
    let slurm = r#"#!/bin/bash -l
#SBATCH --job-name=words
#SBATCH --account=lab --partition=short
#SBATCH --array=2-6:2%2
#SBATCH --time=0:10:00
#SBATCH --output=words-%A_%a.out
set -euo pipefail
cd "$SLURM_SUBMIT_DIR"
files=(none a.txt b.txt c.txt d.txt e.txt f.txt)
echo "task $SLURM_ARRAY_TASK_ID of $SLURM_ARRAY_TASK_MIN-$SLURM_ARRAY_TASK_MAX: ${files[$SLURM_ARRAY_TASK_ID]}"
"#;
    let report = submitted(&sandbox, &["-q", "local"], slurm);
    let tasks: Vec<&str> = report.iter().filter_map(|line| Some(&line[line.find("task ")?..])).collect();
    assert_eq!(tasks, ["task 2 of 2-6: b.txt", "task 4 of 2-6: d.txt", "task 6 of 2-6: f.txt"], "{report:?}");

    let lsf = r#"#!/bin/sh
#BSUB -J "words[3,7]"
#BSUB -o words.%J.%I
#BSUB -W 0:10
echo "$LSB_JOBNAME $LSB_JOBINDEX: file$LSB_JOBINDEX.txt"
"#;
    let report = submitted(&sandbox, &[], lsf);
    let tasks: Vec<&str> = report.iter().filter_map(|line| Some(&line[line.find("words[")?..])).collect();
    assert_eq!(tasks, ["words[3,7] 3: file3.txt", "words[3,7] 7: file7.txt"], "{report:?}");
}

#[story]
fn an_openmp_program() {
    let sandbox = Sandbox::new();
    let slurm = "#!/bin/sh\n#SBATCH -J threads -c 2 --mem=64M\nset -u\n\
                 export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK\nsrun sh -c 'echo $OMP_NUM_THREADS threads, \
                 $SLURM_MEM_PER_NODE MiB, $SLURM_JOB_NAME'\n";
    assert_eq!(submitted(&sandbox, &[], slurm), ["2 threads, 64 MiB, threads"]);
    let lsf = "#!/bin/sh\n#BSUB -n 2\n#BSUB -R 'span[hosts=1] rusage[mem=64M]'\n\
               export OMP_NUM_THREADS=$LSB_DJOB_NUMPROC\necho $OMP_NUM_THREADS threads\n";
    assert_eq!(submitted(&sandbox, &[], lsf), ["2 threads"]);
    // The options of the command line win.
    assert_eq!(submitted(&sandbox, &["--mem", "32M", "-J", "mine"], slurm), ["2 threads, 32 MiB, mine"]);
}

#[story]
fn an_mpi_program() -> Outcome {
    let sandbox = Sandbox::new();
    executable(&sandbox.file("tools/mpirun", ""), MPIRUN)?;
    let path = format!("PATH={}:/usr/bin:/bin", sandbox.work().join("tools").display());
    let program = "sh -c 'echo rank $OMPI_COMM_WORLD_RANK of $SLURM_NTASKS on $SLURM_NNODES'";
    let one = format!("#!/bin/sh\n#SBATCH --ntasks=2\n#SBATCH --mem-per-cpu=32\nsrun --mpi=pmix {program}\n");
    assert_eq!(
        submitted(&sandbox, &["-e", &path], &one),
        ["mpirun -n 2", "rank 0 of 2 on 1", "rank 1 of 2 on 1"]
    );
    let nodes = format!("#!/bin/sh\n#SBATCH -N 2 --ntasks-per-node=1 --mem=32\nsrun {program}\n");
    let report = submitted(&sandbox, &["-e", &path], &nodes);
    let ranks: Vec<&str> = report.iter().filter_map(|line| Some(&line[line.find("rank ")?..])).collect();
    assert_eq!(ranks, ["rank 0 of 2 on 2", "rank 1 of 2 on 2"], "{report:?}");
    let lsf = "#!/bin/sh\n#BSUB -n 2\nmpirun -n $LSB_DJOB_NUMPROC sh -c 'echo rank $OMPI_COMM_WORLD_RANK'\n";
    assert_eq!(submitted(&sandbox, &["-e", &path], lsf), ["mpirun -n 2", "rank 0", "rank 1"]);
    Ok(())
}

#[story]
fn gpus_are_asked_for() {
    let sandbox = Sandbox::new();
    for head in [
        "#SBATCH --gres=gpu:a100:2 -c 4 --mem=8G",
        "#BSUB -gpu num=2 -n 4 -M 8G",
        "#AWSB --gpus 2 -p 4 -m 8G",
    ] {
        sandbox.file("job.sh", format!("#!/bin/sh\n{head}\nnvidia-smi\n"));
        let requests = sandbox.run("bsub", ["--dry-run", "job.sh"]).ok().json();
        let asked = requests
            .as_array()
            .and_then(|all| {
                all.iter().find_map(|r| r["request"]["containerOverrides"]["resourceRequirements"].as_array())
            })
            .map(|list| {
                list.iter()
                    .map(|r| {
                        format!("{}={}", r["type"].as_str().unwrap_or(""), r["value"].as_str().unwrap_or(""))
                    })
                    .collect::<Vec<_>>()
            });
        assert_eq!(
            asked,
            Some(vec!["VCPU=4".into(), "MEMORY=8192".into(), "GPU=2".into()]),
            "{head}: {requests}"
        );
    }
}

#[story]
fn what_a_script_asks_for_and_batch_does_in_another_way_is_said() {
    let sandbox = Sandbox::new();
    let job = |head: &str| sandbox.file("job.sh", format!("#!/bin/sh\n{head}\ntrue\n"));
    job("#SBATCH --array=1-3%1");
    let outcome = sandbox.run("bsub", ["--dry-run", "job.sh"]).ok();
    assert!(outcome.stdout.contains("awsb-limit-") && !outcome.stdout.contains("SEQUENTIAL"), "{outcome}");
    assert!(
        outcome.stderr.contains("note: --array 1-3%1: at most one task runs at the same time"),
        "{outcome}"
    );
    let other = sandbox.run("bsub", ["--dry-run", "--array", "1-3", "job.sh"]).ok();
    assert!(!other.stdout.contains("awsb-limit-"), "{other}");

    job("#SBATCH --signal=B:USR1@60");
    let outcome = sandbox.run("bsub", ["--dry-run", "job.sh"]).ok();
    assert!(outcome.stderr.contains("warning: the script asks for a signal 60 seconds before"), "{outcome}");
    assert!(
        sandbox.run("bsub", ["--dry-run", "--strict", "job.sh"]).failed_with(2).contains("no time limit")
    );
    let timed = sandbox.run("bsub", ["--dry-run", "--strict", "-t", "2h", "job.sh"]).ok();
    assert_eq!(timed.stderr, "");

    for head in ["#SBATCH --mem=0", "#SBATCH --exclusive", "#BSUB -x"] {
        job(head);
        let outcome = sandbox.run("bsub", ["--dry-run", "-m", "96M", "job.sh"]).ok();
        assert!(outcome.stderr.contains("the job has 96 MiB of memory\n"), "{head}: {outcome}");
        let outcome = sandbox.run("bsub", ["--dry-run", "job.sh"]).ok();
        assert!(outcome.stderr.contains("of memory, as its job definition says"), "{head}: {outcome}");
    }
    job("#SBATCH --time=00:00:30");
    let outcome = sandbox.run("bsub", ["--dry-run", "--strict", "job.sh"]).ok();
    assert!(outcome.stderr.contains("Batch's shortest time limit is 60 seconds"), "{outcome}");
}

#[story]
fn a_chain_of_dependencies() {
    let sandbox = Sandbox::new();
    let first = sandbox.file("first.sh", "#!/bin/sh\nexit 3\n");
    let first = sandbox.run("bsub", ["--parsable", &first.display().to_string()]).ok().stdout;
    let first = first.trim();
    // Running without what it waits for would be wrong: its failure is the others', too.
    for head in [format!("#SBATCH --dependency=afterok:{first}"), format!("#BSUB -w 'done({first})'")] {
        sandbox.file("second.sh", format!("#!/bin/sh\n{head}\necho ran\n"));
        let second = sandbox.run("bsub", ["-K", "second.sh"]).ended_with(1);
        assert!(second.stderr.to_lowercase().contains("depend"), "{second}");
    }
    let good = sandbox.file("good.sh", "#!/bin/sh\n#SBATCH -a 1-2\nexit 0\n");
    let good = sandbox.run("bsub", ["--parsable", &good.display().to_string()]).ok().stdout;
    let next = format!(
        "#!/bin/sh\n#SBATCH -d aftercorr:{}\n#SBATCH --array=1-2\necho ran $SLURM_ARRAY_TASK_ID\n",
        good.trim()
    );
    let report = submitted(&sandbox, &[], &next);
    assert_eq!(report.iter().filter(|line| line.contains("ran ")).count(), 2, "{report:?}");
    sandbox.file("wrong.sh", "#!/bin/sh\n#SBATCH --dependency=singleton\n");
    let message = sandbox.run("bsub", ["wrong.sh"]).failed_with(2);
    assert!(
        message.contains("wrong.sh, line 2: `#SBATCH --dependency=singleton`: Batch has no `singleton`"),
        "{message}"
    );
}

#[story]
fn a_script_for_slurm_or_lsf_names_its_standard_input() {
    let sandbox = Sandbox::new();
    for (name, text) in [("in.txt", "here\n"), ("other.txt", "other\n"), ("-", "dash\n")] {
        sandbox.file(name, text);
    }
    std::fs::create_dir(sandbox.work().join("data")).expect("a folder");
    sandbox.file("data/in.txt", "below\n");
    let data = sandbox.work().join("data").display().to_string();
    let run = |head: &str, args: &[&str]| {
        sandbox.file("job.sh", format!("#!/bin/sh\n{head}\ncat\n"));
        sandbox.run("bsub", ["-I"].iter().chain(args).chain(&["job.sh"])).ok().stdout
    };
    for head in ["#SBATCH --input=in.txt", "#SBATCH -i in.txt", "#BSUB -i in.txt", "#BSUB -is in.txt"] {
        assert_eq!(run(head, &[]), "here\n", "{head}");
        assert_eq!(run(head, &["--stdin", "other.txt"]), "other\n", "the command line wins over {head}");
    }
    assert_eq!(run("#SBATCH -i -", &[]), "dash\n", "a file of this name");
    // As with the originals, a relative name begins where the job runs.
    for head in [format!("#SBATCH -i in.txt -D {data}"), format!("#BSUB -i in.txt -cwd {data}")] {
        assert_eq!(run(&head, &[]), "below\n", "{head}");
    }
    assert_eq!(run("#SBATCH --input=/dev/null", &[]), "");
    assert_eq!(run("#BSUB -i /dev/null", &[]), "");
    for (head, reason) in [
        ("#SBATCH -i part-%a.txt", "Slurm replaces %a in the name when the job runs"),
        ("#BSUB -i part.%I", "LSF replaces %I in the name when the job runs"),
        ("#SBATCH -i missing.txt", "reading missing.txt: No such file or directory"),
    ] {
        sandbox.file("job.sh", format!("#!/bin/sh\n{head}\ncat\n"));
        let message = sandbox.run("bsub", ["-I", "job.sh"]).failed_with(2);
        assert!(message.contains(reason), "{head}: {message}");
    }
}

#[story]
fn sizes_without_a_unit_in_scripts_for_lsf_are_in_the_unit_of_the_users_cluster() {
    let mut sandbox = Sandbox::new();
    sandbox.file("job.sh", "#!/bin/sh\n#BSUB -M 4\ntrue\n");
    let memory = |sandbox: &Sandbox| {
        let outcome = sandbox.run("bsub", ["--dry-run", "job.sh"]).ok();
        assert_eq!(outcome.stderr, "", "{outcome}");
        let requests = outcome.json();
        let submit =
            requests.as_array().and_then(|all| all.iter().find(|one| one["operation"] == "SubmitJob"));
        let asked = submit.map(|one| one["request"]["containerOverrides"]["resourceRequirements"].clone());
        asked
            .unwrap_or_default()
            .as_array()
            .into_iter()
            .flatten()
            .find(|one| one["type"] == "MEMORY")
            .and_then(|one| one["value"].as_str().map(str::to_owned))
    };
    let message = sandbox.run("bsub", ["--dry-run", "job.sh"]).failed_with(2);
    assert!(
        message.contains("4 counts as KB, LSF's default") && message.contains("lsf_unit_for_limits"),
        "{message}"
    );
    sandbox.config("lsf_unit_for_limits = \"GB\"\n");
    assert_eq!(memory(&sandbox).as_deref(), Some("4096"));
    // LSF's own variable wins, as it is of this shell.
    sandbox.set("LSF_UNIT_FOR_LIMITS", "MB");
    assert_eq!(memory(&sandbox).as_deref(), Some("4"));
    sandbox.set("LSF_UNIT_FOR_LIMITS", "PB");
    let message = sandbox.run("bsub", ["--dry-run", "job.sh"]).failed_with(2);
    assert!(message.contains("LSF_UNIT_FOR_LIMITS is `PB`: the unit of sizes"), "{message}");
    // It is nothing to other scripts.
    sandbox.run("bsub", ["--dry-run", "--wrap", "true"]).ok();
}
