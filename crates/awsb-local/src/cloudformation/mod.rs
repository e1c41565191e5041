//! CloudFormation: stacks, change sets and events, for the resource types that a cluster has.
//!
//! Batch resources, buckets and log groups of a stack are real. All other types are checked and
//! kept, and nothing uses them.
//!
//! | module       | contents                                                                        |
//! |--------------|---------------------------------------------------------------------------------|
//! | `api`        | the operations; `describe`: their answers; `request`: their parameters          |
//! | `template`   | templates: parsing and checking; `expression`: intrinsic functions; pure        |
//! | `graph`      | the order of resources; pure                                                    |
//! | `schema`     | the resource schemas; pure                                                      |
//! | `scope`      | the meaning of a template's names for a stack; pure                             |
//! | `model`      | stacks, resources, events                                                       |
//! | `operation`  | the operations on a stack: a state machine of small steps; pure                 |
//! | `change_set` | the effects of an update; pure                                                  |
//! | `policy`     | stack policies; pure                                                            |
//! | `names`      | the names that resources get; pure                                              |
//! | `world`      | making real resources; `simulated`: those that are only kept                    |
//! | `faults`     | failures that tests ask for                                                     |
//! | `rows`       | the rows of the Batch database                                                  |

mod api;
mod change_set;
mod describe;
mod expression;
mod faults;
mod graph;
mod model;
mod names;
mod operation;
mod policy;
mod request;
pub mod rows;
mod schema;
mod scope;
mod simulated;
mod template;
#[cfg(test)]
mod tests;
mod world;

pub use api::{Api, asked};
pub use template::TemplateError;
pub use world::is_simulated;

/// Reads a template, and returns the number of changes of a new stack that has it.
///
/// # Errors
/// When the template is wrong, or cannot be evaluated with the defaults of its parameters.
pub fn plan_template(text: &str) -> Result<usize, TemplateError> {
    let template = template::Template::parse(text, schema::Schemas::built_in())?;
    let default =
        |(name, parameter): (&String, &template::Parameter)| Some((name.clone(), parameter.default.clone()?));
    let desired = model::Desired {
        template: text.to_owned(),
        parameters: template.parameters.iter().filter_map(default).collect(),
        ..model::Desired::default()
    };
    let stack = model::Stack::new("lab", desired.clone(), 0);
    Ok(change_set::plan(&stack, &template, &desired)?.changes.len())
}
