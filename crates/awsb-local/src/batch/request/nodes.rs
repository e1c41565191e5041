//! The containers of a multi-node job's nodes: ranges of nodes in the job definition, and their
//! overrides.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::shape::{Overrides, merge, not_there, shape};
use crate::batch::container;
use crate::constants::HOST_IMAGE;
use crate::http::protocol::ApiError;
use awsb_model::limits;

/// More nodes than any job can have here; User Guide: an MNP job's nodes are instances of its own.
const MOST: i64 = 1000;

/// The refusal of consumable resources that only some nodes take.
const CONSUMABLES_OF_RANGES: &str = "consumable resources of node ranges: each node takes those of the job";

/// API: NodeOverrides.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeOverrides {
    num_nodes: Option<i64>,
    node_property_overrides: Option<Vec<NodePropertyOverride>>,
}

/// API: NodePropertyOverride.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodePropertyOverride {
    target_nodes: String,
    container_overrides: Option<Overrides>,
    instance_types: Option<Vec<String>>,
    ecs_properties_override: Option<Value>,
    eks_properties_override: Option<Value>,
    consumable_resource_properties_override: Option<Value>,
}

impl NodeOverrides {
    /// The length of the longest container overrides as JSON.
    pub fn longest(&self) -> usize {
        let all = self.node_property_overrides.iter().flatten();
        all.filter_map(|o| o.container_overrides.as_ref()).map(Overrides::length).max().unwrap_or(0)
    }
}

/// API: NodeProperties.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeProperties {
    num_nodes: Option<i64>,
    main_node: Option<i64>,
    node_range_properties: Option<Vec<NodeRangeProperty>>,
}

/// API: NodeRangeProperty.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeRangeProperty {
    target_nodes: String,
    instance_types: Option<Vec<String>>,
    container: Option<Map<String, Value>>,
    consumable_resource_properties: Option<Value>,
}

/// Nodes with the same container, the last one included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRange {
    first: u32,
    last: u32,
    /// API: ContainerDetail, as far as the submission decides it.
    pub container: Map<String, Value>,
    /// API: NodeRangeProperty.instanceTypes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
}

/// A node of a multi-node job, with the overrides that it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// As [`NodeRange::container`].
    pub container: Map<String, Value>,
    /// As [`NodeRange::instance_type`].
    pub instance_type: Option<String>,
}

impl NodeRange {
    /// How many they are.
    pub fn count(&self) -> u64 {
        (u64::from(self.last) + 1).saturating_sub(self.first.into())
    }

    /// Whether a node is one of them.
    pub fn has(&self, index: u32) -> bool {
        (self.first..=self.last).contains(&index)
    }

    /// API: NodeRangeProperty.targetNodes.
    pub fn target_nodes(&self) -> String {
        format!("{}:{}", self.first, self.last)
    }
}

/// API, NodeRangeProperty.targetNodes: `0:3`, `:3` from the first, `4:` to the last, and a single
/// node.
#[derive(Debug, Clone, Copy)]
struct Range {
    first: u32,
    last: Option<u32>,
}

impl Range {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let wrong = || ApiError::client(format!("targetNodes: {text:?} is not a range of nodes such as 0:3"));
        let number = |digits: &str| digits.parse::<u32>().map_err(|_| wrong());
        let range = match text.split_once(':') {
            None => Self { first: number(text)?, last: Some(number(text)?) },
            Some((first, last)) => Self {
                first: if first.is_empty() { 0 } else { number(first)? },
                last: if last.is_empty() { None } else { Some(number(last)?) },
            },
        };
        if range.last.is_some_and(|last| last < range.first) { Err(wrong()) } else { Ok(range) }
    }

    fn has(&self, index: u32) -> bool {
        index >= self.first && self.last.is_none_or(|last| index <= last)
    }

    fn width(&self) -> u32 {
        self.last.map_or(u32::MAX, |last| last - self.first)
    }
}

/// The nodes, and the index of the main node.
///
/// # Errors
/// `ClientException`, when the nodes are not as the API wants them.
pub fn nodes(properties: &Value, overrides: Option<&NodeOverrides>) -> Result<(Vec<Node>, u32), ApiError> {
    if !properties.is_object() {
        return Err(ApiError::client("nodeProperties is required for a job definition of type multinode"));
    }
    let properties: NodeProperties = shape(properties.clone())?;
    let ranges: Vec<(Range, NodeRangeProperty)> = properties
        .node_range_properties
        .unwrap_or_default()
        .into_iter()
        .map(|property| Ok((Range::parse(&property.target_nodes)?, property)))
        .collect::<Result<_, ApiError>>()?;
    // User Guide, mnp-node-groups: up to five node ranges.
    if ranges.len() > limits::NODE_RANGES {
        let most = limits::NODE_RANGES;
        return Err(ApiError::client(format!("nodeRangeProperties has at most {most} node ranges")));
    }
    let count =
        properties.num_nodes.ok_or_else(|| ApiError::client("nodeProperties: numNodes is required"))?;
    let count = match overrides.and_then(|o| o.num_nodes) {
        None => count,
        Some(given) => {
            // API, NodeOverrides.numNodes: at least one range has to have an open upper boundary.
            if given != count && ranges.iter().all(|(range, _)| range.last.is_some()) {
                return Err(ApiError::client(
                    "nodeOverrides: numNodes needs a node range with an open end, such as 0:, in the job definition",
                ));
            }
            given
        }
    };
    let count = match u32::try_from(count) {
        Ok(n @ 1..) if count <= MOST => n,
        _ => return Err(ApiError::client(format!("numNodes must be 1 to {MOST}, not {count}"))),
    };
    let main =
        properties.main_node.ok_or_else(|| ApiError::client("nodeProperties: mainNode is required"))?;
    let main = u32::try_from(main).ok().filter(|main| *main < count).ok_or_else(|| {
        ApiError::client(format!("mainNode must be an index of one of the {count} nodes, not {main}"))
    })?;
    let mut nodes = Vec::new();
    for index in 0..count {
        // API: "You can nest node ranges … the 4:5 range properties override the 0:10 properties."
        let narrowest =
            ranges.iter().filter(|(range, _)| range.has(index)).min_by_key(|(range, _)| range.width());
        let Some((_, property)) = narrowest else {
            return Err(ApiError::client(format!("the node ranges leave out node {index}")));
        };
        let Some(container) = &property.container else {
            return Err(not_there(
                "nodes without a container: with ecsProperties, or with eksProperties on EKS",
            ));
        };
        if property.consumable_resource_properties.is_some() {
            return Err(not_there(CONSUMABLES_OF_RANGES));
        }
        let instance_type = only_type(property.instance_types.as_deref())?.map(str::to_owned);
        nodes.push(Node { container: container.clone(), instance_type });
    }
    for property in overrides.iter().flat_map(|o| o.node_property_overrides.iter().flatten()) {
        if property.ecs_properties_override.is_some() || property.eks_properties_override.is_some() {
            return Err(not_there(
                "ecsPropertiesOverride and eksPropertiesOverride of nodes: they override tasks and pods, and each node \
                 has one container here",
            ));
        }
        if property.consumable_resource_properties_override.is_some() {
            return Err(not_there(CONSUMABLES_OF_RANGES));
        }
        let range = Range::parse(&property.target_nodes)?;
        let kind = only_type(property.instance_types.as_deref())?;
        let of_container = property.container_overrides.as_ref().and_then(Overrides::instance_type);
        for (_, node) in (0..count).zip(&mut nodes).filter(|(index, _)| range.has(*index)) {
            // There are two ways to give the type. An override replaces it in both.
            if kind.or(of_container).is_some() {
                node.instance_type = kind.map(str::to_owned);
                node.container.remove("instanceType");
            }
            if let Some(overrides) = &property.container_overrides {
                merge(&mut node.container, overrides)?;
            }
        }
    }
    // API, ContainerProperties.instanceType: the other way to give the type of multi-node jobs.
    let types_of = |node: &'_ Node| {
        let of_container = node.container.get("instanceType").and_then(Value::as_str);
        [node.instance_type.clone(), of_container.map(str::to_owned)]
    };
    let types: Vec<String> = nodes.iter().flat_map(types_of).flatten().collect();
    check_types(types.iter().map(String::as_str))?;
    // A process of the host and a container reach each other at no address that is the same
    // everywhere.
    let contained = nodes.iter().filter(|node| container::is_contained(&node.container)).count();
    if contained != 0 && contained != nodes.len() {
        return Err(not_there(&format!(
            "multi-node parallel jobs of which some nodes are processes and some are containers: give the \
             image {HOST_IMAGE:?} to all nodes or to none"
        )));
    }
    Ok((nodes, main))
}

/// The instance type in a list of them. API, NodeRangeProperty.instanceTypes: "this list object is
/// currently limited to one element".
fn only_type(types: Option<&[String]>) -> Result<Option<&str>, ApiError> {
    match types {
        None | Some([]) => Ok(None),
        Some([only]) => Ok(Some(only)),
        Some(_) => Err(ApiError::client("instanceTypes has at most one instance type")),
    }
}

/// User Guide, mnp-node-groups: "each multi-node parallel job must use a single instance type".
fn check_types<'a>(mut types: impl Iterator<Item = &'a str>) -> Result<(), ApiError> {
    let Some(first) = types.next() else { return Ok(()) };
    match types.find(|other| *other != first) {
        None => Ok(()),
        Some(other) => Err(ApiError::client(format!(
            "all nodes of a multi-node parallel job must have the same instance type, not {first} and {other}"
        ))),
    }
}

/// The same nodes, with equal neighbours put together.
pub fn ranges(nodes: Vec<Node>) -> Vec<NodeRange> {
    let mut ranges: Vec<NodeRange> = Vec::new();
    for (index, Node { container, instance_type }) in (0..).zip(nodes) {
        match ranges.last_mut() {
            Some(range) if range.container == container && range.instance_type == instance_type => {
                range.last = index;
            }
            _ => ranges.push(NodeRange { first: index, last: index, container, instance_type }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(definition: Value, overrides: Value) -> Result<(Vec<NodeRange>, u32), String> {
        let overrides = (!overrides.is_null()).then(|| shape::<NodeOverrides>(overrides).unwrap());
        let (all, main) = nodes(&definition, overrides.as_ref()).map_err(|e| e.message)?;
        Ok((ranges(all), main))
    }

    fn definition() -> Value {
        json!({"numNodes": 4, "mainNode": 1, "nodeRangeProperties": [
            {"targetNodes": "0:", "container": {"image": "a"}},
            {"targetNodes": "2:3", "container": {"image": "b"}}]})
    }

    #[test]
    fn narrow_ranges_go_before_wide_ones_and_overrides_split_them() {
        let shown = |ranges: Vec<NodeRange>| -> Vec<String> {
            let text = |r: &NodeRange| {
                format!(
                    "{} {}{}",
                    r.target_nodes(),
                    r.container["image"],
                    r.container.get("command").map_or(String::new(), Value::to_string)
                )
            };
            ranges.iter().map(text).collect()
        };
        let (ranges, main) = merged(definition(), Value::Null).unwrap();
        assert_eq!((shown(ranges), main), (vec!["0:1 \"a\"".to_owned(), "2:3 \"b\"".to_owned()], 1));
        let overrides = json!({"numNodes": 6, "nodePropertyOverrides": [
            {"targetNodes": ":2", "containerOverrides": {"command": ["x"]}}]});
        let (ranges, _) = merged(definition(), overrides).unwrap();
        assert_eq!(shown(ranges), ["0:1 \"a\"[\"x\"]", "2:2 \"b\"[\"x\"]", "3:3 \"b\"", "4:5 \"a\""]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let with = |name: &str, value: Value| {
            let mut definition = definition();
            definition[name] = value;
            definition
        };
        let closed = json!([{"targetNodes": "0:3", "container": {}}]);
        assert!(merged(with("nodeRangeProperties", closed.clone()), json!({"numNodes": 5})).is_err());
        assert!(merged(with("nodeRangeProperties", closed), json!({"numNodes": 4})).is_ok());
        assert!(
            merged(with("nodeRangeProperties", json!([{"targetNodes": "1:", "container": {}}])), Value::Null)
                .is_err()
        );
        assert!(
            merged(
                with("nodeRangeProperties", json!([{"targetNodes": "3:1", "container": {}}])),
                Value::Null
            )
            .is_err()
        );
        assert!(
            merged(with("nodeRangeProperties", json!([{"targetNodes": "x", "container": {}}])), Value::Null)
                .is_err()
        );
        assert!(merged(with("mainNode", json!(4)), Value::Null).is_err());
        assert!(merged(with("numNodes", json!(0)), Value::Null).is_err());
        assert!(merged(definition(), json!({"numNodes": 1})).is_err());
        assert!(merged(Value::Null, Value::Null).is_err());
        let two_types = json!([{"targetNodes": "0:1", "container": {}, "instanceTypes": ["a"]},
                               {"targetNodes": "2:", "container": {}, "instanceTypes": ["b"]}]);
        let why = merged(with("nodeRangeProperties", two_types), Value::Null).unwrap_err();
        assert!(why.contains("the same instance type, not a and b"), "{why}");
        let overriding = |targets: &str, types: Value| json!({"nodePropertyOverrides": [{"targetNodes": targets, "instanceTypes": types}]});
        let why = merged(definition(), overriding("0:", json!(["a", "b"]))).unwrap_err();
        assert!(why.contains("at most one instance type"), "{why}");
        // An override of some nodes leaves the others as they are.
        let one_type = json!([{"targetNodes": "0:", "container": {}, "instanceTypes": ["a"]}]);
        let one_type = || with("nodeRangeProperties", one_type.clone());
        let why = merged(one_type(), overriding("1:", json!(["b"]))).unwrap_err();
        assert!(why.contains("not a and b"), "{why}");
        let of_containers = json!([{"targetNodes": "0:1", "container": {"instanceType": "a"}},
                                   {"targetNodes": "2:", "container": {"instanceType": "b"}}]);
        let why = merged(with("nodeRangeProperties", of_containers), Value::Null).unwrap_err();
        assert!(why.contains("not a and b"), "{why}");
        let consuming = json!([{"targetNodes": "0:", "container": {},
            "consumableResourceProperties": {"consumableResourceList": []}}]);
        let why = merged(with("nodeRangeProperties", consuming), Value::Null).unwrap_err();
        assert!(why.contains("consumable resources of node ranges"), "{why}");
        let six = json!(vec![json!({"targetNodes": "0:", "container": {}}); 6]);
        assert!(merged(with("nodeRangeProperties", six), Value::Null).is_err());
        let mixed = json!([{"targetNodes": "0:", "container": {"image": "a"}},
                           {"targetNodes": "2", "container": {"image": "host"}}]);
        let why = merged(with("nodeRangeProperties", mixed), Value::Null).unwrap_err();
        assert!(why.contains("some nodes are processes"), "{why}");
    }

    #[test]
    fn an_override_of_the_instance_type_replaces_it_in_both_forms() {
        let of_range = json!({"targetNodes": "0:", "container": {"image": "a"}, "instanceTypes": ["a"]});
        let of_container = json!({"targetNodes": "0:", "container": {"image": "a", "instanceType": "a"}});
        let types = json!({"instanceTypes": ["b"]});
        let container = json!({"containerOverrides": {"instanceType": "b"}});
        let types_of = |range: &Value, change: &Value| {
            let definition = json!({"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [range]});
            let mut change = change.clone();
            change["targetNodes"] = json!("0:");
            let (ranges, _) = merged(definition, json!({"nodePropertyOverrides": [change]})).unwrap();
            let [range] = &ranges[..] else { panic!("{ranges:?}") };
            (range.instance_type.clone(), range.container.get("instanceType").cloned())
        };
        for range in [&of_range, &of_container] {
            assert_eq!(types_of(range, &types), (Some("b".to_owned()), None), "{range}");
            assert_eq!(types_of(range, &container), (None, Some(json!("b"))), "{range}");
        }
        // An override of something else leaves the type.
        let other = json!({"containerOverrides": {"command": ["x"]}});
        assert_eq!(types_of(&of_range, &other), (Some("a".to_owned()), None));
        assert_eq!(types_of(&of_container, &other), (None, Some(json!("a"))));
        // One override with two types is refused.
        let definition = json!({"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [of_range]});
        let two =
            json!({"targetNodes": "0:", "instanceTypes": ["b"], "containerOverrides": {"instanceType": "c"}});
        let why = merged(definition, json!({"nodePropertyOverrides": [two]})).unwrap_err();
        assert!(why.contains("not b and c"), "{why}");
    }
}
