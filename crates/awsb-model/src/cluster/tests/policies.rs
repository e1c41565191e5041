//! The IAM policies.

use super::parsed;
use crate::cluster::policy::{POLICY_CHARACTERS, PolicyScope, admin, cloudformation, user};

fn scope(cluster: Option<&str>) -> PolicyScope {
    PolicyScope {
        partition: "aws".to_owned(),
        region: Some("eu-west-1".to_owned()),
        account: Some("111122223333".to_owned()),
        cluster: cluster.map(|name| name.parse().unwrap()),
        path: "/awsb/".parse().unwrap(),
        boundary: None,
    }
}

#[test]
fn every_policy_fits_into_a_managed_one_and_has_no_variable_left() {
    let boundary = Some("arn:aws:iam::111122223333:policy/boundary".parse().unwrap());
    // The policy of administrators has the name some thirty times: with a longer one it does not
    // fit.
    let long = scope(Some(&"x".repeat(20)));
    for scope in [scope(None), scope(Some("lab")), long, PolicyScope { boundary, ..scope(None) }] {
        for (name, policy) in [
            ("admin", admin(&scope)),
            ("cloudformation", cloudformation(&scope)),
            ("user", user(&scope, &parsed("[job_role]\nwrite = [\"results\"]\n"))),
        ] {
            let text = policy.to_string();
            assert!(text.len() <= POLICY_CHARACTERS, "{name}: {} characters", text.len());
            assert!(!text.contains("${"), "{name}: {text}");
        }
    }
}

#[test]
fn the_policies_of_a_cluster() {
    let scope = scope(Some("lab"));
    insta::assert_snapshot!("admin", format!("{:#}", admin(&scope)));
    insta::assert_snapshot!("cloudformation", format!("{:#}", cloudformation(&scope)));
    insta::assert_snapshot!("user", format!("{:#}", user(&scope, &parsed(""))));
}
