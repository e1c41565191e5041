//! The 32-bit integers of requests. A client that AWS has generated cannot read a greater one in an
//! answer, and so none may be stored. Pure.

use serde_json::Value;

use crate::http::protocol::ApiError;

/// The members of requests whose shape in the API's model is `Integer`, which has 32 bits. The
/// members with the shape `Long` have other names.
const INTEGERS: [&str; 35] = [
    "attemptDurationSeconds",
    "attempts",
    "bidPercentage",
    "borrowLimit",
    "computeReservation",
    "desiredvCpus",
    "hardLimit",
    "mainNode",
    "maxCapacity",
    "maxResults",
    "maxSwap",
    "maxTimeSeconds",
    "maxvCpus",
    "memory",
    "minScaleDownDelayMinutes",
    "minvCpus",
    "numNodes",
    "order",
    "preemptionRetriesBeforeTermination",
    "priority",
    "scaleInAfter",
    "schedulingPriority",
    "schedulingPriorityOverride",
    "shareDecaySeconds",
    "sharedMemorySize",
    "size",
    "sizeInGiB",
    "softLimit",
    "startTimeout",
    "stopTimeout",
    "storageSizeGiB",
    "swappiness",
    "transitEncryptionPort",
    "unmanagedvCpus",
    "vcpus",
];

/// Members that map the user's own names to texts.
const MAPS: [&str; 3] = ["tags", "parameters", "options"];

/// Checks that every 32-bit integer of a request is one.
///
/// # Errors
/// `ClientException`, when a number has more bits or a fraction, and `SerializationException`, when
/// the value is not a number. Both name the member.
pub fn check_integers(request: &Value) -> Result<(), ApiError> {
    check_at("", request)
}

fn check_at(path: &str, value: &Value) -> Result<(), ApiError> {
    match value {
        Value::Object(members) => {
            members.iter().filter(|(name, _)| !MAPS.contains(&name.as_str())).try_for_each(|(name, value)| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                if INTEGERS.contains(&name.as_str()) {
                    check_integer(&path, value)
                } else {
                    check_at(&path, value)
                }
            })
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(index, item)| check_at(&format!("{path}[{index}]"), item))
        }
        _ => Ok(()),
    }
}

fn check_integer(path: &str, value: &Value) -> Result<(), ApiError> {
    match value {
        Value::Null => Ok(()),
        Value::Number(number) if number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => {
            Ok(())
        }
        Value::Number(number) => Err(ApiError::client(format!(
            "{path} must be an integer from {} to {}, not {number}",
            i32::MIN,
            i32::MAX
        ))),
        _ => Err(ApiError::serialization(&format!("{path} is not an integer"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_integer_has_32_bits() {
        let most = i64::from(i32::MAX);
        for fine in [
            json!({"priority": most}),
            json!({"priority": -most - 1}),
            json!({"priority": null}),
            json!({"totalQuantity": most + 1, "consumableResourceList": [{"quantity": most + 1}]}),
            json!({"tags": {"size": "large"}, "parameters": {"order": "first"}}),
            json!({"logConfiguration": {"options": {"size": "10m"}}}),
        ] {
            assert_eq!(check_integers(&fine), Ok(()), "{fine}");
        }
        let tmpfs = |size: Value| json!({"linuxParameters": {"tmpfs": [{"size": 1}, {"size": size}]}});
        for (bad, code, words) in [
            (json!({"priority": most + 1}), "ClientException", "priority must be an integer"),
            (json!({"priority": -most - 2}), "ClientException", "not -2147483649"),
            (json!({"priority": 1.5}), "ClientException", "not 1.5"),
            (json!({"priority": u64::MAX}), "ClientException", "not 18446744073709551615"),
            (
                tmpfs(json!(most + 1)),
                "ClientException",
                "linuxParameters.tmpfs[1].size must be an integer from -2147483648 to 2147483647, not 2147483648",
            ),
            (tmpfs(json!("64")), "SerializationException", "linuxParameters.tmpfs[1].size is not an integer"),
        ] {
            let refused = check_integers(&bad).unwrap_err();
            assert_eq!(refused.code, code, "{bad}");
            assert!(refused.message.contains(words), "{bad}: {}", refused.message);
        }
    }
}
