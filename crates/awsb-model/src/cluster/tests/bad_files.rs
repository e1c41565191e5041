//! The messages about a file that cannot be parsed.

use crate::cluster::ClusterConfig;

/// The message and the hints for a file.
fn told(text: &str) -> String {
    match ClusterConfig::from_toml("lab.toml", text) {
        Ok(_) => format!("no error: {text}"),
        Err(error) => [vec![error.message], error.hints].concat().join("\n  hint: "),
    }
}

#[test]
fn each_mistake_is_named_with_its_line_and_its_key() {
    let ec2 = "[environment.gpu]\ntype = \"on-demand\"\n";
    let fargate = "[environment.small]\ntype = \"fargate\"\n";
    let queue = "[queue.gpu]\nenvironments = [\"gpu\"]\n";
    let files = [
        "[netwrok]\n".to_owned(),
        "[network]\nsubnet = [\"subnet-0123abcd\"]\n".to_owned(),
        "[network]\nsubnets = \"subnet-0123abcd\"\n".to_owned(),
        "[network]\nsubnets = [\"subnet-0123abcd\", \"vpc-0123abcd\"]\n".to_owned(),
        "[network]\nzones = 3\n".to_owned(),
        "[network]\nvpc = \"new\"\nzones = 4\n".to_owned(),
        "[network]\nvpc = \"new\"\nsubnets = [\"subnet-0123abcd\"]\n".to_owned(),
        "[environment.gpu]\nmax = 4\n".to_owned(),
        "[environment.gpu]\ntype = \"spott\"\n".to_owned(),
        "[environment]\ntype = \"spot\"\n".to_owned(),
        "[environment.GPU]\ntype = \"spot\"\n".to_owned(),
        "[environment.a-1]\ntype = \"spot\"\n[environment.a1]\ntype = \"spot\"\n".to_owned(),
        format!("{ec2}max = -1\n"),
        format!("{ec2}max = \"4\"\n"),
        format!("{ec2}bid = 50\n"),
        format!("{ec2}keep-idle = \"30m\"\n"),
        format!("{ec2}keep_idle = \"30s\"\n"),
        format!("{ec2}keep_idle = \"1201s\"\n"),
        format!("{ec2}instance_types = []\n"),
        format!("{ec2}instance_types = [\"C7i.large\"]\n"),
        format!("{ec2}ami_type = \"ECS_AL2\"\n"),
        format!("{ec2}[environment.gpu.root_volume]\nsize = 4\n"),
        format!("{ec2}[environment.gpu.tags]\n\"awsb:cluster\" = \"x\"\n"),
        format!("{ec2}[environment.gpu.tags]\nproject = 7\n"),
        format!("{fargate}key_pair = \"ann\"\n"),
        format!("{ec2}{queue}environment = [\"gpu\"]\n"),
        format!("{ec2}[queue.gpu]\npriority = 1\n"),
        format!("{ec2}[queue.gpu]\nenvironments = [\"gup\"]\n"),
        format!("{ec2}{queue}arn = \"arn:aws:batch:eu-west-1:111122223333:job-queue/x\"\n"),
        format!("{ec2}{queue}[queue.gpu.cancel_after]\ntoo_large = \"5m\"\n"),
        format!("{ec2}{queue}[queue.gpu.fair_share.weights]\nann = 0\n"),
        format!("default_queue = \"gup\"\n{ec2}{queue}"),
        "default_definition = \"jobs\"\n".to_owned(),
        "[definition.job]\nmemory = \"lots\"\n".to_owned(),
        "[definition.job]\nnodes = 4\n".to_owned(),
        "[definition.job]\ntype = \"fargate\"\ngpus = 1\n".to_owned(),
        "[definition.job]\narchitecture = \"arm64\"\n".to_owned(),
        "[definition.job]\nimage = \":\"\n".to_owned(),
        "[bucket]\nexisting = \"lab-data\"\nkeep = false\n".to_owned(),
        "[bucket.expire]\nbundles = \"36h\"\n".to_owned(),
        "[efs]\nthroughput = 0\n".to_owned(),
        "[shared.home]\nfolder = \"/home\"\n".to_owned(),
        "[shared.home]\npath = \"home\"\n".to_owned(),
        "[shared.home]\npath = \"/home\"\nfolder = \"/a/b/c/d/e\"\n".to_owned(),
        "[shared.home]\npath = \"/home\"\nsource = \"nfs.example.org:/x\"\nuid = 1\n".to_owned(),
        "[images]\nrepository = false\nscan = false\n".to_owned(),
        "[logs]\nretention = \"31d\"\n".to_owned(),
        "[iam]\npath = \"lab\"\n".to_owned(),
        "[job_role]\narn = \"arn:aws:iam::111122223333:user/ann\"\n".to_owned(),
        "[tags]\n\"aws:x\" = \"y\"\n".to_owned(),
        "[network\n".to_owned(),
    ];
    insta::assert_snapshot!(files.map(|text| told(&text)).join("\n"));
}

#[test]
fn more_parts_than_a_stack_takes_are_refused_at_once() {
    let text: String = (0..20_000).map(|n| format!("[environment.e{n}]\ntype = \"spot\"\n")).collect();
    let begun = std::time::Instant::now();
    let message = told(&text);
    assert!(message.contains("20000 sections") && message.contains("at most 500 resources"), "{message}");
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
