//! Stacks in a world that is made up: what exists in it, what fails in it, and what has been asked
//! of it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::change_set;
use super::model::{Desired, New, OnFailure, Resource, ResourceStatus, Stack, StackStatus};
use super::operation::{self, Action, HandlerError, Made, Options, Outcome, Turn, World};
use super::schema::Schemas;
use super::template::Template;

/// A world in which every resource can be made, except for those that are to fail.
#[derive(Debug, Default)]
struct Imagined {
    /// The resources that exist, by their IDs.
    there: BTreeMap<String, Value>,
    /// The work that is to fail: `create A`.
    failing: BTreeSet<String>,
    /// The work that has been done: `create A`.
    done: Vec<String>,
}

impl Imagined {
    fn failing(names: &[&str]) -> Self {
        Self { failing: names.iter().map(|name| (*name).to_owned()).collect(), ..Self::default() }
    }

    fn try_to(&mut self, what: String) -> Result<(), HandlerError> {
        if self.failing.contains(&what) {
            return Err(HandlerError::new("InvalidRequest", "it is to fail"));
        }
        self.done.push(what);
        Ok(())
    }
}

impl World for Imagined {
    fn prepare(&mut self, _: &Stack, new: &New) -> Outcome<()> {
        let id = format!("{}/{}", new.logical, new.generation);
        Ok(match self.there.contains_key(&id) {
            true => Err(HandlerError::new("AlreadyExists", format!("{id} already exists"))),
            false => Ok(()),
        })
    }

    fn create(&mut self, _: &Stack, new: &New) -> Outcome<Made> {
        let id = format!("{}/{}", new.logical, new.generation);
        Ok(self.try_to(format!("create {}", new.logical)).map(|()| {
            assert!(self.there.insert(id.clone(), new.properties.clone()).is_none(), "{id} is made twice");
            let attributes = Map::from_iter([("Arn".to_owned(), json!(format!("arn:{id}")))]);
            Made { physical_id: id, attributes, note: None }
        }))
    }

    fn existing(&mut self, new: &New) -> rusqlite::Result<Option<Made>> {
        let is_there = self.there.contains_key(&new.name);
        Ok(is_there.then(|| Made { physical_id: new.name.clone(), attributes: Map::new(), note: None }))
    }

    fn update(&mut self, _: &Stack, old: &Resource, new: &New) -> Outcome<Made> {
        let id = old.physical_id.clone().unwrap();
        Ok(self.try_to(format!("update {}", new.logical)).map(|()| {
            self.there.insert(id.clone(), new.properties.clone()).unwrap();
            Made { physical_id: id, attributes: old.attributes.clone(), note: None }
        }))
    }

    fn delete(&mut self, _: &Stack, logical: &str, old: &Resource) -> Outcome<()> {
        let id = old.physical_id.clone().unwrap();
        // Whatever needs it has to be gone.
        Ok(self.try_to(format!("delete {logical}")).map(|()| drop(self.there.remove(&id).unwrap())))
    }

    fn fault(&mut self, _: &str, _: &str, _: Action) -> Option<String> {
        None
    }
}

fn desired(template: &Value) -> (Template, Desired) {
    let text = template.to_string();
    let parsed = Template::parse(&text, Schemas::built_in()).unwrap();
    (parsed, Desired { template: text, ..Desired::default() })
}

/// Makes all steps that are left. The stack is written and read between them, as by a server that
/// is killed all the time.
fn run(stack: &mut Stack, world: &mut Imagined) -> Vec<String> {
    let mut events = Vec::new();
    for step in 0.. {
        assert!(step < 10_000, "it does not end: {stack:?}");
        let turn = operation::advance(stack, world, step).unwrap();
        for event in stack.new_events.drain(..) {
            events.push(format!("{} {}", event.logical_id, event.status));
        }
        *stack = serde_json::from_str(&serde_json::to_string(stack).unwrap()).unwrap();
        if turn == Turn::Over {
            break;
        }
    }
    assert!(stack.operation.is_none());
    events
}

fn create(template: &Value, options: Options, world: &mut Imagined) -> (Stack, Vec<String>) {
    let (parsed, desired) = desired(template);
    let mut stack = Stack::new("lab", desired, 0);
    operation::create(&mut stack, &parsed, options, 0);
    let events = run(&mut stack, world);
    (stack, events)
}

fn update(stack: &mut Stack, template: &Value, world: &mut Imagined) -> Vec<String> {
    let (parsed, desired) = desired(template);
    operation::update(stack, &parsed, desired, Options::default(), 0);
    run(stack, world)
}

fn delete(stack: &mut Stack, world: &mut Imagined) -> Vec<String> {
    operation::delete(stack, BTreeSet::new(), Options::default(), 0);
    run(stack, world)
}

/// A resource of a type that needs nothing, with tags, in order to change in place, and with a
/// description, in order to be replaced.
fn policy(description: &str, path: &str, needs: &[&str]) -> Value {
    json!({
        "Type": "AWS::IAM::ManagedPolicy",
        "DependsOn": needs,
        "Properties": {
            "Description": description,
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [], "Id": path},
        },
    })
}

fn template(resources: Value) -> Value {
    json!({"Resources": resources})
}

fn chain() -> Value {
    template(json!({
        "A": policy("d", "1", &[]),
        "B": policy("d", "1", &["A"]),
        "C": policy("d", "1", &["B"]),
    }))
}

#[test]
fn resources_are_made_in_order_and_deleted_in_reverse() {
    let mut world = Imagined::default();
    let (mut stack, events) = create(&chain(), Options::default(), &mut world);
    assert_eq!(world.done, ["create A", "create B", "create C"]);
    assert_eq!(stack.status, StackStatus::CreateComplete);
    assert_eq!(
        events[1..4],
        ["A CREATE_IN_PROGRESS", "A CREATE_IN_PROGRESS", "A CREATE_COMPLETE"].map(str::to_owned)
    );
    assert_eq!(events.first().map(String::as_str), Some("lab CREATE_IN_PROGRESS"));
    assert_eq!(events.last().map(String::as_str), Some("lab CREATE_COMPLETE"));
    world.done.clear();
    let events = delete(&mut stack, &mut world);
    assert_eq!(world.done, ["delete C", "delete B", "delete A"]);
    assert!(world.there.is_empty());
    assert_eq!(events.last().map(String::as_str), Some("lab DELETE_COMPLETE"));
}

#[test]
fn a_failed_creation_is_rolled_back_deleted_or_left() {
    for (on_failure, status, left) in [
        (None, StackStatus::RollbackComplete, 0),
        (Some(OnFailure::Delete), StackStatus::DeleteComplete, 0),
        (Some(OnFailure::DoNothing), StackStatus::CreateFailed, 2),
    ] {
        let mut world = Imagined::failing(&["create C"]);
        let options = Options { on_failure, ..Options::default() };
        let (stack, events) = create(&chain(), options, &mut world);
        assert_eq!((stack.status, world.there.len()), (status, left), "{events:?}");
        let failed = events.iter().find(|event| event.ends_with("_FAILED"));
        assert_eq!(failed.map(String::as_str), Some("C CREATE_FAILED"));
        assert!(stack.resources["C"].reason.as_ref().unwrap().contains("it is to fail"));
        if status == StackStatus::RollbackComplete {
            assert!(!stack.status.can_be_updated());
            let begun = events.iter().position(|event| event == "lab ROLLBACK_IN_PROGRESS").unwrap();
            assert!(events[begun..].contains(&"B DELETE_COMPLETE".to_owned()));
        }
    }
}

#[test]
fn what_has_begun_beside_a_failure_is_cancelled() {
    let beside = template(json!({"A": policy("d", "1", &[]), "B": policy("d", "1", &[])}));
    let mut world = Imagined::failing(&["create A"]);
    let (stack, _) = create(&beside, Options::default(), &mut world);
    assert_eq!(stack.resources["B"].reason.as_deref(), Some("Resource creation cancelled"));
    assert!(world.done.is_empty(), "{:?}", world.done);
}

#[test]
fn a_policy_keeps_a_resource_that_leaves_the_stack() {
    let with = |policy_name: &str| {
        let mut template = chain();
        template["Resources"]["B"]["DeletionPolicy"] = json!(policy_name);
        template
    };
    for (name, left_by_rollback, left_by_deletion) in
        [("Delete", 0, 0), ("Retain", 1, 1), ("RetainExceptOnCreate", 0, 1)]
    {
        let mut world = Imagined::failing(&["create C"]);
        create(&with(name), Options::default(), &mut world);
        assert_eq!(world.there.len(), left_by_rollback, "{name}: a roll-back");
        let mut world = Imagined::default();
        let (mut stack, _) = create(&with(name), Options::default(), &mut world);
        let events = delete(&mut stack, &mut world);
        assert_eq!(world.there.len(), left_by_deletion, "{name}: a deletion");
        assert_eq!(events.contains(&"B DELETE_SKIPPED".to_owned()), left_by_deletion == 1);
    }
}

#[test]
fn an_update_changes_replaces_adds_and_removes() {
    let mut world = Imagined::default();
    let (mut stack, _) = create(&chain(), Options::default(), &mut world);
    world.done.clear();
    let new = template(json!({
        "A": policy("d", "2", &[]),
        "B": policy("other", "1", &["A"]),
        "D": policy("d", "1", &["B"]),
    }));
    let events = update(&mut stack, &new, &mut world);
    assert_eq!(stack.status, StackStatus::UpdateComplete, "{events:?}");
    assert_eq!(world.done[..3], ["update A", "create B", "create D"].map(str::to_owned));
    let mut rest = world.done[3..].to_vec();
    rest.sort();
    assert_eq!(rest, ["delete B", "delete C"]);
    assert_eq!(world.there.keys().collect::<Vec<_>>(), ["A/0", "B/1", "D/0"]);
    let cleanup = events.iter().position(|event| event == "lab UPDATE_COMPLETE_CLEANUP_IN_PROGRESS");
    assert!(cleanup < events.iter().position(|event| event == "B DELETE_IN_PROGRESS"), "{events:?}");
    assert!(!stack.resources.contains_key("C"));
}

#[test]
fn a_failed_update_goes_back_to_what_was() {
    for failing in ["create D", "create B", "update A"] {
        let mut world = Imagined::default();
        let (mut stack, _) = create(&chain(), Options::default(), &mut world);
        let (before, there) = (stack.clone(), world.there.clone());
        world.failing.insert(failing.to_owned());
        let new = template(json!({
            "A": policy("d", "2", &[]),
            "B": policy("other", "1", &["A"]),
            "D": policy("d", "1", &["B"]),
        }));
        // The way back uses the same operation.
        let mut once = world;
        if failing == "update A" {
            once.failing.clear();
            once.failing.insert("update A".to_owned());
            let events = update(&mut stack, &new, &mut once);
            assert_eq!(stack.status, StackStatus::UpdateRollbackFailed, "{events:?}");
            once.failing.clear();
            operation::continue_rollback(&mut stack, &BTreeSet::new(), Options::default(), 0);
            run(&mut stack, &mut once);
        } else {
            update(&mut stack, &new, &mut once);
        }
        assert_eq!(stack.status, StackStatus::UpdateRollbackComplete, "{failing}");
        assert_eq!(once.there, there, "{failing}");
        assert_eq!(stack.desired, before.desired);
        assert_eq!(stack.resources.keys().collect::<Vec<_>>(), before.resources.keys().collect::<Vec<_>>());
        for (logical, resource) in &stack.resources {
            assert_eq!(resource.physical_id, before.resources[logical].physical_id, "{failing}");
        }
        assert!(stack.status.can_be_updated());
    }
}

#[test]
fn a_roll_back_can_go_on_without_a_resource() {
    let mut world = Imagined::default();
    let (mut stack, _) = create(&chain(), Options::default(), &mut world);
    world.failing.insert("update A".to_owned());
    let new = template(json!({"A": policy("d", "2", &[]), "B": policy("d", "1", &[])}));
    update(&mut stack, &new, &mut world);
    assert_eq!(stack.status, StackStatus::UpdateRollbackFailed);
    let skip = BTreeSet::from(["A".to_owned()]);
    operation::continue_rollback(&mut stack, &skip, Options::default(), 0);
    run(&mut stack, &mut world);
    assert_eq!(stack.status, StackStatus::UpdateRollbackComplete);
    assert_eq!(stack.resources["A"].status, ResourceStatus::UpdateComplete);
    world.failing.clear();
    delete(&mut stack, &mut world);
    assert!(world.there.is_empty());
}

#[test]
fn a_deletion_goes_on_with_what_it_can_and_can_be_tried_again() {
    let mut world = Imagined::failing(&["delete B"]);
    let (mut stack, _) = create(&chain(), Options::default(), &mut world);
    delete(&mut stack, &mut world);
    assert_eq!(stack.status, StackStatus::DeleteFailed);
    assert_eq!(stack.reason.as_deref(), Some("The following resource(s) failed to delete: [B]. "));
    // A is needed by B.
    assert_eq!(world.there.keys().collect::<Vec<_>>(), ["A/0", "B/0"]);
    operation::delete(&mut stack, BTreeSet::from(["B".to_owned()]), Options::default(), 0);
    run(&mut stack, &mut world);
    assert_eq!(stack.status, StackStatus::DeleteComplete);
    assert_eq!(world.there.keys().collect::<Vec<_>>(), ["B/0"]);

    let mut world = Imagined::failing(&["delete B"]);
    let (mut stack, _) = create(&chain(), Options::default(), &mut world);
    operation::delete(&mut stack, BTreeSet::new(), Options { force: true, ..Options::default() }, 0);
    run(&mut stack, &mut world);
    assert_eq!(stack.status, StackStatus::DeleteComplete);
}

#[test]
fn a_stack_policy_stops_an_update_that_it_forbids() {
    let mut world = Imagined::default();
    let (mut stack, _) = create(&chain(), Options::default(), &mut world);
    let statement = |effect: &str, action: &str, resource: &str| json!({"Effect": effect, "Principal": "*", "Action": action, "Resource": resource});
    let policy_text = json!({"Statement": [
        statement("Allow", "Update:*", "*"),
        statement("Deny", "Update:Replace", "LogicalResourceId/A"),
        statement("Deny", "Update:Delete", "LogicalResourceId/C"),
    ]});
    stack.policy = Some(policy_text.to_string());
    let before = world.there.clone();
    for refused in [
        json!({"A": policy("other", "1", &[]), "B": policy("d", "1", &["A"]), "C": policy("d", "1", &["B"])}),
        json!({"A": policy("d", "1", &[]), "B": policy("d", "1", &["A"])}),
    ] {
        let events = update(&mut stack, &template(refused), &mut world);
        assert_eq!(stack.status, StackStatus::UpdateRollbackComplete, "{events:?}");
        assert_eq!(world.there, before);
    }
    let mut allowed = chain();
    allowed["Resources"]["A"] = policy("d", "2", &[]);
    update(&mut stack, &allowed, &mut world);
    assert_eq!(stack.status, StackStatus::UpdateComplete);
}

#[test]
fn properties_that_are_wrong_fail_their_resource() {
    let mut wrong = chain();
    wrong["Resources"]["A"]["Properties"]["Colour"] = json!("red");
    let mut world = Imagined::default();
    let (stack, _) = create(&wrong, Options::default(), &mut world);
    assert_eq!(stack.status, StackStatus::RollbackComplete);
    assert_eq!(
        stack.resources["A"].reason.as_deref(),
        Some(
            "Properties validation failed for resource A with message:\n#: extraneous key [Colour] is not permitted"
        )
    );
}

#[test]
fn a_change_set_says_what_an_update_would_do() {
    let first = template(json!({
        "Template": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": {"KeyName": "k"}}},
        "Environment": {
            "Type": "AWS::Batch::ComputeEnvironment",
            "Properties": {
                "Type": "MANAGED",
                "ReplaceComputeEnvironment": false,
                "ComputeResources": {
                    "Type": "EC2", "MaxvCpus": 4, "Subnets": ["subnet-1"],
                    "LaunchTemplate": {
                        "LaunchTemplateId": {"Ref": "Template"},
                        "Version": {"Fn::GetAtt": ["Template", "LatestVersionNumber"]},
                    },
                },
            },
        },
        "Old": policy("d", "1", &[]),
    }));
    let mut world = Imagined::default();
    let (parsed, wanted) = desired(&first);
    let mut stack = Stack::new("lab", wanted, 0);
    operation::create(&mut stack, &parsed, Options::default(), 0);
    // The attributes that the imagined world does not have.
    for _ in 0..20 {
        operation::advance(&mut stack, &mut world, 0).unwrap();
        if let Some(template) = stack.resources.get_mut("Template") {
            template.attributes.insert("LatestVersionNumber".to_owned(), json!("1"));
        }
    }
    assert_eq!(stack.status, StackStatus::CreateComplete, "{:?}", stack.new_events);
    let plan_of = |template: &Value| {
        let (parsed, desired) = desired(template);
        change_set::plan(&stack, &parsed, &desired).unwrap()
    };
    assert!(plan_of(&first).changes.is_empty());
    let mut second = first.clone();
    second["Resources"]["Template"]["Properties"]["LaunchTemplateData"]["KeyName"] = json!("other");
    second["Resources"]["Environment"]["Properties"]["ComputeResources"]["MaxvCpus"] = json!(8);
    second["Resources"].as_object_mut().unwrap().remove("Old");
    second["Resources"]["New"] = policy("d", "1", &[]);
    let plan = plan_of(&second);
    let of = |logical: &str| {
        let is_of = |change: &&Value| change["ResourceChange"]["LogicalResourceId"] == logical;
        let Some(found) = plan.changes.iter().find(is_of) else { panic!("{logical}") };
        found["ResourceChange"].clone()
    };
    assert_eq!(plan.changes.len(), 4);
    assert_eq!(of("New")["Action"], "Add");
    assert_eq!((&of("Old")["Action"], &of("Old")["PolicyAction"]), (&json!("Remove"), &json!("Delete")));
    assert_eq!(of("Template")["Replacement"], "False");
    let environment = of("Environment");
    assert_eq!(environment["Replacement"], "Conditional");
    let targets: BTreeMap<&str, (&Value, &Value)> = environment["Details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|detail| {
            let path = detail["Target"]["Path"].as_str().unwrap();
            (path.rsplit('/').next().unwrap(), (&detail["Evaluation"], &detail["ChangeSource"]))
        })
        .collect();
    let (dynamic, fixed) = (json!("Dynamic"), json!("Static"));
    let (attribute, direct) = (json!("ResourceAttribute"), json!("DirectModification"));
    assert_eq!(
        targets,
        BTreeMap::from([("Version", (&dynamic, &attribute)), ("MaxvCpus", (&fixed, &direct))])
    );
    let max = environment["Details"].as_array().unwrap().iter().map(|detail| &detail["Target"]);
    let max = max.clone().find(|target| target["RequiresRecreation"] == "Never").unwrap();
    assert_eq!((&max["BeforeValue"], &max["AfterValue"]), (&json!("4"), &json!("8")));
    assert!(
        change_set::without_values(plan.changes[0].clone())["ResourceChange"].get("AfterContext").is_none()
    );
}

/// Any resources, each of which needs some of those before it.
fn graphs() -> impl Strategy<Value = Vec<Vec<usize>>> {
    let needs = |index: usize| {
        prop::collection::vec(0..index.max(1), 0..3).prop_map(move |mut needs| {
            needs.retain(|need| *need < index);
            needs.sort_unstable();
            needs.dedup();
            needs
        })
    };
    (1..12_usize).prop_flat_map(move |size| (0..size).map(needs).collect::<Vec<_>>())
}

fn name_of(index: usize) -> String {
    // The names are not in the order of the dependencies.
    format!("R{}", (index * 7) % 12)
}

fn of_graph(graph: &[Vec<usize>], description: &str, path: &str) -> Value {
    let resources = graph.iter().enumerate().map(|(index, needs)| {
        let needs: Vec<String> = needs.iter().map(|need| name_of(*need)).collect();
        let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
        (name_of(index), policy(description, path, &needs))
    });
    template(Value::Object(resources.collect()))
}

/// Whether each need is done before, or after, what has it.
fn is_in_order(done: &[String], graph: &[Vec<usize>], verb: &str, is_reverse: bool) -> bool {
    let at = |index: usize| done.iter().position(|what| *what == format!("{verb} {}", name_of(index)));
    graph.iter().enumerate().all(|(index, needs)| {
        needs.iter().all(|need| match (at(*need), at(index)) {
            (Some(first), Some(then)) => (first < then) != is_reverse,
            _ => true,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn deletion_is_creation_in_reverse(graph in graphs()) {
        let mut world = Imagined::default();
        let (mut stack, _) = create(&of_graph(&graph, "d", "1"), Options::default(), &mut world);
        prop_assert_eq!(world.there.len(), graph.len());
        prop_assert!(is_in_order(&world.done, &graph, "create", false));
        world.done.clear();
        delete(&mut stack, &mut world);
        prop_assert!(is_in_order(&world.done, &graph, "delete", true), "{:?}", world.done);
        prop_assert!(world.there.is_empty());
    }

    #[test]
    fn a_roll_back_leaves_nothing(graph in graphs(), failing in 0..12_usize) {
        let name = name_of(failing % graph.len());
        let mut world = Imagined::failing(&[&format!("create {name}")]);
        let (stack, _) = create(&of_graph(&graph, "d", "1"), Options::default(), &mut world);
        prop_assert_eq!(stack.status, StackStatus::RollbackComplete);
        prop_assert!(world.there.is_empty(), "{:?}", world.there);
        prop_assert!(is_in_order(&world.done, &graph, "delete", true));
    }

    #[test]
    fn a_failed_update_leaves_what_was(graph in graphs(), failing in 0..12_usize, replaces in any::<bool>()) {
        let mut world = Imagined::default();
        let (mut stack, _) = create(&of_graph(&graph, "d", "1"), Options::default(), &mut world);
        let before = world.there.clone();
        let name = name_of(failing % graph.len());
        let new = if replaces { of_graph(&graph, "other", "1") } else { of_graph(&graph, "d", "2") };
        world.failing.insert(format!("{} {name}", if replaces { "create" } else { "update" }));
        update(&mut stack, &new, &mut world);
        if stack.status == StackStatus::UpdateRollbackFailed {
            world.failing.clear();
            operation::continue_rollback(&mut stack, &BTreeSet::new(), Options::default(), 0);
            run(&mut stack, &mut world);
        }
        prop_assert_eq!(stack.status, StackStatus::UpdateRollbackComplete);
        prop_assert_eq!(&world.there, &before);
        // It can be deleted without a trace.
        delete(&mut stack, &mut world);
        prop_assert!(world.there.is_empty());
    }
}

#[test]
fn the_properties_of_all_resources_have_a_limit() {
    let template = |buckets: usize| {
        let large = json!({"Fn::Sub": ["${x}".repeat(100), {"x": "x".repeat(9000)}]});
        let bucket = json!({"Type": "AWS::S3::Bucket", "Properties": {"BucketName": large}});
        let buckets: Map<String, Value> =
            (0..buckets).map(|number| (format!("B{number}"), bucket.clone())).collect();
        json!({ "Resources": buckets })
    };
    let plan = |buckets: usize| {
        let (parsed, desired) = desired(&template(buckets));
        let stack = Stack::new("lab", desired.clone(), 0);
        change_set::plan(&stack, &parsed, &desired).map(|plan| plan.changes.len())
    };
    assert_eq!(plan(9), Ok(9));
    assert!(plan(10).unwrap_err().0.contains("more than 8388608 bytes together"));
    // A value that is known only later is counted when its resource is made.
    let (stack, events) = create(&template(10), Options::default(), &mut Imagined::default());
    assert_eq!(stack.status.as_str(), "ROLLBACK_COMPLETE");
    assert!(events.iter().any(|event| event.ends_with("CREATE_FAILED")), "{events:?}");
}
