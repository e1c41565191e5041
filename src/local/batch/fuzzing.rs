//! What `fuzz/` may call here: see `local::fuzzing`.

use serde_json::Value;

use super::request::{self, Definition, Queue, SubmitJob};

/// Checks a job definition, and plans a job with it if it is good.
pub fn plan(job: &Value, definition: Value) {
    if request::check_definition(&definition).is_err() {
        return;
    }
    let Ok(job) = request::shape::<SubmitJob>(job.clone()) else { return };
    let _ = request::names(&job);
    let definition = Definition { arn: "arn".to_owned(), name: "name".to_owned(), body: definition };
    let queue = Queue { name: "local".to_owned(), enabled: true, shares: false };
    if let Ok(plan) = request::plan(job, &definition, &queue) {
        plan.spec.command(None);
        plan.spec.environment(None);
        plan.spec.log_stream(None, "task");
    }
}
