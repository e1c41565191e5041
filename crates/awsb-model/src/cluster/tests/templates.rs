//! Templates, and the configurations that they are made from.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::{default_network, lab, parsed};
use crate::cluster::config::{KEYS, Key, SubnetId, Vpc};
use crate::cluster::facts::NetworkFacts;
use crate::cluster::{ClusterConfig, OBJECT_BYTES, ResolvedNetwork, Template, template};

#[test]
fn an_empty_file_is_the_default_cluster() {
    assert_eq!(parsed(""), ClusterConfig::default());
    let text = ClusterConfig::default().to_toml();
    assert_eq!(parsed(&text), ClusterConfig::default(), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn the_template_of_the_default_cluster() {
    let template = template(&lab(), &ClusterConfig::default(), &default_network());
    assert!(template.fits_a_request());
    assert_eq!(Template::config_text(&template.to_json()), Some(ClusterConfig::default().to_toml()));
    insta::assert_snapshot!(template.to_pretty_json());
}

#[test]
fn the_default_vpc_has_its_public_subnets() {
    let ResolvedNetwork::Existing { vpc, mut subnets } = default_network() else { panic!("no subnets") };
    subnets.reverse();
    let mut private = subnets[0].clone();
    private.id = "subnet-0000cccc".parse::<SubnetId>().unwrap();
    private.assigns_public_ip = false;
    subnets.push(private);
    let facts = NetworkFacts { default_vpc: Some(vpc), subnets, ..NetworkFacts::default() };
    assert_eq!(ResolvedNetwork::resolve(&ClusterConfig::default(), &facts), Ok(default_network()));
}

/// A cluster with all kinds of parts.
const BIG: &str = include_str!("big.toml");

#[test]
fn the_template_of_a_cluster_with_everything() {
    let config = parsed(BIG);
    assert_eq!(crate::cluster::validate(&config), []);
    assert_eq!(parsed(&config.to_toml()), config);
    let template = template(&lab(), &config, &ResolvedNetwork::New);
    assert_eq!(dangling(&template), [""; 0]);
    insta::assert_snapshot!("big_template", template.to_pretty_json());
    insta::assert_snapshot!("big_config", config.to_toml());
}

/// The names in `Ref`, `Fn::GetAtt`, `Fn::Sub`, `Fn::If` and `DependsOn` that are not in a
/// template.
fn dangling(template: &Template) -> Vec<String> {
    let value = template.value();
    let members = |key: &str| {
        value.get(key).and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.clone())
    };
    let known: BTreeSet<String> =
        members("Resources").chain(members("Parameters")).chain(members("Conditions")).collect();
    let mut found = Vec::new();
    names(value, &mut found);
    found.retain(|name| !known.contains(name) && !name.starts_with("AWS::"));
    found
}

/// All names that a value refers to.
fn names(value: &Value, found: &mut Vec<String>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("Ref" | "Condition", Value::String(name)) => found.push(name.clone()),
                    ("Fn::GetAtt" | "Fn::If", Value::Array(parts)) => {
                        found.push(parts.first().map(text).unwrap_or_default());
                    }
                    ("DependsOn", Value::String(name)) => found.push(name.clone()),
                    ("DependsOn", Value::Array(all)) => found.extend(all.iter().map(text)),
                    ("Fn::Sub", Value::String(text)) => {
                        let names = text.split("${").skip(1).filter_map(|rest| rest.split('}').next());
                        found.extend(names.map(|name| name.split('.').next().unwrap_or(name).to_owned()));
                    }
                    _ => {}
                }
                names(value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| names(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A file with the parts that `kinds` say, and a value of some keys. Not every one is accepted.
fn file(kinds: &[bool; 7], choices: &[u8]) -> String {
    let parts = [
        ("environment.NAME", "od", kinds[0], "type = \"on-demand\""),
        ("environment.NAME", "sp", kinds[1], "type = \"spot\""),
        ("environment.NAME", "fg", kinds[2], "type = \"fargate\""),
        ("definition.NAME", "job", kinds[3], ""),
        ("definition.NAME", "nodes", kinds[4] && kinds[3], "type = \"multinode\""),
        ("shared.NAME", "home", kinds[5], "path = \"/home\""),
        ("shared.NAME", "old", kinds[6], "path = \"/old\"\nsource = \"fs-0123456789abcdef0\""),
        ("queue.NAME", "od", kinds[0], "environments = [\"od\"]"),
    ];
    let mut text = String::new();
    let mut choices = choices.iter().copied();
    let mut choose = |key: &Key, text: &mut String, given: &str| {
        let choice = usize::from(choices.next().unwrap_or(0));
        if choice < 128 && !given.contains(&format!("{} =", key.name())) && !key.examples.is_empty() {
            let value = key.examples[choice % key.examples.len()];
            text.push_str(&format!("{} = {value}\n", key.name().replace("KEY", "k")));
        }
    };
    let mut sections: Vec<&str> = KEYS.iter().map(Key::section).collect();
    sections.dedup();
    for section in sections.iter().filter(|section| !section.is_empty()) {
        for (of, name, is_there, given) in parts {
            let is_of = *section == of || section.starts_with(&format!("{of}."));
            if !is_of || !is_there {
                continue;
            }
            let given = if *section == of { given } else { "" };
            text.push_str(&format!("[{}]\n{given}\n", section.replace("NAME", name)));
            KEYS.iter().filter(|key| key.section() == *section).for_each(|key| choose(key, &mut text, given));
        }
        if !section.contains("NAME") {
            text.push_str(&format!("[{section}]\n"));
            KEYS.iter().filter(|key| key.section() == *section).for_each(|key| choose(key, &mut text, ""));
        }
    }
    text
}

fn network(config: &ClusterConfig) -> ResolvedNetwork {
    if matches!(config.network.vpc, Vpc::New { .. }) { ResolvedNetwork::New } else { default_network() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn an_accepted_file_is_written_and_read_back_and_its_template_is_whole(
        kinds in prop::array::uniform7(any::<bool>()),
        seldom in 150_u8..=250,
        choices in prop::collection::vec(any::<u8>(), 300),
    ) {
        let choices: Vec<u8> = choices.into_iter().map(|choice| choice.saturating_add(seldom / 3)).collect();
        let text = file(&kinds, &choices);
        if let Ok(config) = ClusterConfig::from_toml("file", &text) {
            let written = config.to_toml();
            prop_assert_eq!(ClusterConfig::from_toml("file", &written), Ok(config.clone()), "{}", written);
            let template = template(&lab(), &config, &network(&config));
            prop_assert!(template.to_json().len() < OBJECT_BYTES);
            prop_assert_eq!(dangling(&template), Vec::<String>::new());
            prop_assert_eq!(Template::config_text(&template.to_json()), Some(written));
        }
    }

    #[test]
    fn no_text_breaks_the_parser(text in "(\\[(environment|queue|network|shared)(\\.[a-z-]{1,4})?\\]\n|[a-z_]{1,9} = (\"[^\"]{0,9}\"|[0-9.-]{1,4}|\\[\\]|true)\n){0,8}") {
        let _ = ClusterConfig::from_toml("file", &text);
    }
}

#[test]
fn jobs_may_not_write_to_a_share_that_is_read_only() {
    let share = |name: &str, system: &str, more: &str| {
        format!("[shared.{name}]\npath = \"/{name}\"\nsource = \"{system}\"\niam = true\n{more}")
    };
    let (a, b) = ("fs-0000aaaa", "fs-0000bbbb");
    let text = share("x", a, "read_only = true\n")
        + &share("y", b, "")
        + &share("z", a, "folder = \"/z\"\nread_only = true\n");
    let config = parsed(&text);
    let template = template(&"lab".parse().unwrap(), &config, &default_network());
    let policies = &template.value()["Resources"]["JobRole"]["Properties"]["Policies"];
    let statements = policies[0]["PolicyDocument"]["Statement"].as_array().unwrap();
    let of = |sid: &str| statements.iter().find(|statement| statement["Sid"] == sid).unwrap();
    let (mount, write) = (of("MountEfs"), of("WriteEfs"));
    assert_eq!(mount["Action"], serde_json::json!(["elasticfilesystem:ClientMount"]));
    // Each file system is there once.
    assert_eq!(mount["Resource"].as_array().unwrap().len(), 2, "{mount}");
    assert_eq!(write["Resource"].as_array().unwrap().len(), 1, "{write}");
    assert!(write["Resource"].to_string().contains(b), "{write}");
}
