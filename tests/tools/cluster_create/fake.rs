//! A CloudFormation that answers as the API Reference's samples do, for one stack, with an account
//! that has a default VPC. It can fail in ways that a test chooses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use awsb_testkit::{Answer, BadServer, Request, Sandbox};

/// The account and the region.
const PLACE: &str = "eu-west-1:111122223333";

/// An action of the query protocol with its parameters.
#[derive(Debug, Clone)]
pub struct Call {
    /// Such as `CreateChangeSet`.
    pub action: String,
    parameters: HashMap<String, String>,
}

impl Call {
    fn of(request: &Request) -> Self {
        let mut parameters: HashMap<String, String> =
            form_urlencoded::parse(&request.body).into_owned().collect();
        let action = parameters.remove("Action").unwrap_or_else(|| request.operation().to_owned());
        Self { action, parameters }
    }

    /// A parameter; empty if it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }
}

/// How a resource ends.
#[derive(Debug, Clone)]
pub struct Failing {
    /// Its logical ID.
    pub id: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// The reason that CloudFormation gives.
    pub reason: String,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    /// Status, tags and the number of stacks that were made.
    status: Option<String>,
    tags: Vec<(String, String)>,
    made: usize,
    change_set: Option<String>,
    parameters: Vec<(String, String)>,
    executed: bool,
    /// ID, logical ID, type, status and reason, the oldest first.
    events: Vec<[String; 5]>,
    failing: Option<Failing>,
}

type Fault = dyn Fn(&Call, usize) -> Option<(Answer, bool)> + Send + Sync;

/// The server.
pub struct Fake {
    server: BadServer,
    state: Arc<Mutex<State>>,
}

impl Fake {
    /// A server without faults.
    pub fn start() -> Self {
        Self::with_faults(|_, _| None)
    }

    /// `fault` is given each call and how many of the same action came before it. It returns the
    /// answer in place of the right one, and whether the call is carried out all the same.
    pub fn with_faults(
        fault: impl Fn(&Call, usize) -> Option<(Answer, bool)> + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let (shared, fault): (_, Box<Fault>) = (Arc::clone(&state), Box::new(fault));
        let server = BadServer::start(move |request, _| {
            let call = Call::of(request);
            let mut state = lock(&shared);
            let before = state.calls.iter().filter(|earlier| earlier.action == call.action).count();
            state.calls.push(call.clone());
            match fault(&call, before) {
                Some((answer, false)) => answer,
                Some((answer, true)) => {
                    state.answer(&call);
                    answer
                }
                None => state.answer(&call),
            }
        });
        Self { server, state }
    }

    /// A sandbox whose AWS is this server, with no settings file.
    pub fn sandbox(&self) -> Sandbox {
        let mut sandbox = Sandbox::new();
        sandbox.set("AWS_ENDPOINT_URL", self.server.endpoint());
        sandbox.set("AWS_REGION", "eu-west-1");
        sandbox.set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
        sandbox.set("AWS_SECRET_ACCESS_KEY", "secret");
        sandbox
    }

    /// The calls of an action so far.
    pub fn calls(&self, action: &str) -> Vec<Call> {
        lock(&self.state).calls.iter().filter(|call| call.action == action).cloned().collect()
    }

    /// How many calls there were.
    pub fn all_calls(&self) -> usize {
        lock(&self.state).calls.len()
    }

    /// All actions that change something, in order.
    pub fn changes(&self) -> Vec<String> {
        let calls = lock(&self.state).calls.clone();
        let is_change = |action: &str| {
            ["Create", "Execute", "Delete", "Update"].iter().any(|verb| action.starts_with(verb))
        };
        calls.into_iter().map(|call| call.action).filter(|action| is_change(action)).collect()
    }

    /// How many stacks were made.
    pub fn made(&self) -> usize {
        lock(&self.state).made
    }

    /// A stack that is there already.
    pub fn has_stack(&self, status: &str, tags: &[(&str, &str)]) {
        let mut state = lock(&self.state);
        state.status = Some(status.to_owned());
        // A stack in review is known by its change set alone.
        let set = "awsb-0a5b7a6c-6a6c-4b54-9d5e-0f0a0b0c0d0e";
        state.change_set = Some(format!("arn:aws:cloudformation:{PLACE}:changeSet/{set}/1"));
        state.executed = true;
        state.tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        state.made = 1;
        state.event("lab", "AWS::CloudFormation::Stack", status, "");
    }

    /// The parameters of the stack that is there.
    pub fn has_parameters(&self, parameters: &[(&str, &str)]) {
        let owned = parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        lock(&self.state).parameters = owned.collect();
    }

    /// The state of the stack.
    pub fn status(&self) -> Option<String> {
        lock(&self.state).status.clone()
    }

    /// A resource of the next stack fails.
    pub fn fails(&self, failing: Failing) {
        lock(&self.state).failing = Some(failing);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The ARN of the nth stack of this name.
fn stack_id(number: usize) -> String {
    format!("arn:aws:cloudformation:{PLACE}:stack/lab/00000000-0000-0000-0000-{number:012}")
}

fn xml(action: &str, result: &str) -> Answer {
    let body = format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>");
    Answer::Http(200, body, vec![("content-type", "text/xml".into())])
}

/// An error as services with the query protocol tell it.
pub fn error(code: &str, message: &str) -> Answer {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>1</RequestId></ErrorResponse>"
    );
    Answer::Http(400, body, vec![("content-type", "text/xml".into())])
}

fn members(call: &Call, list: &str, fields: [&str; 2]) -> Vec<(String, String)> {
    (1..)
        .map(|n| fields.map(|field| call.get(&format!("{list}.member.{n}.{field}")).to_owned()))
        .take_while(|[key, _]| !key.is_empty())
        .map(|[key, value]| (key, value))
        .collect()
}

impl State {
    fn event(&mut self, id: &str, kind: &str, status: &str, reason: &str) {
        let number = format!("event-{}-{}", self.made, self.events.len());
        self.events.push([number, id.into(), kind.into(), status.into(), reason.into()]);
    }

    fn stack_event(&mut self, status: &str) {
        self.status = Some(status.to_owned());
        self.event("lab", "AWS::CloudFormation::Stack", status, "");
    }

    /// Whether a name or an ID is that of the stack.
    fn is_it(&self, name: &str) -> bool {
        if self.status.is_none() {
            return false;
        }
        name == stack_id(self.made) || (name == "lab" && self.status.as_deref() != Some("DELETE_COMPLETE"))
    }

    fn answer(&mut self, call: &Call) -> Answer {
        let name = call.get("StackName");
        match call.action.as_str() {
            "GetCallerIdentity" => xml(
                "GetCallerIdentity",
                "<Account>111122223333</Account><Arn>arn:aws:iam::111122223333:user/me</Arn>",
            ),
            // S3 and CloudWatch Logs: nothing of an earlier cluster is there.
            "s3" => Answer::s3_error(404, "NoSuchBucket", ""),
            "logs" => Answer::json(serde_json::json!({ "logGroups": [] })),
            // An account without anything in Batch, in a region whose quotas nobody knows.
            "describecomputeenvironments" => Answer::json(serde_json::json!({ "computeEnvironments": [] })),
            "describejobqueues" => Answer::json(serde_json::json!({ "jobQueues": [] })),
            "servicequotas" => Answer::Http(
                400,
                serde_json::json!({ "__type": "NoSuchResourceException", "message": "" }).to_string(),
                Vec::new(),
            ),
            "DescribeVpcs" => ec2(
                "DescribeVpcs",
                "<vpcSet><item><vpcId>vpc-0123456789abcdef0</vpcId><isDefault>true</isDefault></item></vpcSet>",
            ),
            "DescribeSubnets" => ec2(
                "DescribeSubnets",
                "<subnetSet><item><subnetId>subnet-0123456789abcdef0</subnetId>\
                 <vpcId>vpc-0123456789abcdef0</vpcId><availabilityZone>eu-west-1a</availabilityZone>\
                 <availableIpAddressCount>4091</availableIpAddressCount>\
                 <mapPublicIpOnLaunch>true</mapPublicIpOnLaunch></item></subnetSet>",
            ),
            "DescribeRouteTables" => ec2(
                "DescribeRouteTables",
                "<routeTableSet><item><routeSet><item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock>\
                 <gatewayId>igw-1</gatewayId></item></routeSet><associationSet><item><main>true</main></item>\
                 </associationSet></item></routeTableSet>",
            ),
            "DescribeStacks" if name.is_empty() || (self.status.is_some() && self.is_it(name)) => {
                let stack = if self.status.is_some() { self.stack() } else { String::new() };
                xml("DescribeStacks", &format!("<Stacks>{stack}</Stacks>"))
            }
            "CreateChangeSet" => self.create_change_set(call),
            _ if !self.is_it(name)
                && call.action != "DescribeChangeSet"
                && call.get("ChangeSetName").is_empty() =>
            {
                error("ValidationError", &format!("Stack with id {name} does not exist"))
            }
            "DescribeStackEvents" => {
                let events: String = self.events.iter().rev().map(|event| self.event_xml(event)).collect();
                xml("DescribeStackEvents", &format!("<StackEvents>{events}</StackEvents>"))
            }
            "DescribeChangeSet" => self.describe_change_set(),
            "ExecuteChangeSet" => self.execute(),
            "DeleteChangeSet" => xml("DeleteChangeSet", ""),
            "DeleteStack" => {
                self.stack_event("DELETE_IN_PROGRESS");
                self.stack_event("DELETE_COMPLETE");
                xml("DeleteStack", "")
            }
            other => error("ValidationError", &format!("{other} is not in this test")),
        }
    }

    fn stack(&self) -> String {
        let pair = |[k, v]: [&str; 2], (key, value): &(String, String)| {
            format!("<member><{k}>{key}</{k}><{v}>{value}</{v}></member>")
        };
        // A change set that is not executed gives its stack nothing.
        let is_planned = self.status.as_deref() == Some("REVIEW_IN_PROGRESS");
        let shown = |pairs: &[(String, String)], names: [&str; 2]| -> String {
            pairs.iter().filter(|_| !is_planned).map(|of| pair(names, of)).collect()
        };
        let tags = shown(&self.tags, ["Key", "Value"]);
        let parameters = shown(&self.parameters, ["ParameterKey", "ParameterValue"]);
        let set = self.change_set.as_deref().filter(|_| self.executed);
        let set = set.map(|set| format!("<ChangeSetId>{set}</ChangeSetId>"));
        format!(
            "<member><StackId>{}</StackId><StackName>lab</StackName><StackStatus>{}</StackStatus>\
             <CreationTime>2026-11-29T12:00:00.000Z</CreationTime>{}<Tags>{tags}</Tags>\
             <Parameters>{parameters}</Parameters></member>",
            stack_id(self.made),
            self.status.as_deref().unwrap_or_default(),
            set.unwrap_or_default()
        )
    }

    fn create_change_set(&mut self, call: &Call) -> Answer {
        let set = format!("arn:aws:cloudformation:{PLACE}:changeSet/{}/1", call.get("ChangeSetName"));
        if self.change_set.as_ref() == Some(&set) && self.status.as_deref() != Some("DELETE_COMPLETE") {
            return error("AlreadyExistsException", "ChangeSet already exists");
        }
        if call.get("ChangeSetType") == "CREATE" {
            self.made += 1;
            self.events.clear();
            self.tags = members(call, "Tags", ["Key", "Value"]);
            self.parameters = members(call, "Parameters", ["ParameterKey", "ParameterValue"]);
            self.executed = false;
            self.stack_event("REVIEW_IN_PROGRESS");
        }
        self.change_set = Some(set.clone());
        xml("CreateChangeSet", &format!("<Id>{set}</Id><StackId>{}</StackId>", stack_id(self.made)))
    }

    fn describe_change_set(&self) -> Answer {
        let Some(set) = &self.change_set else {
            return error("ChangeSetNotFound", "ChangeSet does not exist");
        };
        let change = |id: &str, kind: &str| {
            format!(
                "<member><Type>Resource</Type><ResourceChange><Action>Add</Action>\
                 <LogicalResourceId>{id}</LogicalResourceId><ResourceType>{kind}</ResourceType></ResourceChange></member>"
            )
        };
        let execution = if self.executed { "EXECUTE_COMPLETE" } else { "AVAILABLE" };
        xml(
            "DescribeChangeSet",
            &format!(
                "<ChangeSetId>{set}</ChangeSetId><StackId>{}</StackId><Status>CREATE_COMPLETE</Status>\
                 <ExecutionStatus>{execution}</ExecutionStatus><Changes>{}{}</Changes>",
                stack_id(self.made),
                change("Bucket", "AWS::S3::Bucket"),
                change("EnvironmentSpot", "AWS::Batch::ComputeEnvironment"),
            ),
        )
    }

    fn execute(&mut self) -> Answer {
        if self.executed {
            return error("InvalidChangeSetStatus", "ChangeSet cannot be executed in its current status");
        }
        self.executed = true;
        self.stack_event("CREATE_IN_PROGRESS");
        self.event("Bucket", "AWS::S3::Bucket", "CREATE_IN_PROGRESS", "");
        if let Some(Failing { id, kind, reason }) = self.failing.take() {
            self.event(id, kind, "CREATE_IN_PROGRESS", "");
            self.event(id, kind, "CREATE_FAILED", &reason);
            self.event("Bucket", "AWS::S3::Bucket", "CREATE_FAILED", "Resource creation cancelled");
            self.stack_event("ROLLBACK_IN_PROGRESS");
            self.stack_event("ROLLBACK_COMPLETE");
        } else {
            self.event("Bucket", "AWS::S3::Bucket", "CREATE_COMPLETE", "");
            self.stack_event("CREATE_COMPLETE");
        }
        xml("ExecuteChangeSet", "")
    }

    fn event_xml(&self, [number, id, kind, status, reason]: &[String; 5]) -> String {
        let stack = stack_id(self.made);
        let physical = if id == "lab" { stack.as_str() } else { "" };
        format!(
            "<member><EventId>{number}</EventId><StackId>{stack}</StackId><StackName>lab</StackName>\
             <LogicalResourceId>{id}</LogicalResourceId><PhysicalResourceId>{physical}</PhysicalResourceId>\
             <ResourceType>{kind}</ResourceType><ResourceStatus>{status}</ResourceStatus>\
             <ResourceStatusReason>{reason}</ResourceStatusReason>\
             <Timestamp>2026-11-29T12:00:00.000Z</Timestamp></member>"
        )
    }
}

fn ec2(action: &str, content: &str) -> Answer {
    let body = format!("<{action}Response>{content}</{action}Response>");
    Answer::Http(200, body, vec![("content-type", "text/xml".into())])
}
