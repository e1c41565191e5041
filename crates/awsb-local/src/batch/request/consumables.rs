//! The consumable resources that a job requires.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::shape::shape;
use crate::batch::definition::arn;
use crate::batch::model::Consumption;
use crate::batch::resource_rows::ResourceKind;
use crate::http::protocol::ApiError;
use awsb_model::limits;

/// API: ConsumableResourceProperties.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConsumableResourceProperties {
    consumable_resource_list: Option<Vec<ConsumableResourceRequirement>>,
}

/// API: ConsumableResourceRequirement.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConsumableResourceRequirement {
    consumable_resource: Option<String>,
    quantity: Option<i64>,
}

/// Reads API: ConsumableResourceProperties, of a job definition or an override.
///
/// # Errors
/// `ClientException`, when a job cannot require that.
pub fn consumption(properties: Option<&Value>) -> Result<Vec<Consumption>, ApiError> {
    let Some(properties) = properties.filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    let properties: ConsumableResourceProperties = shape(properties.clone())?;
    let list = properties.consumable_resource_list.unwrap_or_default();
    if list.len() > limits::CONSUMABLE_RESOURCES {
        return Err(ApiError::client(format!(
            "consumableResourceList: a job requires at most {} consumable resources, not {}",
            limits::CONSUMABLE_RESOURCES,
            list.len()
        )));
    }
    let mut names = BTreeSet::new();
    let mut all = Vec::with_capacity(list.len());
    for requirement in list {
        let given = requirement.consumable_resource.unwrap_or_default();
        let name = ResourceKind::Consumable.name_in(&given).to_owned();
        if name.is_empty() {
            return Err(ApiError::client("consumableResourceList: consumableResource is required"));
        }
        // Unverified: no page says whether a job may require none of a resource.
        let quantity = requirement.quantity.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
        let Some(quantity) = quantity else {
            return Err(ApiError::client(format!(
                "consumableResourceList: the quantity of {name} must be at least 1"
            )));
        };
        if !names.insert(name.clone()) {
            return Err(ApiError::client(format!("consumableResourceList: {name} is there twice")));
        }
        all.push(Consumption { name, quantity });
    }
    Ok(all)
}

/// API: ConsumableResourceProperties, as DescribeJobs shows them. Unverified: that the resources
/// are shown by their ARNs.
pub fn shown(consumes: &[Consumption]) -> Value {
    let list: Vec<Value> = consumes
        .iter()
        .map(|of| {
            let arn = arn(ResourceKind::Consumable.as_str(), &of.name);
            json!({"consumableResource": arn, "quantity": of.quantity})
        })
        .collect();
    json!({"consumableResourceList": list})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: Value) -> Result<Vec<Consumption>, String> {
        consumption(Some(&json!({"consumableResourceList": list}))).map_err(|e| e.message)
    }

    #[test]
    fn a_resource_is_named_by_its_name_or_its_arn() {
        let arn = arn("consumable-resource", "a");
        let read = of(json!([{"consumableResource": arn, "quantity": 2}])).unwrap();
        assert_eq!(read, [Consumption { name: "a".to_owned(), quantity: 2 }]);
        assert_eq!(
            shown(&read),
            json!({"consumableResourceList": [{"consumableResource": arn, "quantity": 2}]})
        );
        assert_eq!(consumption(None), Ok(Vec::new()));
    }

    #[test]
    fn what_no_job_can_require_is_refused() {
        let one = |name: &str| json!({"consumableResource": name, "quantity": 1});
        for bad in [
            json!([{"consumableResource": "a", "quantity": 0}]),
            json!([{"consumableResource": "a", "quantity": -1}]),
            json!([{"consumableResource": "a"}]),
            json!([{"quantity": 1}]),
            json!([one("a"), one("a")]),
            json!([one("a"), one("b"), one("c"), one("d"), one("e"), one("f")]),
        ] {
            assert!(of(bad.clone()).is_err(), "{bad}");
        }
    }
}
