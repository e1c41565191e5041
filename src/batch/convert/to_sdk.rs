//! Requests in the SDK's shapes, from ours.

use aws_sdk_batch::operation::submit_job::builders::SubmitJobFluentBuilder;
use aws_sdk_batch::types::{
    ArrayJobDependency, ArrayProperties, ConsumableResourceProperties, ConsumableResourceRequirement,
    ContainerOverrides, EcsPropertiesOverride, EvaluateOnExit, JobDependency, JobTimeout, KeyValuePair,
    NodeOverrides, NodePropertyOverride, ResourceRequirement, ResourceType, RetryAction, RetryStrategy,
    TaskContainerOverrides, TaskPropertiesOverride,
};

use awsb_model::request::{self, SubmitRequest};

/// The SDK's call for a request.
pub fn submit_job(client: &aws_sdk_batch::Client, request: &SubmitRequest) -> SubmitJobFluentBuilder {
    let array =
        request.array_properties.map(|a| ArrayProperties::builder().size(a.size.cast_signed()).build());
    let timeout = request.timeout.map(|t| {
        JobTimeout::builder().attempt_duration_seconds(t.attempt_duration_seconds.cast_signed()).build()
    });
    let map = |m: &std::collections::BTreeMap<String, String>| {
        (!m.is_empty()).then(|| m.clone().into_iter().collect::<std::collections::HashMap<_, _>>())
    };
    client
        .submit_job()
        .job_name(&request.job_name)
        .job_queue(&request.job_queue)
        .job_definition(&request.job_definition)
        .set_array_properties(array)
        .set_depends_on(some_of(request.depends_on.iter().map(dependency).collect()))
        .set_share_identifier(request.share_identifier.clone())
        .set_scheduling_priority_override(request.scheduling_priority_override)
        .set_parameters(map(&request.parameters))
        .set_container_overrides(request.container_overrides.as_ref().map(overrides))
        .set_ecs_properties_override(request.ecs_properties_override.as_ref().map(task_overrides))
        .set_node_overrides(request.node_overrides.as_ref().map(node_overrides))
        .set_consumable_resource_properties_override(
            request.consumable_resource_properties_override.as_ref().map(consumables),
        )
        .set_retry_strategy(request.retry_strategy.as_ref().map(retry_strategy))
        .set_timeout(timeout)
        .set_propagate_tags(request.propagate_tags)
        .set_tags(map(&request.tags))
}

fn consumables(properties: &request::ConsumableResourceProperties) -> ConsumableResourceProperties {
    let list = properties.consumable_resource_list.iter().map(|of| {
        ConsumableResourceRequirement::builder()
            .consumable_resource(&of.consumable_resource)
            .quantity(i64::try_from(of.quantity).unwrap_or(i64::MAX))
            .build()
    });
    ConsumableResourceProperties::builder().set_consumable_resource_list(Some(list.collect())).build()
}

fn dependency(dependency: &request::JobDependency) -> JobDependency {
    JobDependency::builder()
        .set_job_id(dependency.job_id.clone())
        .set_type(dependency.kind.map(ArrayJobDependency::from))
        .build()
}

fn overrides(overrides: &request::Overrides) -> ContainerOverrides {
    let environment =
        overrides.environment.iter().map(|v| KeyValuePair::builder().name(&v.name).value(&v.value).build());
    let resources = overrides
        .resource_requirements
        .iter()
        .map(|r| ResourceRequirement::builder().r#type(ResourceType::from(r.kind)).value(&r.value).build());
    ContainerOverrides::builder()
        .set_command(some_of(overrides.command.clone()))
        .set_environment(some_of(environment.collect()))
        .set_resource_requirements(some_of(resources.collect()))
        .build()
}

fn task_overrides(ecs: &request::EcsPropertiesOverride) -> EcsPropertiesOverride {
    let container = |container: &request::TaskContainerOverrides| {
        let overrides = overrides(&container.overrides);
        TaskContainerOverrides::builder()
            .set_name(container.name.clone())
            .set_command(overrides.command)
            .set_environment(overrides.environment)
            .set_resource_requirements(overrides.resource_requirements)
            .build()
    };
    let tasks = ecs.task_properties.iter().map(|task| {
        let containers = task.containers.iter().map(container).collect();
        TaskPropertiesOverride::builder().set_containers(Some(containers)).build()
    });
    EcsPropertiesOverride::builder().set_task_properties(Some(tasks.collect())).build()
}

fn node_overrides(nodes: &request::NodeOverrides) -> NodeOverrides {
    let overrides = nodes.node_property_overrides.iter().map(|o| {
        NodePropertyOverride::builder()
            .target_nodes(&o.target_nodes)
            .container_overrides(overrides(&o.container_overrides))
            .build()
    });
    NodeOverrides::builder()
        .num_nodes(nodes.num_nodes.cast_signed())
        .set_node_property_overrides(some_of(overrides.collect()))
        .build()
}

fn retry_strategy(strategy: &request::RetryStrategy) -> RetryStrategy {
    let rules = strategy.evaluate_on_exit.iter().map(|rule| {
        EvaluateOnExit::builder()
            .set_on_status_reason(rule.on_status_reason.clone())
            .set_on_reason(rule.on_reason.clone())
            .set_on_exit_code(rule.on_exit_code.clone())
            .action(RetryAction::from(rule.action))
            .build()
    });
    RetryStrategy::builder()
        .set_attempts(strategy.attempts.map(i32::from))
        .set_evaluate_on_exit(some_of(rules.collect()))
        .build()
}

fn some_of<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
