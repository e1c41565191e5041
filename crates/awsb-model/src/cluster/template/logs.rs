//! The log groups of a template, and the rule that records job events.

use serde_json::{Value, json};

use super::parts::{Context, Resources, kept, reference, text};
use crate::cluster::config::Project;

/// The name of the rule. A rule's name has at most 64 characters, a cluster's 60.
const RULE_NAME: &str = "${AWS::StackName}-log";

impl Context<'_> {
    /// Adds the log groups.
    pub(super) fn add_logs(&self, resources: &mut Resources) {
        let logs = &self.config.logs;
        let group = |name: &str| {
            json!({
                "LogGroupName": text(name),
                "RetentionInDays": logs.retention.days(),
                "KmsKeyId": logs.kms_key.as_ref().map(|key| key.as_str()),
                "Tags": self.tags(&[]),
            })
        };
        let jobs = group("/awsb/${AWS::StackName}/jobs");
        resources.add_with("JobLogs", "AWS::Logs::LogGroup", jobs, kept(logs.keep));
        if matches!(self.config.images.project, Project::New(_)) {
            let builds = group("/awsb/${AWS::StackName}/builds");
            resources.add_with("BuildLogs", "AWS::Logs::LogGroup", builds, kept(false));
        }
    }

    /// Adds the record of job events.
    pub(super) fn add_events(&self, resources: &mut Resources) {
        let events = &self.config.events;
        if !events.record {
            return;
        }
        let principal = json!({ "Service": ["events.amazonaws.com", "delivery.logs.amazonaws.com"] });
        let streams = text(
            "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:/aws/events/awsb/${AWS::StackName}:*",
        );
        let rule = text(&format!(
            "arn:${{AWS::Partition}}:events:${{AWS::Region}}:${{AWS::AccountId}}:rule/{RULE_NAME}"
        ));
        // A policy of the group itself: an account has ten policies of the other kind. EventBridge
        // does not name its rule when it makes a stream (EventBridge User Guide,
        // `eb-use-resource-based`).
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "MakeStreams",
                    "Effect": "Allow",
                    "Principal": principal,
                    "Action": "logs:CreateLogStream",
                    "Resource": streams,
                },
                {
                    "Sid": "WriteEvents",
                    "Effect": "Allow",
                    "Principal": principal,
                    "Action": "logs:PutLogEvents",
                    "Resource": streams,
                    "Condition": { "ArnEquals": { "aws:SourceArn": rule } },
                },
            ],
        });
        resources.add_with(
            "EventLogs",
            "AWS::Logs::LogGroup",
            json!({
                // EventBridge's console shows no groups of other names.
                "LogGroupName": text("/aws/events/awsb/${AWS::StackName}"),
                "RetentionInDays": events.retention.days(),
                "ResourcePolicyDocument": policy,
                "Tags": self.tags(&[]),
            }),
            kept(events.keep),
        );
        let queues: Vec<Value> = self.config.queues.iter().map(|queue| self.queue_arn(queue)).collect();
        resources.add(
            "EventRule",
            "AWS::Events::Rule",
            json!({
                "Name": text(RULE_NAME),
                "Description": text("Records what happens to the jobs of the awsb cluster ${AWS::StackName}"),
                "State": "ENABLED",
                "EventPattern": {
                    "source": ["aws.batch"],
                    "detail-type": ["Batch Job State Change"],
                    "detail": { "jobQueue": queues },
                },
                // A log group as a target has no role: its own policy lets events in.
                "Targets": [{
                    "Id": "log",
                    "Arn": text(
                        "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${EventLogs}",
                    ),
                }],
            }),
        );
    }

    /// The name of the log group of events; `null` without one.
    pub(super) fn event_log_group(&self) -> Value {
        if self.config.events.record { reference("EventLogs") } else { Value::Null }
    }
}
