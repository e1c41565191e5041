//! Conversions between the shapes of the SDK and our own types.

mod from_sdk;
pub mod to_sdk;

pub use from_sdk::environment;
