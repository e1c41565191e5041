//! Configurations in which the values of two keys are together once, as far as the keys allow it.

use std::collections::{BTreeMap, BTreeSet};

use awsb_model::cluster::config::{ClusterConfig, KEYS, Key};
use awsb_model::cluster::validate;

/// A key and one of its values, as places in the table. The value 0: nothing is said.
type Choice = (usize, usize);

/// The sections of a file with their keys and values.
type File = BTreeMap<String, BTreeMap<String, String>>;

/// Lines that come together: section, key and value.
type Lines = &'static [(&'static str, &'static str, &'static str)];

/// What every file has.
const BASE: Lines = &[
    ("environment.od", "type", "\"on-demand\""),
    ("queue.main", "environments", "[\"od\"]"),
    ("definition.job", "vcpus", "1"),
];

/// Parts that a file may have.
const PARTS: [Lines; 11] = [
    &[("environment.sp", "type", "\"spot\""), ("queue.cheap", "environments", "[\"sp\", \"od\"]")],
    &[("environment.fg", "type", "\"fargate\""), ("queue.small", "environments", "[\"fg\"]")],
    &[("environment.fs", "type", "\"fargate-spot\""), ("queue.cheapest", "environments", "[\"fs\"]")],
    &[
        ("environment.gpu", "type", "\"on-demand\""),
        ("environment.gpu", "instance_types", "[\"g6.xlarge\"]"),
        ("queue.gpu", "environments", "[\"gpu\"]"),
        ("definition.gpu", "gpus", "1"),
    ],
    &[("queue.other", "arn", "\"arn:aws:batch:eu-west-1:111122223333:job-queue/other\"")],
    &[("definition.nodes", "type", "\"multinode\"")],
    &[("definition.small", "type", "\"fargate\"")],
    &[("shared.home", "path", "\"/home\"")],
    &[("shared.old", "path", "\"/old\""), ("shared.old", "source", "\"fs-0123456789abcdef0\"")],
    &[
        ("shared.nfs", "path", "\"/nfs\""),
        ("shared.nfs", "source", "\"nfs.example.org:/export\""),
        ("definition.job", "privileged", "true"),
        ("definition.job", "user", "\"root\""),
    ],
    &[("", "default_queue", "\"main\""), ("", "default_definition", "\"job\"")],
];

/// The configurations, and in how many of them each key is.
pub fn samples() -> (Vec<ClusterConfig>, BTreeMap<&'static str, usize>) {
    let mut numbers = Numbers(0x5eed_c105_7e2a_0001);
    let mut covered: BTreeSet<(Choice, Choice)> = BTreeSet::new();
    let mut uses: BTreeMap<&'static str, usize> = KEYS.iter().map(|key| (key.path, 0)).collect();
    let mut found = Vec::new();
    let mut idle = 0;
    while idle < 8 || uses.values().any(|count| *count < 5) {
        let (config, choices) = sample(&mut numbers, &uses);
        let pairs = || {
            choices.iter().enumerate().flat_map(|(at, one)| choices[at + 1..].iter().map(|two| (*one, *two)))
        };
        let of_seldom = |(key, value): &Choice| *value > 0 && uses[KEYS[*key].path] < 5;
        // What brings little more is not worth the time of a check.
        if pairs().filter(|pair| !covered.contains(pair)).count() < 25 && !choices.iter().any(of_seldom) {
            idle += 1;
            continue;
        }
        idle = 0;
        covered.extend(pairs());
        for (key, _) in choices.iter().filter(|(_, value)| *value > 0) {
            *uses.entry(KEYS[*key].path).or_default() += 1;
        }
        found.push(config);
        assert!(found.len() < 500, "these keys are never taken: {uses:?}");
    }
    (found, uses)
}

/// Numbers that are the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).expect("small")).expect("small")
    }
}

/// A file to which values were added as long as it was accepted.
fn sample(numbers: &mut Numbers, uses: &BTreeMap<&'static str, usize>) -> (ClusterConfig, Vec<Choice>) {
    let mut file = File::new();
    let add = |file: &mut File, lines: Lines| {
        let mut next = file.clone();
        for (section, key, value) in lines {
            next.entry((*section).to_owned()).or_default().insert((*key).to_owned(), (*value).to_owned());
        }
        if accepted(&next).is_some() {
            *file = next;
        }
    };
    add(&mut file, BASE);
    for part in PARTS {
        if numbers.below(2) == 0 {
            add(&mut file, part);
        }
    }
    let mut order: Vec<(usize, &Key)> = KEYS.iter().map(|key| (numbers.below(1 << 20), key)).collect();
    // Keys that were seldom taken come first, so that nothing excludes them.
    order.sort_by_key(|(number, key)| (uses[key.path] >= 5, *number));
    let of_a_hundred = 25 + numbers.below(60);
    for (_, key) in order {
        if !key.examples.is_empty() && numbers.below(100) < of_a_hundred {
            let example = key.examples[numbers.below(key.examples.len())];
            add_key(&mut file, key, example, numbers);
        }
    }
    let config = accepted(&file).expect("each step was accepted");
    (config, choices(&file))
}

/// Adds a value to one of the parts that take it.
fn add_key(file: &mut File, key: &Key, value: &str, numbers: &mut Numbers) {
    let (kind, _) = key.section().split_once(".NAME").unwrap_or((key.section(), ""));
    let names: Vec<String> = if key.section().contains("NAME") {
        let names = file.keys().filter_map(|section| section.strip_prefix(kind)?.strip_prefix('.'));
        let mut names: Vec<String> = names.map(|n| n.split('.').next().unwrap_or(n).to_owned()).collect();
        names.dedup();
        names
    } else {
        vec![String::new()]
    };
    let first = numbers.below(names.len().max(1));
    for at in 0..names.len() {
        let name = &names[(first + at) % names.len()];
        let mut next = file.clone();
        for (path, value) in key.takes.iter().copied().chain([(key.path, value)]) {
            let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
            let section = next.entry(section.replace("NAME", name)).or_default();
            section.entry(key.replace("KEY", "k")).or_insert_with(|| value.to_owned());
        }
        if accepted(&next).is_some() {
            *file = next;
            return;
        }
    }
}

fn accepted(file: &File) -> Option<ClusterConfig> {
    let config = ClusterConfig::from_toml("file", &text(file)).ok()?;
    validate(&config).is_empty().then_some(config)
}

fn text(file: &File) -> String {
    let mut text = String::new();
    for (section, keys) in file {
        if !section.is_empty() {
            text.push_str(&format!("[{section}]\n"));
        }
        for (key, value) in keys {
            text.push_str(&format!("{key} = {value}\n"));
        }
    }
    text
}

/// The values that are in a file.
fn choices(file: &File) -> Vec<Choice> {
    let same = |pattern: &str, path: &str| {
        let (one, two): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), path.split('.').collect());
        one.len() == two.len() && one.iter().zip(&two).all(|(p, w)| p == w || *p == "NAME" || *p == "KEY")
    };
    let lines: Vec<(String, &String)> = file
        .iter()
        .flat_map(|(section, keys)| keys.iter().map(move |(key, value)| (section, key, value)))
        .map(|(section, key, value)| {
            (if section.is_empty() { key.clone() } else { format!("{section}.{key}") }, value)
        })
        .collect();
    KEYS.iter()
        .enumerate()
        .map(|(at, key)| {
            let mut values = lines.iter().filter(|(path, _)| same(key.path, path)).map(|(_, value)| value);
            let place = |value: &&String| key.examples.iter().position(|example| example == *value);
            let value =
                values.next().map_or(0, |value| place(value).map_or(key.examples.len() + 1, |n| n + 1));
            (at, value)
        })
        .collect()
}
