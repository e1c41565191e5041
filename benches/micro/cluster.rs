//! The plan of a cluster: everything between its configuration and the lines on the screen that is
//! not a call of AWS.

use std::fmt::Write as _;

use awsb_model::cluster::effect::{Action, PolicyAction, PropertyChange, Recreation, Replacement};
use awsb_model::cluster::{Change, ClusterConfig, ResolvedNetwork, effects, template, validate};
use divan::Bencher;
use divan::counter::ItemsCount;

/// The resources of the largest template (CloudFormation User Guide, `Quotas`).
const MOST_RESOURCES: usize = 500;

/// As many parts as the template of one stack can have: resources, and bytes in a bucket.
fn most_parts() -> usize {
    let size = |parts: usize| {
        let config = ClusterConfig::from_toml("lab.toml", &config(parts, 100)).expect("a configuration");
        let whole = template(&"lab".parse().expect("a name"), &config, &ResolvedNetwork::New);
        (whole.resources().count(), whole.to_json().len())
    };
    let fits = |parts: usize| {
        let (resources, bytes) = size(parts);
        resources <= MOST_RESOURCES && bytes <= awsb_model::cluster::OBJECT_BYTES
    };
    // Each part adds as many resources as the others. Bytes may allow fewer.
    let per_part = size(2).0 - size(1).0;
    let near = 1 + (MOST_RESOURCES - size(1).0) / per_part;
    (1..=near).rev().find(|parts| fits(*parts)).expect("one part fits")
}

/// A configuration with this many environments, queues and job definitions.
fn config(parts: usize, max: usize) -> String {
    let mut text = "[network]\nvpc = \"new\"\n[efs]\n[bucket]\nversions = true\n".to_owned();
    for n in 0..parts {
        let _ = write!(
            text,
            "[environment.e{n}]\ntype = \"spot\"\ninstance_types = [\"c7i\", \"m7i\", \"r7i\"]\nmax = {max}\n\
             [environment.e{n}.tags]\nproject = \"p{n}\"\n\
             [queue.q{n}]\nenvironments = [\"e{n}\"]\npriority = {n}\n\
             [definition.d{n}]\nvcpus = 2\nmemory = \"4G\"\ntimeout = \"1h\"\n"
        );
    }
    text
}

/// Plans the update of every part of the largest cluster: reads the configuration, checks it, makes
/// the template, and finds the effects of the changes.
#[divan::bench(args = [2, most_parts()])]
fn plan(bencher: Bencher<'_, '_>, parts: usize) {
    let name = "lab".parse().expect("a name");
    let (before, after) = (config(parts, 100), config(parts, 200));
    let parse = |text: &str| ClusterConfig::from_toml("lab.toml", text).expect("a configuration");
    let before = parse(&before);
    let whole = template(&name, &before, &ResolvedNetwork::New);
    let changes: Vec<Change> = whole
        .resources()
        .map(|(id, kind)| Change {
            logical_id: id.to_owned(),
            resource_type: kind.to_owned(),
            action: Action::Modify,
            replacement: Replacement::False,
            policy_action: PolicyAction::None,
            properties: vec![PropertyChange {
                path: "/Properties/ComputeResources/MaxvCpus".to_owned(),
                before: Some("100".to_owned()),
                after: Some("200".to_owned()),
                recreation: Recreation::Never,
            }],
        })
        .collect();
    let (resources, bytes) = (whole.resources().count(), whole.to_json().len());
    assert!(resources <= MOST_RESOURCES && bytes <= awsb_model::cluster::OBJECT_BYTES, "{resources} {bytes}");
    bencher.counter(ItemsCount::new(resources)).bench(|| {
        let config = parse(&after);
        assert!(validate(&config).is_empty());
        let text = template(&name, &config, &ResolvedNetwork::New).to_json();
        (text, effects(&before, &config, &changes))
    });
}
