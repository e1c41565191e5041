//! Conversions between the shapes of the SDK and our own types.

mod fields;
mod from_sdk;
mod several_containers;
pub mod to_sdk;

pub use from_sdk::{environment, environments};
