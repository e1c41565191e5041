//! HTTP: one port for all services.
//!
//! | module      | contents                                                             |
//! |-------------|----------------------------------------------------------------------|
//! | `gateway`   | the port: checks who may use a service, and calls it                 |
//! | `service`   | the services, by the names that requests are signed for              |
//! | `signature` | Signature Version 4, verified                                        |
//! | `protocol`  | answers and errors in the form of each protocol                      |
//! | `request_info` | the service and the operation of a request, for the log           |
//! | `log_limit` | how much of refused requests is logged                               |
//! | `body`      | JSON bodies of requests                                              |

pub mod body;
mod gateway;
mod log_limit;
pub mod protocol;
mod request_info;
mod service;
pub mod signature;

pub use gateway::{Gateway, Services};
pub use request_info::RequestInfo;
pub use signature::parameter;
