//! The tests' CloudWatch Logs behind a long wire, for benches/output.sh:
//!
//! ```sh
//! cargo run -p awsb-testkit --example logs -- LINES LATENCY_MS CALLS_PER_SECOND
//! ```
//!
//! One job that has ended an hour ago, and so many lines of it; no limit of calls with 0. It prints
//! its address and the job's ID, and then, for each line on its standard input, what has gone over
//! the wire so far. It ends with its standard input.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "benches and people start it by hand")]

use std::io::BufRead;
use std::time::Duration;

use awsb_testkit::{LogServer, NetworkFaults, Slow, Wire, Writer};
use serde_json::json;

fn main() {
    let args: Vec<usize> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [lines, latency, calls_per_second] = args[..] else {
        eprintln!("usage: logs LINES LATENCY_MS CALLS_PER_SECOND");
        std::process::exit(2);
    };
    // Ten lines in a millisecond, as a job prints that prints a lot.
    let times = (0..lines).map(|n| i64::try_from(n / 10).unwrap_or(0) - 7_200_000).collect();
    let server = LogServer::start(vec![Writer::ended(times)], NetworkFaults::default());
    let latency = Duration::from_millis(u64::try_from(latency).unwrap_or(0));
    let wire = Slow::to(&server.endpoint(), Wire { latency, calls_per_second, ..Wire::default() });
    println!("{}", json!({ "endpoint": wire.endpoint(), "job": LogServer::ID }));
    for _ in std::io::stdin().lock().lines() {
        let traffic = wire.traffic();
        println!("{}", json!({ "answered": traffic.answered, "throttled": traffic.throttled }));
    }
}
