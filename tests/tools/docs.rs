//! The commands in the documentation run as they are shown.

use awsb_model::cluster::config::reference;
use awsb_model::cluster::{ClusterConfig, validate};
use awsb_testkit::{Sandbox, program, story};

/// The blocks of a page that are marked `sh`, in order.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in page.lines() {
        match &mut open {
            None if line == "```sh" => open = Some(String::new()),
            None => {}
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    blocks
}

#[story]
fn the_examples_of_bsub() {
    // Jobs that bring large inputs along or results back take it.
    program("curl");
    let sandbox = Sandbox::new();
    let blocks = blocks(include_str!("../../docs/bsub.md"));
    assert!(blocks.len() >= 12, "only {} blocks", blocks.len());
    for block in &blocks {
        let outcome = sandbox.run("sh", ["-eu", "-c", block]);
        assert_eq!(outcome.code(), 0, "{block}\n{outcome}");
        for line in outcome.stderr.lines() {
            let fine = ["(", "bsub: job ", "hint: ", "bsub: note: nothing was submitted", "bsub: 2 nodes"];
            assert!(fine.iter().any(|f| line.contains(f)), "{line:?} in\n{block}\n{outcome}");
        }
    }
    // The promises of some of them.
    let output = |block: &str| sandbox.run("sh", ["-eu", "-c", block]).ok().stdout;
    let with = |word: &str| blocks.iter().find(|b| b.contains(word)).expect("the block");
    assert_eq!(output(with("uname -s")).lines().next(), Some("hello, two words"));
    assert!(output(with("--each samples.txt")).contains("1 (:0): sample: NA12878 father\n"));
    assert!(output(with("MY_TOKEN")).contains("NA12878 is not there\n"));
    assert!(output(with("results/sum.txt")).ends_with("\n6\n"));
}

#[story]
fn the_page_of_the_clusters_configuration_has_all_keys() {
    let page = include_str!("../../docs/cluster-configuration.md");
    assert!(page.contains(reference().trim_end()), "the page differs from:\n{}", reference());
}

#[story]
fn the_examples_of_clusters_are_configurations() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/clusters");
    let files: Vec<_> = std::fs::read_dir(folder).expect("the examples").flatten().collect();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let (name, text) = (file.file_name(), std::fs::read_to_string(file.path()).expect("an example"));
        let config = ClusterConfig::from_toml(&name.to_string_lossy(), &text).expect("a configuration");
        assert_eq!(validate(&config), [], "{name:?}");
    }
    let minimal = include_str!("../../examples/clusters/minimal.toml");
    let minimal = ClusterConfig::from_toml("minimal.toml", minimal).expect("a configuration");
    assert_eq!(minimal, ClusterConfig::default());
}
