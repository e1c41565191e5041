//! Contradictions within a configuration, and between it and the account.

use super::{default_network, parsed};
use crate::cluster::config::InstanceTypeName;
use crate::cluster::facts::{
    AccountFacts, FileSystemFacts, NetworkFacts, OfferedType, Quotas, ResolvedNetwork, SecurityGroupFacts,
    TypeOfferings, WayOut,
};
use crate::cluster::quota::vcpu_quotas;
use crate::cluster::validate::{
    Problem, ProblemKind, validate, validate_account, validate_file_systems, validate_network,
    validate_types, validate_user_policy,
};

fn told(problems: &[Problem]) -> String {
    let line = |p: &Problem| format!("{:?}: {p}\n  {}", p.kind, p.advice);
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_default_cluster_has_no_problem() {
    assert_eq!(validate(&parsed("")), []);
}

#[test]
fn contradictions_are_named_with_the_key_and_the_change() {
    let od = "[environment.a]\ntype = \"on-demand\"\n";
    let spot = "[environment.a]\ntype = \"spot\"\n";
    let volume = format!("{od}[environment.a.root_volume]\n");
    let tags: String = (0..40).map(|n| format!("t{n} = \"\"\n")).collect();
    let more_tags: String = (0..20).map(|n| format!("u{n} = \"\"\n")).collect();
    let policies: Vec<String> =
        (0..11).map(|n| format!("\"arn:aws:iam::111122223333:policy/p{n}\"")).collect();
    let files = [
        format!("{od}allocation = \"SPOT_CAPACITY_OPTIMIZED\"\n"),
        format!("{od}min = 8\nmax = 4\n"),
        format!("{od}instance_types = [\"c7i\", \"c7g\"]\n"),
        format!("{od}instance_types = [\"g6\"]\nami_type = \"ECS_AL2023\"\n"),
        format!("{od}instance_types = [\"c7i\"]\nami_type = \"ECS_AL2023_NVIDIA\"\n"),
        format!("{od}instance_types = [\"g6\", \"c7i\"]\n"),
        format!("{od}instance_types = [\"p3\"]\n"),
        format!("{od}instance_types = [\"g5g.xlarge\"]\n"),
        format!("{od}instance_types = [\"a1\"]\n"),
        format!("{spot}placement_group = true\n[definition.job]\n"),
        format!("{od}placement_group = true\nsingle_zone = false\n"),
        format!("{volume}size = 20\n"),
        format!("{volume}type = \"gp2\"\niops = 3000\n"),
        format!("{volume}type = \"io2\"\n"),
        format!("{volume}iops = 100000\n"),
        format!("{volume}throughput = 1000\n"),
        format!("{volume}type = \"io1\"\niops = 3000\nthroughput = 200\nsize = 17000\n"),
        format!("{od}user_data = \"{}\"\n", "x".repeat(17_000)),
        format!("{od}[tags]\n{tags}[environment.a.tags]\n{more_tags}"),
        "[network]\nvpc = \"new\"\nzone_names = [\"eu-west-1a\", \"eu-west-1a\"]\nsecurity_groups = [\"sg-0123abcd\"]\n"
            .to_owned(),
        format!("[network]\nvpc = \"new\"\n{od}subnets = [\"subnet-0123abcd\"]\n"),
        format!("{od}[environment.f]\ntype = \"fargate\"\n[queue.q]\nenvironments = [\"a\", \"f\"]\n"),
        format!(
            "{od}[environment.g]\ntype = \"spot\"\ninstance_types = [\"default_arm64\"]\n\
             [queue.q]\nenvironments = [\"g\", \"a\", \"a\", \"a\"]\n"
        ),
        format!("{od}[queue.q]\nenvironments = [\"a\"]\n[queue.q.fair_share.weights]\ndev = 1\n\"de*\" = 2\n"),
        "[definition.job]\nimage = \":base\"\n[images]\nrepository = false\n".to_owned(),
        "[definition.job]\nvcpus = 0.5\n".to_owned(),
        "[definition.job]\ngpus = 1\n".to_owned(),
        "[definition.f]\ntype = \"fargate\"\nvcpus = 3\n[definition.job]\n".to_owned(),
        "default_definition = \"mnp\"\n".to_owned(),
        format!("{od}max = 2\n[definition.job]\nvcpus = 4\n"),
        format!("{spot}[definition.job]\n[definition.m]\ntype = \"multinode\"\n"),
        format!(
            "{od}[environment.g]\ntype = \"on-demand\"\ninstance_types = [\"c7g\"]\n[definition.job]\nimage = \":base\"\n"
        ),
        "[images]\nrepository = false\nproject = true\n".to_owned(),
        "[shared.a]\npath = \"/usr\"\n[shared.b]\npath = \"/data\"\n[shared.c]\npath = \"/data/x\"\n".to_owned(),
        "[shared.a]\npath = \"/data\"\nsource = \"nfs.example.org:/x\"\n".to_owned(),
        format!("[job_role]\npolicies = [{0}]\n[iam]\ninstance_policies = [{0}]\n", policies.join(", ")),
    ];
    let told = files.map(|text| {
        let problems = validate(&parsed(&text));
        if problems.is_empty() { format!("no problem: {text}") } else { told(&problems) }
    });
    insta::assert_snapshot!(told.join("\n"));
}

fn facts() -> NetworkFacts {
    let ResolvedNetwork::Existing { vpc, subnets } = default_network() else { panic!("no subnets") };
    let zones = subnets.iter().map(|subnet| subnet.zone.clone()).collect();
    NetworkFacts { default_vpc: Some(vpc), subnets, zones, ..NetworkFacts::default() }
}

#[test]
fn networks_that_cannot_work() {
    let mut other = facts();
    other.subnets[1].vpc = "vpc-0000bbbb".parse().unwrap();
    let mut private = facts();
    private.subnets[0].way_out = WayOut::None;
    let mut without_addresses = facts();
    without_addresses.subnets[1].assigns_public_ip = false;
    without_addresses.subnets[0].free_addresses = 3;
    let mut with_groups = facts();
    let group = |id: &str, vpc: &str| SecurityGroupFacts {
        id: id.parse().unwrap(),
        vpc: vpc.parse().unwrap(),
        lets_itself_in: false,
    };
    with_groups.security_groups =
        vec![group("sg-0000aaaa", "vpc-0000aaaa"), group("sg-0000bbbb", "vpc-0000bbbb")];
    let both = "[network]\nsubnets = [\"subnet-0000aaaa\", \"subnet-0000bbbb\"]\n";
    let told = [
        ("", NetworkFacts::default()),
        (both, other),
        (both, private),
        (both, without_addresses),
        ("[network]\nsubnets = [\"subnet-0000cccc\"]\n", facts()),
        ("[network]\nvpc = \"vpc-0000bbbb\"\n", facts()),
        ("[network]\nvpc = \"vpc-0000bbbb\"\nsubnets = [\"subnet-0000aaaa\"]\n", facts()),
        ("[network]\nsecurity_groups = [\"sg-0000cccc\"]\n", with_groups.clone()),
        ("[network]\nsecurity_groups = [\"sg-0000bbbb\"]\n", with_groups.clone()),
        ("[network]\nsecurity_groups = [\"sg-0000aaaa\"]\n", with_groups),
        ("[network]\nvpc = \"new\"\nzones = 3\n", facts()),
        ("[network]\nvpc = \"new\"\nzone_names = [\"eu-west-1a\", \"eu-west-1c\"]\n", facts()),
    ]
    .map(|(text, facts)| told(&validate_network(&parsed(text), &facts)));
    insta::assert_snapshot!(told.join("\n"));
    assert_eq!(validate_network(&parsed(""), &facts()), []);
}

#[test]
fn a_new_vpc_is_in_the_zones_that_cloudformation_chooses_from() {
    let zone = |name: &str| name.parse().unwrap();
    let facts = NetworkFacts {
        zones: vec![zone("eu-west-1a"), zone("eu-west-1b"), zone("eu-west-1c")],
        default_zones: vec![zone("eu-west-1b"), zone("eu-west-1c")],
        ..NetworkFacts::default()
    };
    let of = |network: &str| parsed(&format!("[network]\nvpc = \"new\"\n{network}"));
    let told = told(&validate_network(&of("zones = 3\n"), &facts));
    assert!(told.contains("zones with a default subnet: eu-west-1b, eu-west-1c"), "{told}");
    assert_eq!(validate_network(&of("zones = 2\n"), &facts), []);
    let named = "zone_names = [\"eu-west-1a\", \"eu-west-1b\", \"eu-west-1c\"]\n";
    assert_eq!(validate_network(&of(named), &facts), []);
    // The types have to be in the zones that are chosen, and not in the first ones of the region.
    let offered = OfferedType {
        name: "c7i.large".parse().unwrap(),
        vcpus: 2,
        memory_mib: 0,
        gpus: 0,
        zones: vec![zone("eu-west-1a"), zone("eu-west-1b")],
    };
    let config = of("zones = 2\n[environment.a]\ntype = \"on-demand\"\ninstance_types = [\"c7i.large\"]\n");
    let problems = validate_types(&config, &facts, &TypeOfferings { types: vec![offered] });
    assert!(self::told(&problems).contains("which eu-west-1c does not have"), "{problems:?}");
}

#[test]
fn a_quota_that_aws_does_not_raise_is_not_asked_for() {
    let quotas = Quotas { free_environments: Some(0), free_vpcs: Some(0), ..Quotas::default() };
    let config = parsed("[network]\nvpc = \"new\"\n[environment.a]\ntype = \"spot\"\n");
    let problems = validate_account(&config, &AccountFacts { quotas, ..AccountFacts::default() });
    let advice = |key: &str| problems.iter().find(|problem| problem.key == key).unwrap().advice.clone();
    assert!(advice("environment").contains("AWS does not raise this quota"), "{}", advice("environment"));
    assert!(advice("network.vpc").contains("ask AWS for a larger quota"), "{}", advice("network.vpc"));
}

#[test]
fn a_policy_of_users_that_is_longer_than_iam_takes_is_a_problem() {
    let queue = |n: usize| {
        let name = format!("{}-{n}", "q".repeat(60));
        format!("[queue.q{n}]\narn = \"arn:aws:batch:eu-west-1:111122223333:job-queue/{name}\"\n")
    };
    let queues: String = (0..12).map(queue).collect();
    let check =
        |name: &str, text: &str| validate_user_policy(&name.parse().unwrap(), "eu-west-1", &parsed(text));
    let with_queues = format!("default_queue = \"q0\"\n{queues}");
    let long = "x".repeat(60);
    let problems = check(&long, &with_queues);
    assert_eq!(problems.iter().map(|problem| problem.kind).collect::<Vec<_>>(), [ProblemKind::PolicySize]);
    assert!(problems[0].kind.is_fatal());
    assert_eq!(problems[0].key, "iam.user_policy");
    assert_eq!(check(&long, ""), []);
    assert_eq!(check(&long, &format!("{with_queues}[iam]\nuser_policy = false\n")), []);
}

#[test]
fn types_that_the_zones_do_not_have() {
    let offered = |name: &str, vcpus: u32, zones: &[&str]| OfferedType {
        name: name.parse::<InstanceTypeName>().unwrap(),
        vcpus,
        memory_mib: 0,
        gpus: 0,
        zones: zones.iter().map(|zone| zone.parse().unwrap()).collect(),
    };
    let offerings = TypeOfferings {
        types: vec![
            offered("c7i.large", 2, &["eu-west-1a", "eu-west-1b"]),
            offered("c7i.xlarge", 4, &["eu-west-1a"]),
            offered("hpc7a.96xlarge", 192, &["eu-west-1c"]),
        ],
    };
    let check = |types: &str, more: &str| {
        let text = format!("[environment.a]\ntype = \"on-demand\"\ninstance_types = [{types}]\n{more}");
        validate_types(&parsed(&text), &facts(), &offerings)
    };
    assert_eq!(check("\"c7i.large\", \"c7i\", \"default_x86_64\"", ""), []);
    let problems = [
        check("\"c7i.xlarge\"", ""),
        check("\"c7j\"", ""),
        check("\"c7i.larg\"", ""),
        check("\"hpc7a\"", ""),
        check("\"c7i.large\"", "max = 1\n"),
    ];
    insta::assert_snapshot!(problems.map(|problems| told(&problems)).join("\n"));
}

#[test]
fn key_pairs_quotas_and_mount_targets() {
    let config = parsed(
        "[environment.a]\ntype = \"on-demand\"\nkey_pair = \"ann\"\n[environment.b]\ntype = \"spot\"\nmin = 64\n\
         [environment.c]\ntype = \"fargate\"\n\
         [shared.x]\npath = \"/x\"\nsource = \"fs-0000aaaa\"\n[shared.y]\npath = \"/y\"\nsource = \"fs-0000bbbb\"\n",
    );
    let vcpus = [32, 32, 0];
    let quotas = Quotas {
        vcpus: config.environments.iter().flat_map(vcpu_quotas).zip(vcpus).collect(),
        free_queues: Some(1),
        free_environments: Some(50),
        ..Quotas::default()
    };
    let facts_of_account =
        AccountFacts { key_pairs: Some(vec!["anna".parse().unwrap()]), quotas, ..AccountFacts::default() };
    let system =
        FileSystemFacts { id: "fs-0000aaaa".parse().unwrap(), zones: vec!["eu-west-1a".parse().unwrap()] };
    let mut problems = validate_account(&config, &facts_of_account);
    problems.extend(validate_file_systems(&config, &facts(), &[system]));
    insta::assert_snapshot!(told(&problems));
    assert_eq!(validate_account(&config, &AccountFacts::default()), []);
    // A quota below `max` is no reason to refuse the cluster: it is that of each new account.
    let fatal = problems.iter().filter(|problem| problem.kind.is_fatal()).map(|problem| problem.key.as_str());
    let fatal: Vec<&str> = fatal.collect();
    assert!(!fatal.contains(&"environment.a.max"), "{fatal:?}");
    assert!(fatal.contains(&"environment.b.min") && fatal.contains(&"environment.c"), "{fatal:?}");
}
