//! Permissions. The owner and host jobs may do everything; `docs/blocal.md` lists what a job in a
//! container may do.
//!
//! | module      | contents                                                                    |
//! |-------------|-----------------------------------------------------------------------------|
//! | `principal` | who has signed a request: the owner, or a job                               |
//! | `secrets`   | the key pairs, and the secrets that they are derived from; pure             |
//! | `keys`      | the keys that are valid now: the owner's, and one for each attempt that runs |
//! | `operation` | the table of all operations, with what a container's key may do with each   |
//! | `objects`   | which objects of S3 a container's key reaches; pure                         |
//!
//! A rule of the table says whether an operation is refused, allowed, or allowed within bounds. The
//! bounds need the database (whose job is it?), so the services hold them: each reads the caller's
//! [`JobScope`](crate::batch::JobScope) in the same snapshot as what it answers with.

pub mod keys;
pub mod objects;
pub mod operation;
mod principal;
pub mod secrets;

pub use keys::Keys;
pub use operation::{Operation, Rule};
pub use principal::{Attempt, Principal};
pub use secrets::{Credentials, KeyMaterial};
