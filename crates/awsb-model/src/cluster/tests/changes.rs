//! The words of a plan about changes.

use super::parsed;
use crate::cluster::effect::{
    Action, Change, Effect, EffectClass, PolicyAction, PropertyChange, Recreation, Refusal, Replacement,
    RunningJobs, effect_of_each, effects,
};

fn property(path: &str, before: Option<&str>, after: Option<&str>) -> PropertyChange {
    let text = |value: Option<&str>| value.map(str::to_owned);
    PropertyChange {
        path: format!("/Properties/{path}"),
        before: text(before),
        after: text(after),
        recreation: Recreation::Never,
    }
}

fn change(id: &str, kind: &str, paths: &[&str]) -> Change {
    Change {
        logical_id: id.to_owned(),
        resource_type: format!("AWS::{kind}"),
        properties: paths.iter().map(|path| property(path, Some("1"), Some("2"))).collect(),
        ..Change::default()
    }
}

const CONFIG: &str = "[environment.a]\ntype = \"on-demand\"\nupdate_timeout = \"2h\"\n\
    [environment.b]\ntype = \"spot\"\nterminate_jobs_on_update = true\n\
    [environment.f]\ntype = \"fargate\"\n[shared.home]\npath = \"/home\"\n";

fn told(changes: &[Change]) -> Vec<Effect> {
    let config = parsed(CONFIG);
    effects(&config, &config, changes)
}

fn class(change: Change) -> EffectClass {
    told(&[change]).first().map(|effect| effect.class).expect("an effect")
}

#[test]
fn an_environment_says_what_its_jobs_meet() {
    const ENVIRONMENT: &str = "Batch::ComputeEnvironment";
    let told = |id: &str, paths: &[&str]| class(change(id, ENVIRONMENT, paths)).describe();
    assert_eq!(
        told("EnvironmentA", &["ComputeResources/MaxvCpus", "ComputeResources/MinvCpus"]),
        "no interruption"
    );
    let rolls = "instances are replaced; jobs that still run after 2h end";
    assert_eq!(told("EnvironmentA", &["ComputeResources/InstanceTypes", "ComputeResources/MaxvCpus"]), rolls);
    assert_eq!(
        told("EnvironmentB", &["ComputeResources/Tags/x"]),
        "instances are replaced; their jobs end at once"
    );
    assert_eq!(told("EnvironmentF", &["ComputeResources/SecurityGroupIds"]), "no interruption");
    // ReplaceComputeEnvironment is false: what CloudFormation calls conditional happens in place.
    let mut conditional = change("EnvironmentA", ENVIRONMENT, &["ComputeResources/Subnets"]);
    conditional.replacement = Replacement::Conditional;
    conditional.properties[0].recreation = Recreation::Conditionally;
    assert_eq!(class(conditional.clone()).describe(), rolls);
    conditional.replacement = Replacement::True;
    assert_eq!(class(conditional), EffectClass::JobsEnd);
    let mut moved = change("EnvironmentA", ENVIRONMENT, &[]);
    moved.properties = vec![property("ComputeResources/Type", Some("EC2"), Some("SPOT"))];
    assert_eq!(class(moved.clone()).describe(), rolls);
    for (before, after) in [("EC2", "FARGATE"), ("FARGATE_SPOT", "EC2"), ("FARGATE", "FARGATE_SPOT")] {
        moved.properties = vec![property("ComputeResources/Type", Some(before), Some(after))];
        assert_eq!(class(moved.clone()), EffectClass::Refused, "{before} -> {after}");
    }
    let mut removed = change("EnvironmentA", ENVIRONMENT, &[]);
    removed.action = Action::Remove;
    assert_eq!(class(removed), EffectClass::JobsEnd);
}

#[test]
fn an_environment_of_fargate_goes_only_when_no_job_runs_there() {
    let mut gone = change("EnvironmentF", "Batch::ComputeEnvironment", &[]);
    gone.action = Action::Remove;
    let mut replaced = change("EnvironmentF", "Batch::ComputeEnvironment", &["Tags"]);
    replaced.replacement = Replacement::True;
    for change in [gone, replaced] {
        let told = told(&[change]);
        let effect = told.first().unwrap();
        let jobs = |running| Some(RunningJobs { running, retried: 0 });
        assert_eq!(effect.refusal(jobs(1)), Some(Refusal::JobsRun));
        assert_eq!(effect.refusal(jobs(0)), None);
        assert_eq!(effect.consent(jobs(0)), None);
        // Nobody knows whether jobs run there, so that the change needs the part's name.
        assert_eq!(effect.refusal(None), None);
        assert_eq!(effect.consent(None).map(ToString::to_string).as_deref(), Some("environment.f"));
    }
}

#[test]
fn each_change_has_an_effect_of_its_own() {
    let config = parsed(CONFIG);
    let changes = [
        change("LaunchTemplateA", "EC2::LaunchTemplate", &["LaunchTemplateData"]),
        change("EnvironmentA", "Batch::ComputeEnvironment", &["ComputeResources/LaunchTemplate/Version"]),
    ];
    let classes: Vec<String> = effect_of_each(&config, &config, &changes)
        .into_iter()
        .map(|effect| effect.map_or_else(String::new, |e| format!("{}: {}", e.part, e.class.describe())))
        .collect();
    let rolls = "environment.a: instances are replaced; jobs that still run after 2h end";
    assert_eq!(classes, ["environment.a: no interruption", rolls]);
}

#[test]
fn data_is_lost_or_left_behind() {
    let gone = |kind: &str, policy_action: PolicyAction| {
        let action = Action::Remove;
        class(Change { action, policy_action, ..change("Efs", kind, &[]) })
    };
    assert_eq!(gone("EFS::FileSystem", PolicyAction::Retain), EffectClass::DataNotUsed);
    assert_eq!(gone("EFS::FileSystem", PolicyAction::Delete), EffectClass::DataLost);
    assert_eq!(gone("ECR::Repository", PolicyAction::None), EffectClass::DataLost);
    assert_eq!(gone("IAM::Role", PolicyAction::Delete), EffectClass::Removed);
    let mut bucket = change("Bucket", "S3::Bucket", &["BucketName"]);
    bucket.replacement = Replacement::True;
    bucket.policy_action = PolicyAction::Retain;
    assert_eq!(class(bucket), EffectClass::DataLeftBehind);
}

#[test]
fn queues_and_definitions() {
    assert_eq!(class(change("QueueA", "Batch::JobQueue", &["Priority"])), EffectClass::NoInterruption);
    let mut queue = change("QueueA", "Batch::JobQueue", &[]);
    queue.properties = vec![property("SchedulingPolicyArn", None, Some("arn"))];
    assert_eq!(class(queue.clone()), EffectClass::Refused);
    queue.properties = vec![property("SchedulingPolicyArn", Some("arn"), Some("other"))];
    assert_eq!(class(queue.clone()), EffectClass::NoInterruption);
    queue.action = Action::Remove;
    assert_eq!(class(queue), EffectClass::QueueGone);
    let definition = change("DefinitionJob", "Batch::JobDefinition", &["ContainerProperties/Image"]);
    assert_eq!(class(definition), EffectClass::NewRevision);
}

#[test]
fn a_part_is_told_once_by_its_name_and_the_worst_comes_first() {
    let told = told(&[
        change("LaunchTemplateA", "EC2::LaunchTemplate", &["LaunchTemplateData"]),
        change("EnvironmentA", "Batch::ComputeEnvironment", &["ComputeResources/LaunchTemplate/Version"]),
        change("QueueF", "Batch::JobQueue", &["Priority"]),
        change("SecurityGroup", "EC2::SecurityGroup", &["SecurityGroupEgress"]),
        Change { action: Action::Remove, ..change("SharedHome", "EFS::AccessPoint", &[]) },
        Change { action: Action::Add, ..change("JobLogs", "Logs::LogGroup", &[]) },
    ]);
    let lines: Vec<String> = told.iter().map(|e| format!("{}: {}", e.part, e.class.describe())).collect();
    assert_eq!(
        lines,
        [
            "environment.a: instances are replaced; jobs that still run after 2h end",
            "shared.home: removed",
            "network: no interruption",
            "queue.f: no interruption",
            "logs: new",
        ]
    );
}

#[test]
fn what_may_end_jobs_needs_its_name_unless_none_runs() {
    let told =
        told(&[change("EnvironmentA", "Batch::ComputeEnvironment", &["ComputeResources/InstanceTypes"])]);
    let effect = told.first().unwrap();
    let part = |jobs| effect.consent(jobs).map(ToString::to_string);
    let some = Some(RunningJobs { running: 3, retried: 2 });
    let none = Some(RunningJobs::default());
    assert_eq!(part(None).as_deref(), Some("environment.a"));
    assert_eq!(part(some).as_deref(), Some("environment.a"));
    assert_eq!(part(none), None);
    let words = "instances are replaced; jobs that still run after 2h end (3 jobs run there now, of which 2 would \
                 be tried again)";
    assert_eq!(effect.describe(some), words);
}

#[test]
fn jobs_of_a_queue_that_goes_are_not_tried_again() {
    let queue = Change { action: Action::Remove, ..change("QueueF", "Batch::JobQueue", &[]) };
    let told = told(&[queue]);
    let words = told.first().unwrap().describe(Some(RunningJobs { running: 2, retried: 2 }));
    assert!(
        words.ends_with("(2 jobs are in it now, and fail: without the queue, none is tried again)"),
        "{words}"
    );
    let words = told.first().unwrap().describe(Some(RunningJobs { running: 1, retried: 1 }));
    assert!(words.contains("(1 job is in it now, and fails: "), "{words}");
}

#[test]
fn the_words_of_cloudformation() {
    assert_eq!(
        ["Add", "Remove", "Other"].map(Action::from_word),
        [Action::Add, Action::Remove, Action::Dynamic]
    );
    let replacements = [Some("New"), Some("Conditional"), None].map(Replacement::from_word);
    assert_eq!(replacements, [Replacement::True, Replacement::Conditional, Replacement::False]);
    assert_eq!(Recreation::from_word(Some("Conditionally")), Recreation::Conditionally);
    let policies = ["Delete", "ReplaceAndDelete", "ReplaceAndRetain", "Snapshot"]
        .map(|word| PolicyAction::from_word(Some(word)));
    let expected = [PolicyAction::Delete, PolicyAction::Delete, PolicyAction::Retain, PolicyAction::Snapshot];
    assert_eq!(policies, expected);
}
