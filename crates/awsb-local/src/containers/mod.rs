//! The server's part in containers: their network, the address at which they reach the server, and
//! the removal of everything that is left of them.
//!
//! | module    | contents                                                                            |
//! |-----------|-------------------------------------------------------------------------------------|
//! | `host`    | what the engine asks for, and what a container's creation needs to know; no I/O     |
//! | `manager` | the task that makes the network ready, listens for containers, and cleans up        |
//! | `record`  | the file that records everything that this home has on Docker engines               |

pub mod host;
pub mod manager;
pub mod record;

pub use host::Containers;
