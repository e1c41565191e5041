//! Consumable resources: the operations on them, and the part of them that decides what runs.
//!
//! Each is a JSON object in the database, in the form in which DescribeConsumableResource shows it,
//! without the quantities that depend on jobs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::definition::arn;
use super::resource_rows::ResourceKind;
use super::resources::{ChangeError, Changed, defaults, existing, new_name, objects, refused};
use super::state::supply::Consumable;
use super::store::Store;
use crate::time::now_ms;

/// The updates that a client has named with a token, by the token; not shown to anybody.
const TOKENS: &str = "clientTokens";

/// How long a token is valid (API, UpdateConsumableResource.clientToken: 8 hours).
const TOKEN_LIFE_MS: i64 = 8 * 60 * 60 * 1000;

/// The consumable resources as the scheduler sees them.
///
/// # Errors
/// When the database cannot be read.
pub fn consumables(store: &Store) -> rusqlite::Result<BTreeMap<String, Consumable>> {
    let all = store.resources(ResourceKind::Consumable)?.into_iter();
    Ok(all.map(|(name, body)| (name, consumable(&body))).collect())
}

fn consumable(body: &Value) -> Consumable {
    Consumable {
        total: body["totalQuantity"].as_u64().unwrap_or(0),
        is_replenishable: body["resourceType"] != "NON_REPLENISHABLE",
    }
}

/// API: CreateConsumableResource.
///
/// # Errors
/// `ClientException`, when it cannot be.
pub fn create(store: &Store, body: Value) -> Changed {
    let name = new_name(store, ResourceKind::Consumable, &body, "consumableResourceName")?;
    objects(&body, &["tags"])?;
    if !matches!(body["resourceType"].as_str(), None | Some("REPLENISHABLE" | "NON_REPLENISHABLE")) {
        return refused("resourceType must be REPLENISHABLE or NON_REPLENISHABLE");
    }
    let arn = arn(ResourceKind::Consumable.as_str(), &name);
    let mut resource = json!({
        "consumableResourceName": name,
        "consumableResourceArn": arn,
        "totalQuantity": quantity(&body, "totalQuantity")?.unwrap_or(0),
        "resourceType": body["resourceType"],
        "tags": body["tags"],
        "createdAt": now_ms(),
    });
    defaults(&mut resource, &[("resourceType", json!("REPLENISHABLE")), ("tags", json!({}))]);
    store.put_resource(ResourceKind::Consumable, &name, &resource)?;
    Ok(json!({"consumableResourceName": name, "consumableResourceArn": arn}))
}

/// A quantity of a request, if it is there.
fn quantity(body: &Value, field: &str) -> Result<Option<i64>, ChangeError> {
    match &body[field] {
        Value::Null => Ok(None),
        value => match value.as_i64().filter(|n| *n >= 0) {
            Some(n) => Ok(Some(n)),
            None => refused(format!("{field} must be a number that is not negative, not {value}")),
        },
    }
}

/// API: UpdateConsumableResource.
///
/// # Errors
/// `ClientException`, when it cannot be.
pub fn update(store: &Store, change: Value) -> Changed {
    let (name, mut body) = existing(store, ResourceKind::Consumable, &change, "consumableResource", false)?;
    let answer = |body: &Value| {
        json!({
            "consumableResourceName": body["consumableResourceName"],
            "consumableResourceArn": body["consumableResourceArn"],
            "totalQuantity": body["totalQuantity"],
        })
    };
    let now = now_ms();
    let mut tokens: Map<String, Value> = body[TOKENS].as_object().cloned().unwrap_or_default();
    tokens.retain(|_, made| made["at"].as_i64().is_some_and(|at| now - at < TOKEN_LIFE_MS));
    let token = change["clientToken"].as_str();
    let payload = json!([change["operation"], change["quantity"]]);
    if let Some(made) = token.and_then(|token| tokens.get(token))
        && made["payload"] == payload
    {
        return Ok(answer(&body));
    }
    let by = quantity(&change, "quantity")?.unwrap_or(0);
    let total = body["totalQuantity"].as_i64().unwrap_or(0);
    let new = match change["operation"].as_str() {
        Some("SET") => Some(by),
        Some("ADD") => total.checked_add(by),
        Some("REMOVE") => total.checked_sub(by).filter(|n| *n >= 0),
        _ => return refused(format!("operation must be SET, ADD or REMOVE, not {}", change["operation"])),
    };
    let Some(new) = new else {
        return refused(format!(
            "quantity: the total quantity of {name} is {total}, and would not be one with {by}"
        ));
    };
    body["totalQuantity"] = json!(new);
    if let Some(token) = token {
        tokens.insert(token.to_owned(), json!({"at": now, "payload": payload}));
    }
    body[TOKENS] = Value::Object(tokens);
    store.put_resource(ResourceKind::Consumable, &name, &body)?;
    Ok(answer(&body))
}

/// API: DeleteConsumableResource. User Guide, resource-aware-scheduling-how-to-delete: "You can
/// delete a consumable resource at any time, even when the jobs that require the resource are still
/// running."
///
/// # Errors
/// `ClientException`, when it is not there.
pub fn delete(store: &Store, request: &Value) -> Changed {
    let (name, _) = existing(store, ResourceKind::Consumable, request, "consumableResource", false)?;
    store.remove_resource(ResourceKind::Consumable, &name)?;
    Ok(json!({}))
}

/// Writes the total quantity that is left when jobs have taken some of it for good. A resource that
/// has been deleted stays so.
///
/// # Errors
/// When the database cannot be written.
pub fn put_total(store: &Store, name: &str, total: u64) -> rusqlite::Result<()> {
    let Some(mut body) = store.resource(ResourceKind::Consumable, name)? else { return Ok(()) };
    body["totalQuantity"] = json!(total);
    store.put_resource(ResourceKind::Consumable, name, &body)
}

/// API: DescribeConsumableResource's answer, when jobs hold this much of it. Nothing of a resource
/// that is not replenishable is in use: it has been subtracted from the total.
pub fn described(mut body: Value, held: u64) -> Value {
    let Consumable { total, is_replenishable } = consumable(&body);
    let in_use = if is_replenishable { held } else { 0 };
    body["inUseQuantity"] = json!(in_use);
    body["availableQuantity"] = json!(total.saturating_sub(in_use));
    if let Some(fields) = body.as_object_mut() {
        fields.remove(TOKENS);
    }
    body
}

/// API: ConsumableResourceSummary.
pub fn summary(body: Value, held: u64) -> Value {
    let mut summary = described(body, held);
    if let Some(fields) = summary.as_object_mut() {
        ["tags", "createdAt", "availableQuantity"].iter().for_each(|field| drop(fields.remove(*field)));
    }
    summary
}
