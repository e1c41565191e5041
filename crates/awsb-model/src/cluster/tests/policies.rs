//! The IAM policies.

use serde_json::Value;

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
        existing_roles: Vec::new(),
        existing_bucket: None,
        existing_repository: None,
        existing_project: None,
        template_bucket: None,
    }
}

/// All statements of some documents.
fn statements(documents: &[Value]) -> Vec<&Value> {
    documents.iter().flat_map(|document| document["Statement"].as_array().unwrap()).collect()
}

#[test]
fn each_document_fits_into_a_managed_policy_and_has_no_variable_left() {
    let boundary = Some("arn:aws:iam::111122223333:policy/boundary".parse().unwrap());
    let longest = PolicyScope {
        partition: "aws-us-gov".to_owned(),
        path: format!("/{}/", "p".repeat(398)).parse().unwrap(),
        boundary: Some(
            format!("arn:aws-us-gov:iam::111122223333:policy/{}", "b".repeat(128)).parse().unwrap(),
        ),
        ..scope(Some(&"x".repeat(60)))
    };
    for scope in [scope(None), scope(Some("lab")), longest, PolicyScope { boundary, ..scope(None) }] {
        for (name, documents) in [
            ("admin", admin(&scope)),
            ("cloudformation", cloudformation(&scope)),
            ("user", user(&scope, &parsed("[job_role]\nwrite = [\"results\"]\n"))),
        ] {
            assert!(!documents.is_empty(), "{name}");
            for document in &documents {
                let text = document.to_string();
                assert!(text.len() <= POLICY_CHARACTERS, "{name}: {} characters", text.len());
                assert!(!text.contains("${"), "{name}: {text}");
            }
        }
    }
}

#[test]
fn a_long_name_has_the_same_statements_as_a_short_one() {
    assert_eq!(cloudformation(&scope(Some("lab"))).len(), 1);
    let long = "x".repeat(60);
    let documents = admin(&scope(Some(&long)));
    assert!(documents.len() > 1);
    let short = admin(&scope(Some("lab")));
    let sids = |documents: &[Value]| -> Vec<String> {
        statements(documents).iter().map(|statement| statement["Sid"].to_string()).collect()
    };
    assert_eq!(sids(&documents), sids(&short));
}

#[test]
fn a_statement_that_is_too_long_is_split_by_its_resources() {
    let queue = |n: usize| {
        format!(
            "[queue.q{n}]\narn = \"arn:aws:batch:eu-west-1:111122223333:job-queue/{}-{n}\"\n",
            "q".repeat(110)
        )
    };
    let text: String = (0..50).map(queue).collect();
    let config = parsed(&format!("default_queue = \"q0\"\n{text}"));
    let documents = user(&scope(Some("lab")), &config);
    assert!(documents.iter().all(|document| document.to_string().len() <= POLICY_CHARACTERS));
    let submitted: Vec<&str> = statements(&documents)
        .into_iter()
        .filter(|statement| statement["Sid"] == "Submit")
        .flat_map(|statement| statement["Resource"].as_array().unwrap())
        .filter_map(Value::as_str)
        .filter(|resource| resource.contains("qqq"))
        .collect();
    assert_eq!(submitted.len(), 50);
}

#[test]
fn roles_and_buckets_that_exist_are_in_the_policy() {
    let config = parsed(
        "[iam]\nexecution_role = \"arn:aws:iam::111122223333:role/execution\"\n[bucket]\nexisting = \"results\"\n\
         [images]\nrepository = \"tools\"\nproject = \"builder\"\n",
    );
    let text = Value::from(admin(&scope(Some("lab")).with_config(&config))).to_string();
    for wanted in [
        "arn:aws:iam::111122223333:role/execution",
        "arn:aws:s3:::results/*",
        "arn:aws:ecr:eu-west-1:111122223333:repository/tools",
        "arn:aws:codebuild:eu-west-1:111122223333:project/builder",
    ] {
        assert!(text.contains(&format!("\"{wanted}\"")), "{wanted}: {text}");
    }
}

/// Whether a statement holds only for calls that CloudFormation makes: the key `aws:CalledVia` is
/// missing in a call of one's own, and no value of it then equals the wanted one.
fn is_only_through_cloudformation(statement: &Value) -> bool {
    let called_via = &statement["Condition"]["ForAnyValue:StringEquals"]["aws:CalledVia"];
    let has_key = |keys: &Value| !keys["aws:CalledVia"].is_null();
    // No other operator is used with this key: it might hold for other calls as well.
    let others = statement["Condition"].as_object().into_iter().flatten();
    assert!(
        others.filter(|(_, keys)| has_key(keys)).all(|(operator, _)| operator == "ForAnyValue:StringEquals")
    );
    *called_via == serde_json::json!(["cloudformation.amazonaws.com"])
}

/// The resources of those statements that allow an action to `bcluster` itself.
fn allowed(documents: &[Value], action: &str) -> String {
    let own = statements(documents).into_iter().filter(|statement| {
        let actions = statement["Action"].as_array().unwrap();
        !is_only_through_cloudformation(statement) && actions.iter().any(|one| one == action)
    });
    own.map(|statement| statement["Resource"].to_string()).collect()
}

#[test]
fn administrators_may_build_images_delete_file_systems_and_store_templates() {
    let lab = scope(Some("lab"));
    let documents = admin(&lab);
    for action in ["codebuild:StartBuild", "codebuild:BatchGetBuilds", "codebuild:StopBuild"] {
        assert!(allowed(&documents, action).contains(":project/BuildProject-*"), "{action}");
    }
    assert!(allowed(&documents, "logs:GetLogEvents").contains(":log-group:/awsb/lab/*"));
    // Only the file systems of the cluster, which its tag names.
    assert!(allowed(&documents, "elasticfilesystem:DeleteFileSystem").contains(":file-system/*"));
    let text = Value::from(documents.clone()).to_string();
    assert!(text.contains("\"StringLike\":{\"aws:ResourceTag/awsb:cluster\":[\"lab\"]}"), "{text}");
    assert!(!text.contains("awsb/templates"), "{text}");
    let through = PolicyScope { template_bucket: Some("ours".parse().unwrap()), ..lab };
    assert!(allowed(&admin(&through), "s3:PutObject").contains("arn:aws:s3:::ours/awsb/templates/*"));
}

/// The statements that have this action.
fn allowing<'a>(documents: &'a [Value], action: &str) -> Vec<&'a Value> {
    let allows = |statement: &&Value| statement["Action"].as_array().unwrap().iter().any(|one| one == action);
    statements(documents).into_iter().filter(allows).collect()
}

#[test]
fn the_policy_of_an_event_log_is_made_with_a_permission_for_all_resources() {
    for documents in [admin(&scope(Some("lab"))), cloudformation(&scope(Some("lab")))] {
        for action in ["logs:PutResourcePolicy", "logs:DeleteResourcePolicy", "logs:*IndexPolic*"] {
            let allowing = allowing(&documents, action);
            assert!(allowing.iter().any(|statement| statement["Resource"][0] == "*"), "{action}");
        }
    }
}

#[test]
fn the_policy_of_users_can_be_taken_from_those_who_have_it_and_no_other_one() {
    for documents in [admin(&scope(Some("lab"))), cloudformation(&scope(Some("lab")))] {
        for (action, holders) in [("iam:DetachUserPolicy", "user/*"), ("iam:DetachGroupPolicy", "group/*")] {
            let allowing = allowing(&documents, action);
            assert_eq!(allowing.len(), 1, "{action}");
            assert!(allowing[0]["Resource"].to_string().contains(holders), "{}", allowing[0]);
            assert_eq!(
                allowing[0]["Condition"]["ArnLike"]["iam:PolicyARN"][0],
                "arn:aws:iam::111122223333:policy/awsb/lab/*"
            );
        }
    }
}

#[test]
fn the_policies_of_a_cluster() {
    let scope = scope(Some("lab"));
    let only = |documents: Vec<Value>| match &documents[..] {
        [one] => format!("{one:#}"),
        several => format!("{:#}", Value::from(several)),
    };
    insta::assert_snapshot!("admin", only(admin(&scope)));
    insta::assert_snapshot!("cloudformation", only(cloudformation(&scope)));
    insta::assert_snapshot!("user", only(user(&scope, &parsed(""))));
}
