//! Job definitions: registering, deregistering and looking at them.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Api, page_size, with_token};
use crate::access::Principal;
use crate::batch::containment;
use crate::batch::definition::{self, DefinitionName, arn};
use crate::batch::lineage::JobScope;
use crate::batch::messages::Needs;
use crate::batch::request::{self, shape};
use crate::http::body::json_object;
use crate::http::protocol::ApiError;

/// User Guide, service_limits: the RegisterJobDefinition payload.
const LONGEST_DEFINITION: usize = 24 * 1024;

impl Api {
    pub(super) async fn register(&self, who: Principal, body: &[u8]) -> Result<Value, ApiError> {
        if body.len() > LONGEST_DEFINITION {
            return Err(ApiError::client(format!("a job definition has at most {LONGEST_DEFINITION} bytes")));
        }
        let (name, body) = request::registration(json_object(body)?)?;
        let mut registrant = None;
        if who.contained().is_some() {
            containment::check_contained(&body)?;
            let groups = containment::log_groups(&body);
            let scope = self.reader.read(move |db| {
                let scope = JobScope::of(db, &who)?;
                groups.iter().try_for_each(|group| scope.check_log_group(db, group))?;
                Ok(scope)
            });
            registrant = scope.await?.registrant();
        }
        self.engine
            .change(move |store| {
                let revision = store.register(&name, &body, registrant)?;
                Ok(json!({
                    "jobDefinitionName": name,
                    "jobDefinitionArn": arn("job-definition", &format!("{name}:{revision}")),
                    "revision": revision,
                }))
            })
            .await
    }

    pub(super) async fn deregister(&self, body: &Value) -> Result<Value, ApiError> {
        let text = body.get("jobDefinition").and_then(Value::as_str).unwrap_or("");
        let name = DefinitionName::parse(text);
        let Some(revision) = name.revision else {
            return Err(ApiError::client(format!(
                "jobDefinition must be NAME:REVISION or an ARN, not {text:?}"
            )));
        };
        if name.name == definition::BUILT_IN {
            return Err(ApiError::client(format!("the job definition {:?} is built in", name.name)));
        }
        self.engine
            .change_with(Needs::NoSpace, move |store| {
                store.deregister(&name.name, revision)?;
                Ok(json!({}))
            })
            .await
    }

    pub(super) async fn describe_definitions(&self, who: Principal, body: Value) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            job_definitions: Option<Vec<String>>,
            max_results: Option<i64>,
            job_definition_name: Option<String>,
            status: Option<String>,
            next_token: Option<String>,
        }
        let request: Request = shape(body)?;
        let active = match request.status.as_deref() {
            None => None,
            Some("ACTIVE") => Some(true),
            Some("INACTIVE") => Some(false),
            Some(other) => return Err(ApiError::client(format!("unknown status {other:?}"))),
        };
        let mut limit = page_size(request.max_results, 100)?;
        let token = request.next_token.unwrap_or_default();
        let after = match token.rsplit_once(':') {
            Some((name, revision)) => {
                let revision = revision.parse().map_err(|_| ApiError::client("invalid nextToken"))?;
                (name.to_owned(), revision)
            }
            None => (String::new(), 0),
        };
        self.reader
            .read(move |db| {
                let registrants = JobScope::of(db, &who)?.registrants();
                let mut rows = Vec::new();
                match (request.job_definitions, request.job_definition_name) {
                    (Some(names), _) => {
                        // API, DescribeJobDefinitions.jobDefinitions: a list of up to 100
                        // revisions, that "can't be used with other parameters": it comes in one
                        // piece.
                        for name in names {
                            let name = DefinitionName::parse(&name);
                            rows.extend(db.definitions(
                                Some(&name),
                                active,
                                &registrants,
                                ("", 0),
                                usize::MAX,
                            )?);
                        }
                        limit = rows.len();
                    }
                    (None, name) => {
                        let name = name.map(|name| DefinitionName { name, revision: None });
                        rows = db.definitions(
                            name.as_ref(),
                            active,
                            &registrants,
                            (&after.0, after.1),
                            limit + 1,
                        )?;
                    }
                }
                let more = rows.len() > limit;
                rows.truncate(limit);
                let next =
                    rows.last().filter(|_| more).map(|(name, revision, ..)| format!("{name}:{revision}"));
                let definitions: Vec<Value> = rows
                    .into_iter()
                    .map(|(name, revision, active, body)| {
                        let mut definition = Map::new();
                        definition.insert("jobDefinitionName".into(), json!(name));
                        let arn = arn("job-definition", &format!("{name}:{revision}"));
                        definition.insert("jobDefinitionArn".into(), json!(arn));
                        definition.insert("revision".into(), json!(revision));
                        definition.insert("status".into(), json!(if active { "ACTIVE" } else { "INACTIVE" }));
                        definition.extend(body.as_object().cloned().unwrap_or_default());
                        Value::Object(definition)
                    })
                    .collect();
                Ok(with_token(json!({"jobDefinitions": definitions}), next))
            })
            .await
    }
}
