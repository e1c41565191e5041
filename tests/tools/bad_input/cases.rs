//! The mistakes, and the messages that they must have.

/// A command line of `bsub`, and the words that its error line has to have.
#[derive(Debug, Clone)]
pub struct Case {
    pub words: Vec<String>,
    pub says: Vec<String>,
}

/// Every option with values that are wrong, or one beyond a limit: the message names the option,
/// the value, and what would be right.
pub fn values() -> Vec<Case> {
    let table: [(&str, &[&str], &str); 98] = [
        ("--job-name", &["", "a b", "_x", "größe", "x*129"], "1 to 128 letters, digits, '-' and '_'"),
        ("--vcpus", &["0", "-1", "1.5", "0.3", "x", "100001"], "from 1 to 100000, or 0.25 or 0.5"),
        ("--memory", &["3", "0", "3000K"], "at least 4 MiB"),
        ("--memory", &["", "1Q", "-5", "4 G", "1e3"], "such as 512M or 4G"),
        ("--memory", &["2147483648", "2048T"], "2147483647 MiB"),
        ("--gpus", &["0", "-1", "1.5", "x"], "a whole number of GPUs, 1 or more"),
        ("--nodes", &["0", "1001", "-2", "x"], "1 to 1000 nodes"),
        ("--node-group", &["0", "1001", "x", "vcpus=2"], "begins with their number"),
        ("--node-group", &["2,vcpus", "2,colour=red"], "is none of vcpus=N"),
        ("--node-group", &["2,image=-x", "2,image=-x,command=y"], "can begin with '-'"),
        ("--node-group", &["2,image="], "the image is missing"),
        ("--image", &[""], "NAME, NAME:TAG or REPOSITORY/NAME:TAG"),
        ("--image", &["a b", "a:b c"], "cannot have a blank"),
        ("--image", &["größe"], "cannot have 'ö'"),
        ("--image", &["-x:1", "lab/-x"], "can begin with '-'"),
        ("--image", &["Tool", "lab/Tool"], "small letters only, and 'T' is in it"),
        ("--image", &["a:.b", "a:-b"], "a tag cannot begin with"),
        ("--image", &["a:", "a/b:"], "the tag is missing"),
        ("--image", &["a@sha256:00"], "a digest is sha256: and 64"),
        ("--container", &["", "a b", "a.b", "c*256"], "1 to 255 letters, digits, '-' and '_'"),
        ("--build-arg", &["=x", "1A=x", "a b=x"], "a build argument is NAME=VALUE"),
        ("--image", &["x*256"], "at most 255 characters"),
        (
            "--job-role",
            &["", "a b", "arn:aws:s3:::x", "arn:aws:iam::1:role/x"],
            "a role is a name, or an ARN",
        ),
        ("--execution-role", &["/x", "arn:aws:iam::123456789012:user/x"], "a role is a name, or an ARN"),
        ("--user", &["", "a b", ":1", "1:", "a:b:c"], "USER or USER:GROUP"),
        ("--ulimit", &["nofile", ""], "NAME=SOFT or NAME=SOFT:HARD"),
        ("--ulimit", &["files=1"], "'files' is not one of core, cpu"),
        ("--ulimit", &["nofile=2:1", "nofile=-1:5"], "above the hard one"),
        ("--ulimit", &["nofile=2147483648", "nofile=x"], "up to 2147483647"),
        ("--mount", &["/a", "", "/a:/b:ro:x"], "HOST:CONTAINER"),
        ("--mount", &["a:/b", "/a:b"], "not an absolute path"),
        ("--mount", &["/a:/b:rx"], "neither ro nor rw"),
        ("--efs", &["fs-0123abcd", ""], "such as fs-0123abcd:/data"),
        ("--efs", &["data:/data", "fs-x:/data"], "not the ID of an EFS file system"),
        ("--efs", &["fs-0123abcd:/a:/b:x"], "not ro, rw or iam"),
        ("--shm-size", &["0", "-5"], "MiB"),
        ("--tmpfs", &["/s", ""], "PATH:SIZE"),
        ("--tmpfs", &["s:1G", "/s:1G:x"], "'"),
        ("--device", &["", "dev/fuse"], "not an absolute path"),
        ("--device", &["/dev/a:x", "/dev/a:/dev/b:rr"], "a part of rwm"),
        ("--instance-type", &["c5", "optimal"], "FAMILY.SIZE"),
        (
            "--repository-credentials",
            &["", "arn:aws:ssm:eu-west-1:123456789012:parameter/x"],
            "Secrets Manager",
        ),
        ("--ephemeral-storage", &["20", "201", "-5", "50M"], "21 to 200"),
        ("--secret", &["DB", "DB=", "DB=arn:aws:s3:::x"], "a secret is NAME=ARN"),
        ("--secret", &["1A=/x"], "not starting with a digit"),
        ("--secret", &["AWS_BATCH_X=/x"], "AWS_BATCH_"),
        ("--env", &["", "=x", "1A=x", "A-B=x", "A,1B"], "letters, digits and '_', not starting with a digit"),
        ("--env", &["AWS_BATCH_X=y", "AWS_BATCH_JOB_ID"], "only Batch sets"),
        ("--env", &["AWSB_BUNDLE=y", "AWSB_TASK_ID=1"], "set by bsub itself"),
        ("--env", &["UID=0"], "belongs to the shell"),
        ("--input", &[""], "a file or directory is missing"),
        ("--input", &["ok.sh:"], "the name after the colon is empty"),
        ("--input", &["ok.sh:/x", "ok.sh:../x"], "leads out of the job's working directory"),
        ("--input", &["ok.sh:.awsb"], "the launcher's own"),
        ("--output-file", &[""], "a pattern such as `*.csv`"),
        ("--output-file", &["/tmp/x", "../x"], "below the job's working directory"),
        ("--array-size", &["0", "-5", "x", "1000001"], "1 to 1000000"),
        ("--array", &["", "a", "-3", "1-", "1:3"], "such as 7, 1-100"),
        ("--array", &["4000001", "1-4000001"], "4000000"),
        ("--array", &["0-1000000"], "at most 1000000 tasks"),
        ("--array", &["1-5:0"], "at least 1"),
        ("--array", &["5-1"], "ends before it begins"),
        ("--array", &["1-100%0", "1-100%x", "1-100%"], "whole number from 1 to "),
        ("--consume", &["lic=0", "lic=x", "lic="], "whole number from 1 to "),
        ("--consume", &["a b", "", "=2"], "letters, digits, hyphens and underscores"),
        ("--depends-on", &["afterok:", "8f2c,,9d"], "a job's ID is missing"),
        ("--depends-on", &["name:", "name:a.b"], "`name:align` or `name:align*`"),
        ("--depends-on", &["afterany:1", "singleton"], "can only wait for others to succeed"),
        ("--depends-on", &["é"], "give its ID"),
        ("--depends-on", &["afterok:8f2c?afterok:9d"], "waits for all"),
        ("--depends-on", &["jobId=x,type=SOME"], "N_TO_N or SEQUENTIAL"),
        ("--queue", &["", "a b", "a,b", "q*129"], "1 to 128 letters, digits, '-' and '_'"),
        ("--priority", &["-1", "10000", "x"], "0 to 9999"),
        ("--share", &["", "a-b", "s*256"], "1 to 255 letters and digits"),
        ("--tag", &["", "a", "=b"], "such as project=genomes"),
        ("--tag", &["k*129=v", "k=v*257"], "at most 128 characters, its value 256"),
        ("--tag", &["aws:x=1", "x=AWS:1"], "AWS's own"),
        ("--job-definition", &["", "a b", "d:0", "d:x", "d*129"], "NAME or NAME:REVISION"),
        ("--param", &["", "a", "=b"], "such as input=s3://bucket/key"),
        ("--retry-attempts", &["0", "11", "-1", "x"], "1 to 10 attempts"),
        ("--retry-on", &["", "spots", "reason:"], "spot, exit:CODE"),
        ("--retry-on", &["exit:256", "exit:", "exit:1,x"], "0 to 255"),
        ("--retry-on", &["reason:r*513"], "512 characters"),
        ("--retry-on", &["reason:a/b"], "letters, digits, `.`, `:`"),
        ("--retry-on", &["reason:*b"], "at the end"),
        ("--timeout", &["59", "0"], "60 seconds"),
        ("--timeout", &["", "1h2", "-5", "x"], "a number of seconds, or a time such as 90m"),
        ("--timeout", &["2147483648"], "2147483647 seconds"),
        ("--time", &["", "1h", "0:0:0:0", "-5"], "a number of minutes, or a time such as 90:00"),
        ("--time", &["35791395"], "2147483647 seconds"),
        ("--once", &["", "k*1025"], "1 to 1024 bytes"),
        ("--submit-timeout", &["", "x", "-5"], "a number of seconds, or a time such as 90s"),
        ("--rerun", &["", "x y", "8f2c:123456"], "give its ID"),
        ("--region", &["", "a b", "Frankfurt"], "such as eu-west-1"),
        ("--cluster", &["nobod", ""], "there is no cluster `"),
        ("--completions", &["csh"], "bash, zsh, fish"),
        ("--profile", &["nobody"], "there is no profile `nobody`"),
        ("--profile", &[""], "a value is required"),
    ];
    let mut cases = Vec::new();
    for (option, values, limit) in table {
        for value in values.iter().map(|value| spelt_out(value)) {
            let mut says = vec![value.clone(), limit.to_owned()];
            if !["--cluster", "--profile"].contains(&option) {
                says.push(format!("'{option} <"));
            }
            cases.push(Case { words: vec![format!("{option}={value}"), "ok.sh".into()], says });
        }
    }
    cases
}

/// `k*129` as 129 letters.
fn spelt_out(value: &str) -> String {
    let Some((before, rest)) = value.split_once('*') else { return value.to_owned() };
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    match (before.char_indices().next_back(), rest[..digits].parse()) {
        (Some((at, letter)), Ok(count)) => {
            format!("{}{}{}", &before[..at], letter.to_string().repeat(count), &rest[digits..])
        }
        _ => value.to_owned(),
    }
}

/// Options that do not go together, or not with what else is given.
pub fn together() -> Vec<Case> {
    const ID: &str = "8f2c0d3e-1111-4222-8333-444455556666";
    let table: &[(&[&str], &[&str])] = &[
        (&["--script", "--command", "ok.sh"], &["--script", "--command"]),
        (&["--script", "--wrap", "true"], &["--script", "--wrap"]),
        (&["--command", "--wrap", "true"], &["--command", "--wrap"]),
        (&["--wrap", "true", "ok.sh"], &["--wrap takes the command line as one word", "`ok.sh`"]),
        (&["--commands", "lines", "ok.sh"], &["--commands lines", "cannot be used with"]),
        (&["--commands", "lines", "--wrap", "true"], &["--commands lines", "cannot be used with"]),
        (&["--commands", "lines", "--script"], &["--commands", "--script"]),
        (&["--commands", "lines", "--command"], &["--commands", "--command"]),
        (&["--array-size", "3", "--array", "1-3", "true"], &["--array-size", "--array"]),
        (&["--array-size", "3", "--each", "lines", "true"], &["--array-size", "--each"]),
        (&["--array-size", "3", "--commands", "lines"], &["--array-size", "--commands"]),
        (&["--array", "1-3", "--each", "lines", "true"], &["--array", "--each"]),
        (&["--array", "1-3", "--commands", "lines"], &["--array", "--commands"]),
        (&["--each", "lines", "--commands", "lines"], &["--each", "--commands"]),
        (&["--nodes", "2", "--array-size", "3", "true"], &["--nodes 2", "cannot be an array"]),
        (&["--nodes", "2", "--array", "1-3", "true"], &["--nodes 2", "cannot be an array"]),
        (&["--rerun", ID, "--container", "main"], &["--container cannot be changed by --rerun"]),
        (&["--nodes", "2", "--each", "lines", "true"], &["--nodes 2", "cannot be an array"]),
        (&["--nodes", "2", "--commands", "lines"], &["--nodes 2", "cannot be an array"]),
        (&["--timeout", "60", "--time", "1", "true"], &["--timeout", "--time"]),
        (&["-w", "/a", "--parent-working-dir", "/b", "true"], &["--working-dir", "--parent-working-dir"]),
        (&["--parsable", "--json", "true"], &["--parsable", "--json"]),
        (&["--parsable", "-I", "true"], &["--parsable", "--interactive"]),
        (&["--kill-on-interrupt", "true"], &["--kill-on-interrupt", "--wait"]),
        (&["--quiet", "--json", "true"], &["--quiet", "--json"]),
        (&["--dry-run", "--parsable", "true"], &["--dry-run", "--parsable"]),
        (&["--dry-run", "--quiet", "true"], &["--dry-run", "--quiet"]),
        (&["--env-exclude", "A*", "true"], &["--env-exclude A*", "`-e all`"]),
        (&["-e", "A=1", "--env-exclude", "A", "true"], &["--env-exclude A", "`-e all`"]),
        (&["-e", "A=1", "--secret", "A=/x", "true"], &["A is given twice", "--env", "--secret"]),
        (&["-r", "1", "--retry-on", "spot", "true"], &["--retry-on", "--retry-attempts 1", "give 2 or more"]),
        (&["--bare", "ok.sh"], &["--bare", "a script"]),
        (&["--bare", "-o", "x", "true"], &["--bare", "--output-file"]),
        (&["--bare", "-i", "ok.sh", "true"], &["--bare", "--input"]),
        (&["--bare", "--stdin", "ok.sh", "true"], &["--bare", "--stdin"]),
        (&["--stdin", "-", "--each", "-", "true"], &["--stdin -", "already"]),
        (&["--skip-comments", "true"], &["--skip-comments", "--each", "--commands"]),
        (&["--array-limit", "2", "true"], &["--array-limit", "--array", "--each"]),
        (&["--bare", "-w", "/x", "true"], &["--bare", "--working-dir"]),
        (&["--bare", "--parent-working-dir", "/x", "true"], &["--bare", "--parent-working-dir"]),
        (&["--bare", "--each", "lines", "echo", "{}"], &["--bare", "--each"]),
        (&["--bare", "--commands", "lines"], &["--bare", "--commands"]),
        (&["--bare", "--array", "1-3", "true"], &["--bare", "--array"]),
        (&["--bare", "-a", "10001", "true"], &["--bare", "2 to 10000"]),
        (&["--bare", "true", ""], &["--bare", "(empty, "]),
        (&["--bare", "true", "Ref::x"], &["--bare", "Ref::"]),
        (&["-d", "sequential", "true"], &["--depends-on", "`sequential`", "not an array"]),
        (&["-d", "n_to_n:8f2c0d3e", "true"], &["--depends-on", "`n_to_n`", "not an array"]),
        (&["-d", "sequential", "-n", "2", "true"], &["--depends-on", "`sequential`", "not an array"]),
        (&["-d", "sequential", "-a", "10001", "true"], &["--depends-on", "10001 tasks need 2"]),
        (&["--failed", "true"], &["--failed", "--rerun ID"]),
        (&["--failed"], &["--rerun"]),
        (&["--rerun", ID, "ok.sh"], &["--rerun", "SCRIPT"]),
        (&["--rerun", ID, "--script"], &["--rerun", "--script"]),
        (&["--rerun", ID, "--command"], &["--rerun", "--command"]),
        (&["--rerun", ID, "--wrap", "true"], &["--rerun", "--wrap"]),
        (&["--rerun", ID, "--bare"], &["--rerun", "--bare"]),
        (&["--rerun", ID, "--once", "k"], &["--rerun", "--once"]),
        (&["--rerun", ID, "--strict"], &["--rerun", "--strict"]),
        (&["--rerun", ID, "-i", "ok.sh"], &["--input cannot be changed by --rerun"]),
        (&["--rerun", ID, "-o", "x"], &["--output-file cannot be changed by --rerun"]),
        (&["--rerun", ID, "--stdin", "ok.sh"], &["--stdin cannot be changed by --rerun"]),
        (&["--rerun", ID, "--skip-comments"], &["--skip-comments cannot be changed by --rerun"]),
        (&["--rerun", ID, "--array-limit", "2"], &["--array-limit cannot be changed by --rerun"]),
        (&["--rerun", ID, "-w", "/x"], &["--working-dir cannot be changed by --rerun"]),
        (&["--rerun", ID, "-a", "3"], &["--array-size cannot be changed by --rerun"]),
        (&["--rerun", ID, "--array", "3"], &["--array cannot be changed by --rerun"]),
        (&["--rerun", ID, "--each", "lines"], &["--each cannot be changed by --rerun"]),
        (&["--rerun", ID, "--commands", "lines"], &["--commands cannot be changed by --rerun"]),
        (&["--rerun", ID, "-n", "2"], &["--nodes cannot be changed by --rerun"]),
        (&["--rerun", ID, "-d", ID], &["--depends-on cannot be changed by --rerun"]),
        (&["--build", "dir", "--image", "x", "ok.sh"], &["--build", "--image"]),
        (&["--dockerfile", "x", "ok.sh"], &["--dockerfile needs --build DIR"]),
        (&["--build-arg", "A=x", "ok.sh"], &["--build-arg needs --build DIR"]),
        (&["--rerun", ID, "--secret", "A=/x"], &["--secret cannot be changed by --rerun"]),
        (&["--rerun", ID, "--user", "1"], &["--user cannot be changed by --rerun"]),
        (&["--rerun", ID, "--enable-exec"], &["--enable-exec cannot be changed by --rerun"]),
        (&["--pty", "true"], &["--interactive"]),
        (&["-I", "--pty"], &["--pty needs a command"]),
        (&["-I", "--pty", "--wrap", "true"], &["--pty", "--wrap"]),
        (&["-I", "--pty", "-n", "2", "true"], &["--pty", "--nodes"]),
        (&["-I", "--pty", "-a", "2", "true"], &["--pty", "--array-size"]),
        (&["-m", "1G", "-m", "2G", "true"], &["--memory", "multiple times"]),
        (&["-m"], &["--memory", "a value is required"]),
        (&["--memroy", "4G", "true"], &["unexpected argument '--memroy'"]),
    ];
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    table.iter().map(|(words, says)| Case { words: owned(words), says: owned(says) }).collect()
}

/// More of what can be given several times than Batch takes, and what is too long as a whole.
pub fn too_many() -> Vec<Case> {
    let ids = |count: usize| (1..=count).map(|n| format!("8f2c0d3e-1111-4222-8333-4444555566{n:02}"));
    let case = |words: Vec<String>, says: &[&str]| Case {
        words: words.into_iter().chain(["true".to_owned()]).collect(),
        says: says.iter().map(|word| (*word).to_owned()).collect(),
    };
    let each = |option: &str, values: Vec<String>| {
        values.into_iter().map(|value| format!("{option}={value}")).collect::<Vec<_>>()
    };
    vec![
        case(
            each("-d", vec![ids(21).collect::<Vec<_>>().join(",")]),
            &["--depends-on", "at most 20", "not 21"],
        ),
        case(each("-d", ids(21).collect()), &["--depends-on", "at most 20", "not 21"]),
        case(each("--tag", (0..51).map(|n| format!("k{n}=v")).collect()), &["--tag", "at most 50", "not 51"]),
        case(
            each("--retry-on", vec!["exit:1,2,3,4,5".into()]),
            &["--retry-on", "5 ends", "Batch takes at most 4"],
        ),
        case(each("--param", vec![format!("x={}", "v".repeat(31_000))]), &["--param", "30720"]),
        case(vec!["--bare".into(), format!("-eA={}", "v".repeat(8000))], &["--bare", "7168"]),
    ]
}

/// Mistakes in the program and in the files that are named.
pub fn files() -> Vec<Case> {
    let table: &[(&[&str], &[&str])] = &[
        (&["empty.sh"], &["empty.sh is empty"]),
        (&["blank.sh"], &["blank.sh is empty"]),
        (&["dir"], &["dir is a directory"]),
        (&["crlf.sh"], &["crlf.sh has Windows (CRLF) line ends"]),
        (&["bom.sh"], &["bom.sh begins with a byte order mark"]),
        (&["mac"], &["mac is a program for macOS"]),
        (&["missing.sh"], &["missing.sh: no such file"]),
        (&["./missing"], &["./missing: no such file"]),
        (&["echo hi"], &["echo hi: no such file"]),
        (&["--script", "missing"], &["missing: No such file"]),
        (&["--script"], &["no script and no command"]),
        (&["--command"], &["no script and no command"]),
        (&[], &["standard input is empty"]),
        (&["/dev/null"], &["/dev/null is not a regular file"]),
        (&[""], &["the first operand", "is empty"]),
        (&["--wrap", ""], &["`--wrap`", "empty"]),
        (&["--build", "missing", "ok.sh"], &["the folder to build, missing", "No such file"]),
        (&["--build", "dir", "ok.sh"], &["there is no Dockerfile in the folder dir"]),
        (&["--build", "ok.sh", "ok.sh"], &["cannot build ok.sh"]),
        (
            &["--build", "dir", "--dockerfile", "../ok.sh", "ok.sh"],
            &["../ok.sh is outside of the folder dir"],
        ),
        (&["script.py"], &["script.py is a Python script without a `#!` line"]),
        (&["--script", "script.py"], &["script.py is a Python script without a `#!` line"]),
        (&["--stdin", "missing", "true"], &["--stdin", "missing", "No such file"]),
        (&["--stdin", "dir", "true"], &["--stdin", "dir is a directory"]),
        (&["--each", "bom.sh", "true"], &["--each", "bom.sh begins with a byte order mark"]),
        (&["--commands", "bom.sh"], &["--commands", "bom.sh begins with a byte order mark"]),
        (&["--each", "comments", "--skip-comments", "true"], &["--each", "comments only has blank lines"]),
        (&["-i", "missing", "true"], &["input missing", "No such file"]),
        (&["-i", "/dev/null", "true"], &["input /dev/null", "neither a file nor a directory"]),
        (&["-i", "..", "true"], &["input ..", "give .. a name"]),
        (&["-i", "ok.sh:x", "-i", "lines:x", "true"], &["ok.sh and lines would both be x"]),
        (&["-i", "lines:ok.sh", "ok.sh"], &["would both be ok.sh"]),
        (&["--each", "missing", "true"], &["--each", "missing", "No such file"]),
        (&["--each", "dir", "true"], &["--each", "dir", "Is a directory"]),
        (&["--each", "empty.sh", "true"], &["--each", "empty.sh has no line"]),
        (&["--each", "crlf.sh", "true"], &["--each", "crlf.sh has a Windows line end (CRLF) in line 1"]),
        (&["--each", "mac", "true"], &["--each", "mac has a NUL in line 1"]),
        (&["--each", "-"], &["no script and no command"]),
        (&["--each", "-", "true"], &["--each", "standard input has no line"]),
        (&["--commands", "missing"], &["--commands", "missing", "No such file"]),
        (&["--commands", "empty.sh"], &["--commands", "empty.sh has no line"]),
    ];
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    table.iter().map(|(words, says)| Case { words: owned(words), says: owned(says) }).collect()
}

/// Lines of a script, and what is said of them besides the line's number and its text.
pub const DIRECTIVES: &[(&str, &str)] = &[
    ("#AWSB -m 3", "at least 4 MiB"),
    ("#AWSB -m 'a", "the quote ' is never closed"),
    ("#AWSB --memroy 4G", "unexpected argument '--memroy'"),
    ("#AWSB -r 11", "1 to 10 attempts"),
    ("#AWSB -a 3 --array 1-3", "--array"),
    ("#AWSB --commands lines", "--commands"),
    ("#AWSB --cluster x", "--cluster can only be used on the command line"),
    ("#AWSB job.sh", "unexpected argument 'job.sh'"),
    ("#SBATCH --mem=x", "such as"),
    ("#SBATCH -c 0", "not a whole number of 1 or more"),
    ("#SBATCH --array=5-1", "ends before it begins"),
    ("#SBATCH -d afternotok:1", "wait for others to succeed"),
    ("#SBATCH --time=1h", "a number of minutes"),
    ("#BSUB -n 0", "not a whole number of 1 or more"),
    ("#BSUB -w 'exit(1)'", "only has `done`"),
    ("#BSUB -W x", "-W"),
];

/// Command lines of `bimage`, and the words that their error lines have to have.
pub const IMAGES: &[(&[&str], &[&str])] = &[
    (&[], &["no command is given"]),
    (&["lst"], &["'lst'"]),
    (&["list", "x"], &["'x'"]),
    (&["list", "--cluster"], &["--cluster"]),
    (&["show"], &["<TAG>"]),
    (&["show", "a", "b"], &["'b'"]),
    (&["show", ""], &["'<TAG>'", "a tag has at most 128 letters"]),
    (&["show", "a b"], &["'a b'", "a tag has at most 128 letters, digits, `_`, `.` and `-`"]),
    (&["show", ".a"], &["'.a'", "begins with a letter, a digit or `_`"]),
    (&["show", "lab/genomics"], &["'lab/genomics'", "a tag has at most 128 letters"]),
    (&["show", "größe"], &["'größe'", "a tag has at most 128 letters"]),
    (&["show", "genomics:.a"], &["'genomics:.a'", "begins with a letter, a digit or `_`"]),
    (&["show", "sha256:0f"], &["'sha256:0f'", "a digest is sha256: and 64 of 0 to 9 and a to f"]),
    (&["rm"], &["<TAG>"]),
    (&["rm", "-y"], &["<TAG>"]),
    (&["rm", "a", "a/b"], &["'a/b'", "a tag has at most 128 letters"]),
    (&["rm", "a"], &["refusing to remove images", "terminal"]),
    (&["build", "--tag", "a b"], &["'a b'", "'--tag <TAG>'", "a tag has at most 128 letters"]),
    (&["build", "--platform", "windows/amd64"], &["'windows/amd64'", "linux/amd64 or linux/arm64"]),
    (&["build", "--build-arg", "=x"], &["'--build-arg <NAME[=VALUE]>'", "NAME=VALUE"]),
    (&["build", "--builder", "podman"], &["'podman'", "a builder is `codebuild` or `docker`"]),
    (&["build", "a", "b"], &["'b'"]),
    (&["push"], &["<IMAGE>"]),
    (&["push", ""], &["'<IMAGE>'", "the image is missing"]),
    (&["push", "a b"], &["'a b'", "cannot have a blank"]),
    (&["push", "--tag", "a b", "image"], &["'a b'", "a tag has at most 128 letters"]),
    (&["logs"], &["<BUILD>"]),
];
