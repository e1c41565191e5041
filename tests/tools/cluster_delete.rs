//! `bcluster delete`, against a CloudFormation that refuses and throttles: it never calls a cluster
//! deleted that is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use awsb_testkit::{Answer, Outcome, Sandbox, story};

use crate::cluster_create::fake::{Call, Fake, error};

/// How CloudFormation behaves.
const WELL: u8 = 0;
const REFUSES_DELETION: u8 = 1;
const THROTTLES: u8 = 2;
/// It does not know the stack by its name.
const HAS_NO_NAME: u8 = 3;
/// It does not know the stack at all.
const HAS_NOTHING: u8 = 4;
/// It has carried out a call before this one with the same token.
const KNOWS_TOKEN: u8 = 5;

/// The cluster `lab` with a deletion that an earlier run has begun, and not ended; and a switch for
/// the behaviour of CloudFormation from then on.
fn begun() -> (Fake, Sandbox, Arc<AtomicU8>) {
    let switch = Arc::new(AtomicU8::new(REFUSES_DELETION));
    let behaviour = Arc::clone(&switch);
    let aws = Fake::with_faults(move |call, _| fault(call, behaviour.load(Ordering::SeqCst)));
    aws.has_stack("CREATE_COMPLETE", &[("awsb:cluster", "lab")]);
    let sandbox = aws.sandbox();
    sandbox.config("[cluster.lab]\nstack = \"lab\"\nregion = \"eu-west-1\"\n");
    let refused = delete(&sandbox).ended_with(1);
    assert!(refused.stderr.contains("bcluster: error: deleting the stack"), "{refused}");
    assert_eq!(journals(&sandbox), 1);
    (aws, sandbox, switch)
}

fn fault(call: &Call, behaviour: u8) -> Option<(Answer, bool)> {
    let body = |content: &str| {
        let action = &call.action;
        let body = format!("<{action}Response><{action}Result>{content}</{action}Result></{action}Response>");
        Some((Answer::Http(200, body, vec![("content-type", "text/xml".into())]), false))
    };
    let missing = || Some((error("ValidationError", "Stack with id lab does not exist"), false));
    match (call.action.as_str(), behaviour) {
        ("ListStackResources", _) => body("<StackResourceSummaries></StackResourceSummaries>"),
        ("GetTemplate", _) => body("<TemplateBody>{}</TemplateBody>"),
        ("DeleteStack", REFUSES_DELETION) => Some((error("AccessDenied", "no"), false)),
        ("DeleteStack", KNOWS_TOKEN) => Some((error("TokenAlreadyExistsException", "known"), true)),
        ("DescribeStacks", THROTTLES) => Some((error("Throttling", "Rate exceeded"), false)),
        ("DescribeStacks", HAS_NO_NAME) if !call.get("StackName").starts_with("arn:") => missing(),
        ("DescribeStacks", HAS_NOTHING) => missing(),
        _ => None,
    }
}

fn delete(sandbox: &Sandbox) -> Outcome {
    sandbox.run("bcluster", ["delete", "lab", "--yes"])
}

/// The number of operations that are recorded.
fn journals(sandbox: &Sandbox) -> usize {
    let folder = sandbox.get("XDG_STATE_HOME").expect("a folder for state");
    let files = std::fs::read_dir(format!("{folder}/awsb/clusters")).expect("journals");
    files.flatten().filter(|file| file.path().extension().is_some_and(|end| end == "json")).count()
}

fn settings(sandbox: &Sandbox) -> String {
    let folder = sandbox.get("XDG_CONFIG_HOME").expect("a folder for settings");
    std::fs::read_to_string(format!("{folder}/awsb/config.toml")).unwrap_or_default()
}

/// The cluster, its journal and its settings are as they were.
fn is_as_it_was(aws: &Fake, sandbox: &Sandbox, failed: &Outcome) {
    assert!(!failed.to_string().contains("is deleted"), "{failed}");
    assert_eq!(aws.status().as_deref(), Some("CREATE_COMPLETE"));
    assert_eq!(journals(sandbox), 1);
    assert!(settings(sandbox).contains("[cluster.lab]"));
}

#[story]
fn a_cluster_that_cannot_be_looked_up_is_not_called_deleted() {
    let (aws, sandbox, switch) = begun();
    switch.store(THROTTLES, Ordering::SeqCst);
    let failed = delete(&sandbox);
    assert!(failed.failed_with(1).contains("reading the CloudFormation stack lab"), "{failed}");
    is_as_it_was(&aws, &sandbox, &failed);
    switch.store(WELL, Ordering::SeqCst);
    delete(&sandbox).ok();
    assert_eq!(aws.status().as_deref(), Some("DELETE_COMPLETE"));
    assert_eq!((journals(&sandbox), settings(&sandbox).as_str()), (0, ""));
}

#[story]
fn a_cluster_that_has_another_name_now_is_not_called_deleted() {
    let (aws, sandbox, switch) = begun();
    switch.store(HAS_NO_NAME, Ordering::SeqCst);
    let failed = delete(&sandbox);
    assert!(failed.failed_with(1).contains("there is no cluster `lab`"), "{failed}");
    assert!(failed.stderr.contains("is CREATE_COMPLETE"), "{failed}");
    is_as_it_was(&aws, &sandbox, &failed);
}

#[story]
fn a_deletion_whose_stack_is_forgotten_is_ended() {
    let (_aws, sandbox, switch) = begun();
    switch.store(HAS_NOTHING, Ordering::SeqCst);
    let ended = delete(&sandbox).ok();
    assert!(ended.stderr.contains("the cluster lab is deleted"), "{ended}");
    assert_eq!((journals(&sandbox), settings(&sandbox).as_str()), (0, ""));
}

#[story]
fn an_operation_in_another_account_is_not_this_one() {
    let (_aws, mut sandbox, switch) = begun();
    switch.store(HAS_NOTHING, Ordering::SeqCst);
    sandbox.set("AWS_ACCESS_KEY_ID", "AKIDOTHER");
    let failed = delete(&sandbox);
    assert!(failed.failed_with(1).contains("there is no cluster `lab`"), "{failed}");
    assert_eq!(journals(&sandbox), 1);
    assert!(settings(&sandbox).contains("[cluster.lab]"));
}

#[story]
fn a_deletion_whose_token_is_known_is_followed() {
    let (aws, sandbox, switch) = begun();
    switch.store(KNOWS_TOKEN, Ordering::SeqCst);
    delete(&sandbox).ok();
    assert_eq!(aws.status().as_deref(), Some("DELETE_COMPLETE"));
}
