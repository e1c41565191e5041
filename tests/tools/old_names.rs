//! The tools of AWS ParallelCluster under their old names, beside the old tools themselves: both
//! get the same answers, and standard output and exit codes are compared byte for byte.

mod differences;
mod world;

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::{Value, json};

use awsb_testkit::{Answer, BadServer, Request, Sandbox, program_built, python, repository, story};
use differences::DIFFERENCES;
use world::{Random, STATES, World, id, job, queue};

/// A command line.
struct Case {
    name: String,
    words: Vec<String>,
    stdin: Option<String>,
}

/// A command line on a terminal.
fn case(name: impl Into<String>, words: impl IntoIterator<Item = impl Into<String>>) -> Case {
    Case { name: name.into(), words: words.into_iter().map(Into::into).collect(), stdin: None }
}

/// A command line of words without blanks.
fn line(line: &str) -> Case {
    case(line, line.split(' '))
}

impl Case {
    fn with_input(self, text: &str) -> Self {
        Self { stdin: Some(text.to_owned()), ..self }
    }
}

/// The outcome of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ran {
    code: i64,
    stdout: String,
    stderr: String,
}

/// The outcomes of a command line with the old tool and with ours.
#[derive(Debug)]
struct Pair {
    name: String,
    old: Ran,
    new: Ran,
}

/// Two servers with the same facts: one for the old tools, one for ours.
struct Beside {
    servers: [BadServer; 2],
    sandbox: Sandbox,
}

const SETTINGS: &str = "[main]\ncluster_name = hpc\nregion = eu-west-1\nenv_blacklist = SECRET, PATH\n\
    [cluster hpc]\nregion = eu-west-1\ns3_bucket = bucket\nartifact_directory = root\n\
    batch_cli_requirements = aws-parallelcluster-awsbatch-cli>=1.0.0\n\
    compute_environment = arn:aws:batch:eu-west-1:123456789012:compute-environment/hpc\n\
    job_queue = arn:aws:batch:eu-west-1:123456789012:job-queue/hpc\njob_definition = hpc:3\n\
    job_definition_mnp = hpc-mnp:1\nhead_node_ip = 10.0.0.1\nproxy = NONE\n";

impl Beside {
    fn new(world: &World) -> Self {
        let servers = [(); 2].map(|()| {
            let world = world.clone();
            BadServer::start(move |request, _| world.answer(request))
        });
        let mut sandbox = Sandbox::new();
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_DEFAULT_REGION", "eu-west-1"),
            ("TZ", "Europe/Berlin"),
            ("SECRET", "hidden"),
            ("ODD", "it's $HOME\nand \u{e4}"),
        ] {
            sandbox.set(name, value);
        }
        let beside = Self { servers, sandbox };
        beside.settings(SETTINGS);
        beside
    }

    fn settings(&self, text: &str) {
        self.sandbox.file("../home/.parallelcluster/awsbatch-cli.cfg", text);
    }

    /// Runs the command lines with both.
    fn run(&self, cases: &[Case]) -> Vec<Pair> {
        let words =
            |case: &Case| json!({"tool": case.words[0], "args": case.words[1..], "stdin": case.stdin});
        let [old, new] = &self.servers;
        let given = json!({
            "awsb": program_built("awsb"), "old": old.endpoint(), "new": new.endpoint(),
            "cases": cases.iter().map(words).collect::<Vec<_>>(),
        });
        let script = repository().join("tests/tools/old_names/side_by_side.py").display().to_string();
        let python = python().join("bin/python").display().to_string();
        let results =
            self.sandbox.run_with_input(&python, ["-W", "ignore", &script], given.to_string()).ok().json();
        let ran = |result: &Value| {
            let text = |key: &str| result[key].as_str().expect("a text").to_owned();
            Ran {
                code: result["code"].as_i64().expect("a number"),
                stdout: text("stdout"),
                stderr: text("stderr"),
            }
        };
        let results = results.as_array().expect("results");
        assert_eq!(results.len(), cases.len());
        let pairs = cases.iter().zip(results);
        pairs
            .map(|(case, result)| Pair {
                name: case.name.clone(),
                old: ran(&result[0]),
                new: ran(&result[1]),
            })
            .collect()
    }

    /// Runs the command lines with both, and compares them. Returns those that are to differ.
    #[track_caller]
    fn compare(&self, cases: &[Case]) -> Vec<Pair> {
        let mut differing = Vec::new();
        for pair in self.run(cases) {
            let seen = |ran: &Ran| (ran.code, ran.stdout.clone());
            let differs = seen(&pair.old) != seen(&pair.new) || words_of(&pair.old) != words_of(&pair.new);
            if is_different(&pair.name) {
                assert!(differs, "{}: nothing differs any more: {:#?}", pair.name, pair.new);
                differing.push(pair);
            } else {
                assert!(!differs, "{}:\nold {:#?}\nnew {:#?}", pair.name, pair.old, pair.new);
            }
        }
        differing
    }
}

fn is_different(name: &str) -> bool {
    DIFFERENCES.iter().any(|(case, _)| *case == name)
}

/// What a failure begins with on stderr, before the words of AWS or of the SDK; of wrong usage, the
/// last line.
fn words_of(ran: &Ran) -> String {
    match ran.code {
        0 => String::new(),
        2 => ran.stderr.lines().last().unwrap_or_default().to_owned(),
        _ => ran
            .stderr
            .split("exception: ")
            .next()
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}

#[story]
fn every_difference_is_in_the_documentation() {
    let page = std::fs::read_to_string(repository().join("docs/awsbatch-cli.md")).expect("the page");
    let sections: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    for (case, section) in DIFFERENCES {
        assert!(sections.contains(section), "{case}: docs/awsbatch-cli.md has no section `{section}`");
    }
}

#[story]
fn queues() {
    let mut world = World::new();
    world.queues.push(queue("a-long-name_1", Some("")));
    world.queues.push(queue("42", Some("two  blanks")));
    world.queues.push(queue("no-reason", None));
    let beside = Beside::new(&world);
    let lines = [
        "awsbqueues",
        "awsbqueues -d",
        "awsbqueues --details -c hpc",
        "awsbqueues --det --clus=hpc",
        "awsbqueues hpc",
        "awsbqueues hpc a-long-name_1 42",
        "awsbqueues -ll debug -- hpc",
        "awsbqueues unknown",
    ];
    let mut cases: Vec<Case> = lines.into_iter().map(line).collect();
    cases.push(case("queues: without a reason, details", ["awsbqueues", "hpc", "no-reason"]));
    let differing = beside.compare(&cases);
    assert_eq!(differing[0].old.code, 1);
    assert!(differing[0].new.stdout.contains("\njobQueueName             : no-reason\n"), "{differing:?}");
    assert!(differing[0].new.stdout.contains("\nstatusReason             : -\n"), "{differing:?}");

    let beside = Beside::new(&World { queues: Vec::new(), ..World::new() });
    beside.compare(&[line("awsbqueues"), line("awsbqueues -d")]);
    let beside = Beside::new(&World { queues: vec![queue("hpc", None)], ..World::new() });
    let differing = beside.compare(&[case("queues: without a reason", ["awsbqueues"])]);
    assert_eq!((differing[0].old.code, differing[0].new.code), (1, 0));
    assert_eq!(
        differing[0].new.stdout,
        "jobQueueName    status\n--------------  --------\nhpc             VALID\n"
    );
    let beside = Beside::new(&World { refused: ["describejobqueues"].into(), ..World::new() });
    beside.compare(&[line("awsbqueues")]);
}

#[story]
fn hosts() {
    for instances in [vec![], vec![1], (0..20).collect()] {
        let beside = Beside::new(&World { instances, ..World::new() });
        beside.compare(&[
            line("awsbhosts"),
            line("awsbhosts -d"),
            line("awsbhosts i-00000000000000001"),
            line("awsbhosts i-00000000000000001 i-00000000000000003 i-0"),
        ]);
    }
    for refused in ["describecomputeenvironments", "listcontainerinstances", "ec2"] {
        let instances = vec![1];
        let beside = Beside::new(&World { instances, refused: [refused].into(), ..World::new() });
        beside.compare(&[line("awsbhosts")]);
    }
}

#[story]
fn jobs() {
    let names = ["a", "a-long-name_of-a-job", "42", "007", "True", "x1e5", "1_0"];
    for (seed, count, page) in [(1, 0, 10), (2, 1, 10), (3, 40, 7), (4, 12, 1000)] {
        let mut world = World::new();
        // Once, all names are numbers.
        let names = if seed == 4 { &names[2..4] } else { &names };
        world.jobs = Random(seed).jobs(count, names);
        world.page = page;
        let beside = Beside::new(&world);
        let mut cases: Vec<Case> = [
            "awsbstat",
            "awsbstat -d",
            "awsbstat -e",
            "awsbstat -s ALL",
            "awsbstat -s ALL -d",
            "awsbstat -e -d -s all",
            "awsbstat -des=SUCCEEDED,FAILED",
            "awsbstat --status running,,nonsense",
            "awsbstat -s FAILED,FAILED,RUNNING -c hpc",
        ]
        .into_iter()
        .map(line)
        .collect();
        cases.push(case("blanks in states", ["awsbstat", "-s", " succeeded , failed "]));
        let all: Vec<&str> = world.jobs.iter().filter_map(|job| job["jobId"].as_str()).collect();
        let some = |n: usize| all.iter().cycle().skip(n * 7).step_by(5).take(n).copied();
        for n in [1, 2, 3, 150] {
            let n = n.min(all.len());
            cases.push(case(format!("{n} jobs"), ["awsbstat"].into_iter().chain(some(n))));
            cases.push(case(format!("{n} jobs, details"), ["awsbstat", "-d"].into_iter().chain(some(n))));
        }
        for whole in all.iter().filter(|id| !id.contains([':', '#'])).take(20) {
            cases.push(case(format!("job {whole}"), ["awsbstat", whole]));
        }
        cases.push(case("unknown", ["awsbstat", &id(9999)]));
        // A job that is named twice.
        for twice in all.iter().filter(|id| !id.contains([':', '#'])).take(8) {
            cases.push(case(format!("{twice} twice"), ["awsbstat", twice, twice]));
            cases.push(case(format!("{twice} twice, details"), ["awsbstat", "-d", twice, &id(9999), twice]));
            cases
                .push(case(format!("{twice} ended twice"), ["awsbkill", twice, &id(9999), twice, &id(9999)]));
        }
        beside.compare(&cases);
    }
}

#[story]
fn jobs_that_are_odd() {
    let mut world = World::new();
    world.jobs = vec![job(1, "1e5", "RUNNING"), job(2, "nan", "RUNNABLE"), job(3, "new", "SUCCEEDED")];
    world.jobs[2]["container"] = json!({"command": ["true"], "resourceRequirements": [
        {"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"},
    ]});
    let arn = world.jobs[2]["jobArn"].as_str().expect("an ARN").to_owned();
    let beside = Beside::new(&world);
    let differing = beside.compare(&[
        case("stat: names that are numbers", ["awsbstat"]),
        case("stat: resources in the new field", ["awsbstat", &id(3)]),
        case("stat: an ARN", ["awsbstat", &arn]),
    ]);
    assert!(differing[0].old.stdout.contains(" 100000  "), "{differing:?}");
    assert!(
        differing[0].new.stdout.contains(" 1e5  ") && differing[0].new.stdout.contains(" nan  "),
        "{differing:?}"
    );
    assert!(differing[1].old.stdout.contains("\nvcpus                    : -\n"), "{differing:?}");
    assert!(
        differing[1]
            .new
            .stdout
            .contains("\nvcpus                    : 0.25\nmemory[MB]               : 512\n")
    );
    assert!(
        differing[2].new.stdout.starts_with(&format!("jobId                    : {}\n", id(3))),
        "{differing:?}"
    );
    world.jobs.remove(0);
    for refused in ["listjobs", "describejobs"] {
        let beside = Beside::new(&World { refused: [refused].into(), ..world.clone() });
        beside.compare(&[line("awsbstat"), line("awsbstat -d"), case("by ID", ["awsbstat", &id(2)])]);
    }
}

#[story]
fn ending_jobs() {
    let mut world = World::new();
    world.jobs = STATES.iter().enumerate().map(|(n, state)| job(n, "x", state)).collect();
    let all: Vec<String> = (0..STATES.len()).map(id).collect();
    let with = |first: &[&str], ids: &[String]| -> Vec<String> {
        first.iter().map(|word| (*word).to_owned()).chain(ids.iter().cloned()).collect()
    };
    let beside = Beside::new(&world);
    let unknown = [id(77), all[2].clone(), id(78)];
    let twice = [all[4].clone(), all[4].clone()];
    let many: Vec<String> = (0..120).map(|n| id(n % 90)).collect();
    let differing = beside.compare(&[
        case("all", with(&["awsbkill"], &all)),
        case("some unknown", with(&["awsbkill", "-r", "enough of it"], &unknown)),
        case("unknown", with(&["awsbkill"], &unknown[..1])),
        case("ended", with(&["awsbkill", "-rx", "-c", "hpc"], &all[5..])),
        case("kill: refused", with(&["awsbkill", "-r", "refuse"], &all)),
        case("kill: many", with(&["awsbkill"], &many)),
        line("awsbkill"),
    ]);
    let Ran { code, stdout, stderr } = &differing[0].new;
    assert_eq!((*code, stdout.lines().count()), (1, all.len()), "{stdout}{stderr}");
    assert!(
        stdout.starts_with(&format!("Error killing job ({}). Failed with exception: ", all[0])),
        "{stdout}"
    );
    assert_eq!((differing[1].old.code, differing[1].new.code), (1, 0));
    let told = |server: &BadServer| -> Vec<Value> {
        let bodies = server.requests("terminatejob");
        let mut bodies: Vec<Value> =
            bodies.iter().map(|r| serde_json::from_slice(&r.body).unwrap()).collect();
        bodies.retain(|body| body["reason"] != "refuse");
        bodies.sort_by_key(Value::to_string);
        bodies.dedup();
        bodies
    };
    assert_eq!(told(&beside.servers[0]).len(), 5 + 1);
    assert_eq!(told(&beside.servers[1]), told(&beside.servers[0]));
    // Both tools end a job that is named twice.
    assert_eq!(beside.run(&[case("twice", with(&["awsbkill"], &twice))])[0].new.code, 0);
}

/// A world with jobs that print: the first one this many lines.
fn printing(lines: i64) -> World {
    let mut world = World::new();
    world.jobs = vec![
        job(1, "prints", "SUCCEEDED"),
        job(2, "silent", "RUNNING"),
        job(3, "waits", "RUNNABLE"),
        job(4, "array", "PENDING"),
        job(5, "nodes", "RUNNING"),
        job(6, "lost", "FAILED"),
    ];
    for (n, stream) in [(0, "one"), (1, "none"), (5, "gone")] {
        world.jobs[n]["container"]["logStreamName"] = stream.into();
        world.jobs[n]["startedAt"] = 1_700_000_000_000_i64.into();
    }
    world.jobs[0]["stoppedAt"] = 1_700_000_900_000_i64.into();
    world.jobs[3]["arrayProperties"] = json!({"size": 2});
    let container = json!({"command": [], "vcpus": 1, "memory": 1});
    world.jobs[4]["nodeProperties"] = json!({
        "numNodes": 2, "mainNode": 0, "nodeRangeProperties": [{"targetNodes": "0:", "container": container}],
    });
    world.jobs[4].as_object_mut().expect("a job").remove("container");
    let texts = ["plain", "", "  blanks ", "\u{e4}\u{1f600}", "tab\tand 'quotes'", "\u{1b}[31mred\u{1b}[0m"];
    let lines = (0..lines).zip(texts.into_iter().cycle());
    let lines = lines.map(|(n, text)| (1_700_000_000_000 + n * 999, format!("{text}{n}"))).collect();
    world.logs = [("one".to_owned(), lines), ("none".to_owned(), Vec::new())].into();
    world
}

#[story]
fn output() {
    let beside = Beside::new(&printing(25));
    let mut cases: Vec<Case> = Vec::new();
    for options in
        ["", "-hd 3", "-hd 100", "--head=0", "-t 3", "--tail 100", "-t 0", "-hd 2 -t 2", "-hd 2 -s", "-sp 3"]
    {
        for n in [1, 2] {
            let line = format!("awsbout {options} {}", id(n)).replace("  ", " ");
            cases.push(case(line.clone(), line.split(' ')));
        }
    }
    for n in [3, 4, 5, 6, 99] {
        cases.push(case(format!("job {n}"), ["awsbout".to_owned(), id(n)]));
    }
    cases.push(line("awsbout"));
    cases.push(line("awsbout a b"));
    cases.push(line("awsbout -hd x a"));
    beside.compare(&cases);

    let many = World { page: 10, ..printing(57) };
    let beside = Beside::new(&many);
    let of = |name: &str, words: &[&str]| {
        case(name, ["awsbout"].iter().chain(words).map(|word| (*word).to_owned()).chain([id(1)]))
    };
    let differing = beside.compare(&[
        of("out: many pages", &[]),
        of("out: head of many pages", &["-hd", "30"]),
        of("out: tail of many pages", &["-t", "30"]),
    ]);
    for (pair, expected) in differing.iter().zip([57, 30, 30]) {
        assert_eq!(
            (pair.old.stdout.lines().count(), pair.new.stdout.lines().count()),
            (10, expected),
            "{pair:?}"
        );
    }
    assert!(differing[0].new.stdout.ends_with(&differing[0].old.stdout));
    assert!(differing[2].new.stdout.ends_with(&differing[2].old.stdout));
    assert!(differing[1].new.stdout.starts_with(&differing[1].old.stdout));
}

#[story]
fn streaming_ends_with_the_job() {
    let world = World { page: 10, ..printing(25) };
    let server = BadServer::start(move |request: &Request, _| world.answer(request));
    let mut beside = Beside::new(&World::new());
    beside.sandbox.set("AWS_ENDPOINT_URL", server.endpoint());
    let lines = |args: &[&str]| {
        let words = ["awsbout"].into_iter().chain(args.iter().copied());
        beside.sandbox.run("awsb", words).ok().stdout.lines().count()
    };
    assert_eq!(lines(&["-s", &id(1)]), 25);
    assert_eq!(lines(&["--stream", "-sp", "1", "-t", "4", &id(1)]), 4);
}

/// What a server was asked to store and to submit, without the time that is in it.
fn submitted(server: &BadServer) -> (Vec<(String, String)>, Vec<Value>) {
    let timeless = |text: &str| {
        let is_long = |word: &&str| word.len() == 13 && word.bytes().all(|b| b.is_ascii_digit());
        let mut text = text.to_owned();
        let numbers: BTreeSet<String> =
            text.split(|c: char| !c.is_ascii_digit()).filter(is_long).map(str::to_owned).collect();
        numbers.iter().for_each(|number| text = text.replace(number, "TIME"));
        text
    };
    let puts = server.requests("s3");
    let puts = puts.iter().map(|put| {
        let path = put.target.split('?').next().unwrap_or_default();
        let body = String::from_utf8_lossy(&put.body);
        // boto3 signs the content as a trailer.
        let body = match put.header("x-amz-trailer") {
            Some(_) => body.split("\r\n").next().unwrap_or_default().to_owned(),
            None => body.into_owned(),
        };
        (timeless(path), body)
    });
    let jobs = server.requests("submitjob");
    let jobs =
        jobs.iter().map(|job| serde_json::from_str(&timeless(&String::from_utf8_lossy(&job.body))).unwrap());
    (puts.collect(), jobs.collect())
}

/// The request of the old tool as ours has it: vCPUs and memory are in the field that any job
/// definition obeys, and empty members are left out (docs/awsbatch-cli.md).
fn modern(mut request: Value) -> Value {
    let modernize = |overrides: &mut Value| {
        let mut required = Vec::new();
        for (old, kind) in [("vcpus", "VCPU"), ("memory", "MEMORY")] {
            if let Some(number) = overrides.as_object_mut().expect("overrides").remove(old) {
                required.push(json!({"type": kind, "value": number.to_string()}));
            }
        }
        if !required.is_empty() {
            overrides["resourceRequirements"] = required.into();
        }
    };
    match request.get_mut("nodeOverrides") {
        Some(nodes) => modernize(&mut nodes["nodePropertyOverrides"][0]["containerOverrides"]),
        None => modernize(&mut request["containerOverrides"]),
    }
    request.as_object_mut().expect("a request").retain(|_, value| *value != json!([]) && *value != json!({}));
    request
}

/// Our request without the mark by which a lost reply is found again.
fn unmarked(mut request: Value) -> Value {
    let overrides = match request.get_mut("nodeOverrides") {
        Some(nodes) => &mut nodes["nodePropertyOverrides"][0]["containerOverrides"],
        None => &mut request["containerOverrides"],
    };
    let environment = overrides["environment"].as_array_mut().expect("variables");
    let before = environment.len();
    environment.retain(|variable| variable["name"] != "AWSB_SUBMISSION");
    assert_eq!(environment.len() + 1, before, "{environment:?}");
    request
}

#[story]
fn submissions() {
    let beside = Beside::new(&World::new());
    beside.sandbox.file("job.sh", "#!/bin/sh\necho \"$@\"\n");
    beside.sandbox.file("data.txt", "data\n");
    beside.sandbox.file("in/other file.txt", "other\n");
    let mut cases: Vec<Case> = [
        "awsbsub true",
        "awsbsub -jn name -p 4 -m 2048 -r 3 -t 100 -- echo -n it's",
        "awsbsub /bin/a-b.c..d",
        "awsbsub -p 0 -m 0 true",
        "awsbsub -a 10 -d jobId=abc true",
        "awsbsub -a 10 -d jobId=abc,type=N_TO_N true",
        "awsbsub -a 10 -d type=SEQUENTIAL true",
        "awsbsub -n 3 -p 8 -t 60 true",
        "awsbsub -n 1 true",
        "awsbsub -n 3 -a 4 true",
        "awsbsub -cf job.sh a 'b",
        "awsbsub -cf -w /scratch/$USER job.sh",
        "awsbsub -cf -pw /shared -aws job.sh",
        "awsbsub -cf -if data.txt -if in/../job.sh job.sh",
        "awsbsub -if data.txt cat data.txt",
        "awsbsub -cf -e ODD,SECRET,NOT_THERE,AWS_REGION job.sh",
        "awsbsub -cf -e SECRET -n 2 job.sh",
        "awsbsub -jn x-y -cf job.sh",
        // Errors.
        "awsbsub",
        "awsbsub -cf",
        "awsbsub -cf missing.sh",
        "awsbsub -w /a -pw /b -cf job.sh",
        "awsbsub -eb HOME true",
        "awsbsub -e ODD -eb HOME true",
        "awsbsub -d abc true",
        "awsbsub -d jobId= true",
        "awsbsub -p many true",
        "awsbsub -if missing.txt true",
    ]
    .into_iter()
    .map(line)
    .collect();
    cases
        .push(case("a blank in a file", ["awsbsub", "-cf", "-if", "in/other file.txt", "job.sh", "a b", ""]));
    cases.push(line("awsbsub").with_input("#!/bin/sh\necho \u{e4}\n"));
    cases.push(line("awsbsub -jn piped").with_input(""));
    cases.push(line("awsbsub -cf job.sh").with_input("not read"));
    cases.push(line("awsbsub -cf -e all -eb X job.sh").with_input("not read"));
    beside.compare(&cases);
    let [(old_puts, old_jobs), (new_puts, new_jobs)] = [0, 1].map(|n| submitted(&beside.servers[n]));
    let (mut compared, mut with_all) = (0, 0);
    for (old, new) in old_jobs.into_iter().zip(&new_jobs) {
        assert_eq!(unmarked(new.clone()), modern(old));
        compared += 1;
    }
    assert_eq!((compared, new_jobs.len()), (23, 23));
    assert_eq!(old_puts.len(), new_puts.len());
    for ((old_path, old_body), (new_path, new_body)) in old_puts.iter().zip(&new_puts) {
        assert_eq!(old_path, new_path);
        if new_body.contains("export HOME=") {
            // `-e all`: the old tool runs in a shell that has other variables.
            assert!(
                !new_body.contains("AWS_SECRET") && new_body.contains("export SECRET=hidden;\n"),
                "{new_body}"
            );
            with_all += 1;
        } else {
            assert_eq!(old_body, new_body, "{old_path}");
        }
    }
    assert_eq!(with_all, 1);
}

#[story]
fn submissions_that_differ() {
    let beside = Beside::new(&World::new());
    // With something on standard input, both refuse a command.
    beside.compare(&[line("awsbsub true").with_input("echo\n")]);
    // The requests differ, and not what is printed.
    let pairs = beside.run(&[
        case("sub: variables for a command", ["awsbsub", "-e", "ODD", "printf", "a b"]),
        case("sub: two dependencies", ["awsbsub", "-d", "jobId=a;jobId=b,type=N_TO_N", "true"]),
        case("sub: two dependencies with commas", ["awsbsub", "-d", "jobId=a,jobId=b", "true"]),
    ]);
    let [old, requests] = [0, 1].map(|n| submitted(&beside.servers[n]).1);
    for (pair, (old, new)) in pairs.iter().zip(old.into_iter().zip(&requests)) {
        assert!(is_different(&pair.name) && modern(old) != unmarked(new.clone()), "{pair:?}");
    }
    let command = requests[0]["containerOverrides"]["command"][2].as_str().expect("a command");
    assert!(command.ends_with(" && source printf.env.sh && printf 'a b'"), "{command}");
    assert_eq!(requests[1]["dependsOn"], json!([{"jobId": "a"}, {"jobId": "b", "type": "N_TO_N"}]));
    assert_eq!(requests[2]["dependsOn"], json!([{"jobId": "a"}, {"jobId": "b"}]));
    // Where there is no terminal and nothing to read, as in cron, a command is a command.
    let mut beside = beside;
    beside.sandbox.set("AWS_ENDPOINT_URL", beside.servers[1].endpoint());
    let message = beside.sandbox.run("awsb", ["awsbsub", "echo", "hello"]).ok().stdout;
    assert_eq!(message, format!("Job {} (echo) has been submitted.\n", id(7)));
}

#[story]
fn a_lost_reply_does_not_make_a_second_job() {
    let world = World::new();
    let server = BadServer::start(move |request: &Request, before| match request.operation() {
        "submitjob" if before == 0 => Answer::error(503, "ServiceUnavailable", "Later."),
        _ => world.answer(request),
    });
    let mut beside = Beside::new(&World::new());
    beside.sandbox.set("AWS_ENDPOINT_URL", server.endpoint());
    beside.sandbox.set("AWSB_SUBMIT_SETTLE", "0.1");
    beside.sandbox.run("awsb", ["awsbsub", "true"]).ok();
    let marks: BTreeSet<String> = server
        .requests("submitjob")
        .iter()
        .map(|request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let variables = body["containerOverrides"]["environment"].as_array().unwrap().clone();
            let mark = variables.iter().find(|variable| variable["name"] == "AWSB_SUBMISSION").unwrap();
            mark["value"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(marks.len(), 1);
    assert!(!server.requests("listjobs").is_empty(), "it looked for the job before it submitted again");
}

#[story]
fn wrong_command_lines() {
    let beside = Beside::new(&World::new());
    let lines = [
        "awsbqueues --nonsense",
        "awsbqueues -x a -y b",
        "awsbqueues a -d b",
        "awsbqueues -c",
        "awsbqueues -c -d",
        "awsbqueues --details=1",
        "awsbqueues -dx",
        "awsbstat -s",
        "awsbstat --e=1",
        "awsbsub --e x true",
        "awsbsub -aw true",
        "awsbsub -t soon true",
        "awsbout --s x",
    ];
    beside.compare(&lines.map(line));
}

/// Command lines of any words: both tools find the same ones wrong, and say the same of them.
#[story]
fn random_command_lines() {
    let beside = Beside::new(&World::new());
    let home = beside.sandbox.get("HOME").expect("a home");
    std::fs::remove_file(format!("{home}/.parallelcluster/awsbatch-cli.cfg")).expect("it was there");
    let words = [
        (
            "awsbstat",
            "-c -s -e -d -ll --cluster --stat=RUNNING --expand -de -ds -dsRUNNING -cx -c=x x y -1 --e --no -l -lldebug",
        ),
        (
            "awsbout",
            "-c -hd -t -s -sp -ll 3 x -t3 -hd=3 --head --tail --stream --stream-p --st -st -sp4 --hea=4 1_0 +4",
        ),
        ("awsbkill", "-c -r -ll x y --reason --rea=a -rx -1 - -rr --c"),
        (
            "awsbsub",
            "-jn -cf -w -pw -if -p -m -e -eb -r -t -n -a -d -ll x y 1 -j -i -l -aw -a3 -p2 --env --env- --en=x -jnx -jn=x -ebA",
        ),
    ];
    let mut random = Random(5);
    let cases: Vec<Case> = (0..240)
        .map(|_| {
            let (tool, words) = random.of(&words);
            let words: Vec<&str> = words.split(' ').collect();
            let count = random.below(6);
            let line = (0..count).map(|_| *random.of(&words));
            let line: Vec<&str> = std::iter::once(*tool).chain(line).collect();
            case(line.join(" "), line)
        })
        .collect();
    let (mut wrong, mut right) = (0, 0);
    for pair in beside.run(&cases) {
        assert_eq!(pair.old.code, pair.new.code, "{pair:#?}");
        match pair.old.code {
            2 => {
                assert_eq!(words_of(&pair.old), words_of(&pair.new), "{pair:#?}");
                wrong += 1;
            }
            _ => right += 1,
        }
    }
    assert!(wrong > 50 && right > 50, "{wrong} wrong and {right} right ones");
}

#[story]
fn clusters() {
    let beside = Beside::new(&World::new());
    beside.settings("[main]\ncluster_name = hpc\nregion = eu-west-1\n");
    beside.compare(&[line("awsbqueues"), line("awsbsub -n 2 true")]);
    let differing = beside.compare(&[
        case("cluster: no stack", ["awsbqueues", "-c", "nowhere"]),
        case("cluster: another scheduler", ["awsbqueues", "-c", "slurm"]),
        case("cluster: not ready", ["awsbqueues", "-c", "busy"]),
    ]);
    assert!(differing.iter().all(|pair| (pair.old.code, pair.new.code) == (1, 1)), "{differing:?}");
    assert!(differing[0].new.stderr.contains("there is no CloudFormation stack `nowhere`"), "{differing:?}");
    beside.settings("[main]\nregion = eu-west-1\n");
    beside.compare(&[line("awsbqueues"), line("awsbqueues -c hpc")]);
    let home = beside.sandbox.get("HOME").expect("a home").to_owned();
    std::fs::remove_file(format!("{home}/.parallelcluster/awsbatch-cli.cfg")).expect("it was there");
    beside.compare(&[line("awsbqueues"), line("awsbqueues -c hpc"), line("awsbstat --cluster hpc")]);
    // Our settings are read, too.
    let server = beside.servers[1].endpoint();
    beside.sandbox.config(&format!(
        "default_cluster = \"far\"\n[cluster.far]\nregion = \"eu-west-1\"\nendpoint_url = \"{server}\"\n\
         bucket = \"b\"\njob_queue = \"hpc\"\njob_definition = \"d\"\n"
    ));
    let ours = beside.sandbox.run("awsb", ["awsbqueues"]).ok().stdout;
    assert_eq!(ours, beside.sandbox.run("awsb", ["awsbqueues", "-c", "far"]).ok().stdout);
    assert!(ours.contains("\nhpc "), "{ours}");
}

#[story]
fn the_names_are_those_of_links() {
    let beside = Beside::new(&World::new());
    let folder = beside.sandbox.work().join("links");
    std::fs::create_dir(&folder).expect("a folder");
    for tool in ["awsbsub", "awsbstat", "awsbout", "awsbkill", "awsbqueues", "awsbhosts"] {
        symlink(program_built("awsb"), folder.join(tool)).expect("a link");
        let link = folder.join(tool).display().to_string();
        let version = beside.sandbox.run(&link, ["--version"]).ok().stdout;
        assert_eq!(version, format!("{tool} (awsb) {}\n", env!("CARGO_PKG_VERSION")));
        let help = beside.sandbox.run(&link, ["-h"]).ok().stdout;
        assert!(help.contains(&format!("Usage: {tool} ")) && help.contains("--cluster"), "{help}");
        assert!(!help.contains("log-level"), "{help}");
        assert!(beside.sandbox.run("awsb", [tool, "--man"]).ok().stdout.contains(".SH OPTIONS"));
        assert!(beside.sandbox.run(&link, ["--completions", "bash"]).ok().stdout.contains("_awsb_complete"));
    }
    let outcome = beside.sandbox.run("awsb", ["awsbsub", "--help"]).ok();
    assert!(outcome.stdout.contains("-jn is the same"), "{outcome:?}");
}

#[story]
fn an_interrupted_tool_ends_well() {
    let server = BadServer::start(|request: &Request, _| match request.service.as_str() {
        "s3" => Answer::stored(),
        _ => Answer::Hang,
    });
    let mut beside = Beside::new(&World::new());
    beside.sandbox.set("AWS_ENDPOINT_URL", server.endpoint());
    let running = beside.sandbox.start("awsb", ["awsbstat"]);
    awsb_testkit::eventually("it asks", Duration::from_secs(30), || {
        (!server.requests("listjobs").is_empty()).then_some(())
    });
    running.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(running.wait().ok().stdout, "Exiting...\n");

    // There may be a job by now, which is no good end.
    let running = beside.sandbox.start("awsb", ["awsbsub", "true"]);
    awsb_testkit::eventually("it submits", Duration::from_secs(30), || {
        (!server.requests("submitjob").is_empty()).then_some(())
    });
    running.signal(nix::sys::signal::Signal::SIGINT);
    let outcome = running.wait();
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (130, ""), "{outcome}");
    assert!(outcome.stderr.contains("whether the job true exists is not known"), "{outcome}");
}
