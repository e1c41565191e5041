//! What `fuzz/` may call here: see `local::fuzzing`.

use serde_json::Value;

use super::request::{self, Definition, Queue, SubmitJob};

/// Checks a job definition, and plans a job with it if it is good.
pub fn plan(job: &Value, definition: Value) {
    if request::check_definition(&definition).is_err() {
        return;
    }
    let job_shares = job.get("shareIdentifier").is_some();
    let Ok(job) = request::shape::<SubmitJob>(job.clone()) else { return };
    let _ = request::names(&job);
    let definition = Definition { arn: "arn".to_owned(), name: "name".to_owned(), body: definition };
    let queue = Queue { name: "queue".to_owned(), enabled: true, shares: job_shares };
    if let Ok(plan) = request::plan(job, &definition, &queue) {
        let nodes = plan.terms.nodes.as_ref().map_or(0, |nodes| nodes.each.len());
        for node in (0..nodes).filter_map(|n| u32::try_from(n).ok()).map(Some).chain([None]) {
            plan.spec.command(node);
            plan.spec.environment(node);
            plan.spec.log_group(node);
            plan.spec.log_stream(node, "task");
        }
    }
}
