//! Fields that containers of all kinds have, from the SDK's shapes.

use aws_sdk_batch::types::{KeyValuePair, LogConfiguration, ResourceRequirement};

use crate::batch::task::Resource;
use awsb_model::Tasks;
use awsb_model::payload::launcher;

/// Names and values of variables.
pub fn pairs(environment: &[KeyValuePair]) -> Vec<(&str, &str)> {
    let pairs = environment.iter();
    pairs.map(|v| (v.name().unwrap_or_default(), v.value().unwrap_or_default())).collect()
}

/// The value of an environment variable.
pub fn variable(environment: &[KeyValuePair], name: &str) -> Option<String> {
    environment.iter().find(|v| v.name() == Some(name)).and_then(|v| v.value()).map(str::to_owned)
}

/// The log driver, if it is another one than `awslogs`.
pub fn log_driver(configuration: Option<&LogConfiguration>) -> Option<String> {
    let driver = configuration?.log_driver()?.as_str();
    (driver != "awslogs").then(|| driver.to_owned())
}

/// The log group that a container's log configuration names.
pub fn log_group(configuration: Option<&LogConfiguration>) -> Option<String> {
    configuration.and_then(|l| l.options()).and_then(|o| o.get("awslogs-group")).cloned()
}

/// The resources that a container asks for.
pub fn resources(requirements: &[ResourceRequirement]) -> Vec<Resource> {
    let resource = |r: &ResourceRequirement| Resource {
        kind: r.r#type().map(|t| t.as_str().to_owned()).unwrap_or_default(),
        value: r.value().unwrap_or_default().to_owned(),
    };
    requirements.iter().map(resource).collect()
}

/// The ECS cluster in the ARN of a task or of a container instance: `…:task/CLUSTER/ID` (ECS
/// Developer Guide, `ecs-account-settings`). The older form has no cluster.
pub fn ecs_cluster(arn: &str) -> Option<String> {
    let mut words = arn.splitn(6, ':').nth(5)?.split('/').skip(1);
    let (cluster, _id) = (words.next()?, words.next()?);
    Some(cluster.to_owned())
}

/// The tasks of the array, as the launcher's variable has them.
pub fn tasks(environment: &[KeyValuePair]) -> Option<Tasks> {
    variable(environment, launcher::TASKS_VARIABLE).and_then(|text| Tasks::from_variable(&text).ok())
}
