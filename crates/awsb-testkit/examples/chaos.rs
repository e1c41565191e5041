//! The tests' Batch at its worst, for benches/lost_replies.sh:
//!
//! ```sh
//! cargo run -p awsb-testkit --example chaos -- SEED lossy|storm
//! ```
//!
//! It prints its address, and then, for each line on its standard input, what there is: a line of
//! JSON with the jobs and the number of SubmitJob requests. It ends with its standard input.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "benches and people start it by hand")]

use std::io::BufRead;

use awsb_testkit::{Chaos, Weather};
use serde_json::json;

fn main() {
    let mut args = std::env::args().skip(1);
    let seed = args.next().and_then(|text| text.parse().ok());
    let weather = match args.next().as_deref() {
        Some("lossy") => Some(Weather { reply_lost: 200, ..Weather::FAIR }),
        Some("storm") => Some(Weather::STORM),
        _ => None,
    };
    let (Some(seed), Some(weather)) = (seed, weather) else {
        eprintln!("usage: chaos SEED lossy|storm");
        std::process::exit(2);
    };
    let chaos = Chaos::start(seed, weather);
    println!("{}", chaos.endpoint());
    for _ in std::io::stdin().lock().lines() {
        let jobs = chaos.jobs();
        let jobs = jobs.iter().map(|job| json!({ "id": job.id, "mark": job.mark, "alive": job.is_alive() }));
        let requests = chaos.requests("submitjob").len();
        println!("{}", json!({ "jobs": jobs.collect::<Vec<_>>(), "requests": requests }));
    }
}
