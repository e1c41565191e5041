//! `bcluster update`: changes that AWS refuses.

use awsb_testkit::{Sandbox, story};

#[story]
fn an_environment_of_fargate_does_not_move_to_spot() {
    let config = |kind: &str, name: &str| {
        format!(
            "[environment.{name}]\ntype = \"{kind}\"\n[definition.job]\ntype = \"fargate\"\nimage = \"host\"\n"
        )
    };
    let sandbox = Sandbox::new();
    sandbox.file("lab.toml", config("fargate", "f"));
    sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    sandbox.file("lab.toml", config("fargate-spot", "f"));
    let update = ["update", "lab", "--yes", "-f", "lab.toml"];
    let refused = sandbox.run("bcluster", update).ended_with(2);
    let words = "environment.f: AWS refuses this change; give the part another name";
    assert!(refused.stderr.contains(words), "{refused}");
    // No job runs there, so that another environment can take its place.
    sandbox.file("lab.toml", config("fargate-spot", "spot"));
    sandbox.run("bcluster", ["update", "lab", "--yes", "-f", "lab.toml"]).ok();
}
